"""The `Store` port: keeps journals, in batches, behind a fence.

Promised by every store: each journal keeps a gap-free prefix in order; a record that was reported durable stays; when
`open` returns, no append of a lower epoch can become durable any more, and all that was ever reported durable is
visible to the reads that follow. *Not* promised, so never relied on: that a batch is atomic across journals, or that
journals become durable in any order.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

from leyden.base.errors import StorageFailed
from leyden.base.ids import JournalId
from leyden.journal.batch import Append, Snapshot, StoredJournal

__all__ = ["Append", "Completion", "Snapshot", "Store", "StoredJournal"]


Completion: TypeAlias = Callable[[StorageFailed | None], None]
"""Called once on the event loop's thread: None when all of a batch is durable, else why not."""


@runtime_checkable
class KeepsReserve(Protocol):
    """A store that holds back room for what must be written even on a full disk: a close, a preimage."""

    def release_reserve(self) -> bool:
        """Give the room free; return whether there was any."""
        ...

    def refill_reserve(self) -> bool:
        """Take room back; return whether all of it is held again."""
        ...


class Store(Protocol):
    """One store of one node. `append` and `snapshot` never block; completions arrive in any order of calls."""

    async def open(self) -> int:
        """Take the fence and return the new epoch (> any before). Raises StorageFenced when another process holds
        it.
        """
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
