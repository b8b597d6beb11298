"""One outbound payment: the fold of its records in `node`, and the volatile account of its parts.

Invariants: in flight plus fulfilled never exceeds the total; a part is in flight until its outcome is *handled*; a
payment ends in exactly one of sent and failed, and fails only with no part in flight (docs/invariants.md, "Payments").
"""

import msgspec

from leyden.crypto.hashes import hmac_sha256
from leyden.invoices.bolt11 import decode
from leyden.invoices.fields import Bolt11Invoice, RouteHintHop
from leyden.journal.node_records import (
    PartFailed,
    PartSent,
    PaymentFailed,
    PaymentSent,
    PaymentStarted,
    PaymentSummary,
)
from leyden.payments.outcome import Failure
from leyden.payments.routes import PlannedPart, Way
from leyden.sphinx.onion import BuiltOnion, build_onion
from leyden.sphinx.payload import HopPayload, PaymentData, encode_payload

KEYSEND_FINAL_CLTV_EXPIRY_DELTA = 40


class Part(msgspec.Struct, gc=False):
    """A part that is in flight: queued in a channel, or offered there."""

    channel_id: bytes
    way: Way
    delivered_msat: int
    fee_msat: int
    nodes: tuple[bytes, ...]


class PaymentTerms(msgspec.Struct, frozen=True, gc=False):
    """What the payee asks of a payment."""

    route_hints: tuple[tuple[RouteHintHop, ...], ...]
    min_final_cltv_expiry_delta: int
    payment_secret: bytes
    payment_metadata: bytes | None
    supports_mpp: bool


class OutboundPayment(msgspec.Struct):
    """State of one payment_id. parts: in flight, by number; hops: nodes of earlier and current parts, to read
    failures.
    """

    started: PaymentStarted
    sent: PaymentSent | None = None
    failed: PaymentFailed | None = None
    parts: dict[int, Part] = {}
    hops: dict[int, list[bytes]] = {}
    next_part: int = 0
    failed_parts: dict[int, None] = {}
    refused_parts: dict[int, None] = {}
    excluded: list[Way] = []
    last_failure: Failure | None = None
    give_up: str = ""
    durable: bool = False
    terms: PaymentTerms | None = None

    @property
    def is_live(self) -> bool:
        """Whether its outcome is still open."""
        return self.sent is None and self.failed is None

    def in_flight_msat(self) -> int:
        """Return what all parts in flight, fulfilled ones included, deliver."""
        return sum([part.delivered_msat for part in self.parts.values()])

    def in_flight_fee_msat(self) -> int:
        """Return what all parts in flight cost."""
        return sum([part.fee_msat for part in self.parts.values()])


def terms_of(started: PaymentStarted) -> PaymentTerms:
    """Return the terms: from the invoice, from given routes, or those of a spontaneous payment (bLIP 3)."""
    if started.invoice:
        return invoice_terms(decode(started.invoice))
    if started.routes:
        return PaymentTerms((), 0, started.routes[0].payment_secret, None, supports_mpp=True)
    return PaymentTerms((), KEYSEND_FINAL_CLTV_EXPIRY_DELTA, b"", None, supports_mpp=False)


def invoice_terms(invoice: Bolt11Invoice) -> PaymentTerms:
    """Return the terms of an invoice."""
    mpp = bool(int.from_bytes(invoice.features, "big") & (3 << 16))
    return PaymentTerms(
        invoice.route_hints,
        invoice.min_final_cltv_expiry_delta,
        invoice.payment_secret,
        invoice.payment_metadata,
        mpp,
    )


def session_key(started: PaymentStarted, part: int) -> bytes:
    """Return the 32-byte session key of a part: the same in every life, so that its failure can be read after a
    restart.
    """
    return hmac_sha256(started.session_seed, part.to_bytes(4, "big"))


def build_part_onion(payment: OutboundPayment, number: int, part: PlannedPart) -> BuiltOnion:
    """Build the onion of one part."""
    started = payment.started
    terms = payment.terms or terms_of(started)
    payloads: list[tuple[bytes, bytes]] = []
    for index, node in enumerate(part.nodes[:-1]):
        outgoing = part.amounts[index + 1]
        payload = HopPayload(
            amt_to_forward=outgoing.amount_msat,
            outgoing_cltv_value=outgoing.cltv_expiry,
            short_channel_id=part.short_channel_ids[index],
        )
        payloads.append((node, encode_payload(payload)))
    last = part.amounts[-1]
    final = HopPayload(
        amt_to_forward=last.amount_msat,
        outgoing_cltv_value=last.cltv_expiry,
        payment_data=PaymentData(terms.payment_secret, started.amount_msat) if terms.payment_secret else None,
        payment_metadata=terms.payment_metadata,
        keysend_preimage=started.keysend_preimage or None,
        custom_records=tuple(started.custom_records),
    )
    payloads.append((part.nodes[-1], encode_payload(final)))
    return build_onion(session_key(started, number), payloads, started.payment_hash)


class Ledger(msgspec.Struct):
    """All payments that `node` remembers: the fold of their records. hashes: payment_ids by payment_hash; live: those
    whose outcome is open.
    """

    payments: dict[bytes, OutboundPayment] = {}
    hashes: dict[bytes, list[bytes]] = {}
    live: dict[bytes, OutboundPayment] = {}


def fold_payment(ledger: Ledger, record: PaymentStarted | PartSent | PartFailed | PaymentSent | PaymentFailed) -> None:
    """Take one record into the ledger, in place."""
    if type(record) is PaymentStarted:
        ledger.payments[record.payment_id] = ledger.live[record.payment_id] = OutboundPayment(record)
        ledger.hashes.setdefault(record.payment_hash, []).append(record.payment_id)
        return
    payment = ledger.payments[record.payment_id]
    match record:
        case PartSent():
            payment.hops[record.part] = record.hops
            payment.next_part = max(payment.next_part, record.part + 1)
        case PartFailed():
            payment.parts.pop(record.part, None)
            payment.hops.pop(record.part, None)
            payment.failed_parts[record.part] = None
            payment.next_part = max(payment.next_part, record.part + 1)
        case PaymentSent():
            payment.sent = record
            _finish(ledger, payment)
        case PaymentFailed():
            payment.failed = record
            _finish(ledger, payment)
        case PaymentStarted():
            raise AssertionError("handled above")


def _finish(ledger: Ledger, payment: OutboundPayment) -> None:
    """A finished payment keeps what is asked about it later, and no more."""
    ledger.live.pop(payment.started.payment_id, None)
    payment.terms = None
    payment.failed_parts, payment.refused_parts = {}, {}
    payment.started = msgspec.structs.replace(payment.started, invoice="", custom_records=[], routes=[])


def fold_summary(ledger: Ledger, record: PaymentSummary) -> None:
    """Take a finished payment from a snapshot into the ledger, in place."""
    started = PaymentStarted(
        record.payment_id,
        record.payment_hash,
        record.amount_msat,
        0,
        0,
        record.created_seconds,
        0,
        b"",
        record.payee,
        "",
        b"",
        [],
        [],
    )
    payment = OutboundPayment(started)
    if record.preimage:
        payment.sent = PaymentSent(record.payment_id, record.preimage, record.fee_msat, record.seconds)
    else:
        payment.failed = PaymentFailed(record.payment_id, record.reason, record.code, record.hop, record.seconds)
    ledger.payments[record.payment_id] = payment
    ledger.hashes.setdefault(record.payment_hash, []).append(record.payment_id)


def summary_of(payment: OutboundPayment, *, acknowledged: bool) -> PaymentSummary:
    """Return what a snapshot keeps of a finished payment."""
    started, sent, failed = payment.started, payment.sent, payment.failed
    return PaymentSummary(
        started.payment_id,
        started.payment_hash,
        started.amount_msat,
        started.created_seconds,
        started.payee,
        b"" if sent is None else sent.preimage,
        0 if sent is None else sent.fee_msat,
        "" if failed is None else failed.reason,
        0 if failed is None else failed.code,
        -1 if failed is None else failed.hop,
        sent.seconds if sent is not None else failed.seconds if failed is not None else 0,
        acknowledged,
    )


def forget(ledger: Ledger, payment_id: bytes) -> None:
    """Drop a payment whose time is over."""
    payment = ledger.payments.pop(payment_id, None)
    if payment is not None:
        ids = ledger.hashes[payment.started.payment_hash]
        ids.remove(payment_id)
        if not ids:
            del ledger.hashes[payment.started.payment_hash]
