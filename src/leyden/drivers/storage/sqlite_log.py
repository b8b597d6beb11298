"""The write-ahead log that an earlier life left behind, before SQLite opens it."""

import errno
from pathlib import Path

from leyden.base.errors import StorageBroken
from leyden.drivers.atomic_file import write_atomically
from leyden.drivers.storage.sqlite_schema import APPLICATION_ID, FORMAT_VERSION

_HEADER_LENGTH = 100
_USER_VERSION, _APPLICATION_ID = slice(60, 64), slice(68, 72)
"""Places in the header of an SQLite file, big-endian (its documentation, "Database File Format")."""


def renew_log(path: Path) -> None:
    """Put a copy of the log of the store at `path` in its place, written and synced anew; none of other programs' logs.

    The life that left it may have ended because the disk failed to sync. The system may then take pages of the log that
    it could not write for written: they can still be read, but no later sync brings them to the disk, and after a power
    cut all commits behind them would be lost with them, though they were reported durable. A log is here only after a
    crash: a clean stop leaves none.

    Raises: StorageBroken when it cannot be written. A full disk is no error: it must not keep a node from starting.
    """
    log, shared = (path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))
    if not log.exists() or not log.stat().st_size or not _is_ours(path):
        return
    if shared.exists():
        return  # no store makes one: another program has the file open, and SQLite will say so
    try:
        write_atomically(log, log.read_bytes())
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise StorageBroken(
                f"cannot write {log} anew ({error.strerror}): check the disk and its permissions; nothing was changed"
            ) from error


def _is_ours(path: Path) -> bool:
    with path.open("rb") as file:
        header = file.read(_HEADER_LENGTH)
    version, application = (int.from_bytes(header[place], "big") for place in (_USER_VERSION, _APPLICATION_ID))
    return application == APPLICATION_ID and version <= FORMAT_VERSION
