"""Rules of `open` and `load`: one writer, whatever is still under way."""

import asyncio
from contextlib import suppress

from leyden.base.errors import StorageFenced
from leyden.base.ids import NODE_JOURNAL
from leyden.ports.store import StoredJournal
from leyden.sim.store_contract.life import (
    CHANNEL,
    OTHER,
    Given,
    Life,
    batch,
    begin,
    end,
    expect,
    opened,
    records,
    snapshot,
)
from leyden.sim.store_contract.maker import StoreMaker
from leyden.sim.store_contract.rule import NotTried, broken, require, rule

_ROUNDS = 12
_UNDER_WAY = 6
_UNDER_WAY_MAX = 40


async def _rival(maker: StoreMaker) -> Life | None:
    """Open a second store while the first lives; None when the place keeps it out, as a lock does."""
    try:
        return await opened(maker)
    except StorageFenced:
        return None


@rule("H109", advice="count epochs on the place itself, durably, before `open` returns")
async def epoch_rises_with_every_open(maker: StoreMaker) -> None:
    """Each `open` returns an epoch above all before, also when the life before wrote nothing."""
    life = await begin(maker)
    last = life.epoch
    for _ in range(4):
        life = await life.again()
        require(life.epoch > last, f"`open` returned epoch {life.epoch} after epoch {last}")
        last = life.epoch
    await life.end()


@rule(
    "H109", "H150", advice="take a lock in `open`, or raise the epoch so that the older store is refused from then on"
)
async def second_owner_stops_the_first_or_is_refused(maker: StoreMaker) -> None:
    """Two live copies of one node lose money: either the second is not let in, or the first can write no more."""
    first = await begin(maker)
    await first.write(batch(CHANNEL, 1, 1))
    second = await _rival(maker)
    if second is None:
        await first.write(batch(CHANNEL, 2, 2))
        life = await first.again()
        expect(life, {CHANNEL: (0, 2)})
        await life.end()
        return
    second.load()
    expect(second, {CHANNEL: (0, 1)})
    await first.refuse(first.give(batch(CHANNEL, 2, 2)), StorageFenced)
    await first.refuse(first.give_snapshots(snapshot(CHANNEL, 1)), StorageFenced)
    await first.refuse(first.give_drop(CHANNEL), StorageFenced)
    await first.end()
    await second.write(batch(CHANNEL, 2, 3))
    life = await second.again()
    expect(life, {CHANNEL: (0, 3)})
    await life.end()


@rule(
    "H112", "H150", advice="compare the epoch and write in one step of the store (a transaction, a conditional write)"
)
async def append_under_way_never_lands_behind_the_next_open(maker: StoreMaker) -> None:
    """When `open` returns, no append of a lower epoch becomes durable any more: to read the epoch first is no fence."""
    place = 0
    for turns in range(_ROUNDS):
        first = await begin(maker)
        calls = [first.give(batch(CHANNEL, place + 1 + i, place + 1 + i)) for i in range(_UNDER_WAY)]
        calls.append(first.give(batch(OTHER, turns + 1, turns + 1), batch(NODE_JOURNAL, turns + 1, turns + 1)))
        for _ in range(turns):
            await asyncio.sleep(0)
        opening = asyncio.get_running_loop().create_task(_rival(maker))
        while not opening.done():
            if len(calls) < _UNDER_WAY_MAX:
                calls.append(first.give(batch(CHANNEL, place + len(calls), place + len(calls))))
            await asyncio.sleep(0)
        second = await opening
        if second is None:
            await first.end()
            raise NotTried("the place keeps a second store out while the first is open, so nothing can be under way")
        second.load()
        seen = {name: end(stored) for name, stored in second.loaded.items()}
        await _settle(first, calls, seen)
        await first.end()
        kept = seen.get(CHANNEL, 0)
        require(place <= kept < place + len(calls), f"{CHANNEL} ends at {kept} where {place} were durable")
        place = kept + 1
        # Other bytes than those that were under way: if one of them lands now, it shows.
        await second.write(batch(CHANNEL, place, place, "second"))
        life = await second.again()
        require(end(life.loaded[CHANNEL]) == place, f"{CHANNEL} ends at {end(life.loaded[CHANNEL])} instead of {place}")
        require(
            life.loaded[CHANNEL].records[-1:] == records(place, place, "second"),
            f"record {place} of {CHANNEL} is one of the first store, written after the second had opened",
        )
        for name in (OTHER, NODE_JOURNAL):
            stored = life.loaded.get(name)
            require(
                (0 if stored is None else end(stored)) == seen.get(name, 0),
                f"{name} grew after the second store had loaded it",
            )
            await life.write(batch(name, seen.get(name, 0) + 1, turns + 1))
        await life.end()


async def _settle(first: Life, calls: list[Given], seen: dict[str, int]) -> None:
    """Wait for what was under way: it is fenced, or it is in what the next store loaded."""
    await _wait_for_some(first, calls)
    for call in calls:
        failure = call.failure if call.done.is_set() else StorageFenced("a process that is fenced may be dead")
        if failure is not None:
            require(isinstance(failure, StorageFenced), f"{call.what} failed with {type(failure).__name__}: {failure}")
            continue
        for journal, last in call.ends.items():
            require(
                seen.get(journal, 0) >= last,
                f"record {last} of {journal} was reported durable, and the store that opened meanwhile loads "
                f"{seen.get(journal, 0)} records",
            )


async def _wait_for_some(life: Life, calls: list[Given]) -> None:
    """Wait for the answers of a store that is fenced: to hear nothing from it breaks no promise."""
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.gather(*[call.done.wait() for call in calls]), life.maker.answer_seconds)
    life.check_answers()


@rule("H109", "H150", advice="raise the epoch in one step of the store, so that no two `open` read the same one")
async def concurrent_openers_get_different_epochs(maker: StoreMaker) -> None:
    """Of several that open at once at most the one with the highest epoch can write, and somebody gets in."""
    life = await begin(maker)
    await life.write(batch(CHANNEL, 1, 1))
    await life.end()
    answers = await asyncio.gather(*[opened(maker) for _ in range(3)], return_exceptions=True)
    lives: list[Life] = []
    for answer in answers:
        if isinstance(answer, Life):
            lives.append(answer)
        elif not isinstance(answer, StorageFenced):
            broken(f"one of three concurrent `open` raised {type(answer).__name__}: {answer}")
    require(lives, "of three concurrent `open` none got in")
    lives.sort(key=lambda one: one.epoch)
    epochs = [one.epoch for one in lives]
    require(epochs[0] > life.epoch, f"epoch {epochs[0]} follows {life.epoch}")
    require(len(set(epochs)) == len(epochs), f"concurrent `open` returned the same epoch: {epochs}")
    for older in lives[:-1]:
        await older.refuse(older.give(batch(CHANNEL, 2, 2, "older")), StorageFenced)
        await older.end()
    winner = lives[-1]
    winner.load()
    expect(winner, {CHANNEL: (0, 1)})
    await winner.write(batch(CHANNEL, 2, 2))
    life = await winner.again()
    expect(life, {CHANNEL: (0, 2)})
    await life.end()


@rule("H129", advice="list what there is after the fence is taken, not before, and in one consistent view")
async def load_is_not_disturbed_by_the_older_store(maker: StoreMaker) -> None:
    """What `load` yields is what there is from then on, whatever an older store had under way."""
    first = await begin(maker)
    names = [f"channel/{number:02}" for number in range(8)]
    await first.write(*[batch(name, 1, 4) for name in names])
    calls = [first.give(*[batch(name, 5, 6) for name in names])]
    calls += [first.give_snapshots(*[snapshot(name, 3) for name in names[:4]])]
    calls += [first.give_drop(name) for name in names[6:]]  # type: ignore[arg-type]
    calls += [first.give(*[batch(name, 7, 7) for name in names[:6]])]
    second = await _rival(maker)
    if second is None:
        await first.end()
        raise NotTried("the place keeps a second store out while the first is open")
    for stored in second.store.load():
        second.loaded[stored.journal] = stored
        for _ in range(4):
            await asyncio.sleep(0)
    await _wait_for_some(first, calls)
    await first.end()
    seen = _content(second.loaded)
    life = await second.again()
    there = _content(life.loaded)
    require(there == seen, f"`load` gave {seen}, and later there is {there} without any write between")
    for name in names[:6]:
        require(name in there, f"`load` leaves {name} out")
        require(there[name][1] >= 4, f"{name} ends at {there[name][1]}, records up to 4 had been reported durable")
    await life.end()


def _content(loaded: dict[str, StoredJournal]) -> dict[str, tuple[int, int]]:
    return {name: (stored.position, end(stored)) for name, stored in sorted(loaded.items())}


@rule("H105", "H122", advice="give back what `open` has taken (locks, threads, sessions) when it is cancelled")
async def cancelled_open_leaves_the_place_free(maker: StoreMaker) -> None:
    """A start that is given up at any point keeps nobody out, and costs nothing."""
    life = await begin(maker)
    await life.write(batch(CHANNEL, 1, 2))
    last = life.epoch
    await life.end()
    for turns in range(4):
        store = maker.store()
        opening = asyncio.get_running_loop().create_task(store.open())
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        got_in = (await asyncio.gather(opening, return_exceptions=True))[0]
        if isinstance(got_in, int):  # it was faster than we
            await store.close()
        life = await _patiently(maker)
        expect(life, {CHANNEL: (0, 2)})
        require(life.epoch > last, f"epoch {life.epoch} follows epoch {last}")
        last = life.epoch
        await life.end()


async def _patiently(maker: StoreMaker) -> Life:
    """Begin a life as soon as the place is free: a cancelled `open` may take a moment to let go."""
    loop = asyncio.get_running_loop()
    until = loop.time() + maker.answer_seconds
    while True:
        try:
            return await begin(maker)
        except StorageFenced as error:
            if loop.time() > until:
                broken(f"an `open` that was cancelled still keeps others out: {error}")
            await asyncio.sleep(0.01)


RULES = (
    epoch_rises_with_every_open,
    second_owner_stops_the_first_or_is_refused,
    append_under_way_never_lands_behind_the_next_open,
    concurrent_openers_get_different_epochs,
    load_is_not_disturbed_by_the_older_store,
    cancelled_open_leaves_the_place_free,
)
