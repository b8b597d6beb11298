"""The `Store` port: keeps journals, in batches, behind a fence.

Promised by every store: each journal keeps a gap-free prefix in order; a record that was reported durable stays; when `open`
returns, no append of a lower epoch can become durable any more, and all that was ever reported durable is visible to the reads
that follow. *Not* promised, so never relied on: that a batch is atomic across journals, or that journals become durable in any
order.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeAlias

import msgspec

from leyden.base.errors import StorageFailed
from leyden.base.ids import JournalId


class Append(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Consecutive records of one journal.

    `first` is the position of the first record (positions count from 1 and have no gaps); `records` are encoded records, opaque
    to the store. The record at position p of a journal never changes: the same bytes at the same position are a success.
    """

    journal: str
    first: int
    records: list[bytes]


class Snapshot(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Encoded fold of the records 1..position of one journal; replaces them once it is durable.

    `penalty_rows` are appended to the journal's penalty log, which no load reads, durable before the records are dropped.
    """

    journal: str
    position: int
    state: bytes
    penalty_rows: bytes


class StoredJournal(msgspec.Struct, frozen=True, array_like=True):
    """What a load gives for one journal: the last snapshot (position 0 and empty state when none) and the tail behind it."""

    journal: str
    position: int
    state: bytes
    records: list[bytes]


Completion: TypeAlias = Callable[[StorageFailed | None], None]
"""Called once on the event loop's thread: None when all of a batch is durable, else why not."""


class Store(Protocol):
    """One store of one node. `append` and `snapshot` never block; completions arrive in any order of calls."""

    async def open(self) -> int:
        """Take the fence and return the new epoch (> any before). Raises StorageFenced when another process holds it."""
        ...

    def load(self) -> Iterator[StoredJournal]:
        """Yield every journal that is not dropped. Call once, between `open` and the first `append`."""
        ...

    def append(self, epoch: int, batch: Sequence[Append], on_durable: Completion) -> None:
        """Make `batch` durable. Errors: StorageUnavailable (try the same batch again), StorageBroken, StorageFenced."""
        ...

    def snapshot(self, epoch: int, snapshots: Sequence[Snapshot], on_durable: Completion) -> None:
        """Replace the records that each snapshot covers; afterwards the store may reclaim their space."""
        ...

    def drop(self, epoch: int, journal: JournalId, on_durable: Completion) -> None:
        """Remove an archived journal, its penalty log with it."""
        ...

    def penalty_rows(self, journal: JournalId) -> bytes:
        """Return the penalty log of a journal, all rows joined in the order they were written."""
        ...

    async def close(self) -> None:
        """Stop after the batches already given; nothing depends on this being called."""
        ...
