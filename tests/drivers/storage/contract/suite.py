"""What every `Store` owes its callers: subclass `StoreContract`, name the class `Test…`, give it `disk`."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import pytest

from leyden.base.errors import StorageBroken, StorageFailed, StorageFenced
from leyden.base.ids import NODE_JOURNAL, JournalId
from leyden.ports.store import Append, Appended, Snapshot, Store, StoredJournal

CHANNEL = JournalId("channel/" + "ab" * 32)


class Disk(ABC):
    """Something durable that stores are opened on, one after the other."""

    @abstractmethod
    def store(self) -> Store:
        """Return another store, not opened, over the same bytes."""


class Answers:
    """What a store says of batches, one entry in `failures` for each batch, in the order in which they are answered.

    It checks what every store owes its caller: each append is named once, and those of a journal in order.
    """

    def __init__(self) -> None:
        self.failures: list[StorageFailed | None] = []
        self.calls = 0
        self._left: dict[str, list[Append]] = {}

    def of(self, batch: Sequence[Append], done: Callable[[StorageFailed | None], object] = lambda _: None) -> Appended:
        """Return what to give with `batch`; `done` is told when all of it is answered, with what was refused last."""
        left = len(batch)
        last: StorageFailed | None = None
        for append in batch:
            self._left.setdefault(append.journal, []).append(append)

        def told(appends: Sequence[Append], failure: StorageFailed | None) -> None:
            nonlocal left, last
            self.calls += 1
            for append in appends:
                assert self._left[append.journal].pop(0) == append
            left -= len(appends)
            last = failure or last
            if not left:
                self.failures.append(last)
                done(last)

        return told


async def written(store: Store, epoch: int, *batch: Append) -> StorageFailed | None:
    """Append and wait for the answer."""
    done: asyncio.Future[StorageFailed | None] = asyncio.get_running_loop().create_future()
    store.append(epoch, batch, Answers().of(batch, done.set_result))
    return await done


def given(store: Store, epoch: int, answers: Answers, *batch: Append) -> None:
    """Append and go on."""
    store.append(epoch, batch, answers.of(batch))


async def snapshotted(store: Store, epoch: int, *snapshots: Snapshot) -> StorageFailed | None:
    """Give snapshots and wait for the completion."""
    done: asyncio.Future[StorageFailed | None] = asyncio.get_running_loop().create_future()
    store.snapshot(epoch, snapshots, done.set_result)
    return await done


async def dropped(store: Store, epoch: int, journal: JournalId) -> StorageFailed | None:
    """Drop a journal and wait for the completion."""
    done: asyncio.Future[StorageFailed | None] = asyncio.get_running_loop().create_future()
    store.drop(epoch, journal, done.set_result)
    return await done


def records(first: int, last: int) -> list[bytes]:
    """Distinct records for the positions first..last."""
    return [b"record %d" % position for position in range(first, last + 1)]


def batch(journal: str, first: int, last: int) -> Append:
    """An append of `records(first, last)`."""
    return Append(journal, first, records(first, last))


async def reopened(disk: Disk, store: Store) -> tuple[Store, int, dict[str, StoredJournal]]:
    """Close, open another store on the same disk, load."""
    await store.close()
    following = disk.store()
    epoch = await following.open()
    return following, epoch, {stored.journal: stored for stored in following.load()}


class StoreContract:
    """The tests. A subclass gives the fixture `disk`."""

    async def test_new_store_is_empty(self, disk: Disk) -> None:
        """A node that starts for the first time must not be told of channels."""
        store = disk.store()
        await store.open()
        assert list(store.load()) == []
        await store.close()

    async def test_durable_records_are_loaded_in_order(self, disk: Disk) -> None:
        """Everything else rests on this: what was reported durable is there after a restart."""
        store = disk.store()
        epoch = await store.open()
        assert await written(store, epoch, batch(NODE_JOURNAL, 1, 2), batch(CHANNEL, 1, 1)) is None
        assert await written(store, epoch, batch(CHANNEL, 2, 5)) is None
        store, _, loaded = await reopened(disk, store)
        assert loaded == {
            NODE_JOURNAL: StoredJournal(NODE_JOURNAL, 0, b"", records(1, 2)),
            CHANNEL: StoredJournal(CHANNEL, 0, b"", records(1, 5)),
        }
        await store.close()

    async def test_epoch_rises_with_every_open(self, disk: Disk) -> None:
        """Two lives of a node must be told apart."""
        store = disk.store()
        first = await store.open()
        store, second, _ = await reopened(disk, store)
        store, third, _ = await reopened(disk, store)
        assert first < second < third
        await store.close()

    async def test_batches_given_without_waiting_become_durable_in_order(self, disk: Disk) -> None:
        """The core runs ahead of the disk: many batches of one journal are under way at once."""
        store = disk.store()
        epoch = await store.open()
        answers = Answers()
        done = asyncio.get_running_loop().create_future()
        for position in range(1, 201):
            one = [batch(CHANNEL, position, position)]
            store.append(epoch, one, answers.of(one, done.set_result if position == 200 else lambda _: None))
            assert not answers.calls, "a completion ran inside the call"
        await done
        assert answers.failures == [None] * 200, "in the order in which they were given"
        store, _, loaded = await reopened(disk, store)
        assert loaded[CHANNEL].records == records(1, 200)
        await store.close()

    async def test_close_finishes_what_was_given(self, disk: Disk) -> None:
        """A clean stop must answer every batch."""
        store = disk.store()
        epoch = await store.open()
        answers = Answers()
        given(store, epoch, answers, batch(CHANNEL, 1, 3), batch(NODE_JOURNAL, 1, 1))
        store, _, loaded = await reopened(disk, store)
        assert answers.failures == [None], "each part of a batch is answered"
        assert loaded[CHANNEL].records == records(1, 3)
        await store.close()

    @pytest.mark.parametrize("first", [1, 2, 4, 5, 9])
    async def test_gap_and_other_bytes_at_a_position_are_refused(self, disk: Disk, first: int) -> None:
        """A journal with a gap or with two histories would fold into a state that never was."""
        store = disk.store()
        epoch = await store.open()
        assert await written(store, epoch, batch(CHANNEL, 1, 3)) is None
        refusal = await written(store, epoch, batch(NODE_JOURNAL, 1, 1), Append(CHANNEL, first, [b"other", b"bytes"]))
        if first == 4:
            assert refusal is None
        else:
            assert isinstance(refusal, StorageBroken)
            assert await written(store, epoch, batch(CHANNEL, 4, 4)) is None, "a refused batch must not stop others"
        store, _, loaded = await reopened(disk, store)
        assert loaded[CHANNEL].records[:3] == records(1, 3)
        assert (NODE_JOURNAL in loaded) == (first == 4)
        await store.close()

    @pytest.mark.parametrize(("first", "last"), [(1, 3), (3, 3), (2, 3), (2, 5), (1, 4)])
    async def test_same_bytes_at_the_same_position_are_a_success(self, disk: Disk, first: int, last: int) -> None:
        """A caller that missed a completion may repeat itself."""
        store = disk.store()
        epoch = await store.open()
        assert await written(store, epoch, batch(CHANNEL, 1, 1)) is None
        assert await written(store, epoch, batch(NODE_JOURNAL, 1, 2), batch(CHANNEL, 2, 3)) is None
        assert await written(store, epoch, batch(CHANNEL, first, last)) is None
        store, epoch, loaded = await reopened(disk, store)
        assert loaded[CHANNEL].records == records(1, max(last, 3))
        assert await written(store, epoch, batch(CHANNEL, first, last)) is None
        assert await written(store, epoch, batch(CHANNEL, max(last, 3) + 1, 9)) is None
        store, _, loaded = await reopened(disk, store)
        assert loaded[CHANNEL].records == records(1, 9)
        await store.close()

    async def test_repeat_inside_what_is_under_way_is_a_success(self, disk: Disk) -> None:
        """The first copy may not be durable yet when the second arrives."""
        store = disk.store()
        epoch = await store.open()
        answers = Answers()
        given(store, epoch, answers, batch(CHANNEL, 1, 4))
        given(store, epoch, answers, batch(CHANNEL, 1, 4))
        given(store, epoch, answers, batch(CHANNEL, 3, 6), batch(CHANNEL, 5, 7))
        store, _, loaded = await reopened(disk, store)
        assert answers.failures == [None, None, None]
        assert loaded[CHANNEL].records == records(1, 7)
        await store.close()

    async def test_other_epoch_is_refused(self, disk: Disk) -> None:
        """A life that lost the fence must not write."""
        store = disk.store()
        old = await store.open()
        store, epoch, _ = await reopened(disk, store)
        assert isinstance(await written(store, old, batch(CHANNEL, 1, 1)), StorageFenced)
        assert isinstance(await written(store, epoch + 1, batch(CHANNEL, 1, 1)), StorageFenced)
        assert isinstance(await snapshotted(store, old, Snapshot(CHANNEL, 1, b"state", b"")), StorageFenced)
        assert isinstance(await dropped(store, old, CHANNEL), StorageFenced)
        assert await written(store, epoch, batch(CHANNEL, 1, 1)) is None
        store, _, loaded = await reopened(disk, store)
        assert loaded[CHANNEL].records == records(1, 1)
        await store.close()

    async def test_second_owner_stops_the_first_or_is_refused(self, disk: Disk) -> None:
        """Two live copies of one node lose money (hazards H109, H150)."""
        first = disk.store()
        epoch = await first.open()
        assert await written(first, epoch, batch(CHANNEL, 1, 1)) is None
        second = disk.store()
        try:
            await second.open()
        except StorageFenced:
            assert await written(first, epoch, batch(CHANNEL, 2, 2)) is None
            await first.close()
            return
        assert [stored.records for stored in second.load()] == [records(1, 1)]
        assert isinstance(await written(first, epoch, batch(CHANNEL, 2, 2)), StorageFenced)
        await second.close()

    async def test_snapshot_replaces_the_records_it_covers(self, disk: Disk) -> None:
        """A load gives the last snapshot and only the tail behind it."""
        store = disk.store()
        epoch = await store.open()
        assert await written(store, epoch, batch(CHANNEL, 1, 5), batch(NODE_JOURNAL, 1, 1)) is None
        assert await snapshotted(store, epoch, Snapshot(CHANNEL, 3, b"state at 3", b"")) is None
        assert await written(store, epoch, batch(CHANNEL, 6, 7)) is None
        store, epoch, loaded = await reopened(disk, store)
        assert loaded[CHANNEL] == StoredJournal(CHANNEL, 3, b"state at 3", records(4, 7))
        assert loaded[NODE_JOURNAL] == StoredJournal(NODE_JOURNAL, 0, b"", records(1, 1))
        assert await snapshotted(store, epoch, Snapshot(CHANNEL, 7, b"state at 7", b"")) is None
        assert await written(store, epoch, batch(CHANNEL, 8, 8)) is None
        store, _, loaded = await reopened(disk, store)
        assert loaded[CHANNEL] == StoredJournal(CHANNEL, 7, b"state at 7", records(8, 8))
        await store.close()

    async def test_snapshot_may_cover_records_that_are_still_under_way(self, disk: Disk) -> None:
        """Calls keep their order, so a snapshot given after its records is durable after them."""
        store = disk.store()
        epoch = await store.open()
        answers = Answers()
        given(store, epoch, answers, batch(CHANNEL, 1, 5))
        store.snapshot(epoch, [Snapshot(CHANNEL, 5, b"state at 5", b"p")], answers.failures.append)
        given(store, epoch, answers, batch(CHANNEL, 6, 6))
        store, _, loaded = await reopened(disk, store)
        assert answers.failures == [None, None, None]
        assert loaded[CHANNEL] == StoredJournal(CHANNEL, 5, b"state at 5", records(6, 6))
        await store.close()

    @pytest.mark.parametrize("position", [0, 2, 6])
    async def test_snapshot_that_does_not_fit_is_refused(self, disk: Disk, position: int) -> None:
        """An older snapshot would bring back dropped history, a younger one would swallow records that never were."""
        store = disk.store()
        epoch = await store.open()
        assert await written(store, epoch, batch(CHANNEL, 1, 5)) is None
        assert await snapshotted(store, epoch, Snapshot(CHANNEL, 3, b"state at 3", b"")) is None
        assert isinstance(await snapshotted(store, epoch, Snapshot(CHANNEL, position, b"x", b"")), StorageBroken)
        assert await snapshotted(store, epoch, Snapshot(CHANNEL, 3, b"state at 3", b"")) is None
        store, _, loaded = await reopened(disk, store)
        assert loaded[CHANNEL] == StoredJournal(CHANNEL, 3, b"state at 3", records(4, 5))
        await store.close()

    async def test_penalty_rows_grow_with_snapshots_and_no_load_reads_them(self, disk: Disk) -> None:
        """Justice needs every old row, a start needs none."""
        store = disk.store()
        epoch = await store.open()
        assert store.penalty_rows(CHANNEL) == b""
        assert await written(store, epoch, batch(CHANNEL, 1, 9)) is None
        assert await snapshotted(store, epoch, Snapshot(CHANNEL, 3, b"state", b"rows 1-3;")) is None
        assert await snapshotted(store, epoch, Snapshot(CHANNEL, 6, b"state", b"")) is None
        assert await snapshotted(store, epoch, Snapshot(CHANNEL, 9, b"state", b"rows 7-9;")) is None
        assert store.penalty_rows(CHANNEL) == b"rows 1-3;rows 7-9;"
        store, _, loaded = await reopened(disk, store)
        assert loaded[CHANNEL] == StoredJournal(CHANNEL, 9, b"state", [])
        assert store.penalty_rows(CHANNEL) == b"rows 1-3;rows 7-9;"
        assert store.penalty_rows(NODE_JOURNAL) == b""
        await store.close()

    async def test_dropped_journal_is_gone_for_good(self, disk: Disk) -> None:
        """An archived channel must not come back, whatever shares its rows of the log."""
        store = disk.store()
        epoch = await store.open()
        assert await written(store, epoch, batch(CHANNEL, 1, 4), batch(NODE_JOURNAL, 1, 1)) is None
        assert await snapshotted(store, epoch, Snapshot(CHANNEL, 3, b"state", b"rows")) is None
        assert await dropped(store, epoch, CHANNEL) is None
        assert await written(store, epoch, batch(NODE_JOURNAL, 2, 2)) is None
        assert store.penalty_rows(CHANNEL) == b""
        for _ in range(2):
            store, epoch, loaded = await reopened(disk, store)
            assert loaded == {NODE_JOURNAL: StoredJournal(NODE_JOURNAL, 0, b"", records(1, 2))}
        assert await snapshotted(store, epoch, Snapshot(NODE_JOURNAL, 2, b"node", b"")) is None
        store, epoch, loaded = await reopened(disk, store)
        assert list(loaded) == [NODE_JOURNAL]
        assert await dropped(store, epoch, JournalId("channel/unknown")) is None
        await store.close()

    async def test_large_and_empty_records_survive(self, disk: Disk) -> None:
        """A record may be empty or span thousands of pages."""
        store = disk.store()
        epoch = await store.open()
        values = [b"", bytes(range(256)) * 12_000, b"x"]
        assert await written(store, epoch, Append(CHANNEL, 1, values), Append(NODE_JOURNAL, 1, [])) is None
        assert await written(store, epoch) is None
        store, _, loaded = await reopened(disk, store)
        assert loaded[CHANNEL].records == values
        assert NODE_JOURNAL not in loaded
        await store.close()

    async def test_journals_interleave_over_many_lives(self, disk: Disk) -> None:
        """Compaction, drops and restarts in any mixture leave exactly what was written."""
        expected: dict[str, tuple[int, bytes, int]] = {}
        store = disk.store()
        epoch = await store.open()
        for step in range(120):
            journal = JournalId(f"channel/{step * 7 % 5}")
            position, state, end = expected.get(journal, (0, b"", 0))
            if step % 11 == 10 and end:
                position, state = end, b"state %d" % end
                assert await snapshotted(store, epoch, Snapshot(journal, end, state, b"")) is None
            elif step % 23 == 22 and end:
                assert await dropped(store, epoch, journal) is None
                del expected[journal]
                continue
            elif step % 13 == 12:
                store, epoch, loaded = await reopened(disk, store)
                assert loaded == _as_loaded(expected)
                continue
            else:
                assert await written(store, epoch, batch(journal, end + 1, end + 1 + step % 3)) is None
                end += 1 + step % 3
            expected[journal] = (position, state, end)
        store, epoch, loaded = await reopened(disk, store)
        assert loaded == _as_loaded(expected)
        await store.close()


def _as_loaded(expected: dict[str, tuple[int, bytes, int]]) -> dict[str, StoredJournal]:
    return {
        journal: StoredJournal(journal, position, state, records(position + 1, end))
        for journal, (position, state, end) in expected.items()
    }


def ends(loaded: Sequence[StoredJournal]) -> dict[str, int]:
    """Last position of each journal."""
    return {stored.journal: stored.position + len(stored.records) for stored in loaded}
