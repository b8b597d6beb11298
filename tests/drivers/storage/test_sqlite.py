"""`SqliteStore` as its callers see it."""

import os
from pathlib import Path

import pytest

from leyden.drivers.storage.sqlite import SqliteStore
from leyden.ports.store import Append
from leyden.sim.store_contract import StoreMaker
from tests.drivers.storage.contract.places import TROUBLE, TWO_OPEN, FilePlace, PowerPlace
from tests.drivers.storage.contract.suite import Answers, StoreContract, given, written


class TestSqliteStoreContract(StoreContract):
    """The default store owes what every store owes, and what a killed process leaves of it."""

    not_tried = TROUBLE | TWO_OPEN

    @pytest.fixture
    def maker(self, tmp_path: Path) -> StoreMaker:
        """A fresh file."""
        return FilePlace(tmp_path / "leyden.db")


class TestSqliteStoreContractWithoutPower(StoreContract):
    """The same on a disk that keeps what was synced, and of all else a part."""

    left_out = dict.fromkeys(
        (
            *TWO_OPEN,
            "second_owner_stops_the_first_or_is_refused",
            "concurrent_openers_get_different_epochs",
            "cancelled_open_leaves_the_place_free",  # the thread that was given up opens beside the next one
        ),
        "this disk has no locks; files have",
    )

    @pytest.fixture
    def maker(self) -> StoreMaker:
        """A fresh disk."""
        return PowerPlace()


async def test_commits_count_groups_not_batches(tmp_path: Path) -> None:
    """Whoever measures syncs a payment must see how well batches share them."""
    store = SqliteStore(tmp_path / "leyden.db")
    epoch = await store.open()
    assert store.commits == 0
    answers = Answers()
    for position in range(1, 100):
        given(store, epoch, answers, Append("node", position, [b"record"]))
    assert await written(store, epoch, Append("node", 100, [b"record"])) is None
    assert 1 <= store.commits <= 100
    before = store.commits
    given(store, epoch, answers, Append("node", 101, [b"record"]))
    await store.reclaim()
    assert store.commits == before + 1
    await store.close()


async def test_nobody_else_can_read_the_journals(tmp_path: Path) -> None:
    """Journals hold preimages and secrets of revoked states."""
    store = SqliteStore(tmp_path / "journals.sqlite")
    await store.open()
    modes = {entry.name: entry.stat().st_mode & 0o077 for entry in os.scandir(tmp_path)}
    await store.close()
    assert modes
    assert not any(modes.values()), modes
