"""A disk whose every write is an action of its own: journals become durable one by one, in any order, late, or never.

It keeps the promises of `ports/store.py` and none beyond. A batch is cut into its journals; its caller hears of each as
soon as it is durable. At a crash each journal keeps whatever prefix of its writes the test chooses.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeAlias

import msgspec

from leyden.base.errors import StorageFailed, StorageFenced
from leyden.base.ids import JournalId
from leyden.journal.batch import Append, Snapshot, StoredJournal
from leyden.ports.store import Appended, Completion

Tell: TypeAlias = Callable[[list["_Write"], StorageFailed | None], None]


class _Write(msgspec.Struct):
    """One journal's part of a call. tell: answers the caller for some writes of that call."""

    tell: Tell
    append: Append | None = None
    snapshot: Snapshot | None = None
    drop: bool = False


def _tell_appended(on_durable: Appended, writes: list[_Write], failure: StorageFailed | None) -> None:
    on_durable([write.append for write in writes if write.append is not None], failure)


class _Together:
    """Answers a call once: when all of its writes are durable, or when the first is refused."""

    def __init__(self, on_durable: Completion, left: int) -> None:
        self._on_durable = on_durable
        self._left = left

    def tell(self, writes: list[_Write], failure: StorageFailed | None) -> None:
        """See `Tell`."""
        before, self._left = self._left, 0 if failure is not None else self._left - len(writes)
        if before and not self._left:
            self._on_durable(failure)


class _Kept(msgspec.Struct):
    """What is durable of one journal. position: records that the snapshot covers."""

    position: int = 0
    state: bytes = b""
    records: list[bytes] = []
    penalty: list[bytes] = []

    def end(self) -> int:
        """Return how many records are durable."""
        return self.position + len(self.records)


class SimDisk:
    """What outlives a crash.

    held: journals whose writes do not become durable until they are released. refusing: journals whose writes are
    refused, each with this error, until it is taken out.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.held: dict[str, None] = {}
        self.refusing: dict[str, StorageFailed] = {}
        self.commits = 0
        self._kept: dict[str, _Kept] = {}
        self._writes: dict[str, deque[_Write]] = {}

    # --- the node's side -------------------------------------------------------------------------------------------

    def take_fence(self) -> int:
        """Begin an epoch; nothing of an earlier one becomes durable any more."""
        self.epoch += 1
        self._writes.clear()
        return self.epoch

    def journals(self) -> list[StoredJournal]:
        """Return what is durable, by name."""
        return [
            StoredJournal(name, kept.position, kept.state, list(kept.records))
            for name, kept in sorted(self._kept.items())
        ]

    def penalty_rows(self, journal: str) -> bytes:
        """Return the durable penalty log of a journal."""
        kept = self._kept.get(journal)
        return b"" if kept is None else b"".join(kept.penalty)

    def append(self, epoch: int, batch: Sequence[Append], on_durable: Appended) -> None:
        """Take a batch; each of its journals becomes durable by an action of its own."""
        if epoch != self.epoch:
            on_durable(batch, StorageFenced(f"epoch {epoch} is over, the disk is at {self.epoch}"))
            return
        if not batch:
            on_durable(batch, None)
        tell = partial(_tell_appended, on_durable)
        for append in batch:
            self._writes.setdefault(append.journal, deque()).append(_Write(tell, append=append))

    def snapshot(self, epoch: int, snapshots: Sequence[Snapshot], on_durable: Completion) -> None:
        """Take snapshots, each behind what its journal has under way."""
        if epoch != self.epoch:
            on_durable(StorageFenced(f"epoch {epoch} is over, the disk is at {self.epoch}"))
            return
        tell = _Together(on_durable, len(snapshots)).tell
        for snapshot in snapshots:
            self._writes.setdefault(snapshot.journal, deque()).append(_Write(tell, snapshot=snapshot))

    def drop(self, epoch: int, journal: str, on_durable: Completion) -> None:
        """Remove a journal, behind what it has under way."""
        if epoch != self.epoch:
            on_durable(StorageFenced(f"epoch {epoch} is over, the disk is at {self.epoch}"))
            return
        self._writes.setdefault(journal, deque()).append(_Write(_Together(on_durable, 1).tell, drop=True))

    # --- the world's side ------------------------------------------------------------------------------------------

    def ready(self) -> list[str]:
        """Return the journals with a write that may become durable now."""
        return [name for name, writes in self._writes.items() if writes and name not in self.held]

    def commit(self, journal: str) -> None:
        """Make the oldest write of a journal durable and tell its caller; refuse it, and all behind, if told to."""
        failure = self.refusing.get(journal)
        if failure is not None:
            self.refuse(failure, journal)
            return
        write = self._writes[journal].popleft()
        self.commits += 1
        self._apply(journal, write)
        write.tell([write], None)

    def refuse(self, error: StorageFailed, journal: str | None = None) -> None:
        """Refuse what is under way, of one journal or of all; what was durable before stays."""
        names = list(self._writes) if journal is None else [journal]
        calls: list[tuple[Tell, list[_Write]]] = []
        for name in names:
            for write in self._writes.pop(name, ()):
                known = next((writes for tell, writes in calls if tell is write.tell), None)
                if known is None:
                    calls.append((write.tell, [write]))
                else:
                    known.append(write)
        for tell, writes in calls:
            tell(writes, error)

    def under_way(self) -> dict[str, int]:
        """Return how many records of each journal are not durable yet: a crash may keep from none to all of them."""
        counts: dict[str, int] = {}
        for name, writes in self._writes.items():
            count = sum([len(write.append.records) for write in writes if write.append is not None])
            if count:
                counts[name] = count
        return counts

    def waiting(self) -> Iterator[tuple[str, _Write]]:
        """Yield what is under way, with its journal, each journal's in order."""
        for name in sorted(self._writes):
            for write in self._writes[name]:
                yield name, write

    def journals_after(self, kept: Mapping[str, int]) -> list[StoredJournal]:
        """Return what would be durable after a crash that keeps that many of the records under way."""
        stored = {one.journal: one for one in self.journals()}
        for name, count in kept.items():
            records = [raw for write in self._writes[name] if write.append is not None for raw in write.append.records]
            del records[count:]
            if records:
                before = stored.get(name, StoredJournal(name, 0, b"", []))
                stored[name] = StoredJournal(name, before.position, before.state, before.records + records)
        return [stored[name] for name in sorted(stored)]

    def crash(self, kept: Mapping[str, int]) -> None:
        """Lose what is under way, but for the first `kept.get(journal, 0)` records of each journal; nobody is told."""
        for name, writes in self._writes.items():
            left = kept.get(name, 0)
            for write in writes:
                if write.append is None:
                    continue
                records = write.append.records[:left]
                left -= len(records)
                if records:
                    self._extend(name, Append(name, write.append.first, records))
        self.take_fence()
        self.held.clear()
        self.refusing.clear()

    def copy(self) -> "SimDisk":
        """Return an independent copy of what is durable."""
        other = SimDisk()
        other.epoch = self.epoch
        other._kept = {
            name: _Kept(kept.position, kept.state, list(kept.records), list(kept.penalty))
            for name, kept in self._kept.items()
        }
        return other

    def _apply(self, journal: str, write: _Write) -> None:
        if write.append is not None:
            if write.append.records:
                self._extend(journal, write.append)
        elif write.snapshot is not None:
            snapshot, kept = write.snapshot, self._kept[journal]
            assert kept.position <= snapshot.position <= kept.end(), "a snapshot covers durable records only"
            kept.records = kept.records[snapshot.position - kept.position :]
            kept.position, kept.state = snapshot.position, snapshot.state
            kept.penalty.append(snapshot.penalty_rows)
        else:
            self._kept.pop(journal, None)

    def _extend(self, journal: str, append: Append) -> None:
        kept = self._kept.setdefault(journal, _Kept())
        known = kept.end() + 1 - append.first
        assert known >= 0, f"{journal}: a gap before record {append.first}, it ends at {kept.end()}"
        known = min(known, len(append.records))
        first = append.first - kept.position - 1
        assert kept.records[max(first, 0) : first + known] == append.records[max(-first, 0) : known], (
            f"{journal}: another record at a known position"
        )
        kept.records.extend(append.records[known:])


class SimStore:
    """`Store` over a `SimDisk`."""

    def __init__(self, disk: SimDisk) -> None:
        self._disk = disk

    async def open(self) -> int:
        """Take the fence."""
        return self._disk.take_fence()

    def load(self) -> Iterator[StoredJournal]:
        """Yield every journal in the order of its name."""
        yield from self._disk.journals()

    def append(self, epoch: int, batch: Sequence[Append], on_durable: Appended) -> None:
        """Make `batch` durable when the world says so."""
        self._disk.append(epoch, batch, on_durable)

    def snapshot(self, epoch: int, snapshots: Sequence[Snapshot], on_durable: Completion) -> None:
        """Make `snapshots` durable when the world says so."""
        self._disk.snapshot(epoch, snapshots, on_durable)

    def drop(self, epoch: int, journal: JournalId, on_durable: Completion) -> None:
        """Remove a journal when the world says so."""
        self._disk.drop(epoch, journal, on_durable)

    def penalty_rows(self, journal: JournalId) -> bytes:
        """Return the durable penalty log of a journal."""
        return self._disk.penalty_rows(journal)

    async def close(self) -> None:
        """Do nothing: nothing depends on it."""
