"""Integers of BOLT 1, against its appendices A and D."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.base.errors import DecodeError
from leyden.wire.codec import (
    decode_bigsize,
    decode_signed,
    decode_truncated,
    encode_bigsize,
    encode_signed,
    encode_truncated,
)

VECTORS = Path(__file__).parent.parent / "vectors" / "bolt01"
BIGSIZE = json.loads((VECTORS / "bigsize.json").read_text())
SIGNED = json.loads((VECTORS / "signed-integers.json").read_text())


@pytest.mark.parametrize("case", BIGSIZE["decode"], ids=lambda case: case["name"])
def test_bigsize_decodes_as_in_the_appendix(case: dict[str, Any]) -> None:
    """Two encodings of one number would let one message have two signatures."""
    raw = bytes.fromhex(case["bytes"])
    if "exp_error" in case:
        with pytest.raises(DecodeError):
            decode_bigsize(raw, 0)
    else:
        assert decode_bigsize(raw, 0) == (case["value"], len(raw))


@pytest.mark.parametrize("case", BIGSIZE["encode"], ids=lambda case: case["name"])
def test_bigsize_encodes_as_in_the_appendix(case: dict[str, Any]) -> None:
    """A peer refuses what is not minimal."""
    assert encode_bigsize(case["value"]).hex() == case["bytes"]


@pytest.mark.parametrize("case", SIGNED, ids=lambda case: str(case["value"]))
def test_signed_integers_are_as_in_the_appendix(case: dict[str, Any]) -> None:
    """A splice that takes money out has a negative contribution."""
    raw = bytes.fromhex(case["bytes"])
    assert decode_signed(raw) == case["value"]
    assert encode_signed(case["value"], len(raw)) == raw


@pytest.mark.parametrize("size", [0, 3, 5, 9])
def test_signed_integers_have_only_four_widths(size: int) -> None:
    """Anything else is no BOLT type."""
    with pytest.raises(DecodeError):
        decode_signed(bytes(size))
    with pytest.raises(ValueError, match="does not fit"):
        encode_signed(0, size)


@pytest.mark.parametrize(("value", "width"), [(128, 1), (-129, 1), (1 << 63, 8)])
def test_signed_integers_out_of_range_are_refused(value: int, width: int) -> None:
    """A number that wraps around would turn money in into money out."""
    with pytest.raises(ValueError, match="does not fit"):
        encode_signed(value, width)


@given(st.integers(0, 2**64 - 1), st.binary(max_size=3))
def test_bigsize_round_trips_at_any_offset(value: int, before: bytes) -> None:
    """The reader must stop exactly behind the number."""
    raw = before + encode_bigsize(value) + b"\xff"
    assert decode_bigsize(raw, len(before)) == (value, len(raw) - 1)


@pytest.mark.parametrize("value", [-1, 2**64])
def test_bigsize_out_of_range_is_refused(value: int) -> None:
    """Only a bug of ours can ask for it."""
    with pytest.raises(ValueError, match="bigsize"):
        encode_bigsize(value)


@given(st.sampled_from((2, 4, 8)).flatmap(lambda w: st.tuples(st.just(w), st.integers(0, 256**w - 1))))
def test_truncated_integers_round_trip_without_leading_zeros(case: tuple[int, int]) -> None:
    """Amounts in onions are truncated integers."""
    width, value = case
    raw = encode_truncated(value, width)
    assert raw[:1] != b"\x00"
    assert decode_truncated(raw, width) == value


@pytest.mark.parametrize(("raw", "width"), [("00", 2), ("0001", 8), ("010000", 2), ("0100000000", 4)])
def test_truncated_integers_that_are_long_or_padded_are_refused(raw: str, width: int) -> None:
    """The same amount must not have two encodings."""
    with pytest.raises(DecodeError):
        decode_truncated(bytes.fromhex(raw), width)


@pytest.mark.parametrize(("value", "width"), [(-1, 8), (1 << 16, 2), (1 << 64, 8)])
def test_truncated_integers_out_of_range_are_refused(value: int, width: int) -> None:
    """Only a bug of ours can ask for it."""
    with pytest.raises(ValueError, match="does not fit"):
        encode_truncated(value, width)
