"""The disk of the simulator owes what every store owes, so far as the simulation lets it run by itself."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import pytest

from leyden.base.ids import JournalId
from leyden.ports.store import Append, Appended, Completion, Snapshot, Store
from leyden.sim.disk import SimDisk, SimStore
from leyden.sim.store_contract import StoreMaker
from tests.drivers.storage.contract.places import TROUBLE
from tests.drivers.storage.contract.suite import StoreContract

_STOPS = "it asserts instead of refusing: such a call is a bug of the node and must stop the simulation"


class _Driven(SimStore):
    """A world that lets one write a turn become durable, the journal that has waited least first."""

    def __init__(self, disk: SimDisk) -> None:
        super().__init__(disk)
        self._disk = disk
        self._posted = False

    def append(self, epoch: int, batch: Sequence[Append], on_durable: Appended) -> None:
        self._later(partial(super().append, epoch, batch, on_durable))

    def snapshot(self, epoch: int, snapshots: Sequence[Snapshot], on_durable: Completion) -> None:
        self._later(partial(super().snapshot, epoch, snapshots, on_durable))

    def drop(self, epoch: int, journal: JournalId, on_durable: Completion) -> None:
        self._later(partial(super().drop, epoch, journal, on_durable))

    async def close(self) -> None:
        while self._posted:  # noqa: ASYNC110 - each turn writes one
            await asyncio.sleep(0)

    def _later(self, call: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_soon(call)
        if not self._posted:
            self._posted = True
            asyncio.get_running_loop().call_soon(self._commit_one)

    def _commit_one(self) -> None:
        ready = self._disk.ready()
        self._posted = bool(ready)
        if ready:
            self._disk.commit(ready[-1])
            asyncio.get_running_loop().call_soon(self._commit_one)


class _World(StoreMaker):
    # A fenced life hears nothing more: do not wait for it.
    answer_seconds = 0.2

    def __init__(self, disk: SimDisk) -> None:
        self._disk = disk

    def store(self) -> Store:
        return _Driven(self._disk)

    def crashes(self) -> Iterable[StoreMaker]:
        return [_World(self._disk.copy())]


class TestSimStoreContract(StoreContract):
    """Worlds are only worth exploring on a store that is one."""

    not_tried = TROUBLE
    left_out = dict.fromkeys(
        (
            "no_answer_comes_inside_the_call",
            "other_bytes_at_a_known_position_are_refused",
            "gap_is_refused",
            "snapshot_that_does_not_fit_is_refused",
        ),
        _STOPS,
    )

    @pytest.fixture
    def maker(self) -> StoreMaker:
        """A fresh disk."""
        return _World(SimDisk())
