"""The payload of one hop of a payment onion: a TLV stream.

Decoding checks what each value by itself must be; `require_forward` and `require_final` check what must be there for
the role that the onion gives us. Both raise `OnionError` with invalid_onion_payload, ready to be sent back.

Spec: BOLT 4, "`payload` format".
"""

from collections.abc import Callable
from typing import Any, Final, final

import msgspec

from leyden.base.errors import DecodeError
from leyden.crypto.ec import is_valid_point
from leyden.sphinx.failures import InvalidOnionPayload, OnionError
from leyden.wire.codec import decode_bigsize
from leyden.wire.tlv import TlvRecords, join_records

AMT_TO_FORWARD: Final = 2
OUTGOING_CLTV_VALUE: Final = 4
SHORT_CHANNEL_ID: Final = 6
PAYMENT_DATA: Final = 8
ENCRYPTED_RECIPIENT_DATA: Final = 10
CURRENT_PATH_KEY: Final = 12
PAYMENT_METADATA: Final = 16
TOTAL_AMOUNT_MSAT: Final = 18
KEYSEND_PREIMAGE: Final = 5482373484
"""bLIP 3, "Specification"."""
CUSTOM_TYPE_MIN: Final = 65536
"""BOLT 1, "Type-Length-Value Format": custom records start here."""


@final
class PaymentData(msgspec.Struct, frozen=True, gc=False):
    """`payment_secret`: 32 bytes of the invoice; `total_msat`: what all parts of the payment come to."""

    payment_secret: bytes
    total_msat: int

    def __repr__(self) -> str:
        """Leave the secret out."""
        return f"PaymentData(total_msat={self.total_msat})"


@final
class HopPayload(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What one hop is told; None for a record that is absent.

    Amounts in millisatoshi, `outgoing_cltv_value` a block height, `current_path_key` 33 bytes, `keysend_preimage` 32
    bytes. `custom_records`: odd types from 65536; `unknown_tlvs`: other odd types that we don't know, never used.
    """

    amt_to_forward: int | None = None
    outgoing_cltv_value: int | None = None
    short_channel_id: int | None = None
    payment_data: PaymentData | None = None
    encrypted_recipient_data: bytes | None = None
    current_path_key: bytes | None = None
    payment_metadata: bytes | None = None
    total_amount_msat: int | None = None
    keysend_preimage: bytes | None = None
    custom_records: TlvRecords = ()
    unknown_tlvs: TlvRecords = ()

    def __repr__(self) -> str:
        """Leave secrets, the preimage and the sender's own records out."""
        return (
            f"HopPayload(amt_to_forward={self.amt_to_forward}, outgoing_cltv_value={self.outgoing_cltv_value}, "
            f"short_channel_id={self.short_channel_id}, payment_data={self.payment_data!r})"
        )


def _tu64(value: bytes) -> int:
    if len(value) > 8 or value[:1] == b"\x00":
        raise ValueError
    return int.from_bytes(value, "big")


def _tu32(value: bytes) -> int:
    if len(value) > 4 or value[:1] == b"\x00":
        raise ValueError
    return int.from_bytes(value, "big")


def _short_channel_id(value: bytes) -> int:
    if len(value) != 8:
        raise ValueError
    return int.from_bytes(value, "big")


def _payment_data(value: bytes) -> PaymentData:
    if len(value) < 32:
        raise ValueError
    return PaymentData(value[:32], _tu64(value[32:]))


def _opaque(value: bytes) -> bytes:
    return value


def _point(value: bytes) -> bytes:
    if not is_valid_point(value):
        raise ValueError
    return value


def _hash32(value: bytes) -> bytes:
    if len(value) != 32:
        raise ValueError
    return value


def _unsigned(number: int, width: int) -> bytes:
    if not 0 <= number < 1 << (8 * width):
        raise ValueError(f"{number} does not fit into {width} bytes")
    return number.to_bytes(width, "big")


def _truncated(number: int, width: int) -> bytes:
    size = (number.bit_length() + 7) >> 3
    if number < 0 or size > width:
        raise ValueError(f"{number} does not fit into {width} bytes")
    return number.to_bytes(size, "big")


def _encoded_payment_data(data: PaymentData) -> bytes:
    if len(data.payment_secret) != 32:
        raise ValueError("payment_secret has 32 bytes")
    return data.payment_secret + _truncated(data.total_msat, 8)


_LENGTHS: Final = tuple(bytes((length,)) for length in range(41))

# Type: field, and how its value is read and written (both raise ValueError).
_KNOWN: Final[dict[int, tuple[str, Callable[[bytes], Any], Callable[[Any], bytes]]]] = {
    AMT_TO_FORWARD: ("amt_to_forward", _tu64, lambda number: _truncated(number, 8)),
    OUTGOING_CLTV_VALUE: ("outgoing_cltv_value", _tu32, lambda number: _truncated(number, 4)),
    SHORT_CHANNEL_ID: ("short_channel_id", _short_channel_id, lambda number: _unsigned(number, 8)),
    PAYMENT_DATA: ("payment_data", _payment_data, _encoded_payment_data),
    ENCRYPTED_RECIPIENT_DATA: ("encrypted_recipient_data", _opaque, _opaque),
    CURRENT_PATH_KEY: ("current_path_key", _point, _point),
    PAYMENT_METADATA: ("payment_metadata", _opaque, _opaque),
    TOTAL_AMOUNT_MSAT: ("total_amount_msat", _tu64, lambda number: _truncated(number, 8)),
    KEYSEND_PREIMAGE: ("keysend_preimage", _hash32, _hash32),
}


def _invalid(payload_length: int, record_type: int, offset: int) -> OnionError:
    # The offset counts in the decrypted stream, which starts with the length of the payload (1 or 3 bytes).
    prefix = 1 if payload_length < 0xFD else 3
    return OnionError(InvalidOnionPayload(type=record_type, offset=min(offset + prefix, 0xFFFF)), shared_secret=None)


def decode_payload(raw: bytes) -> HopPayload:
    """Return the payload in a TLV stream (`raw`: without its length prefix).

    Raises: OnionError with invalid_onion_payload (type and offset of the record) if the stream is malformed or not
            strictly increasing, an even type is unknown, or a value is not what its type demands.
    Spec:   BOLT 4, "`payload` format"; BOLT 1, "Type-Length-Value Format".
    """
    end = len(raw)
    offset = 0
    previous = -1
    values: dict[str, Any] = {}
    custom: list[tuple[int, bytes]] = []
    unknown: list[tuple[int, bytes]] = []
    while offset < end:
        start = offset
        record_type, value, offset = _next_record(raw, start, end)
        if record_type <= previous:
            raise _invalid(end, record_type, start)
        previous = record_type
        known = _KNOWN.get(record_type)
        if known is not None:
            try:
                values[known[0]] = known[1](value)
            except ValueError:
                raise _invalid(end, record_type, start) from None
        elif record_type & 1 == 0:
            raise _invalid(end, record_type, start)
        else:
            (custom if record_type >= CUSTOM_TYPE_MIN else unknown).append((record_type, value))
    if custom or unknown:
        return HopPayload(**values, custom_records=tuple(custom), unknown_tlvs=tuple(unknown))
    return HopPayload(**values)


def _next_record(raw: bytes, start: int, end: int) -> tuple[int, bytes, int]:
    """Return type, value and the offset behind the record at `start`."""
    record_type = 0
    try:
        record_type, offset = (raw[start], start + 1) if raw[start] < 0xFD else decode_bigsize(raw, start)
        length, offset = (
            (raw[offset], offset + 1) if offset < end and raw[offset] < 0xFD else decode_bigsize(raw, offset)
        )
    except DecodeError:
        raise _invalid(end, record_type, start) from None
    behind = offset + length
    if behind > end:
        raise _invalid(end, record_type, start)
    return record_type, raw[offset:behind], behind


def encode_payload(payload: HopPayload) -> bytes:
    """Return the TLV stream of a payload, without its length prefix.

    Raises: ValueError if a value does not fit its field, a type is used twice, or a custom record is below 65536.
    Spec:   BOLT 4, "`payload` format".
    """
    if _has_rare_records(payload):
        return join_records(_records(payload))
    parts: list[bytes] = []
    if payload.amt_to_forward is not None:
        amount = _truncated(payload.amt_to_forward, 8)
        parts += (b"\x02", _LENGTHS[len(amount)], amount)
    if payload.outgoing_cltv_value is not None:
        height = _truncated(payload.outgoing_cltv_value, 4)
        parts += (b"\x04", _LENGTHS[len(height)], height)
    if payload.short_channel_id is not None:
        parts += (b"\x06\x08", _unsigned(payload.short_channel_id, 8))
    if payload.payment_data is not None:
        data = _encoded_payment_data(payload.payment_data)
        parts += (b"\x08", _LENGTHS[len(data)], data)
    return b"".join(parts)


def _has_rare_records(payload: HopPayload) -> bool:
    return not (
        payload.encrypted_recipient_data is None
        and payload.current_path_key is None
        and payload.payment_metadata is None
        and payload.total_amount_msat is None
        and payload.keysend_preimage is None
        and not payload.custom_records
        and not payload.unknown_tlvs
    )


def _records(payload: HopPayload) -> list[tuple[int, bytes]]:
    """Return every record of a payload that has more than a plain payment needs."""
    records: list[tuple[int, bytes]] = []
    for record_type, (name, _, encode) in _KNOWN.items():
        value = getattr(payload, name)
        if value is not None:
            records.append((record_type, encode(value)))
    for record_type, value in payload.custom_records:
        if record_type < CUSTOM_TYPE_MIN:
            raise ValueError(f"custom record type {record_type} is below {CUSTOM_TYPE_MIN}")
        records.append((record_type, value))
    records.extend(payload.unknown_tlvs)
    return records


def require_forward(payload: HopPayload) -> None:
    """Check that a hop that is not the last is told what it needs, and in a blinded path nothing else.

    Raises: OnionError with invalid_onion_payload (the missing or surplus type, offset 0).
    Spec:   BOLT 4, "`payload` format".
    """
    if payload.encrypted_recipient_data is None:
        _require(payload, (AMT_TO_FORWARD, OUTGOING_CLTV_VALUE, SHORT_CHANNEL_ID))
    else:
        _require_nothing_but(payload, (ENCRYPTED_RECIPIENT_DATA, CURRENT_PATH_KEY))


def require_final(payload: HopPayload) -> None:
    """Check that the last hop is told what it needs, and at the end of a blinded path nothing else.

    Raises: OnionError with invalid_onion_payload (the missing or surplus type, offset 0).
    Spec:   BOLT 4, "`payload` format".
    """
    if payload.encrypted_recipient_data is None:
        _require(payload, (AMT_TO_FORWARD, OUTGOING_CLTV_VALUE))
    else:
        needed = (AMT_TO_FORWARD, OUTGOING_CLTV_VALUE, TOTAL_AMOUNT_MSAT)
        _require_nothing_but(payload, (*needed, ENCRYPTED_RECIPIENT_DATA, CURRENT_PATH_KEY))
        for record_type in needed:
            if getattr(payload, _KNOWN[record_type][0]) is None:
                raise _unacceptable(record_type)


def _unacceptable(record_type: int) -> OnionError:
    return OnionError(InvalidOnionPayload(type=record_type, offset=0), shared_secret=None)


def _require(payload: HopPayload, needed: tuple[int, ...]) -> None:
    """Check a payload outside of blinded paths."""
    if payload.current_path_key is not None:
        raise _unacceptable(CURRENT_PATH_KEY)
    for record_type in needed:
        if getattr(payload, _KNOWN[record_type][0]) is None:
            raise _unacceptable(record_type)


def _require_nothing_but(payload: HopPayload, allowed: tuple[int, ...]) -> None:
    for record_type, (name, _, _) in _KNOWN.items():
        if record_type not in allowed and getattr(payload, name) is not None:
            raise _unacceptable(record_type)
    for record_type, _ in payload.unknown_tlvs + payload.custom_records:
        raise _unacceptable(record_type)
