"""`SwitchableStore`: a store that hangs or refuses while it is told to; for tests and drills of a node's owner."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from leyden.base.errors import StorageFailed, StorageUnavailable
from leyden.base.ids import JournalId
from leyden.ports.store import Append, Appended, Completion, Snapshot, Store, StoredJournal


class SwitchableStore:
    """`Store` in front of `inner` with a switch.

    It passes calls on (the start), refuses each with an error (`refuse`: a full disk, a lost lease), or keeps them
    waiting (`hold`: a store that hangs). Refused calls never reach the inner store.
    """

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self._failure: StorageFailed | None = None
        self._holding = False
        self._held: deque[tuple[Completion, Sequence[Append], Callable[[], None]]] = deque()
        self._missing: dict[str, int] = {}
        """First record of each journal that was refused and has not been given again."""

    def refuse(self, failure: StorageFailed) -> None:
        """Answer every call from now on, held ones included, with `failure`."""
        self._failure = failure
        self._holding = False
        while self._held:
            on_durable, batch, _ = self._held.popleft()
            self._refuse(on_durable, batch, failure)

    def hold(self) -> None:
        """Keep calls from now on waiting, in order."""
        self._holding = True

    def accept(self) -> None:
        """Pass calls on, held ones first."""
        self._failure = None
        self._holding = False
        while self._held:
            self._held.popleft()[2]()

    def held(self) -> int:
        """Return how many calls wait."""
        return len(self._held)

    async def open(self) -> int:
        """Open the inner store, or raise the error it was told to refuse with."""
        if self._failure is not None:
            raise self._failure
        return await self._inner.open()

    def load(self) -> Iterator[StoredJournal]:
        """Load from the inner store."""
        return self._inner.load()

    def append(self, epoch: int, batch: Sequence[Append], on_durable: Appended) -> None:
        """Pass on, refuse or hold."""
        self._pass(partial(on_durable, batch), batch, lambda: self._give(epoch, batch, on_durable))

    def snapshot(self, epoch: int, snapshots: Sequence[Snapshot], on_durable: Completion) -> None:
        """Pass on, refuse or hold."""
        self._pass(on_durable, (), lambda: self._inner.snapshot(epoch, snapshots, on_durable))

    def drop(self, epoch: int, journal: JournalId, on_durable: Completion) -> None:
        """Pass on, refuse or hold."""
        self._pass(on_durable, (), lambda: self._inner.drop(epoch, journal, on_durable))

    def penalty_rows(self, journal: JournalId) -> bytes:
        """Read from the inner store."""
        return self._inner.penalty_rows(journal)

    async def close(self) -> None:
        """Close the inner store; held calls are lost, as in a crash."""
        self._held.clear()
        await self._inner.close()

    def _give(self, epoch: int, batch: Sequence[Append], on_durable: Appended) -> None:
        """Give a batch to the inner store, unless records in front of it were refused: there it would leave a gap."""
        missing = self._missing
        for append in batch:
            if append.first > missing.get(append.journal, append.first):
                failure = StorageUnavailable(f"an earlier append to {append.journal} was refused: give it again first")
                self._refuse(partial(on_durable, batch), batch, failure)
                return
        for append in batch:
            missing.pop(append.journal, None)
        self._inner.append(epoch, batch, on_durable)

    def _pass(self, on_durable: Completion, batch: Sequence[Append], call: Callable[[], None]) -> None:
        if self._failure is not None:
            self._refuse(on_durable, batch, self._failure)
        elif self._holding:
            self._held.append((on_durable, batch, call))
        else:
            call()

    def _refuse(self, on_durable: Completion, batch: Sequence[Append], failure: StorageFailed) -> None:
        for append in batch:
            self._missing[append.journal] = min(append.first, self._missing.get(append.journal, append.first))
        asyncio.get_running_loop().call_soon(on_durable, failure)
