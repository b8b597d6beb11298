"""The SQLite file itself: how it is opened, recognised, made, and what its errors mean.

Everything up to `recognise` reads only: a file that is refused is left as it was, its write-ahead log included.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias, cast

import apsw

from leyden.base.errors import StorageBroken, StorageFailed, StorageFenced, StorageUnavailable

FORMAT_VERSION = 1
"""Layout of the tables (`user_version`); a higher one is refused."""

APPLICATION_ID = 0x4C65_7964
"""`Leyd`: marks the file as ours."""

PAGE_SIZE = 4096

Value: TypeAlias = int | str | bytes | bytearray | None
"""What this driver binds."""


class Rows(Protocol):
    """The part of `apsw.Cursor` that this driver uses."""

    @property
    def get(self) -> object:
        """Run to the end; one value, a row, a list of rows, or None."""
        ...

    def __iter__(self) -> Iterator[tuple[object, ...]]: ...


class Database(Protocol):
    """The part of `apsw.Connection` that this driver uses (apsw's own types need a newer Python to be read)."""

    @property
    def in_transaction(self) -> bool: ...

    def execute(self, statements: str, bindings: Sequence[Value] | None = None, /) -> Rows: ...

    def executemany(self, statements: str, sequenceofbindings: Sequence[Sequence[Value]], /) -> Rows: ...

    def changes(self) -> int: ...

    def config(self, op: int, value: int, /) -> int: ...

    def wal_checkpoint(self, dbname: str | None = None, mode: int = 0) -> tuple[int, int]: ...

    def close(self, force: bool = False) -> None: ...


_TABLES = """
create table fence(id integer primary key check (id = 1), epoch integer not null) strict;
create table log(seq integer primary key, blob blob not null) strict;
create table snapshot(journal text not null unique, position integer not null, blob blob not null) strict;
create table penalty(id integer primary key, journal text not null, blob blob not null) strict;
create index penalty_journal on penalty(journal);
create table dropped(journal text not null unique, seq integer not null) strict;
insert into fence(id, epoch) values (1, 0);
"""

_ADVICE = (
    "nothing was changed. Copy the whole data directory away and check the disk; do not put an older copy in its place "
    "(old channel states can cost money)"
)

_FSYNC_FAILED = (
    apsw.SQLITE_IOERR_FSYNC,
    apsw.SQLITE_IOERR_DIR_FSYNC,
    apsw.SQLITE_IOERR_CORRUPTFS,
    apsw.SQLITE_IOERR_DATA,
)


def storage_error(error: apsw.Error, path: Path) -> StorageFailed:
    """Return what an SQLite error means for a caller of the `Store` port."""
    match error:
        case apsw.FullError():
            return StorageUnavailable(f"no room to write {path}: free some disk space; writing goes on by itself")
        case apsw.IOError() if getattr(error, "extendedresult", 0) in _FSYNC_FAILED:
            # After a failed sync the kernel may call dropped pages clean, so a repeated sync that succeeds proves
            # nothing.
            return StorageBroken(f"the disk under {path} failed to sync ({error}): check the disk, then start again")
        case apsw.BusyError() | apsw.LockedError() | apsw.IOError() | apsw.NoMemError() | apsw.InterruptError():
            return StorageUnavailable(f"{path} cannot be written at the moment ({error})")
        case apsw.CorruptError() | apsw.NotADBError():
            return StorageBroken(f"{path} is damaged ({error}); {_ADVICE}")
        case apsw.ReadOnlyError() | apsw.CantOpenError() | apsw.PermissionsError():
            return StorageBroken(f"{path} cannot be written ({error}): check its owner, its permissions and the mount")
        case _:
            return StorageBroken(f"{path} refused a write ({type(error).__name__}: {error})")


def damaged(path: Path, what: str) -> StorageBroken:
    """Return the error for a file whose content makes no sense; `what` says where."""
    return StorageBroken(f"{path} is damaged: {what}; {_ADVICE}")


def scalar(connection: Database, sql: str, bindings: Sequence[Value] = ()) -> int:
    """Return the integer that a query of one row and one column gives."""
    value = connection.execute(sql, bindings).get
    if not isinstance(value, int):
        raise apsw.CorruptError(f"`{sql}` gave no number")
    return value


def connect(path: Path, vfs: str | None) -> Database:
    """Open the file so that nothing is written yet: exclusive, queries only, no checkpoint at close."""
    connection = cast("Database", apsw.Connection(str(path), vfs=vfs))
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    # Exclusive before the first read: the WAL index then lives on the heap, and no second process gets in.
    connection.execute("pragma locking_mode = exclusive").get  # noqa: B018
    connection.execute("pragma query_only = 1")
    return connection


def recognise(connection: Database, path: Path) -> bool:
    """Return whether the file is a store (True) or still empty (False).

    Raises StorageFenced when another process has it, StorageBroken for a foreign, newer or damaged file.
    """
    try:
        application_id = scalar(connection, "pragma application_id")
        version = scalar(connection, "pragma user_version")
        tables = scalar(connection, "select count(*) from sqlite_schema")
    except apsw.BusyError as error:
        raise StorageFenced(
            f"data directory {path.parent} is in use: another process has {path.name} open; stop it first"
        ) from error
    if application_id == 0 and version == 0 and tables == 0:
        return False
    if application_id != APPLICATION_ID:
        raise StorageBroken(f"{path} is an SQLite file of another program: give this node a directory of its own")
    if version > FORMAT_VERSION:
        raise StorageBroken(
            f"{path} has format {version}, this version reads up to {FORMAT_VERSION}: "
            "use the newer version that wrote it"
        )
    verdict = connection.execute("pragma quick_check(1)").get
    if verdict != "ok":
        raise damaged(path, f"SQLite says {verdict}")
    return True


def prepare_for_writing(connection: Database) -> None:
    """Switch an accepted file to writing: WAL before the first write, full sync, checkpoints only when asked for."""
    connection.execute("pragma query_only = 0")
    connection.execute(f"pragma page_size = {PAGE_SIZE}")
    connection.execute("pragma auto_vacuum = incremental")
    # The switch to WAL deletes a rollback journal; `extra` syncs the directory too, so that it cannot come back.
    connection.execute("pragma synchronous = extra")
    if connection.execute("pragma journal_mode = wal").get != "wal":
        raise apsw.CantOpenError("the file system has no support for a write-ahead log")
    connection.execute("pragma synchronous = full")
    connection.execute("pragma fullfsync = 1")
    connection.execute("pragma wal_autocheckpoint = 0").get  # noqa: B018
    connection.execute("pragma journal_size_limit = 67108864").get  # noqa: B018


def create(connection: Database) -> None:
    """Make the tables of an empty file in one transaction, and have them in the file itself.

    From then on a file without tables is one that never worked, not one that lost its write-ahead log.
    """
    marks = f"pragma application_id = {APPLICATION_ID}; pragma user_version = {FORMAT_VERSION};"
    connection.execute(f"begin immediate; {_TABLES} {marks} commit")
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
