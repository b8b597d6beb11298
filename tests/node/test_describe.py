"""What users see of what the manager knows: the same facts, in the units and names of the control API."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast, get_args

import pytest

from leyden.channel.states import ChannelState
from leyden.invoices import bolt11
from leyden.journal.node_records import PaymentFailed, PaymentReceived, PaymentSent, PaymentStarted
from leyden.manager import events as ev
from leyden.manager.events import Event
from leyden.manager.state import Slot
from leyden.node import describe, paying
from leyden.node.views import ChannelStateName
from leyden.payments.outbound import OutboundPayment
from tests.node.pair import pair

NAMED, HASH, PAYEE = b"i" * 32, b"h" * 32, b"\x02" * 33


def payment(sent: PaymentSent | None = None, failed: PaymentFailed | None = None) -> OutboundPayment:
    """A payment of an invoice, made at second 100."""
    started = PaymentStarted(NAMED, HASH, 5_000, 10, 2, 100, 160, bytes(32), PAYEE, "lnbcrt1", b"", [], [])
    return OutboundPayment(started, sent, failed)


def test_every_state_has_its_name() -> None:
    """A state without one would fail only when a channel is in it."""
    made = [SimpleNamespace(state=kind(None, None, None)) for kind in get_args(ChannelState)]
    names = [describe.state_name(cast(Slot, one)) for one in made]
    assert len(set(names)) == len(made)
    assert set(names) <= set(get_args(ChannelStateName))


def test_payment_is_pending_then_sent_or_failed() -> None:
    """With its proof, or with the reason and what to do about it."""
    pending = describe.payment_view(payment())
    assert (pending.status, pending.direction, pending.amount_msat, pending.in_flight_msat) == (
        "pending",
        "outbound",
        5_000,
        0,
    )
    assert (pending.created_seconds, pending.finished_seconds, pending.preimage) == (100, None, None)
    assert (pending.payee, pending.invoice) == (PAYEE.hex(), "lnbcrt1")
    sent = describe.payment_view(payment(PaymentSent(NAMED, b"p" * 32, 7, 120)))
    assert (sent.status, sent.fee_msat, sent.finished_seconds) == ("succeeded", 7, 120)
    assert (sent.preimage, sent.reason, sent.advice) == ((b"p" * 32).hex(), None, None)
    failed = describe.payment_view(payment(failed=PaymentFailed(NAMED, "no_route", 0x1007, 1, 130)))
    assert (failed.status, failed.reason, failed.failing_hop, failed.failure_code) == ("failed", "no_route", 1, 0x1007)
    assert (failed.failure_name, failed.finished_seconds) == ("temporary_channel_failure", 130)
    assert failed.advice
    nobody = describe.payment_view(payment(failed=PaymentFailed(NAMED, "no_route", 0, -1, 130)))
    assert (nobody.failing_hop, nobody.failure_code, nobody.failure_name) == (None, None, None)


def test_received_payment_is_one_that_succeeded() -> None:
    """Nothing of it is in flight, and it cost nothing."""
    view = describe.received_view(PaymentReceived(NAMED, HASH, 9_000, 77))
    assert (view.payment_id, view.direction, view.status) == (NAMED.hex(), "inbound", "succeeded")
    assert (view.amount_msat, view.fee_msat, view.created_seconds, view.finished_seconds) == (9_000, 0, 77, 77)


@pytest.mark.parametrize(
    ("event", "kind", "fields"),
    [
        (
            ev.PaymentClaimable("question/1", NAMED, HASH, 5, "keysend", ((65_537, b"\x01\x02"),), 900),
            "payment_claimable",
            {
                "set_id": NAMED.hex(), "payment_hash": HASH.hex(), "amount_msat": 5, "purpose": "keysend",
                "custom_records": {"65537": "0102"}, "deadline_height": 900,
            },
        ),
        (
            ev.ChannelReady("ready/1", NAMED, PAYEE, b"u" * 16),
            "channel_ready",
            {"channel_id": NAMED.hex(), "counterparty_node_id": PAYEE.hex(), "user_channel_id": (b"u" * 16).hex()},
        ),
    ],
)  # fmt: skip
def test_event_is_told_with_hexadecimal_and_its_id_apart(event: Event, kind: str, fields: dict[str, object]) -> None:
    """JSON has no bytes, and no numbers as keys."""
    view = describe.event_view(event)
    assert (view.event_id, view.type, view.fields) == (event.event_id, kind, fields)


async def test_channels_peers_and_invoices_are_told_as_they_are(tmp_path: Path) -> None:
    """Both ends of a channel tell the same story, each from its side."""
    async with pair(tmp_path) as both:
        await both.fund()
        opening = await both.open(1_000_000, push_msat=300_000_000)
        (ours,), (theirs,) = await both.alice.channels(), await both.bob.channels()
        assert ours.channel_id == theirs.channel_id == opening.channel_id
        assert (ours.local_msat, ours.remote_msat) == (theirs.remote_msat, theirs.local_msat)
        assert (ours.is_opener, theirs.is_opener, ours.capacity_sat) == (True, False, 1_000_000)
        assert ours.receivable_msat == theirs.spendable_msat
        assert ours.spendable_msat < theirs.receivable_msat, "the opener keeps what a higher feerate would cost"
        assert ours.is_usable
        assert 0 < ours.spendable_msat < 700_000_000
        assert ours.confirmations == 6
        assert ours.short_channel_id == theirs.short_channel_id
        assert (ours.state, ours.onchain_sat, ours.closing_height, ours.halted) == ("normal", 0, None, None)
        bob, core = both.bob.core, both.alice.core
        peer = describe.peer_view(core, bob.manager.node_id)
        assert (peer.is_connected, peer.is_inbound, peer.is_trusted, peer.channels) == (True, False, False, 1)
        assert describe.peer_view(bob, core.manager.node_id).is_inbound
        assert not describe.peer_view(core, PAYEE).is_connected
        made = await both.bob.create_invoice(25_000, "coffee", expiry_seconds=60)
        invoice = paying.read_invoice(made.invoice)
        assert isinstance(invoice, bolt11.Bolt11Invoice)
        told = describe.decoded_invoice(invoice, made.expires_seconds)
        assert (told.amount_msat, told.description, told.payee) == (25_000, "coffee", bob.manager.node_id.hex())
        assert told.is_expired
        assert not describe.decoded_invoice(invoice, made.expires_seconds - 1).is_expired
        (hint,) = told.route_hints
        assert [(hop.node_id, hop.short_channel_id) for hop in hint] == [(core.manager.node_id.hex(), ours.alias)]
        slot = core.manager.channels[bytes.fromhex(opening.channel_id)]
        slot.halted = "a bug"
        (stopped,) = await both.alice.channels()
        assert (stopped.is_usable, stopped.spendable_msat, stopped.halted) == (False, 0, "a bug")
        slot.halted = ""
