"""Receiving and claiming, one part and several: H01 to H20, H145, H158."""

from collections.abc import Sequence
from functools import partial

import pytest

from leyden.base.errors import CommandRejected
from leyden.crypto.hashes import sha256
from leyden.invoices import bolt11
from leyden.journal.node_records import FixedHop, FixedRoute
from leyden.manager import claiming
from leyden.manager import events as ev
from leyden.manager.state import ClaimableStatus
from leyden.sim import user
from leyden.sim.handler import Prompt
from leyden.sim.schedules import Fair, run_to_rest
from leyden.sim.user import Order
from leyden.sim.world import World
from leyden.wire.messages import UpdateFulfillHtlc
from tests.hazards import stories
from tests.hazards.forms import Form, Hazard, every_form, run_in
from tests.hazards.stories import channel, claimed_once, slot_of
from tests.hazards.witness import durable_cores, on_the_way
from tests.manager.stage import AMOUNT_MSAT, Stage
from tests.manager.test_claiming import asked, claim
from tests.sim import acts, topologies


@every_form
def test_payment_is_claimed_once(form: Form) -> None:
    """H01: a crash after the payer has its proof must not leave the payee without it."""
    begin = partial(stories.pay, "alice", "bob")
    run_in(form, Hazard(topologies.direct, begin, "bob", channel("bob", "alice"), claimed_once("bob")))


@every_form
def test_payment_in_two_parts_is_claimed_whole(form: Form) -> None:
    """H12: whichever part's journal is behind, all parts are claimed, and the user is told once of the whole."""
    begin = partial(stories.pay_two_parts, "alice", "bob")
    run_in(form, Hazard(topologies.double, begin, "bob", channel("bob", "alice"), claimed_once("bob", 2)))


@every_form
def test_part_that_is_done_first_does_not_leave_the_other_behind(form: Form) -> None:
    """H16: over two forwarders one part is gone long before the other; a replay still covers both."""
    begin = partial(stories.pay_two_parts, "alice", "dave")
    run_in(form, Hazard(topologies.diamond, begin, "dave", channel("dave", "bob"), claimed_once("dave", 2)))


@every_form
def test_question_is_answered_by_one_claim(form: Form) -> None:
    """H09, H10, H158: asked again when the claim was lost, not asked when it was not, claimed once in any case."""

    def begin(world: World) -> list[Order]:
        orders = stories.ask("alice", "bob", world)
        stories.answer(world, "bob", "claim")
        return orders

    base = partial(topologies.direct, "bob")
    run_in(form, Hazard(base, begin, "bob", channel("bob", "alice"), claimed_once("bob")))


@every_form
def test_question_is_asked_behind_the_verdict_of_every_part(form: Form) -> None:
    """H146: what the user was asked about is never judged again, so every journal knows it before the user does."""
    begin = partial(stories.pay_two_parts, "alice", "bob")
    base = partial(topologies.double, "bob")
    run_in(form, Hazard(base, begin, "bob", channel("bob", "alice"), claimed_once("bob", 2)))


def over(world: World, text: str, name: str, channels: tuple[int, ...]) -> Order:
    """alice pays an invoice of bob's with one part of AMOUNT_MSAT over each of these channels of theirs."""
    alice, bob = world.nodes["alice"], world.nodes["bob"]
    secret, expiry = bolt11.decode(text).payment_secret, alice.manager.env.block_height + 60
    hops = [FixedHop(0, bob.node_id, AMOUNT_MSAT, expiry)]
    routes = [FixedRoute(slot_of(world, "alice", "bob", index).channel_id, hops, secret, 0) for index in channels]
    amount_msat = len(channels) * AMOUNT_MSAT
    order = Order("alice", user.route_payment(alice, text, amount_msat, acts.payment_id(name), routes), "bob")
    order.ask(alice)
    return order


def three_parts(world: World) -> list[Order]:
    """Two parts over alice's first channel with bob, one over the second."""
    text = user.make_invoice(world.nodes["bob"], 3 * AMOUNT_MSAT, hints=True, tag="three")
    return [over(world, text, "one", (0, 0, 1))]


@every_form
def test_parts_that_share_a_channel_do_not_wait_for_each_other(form: Form) -> None:
    """H14: what waits is counted by journal, so a channel never waits for itself."""
    run_in(form, Hazard(topologies.double, three_parts, "bob", channel("bob", "alice"), claimed_once("bob", 3)))


def acknowledge_nothing(world: World) -> list[Order]:
    """bob's user sees its events, and is done with none."""
    world.nodes["bob"].application = Prompt("claim", acknowledges=False)
    return stories.pay("alice", "bob", world)


@every_form
def test_claimed_event_outlives_the_htlc(form: Form) -> None:
    """H02: the HTLC is long gone, the handler was not done: the next life tells again, by the same id."""

    def settle(world: World) -> None:
        slot = slot_of(world, "bob", "alice")
        assert not slot.state.core.inbound
        told = stories.told(world, "bob", ev.PaymentClaimed)
        world.restart("bob", world.nodes["bob"].disk.under_way())
        assert stories.told(world, "bob", ev.PaymentClaimed) == [*told, told[-1]]
        stories.answer(world, "bob", "claim")

    hazard = Hazard(topologies.direct, acknowledge_nothing, "bob", channel("bob", "alice"), claimed_once("bob"), settle)
    run_in(form, hazard)


def away_and_claimed(world: World) -> list[Order]:
    """bob claims while alice is away; then she comes back."""
    orders = stories.ask("alice", "bob", world)
    world.cut("alice", "bob")
    stories.answer(world, "bob", "claim")
    return orders


@every_form
def test_claim_without_a_connection_is_fulfilled_once(form: Form) -> None:
    """H05: whether the claim is durable before or after the peer returns, one fulfil leaves on the new connection."""
    base = partial(topologies.direct, "bob")
    run_in(form, Hazard(base, away_and_claimed, "bob", channel("bob", "alice"), claimed_once("bob")))


@pytest.mark.parametrize("restarts", [False, True])
def test_claim_is_durable_while_the_channel_waits_for_its_peer(restarts: bool) -> None:
    """H03: the peer answers nothing, so no message can leave; the preimage is on the disk all the same."""
    stage = asked()
    slot = stage.slot("bob", "alice")
    stage.pay("bob", "alice", stage.invoice("alice", tag="back"), "back")
    while not slot.state.core.awaiting_revocation:
        stage.world.perform(next(one for one in stage.world.enabled() if one.node == "bob"))
    claim(stage)
    stage.world.settle()
    while ready := stage["bob"].disk.ready():
        stage["bob"].disk.commit(ready[0])
        stage.world.settle()
    [htlc] = durable_cores(stage["bob"])[slot.channel_id].inbound.values()
    assert htlc.preimage
    assert slot.state.core.awaiting_revocation
    assert not on_the_way(stage.world, "bob", "alice", UpdateFulfillHtlc)
    if restarts:
        stage.world.restart("bob")
    stage.prompt("bob", "claim")
    stage.check()
    assert stage.payment("alice").sent is not None


@pytest.mark.parametrize("kept", [0, 1])
def test_claim_in_one_journal_is_not_failed_by_its_deadline(kept: int) -> None:
    """H11: the preimage is given to the journal; whatever height comes before it is durable, it is not failed."""
    stage = asked()
    slot = stage.slot("bob", "alice")
    deadline = stage.question("bob").deadline_height
    stage["bob"].disk.held[slot.tail.journal] = None
    claim(stage)
    stage.mine(deadline + 5 - stage.m("bob").env.block_height)
    [htlc] = slot.state.core.inbound.values()
    assert htlc.preimage
    assert htlc.failure is None
    if kept:
        stage["bob"].disk.held.clear()
        stage.prompt("bob", "claim")
        stage.check()
        assert stage.payment("alice").sent is not None
        return
    stage.world.restart("bob")
    stage.prompt("bob", "claim")
    stage.check()
    assert stage.payment("alice").failed is not None, "nothing of the claim had left, so it may fail"
    assert not stage.told("bob", ev.PaymentClaimed)


@pytest.mark.parametrize("restarts", [False, True])
def test_claim_on_a_closed_channel_is_told_behind_its_record(restarts: bool) -> None:
    """H06: closed or not, `PaymentClaimed` waits for the disk; what is durable comes again."""
    stage = asked()
    slot = stories.close_by_force(stage.world, "bob", "alice")
    stage.act()
    stage["bob"].disk.held[slot.tail.journal] = None
    claim(stage)
    stage.act()
    assert not stage.told("bob", ev.PaymentClaimed)
    stage["bob"].disk.held.clear()
    stage.act()
    [claimed] = stage.told("bob", ev.PaymentClaimed)
    [htlc] = durable_cores(stage["bob"])[slot.channel_id].inbound.values()
    assert htlc.preimage
    if restarts:
        stage.world.restart("bob")
        stage.act()
        assert stage.told("bob", ev.PaymentClaimed)[-1] == claimed


def test_claim_is_told_when_its_own_record_is_durable() -> None:
    """H15: later records of the journal are under way, and nobody waits for them."""
    stage = asked()
    slot = stage.slot("bob", "alice")
    claim(stage)
    stage.world.settle()
    stage.pay("bob", "alice", stage.invoice("alice", tag="back"), "back")
    stage.world.settle()
    stage["bob"].disk.commit("node")
    stage.world.settle()
    assert stage["bob"].disk.under_way()[slot.tail.journal] > 1
    stage["bob"].disk.commit(slot.tail.journal)
    stage.world.settle()
    stage["bob"].disk.held[slot.tail.journal] = None
    stage.act()
    assert stage["bob"].disk.under_way()[slot.tail.journal]
    assert stage.told("bob", ev.PaymentClaimed)
    stage["bob"].disk.held.clear()
    stage.prompt("bob", "claim")
    stage.check()


@pytest.mark.parametrize("late", [0, 1])
@pytest.mark.parametrize("restart", ["", "=", "<"])
def test_channel_that_closes_with_a_claim_in_it_leaves_nothing_hanging(late: int, restart: str) -> None:
    """H19, H62: one part's channel is closed while the other part's journal hangs: the claim becomes whole."""
    stage = asked(2)
    slots = stage.slots("bob", "alice")
    stage["bob"].disk.held[slots[late].tail.journal] = None
    claim_id = claim(stage)
    stage.act()
    stories.close_by_force(stage.world, "bob", "alice", 1 - late)
    stage.act()
    assert stage.m("bob").claim_blockers
    if restart:
        stage.world.restart("bob", stage["bob"].disk.under_way() if restart == "=" else {})
    stage["bob"].disk.held.clear()
    stage.act()
    assert not stage.m("bob").claim_blockers
    cores = durable_cores(stage["bob"])
    assert all(htlc.preimage for core in cores.values() for htlc in core.inbound.values())
    assert {one.claim_id for one in stage.told("bob", ev.PaymentClaimed)} == {claim_id}
    assert stage.payment("alice").sent is not None


def test_event_of_a_claim_outlives_any_one_of_its_channels() -> None:
    """H20: one part's channel is closed and deep before the handler is done; the event comes again."""
    stage = asked(2)
    stage.prompt("bob", "", acknowledges=False)
    claim(stage)
    stage.seconds(3)
    [claimed] = stage.told("bob", ev.PaymentClaimed)
    user.close_channel(stage["alice"], stage.slot("alice", "bob"))
    stage.seconds(3)
    stage.mine(7)
    assert stage.slot("bob", "alice").state.core.closed_height
    stage.world.restart("bob")
    stage.seconds(3)
    assert stage.told("bob", ev.PaymentClaimed) == [claimed, claimed]


def test_late_answer_to_a_question_is_refused() -> None:
    """H39: the payment went back meanwhile; the caller hears it, and nothing else happens."""
    stage = asked()
    set_id = stage.question("bob").set_id
    stage["bob"].run(lambda m: claiming.fail_payment(m, set_id))
    stage.world.restart("bob", stage["bob"].disk.under_way())
    with pytest.raises(CommandRejected) as refused:
        claiming.claim_payment(stage.m("bob"), set_id, b"")
    assert refused.value.code == "unknown_claimable"
    stage.check()
    assert stage.payment("alice").failed is not None


def test_claim_that_is_durable_is_not_asked_about_again() -> None:
    """H09: a handler that claims again is told that there is nothing to claim."""
    stage: Stage = asked()
    question = stage.question("bob")
    claim(stage)
    stage["bob"].runtime.turn()
    stage.world.restart("bob", stage["bob"].disk.under_way())
    stage.seconds(2)
    assert len(stage.told("bob", ev.PaymentClaimable)) == 1
    with pytest.raises(CommandRejected):
        claiming.claim_payment(stage.m("bob"), question.set_id, b"")
    stage.prompt("bob", "claim")
    stage.check()
    assert stage.payment("alice").sent is not None


def claimed_and_paid_again(world: World) -> list[Order]:
    """A payment in two parts is claimed and not acknowledged; another one with its hash is on its way."""
    preimage = sha256(b"used twice")
    prompt = world.nodes["bob"].application = Prompt("claim", acknowledges=False)
    prompt.preimages[sha256(preimage)] = preimage
    text = user.make_invoice(world.nodes["bob"], 2 * AMOUNT_MSAT, hints=True, payment_hash=sha256(preimage))
    orders = [over(world, text, "first", (0, 1))]
    until = world.clock.now_seconds + 3
    run_to_rest(world, Fair(), lambda at: at.clock.now_seconds > until)
    prompt.answer = ""
    # The payer's own node would refuse to pay a hash twice; somebody else need not.
    world.nodes["alice"].manager.node.ledger.hashes.clear()
    return [*orders, over(world, text, "second", (0, 1))]


@every_form
def test_second_payment_of_a_claimed_hash_is_left_alone(form: Form) -> None:
    """H07: the replay of the first claim must neither take nor drop the parts of the second payment."""

    def settle(world: World) -> None:
        claimed = stories.told(world, "bob", ev.PaymentClaimed)
        assert len({one.event_id for one in claimed}) == 1
        [claimable] = world.nodes["bob"].manager.claimables.values()
        assert claimable.status is ClaimableStatus.SHOWN
        stories.answer(world, "bob", "fail")

    def check(world: World, orders: Sequence[Order]) -> None:
        payments = world.nodes["alice"].manager.node.ledger.payments
        first, second = [payments[order.started.payment_id] for order in orders]
        assert first.sent is not None
        assert second.failed is not None

    base = partial(topologies.double, "bob")
    run_in(form, Hazard(base, claimed_and_paid_again, "bob", channel("bob", "alice"), check, settle))


def given_up(stage: Stage, late: int) -> bytes:
    """bob claims, one part's journal hangs until the claim is given up at its deadline. Returns its claim_id."""
    stage.prompt("bob", "", acknowledges=False)
    journal = stage.slots("bob", "alice")[late].tail.journal
    expiry = stage.question("bob").deadline_height + stage.m("bob").config.claim_deadline_blocks
    stage["bob"].disk.held[journal] = None
    claim_id = claim(stage)
    stage.act()
    stage.world.mine(expiry - 9 - stage.m("bob").env.block_height)
    while stage.m("bob").claim_blockers:
        stage.world.perform(next(one for one in stage.world.enabled() if one.kind == "block"))
    return claim_id


@pytest.mark.parametrize("late", [0, 1])
@pytest.mark.parametrize("restart", ["", "=", "<", ">"])
def test_claim_that_is_given_up_is_told_until_acknowledged(late: int, restart: str) -> None:
    """H145: whatever the crash keeps of it, the caller hears that the claim came to nothing, by one id."""
    stage = asked(2)
    claim_id = given_up(stage, late)
    if restart:
        journal = stage.slots("bob", "alice")[late].tail.journal
        waiting = stage["bob"].disk.under_way()
        others = {name: count for name, count in waiting.items() if name != journal}
        kept = {"=": waiting, "<": others, ">": {journal: waiting[journal]}}[restart]
        stage.world.restart("bob", kept)
    stage["bob"].disk.held.clear()
    stage.seconds(3)
    for _ in range(2):
        told = stage.told("bob", ev.PaymentClaimAbandoned)
        assert {one.claim_id for one in told} == {claim_id}
        assert len({one.event_id for one in told}) == 1
        stage.world.restart("bob", stage["bob"].disk.under_way())
        stage.seconds(2)
        assert len(stage.told("bob", ev.PaymentClaimAbandoned)) == len(told) + 1
    stories.answer(stage.world, "bob", "claim")
    stage.check()
    assert stage.payment("alice").failed is not None
    told = stage.told("bob", ev.PaymentClaimAbandoned)
    stage.world.restart("bob")
    stage.check()
    assert stage.told("bob", ev.PaymentClaimAbandoned) == told
    assert not stage.told("bob", ev.PaymentClaimed)


@pytest.mark.parametrize("late", [0, 1])
def test_claim_that_is_given_up_is_told_once_in_a_life(late: int) -> None:
    """H145: acknowledged while the other journal that owes it still hangs."""
    stage = asked(2)
    given_up(stage, late)
    stage.prompt("bob", "")
    stage.act()
    assert len(stage.told("bob", ev.PaymentClaimAbandoned)) == 1
    stage["bob"].disk.held.clear()
    stage.act()
    stage.check()
    assert len(stage.told("bob", ev.PaymentClaimAbandoned)) == 1
    stage.world.restart("bob")
    stage.check()
    assert len(stage.told("bob", ev.PaymentClaimAbandoned)) == 1
