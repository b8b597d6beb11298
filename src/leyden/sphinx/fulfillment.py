"""What comes back with a preimage: hold times, and bytes that the final node encrypts for the sender.

The final node encrypts the payload under its own key, which authenticates it; the nodes on the way XOR their `ammag`
stream over it and cover it with their attribution HMACs. The final node's HMACs cover no payload.

Spec: BOLT 4, "Hold times for successful payments" and "Initialization of `attribution_data`".
"""

from collections.abc import Sequence
from typing import Final, final

import msgspec

from leyden.base.errors import PeerViolation, Reaction
from leyden.crypto.chacha import TAG_LENGTH, aead_decrypt, aead_encrypt, chacha20_xor
from leyden.sphinx.attribution import HOPS_MAX, RouteAttribution, unwrap_attribution, wrap_attribution
from leyden.sphinx.keys import ammag_key, fulfillment_key
from leyden.wire.tlv import TlvRecords, join_records

FULFILLMENT_PAYLOAD_LENGTH_MAX: Final = 32_768
_PADDING_TYPE: Final = 1
_PADDED_TO: Final = 256
_NONCE: Final = bytes(12)


class FulfillmentPayloadTooLong(PeerViolation):
    """The peer's fulfillment_payload has more than 32 KiB. The preimage beside it is good and must be used first."""

    reaction = Reaction.WARN


@final
class ReturnedFulfillment(msgspec.Struct, frozen=True, gc=False):
    """Two fields of update_fulfill_htlc. `attribution_data`: 920 bytes; `fulfillment_payload`: None if absent."""

    attribution_data: bytes
    fulfillment_payload: bytes | None


@final
class UnwrappedFulfillment(msgspec.Struct, frozen=True):
    """What the sender learns. `payload`: the TLV stream of the final node, None if absent or changed on the way."""

    attribution: RouteAttribution | None
    payload: bytes | None


def pad_fulfillment_records(records: TlvRecords) -> bytes:
    """Return the TLV stream of `records`, with the smallest padding that makes it a multiple of 256 bytes.

    Args:   records: type (2 or above) and value.
    Raises: ValueError if a type occurs twice or is the padding's.
    Spec:   BOLT 4, "Hold times for successful payments".
    """
    length = len(join_records(records))
    if length and length % _PADDED_TO == 0:
        return join_records(records)
    target = length - length % _PADDED_TO
    while True:
        target += _PADDED_TO
        # Type, then a length of 1 byte or of 3: some totals cannot be reached by either.
        for header, least, most in ((2, 0, 0xFC), (4, 0xFD, 0xFFFF)):
            padding = target - length - header
            if least <= padding <= most:
                return join_records(((_PADDING_TYPE, bytes(padding)), *records))


def create_fulfillment(shared_secret: bytes, plaintext: bytes | None, hold_time: int) -> ReturnedFulfillment:
    """Fulfill an HTLC as its final node.

    Args:   shared_secret: 32 bytes, of the peeled onion; plaintext: a TLV stream for the sender (see
            `pad_fulfillment_records`) or None; hold_time: in units of 100 ms.
    Raises: ValueError if the plaintext is too long, or the hold time is negative.
    Spec:   BOLT 4, "Hold times for successful payments".
    """
    attribution = wrap_attribution(shared_secret, b"", None, hold_time)
    if plaintext is None:
        return ReturnedFulfillment(attribution, None)
    if len(plaintext) + TAG_LENGTH > FULFILLMENT_PAYLOAD_LENGTH_MAX:
        raise ValueError("a fulfillment payload has at most 32768 bytes")
    return ReturnedFulfillment(attribution, aead_encrypt(fulfillment_key(shared_secret), _NONCE, b"", plaintext))


def wrap_fulfillment(
    shared_secret: bytes, attribution_data: bytes | None, fulfillment_payload: bytes | None, hold_time: int
) -> ReturnedFulfillment:
    """Pass a fulfillment on from the next hop to the previous one.

    Args:   shared_secret: 32 bytes, of the onion we peeled; attribution_data: 920 bytes as received, or None;
            fulfillment_payload: as received, or None; hold_time: in units of 100 ms.
    Raises: FulfillmentPayloadTooLong; ValueError for a negative hold time.
    Spec:   BOLT 4, "Hold times for successful payments".
    """
    if fulfillment_payload is None:
        return ReturnedFulfillment(wrap_attribution(shared_secret, b"", attribution_data, hold_time), None)
    if len(fulfillment_payload) > FULFILLMENT_PAYLOAD_LENGTH_MAX:
        raise FulfillmentPayloadTooLong("fulfillment_payload has more than 32768 bytes")
    attribution = wrap_attribution(shared_secret, fulfillment_payload, attribution_data, hold_time)
    return ReturnedFulfillment(attribution, chacha20_xor(ammag_key(shared_secret), fulfillment_payload))


def unwrap_fulfillment(
    shared_secrets: Sequence[bytes], attribution_data: bytes | None, fulfillment_payload: bytes | None
) -> UnwrappedFulfillment:
    """Read what came back with the preimage, as the sender.

    Args:   shared_secrets: 32 bytes per hop, first hop first; the other two as received, or None.
    Raises: nothing: whatever comes back is a result, and the payment has succeeded anyway.
    Spec:   BOLT 4, "Origin node".
    """
    hold_times: list[int] = []
    invalid_hop: int | None = None
    attribution = attribution_data
    payload = fulfillment_payload
    last = len(shared_secrets) - 1
    attributed = min(len(shared_secrets), HOPS_MAX)
    for index, secret in enumerate(shared_secrets):
        if payload is not None and index < last:
            payload = chacha20_xor(ammag_key(secret), payload)
        if attribution is not None and index < attributed:
            covered = b"" if payload is None or index == last else payload
            layer = unwrap_attribution(secret, covered, attribution, attributed - 1 - index)
            if layer is None:
                invalid_hop, attribution = index, None
            else:
                hold_times.append(layer.hold_time)
                attribution = layer.downstream
    plaintext: bytes | None = None
    if payload is not None and shared_secrets:
        plaintext = aead_decrypt(fulfillment_key(shared_secrets[-1]), _NONCE, b"", payload)
    return UnwrappedFulfillment(
        None if attribution_data is None else RouteAttribution(tuple(hold_times), invalid_hop), plaintext
    )
