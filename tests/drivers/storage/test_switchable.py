"""`SwitchableStore`."""

import asyncio

import pytest

from leyden.base.errors import StorageFenced, StorageUnavailable
from leyden.drivers.storage.memory import MemoryDisk, MemoryStore
from leyden.drivers.storage.switchable import SwitchableStore
from leyden.ports.store import Store
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
