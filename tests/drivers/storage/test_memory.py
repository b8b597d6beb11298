"""`MemoryStore` and `MemoryDisk`."""

import pytest

from leyden.drivers.storage.memory import MemoryDisk, MemoryStore
from leyden.ports.store import Append
from leyden.sim.store_contract import StoreMaker
from tests.drivers.storage.contract.places import TROUBLE, MemoryPlace
from tests.drivers.storage.contract.suite import CHANNEL, Answers, StoreContract, batch, given, records


class TestMemoryStoreContract(StoreContract):
    """The memory store owes what every store owes."""

    not_tried = TROUBLE

    @pytest.fixture
    def maker(self) -> StoreMaker:
        """A fresh disk."""
        return MemoryPlace(MemoryDisk())


@pytest.mark.parametrize("kept", [0, 1, 2, 3, 7])
async def test_crash_keeps_a_prefix_of_each_journal(kept: int) -> None:
    """Journals are independent: a crash may keep any prefix of one and another of the next."""
    disk = MemoryDisk()
    store = MemoryStore(disk)
    epoch = await store.open()
    answers = Answers()
    given(store, epoch, answers, batch(CHANNEL, 1, 1), batch("other", 1, 1))
    given(store, epoch, answers, batch(CHANNEL, 2, 3), batch("other", 2, 2))
    assert disk.unwritten_counts() == {CHANNEL: 3, "other": 2}
    disk.crash({CHANNEL: kept, "other": 1})
    following = MemoryStore(disk)
    await following.open()
    tails = {stored.journal: stored.records for stored in following.load()}
    assert tails == {"other": records(1, 1)} | ({CHANNEL: records(1, min(kept, 3))} if kept else {})
    assert answers.failures == [], "nobody is left to be told"


async def test_callbacks_of_a_crashed_life_change_nothing() -> None:
    """The simulator drops a life while its callbacks are still queued."""
    disk = MemoryDisk()
    posted: list[object] = []
    store = MemoryStore(disk, posted.append)
    epoch = await store.open()
    disk.crash({})
    answers = Answers()
    given(store, epoch, answers, Append(CHANNEL, 1, [b"late"]))
    assert len(posted) == 1
    disk.commit_all()
    assert disk.journals() == []
    assert len(answers.failures) == 1


async def test_laggards_are_the_journals_with_the_longest_tails() -> None:
    """Whoever compacts starts with the journal that costs most."""
    disk = MemoryDisk()
    store = MemoryStore(disk)
    epoch = await store.open()
    given(store, epoch, Answers(), Append("a", 1, [b"x"]), Append("b", 1, [b"xxx", b"y"]))
    await store.close()
    assert store.laggards() == [("b", 4), ("a", 1)]
    assert store.log_bytes() == 5
