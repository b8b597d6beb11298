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

__all__ = ["Append", "Appended", "Completion", "Snapshot", "Store", "StoredJournal"]


Appended: TypeAlias = Callable[[Sequence[Append], StorageFailed | None], None]
"""Called on the event loop's thread with appends of one batch: None when all of these are durable, else why not.

A store calls it once for the whole batch, or as soon as it knows of a part, so that a journal that hangs does not hold
back the news of others. Each append is named once; those of one journal are named in order. An empty batch gets one
call.
"""

Completion: TypeAlias = Callable[[StorageFailed | None], None]
"""Called once on the event loop's thread: None when all of the call is durable, else why not."""


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

    def append(self, epoch: int, batch: Sequence[Append], on_durable: Appended) -> None:
        """Make `batch` durable. Errors: StorageUnavailable (give the refused appends again, with what was given of
        their journals since, in order), StorageBroken and StorageFenced (for good).
        """
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
