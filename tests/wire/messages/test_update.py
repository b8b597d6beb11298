"""Messages of normal operation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.base.errors import DecodeError
from leyden.wire.messages import CommitmentSigned, UpdateAddHtlc, UpdateFulfillHtlc, decode, encode
from tests.wire.layouts import check_layout

NAMES = [
    "update_add_htlc",
    "update_fulfill_htlc",
    "update_fail_htlc",
    "update_fail_malformed_htlc",
    "start_batch",
    "commitment_signed",
    "revoke_and_ack",
    "update_fee",
    "channel_reestablish",
]


@pytest.mark.parametrize("name", NAMES)
def test_layout_is_that_of_the_bolt(name: str) -> None:
    """Most of the traffic of a channel."""
    check_layout(name)


def test_update_add_htlc_has_1452_bytes() -> None:
    """The fast way of decoding goes by this length."""
    assert len(encode(UpdateAddHtlc(bytes(32), 0, 0, bytes(32), 0, bytes(1366)))) == 1452


@given(st.integers(0, 1022))
def test_commitment_signed_takes_any_count_of_signatures_that_fits(count: int) -> None:
    """483 HTLCs each way are the BOLT's limit; what exceeds it is refused upstream, with a better reason."""
    signatures = tuple(place.to_bytes(64, "big") for place in range(count))
    if 2 + 32 + 64 + 2 + 64 * count > 65535:
        with pytest.raises(ValueError, match="transport"):
            encode(CommitmentSigned(bytes(32), bytes(64), signatures))
        return
    message = CommitmentSigned(bytes(32), bytes(64), signatures)
    assert decode(encode(message)) == message


def test_signatures_fewer_than_counted_are_refused() -> None:
    """The count is the peer's."""
    raw = encode(CommitmentSigned(bytes(32), bytes(64), (bytes(64), bytes(64))))
    with pytest.raises(DecodeError, match="htlc_signatures"):
        decode(raw[:-1])


def test_attribution_data_has_920_bytes() -> None:
    """BOLT 4 fixes twenty hops."""
    good = UpdateFulfillHtlc(bytes(32), 1, bytes(32), attribution_data=bytes(920), fulfillment_payload=b"")
    assert decode(encode(good)) == good
    raw = encode(UpdateFulfillHtlc(bytes(32), 1, bytes(32)))
    with pytest.raises(DecodeError, match="attribution_data"):
        decode(raw + b"\x01\xfd\x03\x97" + bytes(919))


def test_a_path_key_that_is_no_point_is_refused() -> None:
    """It would be multiplied next."""
    raw = encode(UpdateAddHtlc(bytes(32), 0, 0, bytes(32), 0, bytes(1366)))
    with pytest.raises(DecodeError, match="path_key"):
        decode(raw + b"\x00\x21" + bytes(33))
