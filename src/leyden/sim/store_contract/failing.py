"""Rules of trouble and of the end: errors and `close`. Those of trouble need `StoreMaker.trouble`."""

from leyden.base.errors import StorageBroken, StorageUnavailable
from leyden.sim.store_contract.life import CHANNEL, OTHER, Life, batch, begin, end, expect, records, snapshot
from leyden.sim.store_contract.maker import StoreMaker, Trouble
from leyden.sim.store_contract.rule import NotTried, require, rule


async def _get_into(life: Life, kind: Trouble) -> None:
    if not life.maker.trouble(kind):
        await life.end()
        raise NotTried(f"`StoreMaker.trouble` cannot make {kind.value} trouble")


@rule("H115", "H125", advice="answer StorageUnavailable when it may go better later; take the same records then")
async def transient_failure_can_be_repeated(maker: StoreMaker) -> None:
    """In transient trouble nothing is reported durable that is not; afterwards the same calls succeed."""
    life = await begin(maker)
    await life.write(batch(CHANNEL, 1, 2))
    await _get_into(life, Trouble.TRANSIENT)
    for _ in range(2):
        await life.refuse(life.give(batch(CHANNEL, 3, 4), batch(OTHER, 1, 1)), StorageUnavailable)
    await life.refuse(life.give_snapshots(snapshot(CHANNEL, 2, b"rows;")), StorageUnavailable)
    maker.trouble(Trouble.NONE)
    await life.write(batch(CHANNEL, 3, 4), batch(OTHER, 1, 1))
    await life.compact(CHANNEL, 4, b"rows;")
    life = await life.again()
    expect(life, {CHANNEL: (4, 4), OTHER: (0, 1)})
    await life.end()


@rule("H111", "H115", advice="once an append of a journal failed, refuse those behind it until it was given again")
async def nothing_overtakes_a_refused_append(maker: StoreMaker) -> None:
    """A batch behind one that failed is refused too, and with an error that says: give them again, in order."""
    life = await begin(maker)
    await _get_into(life, Trouble.TRANSIENT)
    calls = [life.give(batch(CHANNEL, position, position)) for position in (1, 2, 3)]
    for call in calls:
        await life.refuse(call, StorageUnavailable)
    maker.trouble(Trouble.NONE)
    await life.refuse(life.give(batch(CHANNEL, 4, 4)), StorageUnavailable)
    await life.write(batch(OTHER, 1, 1))
    for position in (1, 2, 3, 4):
        await life.write(batch(CHANNEL, position, position))
    life = await life.again()
    expect(life, {CHANNEL: (0, 4), OTHER: (0, 1)})
    await life.end()


@rule(
    "H128",
    advice="after an error that leaves the outcome open take no more writes: only a new `open` reads what is there",
)
async def final_failure_is_final(maker: StoreMaker) -> None:
    """After an error whose outcome is unknown the store takes nothing more in this life; the next one has a prefix."""
    life = await begin(maker)
    await life.write(batch(CHANNEL, 1, 2))
    await _get_into(life, Trouble.FINAL)
    await life.refuse(life.give(batch(CHANNEL, 3, 3)), StorageBroken)
    await life.refuse(life.give(batch(OTHER, 1, 1)), StorageBroken)
    maker.trouble(Trouble.NONE)
    await life.refuse(life.give(batch(CHANNEL, 3, 3)), StorageBroken)
    await life.refuse(life.give_snapshots(snapshot(CHANNEL, 1)), StorageBroken)
    await life.refuse(life.give_drop(CHANNEL), StorageBroken)
    life = await life.again()
    last = end(life.loaded[CHANNEL]) if CHANNEL in life.loaded else 0
    require(last in (2, 3), f"{CHANNEL} ends at {last}, two records had been reported durable and one was under way")
    require(life.loaded[CHANNEL].records == records(1, last), f"{CHANNEL} has other records after a final failure")
    await life.write(batch(CHANNEL, last + 1, 5))
    await life.end()


@rule("H122", advice="finish what is under way, and answer it, before `close` returns")
async def close_finishes_what_was_given(maker: StoreMaker) -> None:
    """A clean stop with writes under way answers every call before it returns, and what it answered is there."""
    life = await begin(maker)
    calls = [
        life.give(batch(CHANNEL, 1, 3), batch(OTHER, 1, 1)),
        life.give(batch(CHANNEL, 4, 4)),
        life.give_snapshots(snapshot(CHANNEL, 2, b"rows;")),
        life.give_drop(OTHER),
    ]
    await life.close()
    for call in calls:
        require(call.done.is_set(), f"`close` returned, and {call.what} is not answered")
        require(call.failure is None, f"{call.what} failed in `close`: {call.failure}")
    life.check_answers()
    life = await begin(maker)
    expect(life, {CHANNEL: (2, 4)})
    await life.end()


RULES = (
    transient_failure_can_be_repeated,
    nothing_overtakes_a_refused_append,
    final_failure_is_final,
    close_finishes_what_was_given,
)
