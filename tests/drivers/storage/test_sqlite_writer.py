"""The writer thread: groups, failures in the middle of a run of batches, space."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from leyden.base.errors import StorageBroken, StorageFailed, StorageUnavailable
from leyden.drivers.storage.sqlite import RESERVE_BYTES, SqliteStore
from leyden.ports.store import Append, Snapshot
from leyden.sim.power_cut import PowerVfs, Synced
from tests.drivers.storage.contract.suite import CHANNEL, Answers, batch, given, records, snapshotted, written

PATH = Path("/leyden.db")


def _bytes_on_disk(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


@pytest.fixture
def vfs() -> Iterator[PowerVfs]:
    """An empty disk in memory."""
    disk = PowerVfs()
    yield disk
    disk.unregister()


async def test_full_disk_is_transient_and_the_batch_succeeds_when_given_again(vfs: PowerVfs) -> None:
    """Disk full while running: pause, say so, resume when there is room; nothing is lost or written twice."""
    store = SqliteStore(PATH, vfs=vfs.name)
    epoch = await store.open()
    assert await written(store, epoch, batch(CHANNEL, 1, 3)) is None
    large = Append(CHANNEL, 4, [b"x" * 50_000])
    vfs.room = sum(map(len, vfs.files.values())) + 20_000
    for _ in range(3):
        failure = await written(store, epoch, large)
        assert type(failure) is StorageUnavailable
        assert "free some disk space" in str(failure)
    vfs.room = 1 << 30
    assert await written(store, epoch, large) is None
    assert await written(store, epoch, batch(CHANNEL, 5, 6)) is None
    await store.close()
    store = SqliteStore(PATH, vfs=vfs.name)
    await store.open()
    (stored,) = store.load()
    assert stored.records == [*records(1, 3), b"x" * 50_000, *records(5, 6)]
    await store.close()


async def test_batches_behind_a_failed_one_come_back_in_order(vfs: PowerVfs) -> None:
    """They may rest on it: to write them would leave a gap, to call the gap a bug would stop the node."""
    store = SqliteStore(PATH, vfs=vfs.name)
    epoch = await store.open()
    assert await written(store, epoch, batch(CHANNEL, 1, 1)) is None
    vfs.room = sum(map(len, vfs.files.values()))
    answers: list[tuple[int, StorageFailed | None]] = []
    done = asyncio.Event()

    def give(position: int) -> None:
        def complete(_: Sequence[Append], failure: StorageFailed | None) -> None:
            answers.append((position, failure))
            if failure is not None:
                assert type(failure) is StorageUnavailable
                vfs.room = 1 << 30
                give(position)
            elif position == 40:
                done.set()

        store.append(epoch, [Append(CHANNEL, position, [b"%d" % position * 5000])], complete)

    for position in range(2, 41):
        give(position)
        if position % 7 == 0:
            await asyncio.sleep(0)
    await done.wait()
    assert [position for position, failure in answers if failure is None] == list(range(2, 41))
    assert any(failure is not None for _, failure in answers)
    await store.close()


async def test_batch_given_before_its_predecessor_came_back_is_transient_too(vfs: PowerVfs) -> None:
    """A caller with several batches under way cannot have them all back in hand at once."""
    store = SqliteStore(PATH, vfs=vfs.name)
    epoch = await store.open()
    vfs.room = sum(map(len, vfs.files.values()))
    assert type(await written(store, epoch, Append(CHANNEL, 1, [bytes(50_000)]))) is StorageUnavailable
    vfs.room = 1 << 30
    assert type(await written(store, epoch, batch(CHANNEL, 2, 3))) is StorageUnavailable
    assert type(await written(store, epoch, batch(CHANNEL, 5, 5))) is StorageBroken, "nobody ever offered record 4"
    assert type(await snapshotted(store, epoch, Snapshot(CHANNEL, 3, b"", b""))) is StorageUnavailable
    assert await written(store, epoch, Append(CHANNEL, 1, [bytes(50_000)])) is None
    assert await written(store, epoch, batch(CHANNEL, 2, 3)) is None
    assert type(await written(store, epoch, batch(CHANNEL, 5, 5))) is StorageBroken
    await store.close()


async def test_failed_sync_is_final(vfs: PowerVfs) -> None:
    """After a failed sync the kernel may have dropped the pages: a second sync that succeeds proves nothing."""
    store = SqliteStore(PATH, vfs=vfs.name)
    epoch = await store.open()
    vfs.sync_fails = True
    failure = await written(store, epoch, batch(CHANNEL, 1, 1))
    assert type(failure) is StorageBroken
    vfs.sync_fails = False
    assert await written(store, epoch, batch(CHANNEL, 1, 1)) is failure
    assert await snapshotted(store, epoch, Snapshot(CHANNEL, 1, b"", b"")) is failure
    await store.close()


async def test_what_queues_during_a_commit_shares_the_next_one(vfs: PowerVfs) -> None:
    """Group commit: the rate of syncs must not bound the rate of payments."""
    store = SqliteStore(PATH, vfs=vfs.name)
    epoch = await store.open()
    answers = Answers()
    assert await written(store, epoch, batch(CHANNEL, 1, 1)) is None
    before = sum(isinstance(event, Synced) for event in vfs.history)
    for position in range(2, 1002):
        given(store, epoch, answers, batch(CHANNEL, position, position))
    assert await written(store, epoch, batch(CHANNEL, 1002, 1002)) is None
    assert sum(isinstance(event, Synced) for event in vfs.history) - before < 100
    assert answers.failures == [None] * 1000
    await store.close()


async def test_callback_that_raises_costs_others_nothing(vfs: PowerVfs) -> None:
    """One caller's bug must not leave another waiting for ever."""
    loop = asyncio.get_running_loop()
    reported: list[object] = []
    loop.set_exception_handler(lambda _, context: reported.append(context.get("exception")))
    store = SqliteStore(PATH, vfs=vfs.name)
    epoch = await store.open()
    bug = RuntimeError("a bug in the caller")

    def complete(_: Sequence[Append], failure: StorageFailed | None) -> None:
        raise bug

    store.append(epoch, [batch(CHANNEL, 1, 1)], complete)
    assert await written(store, epoch, batch(CHANNEL, 2, 2)) is None
    assert reported == [bug]
    await store.close()


async def test_batch_that_cannot_be_encoded_is_refused_alone(vfs: PowerVfs) -> None:
    """A bug in one batch must reach its caller, not end the writer thread in silence."""
    store = SqliteStore(PATH, vfs=vfs.name)
    epoch = await store.open()
    refusal = await written(store, epoch, Append(CHANNEL, "1", [b"x"]))  # type: ignore[arg-type]
    assert type(refusal) is StorageBroken
    assert await written(store, epoch, batch(CHANNEL, 1, 1)) is None
    await store.close()


async def test_snapshots_give_disk_space_back(tmp_path: Path) -> None:
    """A node that runs for years must not keep every record of every payment on disk."""
    path = tmp_path / "leyden.db"
    store = SqliteStore(path)
    epoch = await store.open()
    assert await written(store, epoch, Append("idle", 1, [b"small"])) is None
    for position in range(1, 201):
        assert await written(store, epoch, Append(CHANNEL, position, [bytes(50_000)])) is None
    assert store.log_bytes() > 10_000_000
    assert [journal for journal, _ in store.laggards()] == [CHANNEL, "idle"]
    assert await snapshotted(store, epoch, Snapshot(CHANNEL, 200, b"state", b"")) is None
    assert store.log_bytes() < 1000
    assert [journal for journal, _ in store.laggards()] == ["idle"]
    await store.reclaim()
    assert _bytes_on_disk(tmp_path) < 100_000 + RESERVE_BYTES
    await store.close()
    store = SqliteStore(path)
    await store.open()
    assert {s.journal: (s.position, s.records) for s in store.load()} == {CHANNEL: (200, []), "idle": (0, [b"small"])}
    await store.close()


async def test_idle_journal_pins_only_the_rows_it_shares(tmp_path: Path) -> None:
    """One sleeping channel must not keep the whole log of a busy one."""
    store = SqliteStore(tmp_path / "leyden.db")
    epoch = await store.open()
    for position in range(1, 51):
        shared = [Append("idle", 1, [b"small"])] if position == 1 else []
        assert await written(store, epoch, Append(CHANNEL, position, [bytes(10_000)]), *shared) is None
    assert await snapshotted(store, epoch, Snapshot(CHANNEL, 50, b"state", b"")) is None
    assert store.laggards() == [("idle", store.log_bytes())]
    assert store.log_bytes() < 11_000
    await store.close()


async def test_store_that_is_never_idle_stays_small(vfs: PowerVfs) -> None:
    """Compaction and checkpoints must also happen under load, where no idle moment comes."""
    store = SqliteStore(PATH, vfs=vfs.name)
    epoch = await store.open()
    for turn in range(40):
        given(store, epoch, Answers(), Append(CHANNEL, turn + 1, [bytes(2_000_000)]))
        store.snapshot(epoch, [Snapshot(CHANNEL, turn + 1, b"state", b"")], lambda _: None)
        assert await written(store, epoch) is None
        vfs.history.clear()
    assert sum(map(len, vfs.files.values())) < 60_000_000
    await store.close()


async def test_nothing_is_written_behind_a_failed_sync_not_even_at_the_end(vfs: PowerVfs) -> None:
    """What can be read of the log need not be on the disk: to move it into the file could damage the file."""
    store = SqliteStore(PATH, vfs=vfs.name)
    epoch = await store.open()
    assert await written(store, epoch, batch(CHANNEL, 1, 3)) is None
    assert await snapshotted(store, epoch, Snapshot(CHANNEL, 3, b"state", b"")) is None
    vfs.sync_fails = True
    assert isinstance(await written(store, epoch, batch(CHANNEL, 4, 4)), StorageBroken)
    vfs.sync_fails = False
    before = len(vfs.history)
    await store.close()
    assert vfs.history[before:] == []
