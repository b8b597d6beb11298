"""Files that must be refused: each with a sentence that names it, and nothing on the disk changed."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import cast

import apsw
import pytest

from leyden.base.errors import StorageBroken, StorageFailed, StorageFenced, StorageUnavailable
from leyden.drivers.storage.sqlite import SqliteStore
from leyden.drivers.storage.sqlite_schema import storage_error
from leyden.ports.store import Append, Snapshot
from tests.drivers.storage.contract.suite import CHANNEL, batch, snapshotted, written


async def _make(path: Path, crashed: Path | None) -> None:
    """A store with some of everything; `crashed` gets a copy of its files as a crash would leave them."""
    store = SqliteStore(path)
    epoch = await store.open()
    for position in range(1, 20):
        await written(store, epoch, batch(CHANNEL, position, position), Append("node", position, [b"n" * 3000]))
    await snapshotted(store, epoch, Snapshot(CHANNEL, 5, b"state" * 2000, b"rows" * 2000))
    if crashed is not None:
        for file in (path, path.with_name(path.name + "-wal")):
            shutil.copy(file, crashed.with_name(file.name.replace(path.name, crashed.name)))
    await store.close()


def _sql(statement: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        connection = apsw.Connection(str(path))
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        for _ in connection.execute(statement):
            pass
        connection.close()

    return damage


def _bytes(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.write_bytes(change(path.read_bytes()))

    return damage


_FLIP_LOG = "update log set blob = cast(substr(blob, 1, 40) || x'ff' || substr(blob, 42) as blob) where seq = 7"
_DAMAGES: list[tuple[str, Callable[[Path], None], str]] = [
    ("newer format", _sql("pragma user_version = 2"), "has format 2, this version reads up to 1: use the newer"),
    ("newer blob", _sql("update log set blob = cast(x'02' || substr(blob, 2) as blob) where seq = 3"), "format 2"),
    ("flipped bit in the log", _sql(_FLIP_LOG), "log row 7 fails its checksum"),
    ("truncated blob", _sql("update log set blob = cast(substr(blob, 1, 50) as blob) where seq = 7"), "checksum"),
    ("stub of a blob", _sql("update log set blob = x'0102' where seq = 7"), "log row 7 is cut short"),
    ("row moved", _sql("update log set seq = 100 where seq = 19"), "log row 100 fails its checksum"),
    ("row missing", _sql("delete from log where seq = 7"), "record 8 of .*, records 7 and on are missing"),
    ("snapshot damaged", _sql("update snapshot set blob = cast(substr(blob, 1, 99) as blob)"), "snapshot of channel"),
    ("snapshot moved", _sql("update snapshot set position = 6"), "snapshot of channel/.* fails its checksum"),
    ("other program", _sql("pragma application_id = 77"), "another program"),
]
_TORN: list[tuple[str, Callable[[Path], None], str]] = [
    ("half the file", _bytes(lambda b: b[: len(b) // 8192 * 4096]), "damaged"),
    ("page overwritten", _bytes(lambda b: b[:8192] + b"\xa5" * 4096 + b[12288:]), "damaged"),
    ("no database", _bytes(lambda b: b"not a database at all" * 400), "damaged"),
]


def _content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.endswith(".lock")}


async def _refused(victim: Path, message: str) -> None:
    before = _content(victim.parent)
    with pytest.raises(StorageBroken, match=message) as refusal:
        await SqliteStore(victim).open()
    assert str(victim) in str(refusal.value)
    assert _content(victim.parent) == before


@pytest.mark.parametrize(("what", "damage", "message"), _DAMAGES + _TORN, ids=[name for name, _, _ in _DAMAGES + _TORN])
async def test_damaged_or_newer_file_is_refused_and_left_alone(
    tmp_path: Path, what: str, damage: Callable[[Path], None], message: str
) -> None:
    """What an older version or a repair attempt writes over is lost; the owner must get the chance to save it."""
    path = tmp_path / "leyden.db"
    await _make(path, None)
    damage(path)
    await _refused(path, message)


@pytest.mark.parametrize(("what", "damage", "message"), _DAMAGES, ids=[name for name, _, _ in _DAMAGES])
async def test_damage_in_the_write_ahead_log_is_refused_and_left_alone(
    tmp_path: Path, what: str, damage: Callable[[Path], None], message: str
) -> None:
    """After a crash the newest records are in the log only, and opening a file must not fold the log into it."""
    copy = tmp_path / "crashed.db"
    await _make(tmp_path / "leyden.db", copy)
    damage(copy)
    assert copy.with_name("crashed.db-wal").stat().st_size > 0
    await _refused(copy, message)


@pytest.mark.parametrize("emptied", [False, True])
async def test_write_ahead_log_without_its_file_is_refused(tmp_path: Path, emptied: bool) -> None:
    """SQLite would delete the log, and with it records that were reported durable."""
    path, copy = tmp_path / "leyden.db", tmp_path / "crashed.db"
    await _make(path, copy)
    if emptied:
        copy.write_bytes(b"")
    else:
        copy.unlink()
    await _refused(copy, r"crashed\.db is missing or empty")


async def test_crashed_copy_opens_with_everything(tmp_path: Path) -> None:
    """The copies above are refused for their damage, not for being copies."""
    path, copy = tmp_path / "leyden.db", tmp_path / "crashed.db"
    await _make(path, copy)
    store = SqliteStore(copy)
    await store.open()
    assert {stored.journal: stored.position + len(stored.records) for stored in store.load()} == {
        CHANNEL: 19,
        "node": 19,
    }
    await store.close()


async def test_file_that_another_connection_has_open_is_refused(tmp_path: Path) -> None:
    """A shell left open on the file would race with our checkpoints."""
    path = tmp_path / "leyden.db"
    await _make(path, None)
    shell = apsw.Connection(str(path))
    shell.execute("begin; select count(*) from log").get  # noqa: B018
    with pytest.raises((StorageFenced, StorageFailed)):
        await SqliteStore(path).open()
    shell.close(True)


async def test_directory_that_does_not_exist_is_named(tmp_path: Path) -> None:
    """The first mistake of a new owner."""
    with pytest.raises(StorageBroken, match="nowhere"):
        await SqliteStore(tmp_path / "nowhere" / "leyden.db").open()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (apsw.SQLITE_FULL, StorageUnavailable),
        (apsw.SQLITE_BUSY, StorageUnavailable),
        (apsw.SQLITE_LOCKED, StorageUnavailable),
        (apsw.SQLITE_NOMEM, StorageUnavailable),
        (apsw.SQLITE_IOERR_WRITE, StorageUnavailable),
        (apsw.SQLITE_IOERR_FSYNC, StorageBroken),
        (apsw.SQLITE_IOERR_DIR_FSYNC, StorageBroken),
        (apsw.SQLITE_CORRUPT, StorageBroken),
        (apsw.SQLITE_NOTADB, StorageBroken),
        (apsw.SQLITE_READONLY, StorageBroken),
        (apsw.SQLITE_CANTOPEN, StorageBroken),
        (apsw.SQLITE_CONSTRAINT, StorageBroken),
        (apsw.SQLITE_TOOBIG, StorageBroken),
    ],
)
def test_every_error_of_sqlite_is_transient_or_final(code: int, kind: type[StorageFailed]) -> None:
    """The node retries a transient failure and stops at a final one; a wrong guess stalls it or loses records."""
    failure = storage_error(cast("apsw.Error", apsw.exception_for(code)), Path("/data/leyden.db"))
    assert type(failure) is kind
    assert "/data/leyden.db" in str(failure)
