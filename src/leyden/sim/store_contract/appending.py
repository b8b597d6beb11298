"""Rules of `append`: order, positions, repeats, answers."""

import asyncio

from leyden.base.errors import StorageBroken, StorageFenced
from leyden.base.ids import NODE_JOURNAL
from leyden.ports.store import Append
from leyden.sim.store_contract.life import CHANNEL, JOURNALS, OTHER, Given, batch, begin, end, expect, snapshot
from leyden.sim.store_contract.maker import StoreMaker
from leyden.sim.store_contract.rule import require, rule

_MANY = 400


@rule(advice="answer `load` from what was written to this place, and nothing else")
async def new_place_is_empty(maker: StoreMaker) -> None:
    """On a new place `load` yields no journal, and no penalty log has rows."""
    life = await begin(maker)
    expect(life, {})
    require(life.store.penalty_rows(CHANNEL) == b"", "a journal that was never written has penalty rows")
    await life.end()


@rule(advice="write the records of a journal in the order of their positions and read them back in that order")
async def durable_records_come_back_in_order(maker: StoreMaker) -> None:
    """What was reported durable is loaded after a restart: every journal, every record, in order."""
    life = await begin(maker)
    await life.write(batch(NODE_JOURNAL, 1, 2), batch(CHANNEL, 1, 1))
    await life.write(batch(CHANNEL, 2, 12))
    life = await life.again()
    expect(life, {NODE_JOURNAL: (0, 2), CHANNEL: (0, 12)})
    await life.write(batch(CHANNEL, 13, 13))
    life = await life.again()
    expect(life, {NODE_JOURNAL: (0, 2), CHANNEL: (0, 13)})
    await life.end()


@rule("H110", "H117", advice="keep one queue for each journal, filled in the order of the calls")
async def batches_under_way_keep_their_order(maker: StoreMaker) -> None:
    """The node does not wait: two hundred batches may be under way, and become durable in the order of the calls."""
    life = await begin(maker)
    order: list[int] = []
    calls: list[Given] = []

    def note() -> None:
        order.extend(place for place, call in enumerate(calls) if call.done.is_set() and place not in order)

    life.on_answer = note
    calls += [life.give(batch(CHANNEL, position, position)) for position in range(1, 201)]
    for call in calls:
        await life.take(call)
    require(order == sorted(order), f"batch {order[0] + 1} of one journal was answered before those in front of it")
    life = await life.again()
    expect(life, {CHANNEL: (0, 200)})
    await life.end()


@rule("H55", "H117", advice="call the completion once for each append, when it is known to be durable or refused")
async def every_append_is_answered_once(maker: StoreMaker) -> None:
    """Each append of a batch is named in exactly one answer, those of a journal in order; an empty batch gets one."""
    life = await begin(maker)
    calls = [
        life.give(*[batch(journal, 1, 3) for journal in JOURNALS]),
        life.give(),
        life.give(*[batch(CHANNEL, 4, 5), batch(OTHER, 4, 4), batch(CHANNEL, 6, 6)]),
        life.give_snapshots(snapshot(CHANNEL, 6), snapshot(OTHER, 4)),
        life.give(batch(CHANNEL, 7, 7)),
    ]
    for call in calls:
        await life.take(call)
    await asyncio.sleep(0.01)
    life = await life.again()
    expect(life, {NODE_JOURNAL: (0, 3), CHANNEL: (6, 7), OTHER: (4, 4)})
    await life.end()


@rule("H116", advice="answer in a later turn of the event loop (`call_soon`), refusals too")
async def no_answer_comes_inside_the_call(maker: StoreMaker) -> None:
    """A completion runs on the event loop's thread, never before the call that it answers has returned."""
    life = await begin(maker)
    await life.take(life.give(batch(CHANNEL, 1, 3)))
    await life.take(life.give_snapshots(snapshot(CHANNEL, 2)))
    await life.answer(life.give(batch(CHANNEL, 9, 9)))
    await life.answer(life.give(Append(CHANNEL, 3, [b"other"])))
    await life.answer(life.give_snapshots(snapshot(CHANNEL, 1)))
    await life.answer(life.give(batch(CHANNEL, 4, 4), epoch=life.epoch - 1))
    await life.answer(life.give_snapshots(snapshot(CHANNEL, 3), epoch=life.epoch - 1))
    await life.answer(life.give_drop(CHANNEL, epoch=life.epoch - 1))
    await life.take(life.give_drop(CHANNEL))
    await life.end()


@rule("H119", advice="finish with one call before answering it, so that the answer may lead to the next call")
async def next_batch_may_be_given_from_an_answer(maker: StoreMaker) -> None:
    """The node gives the next batch from within the answer to the last one."""
    life = await begin(maker)
    calls: list[Given] = []

    def give_next() -> None:
        if len(calls) < 20 and (not calls or calls[-1].done.is_set()):
            calls.append(life.give(batch(CHANNEL, len(calls) + 1, len(calls) + 1)))

    life.on_answer = give_next
    give_next()
    for place in range(20):
        require(place < len(calls), f"no answer came to batch {place}")
        await life.take(calls[place])
    life = await life.again()
    expect(life, {CHANNEL: (0, 20)})
    await life.end()


@rule("H114", advice="compare the records that are offered at known positions with those that are stored")
async def same_bytes_at_a_known_position_are_a_success(maker: StoreMaker) -> None:
    """Whoever missed an answer may give the same records again: nothing changes, what is new behind them is added."""
    life = await begin(maker)
    last = 3
    await life.write(batch(CHANNEL, 1, 1))
    await life.write(batch(NODE_JOURNAL, 1, 2), batch(CHANNEL, 2, 3))
    for first, to in ((1, 3), (3, 3), (2, 3), (2, 5), (1, 4), (1, 7)):
        await life.write(batch(CHANNEL, first, to))
        last = max(last, to)
    life = await life.again()
    expect(life, {NODE_JOURNAL: (0, 2), CHANNEL: (0, last)})
    await life.write(batch(CHANNEL, 1, last))
    await life.write(batch(CHANNEL, last, last + 2))
    life = await life.again()
    expect(life, {NODE_JOURNAL: (0, 2), CHANNEL: (0, last + 2)})
    await life.end()


@rule("H116", advice="count what is under way to what is known, not only what is durable")
async def repeats_of_what_is_under_way_are_a_success(maker: StoreMaker) -> None:
    """The first copy of a record may not be durable yet when the second arrives."""
    life = await begin(maker)
    calls = [
        life.give(batch(CHANNEL, 1, 4)),
        life.give(batch(CHANNEL, 1, 4)),
        life.give(batch(CHANNEL, 3, 6), batch(CHANNEL, 5, 7)),
    ]
    for call in calls:
        await life.take(call)
    life = await life.again()
    expect(life, {CHANNEL: (0, 7)})
    await life.end()


@rule("H110", advice="refuse records that differ from what is stored at their positions with StorageBroken")
async def other_bytes_at_a_known_position_are_refused(maker: StoreMaker) -> None:
    """A journal with two histories would fold into a state that never was."""
    life = await begin(maker)
    await life.write(batch(CHANNEL, 1, 3))
    for first in (1, 2, 3):
        await life.refuse(life.give(Append(CHANNEL, first, [b"other", b"bytes"])), StorageBroken)
    calls = [life.give(batch(CHANNEL, 4, 5)), life.give(batch(CHANNEL, 5, 6, "other"))]
    await life.take(calls[0])
    await life.refuse(calls[1], StorageBroken)
    life = await life.again()
    expect(life, {CHANNEL: (0, 5)})
    await life.end()


@rule("H111", advice="refuse an append whose first position is not the one behind the last with StorageBroken")
async def gap_is_refused(maker: StoreMaker) -> None:
    """A record is never taken before the one in front of it; a refused batch stops no other."""
    life = await begin(maker)
    await life.refuse(life.give(batch(CHANNEL, 2, 2)), StorageBroken)
    await life.write(batch(CHANNEL, 1, 3))
    for first in (5, 9):
        await life.refuse(life.give(batch(CHANNEL, first, first + 1)), StorageBroken)
    calls = [life.give(batch(CHANNEL, 4, 4)), life.give(batch(CHANNEL, 6, 6)), life.give(batch(CHANNEL, 5, 5))]
    await life.take(calls[0])
    await life.refuse(calls[1], StorageBroken)
    await life.take(calls[2])
    await life.write(batch(NODE_JOURNAL, 1, 1))
    life = await life.again()
    expect(life, {CHANNEL: (0, 5), NODE_JOURNAL: (0, 1)})
    await life.end()


@rule("H150", advice="compare the epoch of every call with that of this `open`, and refuse with StorageFenced")
async def other_epoch_is_refused(maker: StoreMaker) -> None:
    """A call under an older or an unknown epoch is refused and changes nothing: append, snapshot and drop."""
    life = await begin(maker)
    await life.write(batch(CHANNEL, 1, 2))
    old = life.epoch
    life = await life.again()
    for epoch in (old, life.epoch + 1):
        await life.refuse(life.give(batch(CHANNEL, 3, 3), epoch=epoch), StorageFenced)
        await life.refuse(life.give_snapshots(snapshot(CHANNEL, 1), epoch=epoch), StorageFenced)
        await life.refuse(life.give_drop(CHANNEL, epoch=epoch), StorageFenced)
    await life.write(batch(CHANNEL, 3, 3))
    life = await life.again()
    expect(life, {CHANNEL: (0, 3)})
    await life.end()


@rule(advice="store records as bytes with their length, in as many pieces as it takes")
async def records_may_be_empty_or_large(maker: StoreMaker) -> None:
    """A record may have no bytes, or three million; an append may have no records."""
    life = await begin(maker)
    values = [b"", bytes(range(256)) * 12_000, b"\x00", b"x"]
    await life.write(Append(CHANNEL, 1, values), Append(NODE_JOURNAL, 1, []))
    await life.write(Append(CHANNEL, 5, []))
    life = await life.again()
    require(list(life.loaded) == [CHANNEL], f"`load` gives {sorted(life.loaded)}; a journal without records is none")
    stored = life.loaded[CHANNEL].records
    sizes = [len(one) for one in stored]
    require(stored == values, f"records of 0, 3072000, 1 and 1 bytes come back with {sizes} bytes, or other ones")
    await life.end()


@rule(advice="look at every place where a name, a key or a batch has a largest size")
async def many_journals_fit_into_a_batch_and_a_place(maker: StoreMaker) -> None:
    """A node has hundreds of channels: all may move in one batch, and each has its own end."""
    life = await begin(maker)
    names = [f"channel/{number:064x}" for number in range(_MANY)]
    await life.write(*[batch(name, 1, 2) for name in names])
    calls = [life.give(batch(name, 3, 3 + number % 3)) for number, name in enumerate(names)]
    for call in calls:
        await life.take(call)
    life = await life.again()
    expect(life, {name: (0, 3 + number % 3) for number, name in enumerate(names)})
    await life.end()


@rule("H113", "H114", advice="find the first step at which a reload gives something else than was written")
async def journals_mix_over_many_lives(maker: StoreMaker) -> None:
    """Appends, snapshots, drops and restarts in any mixture leave exactly what was written."""
    expected: dict[str, tuple[int, int]] = {}
    life = await begin(maker)
    for step in range(120):
        journal = f"channel/{step * 7 % 5}"
        position, last = expected.get(journal, (0, 0))
        if step % 11 == 10 and last:
            await life.compact(journal, last)
            expected[journal] = (last, last)
        elif step % 23 == 22 and last:
            await life.take(life.give_drop(journal))  # type: ignore[arg-type]
            del expected[journal]
        elif step % 13 == 12:
            life = await life.again()
            expect(life, expected)
        else:
            await life.write(batch(journal, last + 1, last + 1 + step % 3))
            expected[journal] = (position, last + 1 + step % 3)
    life = await life.again()
    expect(life, expected)
    require({name: end(one) for name, one in life.loaded.items()} == {n: e for n, (_, e) in expected.items()}, "ends")
    await life.end()


RULES = (
    new_place_is_empty,
    durable_records_come_back_in_order,
    batches_under_way_keep_their_order,
    every_append_is_answered_once,
    no_answer_comes_inside_the_call,
    next_batch_may_be_given_from_an_answer,
    same_bytes_at_a_known_position_are_a_success,
    repeats_of_what_is_under_way_are_a_success,
    other_bytes_at_a_known_position_are_refused,
    gap_is_refused,
    other_epoch_is_refused,
    records_may_be_empty_or_large,
    many_journals_fit_into_a_batch_and_a_place,
    journals_mix_over_many_lives,
)
