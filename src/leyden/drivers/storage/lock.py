"""One process per data directory: an advisory lock on a file beside the store.

SQLite's own lock would do for two processes, but POSIX drops it when any descriptor of the file is closed anywhere in
the process; `flock` belongs to the open file, so two stores in one process exclude each other as well.
"""

import fcntl
import os
from pathlib import Path

from leyden.base.errors import StorageBroken, StorageFenced


class FileLock:
    """Exclusive lock that dies with the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def take(self) -> None:
        """Take the lock; raise StorageFenced if somebody else has it, StorageBroken if the file cannot be made."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageBroken(
                f"cannot open {self._path} ({error.strerror}): check that the data directory exists and can be written"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise StorageFenced(
                f"data directory {self._path.parent} is in use by another process"
                f"{f' (pid {holder})' if holder else ''}: "
                "stop it first, or give this node a directory of its own"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode("ascii"), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back; does nothing when it is not held. The file stays (removing it would race with the next
        taker).
        """
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
