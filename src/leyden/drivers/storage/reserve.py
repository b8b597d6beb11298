"""Disk space put aside for the hour in which the disk is full.

A node without room still has to write: that a channel closes, and preimages that claim money (DESIGN, "Broadcast
rule"). The reserve is a file of zeros beside the store; to release it is to remove it. Other programs may be faster to
fill the gap, so this is help, not a promise.
"""

import os
from contextlib import suppress
from pathlib import Path


class DiskReserve:
    """The file at `path`, of `size` bytes when it is there (0: never)."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size

    def fill(self) -> bool:
        """Put the space aside, unless it is; return whether it is. A disk without room is no error here."""
        if self._size == 0:
            return False
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self._size)
            finally:
                os.close(descriptor)
        except OSError:
            self.release()
            return False
        return True

    def release(self) -> bool:
        """Give the space back to the file system; return whether there was any."""
        with suppress(OSError):
            self._path.unlink()
            return True
        return False
