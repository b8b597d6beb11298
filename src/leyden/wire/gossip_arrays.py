"""The `encoded_...` arrays of BOLT 7, "Query Messages": an encoding byte, then the elements.

Only encoding 0 (plain) exists. Encoding 1 was zlib; it must not be used any more and is refused unread, which also
spares us compressed bombs. The messages that carry it still decode, since the array is only bytes there.
"""

import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, final

import msgspec

from leyden.base.errors import DecodeError
from leyden.wire.codec import decode_bigsize, encode_bigsize

_PLAIN: Final = 0
_RETIRED_ZLIB: Final = 1


@final
class ChannelUpdateTimestamps(msgspec.Struct, frozen=True, gc=False):
    """Timestamps of the updates of both directions, 0 when there is none."""

    timestamp_node_id_1: int
    timestamp_node_id_2: int


def _plain_body(encoded: bytes, element_size: int, field: str) -> bytes:
    if not encoded:
        raise DecodeError("encoding byte is missing", offset=0, field=field)
    if encoded[0] == _RETIRED_ZLIB:
        raise DecodeError("zlib encoding is retired", offset=0, field=field)
    if encoded[0] != _PLAIN:
        raise DecodeError(f"unknown encoding {encoded[0]}", offset=0, field=field)
    body = encoded[1:]
    if len(body) % element_size:
        raise DecodeError(f"{len(body)} bytes are no multiple of {element_size}", offset=1, field=field)
    return body


def decode_short_ids(encoded: bytes) -> tuple[int, ...]:
    """Read `encoded_short_ids`.

    Raises: DecodeError on a missing, retired or unknown encoding, a broken element, or ids that do not ascend.
    """
    body = _plain_body(encoded, 8, "encoded_short_ids")
    short_ids: tuple[int, ...] = struct.unpack(f"!{len(body) // 8}Q", body)
    for place in range(1, len(short_ids)):
        if short_ids[place] <= short_ids[place - 1]:
            raise DecodeError("short channel ids do not ascend", offset=1 + 8 * place, field="encoded_short_ids")
    return short_ids


def encode_short_ids(short_ids: Sequence[int]) -> bytes:
    """Write `encoded_short_ids`. Raises: ValueError when they do not strictly ascend or one is no u64."""
    if any(later <= earlier for earlier, later in pairwise(short_ids)):
        raise ValueError("short channel ids do not ascend")
    try:
        return bytes((_PLAIN,)) + struct.pack(f"!{len(short_ids)}Q", *short_ids)
    except struct.error as error:
        raise ValueError(str(error)) from None


def decode_query_flags(encoded: bytes) -> tuple[int, ...]:
    """Read `query_flags`, one minimal BigSize per short channel id.

    Raises: DecodeError on a missing, retired or unknown encoding, or a broken element.
    """
    body = _plain_body(encoded, 1, "query_flags")
    flags: list[int] = []
    offset = 0
    while offset < len(body):
        try:
            flag, offset = decode_bigsize(body, offset)
        except DecodeError as error:
            raise DecodeError(error.what, offset=1 + error.offset, field="query_flags") from None
        flags.append(flag)
    return tuple(flags)


def encode_query_flags(flags: Sequence[int]) -> bytes:
    """Write `query_flags`. Raises: ValueError when one is no u64."""
    return bytes((_PLAIN,)) + b"".join(encode_bigsize(flag) for flag in flags)


def decode_timestamps(encoded: bytes) -> tuple[ChannelUpdateTimestamps, ...]:
    """Read the TLV `timestamps` of `reply_channel_range`.

    Raises: DecodeError on a missing, retired or unknown encoding, or a broken element.
    """
    body = _plain_body(encoded, 8, "timestamps")
    return tuple(ChannelUpdateTimestamps(first, second) for first, second in struct.iter_unpack("!II", body))


def encode_timestamps(timestamps: Sequence[ChannelUpdateTimestamps]) -> bytes:
    """Write the TLV `timestamps` of `reply_channel_range`. Raises: ValueError when one is no u32."""
    try:
        pairs = [struct.pack("!II", pair.timestamp_node_id_1, pair.timestamp_node_id_2) for pair in timestamps]
    except struct.error as error:
        raise ValueError(str(error)) from None
    return bytes((_PLAIN,)) + b"".join(pairs)
