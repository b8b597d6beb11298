"""One payment: the fold of its records and the account of its parts."""

import pytest

from leyden.crypto.hashes import sha256
from leyden.journal.node_records import FixedHop, FixedRoute, PartFailed, PartSent, PaymentFailed, PaymentSent
from leyden.payments.outbound import (
    KEYSEND_FINAL_CLTV_EXPIRY_DELTA,
    Ledger,
    Part,
    build_part_onion,
    fold_payment,
    fold_summary,
    forget,
    session_key,
    summary_of,
    terms_of,
)
from leyden.payments.route_fees import HopAmount
from leyden.payments.routes import PlannedPart
from leyden.sphinx.onion import peel_onion
from leyden.sphinx.payload import decode_payload
from tests.manager.stage import Stage
from tests.manager.test_node_snapshot import PAYEE, started
from tests.sim import topologies

PAYMENT_ID = b"a" * 32


def ledger() -> Ledger:
    """One payment that was accepted."""
    made = Ledger()
    fold_payment(made, started(b"a"))
    return made


def test_parts_in_flight_are_counted_with_their_fees() -> None:
    """In flight plus fulfilled never exceeds the total: what is missing follows from this (invariant P14)."""
    payment = ledger().payments[PAYMENT_ID]
    payment.parts[0] = Part(b"x" * 32, (b"x" * 32, -1), 600, 3, ())
    payment.parts[1] = Part(b"y" * 32, (b"y" * 32, 0), 300, 4, ())
    assert (payment.in_flight_msat(), payment.in_flight_fee_msat()) == (900, 7)


def test_failed_part_is_no_longer_in_flight_and_its_number_is_never_used_again() -> None:
    """Session keys derive from the number, and an old outcome must not meet a new part."""
    made = ledger()
    payment = made.payments[PAYMENT_ID]
    payment.parts[3] = Part(b"x" * 32, (b"x" * 32, -1), 600, 3, ())
    fold_payment(made, PartSent(PAYMENT_ID, 3, [PAYEE]))
    fold_payment(made, PartFailed(PAYMENT_ID, 3, b"x" * 32, 0, 0, -1))
    assert not payment.parts
    assert not payment.hops
    assert payment.next_part == 4
    assert session_key(payment.started, 3) != session_key(payment.started, 4)


@pytest.mark.parametrize(
    "end", [PaymentSent(PAYMENT_ID, b"i" * 32, 7, 50), PaymentFailed(PAYMENT_ID, "deadline", 8194, 2, 50)]
)
def test_finished_payment_ends_in_exactly_one_way_and_its_summary_says_which(end: PaymentSent | PaymentFailed) -> None:
    """A snapshot keeps what is asked about it later."""
    made = ledger()
    fold_payment(made, end)
    payment = made.payments[PAYMENT_ID]
    assert not payment.is_live
    assert not made.live
    again = Ledger()
    fold_summary(again, summary_of(payment, acknowledged=True))
    twin = again.payments[PAYMENT_ID]
    assert (twin.sent, twin.failed, twin.started.amount_msat) == (payment.sent, payment.failed, 1000)
    assert again.hashes == made.hashes


def test_forgotten_payment_is_gone_with_its_hash() -> None:
    """The hash may be paid again then; another payment of the same hash stays."""
    made = ledger()
    fold_payment(made, started(b"b"))
    forget(made, PAYMENT_ID)
    assert made.hashes == {b"h" * 32: [b"b" * 32]}
    forget(made, b"b" * 32)
    forget(made, b"unknown")
    assert not made.hashes


def test_terms_of_given_routes_carry_their_secret() -> None:
    """Without it the payee would take the payment for somebody else's."""
    route = FixedRoute(b"x" * 32, [FixedHop(1, PAYEE, 1000, 50)], b"p" * 32, 9)
    assert terms_of(started(b"a", (route,))).payment_secret == b"p" * 32
    spontaneous = terms_of(started(b"a"))
    assert spontaneous.payment_secret == b""
    assert spontaneous.min_final_cltv_expiry_delta == KEYSEND_FINAL_CLTV_EXPIRY_DELTA


def test_onion_of_a_part_says_the_whole_amount_to_the_payee_only() -> None:
    """Forwarders learn what they forward, the payee what all parts bring (BOLT 4, "Basic Multi-Part Payments")."""
    stage = Stage(topologies.direct())
    bob = stage.m("bob").signer
    alice = stage.m("alice").signer
    route = FixedRoute(b"x" * 32, [FixedHop(1, bob.node_id, 400, 50)], b"p" * 32, 9)
    made = Ledger()
    fold_payment(made, started(b"a", (route,)))
    payment = made.payments[PAYMENT_ID]
    planned = PlannedPart(
        (b"x" * 32, -1), (alice.node_id, bob.node_id), (HopAmount(410, 122), HopAmount(400, 50)), (77,)
    )
    onion = build_part_onion(payment, 0, planned)
    outer = peel_onion(alice.ecdh, onion.packet, b"h" * 32)
    forward = decode_payload(outer.payload)
    assert (forward.amt_to_forward, forward.outgoing_cltv_value, forward.short_channel_id) == (400, 50, 77)
    assert forward.payment_data is None
    assert outer.next_packet is not None
    final = decode_payload(peel_onion(bob.ecdh, outer.next_packet, b"h" * 32).payload)
    assert final.payment_data is not None
    assert (final.payment_data.payment_secret, final.payment_data.total_msat) == (b"p" * 32, 1000)
    assert sha256(onion.packet) == sha256(build_part_onion(payment, 0, planned).packet), "the same in every life"
