"""Return packets: how a failure travels back to the sender, and how the sender reads it.

A return packet is HMAC, failure_len, failuremsg, pad_len, pad; each node on the way back, the failing one included,
XORs its `ammag` stream over it.

Spec: BOLT 4, "Returning Errors".
"""

from collections.abc import Sequence
from hmac import compare_digest
from typing import Final, final

import msgspec

from leyden.base.errors import DecodeError
from leyden.crypto.chacha import chacha20_xor
from leyden.crypto.hashes import hmac_sha256
from leyden.sphinx.attribution import HOPS_MAX, RouteAttribution, unwrap_attribution, wrap_attribution
from leyden.sphinx.failures import FailureMessage, decode_failure, encode_failure
from leyden.sphinx.keys import ammag_key, um_key

RETURN_PACKET_LENGTH_MAX: Final = 32_768
"""Longer return packets are cut, so that what a node must pass on always fits a message."""
FAILURE_AND_PAD_LENGTH: Final = 256
"""To which failures are padded: all look alike, and old nodes expect just this."""
UNWRAP_ROUNDS: Final = 27
"""As many hops as an onion can have, so that the time it takes does not tell where the failure came from."""

_HMAC_LENGTH: Final = 32
_DUMMY_SECRET: Final = bytes(32)


@final
class ReturnedError(msgspec.Struct, frozen=True, gc=False):
    """The two fields of update_fail_htlc. `reason`: the return packet; `attribution_data`: 920 bytes or None."""

    reason: bytes
    attribution_data: bytes | None


@final
class UnwrappedError(msgspec.Struct, frozen=True):
    """What the sender learns from a return packet.

    `hop`: index of the hop that failed the HTLC, None if no HMAC fits (somebody on the way changed the packet);
    `failure`: what it says, None without `hop` or if its message is malformed; `attribution`: None without data.
    """

    hop: int | None
    failure: FailureMessage | None
    attribution: RouteAttribution | None


def build_return_packet(shared_secret: bytes, failuremsg: bytes, padded_length: int) -> bytes:
    """Return the clear return packet: `max(padded_length, len(failuremsg)) + 36` bytes.

    Args:   shared_secret: 32 bytes; failuremsg: an encoded failure; padded_length: what failure_len and pad_len come
            to, at least 256.
    Raises: ValueError if the packet would be longer than 32 KiB, or the padding is too short.
    Spec:   BOLT 4, "Erring node".
    """
    if padded_length < FAILURE_AND_PAD_LENGTH:
        raise ValueError("failure and padding have at least 256 bytes")
    length = len(failuremsg)
    pad_length = max(padded_length - length, 0)
    if _HMAC_LENGTH + 4 + length + pad_length > RETURN_PACKET_LENGTH_MAX:
        raise ValueError("the failure message is too long for a return packet")
    body = b"".join((length.to_bytes(2, "big"), failuremsg, pad_length.to_bytes(2, "big"), bytes(pad_length)))
    return hmac_sha256(um_key(shared_secret), body) + body


def create_error(shared_secret: bytes, failure: FailureMessage, hold_time: int) -> ReturnedError:
    """Fail an HTLC of our own accord.

    Args:    shared_secret: 32 bytes, of the peeled onion; failure: not a BADONION one (those travel in
             update_fail_malformed_htlc); hold_time: in units of 100 ms.
    Returns: both fields; leave `attribution_data` out where option_attribution_data is not negotiated.
    Raises:  ValueError if the failure does not fit, or the hold time is negative.
    Spec:    BOLT 4, "Erring node".
    """
    packet = build_return_packet(shared_secret, encode_failure(failure), FAILURE_AND_PAD_LENGTH)
    return wrap_error(shared_secret, packet, None, hold_time)


def wrap_error(shared_secret: bytes, reason: bytes, attribution_data: bytes | None, hold_time: int) -> ReturnedError:
    """Pass a failure on from the next hop to the previous one.

    Args:    shared_secret: 32 bytes, of the onion we peeled; reason: the return packet as received, cut at 32 KiB;
             attribution_data: 920 bytes as received, or None; hold_time: in units of 100 ms.
    Returns: both fields for the previous hop.
    Raises:  ValueError for a negative hold time.
    Spec:    BOLT 4, "Intermediate nodes".
    """
    packet = reason[:RETURN_PACKET_LENGTH_MAX]
    attribution = wrap_attribution(shared_secret, packet, attribution_data, hold_time)
    return ReturnedError(chacha20_xor(ammag_key(shared_secret), packet), attribution)


def unwrap_error(shared_secrets: Sequence[bytes], reason: bytes, attribution_data: bytes | None) -> UnwrappedError:
    """Read a failure as the sender, always in 27 rounds.

    Args:   shared_secrets: 32 bytes per hop, first hop first (as `build_onion` returns them); reason: the return packet
            as received, of any length; attribution_data: as received, or None.
    Raises: nothing: whatever comes back is a result.
    Spec:   BOLT 4, "Origin node".
    """
    hops = len(shared_secrets)
    attributed = min(hops, HOPS_MAX)
    failed_hop: int | None = None
    failuremsg: bytes | None = None
    packet = reason[:RETURN_PACKET_LENGTH_MAX]
    hold_times: list[int] = []
    invalid_hop: int | None = None
    attribution = attribution_data
    for index in range(max(UNWRAP_ROUNDS, hops)):
        secret = shared_secrets[index] if index < hops else _DUMMY_SECRET
        packet = chacha20_xor(ammag_key(secret), packet)
        if attribution is not None and failed_hop is None and index < attributed:
            layer = unwrap_attribution(secret, packet, attribution, attributed - 1 - index)
            if layer is None:
                invalid_hop, attribution = index, None
            else:
                hold_times.append(layer.hold_time)
                attribution = layer.downstream
        authentic = compare_digest(hmac_sha256(um_key(secret), packet[_HMAC_LENGTH:]), packet[:_HMAC_LENGTH])
        if authentic and failed_hop is None and index < hops:
            failed_hop, failuremsg = index, packet[_HMAC_LENGTH:]
    return UnwrappedError(
        failed_hop,
        None if failuremsg is None else _failure_in(failuremsg),
        None if attribution_data is None else RouteAttribution(tuple(hold_times), invalid_hop),
    )


def _failure_in(body: bytes) -> FailureMessage | None:
    length = int.from_bytes(body[:2], "big")
    failuremsg = body[2 : 2 + length]
    if len(failuremsg) != length:
        return None
    try:
        return decode_failure(failuremsg)
    except DecodeError:
        return None
