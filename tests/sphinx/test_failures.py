"""Failure messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.base.errors import DecodeError
from leyden.sphinx import failures
from leyden.sphinx.failures import (
    AmountBelowMinimum,
    ChannelDisabled,
    FailureCode,
    FailureMessage,
    IncorrectOrUnknownPaymentDetails,
    InvalidOnionBlinding,
    InvalidOnionHmac,
    InvalidOnionPayload,
    MppTimeout,
    TemporaryChannelFailure,
    TemporaryNodeFailure,
    UnknownFailure,
    UnknownNextPeer,
    decode_failure,
    encode_failure,
    failure_of_malformed,
)

CODES = {
    0x2002: "TEMPORARY_NODE_FAILURE", 0x6002: "PERMANENT_NODE_FAILURE", 0x6003: "REQUIRED_NODE_FEATURE_MISSING",
    0xC004: "INVALID_ONION_VERSION", 0xC005: "INVALID_ONION_HMAC", 0xC006: "INVALID_ONION_KEY",
    0x1007: "TEMPORARY_CHANNEL_FAILURE", 0x4008: "PERMANENT_CHANNEL_FAILURE",
    0x4009: "REQUIRED_CHANNEL_FEATURE_MISSING", 0x400A: "UNKNOWN_NEXT_PEER", 0x100B: "AMOUNT_BELOW_MINIMUM",
    0x100C: "FEE_INSUFFICIENT", 0x100D: "INCORRECT_CLTV_EXPIRY", 0x100E: "EXPIRY_TOO_SOON",
    0x400F: "INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS", 18: "FINAL_INCORRECT_CLTV_EXPIRY",
    19: "FINAL_INCORRECT_HTLC_AMOUNT", 0x1014: "CHANNEL_DISABLED", 21: "EXPIRY_TOO_FAR",
    0x4016: "INVALID_ONION_PAYLOAD", 23: "MPP_TIMEOUT", 0xC018: "INVALID_ONION_BLINDING",
}  # fmt: skip
VALUES = {
    "u16": st.integers(0, 2**16 - 1),
    "u32": st.integers(0, 2**32 - 1),
    "u64": st.integers(0, 2**64 - 1),
    "bigsize": st.integers(0, 2**64 - 1),
    "32 bytes": st.binary(min_size=32, max_size=32),
    "u16 bytes": st.binary(max_size=300),
}
RECORDS = st.dictionaries(st.integers(0, 2**64 - 1), st.binary(max_size=20), max_size=3).map(
    lambda records: tuple(sorted(records.items()))
)


def classes() -> dict[int, type[FailureMessage]]:
    """Every class that stands for one code."""
    found = [cls for cls in vars(failures).values() if isinstance(cls, type) and issubclass(cls, FailureMessage)]
    return {cls.CODE.value: cls for cls in found if hasattr(cls, "CODE")}


@st.composite
def messages(draw: st.DrawFn) -> FailureMessage:
    """Any failure with a known code."""
    cls = draw(st.sampled_from(sorted(classes().values(), key=lambda cls: cls.__name__)))
    return cls(**{name: draw(VALUES[kind]) for name, kind in cls.LAYOUT}, tlvs=draw(RECORDS))


def test_codes_are_those_of_bolt_4() -> None:
    """A sender decides by these numbers whom to try next."""
    assert {code.value: code.name for code in FailureCode} == CODES
    assert {code: cls.CODE.name for code, cls in classes().items()} == CODES


@given(messages())
def test_round_trip(message: FailureMessage) -> None:
    """What a hop says must arrive."""
    raw = encode_failure(message)
    assert raw[:2] == message.failure_code.to_bytes(2, "big")
    assert decode_failure(raw) == message


@pytest.mark.parametrize(
    ("message", "raw"),
    [
        (TemporaryNodeFailure(), "2002"),
        (TemporaryChannelFailure(channel_update=b"\x01\x02"), "100700020102"),
        (AmountBelowMinimum(htlc_msat=5, channel_update=b""), "100b00000000000000050000"),
        (ChannelDisabled(disabled_flags=0, channel_update=b"\xaa"), "101400000001aa"),
        (IncorrectOrUnknownPaymentDetails(htlc_msat=100, height=800000), "400f0000000000000064000c3500"),
        (InvalidOnionPayload(type=0x10000, offset=3), "4016fe000100000003"),
        (InvalidOnionHmac(sha256_of_onion=b"\x07" * 32), "c005" + "07" * 32),
        (MppTimeout(tlvs=((34001, b"\x80"),)), "0017fd84d10180"),
    ],
)
def test_layout_of_each_kind_of_field(message: FailureMessage, raw: str) -> None:
    """A round trip alone would not notice two fields exchanged."""
    assert encode_failure(message).hex() == raw
    assert decode_failure(bytes.fromhex(raw)) == message


@given(st.binary(max_size=80))
def test_any_bytes_are_some_failure(raw: bytes) -> None:
    """A hop that sends nonsense behind a good code still says what went wrong."""
    if len(raw) < 2:
        with pytest.raises(DecodeError) as caught:
            decode_failure(raw)
        assert caught.value.field == "failure_code"
    else:
        assert decode_failure(raw).failure_code == int.from_bytes(raw[:2], "big")


def test_short_data_and_trailing_bytes_are_tolerated() -> None:
    """Old nodes send no amount and no height; BOLT 4 has extra bytes ignored."""
    assert decode_failure(b"\x40\x0f") == UnknownFailure(code=0x400F, data=b"")
    assert decode_failure(b"\x40\x0a\xff\xff") == UnknownNextPeer()
    assert decode_failure(b"\x10\x07\x00\x05\x01") == UnknownFailure(code=0x1007, data=b"\x00\x05\x01")
    assert decode_failure(b"\x7f\xffxyz") == UnknownFailure(code=0x7FFF, data=b"xyz")
    assert encode_failure(UnknownFailure(code=0x7FFF, data=b"xyz")) == b"\x7f\xffxyz"


@given(st.integers(0, 0xFFFF))
def test_flags_follow_the_code(code: int) -> None:
    """The flags work for codes that we don't know, too."""
    failure = UnknownFailure(code=code, data=b"")
    flags = (failure.is_badonion, failure.is_permanent, failure.is_node_failure, failure.is_update)
    assert flags == tuple(bool(code & bit) for bit in (0x8000, 0x4000, 0x2000, 0x1000))


@pytest.mark.parametrize(
    "message",
    [
        InvalidOnionHmac(sha256_of_onion=b""),
        TemporaryChannelFailure(channel_update=bytes(65536)),
        AmountBelowMinimum(htlc_msat=-1, channel_update=b""),
        InvalidOnionPayload(type=0, offset=65536),
    ],
)
def test_impossible_failures_are_not_written(message: FailureMessage) -> None:
    """Our own mistake must show here."""
    with pytest.raises(ValueError, match=r"fit|bytes"):
        encode_failure(message)


def test_malformed_htlc_becomes_a_failure_for_the_sender() -> None:
    """The node before the one that could not read the onion reports for it."""
    digest = b"\x09" * 32
    assert failure_of_malformed(0xC005, digest) == InvalidOnionHmac(sha256_of_onion=digest)
    assert failure_of_malformed(0xC018, digest) == InvalidOnionBlinding(sha256_of_onion=digest)
    assert failure_of_malformed(0x8001, digest) == UnknownFailure(code=0x8001, data=digest)
