"""Onions of inbound HTLCs: read, and failed back."""

from leyden.channel.htlc import InboundHtlc
from leyden.journal.records import FailedHtlc
from leyden.manager.manager import Manager
from leyden.manager.state import Peeled, Slot
from leyden.sphinx.failures import FailureMessage, OnionError, OnionFailure
from leyden.sphinx.onion import peel_onion
from leyden.sphinx.onion_error import create_error
from leyden.sphinx.payload import decode_payload, require_final, require_forward


def peel(m: Manager, onion: bytes, payment_hash: bytes) -> Peeled:
    """Read the onion of an HTLC of the peer; the node's secret stays with the signer."""
    shared_secret = b""
    try:
        peeled = peel_onion(m.signer.ecdh, onion, payment_hash)
        shared_secret = peeled.shared_secret
        payload = decode_payload(peeled.payload)
        if peeled.next_packet is None:
            require_final(payload)
        else:
            require_forward(payload)
    except OnionError as error:
        return Peeled(error.shared_secret or shared_secret, None, b"", error.failure)
    return Peeled(shared_secret, payload, peeled.next_packet or b"", None)


def shared_secret_of(m: Manager, htlc: InboundHtlc) -> bytes:
    """Return the shared secret of an inbound HTLC that is not looked at any more; empty for a bad onion."""
    return peel(m, htlc.add.onion_routing_packet, htlc.add.payment_hash).shared_secret


def peeled_of(m: Manager, slot: Slot, htlc: InboundHtlc) -> Peeled:
    """Return what the onion of an inbound HTLC says, read once."""
    htlc_id = htlc.add.htlc_id
    peeled = slot.peeled.get(htlc_id)
    if peeled is None:
        peeled = slot.peeled[htlc_id] = peel(m, htlc.add.onion_routing_packet, htlc.add.payment_hash)
    return peeled


def fail(m: Manager, slot: Slot, htlc_id: int, peeled: Peeled, failure: FailureMessage) -> None:
    """Decide to fail an inbound HTLC; the packet is made once and kept."""
    slot.peeled.pop(htlc_id, None)
    m.decide_fail(slot.channel_id, failed_htlc(htlc_id, peeled.shared_secret, failure))


def failed_htlc(htlc_id: int, shared_secret: bytes, failure: FailureMessage) -> FailedHtlc:
    """Return the decision to fail an HTLC with `failure`, byte for byte.

    Spec: BOLT 4, "Returning Errors"; BOLT 2, "Removing an HTLC" (BADONION goes in `update_fail_malformed_htlc`).
    """
    if isinstance(failure, OnionFailure):
        return FailedHtlc(htlc_id, failure.sha256_of_onion, failure.failure_code, b"")
    return FailedHtlc(htlc_id, create_error(shared_secret, failure, 0).reason, 0, b"")
