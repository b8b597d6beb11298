"""`DelayedStore`: every write becomes durable late, as on a store far away; for tests and benchmarks."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from leyden.base.ids import JournalId
from leyden.ports.store import Append, Appended, Completion, Snapshot, Store, StoredJournal


class DelayedStore:
    """`Store` that hands each call to `inner` `delay_seconds` later.

    Calls overlap in time, as many as are made, and keep their order. The delay comes before the write, so a crash loses
    what a slow store would lose.
    """

    def __init__(self, inner: Store, delay_seconds: float) -> None:
        self._inner = inner
        self._delay_seconds = delay_seconds
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def inner(self) -> Store:
        """The store behind, for whoever measures."""
        return self._inner

    async def open(self) -> int:
        """Open the inner store."""
        return await self._inner.open()

    def load(self) -> Iterator[StoredJournal]:
        """Load from the inner store; reads are not delayed."""
        return self._inner.load()

    def append(self, epoch: int, batch: Sequence[Append], on_durable: Appended) -> None:
        """Give `batch` to the inner store later."""
        self._later(lambda: self._inner.append(epoch, batch, on_durable))

    def snapshot(self, epoch: int, snapshots: Sequence[Snapshot], on_durable: Completion) -> None:
        """Give `snapshots` to the inner store later."""
        self._later(lambda: self._inner.snapshot(epoch, snapshots, on_durable))

    def drop(self, epoch: int, journal: JournalId, on_durable: Completion) -> None:
        """Drop from the inner store later."""
        self._later(lambda: self._inner.drop(epoch, journal, on_durable))

    def penalty_rows(self, journal: JournalId) -> bytes:
        """Read from the inner store at once."""
        return self._inner.penalty_rows(journal)

    async def close(self) -> None:
        """Hand over everything that waits, without more delay, and close the inner store."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            self._waiting.popleft()[1]()
        await self._inner.close()

    def _later(self, call: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self._waiting.append((loop.time() + self._delay_seconds, call))
        if self._timer is None:
            self._timer = loop.call_at(self._waiting[0][0], self._release)

    def _release(self) -> None:
        # One timer and one queue: timers of equal time would not keep the order of calls.
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._waiting and self._waiting[0][0] <= now:
            self._waiting.popleft()[1]()
        self._timer = loop.call_at(self._waiting[0][0], self._release) if self._waiting else None
