"""`SwitchableStore`."""

import asyncio
from collections.abc import Sequence

import pytest

from leyden.base.errors import StorageFailed, StorageFenced, StorageUnavailable
from leyden.base.ids import JournalId
from leyden.drivers.storage.memory import MemoryDisk, MemoryStore
from leyden.drivers.storage.switchable import SwitchableStore
from leyden.ports.store import Append, Snapshot, Store
from leyden.sim.store_contract import StoreMaker, Trouble
from tests.drivers.storage.contract.places import MemoryPlace
from tests.drivers.storage.contract.suite import CHANNEL, Answers, StoreContract, batch, given, written


class _Switchable(MemoryPlace):
    def __init__(self, disk: MemoryDisk) -> None:
        super().__init__(disk)
        self.last = SwitchableStore(MemoryStore(disk))

    def store(self) -> Store:
        self.last = SwitchableStore(MemoryStore(self.disk))
        return self.last

    def trouble(self, kind: Trouble) -> bool:
        match kind:
            case Trouble.NONE:
                self.last.accept()
            case Trouble.TRANSIENT:
                self.last.refuse(StorageUnavailable("told to"))
            case Trouble.FINAL:
                return False
        return True


class TestSwitchableStoreContract(StoreContract):
    """It is a store like any other, with the switch untouched and with it."""

    not_tried = frozenset({"final_failure_is_final"})

    @pytest.fixture
    def maker(self) -> StoreMaker:
        """A fresh disk."""
        return _Switchable(MemoryDisk())


async def test_refused_batch_succeeds_when_given_again() -> None:
    """A full disk is emptied: the same batch is then taken."""
    disk = MemoryDisk()
    store = SwitchableStore(MemoryStore(disk))
    epoch = await store.open()
    full = StorageUnavailable("no room")
    store.refuse(full)
    assert await written(store, epoch, batch(CHANNEL, 1, 1)) is full
    assert disk.journals() == []
    store.accept()
    assert await written(store, epoch, batch(CHANNEL, 1, 1)) is None


async def test_some_journals_alone_are_held_or_refused() -> None:
    """The others of a batch go on at once."""
    disk = MemoryDisk()
    store = SwitchableStore(MemoryStore(disk))
    epoch = await store.open()
    full, lost = StorageUnavailable("no room"), StorageUnavailable("lost")
    heard: list[tuple[list[str], StorageFailed | None]] = []

    def told(appends: Sequence[Append], failure: StorageFailed | None) -> None:
        heard.append(([append.journal for append in appends], failure))

    store.hold("a")
    store.refuse(full, "b")
    store.append(epoch, [batch("a", 1, 1), batch("b", 1, 1), batch("c", 1, 1)], told)
    store.append(epoch, [batch("c", 2, 2), batch("d", 1, 1)], told)
    store.snapshot(epoch, [Snapshot("a", 1, b"state", b"")], lambda failure: told([batch("a", 1, 1)], failure))
    store.drop(epoch, JournalId("b"), lambda failure: told([batch("b", 1, 1)], failure))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sorted(heard, key=lambda one: one[0]) == [(["b"], full), (["b"], full), (["c"], None), (["c", "d"], None)]
    assert store.held() == 2
    store.refuse(lost, "b", "d")
    assert store.held() == 2
    store.accept()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert heard[4:] == [(["a"], None), (["a"], None)]
    assert [stored.state for stored in disk.journals()] == [b"state", b"", b""]


async def test_held_batches_go_on_in_order_or_fail_together() -> None:
    """A store that hangs either comes back or turns out to be lost."""
    store = SwitchableStore(MemoryStore(MemoryDisk()))
    epoch = await store.open()
    answers = Answers()
    store.hold()
    given(store, epoch, answers, batch(CHANNEL, 1, 1))
    given(store, epoch, answers, batch(CHANNEL, 2, 2))
    await asyncio.sleep(0)
    assert (answers.failures, store.held()) == ([], 2)
    store.accept()
    await asyncio.sleep(0)
    assert answers.failures == [None, None]
    store.hold()
    given(store, epoch, answers, batch(CHANNEL, 3, 3))
    lost = StorageFenced("lost the lease")
    store.refuse(lost)
    await asyncio.sleep(0)
    assert answers.failures == [None, None, lost]
