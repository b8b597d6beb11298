"""One store at work: what it was given, what it answered, and whether the answers came as they must."""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence

from leyden.base.errors import StorageFailed, StorageFenced
from leyden.base.ids import NODE_JOURNAL, JournalId
from leyden.ports.store import Append, Snapshot, Store, StoredJournal
from leyden.sim.store_contract.maker import StoreMaker
from leyden.sim.store_contract.rule import broken, open_stores, require

CHANNEL = JournalId("channel/" + "ab" * 32)
OTHER = JournalId("channel/" + "cd" * 32)
JOURNALS = (NODE_JOURNAL, CHANNEL, OTHER)


def records(first: int, last: int, label: str = "record") -> list[bytes]:
    """Return distinct records for the positions first..last; another label gives other bytes."""
    return [b"%s %d" % (label.encode(), position) for position in range(first, last + 1)]


def batch(journal: str, first: int, last: int, label: str = "record") -> Append:
    """Return an append of `records(first, last)`."""
    return Append(journal, first, records(first, last, label))


def end(stored: StoredJournal) -> int:
    """Return the last position of a journal that was loaded."""
    return stored.position + len(stored.records)


class Given:
    """One call, and its answers. failure: the first one."""

    def __init__(self, life: "Life", what: str, appends: Sequence[Append]) -> None:
        self.what = what
        self.failure: StorageFailed | None = None
        self.ends = {append.journal: append.first + len(append.records) - 1 for append in appends}
        """Last position of each journal that this call moves."""
        self.durable: dict[str, int] = {}
        """Last position of each journal that was reported durable."""
        self.done = asyncio.Event()
        self.inside = True
        self._life = life
        self._left = [_key(append) for append in appends]

    def on_appended(self, appends: Sequence[Append], failure: StorageFailed | None) -> None:
        """Take what a store says of some appends of a batch."""
        self._check_moment()
        for append in appends:
            key = _key(append)
            waiting = [other for other in self._left if other[0] == key[0]]
            if key not in waiting:
                self._complain(f"names record {key[1]} of {key[0]}, which was not given in that call, or twice")
            elif key != waiting[0]:
                self._complain(f"names record {key[1]} of {key[0]} before record {waiting[0][1]}")
            if key in self._left:
                self._left.remove(key)
            if failure is None and append.records:
                self.durable[append.journal] = append.first + len(append.records) - 1
        self._finish(failure, whole=not self._left)

    def on_done(self, failure: StorageFailed | None) -> None:
        """Take what a store says of a whole call."""
        self._check_moment()
        self._finish(failure, whole=True)

    def _finish(self, failure: StorageFailed | None, *, whole: bool) -> None:
        if self.done.is_set():
            self._complain("was answered again")
        self.failure = self.failure or failure
        if whole:
            self.done.set()
        self._life.on_answer()

    def _check_moment(self) -> None:
        if self.inside:
            self._complain("was answered inside the call: the caller is not ready for it")
        if threading.get_ident() != self._life.thread:
            self._complain("was answered in another thread than that of the event loop")

    def _complain(self, what: str) -> None:
        self._life.complaints.append(f"{self.what} {what}")


def _key(append: Append) -> tuple[str, int, int]:
    return append.journal, append.first, len(append.records)


class Life:
    """A store that was opened and loaded."""

    def __init__(self, maker: StoreMaker, store: Store, epoch: int) -> None:
        self.maker = maker
        self.store = store
        self.epoch = epoch
        self.loaded: dict[str, StoredJournal] = {}
        self.complaints: list[str] = []
        self.thread = threading.get_ident()
        self.on_answer: Callable[[], None] = lambda: None
        """Called within each answer, before anything else can happen."""

    def load(self) -> None:
        """Load every journal."""
        for stored in self.store.load():
            require(stored.journal not in self.loaded, f"`load` yields {stored.journal} twice")
            self.loaded[stored.journal] = stored

    # --- giving ----------------------------------------------------------------------------------------------------

    def give(self, *appends: Append, epoch: int | None = None) -> Given:
        """Append, and do not wait."""
        names = ", ".join(f"{one.journal[:10]} {one.first}..{one.first + len(one.records) - 1}" for one in appends[:4])
        given = Given(self, f"append({names or 'nothing'})", appends)
        self.store.append(self.epoch if epoch is None else epoch, appends, given.on_appended)
        given.inside = False
        return given

    def give_snapshots(self, *snapshots: Snapshot, epoch: int | None = None) -> Given:
        """Give snapshots, and do not wait."""
        names = ", ".join(f"{one.journal[:10]} at {one.position}" for one in snapshots[:4])
        given = Given(self, f"snapshot({names})", ())
        self.store.snapshot(self.epoch if epoch is None else epoch, snapshots, given.on_done)
        given.inside = False
        return given

    def give_drop(self, journal: JournalId, epoch: int | None = None) -> Given:
        """Drop a journal, and do not wait."""
        given = Given(self, f"drop({journal[:10]})", ())
        self.store.drop(self.epoch if epoch is None else epoch, journal, given.on_done)
        given.inside = False
        return given

    # --- answers ---------------------------------------------------------------------------------------------------

    async def answer(self, given: Given) -> StorageFailed | None:
        """Wait until all of a call is answered; return its first failure."""
        seconds = self.maker.answer_seconds
        try:
            await asyncio.wait_for(given.done.wait(), seconds)
        except TimeoutError:
            broken(f"{given.what} was not answered within {seconds:g} s")
        self.check_answers()
        return given.failure

    async def take(self, given: Given) -> None:
        """Wait for a call that must succeed."""
        failure = await self.answer(given)
        require(failure is None, f"{given.what} failed: {type(failure).__name__}: {failure}")

    async def refuse(self, given: Given, kind: type[StorageFailed]) -> None:
        """Wait for a call that must fail, in this way and no other."""
        failure = await self.answer(given)
        # Fenced is a kind of broken; whoever is not fenced must not be told so.
        right = isinstance(failure, kind) and isinstance(failure, StorageFenced) == issubclass(kind, StorageFenced)
        said = "succeeded" if failure is None else f"failed with {type(failure).__name__} ({failure})"
        require(right, f"{given.what} {said}, where {kind.__name__} was due")

    async def write(self, *appends: Append) -> None:
        """Append what must succeed."""
        await self.take(self.give(*appends))

    async def compact(self, journal: str, position: int, rows: bytes = b"") -> None:
        """Give a snapshot that must succeed."""
        await self.take(self.give_snapshots(snapshot(journal, position, rows)))

    def check_answers(self) -> None:
        """Raise what was wrong with the way of the answers so far."""
        if self.complaints:
            broken(self.complaints[0])

    # --- the end ---------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Close the store."""
        seconds = self.maker.answer_seconds
        _opened_here()[:] = [store for store in _opened_here() if store is not self.store]
        try:
            await asyncio.wait_for(self.store.close(), seconds)
        except TimeoutError:
            broken(f"`close` did not return within {seconds:g} s")

    async def end(self) -> None:
        """Close the store, and hear whether something comes behind that."""
        await self.close()
        for _ in range(3):
            await asyncio.sleep(0)
        self.check_answers()

    async def again(self) -> "Life":
        """Close, and begin another life on the same place."""
        await self.end()
        return await begin(self.maker)


def snapshot(journal: str, position: int, rows: bytes = b"") -> Snapshot:
    """Return the snapshot that the rules give at a position."""
    return Snapshot(journal, position, b"state of %s at %d" % (journal.encode(), position), rows)


async def begin(maker: StoreMaker) -> Life:
    """Open a store on a place and load it."""
    life = await opened(maker)
    life.load()
    return life


async def opened(maker: StoreMaker) -> Life:
    """Open a store on a place."""
    store = maker.store()
    seconds = maker.answer_seconds
    try:
        epoch = await asyncio.wait_for(store.open(), seconds)
    except TimeoutError:
        broken(f"`open` did not return within {seconds:g} s")
    _opened_here().append(store)
    return Life(maker, store, epoch)


def _opened_here() -> list[Store]:
    return open_stores.get([])


def expect(life: Life, expected: Mapping[str, tuple[int, int]], label: str = "record") -> None:
    """Require what was loaded: for each journal the position of its snapshot (0: none) and its end."""
    require(
        sorted(life.loaded) == sorted(expected),
        f"`load` gives the journals {sorted(life.loaded)} where {sorted(expected)} were durable",
    )
    for journal, (position, last) in expected.items():
        stored = life.loaded[journal]
        require(stored.position == position, f"{journal} has its snapshot at {stored.position}, not at {position}")
        require(
            stored.state == (snapshot(journal, position).state if position else b""),
            f"the snapshot of {journal} at {position} comes back as {stored.state[:60]!r}",
        )
        require(
            stored.records == records(position + 1, last, label),
            f"{journal} has {len(stored.records)} records behind {position}, {last - position} were durable, "
            "or some are other records",
        )
