"""Onion packets: the vector, every route length, and hostile packets."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.base.errors import DecodeError
from leyden.crypto.chacha import chacha20_xor
from leyden.crypto.ec import ecdh
from leyden.crypto.hashes import hmac_sha256, sha256
from leyden.sphinx.failures import FailureCode, InvalidOnionPayload, OnionError
from leyden.sphinx.keys import mu_key, rho_key
from leyden.sphinx.onion import build_onion, build_packet, peel_onion, peel_packet
from tests.sphinx.routes import load, node_point, node_secret, vector_hops, vector_onion

SESSION_KEY = b"\x41" * 32
PAYMENT_HASH = b"\x42" * 32


def test_vector_is_built_and_peeled_byte_for_byte() -> None:
    """All five hops: an onion that differs in one bit is refused by the next node."""
    vector = load("onion-test.json")
    built = vector_onion()
    assert built.packet.hex() == vector["onion"]
    packet: bytes | None = built.packet
    for secret, (_, payload), shared in zip(vector["decode"], vector_hops(), built.shared_secrets, strict=True):
        assert packet is not None
        peeled = peel_onion(bytes.fromhex(secret), packet, PAYMENT_HASH)
        assert (peeled.payload, peeled.shared_secret) == (payload, shared)
        packet = peeled.next_packet
    assert packet is None
    for hop, shared in zip(load("onion-error-test.json")["generate"]["hops"], built.shared_secrets, strict=True):
        assert shared.hex() == hop["hop_shared_secret"]


@given(st.lists(st.binary(min_size=2, max_size=400), min_size=1, max_size=27), st.binary(max_size=40))
def test_every_route_reaches_its_end(payloads: list[bytes], associated_data: bytes) -> None:
    """Lengths of payloads decide the filler, where an error shows only at some later hop."""
    hops = [(node_point(number), payload) for number, payload in enumerate(payloads)]
    size = sum(len(payload) + (1 if len(payload) < 0xFD else 3) + 32 for payload in payloads)
    if size > 1300:
        with pytest.raises(ValueError, match="fit"):
            build_onion(SESSION_KEY, hops, associated_data)
    length = max(1300, size)
    built = build_packet(SESSION_KEY, hops, associated_data, length)
    packet: bytes | None = built.packet
    for number, payload in enumerate(payloads):
        assert packet is not None
        assert len(packet) == length + 66
        peeled = peel_packet(partial(ecdh, node_secret(number)), packet, associated_data)
        assert (peeled.payload, peeled.shared_secret) == (payload, built.shared_secrets[number])
        packet = peeled.next_packet
    assert packet is None


def test_payloads_may_fill_the_packet_exactly() -> None:
    """1300 bytes are 1300 bytes: one more must be refused before anything is sent."""
    exact = [(node_point(0), bytes(500)), (node_point(1), bytes(1300 - 500 - 2 * 35))]
    built = build_onion(SESSION_KEY, exact, b"")
    first = peel_onion(node_secret(0), built.packet, b"")
    assert first.next_packet is not None
    assert peel_onion(node_secret(1), first.next_packet, b"").payload == exact[1][1]
    for hops in ([], [(node_point(0), bytes(1266))], [(node_point(0), b"\x00")], [(node_point(0), bytes(65536))]):
        with pytest.raises(ValueError, match=r"fit|payload"):
            build_onion(SESSION_KEY, hops, b"")


def refused(packet: bytes, associated_data: bytes) -> OnionError:
    """Peel a packet that must be failed back."""
    with pytest.raises(OnionError) as caught:
        peel_onion(node_secret(0), packet, associated_data)
    return caught.value


def test_bad_onions_are_named_by_their_hash() -> None:
    """The previous hop finds the onion it sent only by this hash."""
    packet = build_onion(SESSION_KEY, [(node_point(0), b"\x02\x00")], PAYMENT_HASH).packet
    for bad, associated_data, code in (
        (b"\x01" + packet[1:], PAYMENT_HASH, FailureCode.INVALID_ONION_VERSION),
        (b"\x00\x05" + packet[2:], PAYMENT_HASH, FailureCode.INVALID_ONION_KEY),
        (packet[:-1] + bytes((packet[-1] ^ 1,)), PAYMENT_HASH, FailureCode.INVALID_ONION_HMAC),
        (packet, bytes(32), FailureCode.INVALID_ONION_HMAC),
    ):
        error = refused(bad, associated_data)
        assert (error.failure_code, error.sha256_of_onion) == (code.value, sha256(bad))
        assert error.failure.is_badonion
        assert error.shared_secret is None


@given(st.integers(0, 1365), st.integers(1, 255))
def test_every_byte_is_authenticated(position: int, flip: int) -> None:
    """A relaying node must not be able to change, or mark, what it passes on."""
    packet = bytearray(build_onion(SESSION_KEY, [(node_point(0), b"\x02\x00")], PAYMENT_HASH).packet)
    packet[position] ^= flip
    assert refused(bytes(packet), PAYMENT_HASH).failure.is_badonion


@pytest.mark.parametrize(
    "start",
    ["00", "01", "fd00fc", "fd0500", "fe00000100", "ff0000000000000100", "ffffffffffffffffff", "fd04f2", "fdffff"],
)
def test_malformed_lengths_are_failed_back_encrypted(start: str) -> None:
    """Only the sender can have written them, so only the sender is told."""
    packet = build_onion(SESSION_KEY, [(node_point(0), b"\x02\x00")], PAYMENT_HASH).packet
    shared = ecdh(node_secret(0), packet[1:34])
    payloads = chacha20_xor(rho_key(shared), bytes.fromhex(start).ljust(1300, b"\x07"))
    forged = packet[:34] + payloads + hmac_sha256(mu_key(shared), payloads + PAYMENT_HASH)
    error = refused(forged, PAYMENT_HASH)
    assert error.failure == InvalidOnionPayload(type=0, offset=0)
    assert error.shared_secret == shared
    assert error.sha256_of_onion == b""


@given(st.binary(max_size=1500))
def test_other_lengths_are_no_onion(packet: bytes) -> None:
    """The wire gives 1366 bytes; anything else is a decoding error, not a crash."""
    if len(packet) != 1366:
        with pytest.raises(DecodeError):
            peel_onion(node_secret(0), packet, b"")
    with pytest.raises((DecodeError, OnionError)):
        peel_packet(node_secret(0), packet, b"")


def test_secrets_do_not_show() -> None:
    """What stands in a repr ends up in a log."""
    built = build_onion(SESSION_KEY, [(node_point(0), b"\x02\x00")], b"")
    assert repr(built) == "BuiltOnion(<1366 bytes, 1 hops>)"
    assert repr(peel_onion(node_secret(0), built.packet, b"")) == "PeeledOnion(<2 bytes>, is_final=True)"
