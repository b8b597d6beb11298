"""`SqliteFile`: the fence inside the transaction."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from leyden.base.errors import StorageFenced
from leyden.drivers.storage.group import Group
from leyden.drivers.storage.sqlite_file import SqliteFile
from leyden.ports.store import Append, Snapshot
from leyden.sim.power_cut import PowerVfs

PATH = Path("/leyden.db")


@pytest.fixture
def vfs() -> Iterator[PowerVfs]:
    """A disk in memory, without locks: as good as a file system that forgets them."""
    disk = PowerVfs()
    yield disk
    disk.unregister()


@pytest.mark.parametrize("kind", ["append", "snapshot", "drop", "cut"])
def test_every_write_reads_the_fence_in_its_own_transaction(vfs: PowerVfs, kind: str) -> None:
    """Check, then write, is no fence: another process may take over in between (hazard H150)."""
    file = SqliteFile(PATH, vfs.name)
    group = Group(file.positions, file.snapshots, {}, file.stored_records)
    group.add_batch([Append("a", 1, [b"one"])])
    file.commit(file.epoch, group)
    file.checkpoint(truncate=True)
    stale = file.epoch - 1
    group = Group(file.positions, file.snapshots, {}, file.stored_records)
    group.add_batch([Append("a", 2, [b"two"])])
    if kind == "snapshot":
        group.add_snapshots([Snapshot("a", 2, b"state", b"rows")])
    write = {"drop": lambda: file.drop(stale, "a"), "cut": lambda: file.cut(stale, 1)}
    with pytest.raises(StorageFenced, match="taken over"):
        write.get(kind, lambda: file.commit(stale, group))()
    file.close()
    file = SqliteFile(PATH, vfs.name)
    assert file.positions == {"a": 1}
    assert (file.take_tail("a"), file.snapshots, file.read_penalty_rows("a")) == ([b"one"], {}, b"")
    file.close()
