"""Blobs at rest: a format byte, a checksum, a body.

SQLite guarantees that a power cut leaves no half of a blob; the checksum is for what SQLite does not see: bits that
rot, and a blob that turns up in another blob's place (the place is part of the checksum).
"""

from zlib import crc32

from leyden.base.errors import StorageBroken

FORMAT = 1
"""The blob format this version writes, and the highest it reads."""

HEADER_SIZE = 5
"""Bytes before the body: format (1), CRC-32 of place and body (4, big-endian)."""

_SLICE = 5120
"""zlib gives up the interpreter lock for more bytes than this; winning it back from a busy loop can cost 5 ms."""


def _checksum(place: bytes, body: memoryview) -> int:
    value = crc32(place)
    for start in range(0, len(body), _SLICE):
        value = crc32(body[start : start + _SLICE], value)
    return value


def seal_in_place(place: bytes, blob: bytearray) -> bytearray:
    """Fill in the header of a blob whose first `HEADER_SIZE` bytes are free and return it."""
    with memoryview(blob) as view, view[HEADER_SIZE:] as body:
        checksum = _checksum(place, body)
    blob[0] = FORMAT
    blob[1:HEADER_SIZE] = checksum.to_bytes(4, "big")
    return blob


def seal(place: bytes, body: bytes) -> bytearray:
    """Return header and body of a blob that belongs at `place` (any bytes that name its row)."""
    return seal_in_place(place, bytearray(HEADER_SIZE) + body)


def open_sealed(place: bytes, blob: bytes, what: str) -> memoryview:
    """Return the body of a blob read from `place`.

    Raises StorageBroken with `what` (names file and row) for a newer format, a blob cut short, or a wrong checksum.
    """
    if len(blob) < HEADER_SIZE:
        raise StorageBroken(f"{what} is cut short ({len(blob)} bytes)")
    if blob[0] > FORMAT:
        raise StorageBroken(
            f"{what} has format {blob[0]}, this version reads up to {FORMAT}: use the newer version that wrote it"
        )
    body = memoryview(blob)[HEADER_SIZE:]
    if blob[0] != FORMAT or _checksum(place, body) != int.from_bytes(blob[1:HEADER_SIZE], "big"):
        raise StorageBroken(f"{what} fails its checksum")
    return body
