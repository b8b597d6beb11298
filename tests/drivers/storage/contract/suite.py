"""The contract for stores of ours: subclass `StoreContract`, name the class `Test…`, give it `maker`."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import pytest

from leyden.base.errors import StorageFailed
from leyden.base.ids import JournalId
from leyden.ports.store import Append, Appended, Snapshot, Store
from leyden.sim import store_contract

CHANNEL = JournalId("channel/" + "ab" * 32)


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


def records(first: int, last: int) -> list[bytes]:
    """Distinct records for the positions first..last."""
    return [b"record %d" % position for position in range(first, last + 1)]


def batch(journal: str, first: int, last: int) -> Append:
    """An append of `records(first, last)`."""
    return Append(journal, first, records(first, last))


class StoreContract:
    """One test for each rule of the contract. A subclass gives the fixture `maker`.

    not_tried: rules that need what the place cannot do. left_out: rules that would test the place and not the store, or
    that the store breaks on purpose, and why.
    """

    not_tried: frozenset[str] = frozenset()
    left_out: Mapping[str, str] = {}

    @pytest.mark.parametrize("rule", store_contract.RULES, ids=str)
    async def test_store_keeps(self, maker: store_contract.StoreMaker, rule: store_contract.Rule) -> None:
        """See the rule's own sentence."""
        if rule.name in self.left_out:
            pytest.skip(self.left_out[rule.name])
        try:
            await store_contract.run_rule(rule, maker)
        except store_contract.NotTried as reason:
            assert rule.name in self.not_tried
            pytest.skip(str(reason))
        assert rule.name not in self.not_tried, "it can be tried now: take it out of the list"
