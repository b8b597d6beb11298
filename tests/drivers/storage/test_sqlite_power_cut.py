"""Power cuts below SQLite: whatever subset of the unsynced operations survives, no promise is broken."""

from pathlib import Path
from typing import Any

import apsw
import pytest

from leyden.base.errors import StorageBroken
from leyden.drivers.storage.group import Group
from leyden.drivers.storage.sqlite_file import SqliteFile
from leyden.ports.store import Append, Snapshot
from tests.drivers.storage.power_cut import Event, Image, MemoryVfs, Reported, Synced, power_cuts

PATH = Path("/leyden.db")


def _record(journal: str, position: int) -> bytes:
    return f"{journal} {position} ".encode() * (1 + position * 37 % 90)


def _state(journal: str, position: int) -> bytes:
    return f"state of {journal} at {position} ".encode() * 300


class _Life:
    """A store at work; `Reported` events in the history are what its callers were told."""

    def __init__(self, vfs: MemoryVfs) -> None:
        self.vfs = vfs
        self.ends: dict[str, int] = {}
        self.start()

    def start(self) -> None:
        self.file = SqliteFile(PATH, self.vfs.name)
        self._report("epoch", self.file.epoch)

    def write(self, appends: dict[str, int], snapshots: dict[str, int]) -> None:
        group = Group(self.file.positions, self.file.snapshots, {}, self.file.stored_records)
        for journal, count in appends.items():
            first = self.ends.get(journal, 0) + 1
            self.ends[journal] = first + count - 1
            group.add_batch([Append(journal, first, [_record(journal, first + i) for i in range(count)])])
        group.add_snapshots([Snapshot(j, p, _state(j, p), b"<%d>" % p) for j, p in snapshots.items()])
        self.file.commit(self.file.epoch, group)
        for journal in appends:
            self._report(journal, self.ends[journal])

    def drop(self, journal: str) -> None:
        self._report(f"dropping {journal}", 1)
        self.file.drop(self.file.epoch, journal)
        self._report(f"dropped {journal}", 1)

    def _report(self, subject: str, value: int) -> None:
        self.vfs.history.append(Reported((subject, value)))


def _history() -> list[Event]:
    """Everything a store does: create, write small and large, compact, cut, vacuum, checkpoint, drop, start again."""
    vfs = MemoryVfs()
    try:
        life = _Life(vfs)
        for turn in range(3):
            life.write({"a": 1}, {})
            life.write({"a": 2, "b": 3, f"c{turn}": 1}, {})
            life.write({"b": 40}, {})
            life.write({"a": 1}, {"b": life.ends["b"]})
            life.file.cut(life.file.epoch, 1 << 20)
            life.write({"a": 1}, {"a": life.ends["a"] - 1, f"c{turn}": 1})
            life.file.checkpoint(truncate=False)
            life.write({"a": 1, "b": 1}, {})
            life.drop(f"c{turn}")
            life.write({}, {"a": life.ends["a"], "b": life.ends["b"]})
            life.file.cut(life.file.epoch, 1 << 20)
            life.file.vacuum(64)
            if turn == 1:
                life.file.checkpoint(truncate=True)
            life.file.close()
            life.start()
        life.file.close()
        return vfs.history
    finally:
        vfs.unregister()


def _fault(image: Image, promises: list[Any]) -> str:
    """What is wrong with a store opened on `image`; empty when every promise is kept."""
    told = dict(promises)
    vfs = MemoryVfs(image)
    try:
        try:
            file = SqliteFile(PATH, vfs.name)
        except (StorageBroken, apsw.Error) as error:
            return f"refused: {error}"
        if file.epoch <= told.get("epoch", 0):
            return "the epoch went back"
        for journal in ("a", "b", "c0", "c1", "c2"):
            if f"dropping {journal}" in told:
                if f"dropped {journal}" in told and journal in file.positions:
                    return f"{journal} came back"
                continue
            if file.positions.get(journal, 0) < told.get(journal, 0):
                return f"{journal} lost records"
            position, state = file.read_snapshot(journal)
            if position and state != _state(journal, position):
                return f"{journal} has another state"
            tail = file.take_tail(journal)
            if tail != [_record(journal, position + 1 + i) for i in range(len(tail))]:
                return f"{journal} has other records"
            if position and f"<{position}>".encode() not in file.read_penalty_rows(journal):
                return f"{journal} lost penalty rows"
        file.close()
        return ""
    finally:
        vfs.unregister()


def test_no_power_cut_breaks_a_promise() -> None:
    """Money depends on it: a record that was reported durable is there after any cut, the rest is a gap-free prefix."""
    history = _history()
    faults = [fault for image, told in power_cuts(history, 1, 2) if (fault := _fault(image, told))]
    assert not faults
    assert len(history) > 300, "too few cuts to mean anything"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 12))
def test_no_power_cut_of_many_breaks_a_promise(seed: int) -> None:
    """The same with ten times the images."""
    assert not [fault for image, told in power_cuts(_history(), seed, 10) if (fault := _fault(image, told))]


def test_disk_that_lies_about_syncing_is_noticed() -> None:
    """Negative control: if these cuts found nothing, the test above would prove nothing."""
    history: list[Event] = [event for event in _history() if not isinstance(event, Synced)]
    faults = [bool(_fault(image, told)) for image, told in power_cuts(history[: len(history) // 3], 3, 2)]
    assert sum(faults) * 2 > len(faults)
