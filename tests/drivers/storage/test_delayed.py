"""`DelayedStore`."""

from collections.abc import Sequence

import pytest

from leyden.base.errors import StorageFailed
from leyden.drivers.storage.delayed import DelayedStore
from leyden.drivers.storage.memory import MemoryDisk, MemoryStore
from leyden.ports.store import Append, Store
from leyden.sim.store_contract import StoreMaker
from tests.drivers.storage.contract.places import TROUBLE, MemoryPlace
from tests.drivers.storage.contract.suite import CHANNEL, StoreContract, batch, records
from tests.drivers.warp import run_warped


class _Delayed(MemoryPlace):
    def store(self) -> Store:
        return DelayedStore(MemoryStore(self.disk), 0.001)


class TestDelayedStoreContract(StoreContract):
    """A late store owes what every store owes."""

    not_tried = TROUBLE

    @pytest.fixture
    def maker(self) -> StoreMaker:
        """A fresh disk."""
        return _Delayed(MemoryDisk())


def test_batches_overlap_in_time_and_keep_their_order() -> None:
    """A far store is slow for each batch, not for one batch after the other."""

    async def story() -> None:
        import asyncio

        loop = asyncio.get_running_loop()
        disk = MemoryDisk()
        store = DelayedStore(MemoryStore(disk), 10.0)
        epoch = await store.open()
        durable: list[tuple[int, float]] = []
        start = loop.time()
        for position in range(1, 6):

            def completed(_: Sequence[Append], failure: StorageFailed | None, position: int = position) -> None:
                assert failure is None
                durable.append((position, round(loop.time() - start, 3)))

            store.append(epoch, [batch(CHANNEL, position, position)], completed)
            await asyncio.sleep(1.0)
        assert durable == []
        assert disk.journals() == [], "the delay comes before the write: a crash now loses what a slow store would lose"
        await asyncio.sleep(20.0)
        assert durable == [(1, 10.0), (2, 11.0), (3, 12.0), (4, 13.0), (5, 14.0)]
        assert disk.journals()[0].records == records(1, 5)

    run_warped(story())
