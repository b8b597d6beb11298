"""The answers of a store are watched while it works."""

import asyncio
import threading

import pytest

from leyden.base.errors import StorageBroken, StorageFenced
from leyden.sim.store_contract.life import CHANNEL, OTHER, batch, begin, expect, opened
from leyden.sim.store_contract.rule import ContractBroken
from tests.sim.store_contract.faulty import FaultyStore, Place


async def test_call_is_done_when_its_last_append_is_named() -> None:
    """A store may tell of each journal by itself."""
    life = await begin(Place())
    first, second = batch(CHANNEL, 1, 2), batch(OTHER, 1, 1)
    told: list[dict[str, int]] = []
    given = life.give(first, second)
    life.on_answer = lambda: told.append(dict(given.durable))
    given.on_appended([second], None)
    assert not given.done.is_set()
    given.on_appended([first], StorageBroken("no"))
    assert given.done.is_set()
    assert told == [{OTHER: 1}, {OTHER: 1}]
    assert isinstance(given.failure, StorageBroken)
    assert given.ends == {CHANNEL: 2, OTHER: 1}


@pytest.mark.parametrize("what", ["unknown", "twice", "order", "again"])
async def test_wrong_answers_are_kept_until_somebody_looks(what: str) -> None:
    """They come in callbacks, where an exception would be lost."""
    life = await begin(Place())
    first, second = batch(CHANNEL, 1, 2), batch(CHANNEL, 3, 3)
    given = life.give(first, second)
    match what:
        case "unknown":
            given.on_appended([batch(CHANNEL, 4, 4)], None)
        case "twice":
            given.on_appended([first, first], None)
        case "order":
            given.on_appended([second], None)
        case _:
            given.on_appended([first, second], None)
            given.on_appended([], None)
    with pytest.raises(ContractBroken, match=r"append\(channel/ab 1..2, channel/ab 3..3\)"):
        life.check_answers()


async def test_answer_in_another_thread_is_noticed() -> None:
    """The node has one thread and no locks."""
    life = await begin(Place())
    given = life.give(batch(CHANNEL, 1, 1))
    thread = threading.Thread(target=given.on_done, args=(None,))
    thread.start()
    thread.join()
    with pytest.raises(ContractBroken, match="another thread"):
        life.check_answers()


class _Stuck(FaultyStore):
    async def open(self) -> int:
        await asyncio.sleep(60)
        return 1


class _StuckAtTheEnd(FaultyStore):
    async def close(self) -> None:
        await asyncio.sleep(60)


class _Twice(FaultyStore):
    def load(self):
        yield from super().load()
        yield from super().load()


class _At(Place):
    answer_seconds = 0.01

    def __init__(self, kind: type[FaultyStore]) -> None:
        super().__init__()
        self._kind = kind

    def store(self) -> FaultyStore:
        return self._kind(self)


async def test_calls_that_never_return_are_given_up() -> None:
    """A contract that hangs tells nobody anything."""
    with pytest.raises(ContractBroken, match=r"`open` did not return within 0\.01 s"):
        await opened(_At(_Stuck))
    life = await begin(_At(_StuckAtTheEnd))
    with pytest.raises(ContractBroken, match="`close` did not return"):
        await life.end()


async def test_journal_that_is_loaded_twice_is_noticed() -> None:
    """The second one would replace the first without a word."""
    place = _At(_Twice)
    life = await opened(place)
    await life.write(batch(CHANNEL, 1, 1))
    with pytest.raises(ContractBroken, match="twice"):
        life.load()


async def test_failure_of_the_wrong_kind_is_noticed() -> None:
    """Who is fenced must stop; who is only broken must not be told that another has taken over."""
    life = await begin(Place())
    await life.write(batch(CHANNEL, 1, 1))
    with pytest.raises(ContractBroken, match="succeeded, where StorageBroken was due"):
        await life.refuse(life.give(batch(CHANNEL, 2, 2)), StorageBroken)
    with pytest.raises(ContractBroken, match=r"StorageFenced .* where StorageBroken was due"):
        await life.refuse(life.give(batch(CHANNEL, 3, 3), epoch=0), StorageBroken)
    await life.refuse(life.give(batch(CHANNEL, 3, 3), epoch=0), StorageFenced)
    with pytest.raises(ContractBroken, match="failed: StorageBroken"):
        await life.take(life.give(batch(CHANNEL, 9, 9)))


async def test_expectation_names_the_journal() -> None:
    """Which of four hundred it was is the first question."""
    life = await begin(Place())
    await life.write(batch(CHANNEL, 1, 3), batch(OTHER, 1, 1))
    await life.compact(OTHER, 1)
    life = await life.again()
    expect(life, {CHANNEL: (0, 3), OTHER: (1, 1)})
    wrongs: list[dict[str, tuple[int, int]]] = [
        {CHANNEL: (0, 3)}, {CHANNEL: (0, 4), OTHER: (1, 1)}, {CHANNEL: (0, 3), OTHER: (0, 1)},
    ]  # fmt: skip
    for wrong in wrongs:
        with pytest.raises(ContractBroken, match="channel/"):
            expect(life, wrong)
