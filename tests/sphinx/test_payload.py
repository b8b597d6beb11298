"""Hop payloads: BOLT 4's reader and writer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.sphinx.failures import InvalidOnionPayload, OnionError
from leyden.sphinx.payload import (
    HopPayload,
    PaymentData,
    decode_payload,
    encode_payload,
    require_final,
    require_forward,
)
from tests.sphinx.routes import node_point, vector_hops

U64 = st.integers(0, 2**64 - 1)
ODD_CUSTOM = st.integers(32768, 2**62).map(lambda number: 2 * number + 1)
HASHES = st.binary(min_size=32, max_size=32)


@st.composite
def payloads(draw: st.DrawFn) -> HopPayload:
    """Any payload that can be written."""
    custom = draw(st.dictionaries(ODD_CUSTOM, st.binary(max_size=300), max_size=3))
    unknown = draw(st.dictionaries(st.sampled_from([1, 7, 13, 65535]), st.binary(max_size=9), max_size=2))
    return HopPayload(
        amt_to_forward=draw(st.none() | U64),
        outgoing_cltv_value=draw(st.none() | st.integers(0, 2**32 - 1)),
        short_channel_id=draw(st.none() | U64),
        payment_data=draw(st.none() | st.builds(PaymentData, HASHES, U64)),
        encrypted_recipient_data=draw(st.none() | st.binary(max_size=300)),
        current_path_key=draw(st.none() | st.just(node_point(3))),
        payment_metadata=draw(st.none() | st.binary(max_size=300)),
        total_amount_msat=draw(st.none() | U64),
        keysend_preimage=draw(st.none() | HASHES),
        custom_records=tuple(sorted(custom.items())),
        unknown_tlvs=tuple(sorted(unknown.items())),
    )


@given(payloads())
def test_round_trip(payload: HopPayload) -> None:
    """What we write every other node must read as we meant it."""
    assert decode_payload(encode_payload(payload)) == payload


def test_payloads_of_the_onion_vector() -> None:
    """Payloads as other nodes write them."""
    decoded = [decode_payload(raw) for _, raw in vector_hops()]
    assert [encode_payload(payload) for payload in decoded] == [raw for _, raw in vector_hops()]
    assert [payload.amt_to_forward for payload in decoded] == [15000, 14000, 12500, 10000, 10000]
    assert [payload.outgoing_cltv_value for payload in decoded] == [1500, 1400, 1250, 1000, 1000]
    assert [payload.short_channel_id for payload in decoded] == [1, 2, 3, 4, None]
    final = decoded[-1]
    assert final.payment_data is not None
    assert final.payment_data.total_msat == 10000
    assert [record_type for record_type, _ in final.unknown_tlvs] == [301]
    require_final(final)
    for payload in decoded[:-1]:
        require_forward(payload)


@pytest.mark.parametrize(
    ("raw", "record_type", "offset"),
    [
        ("00ff", 0, 1),  # unknown even type
        ("0202000104020001", 2, 1),  # amount with a leading zero
        ("02010104020001", 4, 4),  # height with a leading zero
        ("0209010101010101010101", 2, 1),  # amount of 9 bytes
        ("04050101010101", 4, 1),  # height of 5 bytes
        ("0607aaaaaaaaaaaaaa", 6, 1),  # short_channel_id of 7 bytes
        ("081f" + "aa" * 31, 8, 1),  # payment_secret of 31 bytes
        ("0822" + "aa" * 32 + "0001", 8, 1),  # total_msat with a leading zero
        ("0c21" + "00" * 33, 12, 1),  # no point
        ("12020001", 18, 1),
        ("0200" + "0401aa" + "14026666", 20, 6),  # unknown even type behind known ones
        ("0201aa0201aa", 2, 4),  # twice
        ("0401aa0201aa", 2, 4),  # out of order
        ("0205aa", 2, 1),  # longer than what is left
        ("02", 2, 1),  # no length
        ("fd00", 0, 1),  # no type
        ("fd000201aa", 0, 1),  # type not minimal
        ("02fd0001aa", 2, 1),  # length not minimal
        ("fe0001000000", 65536, 1),  # unknown even custom type
        ("ff0000000146c6616c" + "1faa", 5482373484, 1),  # keysend preimage of a wrong length
    ],
)
def test_invalid_payloads_are_reported_with_type_and_offset(raw: str, record_type: int, offset: int) -> None:
    """The sender cannot see what we object to unless we say where it is."""
    with pytest.raises(OnionError) as caught:
        decode_payload(bytes.fromhex(raw))
    assert caught.value.failure == InvalidOnionPayload(type=record_type, offset=offset)


def test_offset_counts_from_the_length_prefix() -> None:
    """A payload of 253 bytes or more has a length of 3 bytes in front."""
    raw = b"\x01\xfd\x01\x00" + bytes(256) + b"\x16\x00"
    with pytest.raises(OnionError) as caught:
        decode_payload(raw)
    assert caught.value.failure == InvalidOnionPayload(type=22, offset=260 + 3)


def test_unknown_odd_records_are_kept_apart_from_custom_ones() -> None:
    """It is okay to be odd; the application sees the sender's records, and only those."""
    payload = decode_payload(bytes.fromhex("0201010401020501aafe0001000102bbcc"))
    assert payload.unknown_tlvs == ((5, b"\xaa"),)
    assert payload.custom_records == ((65537, b"\xbb\xcc"),)
    assert (payload.amt_to_forward, payload.outgoing_cltv_value) == (1, 2)


def reported(payload: HopPayload, *, final: bool) -> int | None:
    """The type that the role check objects to."""
    try:
        (require_final if final else require_forward)(payload)
    except OnionError as error:
        failure = error.failure
    else:
        return None
    assert isinstance(failure, InvalidOnionPayload)
    assert failure.offset == 0
    return failure.type


def test_required_records_outside_blinded_paths() -> None:
    """A missing amount must not become an amount of zero."""
    assert reported(HopPayload(outgoing_cltv_value=1, short_channel_id=1), final=False) == 2
    assert reported(HopPayload(amt_to_forward=1, short_channel_id=1), final=False) == 4
    assert reported(HopPayload(amt_to_forward=1, outgoing_cltv_value=1), final=False) == 6
    assert reported(HopPayload(amt_to_forward=1, outgoing_cltv_value=1), final=True) is None
    assert reported(HopPayload(outgoing_cltv_value=1), final=True) == 2
    assert reported(HopPayload(amt_to_forward=1), final=True) == 4
    stray = HopPayload(amt_to_forward=1, outgoing_cltv_value=1, short_channel_id=1, current_path_key=node_point(0))
    assert reported(stray, final=False) == 12
    assert reported(stray, final=True) == 12


def test_blinded_payloads_hold_nothing_else() -> None:
    """A sender could mark a blinded path by a record of its own and recognise it later."""
    assert reported(HopPayload(encrypted_recipient_data=b"x"), final=False) is None
    assert reported(HopPayload(encrypted_recipient_data=b"x", current_path_key=node_point(0)), final=False) is None
    assert reported(HopPayload(encrypted_recipient_data=b"x", amt_to_forward=1), final=False) == 2
    assert reported(HopPayload(encrypted_recipient_data=b"x", unknown_tlvs=((3, b""),)), final=False) == 3
    assert reported(HopPayload(encrypted_recipient_data=b"x", custom_records=((65537, b""),)), final=False) == 65537
    end = HopPayload(encrypted_recipient_data=b"x", amt_to_forward=1, outgoing_cltv_value=1, total_amount_msat=1)
    assert reported(end, final=True) is None
    assert reported(HopPayload(encrypted_recipient_data=b"x", outgoing_cltv_value=1), final=True) == 2
    assert reported(HopPayload(encrypted_recipient_data=b"x", amt_to_forward=1), final=True) == 4
    incomplete = HopPayload(encrypted_recipient_data=b"x", amt_to_forward=1, outgoing_cltv_value=1)
    assert reported(incomplete, final=True) == 18
    assert reported(HopPayload(encrypted_recipient_data=b"x", short_channel_id=1), final=True) == 6


@pytest.mark.parametrize(
    "payload",
    [
        HopPayload(amt_to_forward=-1),
        HopPayload(amt_to_forward=2**64),
        HopPayload(outgoing_cltv_value=2**32),
        HopPayload(short_channel_id=2**64),
        HopPayload(short_channel_id=-1),
        HopPayload(payment_data=PaymentData(b"", 1)),
        HopPayload(payment_data=PaymentData(bytes(32), -1)),
        HopPayload(keysend_preimage=bytes(31)),
        HopPayload(current_path_key=bytes(33)),
        HopPayload(custom_records=((65535, b""),)),
        HopPayload(custom_records=((65537, b""), (65537, b""))),
        HopPayload(total_amount_msat=2**64),
    ],
)
def test_impossible_payloads_are_not_written(payload: HopPayload) -> None:
    """Our own mistake must show here, not at the far end of a route."""
    with pytest.raises(ValueError, match=r".*"):
        encode_payload(payload)


def test_secrets_do_not_show() -> None:
    """Whoever sees payment_secret or a keysend preimage can take the payment."""
    secret = b"\xab" * 32
    payload = HopPayload(
        payment_data=PaymentData(secret, 5), keysend_preimage=secret, payment_metadata=secret, short_channel_id=7
    )
    assert "total_msat=5" in repr(payload)
    assert "\\xab" not in repr(payload)
