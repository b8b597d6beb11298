"""The arrays inside query messages."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.base.errors import DecodeError
from leyden.wire.gossip_arrays import (
    ChannelUpdateTimestamps,
    decode_query_flags,
    decode_short_ids,
    decode_timestamps,
    encode_query_flags,
    encode_short_ids,
    encode_timestamps,
)
from tests.wire.strategies import outcome

U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
DECODERS: list[Callable[[bytes], object]] = [decode_short_ids, decode_query_flags, decode_timestamps]


@given(st.lists(U64, unique=True, max_size=20), st.lists(U64, max_size=20), st.lists(st.tuples(U32, U32), max_size=20))
def test_arrays_round_trip(ids: list[int], flags: list[int], times: list[tuple[int, int]]) -> None:
    """Empty ones too: an answer may hold nothing."""
    assert decode_short_ids(encode_short_ids(sorted(ids))) == tuple(sorted(ids))
    assert decode_query_flags(encode_query_flags(flags)) == tuple(flags)
    pairs = tuple(ChannelUpdateTimestamps(*pair) for pair in times)
    assert decode_timestamps(encode_timestamps(pairs)) == pairs


@pytest.mark.parametrize("decoder", DECODERS)
@given(raw=st.binary(max_size=40) | st.binary(max_size=40).map(lambda body: b"\x00" + body))
def test_any_bytes_decode_or_are_refused(decoder: Callable[[bytes], object], raw: bytes) -> None:
    """A peer chooses them."""
    found = outcome(decoder, raw)
    assert not isinstance(found, DecodeError) or (found.field and 0 <= found.offset <= len(raw))


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(("raw", "why"), [("", "missing"), ("01789c", "retired"), ("02", "unknown encoding 2")])
def test_only_the_plain_encoding_is_read(decoder: Callable[[bytes], object], raw: str, why: str) -> None:
    """Encoding 1 was zlib; BOLT 7 retired it, and inflating a stranger's bytes is a risk."""
    with pytest.raises(DecodeError, match=why):
        decoder(bytes.fromhex(raw))


@pytest.mark.parametrize("raw", ["00" + "00" * 7, "00" + "00" * 9])
def test_a_broken_element_is_refused(raw: str) -> None:
    """Half an id would be another id."""
    for decoder in (decode_short_ids, decode_timestamps):
        with pytest.raises(DecodeError, match="multiple"):
            decoder(bytes.fromhex(raw))
    with pytest.raises(DecodeError):
        decode_query_flags(bytes.fromhex("00fd0001"))


@pytest.mark.parametrize("ids", [(2, 1), (1, 1)])
def test_ids_that_do_not_ascend_are_refused_both_ways(ids: tuple[int, int]) -> None:
    """Repeated ids would make a small question a large answer."""
    with pytest.raises(DecodeError, match="ascend"):
        decode_short_ids(b"\x00" + b"".join(number.to_bytes(8, "big") for number in ids))
    with pytest.raises(ValueError, match="ascend"):
        encode_short_ids(ids)


def test_numbers_out_of_range_are_not_encoded() -> None:
    """Only a bug of ours can ask for it."""
    with pytest.raises(ValueError, match=r"too large|format"):
        encode_short_ids((1 << 64,))
    with pytest.raises(ValueError, match="bigsize"):
        encode_query_flags((-1,))
    with pytest.raises(ValueError, match="format"):
        encode_timestamps((ChannelUpdateTimestamps(1 << 32, 0),))
