"""Our own durable record of every block: the consensus library loses what it has not flushed.

One file, appended to and made durable before a block is reported. A record is

    magic (4) | length (4, little-endian) | kind (1) | payload | checksum (4: head of SHA-256 over kind and payload)

Kinds: a serialised block, a block hash that `invalidateblock` named, and one that `reconsiderblock` named. A record
cut short by a crash ends the journal: it is cut off at the next start, and nothing that was reported is behind it.
"""

import os
import struct
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Final, final

from leyden.base.errors import StorageBroken, StorageUnavailable
from leyden.crypto.hashes import sha256

_MAGIC: Final = b"LYb1"
_HEAD: Final = struct.Struct("<4sIB")
_CHECKSUM_LENGTH: Final = 4
_RECORD_LENGTH_MAX: Final = 4_000_001
"""A block has at most 4,000,000 bytes; one more for the kind."""


class RecordKind(Enum):
    """What a record says."""

    BLOCK = 0
    INVALIDATED = 1
    RECONSIDERED = 2


Record = tuple[RecordKind, bytes, int]
"""kind, payload, and the offset of the payload in the file."""


@final
class BlockJournal:
    """An append-only file. One process, one thread.

    Args of the constructor: path: the file, made when absent.
    Raises StorageBroken when the file has a damaged record before its end, StorageUnavailable when it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._broken = False
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._size = os.fstat(self._fd).st_size
            _sync_directory(path.parent)
        except OSError as error:
            raise StorageUnavailable(f"the block journal {path} cannot be opened: {error.strerror}") from error
        self._durable = 0

    def replay(self) -> Iterator[Record]:
        """Yield every whole record in order, then cut a torn tail off. Call once, to the end, before any append.

        Raises StorageBroken when a damaged record is followed by another whole one: that is no torn tail.
        """
        data = self._read_all()
        position = 0
        while True:
            record = _parse_record(data, position)
            if record is None:
                break
            kind, start, end = record
            yield kind, data[start : end - _CHECKSUM_LENGTH], start
            position = end
        if position < len(data):
            self._cut_tail(data, position)
        self._size = position
        self._durable = position

    def _read_all(self) -> bytes:
        chunks: list[bytes] = []
        offset = 0
        while offset < self._size:
            chunk = os.pread(self._fd, min(self._size - offset, 1 << 24), offset)
            if not chunk:
                break
            chunks.append(chunk)
            offset += len(chunk)
        return b"".join(chunks)

    def _cut_tail(self, data: bytes, position: int) -> None:
        later = data.find(_MAGIC, position + 1)
        while later != -1:
            if _parse_record(data, later) is not None:
                raise StorageBroken(f"the block journal {self._path} is damaged at offset {position}")
            later = data.find(_MAGIC, later + 1)
        os.ftruncate(self._fd, position)
        os.fsync(self._fd)

    def append(self, kind: RecordKind, payload: bytes) -> int:
        """Write a record; it is durable only after `sync`. Returns the offset of the payload in the file.

        Raises StorageUnavailable when the disk does not take it (the record is gone then), StorageBroken when
        it cannot even be taken back.
        """
        self._check()
        body = bytes((kind.value,)) + payload
        record = _HEAD.pack(_MAGIC, len(body), kind.value) + payload + sha256(body)[:_CHECKSUM_LENGTH]
        start = self._size
        try:
            written = 0
            while written < len(record):
                written += os.pwrite(self._fd, record[written:], start + written)
        except OSError as error:
            self._take_back(start)
            raise StorageUnavailable(f"the block journal cannot be written: {error.strerror}") from error
        self._size = start + len(record)
        return start + _HEAD.size

    def _take_back(self, size: int) -> None:
        try:
            os.ftruncate(self._fd, size)
        except OSError as error:
            self._broken = True
            raise StorageBroken(f"the block journal cannot be repaired: {error.strerror}") from error

    def sync(self) -> None:
        """Make everything appended so far durable. Raises StorageBroken, and the journal takes no more writes."""
        self._check()
        if self._durable == self._size:
            return
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            # After a failed sync the kernel may have dropped the pages: a second try would lie.
            self._broken = True
            raise StorageBroken(f"the block journal cannot be made durable: {error.strerror}") from error
        self._durable = self._size

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes at `offset`, as given by `replay` or `append`. Raises StorageBroken on a short read."""
        data = os.pread(self._fd, length, offset)
        if len(data) != length:
            raise StorageBroken(f"the block journal {self._path} is shorter than it was")
        return data

    def close(self) -> None:
        """Close the file without syncing. May be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._broken = True

    def _check(self) -> None:
        if self._broken:
            raise StorageBroken("the block journal takes no more writes")


def _parse_record(data: bytes, position: int) -> tuple[RecordKind, int, int] | None:
    """Return kind, start of the payload and end of the record at `position`, or None when there is no whole one."""
    start = position + _HEAD.size
    if start > len(data):
        return None
    magic, length, kind = _HEAD.unpack_from(data, position)
    end = start + length - 1 + _CHECKSUM_LENGTH
    if magic != _MAGIC or not 1 <= length <= _RECORD_LENGTH_MAX or end > len(data):
        return None
    if kind > RecordKind.RECONSIDERED.value:
        return None
    body = data[start - 1 : end - _CHECKSUM_LENGTH]
    if sha256(body)[:_CHECKSUM_LENGTH] != data[end - _CHECKSUM_LENGTH : end]:
        return None
    return RecordKind(kind), start, end


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
