"""A store file for those who only look at it:

verified as at a start, and nothing of it is changed, not even the fence.
"""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import apsw

from leyden.base.errors import StorageBroken
from leyden.drivers.storage import sqlite_schema
from leyden.drivers.storage.lock import FileLock
from leyden.drivers.storage.sqlite_file import SqliteFile
from leyden.ports.store import StoredJournal


class _FileToRead(SqliteFile):
    def _open(self) -> None:
        if not sqlite_schema.recognise(self._connection, self.path):
            raise StorageBroken(f"{self.path} is empty: no node has worked with it yet")
        self._read_all()


class SqliteReader:
    """Reads a store that no node has open; a context manager.

    Raises: StorageFenced when a node has the file, StorageBroken when there is none or it is damaged, foreign or newer.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise StorageBroken(f"{path} does not exist: name the data directory of a node that has run")
        self._lock = FileLock(path.with_name(path.name + ".lock"))
        self._lock.take()
        try:
            self._file = _FileToRead(path, None)
        except apsw.Error as error:
            self._lock.release()
            raise sqlite_schema.storage_error(error, path) from error
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> "SqliteReader":
        """Return the reader."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self._file.close()
        self._lock.release()

    def journals(self) -> Iterator[StoredJournal]:
        """Yield every journal in the order of its name; call once."""
        for journal in sorted(self._file.positions):
            position, state = self._file.read_snapshot(journal)
            yield StoredJournal(journal, position, state, self._file.take_tail(journal))

    def penalty_rows(self, journal: str) -> bytes:
        """Return the penalty log of a journal."""
        return self._file.read_penalty_rows(journal)
