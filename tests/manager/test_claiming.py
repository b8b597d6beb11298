"""Sets of parts, the question to the user, and claims that are whole or not at all."""

import pytest

from leyden.base.errors import CommandRejected
from leyden.crypto.hashes import sha256
from leyden.invoices import bolt11
from leyden.manager import claiming, handoff
from leyden.manager import events as ev
from leyden.manager.state import ClaimableStatus
from leyden.sim import user
from leyden.sim.user import Order
from leyden.sphinx.failures import FailureCode
from leyden.wire.messages import UpdateFulfillHtlc, decode
from tests.manager.stage import AMOUNT_MSAT, Stage, payment_id
from tests.sim import topologies

TWO_PARTS_MSAT = 700_000_000
UNKNOWN = ("recipient_rejected", FailureCode.INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS, 0)


def asked(parts: int = 1) -> Stage:
    """Bob's user has been asked about a payment, and has not answered."""
    stage = Stage(topologies.direct("bob") if parts == 1 else topologies.double("bob"))
    stage.prompt("bob", "")
    amount = AMOUNT_MSAT if parts == 1 else TWO_PARTS_MSAT
    stage.pay("alice", "bob", stage.invoice("bob", amount), deadline_seconds=100_000)
    stage.seconds(3)
    assert len(stage.told("bob", ev.PaymentClaimable)) == 1
    return stage


def claim(stage: Stage, preimage: bytes = b"") -> bytes:
    """Bob's user claims what it was asked about."""
    claimed: list[bytes] = []
    set_id = stage.question("bob").set_id
    stage["bob"].run(lambda m: claimed.append(claiming.claim_payment(m, set_id, preimage)))
    return claimed[0]


def fulfils_on_the_way(stage: Stage) -> int:
    """How many fulfils have left bob and not arrived."""
    waiting = stage.world.end_of("alice", "bob").arrived
    return sum(isinstance(decode(raw), UpdateFulfillHtlc) for raw in waiting if raw is not None)


@pytest.mark.parametrize("parts", [1, 2])
def test_claim_after_the_question(parts: int) -> None:
    """All parts are claimed, and the user is told once about the whole."""
    stage = asked(parts)
    assert stage.question("bob").amount_msat == (AMOUNT_MSAT if parts == 1 else TWO_PARTS_MSAT)
    claim(stage)
    stage.prompt("bob", "claim")
    stage.check()
    [claimed] = stage.told("bob", ev.PaymentClaimed)
    assert claimed.parts == parts
    assert len(stage.told("alice", ev.PaymentSent)) == 1


@pytest.mark.parametrize("parts", [1, 2])
def test_refusal_after_the_question_fails_all_parts(parts: int) -> None:
    """The payer gets everything back."""
    stage = asked(parts)
    set_id = stage.question("bob").set_id
    stage["bob"].run(lambda m: claiming.fail_payment(m, set_id))
    stage.check()
    assert stage.failure("alice") == UNKNOWN


def test_wrong_answers_change_nothing() -> None:
    """A wrong preimage or an unknown set is the caller's mistake; the payment stays claimable."""
    stage = asked()
    set_id = stage.question("bob").set_id
    for bad, code in (((set_id, bytes(32)), "wrong_preimage"), ((bytes(32), b""), "unknown_claimable")):
        with pytest.raises(CommandRejected) as refused:
            claiming.claim_payment(stage.m("bob"), *bad)
        assert refused.value.code == code
    with pytest.raises(CommandRejected):
        claiming.fail_payment(stage.m("bob"), bytes(32))
    [held] = claiming.held(stage.m("bob"))
    assert claiming.claim_id_of(held) == set_id
    claim(stage)
    stage.prompt("bob", "claim")
    stage.check()


@pytest.mark.parametrize("parts", [1, 2])
def test_question_is_asked_again_in_every_life_until_it_is_answered(parts: int) -> None:
    """An acknowledgement is no answer: the user may have crashed between the two (invariant P10)."""
    stage = asked(parts)
    first = stage.question("bob")
    stage["bob"].run(lambda m: handoff.acknowledge_event(m, first.event_id))
    stage.seconds(2)
    stage.world.restart("bob")
    stage.seconds(2)
    assert stage.question("bob") == first
    claim(stage)
    stage.act()
    stage.world.restart("bob")
    stage.prompt("bob", "claim")
    stage.check()
    assert len(stage.told("bob", ev.PaymentClaimable)) == 2


def test_what_was_shown_is_not_judged_again() -> None:
    """Invoice expiry, policy and grouping were judged when it was shown; the user may have paid out since (P10)."""
    stage = Stage(topologies.direct("bob"))
    stage.prompt("bob", "")
    stage.pay("alice", "bob", stage.invoice("bob", expiry_seconds=20), deadline_seconds=100_000)
    stage.seconds(30)
    stage.world.restart("bob")
    stage.seconds(100)
    claim(stage)
    stage.prompt("bob", "claim")
    stage.check()
    assert stage.payment("alice").sent is not None


def test_unanswered_question_fails_at_its_deadline() -> None:
    """Nobody claims in time, so the payer gets it back before its channel is at risk."""
    stage = asked()
    deadline = stage.question("bob").deadline_height
    stage.mine(deadline - 1 - stage.m("bob").env.block_height)
    assert stage.question("bob").deadline_height == deadline
    stage.mine()
    stage.check()
    assert stage.failure("alice") == UNKNOWN


def test_claim_at_the_deadline_is_refused_and_before_it_is_taken() -> None:
    """Too close to the expiry the fulfil could come too late: better no claim than half of one."""
    stage = asked()
    deadline = stage.question("bob").deadline_height
    stage.mine(deadline - 1 - stage.m("bob").env.block_height)
    set_id = stage.question("bob").set_id
    stage["bob"].run(lambda m: m.set_env(block_height=deadline))
    with pytest.raises(CommandRejected) as refused:
        claiming.claim_payment(stage.m("bob"), set_id, b"")
    assert refused.value.code == "claim_too_late"
    stage["bob"].run(lambda m: m.set_env(block_height=deadline - 1))
    claim(stage)
    stage.prompt("bob", "claim")
    stage.check()
    assert stage.payment("alice").sent is not None


def test_incomplete_payment_fails_with_all_its_parts() -> None:
    """A part alone is worth nothing to the payee; after a minute the payer gets it back (BOLT 4, MPP)."""
    stage = Stage(topologies.double())
    text = stage.invoice("bob", TWO_PARTS_MSAT)
    hops = [(0, "bob", TWO_PARTS_MSAT // 4, stage.m("alice").env.block_height + 60)]
    routes = [stage.fixed_route("alice", hops, bolt11.decode(text).payment_secret)] * 2
    started = user.route_payment(stage["alice"], text, TWO_PARTS_MSAT, payment_id("one"), routes)
    stage.order(Order("alice", started, "bob"))
    stage.act()
    [claimable] = stage.m("bob").claimables.values()
    assert claimable.status is ClaimableStatus.INCOMPLETE
    assert len(claimable.parts) == 2
    stage.seconds(59)
    assert stage.m("bob").claimables
    stage.seconds(2)
    assert not stage.m("bob").claimables
    stage.check()
    assert stage.failure("alice")[1] is FailureCode.MPP_TIMEOUT


@pytest.mark.parametrize("late", [0, 1])
def test_no_fulfil_leaves_before_all_parts_have_the_claim(late: int) -> None:
    """With one part's preimage the payer has its proof: the other part must not be able to fail any more (P11)."""
    stage = asked(2)
    held = stage.slots("bob", "alice")[late]
    stage["bob"].disk.held[held.tail.journal] = None
    claim_id = claim(stage)
    stage.act()
    assert fulfils_on_the_way(stage) == 0
    assert stage.payment("alice").is_live
    assert list(stage.m("bob").claim_blockers) == [claim_id]
    assert not stage.told("bob", ev.PaymentClaimed)
    stage["bob"].disk.held.clear()
    stage.prompt("bob", "claim")
    stage.check()
    assert not stage.m("bob").claim_blockers


@pytest.mark.parametrize("kept", [0, 1])
def test_claim_of_which_one_part_survives_is_carried_to_the_others(kept: int) -> None:
    """The claim names all its parts in every part's journal: one of them is enough at a restart."""
    stage = asked(2)
    slots = stage.slots("bob", "alice")
    claim(stage)
    stage.world.restart("bob", {slots[kept].tail.journal: 1})
    stage.prompt("bob", "claim")
    stage.check()
    [claimed] = {one.event_id: one for one in stage.told("bob", ev.PaymentClaimed)}.values()
    assert (claimed.parts, claimed.amount_msat) == (2, TWO_PARTS_MSAT)


def test_claim_of_which_nothing_survives_is_asked_again() -> None:
    """Nothing has left, so nothing is owed; the user is asked again."""
    stage = asked(2)
    claim(stage)
    stage.world.restart("bob")
    stage.seconds(2)
    assert stage.question("bob").amount_msat == TWO_PARTS_MSAT
    claim(stage)
    stage.prompt("bob", "claim")
    stage.check()


def test_claim_that_is_not_durable_in_time_is_abandoned_and_told() -> None:
    """A store that hangs on one part until the deadline: nothing has left, so all parts fail (invariant P11)."""
    stage = asked(2)
    late = stage.slots("bob", "alice")[1]
    stage["bob"].disk.held[late.tail.journal] = None
    claim(stage)
    stage.act()
    expiry = stage.question("bob").deadline_height + 18
    stage.mine(expiry - 10 - stage.m("bob").env.block_height)
    assert stage.m("bob").claim_blockers
    stage.mine()
    assert not stage.m("bob").claim_blockers
    stage.seconds(3)
    assert stage["bob"].disk.held, "the store still hangs, and may for ever"
    assert len(stage.told("bob", ev.PaymentClaimAbandoned)) == 1
    stage["bob"].disk.held.clear()
    stage.prompt("bob", "claim")
    stage.check()
    assert stage.failure("alice") == UNKNOWN
    assert len(stage.told("bob", ev.PaymentClaimAbandoned)) == 1
    assert not stage.told("bob", ev.PaymentClaimed)


@pytest.mark.parametrize("kept", [0, 1])
def test_claim_that_cannot_be_whole_after_a_restart_is_abandoned(kept: int) -> None:
    """The deadline passed while the node was down: one part alone must not be claimed."""
    stage = asked(2)
    slots = stage.slots("bob", "alice")
    expiry = stage.question("bob").deadline_height + 18
    claim(stage)
    stage.world.crash("bob", {slots[kept].tail.journal: 1})
    stage.mine(expiry - 9 - stage.m("alice").env.block_height)
    stage["bob"].start()
    stage.prompt("bob", "claim")
    stage.check()
    assert stage.failure("alice") == UNKNOWN
    assert not stage.told("bob", ev.PaymentClaimed)


def test_abandoned_claim_is_not_taken_up_again_by_a_part_that_lost_the_abandonment() -> None:
    """One part knows that the claim was given up, the other only the claim: the first one has failed already."""
    stage = asked(2)
    late = stage.slots("bob", "alice")[1]
    stage["bob"].disk.held[late.tail.journal] = None
    claim(stage)
    stage.act()
    expiry = stage.question("bob").deadline_height + 18
    stage.mine(expiry - 9 - stage.m("bob").env.block_height)
    stage.seconds(3)
    # The crash keeps the claim of the late part, and not that it was given up.
    stage.world.restart("bob", {late.tail.journal: 1})
    stage.prompt("bob", "claim")
    stage.check()
    assert stage.payment("alice").sent is None
    assert not stage.told("bob", ev.PaymentClaimed)


def test_verdict_that_only_one_part_kept_was_never_shown() -> None:
    """The user is asked when every part knows the set; a half of it must not be offered for claiming."""
    for kept in (0, 1):
        stage = Stage(topologies.double("bob"))
        stage.prompt("bob", "")
        slots = stage.slots("bob", "alice")
        stage.pay("alice", "bob", stage.invoice("bob", TWO_PARTS_MSAT), deadline_seconds=100_000)
        while not any(slot.state.core.shown for slot in slots):
            stage.world.perform(stage.world.enabled()[0])
        waiting = stage["bob"].disk.under_way()
        stage.world.restart("bob", {slots[kept].tail.journal: waiting[slots[kept].tail.journal]})
        stage.seconds(2)
        assert stage.question("bob").amount_msat == TWO_PARTS_MSAT
        claim(stage)
        stage.prompt("bob", "claim")
        stage.check()


def test_told_claim_still_fulfils_after_a_lost_connection() -> None:
    """The user acknowledges faster than the peer signs: the promise must not be forgotten with the claim."""
    stage = asked(2)
    claim(stage)
    stage.prompt("bob", "claim")
    while not stage.told("bob", ev.PaymentClaimed):
        stage.world.perform(next(one for one in stage.world.enabled() if one.node == "bob"))
    stage.world.links[("alice", "bob")] = False
    stage.world.cut("alice", "bob")
    stage.seconds(3)
    assert not any(slot.state.core.claims for slot in stage.slots("bob", "alice")), "forgotten"
    stage.world.restart("bob")
    stage.world.links[("alice", "bob")] = True
    stage.check()
    assert stage.payment("alice").sent is not None


def test_claim_that_is_not_durable_at_a_reconnection_fulfils_on_that_connection() -> None:
    """In one journal the order of records is enough: nobody comes back later to release it."""
    stage = asked()
    slot = stage.slot("bob", "alice")
    stage["bob"].disk.held[slot.tail.journal] = None
    claim(stage)
    stage.act()
    stage.world.cut("alice", "bob")
    stage.act()
    stage["bob"].disk.held.clear()
    stage.prompt("bob", "claim")
    stage.check()
    assert stage.payment("alice").sent is not None


def test_same_hash_again_is_another_payment() -> None:
    """A replayed claim touches the parts it lists: the second payment stays with its user (invariant S4)."""
    stage = Stage(topologies.direct("bob"))
    preimage = sha256(b"used twice")
    text = stage.invoice("bob", payment_hash=sha256(preimage))
    prompt = stage.prompt("bob", "claim", acknowledges=False)
    prompt.preimages[sha256(preimage)] = preimage
    stage.pay("alice", "bob", text, "first", deadline_seconds=100_000)
    stage.seconds(3)
    [claimed] = stage.told("bob", ev.PaymentClaimed)
    prompt.answer = ""
    # The payer's own node would refuse to pay a hash twice; somebody else need not.
    stage.m("alice").node.ledger.hashes.clear()
    stage.pay("alice", "bob", text, "second", deadline_seconds=100_000)
    stage.seconds(3)
    second = stage.question("bob")
    stage.m("alice").node.ledger.hashes.setdefault(
        sha256(preimage), [order.started.payment_id for order in stage.orders]
    )
    for _ in range(2):
        stage.world.restart("bob")
        stage.seconds(3)
        assert stage.question("bob") == second, "it waits for its own answer"
        assert [one.event_id for one in stage.told("bob", ev.PaymentClaimed)][-1] == claimed.event_id
        assert stage.payment("alice", "second").is_live
    first = stage.told("bob", ev.PaymentClaimable)[0]
    assert second.event_id != first.event_id
    with pytest.raises(CommandRejected, match="no claimable payment has this set_id"):
        # Whoever repeats the call that claimed the first payment means the first payment.
        claiming.claim_payment(stage.m("bob"), first.set_id, preimage)
    set_id = second.set_id
    stage["bob"].run(lambda m: claiming.fail_payment(m, set_id))
    stage.prompt("bob", "fail")
    for event in list(stage.m("bob").events.values()):
        stage["bob"].run(lambda m, event_id=event.event_id: handoff.acknowledge_event(m, event_id))  # type: ignore[misc]
    stage.check()
    assert stage.payment("alice", "first").sent is not None
    assert stage.failure("alice", "second") == UNKNOWN


def test_late_part_of_a_complete_payment_fails() -> None:
    """What was shown is never touched again: neither grown nor judged anew."""
    stage = asked()
    text = stage.orders[0].started.invoice
    stage.m("alice").node.ledger.hashes.clear()
    stage.pay("alice", "bob", text, "late", deadline_seconds=100_000)
    stage.seconds(3)
    assert stage.failure("alice", "late") == UNKNOWN
    stage.m("alice").node.ledger.hashes[stage.orders[0].started.payment_hash] = [
        order.started.payment_id for order in stage.orders
    ]
    claim(stage)
    stage.prompt("bob", "claim")
    stage.check()
    assert len(stage.told("bob", ev.PaymentClaimed)) == 1


def test_claimed_event_comes_again_until_it_is_acknowledged() -> None:
    """Once a life, with the same id; after the acknowledgement never (invariant P20)."""
    stage = Stage(topologies.direct())
    stage.prompt("bob", "claim", acknowledges=False)
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.seconds(3)
    for _ in range(2):
        stage.world.restart("bob")
        stage.seconds(3)
    told = stage.told("bob", ev.PaymentClaimed)
    assert len(told) == 3
    assert len({one.event_id for one in told}) == 1
    event_id = told[0].event_id
    stage["bob"].run(lambda m: handoff.acknowledge_event(m, event_id))
    stage.seconds(3)
    stage.world.restart("bob")
    stage.check()
    assert len(stage.told("bob", ev.PaymentClaimed)) == 3


def test_spontaneous_payments_never_share_a_set() -> None:
    """They have no secret that parts could share: each is a payment of its own."""
    payment_hash = sha256(b"hash")
    places = [(b"x" * 32, 0), (b"x" * 32, 1), (b"y" * 32, 0)]
    assert len({claiming.set_id_of(payment_hash, b"", place) for place in places}) == 3
    assert len({claiming.set_id_of(payment_hash, b"s" * 32, place) for place in places}) == 1


def test_second_in_which_our_store_stalls_does_not_count_against_the_payer() -> None:
    """The other parts may wait behind it; only sets that still miss parts have a clock."""
    stage = asked(2)
    [shown] = stage.m("bob").claimables.values()
    since = shown.since_seconds
    claiming.wait_longer(stage.m("bob"))
    assert shown.since_seconds == since
    shown.status = ClaimableStatus.INCOMPLETE
    claiming.wait_longer(stage.m("bob"))
    assert shown.since_seconds == since + 1
