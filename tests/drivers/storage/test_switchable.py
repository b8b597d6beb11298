"""`SwitchableStore`."""

import asyncio

import pytest

from leyden.base.errors import StorageFenced, StorageUnavailable
from leyden.drivers.storage.memory import MemoryDisk, MemoryStore
from leyden.drivers.storage.switchable import SwitchableStore
from leyden.ports.store import Store
from tests.drivers.storage.contract.suite import CHANNEL, Answers, Disk, StoreContract, batch, given, written


class _Switchable(Disk):
    def __init__(self) -> None:
        self.disk = MemoryDisk()

    def store(self) -> Store:
        return SwitchableStore(MemoryStore(self.disk))


class TestSwitchableStoreContract(StoreContract):
    """With the switch untouched it is a store like any other."""

    @pytest.fixture
    def disk(self) -> Disk:
        """A fresh disk."""
        return _Switchable()


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
