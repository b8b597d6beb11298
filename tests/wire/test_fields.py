"""The kinds of field, at their edges."""

from typing import Any

import pytest

from leyden.base.errors import DecodeError
from leyden.wire.fields import (
    FLAG,
    HASH32,
    POINT,
    BigSizeValue,
    Composite,
    CountedPrefixed,
    CountedSignatures,
    Fixed,
    Prefixed,
    Repeated,
)
from leyden.wire.messages import NextFunding

NEXT = Composite(NextFunding, {"next_funding_txid": HASH32, "retransmit_flags": Fixed("B")})


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (POINT, b"\x02" + bytes(31)),
        (POINT, b"\x02" + bytes(33)),
        (POINT, b"\x04" + bytes(32)),
        (HASH32, b""),
        (Fixed("Q"), bytes(7)),
        (FLAG, b"\x01"),
        (BigSizeValue(), b""),
        (BigSizeValue(), b"\x01\x00"),
        (BigSizeValue(), b"\xfd\x00\x01"),
        (Repeated(HASH32), bytes(33)),
        (NEXT, bytes(32)),
        (NEXT, bytes(34)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_tlv_value_of_a_wrong_form_is_refused(kind: Any, value: bytes) -> None:
    """BOLT 1: the length must be exactly what the type requires."""
    with pytest.raises(DecodeError):
        kind.decode(value)


@pytest.mark.parametrize("kind", [Prefixed(), CountedSignatures(), CountedPrefixed()], ids=lambda k: type(k).__name__)
@pytest.mark.parametrize("raw", [b"", b"\x00", b"\x00\x01", b"\xff\xff", b"\x00\x03\x00\x00"])
def test_a_length_past_the_end_is_refused(kind: Any, raw: bytes) -> None:
    """A count of 65535 in a short message must cost nothing."""
    with pytest.raises(DecodeError):
        kind.read(raw, 0)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Fixed("H"), 1 << 16),
        (Fixed("H"), -1),
        (HASH32, bytes(31)),
        (Repeated(HASH32), (bytes(32), bytes(33))),
        (NEXT, NextFunding(bytes(32), 256)),
        (NEXT, NextFunding(bytes(31), 0)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_does_not_fit_is_not_encoded(kind: Any, value: object) -> None:
    """The struct module would pad or cut bytes without a word."""
    with pytest.raises(ValueError, match=r"bytes|format|range"):
        kind.encode(value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Prefixed(), bytes(1 << 16)),
        (CountedSignatures(), (bytes(63),)),
        (CountedSignatures(), (bytes(64),) * 1024),
        (CountedPrefixed(), (b"",) * (1 << 16)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_array_that_does_not_fit_is_not_encoded(kind: Any, value: object) -> None:
    """A length that wraps would shift everything behind it."""
    with pytest.raises(ValueError, match=r"fit|signature"):
        kind.write(value)
