"""The kinds of field that BOLT messages have. A message class declares each field as `Annotated[type, kind]`.

Fixed-size fields name their `struct` format: runs of them are read and written in one call (`leyden.wire.layout`).
The other kinds decode themselves. Sizes in bytes.
"""

import struct
from functools import lru_cache
from typing import Annotated, Any, Generic, TypeVar, final

from leyden.base.errors import DecodeError
from leyden.wire.codec import compile_array, decode_bigsize, decode_truncated, encode_bigsize, encode_truncated
from leyden.wire.tlv import TlvRecords, ValueCodec

S = TypeVar("S")


@final
class Fixed:
    """A field of fixed size: a struct format of one value. As the value of a TLV record it must fill the record."""

    absent = None

    def __init__(self, element_format: str, *, is_point: bool = False, is_secret: bool = False) -> None:
        self.format = element_format
        self.is_secret = is_secret
        self.is_bytes = element_format.endswith("s")
        self.is_point = is_point
        self._struct = struct.Struct("!" + element_format)
        self.size = self._struct.size

    def decode(self, value: bytes) -> Any:
        """Decode a value of exactly `size` bytes. Raises: DecodeError."""
        if len(value) != self.size:
            raise DecodeError(f"{len(value)} bytes instead of {self.size}", offset=0)
        if self.is_point and value[0] & 0xFE != 2:
            raise DecodeError("point does not start with 2 or 3", offset=0)
        return self._struct.unpack(value)[0]

    def encode(self, decoded: Any) -> bytes:
        """Encode. Raises: ValueError when it does not fit."""
        # struct pads and cuts bytes silently: a short key would leave the node as another key.
        if self.is_bytes and len(decoded) != self.size:
            raise ValueError(f"{len(decoded)} bytes instead of {self.size}")
        try:
            return self._struct.pack(decoded)
        except struct.error as error:
            raise ValueError(str(error)) from None


@final
class Prefixed:
    """Bytes behind a u16 length."""

    def read(self, raw: bytes, offset: int) -> tuple[bytes, int]:
        """Read at `offset`; return the bytes and the offset behind them. Raises: DecodeError when truncated."""
        start = offset + 2
        end = start + int.from_bytes(raw[offset:start], "big")
        if len(raw) < start or len(raw) < end:
            raise DecodeError("field is truncated", offset=offset)
        return raw[start:end], end

    def write(self, decoded: Any) -> bytes:
        """Write length and bytes. Raises: ValueError when longer than 65535 bytes."""
        if len(decoded) > 0xFFFF:
            raise ValueError(f"{len(decoded)} bytes do not fit a u16 length")
        return len(decoded).to_bytes(2, "big") + bytes(decoded)


@lru_cache(maxsize=1024)
def _signature_array(count: int) -> struct.Struct:
    return compile_array("64s", count)


@final
class CountedSignatures:
    """64-byte signatures behind a u16 count: a tuple of bytes."""

    def read(self, raw: bytes, offset: int) -> tuple[tuple[bytes, ...], int]:
        """Read at `offset`; return the signatures and the offset behind. Raises: DecodeError when truncated."""
        start = offset + 2
        count = int.from_bytes(raw[offset:start], "big")
        end = start + 64 * count
        if len(raw) < start or len(raw) < end:
            raise DecodeError("signatures are truncated", offset=offset)
        return _signature_array(count).unpack_from(raw, start), end

    def write(self, decoded: Any) -> bytes:
        """Write count and signatures. Raises: ValueError when one is not 64 bytes or they are too many."""
        for signature in decoded:
            if len(signature) != 64:
                raise ValueError(f"signature of {len(signature)} bytes")
        if len(decoded) > 0xFFFF // 64:
            raise ValueError(f"{len(decoded)} signatures do not fit a message")
        return len(decoded).to_bytes(2, "big") + b"".join(decoded)


@final
class CountedPrefixed:
    """Byte strings, each behind a u16 length, behind a u16 count: a tuple of bytes."""

    _element = Prefixed()

    def read(self, raw: bytes, offset: int) -> tuple[tuple[bytes, ...], int]:
        """Read at `offset`; return the strings and the offset behind. Raises: DecodeError when truncated."""
        start = offset + 2
        if len(raw) < start:
            raise DecodeError("count is truncated", offset=offset)
        count = int.from_bytes(raw[offset:start], "big")
        offset = start
        elements: list[bytes] = []
        # Each element takes at least two bytes, so the message's length bounds this loop.
        for _ in range(count):
            element, offset = self._element.read(raw, offset)
            elements.append(element)
        return tuple(elements), offset

    def write(self, decoded: Any) -> bytes:
        """Write count and strings. Raises: ValueError when one does not fit or they are too many."""
        if len(decoded) > 0xFFFF:
            raise ValueError(f"{len(decoded)} elements do not fit a u16 count")
        return len(decoded).to_bytes(2, "big") + b"".join(self._element.write(element) for element in decoded)


@final
class Rest:
    """All bytes that are left: the value of a TLV record, or of a message that has no TLV stream."""

    absent = None

    def decode(self, value: bytes) -> bytes:
        """Return the value."""
        return value

    def encode(self, decoded: Any) -> bytes:
        """Return the value."""
        return bytes(decoded)


@final
class Flag:
    """A TLV record whose presence is its meaning; the value is empty."""

    absent = False

    def decode(self, value: bytes) -> bool:
        """Return True. Raises: DecodeError when the value is not empty."""
        if value:
            raise DecodeError(f"{len(value)} bytes instead of none", offset=0)
        return True

    def encode(self, decoded: Any) -> bytes:
        """Return no bytes (False is `absent` and writes no record)."""
        return b""


@final
class BigSizeValue:
    """A TLV value that is one BigSize."""

    absent = None

    def decode(self, value: bytes) -> int:
        """Decode. Raises: DecodeError when not minimal, truncated or followed by more."""
        number, end = decode_bigsize(value, 0)
        if end != len(value):
            raise DecodeError("bytes left behind the bigsize", offset=end)
        return number

    def encode(self, decoded: Any) -> bytes:
        """Encode. Raises: ValueError when out of range."""
        return encode_bigsize(decoded)


@final
class Truncated:
    """A TLV value that is one truncated integer of at most `width` bytes."""

    absent = None

    def __init__(self, width: int) -> None:
        self.width = width

    def decode(self, value: bytes) -> int:
        """Decode. Raises: DecodeError when too long or not minimal."""
        return decode_truncated(value, self.width)

    def encode(self, decoded: Any) -> bytes:
        """Encode. Raises: ValueError when out of range."""
        return encode_truncated(decoded, self.width)


@final
class Composite(Generic[S]):
    """A TLV value of several fixed-size fields: an instance of `cls`, built from them in order."""

    absent = None

    def __init__(self, cls: type[S], elements: dict[str, Fixed]) -> None:
        self.cls = cls
        self.elements = elements
        self.size = sum(element.size for element in elements.values())

    def decode(self, value: bytes) -> S:
        """Decode. Raises: DecodeError when the length is wrong or an element does not decode."""
        if len(value) != self.size:
            raise DecodeError(f"{len(value)} bytes instead of {self.size}", offset=0)
        values: list[Any] = []
        offset = 0
        for element in self.elements.values():
            values.append(element.decode(value[offset : offset + element.size]))
            offset += element.size
        return self.cls(*values)

    def encode(self, decoded: Any) -> bytes:
        """Encode. Raises: ValueError when an element does not fit."""
        return b"".join(element.encode(getattr(decoded, name)) for name, element in self.elements.items())


@final
class Repeated:
    """A TLV value that is an array of one fixed-size kind: a tuple."""

    absent = None

    def __init__(self, element: Fixed | Composite[Any]) -> None:
        self.element = element

    def decode(self, value: bytes) -> tuple[Any, ...]:
        """Decode. Raises: DecodeError when the value is no whole number of elements."""
        size = self.element.size
        if len(value) % size:
            raise DecodeError(f"{len(value)} bytes are no multiple of {size}", offset=0)
        return tuple(self.element.decode(value[at : at + size]) for at in range(0, len(value), size))

    def encode(self, decoded: Any) -> bytes:
        """Encode. Raises: ValueError when an element does not fit."""
        return b"".join(self.element.encode(element) for element in decoded)


@final
class Tlv:
    """Marks a field that is a record of the message's TLV stream.

    Args: number: the record's type. value: how its value is written.
    """

    def __init__(self, number: int, value: ValueCodec[Any]) -> None:
        self.number = number
        self.value = value


POINT = Fixed("33s", is_point=True)
HASH32 = Fixed("32s")
SIGNATURE = Fixed("64s")
REST = Rest()
FLAG = Flag()

U8 = Annotated[int, Fixed("B")]
U16 = Annotated[int, Fixed("H")]
U32 = Annotated[int, Fixed("I")]
U64 = Annotated[int, Fixed("Q")]
S64 = Annotated[int, Fixed("q")]
Bytes3 = Annotated[bytes, Fixed("3s")]
Bytes32 = Annotated[bytes, HASH32]
Secret32 = Annotated[bytes, Fixed("32s", is_secret=True)]
Signature = Annotated[bytes, SIGNATURE]
Point = Annotated[bytes, POINT]
Bytes1366 = Annotated[bytes, Fixed("1366s")]
PrefixedBytes = Annotated[bytes, Prefixed()]
Signatures = Annotated[tuple[bytes, ...], CountedSignatures()]
PrefixedStrings = Annotated[tuple[bytes, ...], CountedPrefixed()]
UnknownTlvs = Annotated[TlvRecords, "unknown_tlvs"]
ExcessData = Annotated[bytes, REST]
