"""TLV streams of BOLT 1, "Type-Length-Value Format".

`split_records` and `join_records` know only the frame. `TlvStream` knows the types of one namespace: it decodes
known records to values, refuses unknown even types and keeps unknown odd ones, so that encoding the result gives
the same bytes.
"""

from collections.abc import Iterable, Sequence
from typing import Generic, Protocol, TypeVar, final

from leyden.base.errors import DecodeError
from leyden.wire.codec import decode_bigsize, encode_bigsize

TlvRecords = tuple[tuple[int, bytes], ...]
"""Records as (type, value) in ascending order of type."""

T = TypeVar("T")


class ValueCodec(Protocol[T]):
    """How the value of one TLV record is read and written."""

    @property
    def absent(self) -> T | None:
        """The field's value when the record is absent; encoding it writes no record."""
        ...

    def decode(self, value: bytes) -> T:
        """Decode the whole `value`. Raises: DecodeError, with the offset inside `value`."""
        ...

    def encode(self, decoded: T) -> bytes:
        """Encode. Raises: ValueError when `decoded` has a wrong length or range."""
        ...


def split_records(raw: bytes, offset: int) -> list[tuple[int, bytes, int]]:
    """Split the TLV stream that fills `raw` from `offset` (bytes) to its end into (type, value, value's offset).

    Raises: DecodeError when a type or length is truncated or not minimal, a value runs past the end, or the types
        are not strictly increasing.
    Source: BOLT 1, "Type-Length-Value Format".
    """
    end = len(raw)
    previous = -1
    records: list[tuple[int, bytes, int]] = []
    while offset < end:
        start = offset
        record_type, offset = decode_bigsize(raw, offset)
        if record_type <= previous:
            raise DecodeError(f"TLV type {record_type} after type {previous}", offset=start)
        length, offset = decode_bigsize(raw, offset)
        if length > end - offset:
            raise DecodeError(f"TLV type {record_type} is longer than what is left", offset=start)
        records.append((record_type, raw[offset : offset + length], offset))
        offset += length
        previous = record_type
    return records


def join_records(records: Iterable[tuple[int, bytes]]) -> bytes:
    """Encode (type, value) records, given in any order, as a TLV stream in ascending order of type.

    Raises: ValueError when a type occurs twice or is no u64.
    Source: BOLT 1, "Type-Length-Value Format".
    """
    parts: list[bytes] = []
    previous = -1
    for record_type, value in sorted(records):
        if record_type == previous:
            raise ValueError(f"TLV type {record_type} occurs twice")
        parts += (encode_bigsize(record_type), encode_bigsize(len(value)), value)
        previous = record_type
    return b"".join(parts)


@final
class TlvStream(Generic[T]):
    """One TLV namespace: its known records, in the order in which `decode` returns their values.

    Args: fields: (type, name by the BOLT, codec of the value) of each known record.
    """

    def __init__(self, fields: Sequence[tuple[int, str, ValueCodec[T]]]) -> None:
        self._fields = tuple(fields)
        self._absent: tuple[T | None, ...] = tuple(codec.absent for _, _, codec in fields)
        self._by_type = {number: (index, name, codec) for index, (number, name, codec) in enumerate(fields)}
        if len(self._by_type) != len(self._fields):
            raise ValueError("a TLV type is declared twice")

    @property
    def absent(self) -> tuple[T | None, ...]:
        """The values of a stream without records."""
        return self._absent

    def decode(self, raw: bytes, offset: int) -> tuple[list[T | None], TlvRecords]:
        """Decode the stream that fills `raw` from `offset`: the known values in order, and the unknown odd records.

        Raises: DecodeError as `split_records`; on an unknown even type; when a known value does not decode.
        Source: BOLT 1, "Type-Length-Value Format".
        """
        values = list(self._absent)
        unknown: list[tuple[int, bytes]] = []
        for record_type, value, value_offset in split_records(raw, offset):
            known = self._by_type.get(record_type)
            if known is None:
                if record_type & 1 == 0:
                    raise DecodeError(f"unknown even TLV type {record_type}", offset=value_offset)
                unknown.append((record_type, value))
                continue
            index, name, codec = known
            try:
                values[index] = codec.decode(value)
            except DecodeError as error:
                raise DecodeError(error.what, offset=value_offset + max(error.offset, 0), field=name) from None
        return values, tuple(unknown)

    def encode(self, values: Sequence[T | None], unknown: TlvRecords) -> bytes:
        """Encode the known `values` (in the order of the fields) and the `unknown` records, each at its place.

        Raises: ValueError when a value does not fit its codec, or a type occurs twice.
        """
        records = list(unknown)
        for (record_type, name, codec), value, absent in zip(self._fields, values, self._absent, strict=True):
            if value is None or value == absent:
                continue
            try:
                records.append((record_type, codec.encode(value)))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return join_records(records)
