"""Onion packets: built by the sender, peeled by each hop.

A packet is: version 0, ephemeral point (33 bytes), hop_payloads (1300 bytes in a payment), HMAC (32 bytes). Feeding
data through the cipher instead of a stream through an XOR, and one cipher per hop, is what makes this fast; the rest
is libsecp256k1. Whether an onion was seen before is for the caller to know.

Spec: BOLT 4, "Packet Structure".
"""

import hashlib
from collections.abc import Callable, Sequence
from hmac import compare_digest
from typing import Final, TypeAlias, final

import msgspec

from leyden.base.errors import DecodeError
from leyden.crypto.chacha import chacha20, chacha20_stream, chacha20_xor, xor_bytes
from leyden.crypto.ec import ecdh, is_valid_point, point_mul, public_key, secret_mul
from leyden.crypto.hashes import hmac_sha256
from leyden.sphinx.failures import (
    FailureMessage,
    InvalidOnionHmac,
    InvalidOnionKey,
    InvalidOnionPayload,
    InvalidOnionVersion,
    OnionError,
)
from leyden.sphinx.keys import mu_key, pad_key, rho_key

PAYMENT_PAYLOADS_LENGTH: Final = 1300
PAYMENT_PACKET_LENGTH: Final = 1366
_HEADER_LENGTH: Final = 34
_HMAC_LENGTH: Final = 32
_FRAME_LENGTH: Final = _HEADER_LENGTH + _HMAC_LENGTH
_NO_HMAC: Final = bytes(_HMAC_LENGTH)
_VERSION: Final = b"\x00"

_sha256 = hashlib.sha256

Ecdh: TypeAlias = Callable[[bytes], bytes]
"""From a point (33 bytes, on the curve) to SHA-256 of the compressed shared point (32 bytes). Behind it is the node's
secret, which stays with the signer; inside a blinded path the point is tweaked on the way."""


@final
class BuiltOnion(msgspec.Struct, frozen=True, gc=False):
    """`packet`: for the first hop; `shared_secrets`: 32 bytes per hop, first hop first, to read what comes back."""

    packet: bytes
    shared_secrets: tuple[bytes, ...]

    def __repr__(self) -> str:
        """Leave the secrets out."""
        return f"BuiltOnion(<{len(self.packet)} bytes, {len(self.shared_secrets)} hops>)"


@final
class PeeledOnion(msgspec.Struct, frozen=True, gc=False):
    """`payload`: TLV stream for us; `shared_secret`: 32 bytes; `next_packet`: to forward, None if we are the last."""

    payload: bytes
    shared_secret: bytes
    next_packet: bytes | None

    def __repr__(self) -> str:
        """Leave the secret and what was hidden out."""
        return f"PeeledOnion(<{len(self.payload)} bytes>, is_final={self.next_packet is None})"


def build_onion(session_key: bytes, hops: Sequence[tuple[bytes, bytes]], associated_data: bytes) -> BuiltOnion:
    """Build a payment onion (1366 bytes).

    Args:   session_key: 32 fresh random bytes; hops: node point (33 bytes) and TLV stream (2 bytes or more, without
            length prefix) of each hop, first hop first; associated_data: the payment_hash (32 bytes).
    Raises: ValueError for no hops, invalid keys, or payloads that do not fit.
    Spec:   BOLT 4, "Packet Construction".
    """
    return build_packet(session_key, hops, associated_data, PAYMENT_PAYLOADS_LENGTH)


def build_packet(
    session_key: bytes, hops: Sequence[tuple[bytes, bytes]], associated_data: bytes, payloads_length: int
) -> BuiltOnion:
    """Build an onion whose hop_payloads have `payloads_length` bytes (1300, or 32768 for long onion messages).

    Args:   as in `build_onion`.
    Raises: ValueError for no hops, invalid keys, or payloads that do not fit.
    Spec:   BOLT 4, "Packet Construction".
    """
    frames = [_with_length(payload) for _, payload in hops]
    spare = payloads_length - sum(map(len, frames)) - _HMAC_LENGTH * len(frames)
    if not frames or spare < 0:
        raise ValueError("an onion needs one hop, and payloads that fit into it")
    ephemeral, secrets = _shared_secrets(session_key, hops)
    streams, filler = _streams_and_filler(secrets, frames, payloads_length)
    # The bytes behind the last payload are never read; they come from the session key so that nothing tells them
    # from payloads of a longer route.
    last = frames[-1] + _NO_HMAC
    padding = chacha20_stream(pad_key(session_key), payloads_length - len(last) - len(filler))
    payloads = chacha20_xor(rho_key(secrets[-1]), last + padding) + filler
    mac = hmac_sha256(mu_key(secrets[-1]), payloads + associated_data)
    for index in range(len(frames) - 2, -1, -1):
        payloads = xor_bytes((frames[index] + mac + payloads)[:payloads_length], streams[index][:payloads_length])
        mac = hmac_sha256(mu_key(secrets[index]), payloads + associated_data)
    return BuiltOnion(b"".join((_VERSION, ephemeral, payloads, mac)), tuple(secrets))


def _with_length(payload: bytes) -> bytes:
    length = len(payload)
    if 2 <= length < 0xFD:
        return length.to_bytes(1, "big") + payload
    if 2 <= length <= 0xFFFF:
        return b"\xfd" + length.to_bytes(2, "big") + payload
    raise ValueError("a payload has at least 2 and at most 65535 bytes")


def _shared_secrets(session_key: bytes, hops: Sequence[tuple[bytes, bytes]]) -> tuple[bytes, list[bytes]]:
    """Return the first ephemeral point and the shared secret with each hop.

    Spec: BOLT 4, "Shared Secret" and "Blinding Ephemeral Onion Keys".
    """
    first_point = point = public_key(session_key)
    secret = session_key
    shared = ecdh(secret, hops[0][0])
    secrets = [shared]
    last = len(hops) - 1
    for index in range(1, len(hops)):
        secret = secret_mul(secret, _sha256(point + shared).digest())
        shared = ecdh(secret, hops[index][0])
        secrets.append(shared)
        if index < last:
            point = public_key(secret)
    return first_point, secrets


def shared_secrets_of(session_key: bytes, nodes: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return what `build_onion` returned for these nodes (33 bytes each): to read a failure in a later life.

    Spec: BOLT 4, "Shared Secret".
    """
    return tuple(_shared_secrets(session_key, [(node, b"") for node in nodes])[1])


def _streams_and_filler(secrets: list[bytes], frames: list[bytes], payloads_length: int) -> tuple[list[bytes], bytes]:
    """Return the stream of every hop but the last, and what those hops will have put at the end of the payloads.

    Spec: BOLT 4, "Filler Generation".
    """
    filler = b""
    streams: list[bytes] = []
    for secret, frame in zip(secrets[:-1], frames[:-1], strict=True):
        size = len(frame) + _HMAC_LENGTH
        stream = chacha20_stream(rho_key(secret), payloads_length + size)
        streams.append(stream)
        tail = stream[payloads_length - len(filler) :]
        filler = xor_bytes(filler + bytes(size), tail) if filler else tail
    return streams, filler


def peel_onion(node: bytes | Ecdh, packet: bytes, associated_data: bytes) -> PeeledOnion:
    """Peel a payment onion.

    Args:   node: the node's secret (32 bytes), or the function that does ECDH with it; packet: 1366 bytes;
            associated_data: the payment_hash (32 bytes).
    Raises: DecodeError for another length; OnionError if the onion must be failed back, with the shared secret unless
            it is BADONION.
    Spec:   BOLT 4, "Onion Decryption".
    """
    if len(packet) != PAYMENT_PACKET_LENGTH:
        raise DecodeError("an onion has 1366 bytes", field="onion_routing_packet")
    return peel_packet(node, packet, associated_data)


def peel_packet(node: bytes | Ecdh, packet: bytes, associated_data: bytes) -> PeeledOnion:
    """Peel an onion of any length, as onion messages have them.

    Args:   node: the node's secret (32 bytes), or the function that does ECDH with it; packet: 67 bytes or more.
    Raises: DecodeError for a shorter one; OnionError if the onion must be failed back, with the shared secret unless
            it is BADONION.
    Spec:   BOLT 4, "Onion Decryption".
    """
    if len(packet) <= _FRAME_LENGTH:
        raise DecodeError("onion is truncated", field="onion_packet")
    if packet[0] != 0:
        raise _bad_onion(InvalidOnionVersion, packet)
    ephemeral = packet[1:_HEADER_LENGTH]
    if not is_valid_point(ephemeral):
        raise _bad_onion(InvalidOnionKey, packet)
    shared = ecdh(node, ephemeral) if isinstance(node, bytes) else node(ephemeral)
    payloads = packet[_HEADER_LENGTH:-_HMAC_LENGTH]
    if not compare_digest(hmac_sha256(mu_key(shared), payloads + associated_data), packet[-_HMAC_LENGTH:]):
        raise _bad_onion(InvalidOnionHmac, packet)
    cipher = chacha20(rho_key(shared))
    clear = cipher.update(payloads)
    start, end = _payload_bounds(clear, shared)
    behind = end + _HMAC_LENGTH
    next_hmac = clear[end:behind]
    if next_hmac == _NO_HMAC:
        return PeeledOnion(clear[start:end], shared, None)
    next_ephemeral = point_mul(ephemeral, _sha256(ephemeral + shared).digest())
    next_packet = b"".join((_VERSION, next_ephemeral, clear[behind:], cipher.update(bytes(behind)), next_hmac))
    return PeeledOnion(clear[start:end], shared, next_packet)


def _bad_onion(failure: type[InvalidOnionVersion | InvalidOnionKey | InvalidOnionHmac], packet: bytes) -> OnionError:
    return OnionError(failure(sha256_of_onion=_sha256(packet).digest()), shared_secret=None)


def _payload_bounds(clear: bytes, shared_secret: bytes) -> tuple[int, int]:
    """Return where our payload starts and ends; a whole HMAC follows it.

    Spec: BOLT 4, "Packet Structure" (lengths 0 and 1 are reserved).
    """
    length, start = clear[0], 1
    if length >= 0xFD:
        # A length of 5 or 9 bytes is above 65535 if minimal, and no onion is that long.
        length, start = int.from_bytes(clear[1:3], "big"), 3
        if clear[0] != 0xFD or length < 0xFD:
            length = 0
    if length < 2 or start + length + _HMAC_LENGTH > len(clear):
        malformed: FailureMessage = InvalidOnionPayload(type=0, offset=0)
        raise OnionError(malformed, shared_secret=shared_secret)
    return start, start + length
