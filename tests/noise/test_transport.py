"""The encrypted transport of BOLT 8."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.base.errors import Reaction
from leyden.noise import Transport, TransportFailed, TransportKeys

FILE = Path(__file__).parent.parent / "vectors" / "bolt08" / "transport.json"
VECTOR = json.loads(FILE.read_text())["messages"]
CK, SK, RK = (bytes.fromhex(VECTOR[name]) for name in ("ck", "sk", "rk"))


def pair() -> tuple[Transport, Transport]:
    """Two ends of one connection."""
    return Transport(TransportKeys(SK, RK, CK, b"")), Transport(TransportKeys(RK, SK, CK, b""))


def test_messages_vector_with_both_rotations() -> None:
    """A key that rotates one message early or late ends the connection after 500 messages."""
    ours, theirs = pair()
    message = bytes.fromhex(VECTOR["plaintext"])
    checked = 0
    for index in range(VECTOR["count"]):
        frame = ours.encrypt(message)
        if str(index) in VECTOR["outputs"]:
            assert frame.hex() == VECTOR["outputs"][str(index)]
            checked += 1
        assert theirs.feed(frame) == [message]
    assert checked == len(VECTOR["outputs"])


def test_rotated_keys_are_those_of_the_vector() -> None:
    """The vector prints the keys; what they encrypt is the same as on a connection that starts with them."""
    for number, rotation in enumerate(VECTOR["rotations"], start=1):
        ours, _ = pair()
        for _ in range(500 * number):
            ours.encrypt(b"")
        fresh = Transport(TransportKeys(bytes.fromhex(rotation["sk"]), RK, bytes.fromhex(rotation["ck"]), b""))
        assert ours.encrypt_many([b"hello"] * 501) == fresh.encrypt_many([b"hello"] * 501)


@given(st.lists(st.binary(max_size=100), max_size=8), st.lists(st.integers(0, 1100), max_size=12))
def test_pieces_of_any_size_give_the_same_messages(messages: list[bytes], cuts: list[int]) -> None:
    """TCP cuts where it likes."""
    ours, theirs = pair()
    stream = ours.encrypt_many(messages)
    received: list[bytes] = []
    ends = sorted(min(cut, len(stream)) for cut in cuts)
    for start, end in zip([0, *ends], [*ends, len(stream)], strict=True):
        received += theirs.feed(stream[start:end])
    assert received == messages
    ours, theirs = pair()
    received = []
    for byte in ours.encrypt_many(messages):
        received += theirs.feed(bytes((byte,)))
    assert received == messages


@given(st.binary(min_size=18, max_size=300), st.binary(max_size=60))
def test_hostile_bytes_end_the_connection_for_good(noise: bytes, more: bytes) -> None:
    """Whoever sits on the wire can write anything; it must not get through, nor revive the connection."""
    ours, theirs = pair()
    with pytest.raises(TransportFailed) as caught:
        theirs.feed(noise)
    assert caught.value.reaction is Reaction.DISCONNECT
    with pytest.raises(TransportFailed):
        theirs.feed(more)
    with pytest.raises(TransportFailed):
        theirs.feed(ours.encrypt(b"honest"))


@given(st.integers(0, 60), st.integers(1, 255))
def test_every_byte_of_a_frame_is_authenticated(position: int, flip: int) -> None:
    """A length that could be changed would let an attacker probe message borders."""
    ours, theirs = pair()
    stream = bytearray(ours.encrypt(b"0123456789") + ours.encrypt(b"0123456789"))
    stream[position] ^= flip
    with pytest.raises(TransportFailed):
        theirs.feed(bytes(stream))


def test_replayed_and_reordered_frames_fail() -> None:
    """The nonce is the order of messages."""
    ours, theirs = pair()
    first, second = ours.encrypt(b"1"), ours.encrypt(b"2")
    assert theirs.feed(first) == [b"1"]
    with pytest.raises(TransportFailed):
        theirs.feed(first)
    _, theirs = pair()
    with pytest.raises(TransportFailed):
        theirs.feed(second)


def test_longest_and_empty_messages() -> None:
    """The length field has two bytes."""
    ours, theirs = pair()
    longest = bytes(range(256)) * 255 + bytes(255)
    assert theirs.feed(ours.encrypt(longest) + ours.encrypt(b"")) == [longest, b""]
    with pytest.raises(ValueError, match="65535"):
        ours.encrypt(bytes(65536))


def test_failures_show_no_bytes() -> None:
    """A frame that does not decrypt may still be somebody's secret."""
    _, theirs = pair()
    with pytest.raises(TransportFailed, match=r"^a frame does not decrypt$"):
        theirs.feed(b"secret" * 10)
