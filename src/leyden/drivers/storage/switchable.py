"""`SwitchableStore`: a store that hangs or refuses while it is told to; for tests and drills of a node's owner."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from leyden.base.errors import StorageFailed, StorageUnavailable
from leyden.base.ids import JournalId
from leyden.ports.store import Append, Appended, Completion, Snapshot, Store, StoredJournal

ALL = ""
"""Names every journal."""


class _Held(NamedTuple):
    """A call, or one journal's part of it, that waits."""

    journal: str
    on_durable: Completion
    batch: Sequence[Append]
    call: Callable[[], None]


class SwitchableStore:
    """`Store` in front of `inner` with a switch.

    It passes calls on (the start), refuses each with an error (`refuse`: a full disk, a lost lease), or keeps them
    waiting (`hold`: a store that hangs), of all journals or of some. Refused calls never reach the inner store.
    """

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self._failures: dict[str, StorageFailed] = {}
        self._holding: dict[str, None] = {}
        self._held: deque[_Held] = deque()
        self._missing: dict[str, int] = {}
        """First record of each journal that was refused and has not been given again."""

    @property
    def inner(self) -> Store:
        """The store behind, for whoever measures."""
        return self._inner

    def refuse(self, failure: StorageFailed, *journals: str) -> None:
        """Answer every call from now on, held ones included, with `failure`; those of `journals` alone, when given."""
        named = dict.fromkeys(journals or (ALL,))
        self._holding = {name: None for name in self._holding if journals and name not in named}
        self._failures |= dict.fromkeys(named, failure)
        held, self._held = self._held, deque()
        for one in held:
            if journals and one.journal not in named:
                self._held.append(one)
            else:
                self._refuse(one.on_durable, one.batch, failure)

    def hold(self, *journals: str) -> None:
        """Keep calls from now on waiting, in order; those of `journals` alone, when given."""
        self._holding |= dict.fromkeys(journals or (ALL,))

    def accept(self) -> None:
        """Pass calls on, held ones first."""
        self._failures.clear()
        self._holding.clear()
        while self._held:
            self._held.popleft().call()

    def held(self) -> int:
        """Return how many calls, or parts of them, wait."""
        return len(self._held)

    async def open(self) -> int:
        """Open the inner store, or raise the error it was told to refuse with."""
        if ALL in self._failures:
            raise self._failures[ALL]
        return await self._inner.open()

    def load(self) -> Iterator[StoredJournal]:
        """Load from the inner store."""
        return self._inner.load()

    def append(self, epoch: int, batch: Sequence[Append], on_durable: Appended) -> None:
        """Pass on, refuse or hold; journal by journal when some of them are treated apart."""
        journals = [append.journal for append in batch]
        parts: list[Sequence[Append]] = [[append] for append in batch]
        if not any(name in self._failures or name in self._holding for name in journals):
            parts, journals = [batch], [ALL]
        for name, part in zip(journals, parts, strict=True):
            self._pass(name, partial(on_durable, part), part, partial(self._give, epoch, part, on_durable))

    def snapshot(self, epoch: int, snapshots: Sequence[Snapshot], on_durable: Completion) -> None:
        """Pass on, refuse or hold, by the first journal."""
        name = snapshots[0].journal if snapshots else ALL
        self._pass(name, on_durable, (), lambda: self._inner.snapshot(epoch, snapshots, on_durable))

    def drop(self, epoch: int, journal: JournalId, on_durable: Completion) -> None:
        """Pass on, refuse or hold."""
        self._pass(journal, on_durable, (), lambda: self._inner.drop(epoch, journal, on_durable))

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

    def _pass(self, name: str, on_durable: Completion, batch: Sequence[Append], call: Callable[[], None]) -> None:
        failure = self._failures.get(name) or self._failures.get(ALL)
        if failure is not None:
            self._refuse(on_durable, batch, failure)
        elif name in self._holding or ALL in self._holding:
            self._held.append(_Held(name, on_durable, batch, call))
        else:
            call()

    def _refuse(self, on_durable: Completion, batch: Sequence[Append], failure: StorageFailed) -> None:
        for append in batch:
            self._missing[append.journal] = min(append.first, self._missing.get(append.journal, append.first))
        asyncio.get_running_loop().call_soon(on_durable, failure)
