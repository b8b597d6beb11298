"""Integers of BOLT 1, "Fundamental Types": BigSize, truncated and signed integers, bytes in and out."""

import struct

from leyden.base.errors import DecodeError

MESSAGE_SIZE_MAX = 65535
"""Bytes of a whole message, type included: the transport's length field has two bytes (BOLT 8)."""

U64_MAX = 0xFFFF_FFFF_FFFF_FFFF

_SIGNED_WIDTHS = (1, 2, 4, 8)


def encode_bigsize(value: int) -> bytes:
    """Encode `value` (0 to 2^64 - 1) as a BigSize of 1, 3, 5 or 9 bytes.

    Raises: ValueError when out of range.
    Source: BOLT 1, "Appendix A: BigSize Test Vectors".
    """
    if value < 0:
        raise ValueError(f"bigsize {value} is negative")
    if value < 0xFD:
        return value.to_bytes(1, "big")
    if value <= 0xFFFF:
        return b"\xfd" + value.to_bytes(2, "big")
    if value <= 0xFFFF_FFFF:
        return b"\xfe" + value.to_bytes(4, "big")
    if value <= U64_MAX:
        return b"\xff" + value.to_bytes(8, "big")
    raise ValueError(f"bigsize {value} is above 2^64 - 1")


def decode_bigsize(raw: bytes, offset: int) -> tuple[int, int]:
    """Read a BigSize at `offset` (bytes) of `raw`; return its value and the offset behind it.

    Raises: DecodeError when it is truncated or not minimal.
    Source: BOLT 1, "Appendix A: BigSize Test Vectors".
    """
    if offset >= len(raw):
        raise DecodeError("bigsize is missing", offset=offset)
    first = raw[offset]
    if first < 0xFD:
        return first, offset + 1
    width = 2 << (first - 0xFD)
    end = offset + 1 + width
    if end > len(raw):
        raise DecodeError("bigsize is truncated", offset=offset)
    value = int.from_bytes(raw[offset + 1 : end], "big")
    floor = 0xFD if width == 2 else 1 << (4 * width)
    if value < floor:
        raise DecodeError("bigsize is not minimal", offset=offset)
    return value, end


def encode_truncated(value: int, width: int) -> bytes:
    """Encode `value` without leading zeros, in at most `width` bytes (2, 4, 8 for tu16, tu32, tu64).

    Raises: ValueError when out of range.
    Source: BOLT 1, "Fundamental Types".
    """
    size = (value.bit_length() + 7) >> 3
    if value < 0 or size > width:
        raise ValueError(f"{value} does not fit a truncated integer of {width} bytes")
    return value.to_bytes(size, "big")


def decode_truncated(raw: bytes, width: int) -> int:
    """Decode the whole of `raw` as a truncated integer of at most `width` bytes.

    Raises: DecodeError when it is longer, or starts with a zero byte.
    Source: BOLT 1, "Fundamental Types".
    """
    if len(raw) > width:
        raise DecodeError(f"truncated integer is longer than {width} bytes", offset=0)
    if raw and raw[0] == 0:
        raise DecodeError("truncated integer is not minimal", offset=0)
    return int.from_bytes(raw, "big")


def encode_signed(value: int, width: int) -> bytes:
    """Encode `value` as big-endian two's complement of `width` bytes (1, 2, 4, 8 for s8, s16, s32, s64).

    Raises: ValueError when out of range or no such width exists.
    Source: BOLT 1, "Appendix D: Signed Integers Test Vectors".
    """
    if width not in _SIGNED_WIDTHS or not -(1 << (8 * width - 1)) <= value < 1 << (8 * width - 1):
        raise ValueError(f"{value} does not fit a signed integer of {width} bytes")
    return value.to_bytes(width, "big", signed=True)


def decode_signed(raw: bytes) -> int:
    """Decode the whole of `raw` (1, 2, 4 or 8 bytes) as a big-endian two's complement integer.

    Raises: DecodeError on any other length.
    Source: BOLT 1, "Appendix D: Signed Integers Test Vectors".
    """
    if len(raw) not in _SIGNED_WIDTHS:
        raise DecodeError(f"signed integer of {len(raw)} bytes", offset=0)
    return int.from_bytes(raw, "big", signed=True)


def compile_array(element_format: str, count: int) -> struct.Struct:
    """Return a Struct that reads `count` big-endian elements of one struct format, such as `64s`, in one call."""
    return struct.Struct("!" + element_format * count)
