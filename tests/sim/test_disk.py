"""The disk of a simulated node keeps the promises of the store port, and none beyond."""

import pytest

from leyden.base.errors import StorageFailed, StorageFenced, StorageUnavailable
from leyden.journal.batch import Append, Snapshot
from leyden.sim.disk import SimDisk, SimStore


def opened() -> tuple[SimDisk, int, list[StorageFailed | None]]:
    """A disk, its epoch, and what its callers were told."""
    disk = SimDisk()
    return disk, disk.take_fence(), []


def records(disk: SimDisk, journal: str) -> list[bytes]:
    """What is durable of a journal behind its snapshot."""
    return next((one.records for one in disk.journals() if one.journal == journal), [])


def test_journals_become_durable_one_by_one_and_the_caller_hears_at_the_end() -> None:
    """A batch is not atomic over journals; nobody may rely on it (invariant P22)."""
    disk, epoch, told = opened()
    disk.append(epoch, [Append("x", 1, [b"1", b"2"]), Append("y", 1, [b"3"])], told.append)
    assert disk.ready() == ["x", "y"]
    assert disk.under_way() == {"x": 2, "y": 1}
    disk.commit("y")
    assert (records(disk, "y"), records(disk, "x"), told) == ([b"3"], [], [])
    disk.commit("x")
    assert (records(disk, "x"), told) == ([b"1", b"2"], [None])


def test_held_journal_waits() -> None:
    """A store may be late with one journal for ever."""
    disk, epoch, told = opened()
    disk.append(epoch, [Append("x", 1, [b"1"])], told.append)
    disk.held["x"] = None
    assert disk.ready() == []
    disk.held.clear()
    assert disk.ready() == ["x"]


@pytest.mark.parametrize(
    ("kept", "left"), [({}, []), ({"x": 1}, [b"1"]), ({"x": 2}, [b"1", b"2"]), ({"x": 9}, [b"1", b"2", b"3"])]
)
def test_crash_keeps_a_prefix_and_tells_nobody(kept: dict[str, int], left: list[bytes]) -> None:
    """Any prefix of what was under way, over several calls."""
    disk, epoch, told = opened()
    disk.append(epoch, [Append("x", 1, [b"1", b"2"])], told.append)
    disk.append(epoch, [Append("x", 3, [b"3"])], told.append)
    disk.crash(kept)
    assert records(disk, "x") == left
    assert told == []
    assert disk.under_way() == {}
    disk.append(epoch, [Append("x", 9, [b"9"])], told.append)
    assert isinstance(told[0], StorageFenced)


def test_refused_calls_may_be_given_again() -> None:
    """What was durable of them stays; the same bytes at the same position are a success."""
    disk, epoch, told = opened()
    disk.append(epoch, [Append("x", 1, [b"1"]), Append("y", 1, [b"2"])], told.append)
    disk.append(epoch, [Append("x", 2, [b"3"])], told.append)
    disk.commit("x")
    disk.commit("x")
    disk.refuse(StorageUnavailable("full"))
    assert [type(one) for one in told] == [type(None), StorageUnavailable]
    disk.append(epoch, [Append("x", 1, [b"1"]), Append("y", 1, [b"2"])], told.append)
    for journal in ("x", "y"):
        disk.commit(journal)
    assert told[-1] is None
    assert records(disk, "x") == [b"1", b"3"]


def test_wrong_positions_and_other_bytes_are_bugs_of_the_node() -> None:
    """The record at a position never changes, and there are no gaps."""
    disk, epoch, told = opened()
    disk.append(epoch, [Append("x", 1, [b"1"])], told.append)
    disk.commit("x")
    for bad in (Append("x", 3, [b"3"]), Append("x", 1, [b"other"])):
        twin = disk.copy()
        twin.append(epoch, [bad], told.append)
        with pytest.raises(AssertionError):
            twin.commit("x")


def test_snapshot_replaces_what_it_covers() -> None:
    """Behind what its journal has under way."""
    disk, epoch, told = opened()
    disk.append(epoch, [Append("x", 1, [b"1", b"2", b"3"])], told.append)
    disk.snapshot(epoch, [Snapshot("x", 2, b"state", b"rows")], told.append)
    disk.commit("x")
    disk.commit("x")
    [stored] = disk.journals()
    assert (stored.position, stored.state, stored.records) == (2, b"state", [b"3"])
    assert disk.penalty_rows("x") == b"rows"
    assert disk.penalty_rows("unknown") == b""


async def test_store_is_the_port_over_the_disk() -> None:
    """The shipped run loop is given this one."""
    disk = SimDisk()
    store = SimStore(disk)
    epoch = await store.open()
    told: list[StorageFailed | None] = []
    store.append(epoch, [Append("node", 1, [b"1"])], told.append)
    disk.commit("node")
    store.snapshot(epoch, [Snapshot("node", 1, b"s", b"")], told.append)
    disk.commit("node")
    store.drop(epoch, "node", told.append)  # type: ignore[arg-type]
    disk.commit("node")
    assert told == [None, None, None]
    assert list(store.load()) == []
    assert store.penalty_rows("node") == b""  # type: ignore[arg-type]
    again = SimStore(disk)
    await again.open()
    for call in (store.append, store.snapshot):
        call(epoch, [], told.append)
    store.drop(epoch, "x", told.append)  # type: ignore[arg-type]
    assert all(isinstance(one, StorageFenced) for one in told[3:])
    await store.close()
