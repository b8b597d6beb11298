"""`MemoryStore`: a store without a disk, and `MemoryDisk`, which outlives it when a crash is simulated.

It keeps the promises of the port and none beyond: at a crash each journal keeps some prefix of its own of what was
under way.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from leyden.base.errors import StorageBroken, StorageFailed, StorageFenced
from leyden.base.ids import JournalId
from leyden.drivers.storage.group import Group
from leyden.ports.store import Append, Appended, Completion, Snapshot, StoredJournal

Post: TypeAlias = Callable[[Callable[[], None]], object]
"""Runs a callback later on the caller's thread, in the order of calls."""


@dataclass(frozen=True, slots=True)
class _Write:
    """One call that is under way."""

    epoch: int
    on_durable: Completion
    batch: Sequence[Append]
    snapshots: Sequence[Snapshot]
    drop: str | None


class MemoryDisk:
    """What is durable, and what is under way; shared by one `MemoryStore` after the other."""

    def __init__(self) -> None:
        self.epoch = 0
        self._unwritten: list[_Write] = []
        self._positions: dict[str, int] = {}
        self._covered: dict[str, int] = {}
        self._states: dict[str, bytes] = {}
        self._tails: dict[str, list[bytes]] = {}
        self._penalty: dict[str, list[bytes]] = {}

    def unwritten_counts(self) -> dict[str, int]:
        """Return how many records of each journal are under way: what a crash may keep between none and all of."""
        counts: dict[str, int] = {}
        for write in self._unwritten:
            for append in write.batch:
                counts[append.journal] = counts.get(append.journal, 0) + len(append.records)
        return counts

    def crash(self, kept: Mapping[str, int]) -> None:
        """Lose what is under way, but for the first `kept.get(journal, 0)` records of each journal; nobody is told."""
        left = dict(kept)
        for write in self._unwritten:
            if write.epoch != self.epoch:
                continue
            for append in write.batch:
                known = max(self._positions.get(append.journal, 0) + 1 - append.first, 0)
                records = append.records[known : known + max(left.get(append.journal, 0), 0)]
                left[append.journal] = left.get(append.journal, 0) - len(records)
                if records:
                    self._extend(Append(append.journal, append.first + known, records))
        self._unwritten.clear()
        self.epoch += 1  # callbacks of the crashed life that still run must change nothing

    def crashed(self, kept: Mapping[str, int]) -> "MemoryDisk":
        """Return another disk as `crash` would leave this one, which goes on."""
        other = MemoryDisk()
        other.epoch = self.epoch
        other._unwritten = list(self._unwritten)
        other._positions, other._covered, other._states = dict(self._positions), dict(self._covered), dict(self._states)
        other._tails = {name: list(records) for name, records in self._tails.items()}
        other._penalty = {name: list(rows) for name, rows in self._penalty.items()}
        other.crash(kept)
        return other

    def journals(self) -> list[StoredJournal]:
        """Return what is durable, in the order of the names."""
        return [
            StoredJournal(
                name, self._covered.get(name, 0), self._states.get(name, b""), list(self._tails.get(name, ()))
            )
            for name in sorted(self._positions)
        ]

    def penalty_rows(self, journal: str) -> bytes:
        """Return the durable penalty log of a journal."""
        return b"".join(self._penalty.get(journal, ()))

    def laggards(self) -> list[tuple[str, int]]:
        """Return the journals with records behind their snapshots and how many bytes, the most first."""
        sizes = [(name, sum(map(len, tail))) for name, tail in self._tails.items() if tail]
        sizes.sort(key=lambda entry: (-entry[1], entry[0]))
        return sizes

    def start(self, write: _Write) -> bool:
        """Take a write; return whether it is the first one since the last `commit_all`."""
        self._unwritten.append(write)
        return len(self._unwritten) == 1

    def commit_all(self) -> None:
        """Make everything under way durable and say so to the callers."""
        writes, self._unwritten = self._unwritten, []
        for write in writes:
            write.on_durable(self._commit(write))

    def _commit(self, write: _Write) -> StorageFailed | None:
        if write.epoch != self.epoch:
            return StorageFenced(f"written under epoch {write.epoch}, the store is at epoch {self.epoch}")
        group = Group(self._positions, self._covered, {}, self._stored)
        try:
            group.add_batch(write.batch)
            group.add_snapshots(write.snapshots)
        except StorageBroken as error:
            return error
        for append in group.appends:
            self._extend(append)
        for snapshot in group.snapshots:
            self._replace(snapshot)
        if write.drop is not None:
            for table in (self._positions, self._covered, self._states, self._tails, self._penalty):
                table.pop(write.drop, None)
        return None

    def _extend(self, append: Append) -> None:
        self._tails.setdefault(append.journal, []).extend(append.records)
        self._positions[append.journal] = append.first + len(append.records) - 1

    def _replace(self, snapshot: Snapshot) -> None:
        journal = snapshot.journal
        del self._tails[journal][: snapshot.position - self._covered.get(journal, 0)]
        self._covered[journal] = snapshot.position
        self._states[journal] = snapshot.state
        self._penalty.setdefault(journal, []).append(snapshot.penalty_rows)

    def _stored(self, journal: str) -> dict[int, bytes]:
        return dict(enumerate(self._tails.get(journal, ()), self._covered.get(journal, 0) + 1))


class MemoryStore:
    """`Store` over a `MemoryDisk`. Durable in the next turn of the loop; never inside the call.

    Args:
        disk: what survives; give a second store the same disk to simulate a restart.
        post: how completions get back to the caller; the running event loop's `call_soon` when None.
    """

    def __init__(self, disk: MemoryDisk, post: Post | None = None) -> None:
        self._disk = disk
        self._post = post

    async def open(self) -> int:
        """Take the fence: a store opened earlier on the same disk is refused from now on."""
        self._disk.epoch += 1
        return self._disk.epoch

    def load(self) -> Iterator[StoredJournal]:
        """Yield every journal in the order of its name."""
        yield from self._disk.journals()

    def append(self, epoch: int, batch: Sequence[Append], on_durable: Appended) -> None:
        """Make `batch` durable soon."""
        self._start(_Write(epoch, partial(on_durable, batch), batch, (), None))

    def snapshot(self, epoch: int, snapshots: Sequence[Snapshot], on_durable: Completion) -> None:
        """Make `snapshots` durable soon."""
        self._start(_Write(epoch, on_durable, (), snapshots, None))

    def drop(self, epoch: int, journal: JournalId, on_durable: Completion) -> None:
        """Remove a journal soon."""
        self._start(_Write(epoch, on_durable, (), (), journal))

    def penalty_rows(self, journal: JournalId) -> bytes:
        """Return the durable penalty log of a journal."""
        return self._disk.penalty_rows(journal)

    def log_bytes(self) -> int:
        """Return the bytes of records that snapshots do not cover yet."""
        return sum(size for _, size in self._disk.laggards())

    def laggards(self) -> list[tuple[str, int]]:
        """Return the journals with records behind their snapshots and how many bytes, the most first."""
        return self._disk.laggards()

    async def close(self) -> None:
        """Write what is under way."""
        self._disk.commit_all()

    def _start(self, write: _Write) -> None:
        if self._disk.start(write):
            post = asyncio.get_running_loop().call_soon if self._post is None else self._post
            post(self._disk.commit_all)
