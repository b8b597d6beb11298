"""The disk of a simulated node keeps the promises of the store port, and none beyond."""

import pytest

from leyden.base.errors import StorageFailed, StorageFenced, StorageUnavailable
from leyden.base.ids import NODE_JOURNAL, JournalId
from leyden.journal.batch import Append, Snapshot
from leyden.ports.store import Appended, Completion
from leyden.sim.disk import SimDisk, SimStore

Told = list[tuple[str, StorageFailed | None]]


def opened() -> tuple[SimDisk, int, Told]:
    """A disk, its epoch, and what its callers were told, journal by journal."""
    disk = SimDisk()
    return disk, disk.take_fence(), []


def noted(told: Told) -> Appended:
    """What notes the answers to a batch."""
    return lambda appends, failure: told.extend([(append.journal, failure) for append in appends])


def said(told: Told, journal: str) -> Completion:
    """What notes the answer to another call."""
    return lambda failure: told.append((journal, failure))


def records(disk: SimDisk, journal: str) -> list[bytes]:
    """What is durable of a journal behind its snapshot."""
    return next((one.records for one in disk.journals() if one.journal == journal), [])


def test_journals_become_durable_one_by_one_and_the_caller_hears_of_each() -> None:
    """A batch is not atomic over journals; nobody may rely on it (invariant P22)."""
    disk, epoch, told = opened()
    disk.append(epoch, [Append("x", 1, [b"1", b"2"]), Append("y", 1, [b"3"])], noted(told))
    assert disk.ready() == ["x", "y"]
    assert disk.under_way() == {"x": 2, "y": 1}
    disk.commit("y")
    assert (records(disk, "y"), records(disk, "x"), told) == ([b"3"], [], [("y", None)])
    disk.commit("x")
    assert (records(disk, "x"), told) == ([b"1", b"2"], [("y", None), ("x", None)])


def test_held_journal_waits() -> None:
    """A store may be late with one journal for ever."""
    disk, epoch, told = opened()
    disk.append(epoch, [Append("x", 1, [b"1"])], noted(told))
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
    disk.append(epoch, [Append("x", 1, [b"1", b"2"])], noted(told))
    disk.append(epoch, [Append("x", 3, [b"3"])], noted(told))
    disk.crash(kept)
    assert records(disk, "x") == left
    assert told == []
    assert disk.under_way() == {}
    disk.append(epoch, [Append("x", 9, [b"9"])], noted(told))
    assert isinstance(told[0][1], StorageFenced)


def test_refused_calls_may_be_given_again() -> None:
    """What was durable of them stays; the same bytes at the same position are a success."""
    disk, epoch, told = opened()
    full = StorageUnavailable("full")
    disk.append(epoch, [Append("x", 1, [b"1"]), Append("y", 1, [b"2"])], noted(told))
    disk.append(epoch, [Append("x", 2, [b"3"])], noted(told))
    disk.commit("x")
    disk.commit("x")
    disk.refuse(full)
    assert told == [("x", None), ("x", None), ("y", full)]
    disk.append(epoch, [Append("x", 1, [b"1"]), Append("y", 1, [b"2"])], noted(told))
    for journal in ("x", "y"):
        disk.commit(journal)
    assert told[3:] == [("x", None), ("y", None)]
    assert records(disk, "x") == [b"1", b"3"]


def test_all_refused_parts_of_a_batch_are_told_together() -> None:
    """A store without room refuses batches, not journals."""
    disk, epoch, _ = opened()
    calls: list[list[str]] = []
    for first in (1, 2):
        batch = [Append("x", first, [b"1"]), Append("y", first, [b"2"])]
        disk.append(epoch, batch, lambda appends, _: calls.append([append.journal for append in appends]))
    disk.refuse(StorageUnavailable("full"))
    assert calls == [["x", "y"], ["x", "y"]]


def test_one_journal_alone_is_refused() -> None:
    """The others of its batch go on, and hear of it."""
    disk, epoch, told = opened()
    full = StorageUnavailable("full")
    disk.append(epoch, [Append("x", 1, [b"1"]), Append("y", 1, [b"2"])], noted(told))
    disk.append(epoch, [Append("x", 2, [b"3"])], noted(told))
    disk.refuse(full, "x")
    assert told == [("x", full), ("x", full)]
    disk.commit("y")
    assert told[2:] == [("y", None)]


def test_journal_that_is_refused_from_now_on() -> None:
    """Until it is taken out of the list, or the node crashes."""
    disk, epoch, told = opened()
    full = StorageUnavailable("full")
    disk.refusing["x"] = full
    disk.append(epoch, [Append("x", 1, [b"1"])], noted(told))
    assert disk.ready() == ["x"]
    disk.commit("x")
    disk.crash({})
    assert (told, records(disk, "x"), disk.refusing) == ([("x", full)], [], {})


def test_call_over_several_journals_is_refused_once() -> None:
    """Snapshots of one call have one answer."""
    disk, epoch, told = opened()
    full = StorageUnavailable("full")
    disk.append(epoch, [Append("x", 1, [b"1"]), Append("y", 1, [b"2"])], noted(told))
    disk.snapshot(epoch, [Snapshot("x", 1, b"", b""), Snapshot("y", 1, b"", b"")], said(told, "both"))
    for journal in ("x", "y", "y"):
        disk.commit(journal)
    disk.refuse(full, "x")
    assert told == [("x", None), ("y", None), ("both", full)]


def test_wrong_positions_and_other_bytes_are_bugs_of_the_node() -> None:
    """The record at a position never changes, and there are no gaps."""
    disk, epoch, told = opened()
    disk.append(epoch, [Append("x", 1, [b"1"])], noted(told))
    disk.commit("x")
    for bad in (Append("x", 3, [b"3"]), Append("x", 1, [b"other"])):
        twin = disk.copy()
        twin.append(epoch, [bad], noted(told))
        with pytest.raises(AssertionError):
            twin.commit("x")


def test_snapshot_replaces_what_it_covers() -> None:
    """Behind what its journal has under way."""
    disk, epoch, told = opened()
    disk.append(epoch, [Append("x", 1, [b"1", b"2", b"3"])], noted(told))
    disk.snapshot(epoch, [Snapshot("x", 2, b"state", b"rows")], said(told, "x"))
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
    told: Told = []
    store.append(epoch, [Append("node", 1, [b"1"])], noted(told))
    disk.commit("node")
    store.snapshot(epoch, [Snapshot("node", 1, b"s", b"")], said(told, "node"))
    disk.commit("node")
    store.drop(epoch, NODE_JOURNAL, said(told, "node"))
    disk.commit("node")
    store.append(epoch, [], lambda _, failure: told.append(("nothing", failure)))
    assert told == [("node", None), ("node", None), ("node", None), ("nothing", None)]
    assert list(store.load()) == []
    assert store.penalty_rows(NODE_JOURNAL) == b""
    again = SimStore(disk)
    await again.open()
    store.append(epoch, [Append("x", 1, [b"1"])], noted(told))
    store.snapshot(epoch, [Snapshot("x", 1, b"s", b"")], said(told, "x"))
    store.drop(epoch, JournalId("x"), said(told, "x"))
    assert [type(failure) for _, failure in told[4:]] == [StorageFenced] * 3
    await store.close()
