"""HTLCs for us are checked once, when they are irrevocable: what is not as asked for fails back (BOLT 4)."""

import pytest

from leyden.crypto.hashes import sha256
from leyden.manager import events as ev
from leyden.manager import receiving, sending
from leyden.sim import user
from leyden.sim.user import Order
from leyden.sphinx.failures import FailureCode, InvalidOnionPayload
from leyden.sphinx.onion import build_onion
from tests.manager import handmade
from tests.manager.stage import AMOUNT_MSAT, Stage, payment_id
from tests.sim import topologies

UNKNOWN = ("recipient_rejected", FailureCode.INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS, 0)


def over_route(stage: Stage, text: str, amount_msat: int = AMOUNT_MSAT, final_delta: int = 60) -> None:
    """Alice sends bob one HTLC with these terms."""
    final = stage.m("alice").env.block_height + final_delta
    stage.route("alice", text, [(0, "bob", amount_msat, final)])


def test_payment_as_asked_for_is_claimed() -> None:
    """The refusals below are about steps beyond this."""
    stage = Stage(topologies.direct())
    over_route(stage, stage.invoice("bob"))
    stage.check()
    [claimed] = stage.told("bob", ev.PaymentClaimed)
    assert (claimed.amount_msat, claimed.parts, claimed.purpose) == (AMOUNT_MSAT, 1, "invoice")


@pytest.mark.parametrize("amount_msat", [AMOUNT_MSAT, 2 * AMOUNT_MSAT])
def test_up_to_twice_the_amount_is_taken(amount_msat: int) -> None:
    """A payer may add a little to hide the amount (BOLT 4, "Failure Messages")."""
    stage = Stage(topologies.direct())
    over_route(stage, stage.invoice("bob"), amount_msat)
    stage.check()
    assert [one.amount_msat for one in stage.told("bob", ev.PaymentClaimed)] == [amount_msat]


@pytest.mark.parametrize("amount_msat", [1, AMOUNT_MSAT - 1, 2 * AMOUNT_MSAT + 1])
def test_too_little_or_more_than_twice_the_amount_fails(amount_msat: int) -> None:
    """Too little would be claimed for less than was asked; far too much is a mistake of the payer."""
    stage = Stage(topologies.direct())
    over_route(stage, stage.invoice("bob"), amount_msat)
    stage.check()
    assert stage.failure("alice") == UNKNOWN
    assert not stage.told("bob", ev.PaymentClaimed)


def test_invoice_without_amount_takes_what_the_payer_chooses() -> None:
    """Donations."""
    stage = Stage(topologies.direct())
    stage.pay("alice", "bob", stage.invoice("bob", 0), amount_msat=1234567)
    stage.check()
    assert [one.amount_msat for one in stage.told("bob", ev.PaymentClaimed)] == [1234567]


def test_unknown_hash_and_wrong_secret_look_the_same() -> None:
    """Whoever probes without the invoice learns nothing (BOLT 4, "Failure Messages")."""
    for text_of in ("other", "wrong"):
        stage = Stage(topologies.direct())
        text = stage.invoice("bob") if text_of == "wrong" else stage.invoice("alice")
        started = user.invoice_payment(stage["alice"], text, payment_id("one"))
        route = stage.fixed_route("alice", [(0, "bob", AMOUNT_MSAT, stage.m("alice").env.block_height + 60)], bytes(32))
        direct = user.route_payment(stage["alice"], text, AMOUNT_MSAT, started.payment_id, [route])
        stage.order(Order("alice", direct, "bob"))
        stage.check()
        assert stage.failure("alice") == UNKNOWN


def test_expired_invoice_is_not_paid() -> None:
    """The payer may be late; the payee does not sell at an old price."""
    stage = Stage(topologies.direct())
    text = stage.invoice("bob", expiry_seconds=10)
    stage.seconds(10)
    stage.pay("alice", "bob", text)
    stage.check()
    assert stage.failure("alice") == UNKNOWN


@pytest.mark.parametrize(("final_delta", "taken"), [(39, True), (38, False), (18, False), (10, False), (2016, True)])
def test_payment_must_leave_time_to_claim_it(final_delta: int, taken: bool) -> None:
    """Too short an expiry gives the payer a chance to take the money back; our invoices ask for 42 blocks."""
    stage = Stage(topologies.direct())
    over_route(stage, stage.invoice("bob"), final_delta=final_delta)
    stage.check()
    assert bool(stage.told("bob", ev.PaymentClaimed)) is taken
    assert taken or stage.failure("alice") == UNKNOWN


def test_expiry_too_far_ahead_fails() -> None:
    """An HTLC that may hang for months is not taken."""
    stage = Stage(topologies.direct())
    over_route(stage, stage.invoice("bob"), final_delta=2017)
    stage.check()
    assert stage.failure("alice") == ("recipient_rejected", FailureCode.EXPIRY_TOO_FAR, 0)


def test_spontaneous_payment_is_taken_with_its_records() -> None:
    """A keysend payment carries its preimage and what the payer wants to say (bLIP 3)."""
    stage = Stage(topologies.direct())
    said = ((65537, b"hello"),)
    stage.order(
        Order("alice", user.keysend_payment(stage["alice"], stage["bob"], 1000, payment_id("one"), said), "bob")
    )
    stage.check()
    [claimed] = stage.told("bob", ev.PaymentClaimed)
    assert (claimed.purpose, claimed.custom_records, claimed.amount_msat) == ("keysend", said, 1000)


def test_spontaneous_payment_that_is_not_wanted_fails() -> None:
    """Whoever switched keysend off gets none."""
    stage = Stage(topologies.make([("alice", "bob")], accept_keysend=False))
    stage.order(Order("alice", user.keysend_payment(stage["alice"], stage["bob"], 1000, payment_id("one")), "bob"))
    stage.check()
    assert stage.failure("alice") == UNKNOWN


def test_payment_without_secret_and_without_preimage_fails() -> None:
    """Without a payment_secret anybody on the way could claim a part of it."""
    stage = Stage(topologies.direct())
    text = stage.invoice("bob")
    route = stage.fixed_route("alice", [(0, "bob", AMOUNT_MSAT, stage.m("alice").env.block_height + 60)])
    stage.order(
        Order("alice", user.route_payment(stage["alice"], text, AMOUNT_MSAT, payment_id("one"), [route]), "bob")
    )
    stage.check()
    assert stage.failure("alice") == ("recipient_rejected", FailureCode.INVALID_ONION_PAYLOAD, 0)


def test_onion_that_cannot_be_read_is_failed_as_malformed() -> None:
    """The peer is told in a way that it can pass back (BOLT 2, "Removing an HTLC")."""
    stage = Stage(topologies.direct())
    stage.pay("alice", "bob", stage.invoice("bob"))
    while not stage.slot("alice", "bob").state.session.queued_adds:
        stage.world.perform(stage.world.enabled()[0])
        if stage.slot("alice", "bob").state.core.outbound:
            break
    stage.check()
    assert stage.payment("alice").sent is not None


def test_nothing_is_judged_twice() -> None:
    """A second look at a decided or claimed HTLC changes nothing (invariant P15)."""
    stage = Stage(topologies.direct("bob"))
    stage.prompt("bob", "")
    stage.pay("alice", "bob", stage.invoice("bob"), deadline_seconds=1000)
    stage.seconds(2)
    slot = stage.slot("bob", "alice")
    before = dict(stage.m("bob").claimables)
    position = slot.tail.position
    slot_ids = tuple(slot.state.core.inbound)
    question = stage.question("bob")
    stage.prompt("bob", "claim").on_event(stage.m("bob"), question)
    receiving.judge(stage.m("bob"), slot, slot_ids)
    stage["bob"].run(lambda _m: None)
    assert before
    assert slot.tail.position > position
    stage.check()
    assert len(stage.told("bob", ev.PaymentClaimed)) == 1


def test_hash_of_a_foreign_preimage_is_asked_about() -> None:
    """Hold invoices: the node does not know the preimage, so it cannot claim by itself."""
    stage = Stage(topologies.direct())
    preimage = sha256(b"elsewhere")
    prompt = stage.prompt("bob", "claim")
    prompt.preimages[sha256(preimage)] = preimage
    stage.pay("alice", "bob", stage.invoice("bob", payment_hash=sha256(preimage)))
    stage.check()
    [sent] = stage.told("alice", ev.PaymentSent)
    assert sent.preimage == preimage
    [question] = stage.told("bob", ev.PaymentClaimable)
    assert question.payment_hash == sha256(preimage)


def test_rejected_payment_is_told_once_and_its_id_stays_taken() -> None:
    """The caller may ask again with the same id; it must find the failure, not pay again."""
    stage = Stage(topologies.direct())
    over_route(stage, stage.invoice("bob"), 1)
    stage.check()
    with pytest.raises(Exception, match="known already"):
        stage["alice"].run(lambda m: sending.start_payment(m, stage.orders[0].started, None))
    stage.check()
    assert len(stage.told("alice", ev.PaymentFailed)) == 1


@pytest.mark.parametrize("payload", [b"\x02\x01\x05\x02\x01\x05", b"\x04\x01\x05"])
def test_payload_that_makes_no_sense_fails_so_that_the_payer_can_read_why(payload: bytes) -> None:
    """Out of order, or without an amount: the error is encrypted with the secret of this onion (BOLT 4)."""
    stage = Stage(topologies.direct())
    payment_hash = sha256(b"nobody knows")
    built = build_onion(sha256(b"key"), [(stage["bob"].node_id, payload)], payment_hash)
    expiry = stage.m("alice").env.block_height + 60
    htlc_id = handmade.offer(stage, "alice", "bob", built.packet, payment_hash, AMOUNT_MSAT, expiry)
    failure, hop = handmade.answer(stage, "bob", "alice", built, htlc_id)
    assert (type(failure), hop) == (InvalidOnionPayload, 0)
    stage.check()


def test_htlc_that_was_not_judged_before_a_crash_is_judged_without_its_peer() -> None:
    """The question does not wait until the payer's side comes back."""
    stage = Stage(topologies.direct("bob"))
    stage.prompt("bob", "")
    stage.pay("alice", "bob", stage.invoice("bob"))
    slot = stage.slot("bob", "alice")
    while not (slot.state.core.inbound and slot.state.core.inbound[0].committed):
        stage.world.perform(stage.world.enabled()[0])
    under_way = stage["bob"].disk.under_way()[slot.tail.journal]
    stage.world.links["alice", "bob"] = False
    stage.world.restart("bob", {slot.tail.journal: under_way - 1})
    [htlc] = stage.slot("bob", "alice").state.core.inbound.values()
    assert htlc.committed, "only the verdict was lost"
    stage.act()
    assert stage.question("bob").amount_msat == AMOUNT_MSAT
    stage.world.links["alice", "bob"] = True
    stage.prompt("bob", "claim").on_event(stage.m("bob"), stage.question("bob"))
    stage["bob"].run(lambda _m: None)
    stage.check()
