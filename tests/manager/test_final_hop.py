"""The last hop compares the HTLC with its onion and with the other parts (BOLT 4, "Payload for the Last Node")."""

import msgspec
import pytest

from leyden.channel.states import Normal
from leyden.crypto.hashes import sha256
from leyden.invoices import bolt11
from leyden.manager import events as ev
from leyden.manager.state import ClaimableStatus
from leyden.sphinx.failures import (
    FailureCode,
    FailureMessage,
    FinalIncorrectCltvExpiry,
    FinalIncorrectHtlcAmount,
    IncorrectOrUnknownPaymentDetails,
)
from leyden.sphinx.onion import BuiltOnion
from tests.manager import handmade
from tests.manager.stage import AMOUNT_MSAT, Stage
from tests.sim import topologies

DELTA = 60


@pytest.mark.parametrize(
    ("less_msat", "fewer_blocks", "failure"),
    [
        (1, 0, FinalIncorrectHtlcAmount(incoming_htlc_amt=AMOUNT_MSAT - 1)),
        (0, 1, None),
        (-5, -7, None),
    ],
)
def test_htlc_that_differs_from_its_onion(less_msat: int, fewer_blocks: int, failure: FailureMessage | None) -> None:
    """A forwarder that keeps something for itself, or that leaves less time, is found out; more of both is fine."""
    stage = Stage(topologies.direct())
    invoice = bolt11.decode(stage.invoice("bob", 0))
    expiry = stage.m("alice").env.block_height + DELTA
    payload = handmade.final(AMOUNT_MSAT, expiry, invoice.payment_secret)
    built = handmade.onion(stage, [("bob", payload)], invoice.payment_hash)
    terms = (invoice.payment_hash, AMOUNT_MSAT - less_msat, expiry - fewer_blocks)
    handmade.offer(stage, "alice", "bob", built.packet, *terms)
    if fewer_blocks > 0:
        failure = FinalIncorrectCltvExpiry(cltv_expiry=expiry - fewer_blocks)
    if failure is not None:
        assert handmade.answer(stage, "bob", "alice", built) == (failure, 0)
        stage.check()
        return
    stage.rest()
    assert [one.amount_msat for one in stage.told("bob", ev.PaymentClaimed)] == [AMOUNT_MSAT - less_msat]


def test_parts_that_contradict_each_other() -> None:
    """One total and one secret for all parts; what differs fails, and the payment may still be completed."""
    stage = Stage(topologies.direct("bob"))
    stage.prompt("bob", "")
    invoice = bolt11.decode(stage.invoice("bob"))
    height = stage.m("alice").env.block_height
    half, count = AMOUNT_MSAT // 2, 0

    def part(secret: bytes, total_msat: int) -> tuple[BuiltOnion, int]:
        nonlocal count
        count += 1
        payload = handmade.final(half, height + DELTA, secret, total_msat)
        built = handmade.onion(stage, [("bob", payload)], invoice.payment_hash, b"part %d" % count)
        htlc_id = handmade.offer(stage, "alice", "bob", built.packet, invoice.payment_hash, half, height + DELTA)
        return built, htlc_id

    part(invoice.payment_secret, AMOUNT_MSAT)
    stage.act()
    unknown = IncorrectOrUnknownPaymentDetails(htlc_msat=half, height=height)
    for secret, total_msat in ((invoice.payment_secret, AMOUNT_MSAT + 1), (sha256(b"wrong"), AMOUNT_MSAT)):
        assert handmade.answer(stage, "bob", "alice", *part(secret, total_msat)) == (unknown, 0)
        stage.act()
    [claimable] = stage.m("bob").claimables.values()
    assert (claimable.status, claimable.received_msat()) == (ClaimableStatus.INCOMPLETE, half)
    part(invoice.payment_secret, AMOUNT_MSAT)
    stage.act()
    assert stage.question("bob").amount_msat == AMOUNT_MSAT


def test_onion_belongs_to_its_payment_hash() -> None:
    """It is the associated data: an onion under another hash was made for another HTLC."""
    stage = Stage(topologies.direct())
    invoice = bolt11.decode(stage.invoice("bob"))
    expiry = stage.m("alice").env.block_height + DELTA
    payload = handmade.final(AMOUNT_MSAT, expiry, invoice.payment_secret)
    built = handmade.onion(stage, [("bob", payload)], sha256(b"another hash"))
    handmade.offer(stage, "alice", "bob", built.packet, invoice.payment_hash, AMOUNT_MSAT, expiry)
    failed = handmade.decision(stage, "bob", "alice")
    assert failed.failure_code == FailureCode.INVALID_ONION_HMAC.value
    assert failed.reason == sha256(built.packet)
    stage.check()


def test_one_trimmed_htlc_too_many_is_failed_once_committed() -> None:
    """Its amount would go to the miners: no preimage for it, and no quarrel about a limit that the peer cannot know."""
    stage = Stage(topologies.direct())
    bob = stage.m("bob")
    bob.env = msgspec.structs.replace(
        bob.env, limits=msgspec.structs.replace(bob.env.limits, max_dust_htlc_exposure_msat=0)
    )
    stage.pay("alice", "bob", stage.invoice("bob", 100_000))
    stage.check()
    assert stage.failure("alice")[1:] == (FailureCode.TEMPORARY_CHANNEL_FAILURE, 0)
    assert type(stage.slot("bob", "alice").state) is Normal
    stage.pay("alice", "bob", stage.invoice("bob", tag="large"), "large")
    stage.check()
    assert stage.payment("alice", "large").sent is not None
