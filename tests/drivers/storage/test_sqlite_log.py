"""The log that a crashed life left is written anew before SQLite sees it."""

import errno
import os
import shutil
from pathlib import Path

import apsw
import pytest

from leyden.base.errors import StorageBroken
from leyden.drivers.storage import sqlite_log
from leyden.drivers.storage.sqlite import SqliteStore
from leyden.drivers.storage.sqlite_log import renew_log
from tests.drivers.storage.contract.suite import CHANNEL, batch, records, written


async def crashed(directory: Path) -> Path:
    """A store file with a log beside it, as `kill -9` leaves them."""
    store = SqliteStore(directory / "live.db", reserve_bytes=0)
    epoch = await store.open()
    assert await written(store, epoch, batch(CHANNEL, 1, 3)) is None
    for suffix in ("", "-wal"):
        shutil.copy(directory / f"live.db{suffix}", directory / f"leyden.db{suffix}")
    await store.close()
    return directory / "leyden.db"


async def test_log_is_another_file_with_the_same_bytes(tmp_path: Path) -> None:
    """Pages that the system wrongly takes for written are written only if they are made again."""
    path = await crashed(tmp_path)
    log = tmp_path / "leyden.db-wal"
    before, inode = log.read_bytes(), log.stat().st_ino
    assert before
    held = log.open("rb")  # or its number might be used again
    renew_log(path)
    held.close()
    assert log.read_bytes() == before
    assert log.stat().st_ino != inode
    store = SqliteStore(path)
    await store.open()
    assert [stored.records for stored in store.load()] == [records(1, 3)]
    await store.close()


async def test_every_start_renews_the_log(tmp_path: Path) -> None:
    """Nobody knows at a start how the last life ended."""
    path = await crashed(tmp_path)
    with (tmp_path / "leyden.db-wal").open("rb") as old:
        store = SqliteStore(path)
        await store.open()
        assert (tmp_path / "leyden.db-wal").stat().st_ino != os.fstat(old.fileno()).st_ino
        await store.close()


async def test_log_of_another_program_is_left_alone(tmp_path: Path) -> None:
    """It may be open there: a log that is exchanged under it would cost that program its data."""
    connection = apsw.Connection(str(tmp_path / "other.db"))
    connection.execute("pragma journal_mode = wal; create table t(x); insert into t values (1)").fetchall()
    inode = (tmp_path / "other.db-wal").stat().st_ino
    with (tmp_path / "other.db-wal").open("rb"):
        renew_log(tmp_path / "other.db")
        assert (tmp_path / "other.db-wal").stat().st_ino == inode
    connection.close()
    renew_log(tmp_path / "other.db")
    renew_log(tmp_path / "none.db")


async def test_log_that_another_program_has_open_is_left_alone(tmp_path: Path) -> None:
    """Somebody may look into the journals with a tool of SQLite's."""
    path = await crashed(tmp_path)
    (tmp_path / "leyden.db-shm").touch()
    inode = (tmp_path / "leyden.db-wal").stat().st_ino
    with (tmp_path / "leyden.db-wal").open("rb"):
        renew_log(path)
        assert (tmp_path / "leyden.db-wal").stat().st_ino == inode


@pytest.mark.parametrize(("number", "refused"), [(errno.ENOSPC, False), (errno.EIO, True)])
async def test_full_disk_keeps_no_node_from_starting_and_a_bad_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, refused: bool
) -> None:
    """A full disk must still close a channel; a disk that fails again must not be built on."""
    path = await crashed(tmp_path)

    def fails(_path: Path, _content: bytes) -> None:
        raise OSError(number, "as told")

    monkeypatch.setattr(sqlite_log, "write_atomically", fails)
    store = SqliteStore(path)
    if refused:
        with pytest.raises(StorageBroken, match=r"leyden\.db-wal anew"):
            await store.open()
        return
    await store.open()
    await store.close()
