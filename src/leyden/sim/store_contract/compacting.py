"""Rules of `snapshot`, `drop` and `penalty_rows`."""

from leyden.base.errors import StorageBroken
from leyden.base.ids import NODE_JOURNAL
from leyden.sim.store_contract.life import CHANNEL, OTHER, batch, begin, expect, snapshot
from leyden.sim.store_contract.maker import StoreMaker
from leyden.sim.store_contract.rule import require, rule


@rule("H113", advice="at load, yield the last snapshot and only the records behind its position")
async def snapshot_replaces_the_records_it_covers(maker: StoreMaker) -> None:
    """A load gives the last snapshot and the tail behind it; other journals are untouched."""
    life = await begin(maker)
    await life.write(batch(CHANNEL, 1, 5), batch(NODE_JOURNAL, 1, 1))
    await life.compact(CHANNEL, 3)
    await life.write(batch(CHANNEL, 6, 7))
    life = await life.again()
    expect(life, {CHANNEL: (3, 7), NODE_JOURNAL: (0, 1)})
    await life.compact(CHANNEL, 7)
    await life.write(batch(CHANNEL, 8, 8))
    life = await life.again()
    expect(life, {CHANNEL: (7, 8), NODE_JOURNAL: (0, 1)})
    await life.end()


@rule("H113", "H116", advice="keep appends and snapshots of a journal in one queue")
async def snapshot_may_cover_records_under_way(maker: StoreMaker) -> None:
    """Calls keep their order: a snapshot given behind its records is durable behind them, and what follows stays."""
    life = await begin(maker)
    calls = [
        life.give(batch(CHANNEL, 1, 5)),
        life.give_snapshots(snapshot(CHANNEL, 5)),
        life.give(batch(CHANNEL, 6, 6)),
        life.give_snapshots(snapshot(CHANNEL, 6)),
        life.give(batch(CHANNEL, 7, 9)),
        life.give_snapshots(snapshot(CHANNEL, 7)),
    ]
    for call in calls:
        await life.take(call)
    life = await life.again()
    expect(life, {CHANNEL: (7, 9)})
    await life.end()


@rule("H110", "H123", advice="fix the order of two writes of one key when they are given, not when they land")
async def youngest_snapshot_wins(maker: StoreMaker) -> None:
    """Of several snapshots of a journal under way the last one stays, whatever order they land in."""
    life = await begin(maker)
    await life.write(batch(CHANNEL, 1, 9), batch(OTHER, 1, 2))
    calls = [life.give_snapshots(snapshot(CHANNEL, position)) for position in (2, 5, 8)]
    calls.append(life.give_snapshots(snapshot(OTHER, 1), snapshot(OTHER, 2)))
    for call in calls:
        await life.take(call)
    life = await life.again()
    expect(life, {CHANNEL: (8, 9), OTHER: (2, 2)})
    await life.end()


@rule("H110", "H113", advice="compare a snapshot's position with the last snapshot and with the last record")
async def snapshot_that_does_not_fit_is_refused(maker: StoreMaker) -> None:
    """An older snapshot would bring dropped history back, a younger one swallow records that never were."""
    life = await begin(maker)
    await life.refuse(life.give_snapshots(snapshot(OTHER, 1)), StorageBroken)
    await life.write(batch(CHANNEL, 1, 5))
    await life.compact(CHANNEL, 3)
    for position in (0, 2, 6):
        await life.refuse(life.give_snapshots(snapshot(CHANNEL, position)), StorageBroken)
    await life.compact(CHANNEL, 3)
    await life.write(batch(CHANNEL, 6, 6))
    life = await life.again()
    expect(life, {CHANNEL: (3, 6)})
    await life.refuse(life.give_snapshots(snapshot(CHANNEL, 2)), StorageBroken)
    await life.end()


@rule("H110", "H155", advice="append a snapshot's penalty rows to a log of the journal, in the order of the calls")
async def penalty_rows_grow_in_the_order_of_the_snapshots(maker: StoreMaker) -> None:
    """Justice needs every old row in order, for each journal by itself; no later snapshot or restart takes one away."""
    life = await begin(maker)
    await life.write(batch(CHANNEL, 1, 9), batch(OTHER, 1, 1))
    await life.compact(CHANNEL, 3, b"rows 1-3;")
    calls = [life.give_snapshots(snapshot(CHANNEL, 5, b"rows 4-5;")), life.give_snapshots(snapshot(CHANNEL, 6, b""))]
    calls.append(life.give_snapshots(snapshot(OTHER, 1, b"other rows;"), snapshot(CHANNEL, 9, b"rows 7-9;")))
    for call in calls:
        await life.take(call)
    for _ in range(2):
        rows = life.store.penalty_rows(CHANNEL)
        require(rows == b"rows 1-3;rows 4-5;rows 7-9;", f"the penalty log of {CHANNEL} is {rows!r}")
        require(life.store.penalty_rows(OTHER) == b"other rows;", f"the penalty log of {OTHER} has other rows")
        life = await life.again()
        expect(life, {CHANNEL: (9, 9), OTHER: (1, 1)})
    await life.end()


@rule("H114", advice="remove records, snapshot and penalty log of the journal, or mark them so that no load sees them")
async def dropped_journal_is_gone(maker: StoreMaker) -> None:
    """A dropped journal and its penalty log are gone for good; others stay; to drop what is not there is a success."""
    life = await begin(maker)
    await life.write(batch(CHANNEL, 1, 5), batch(OTHER, 1, 2), batch(NODE_JOURNAL, 1, 1))
    await life.compact(CHANNEL, 3, b"rows;")
    calls = [life.give(batch(CHANNEL, 6, 6), batch(NODE_JOURNAL, 2, 2)), life.give_drop(CHANNEL)]
    for call in calls:
        await life.take(call)
    require(life.store.penalty_rows(CHANNEL) == b"", "the penalty log of a dropped journal is still there")
    await life.compact(NODE_JOURNAL, 2)
    for _ in range(2):
        life = await life.again()
        expect(life, {NODE_JOURNAL: (2, 2), OTHER: (0, 2)})
        await life.take(life.give_drop(CHANNEL))
    await life.end()


@rule("H114", advice="let a removal name what it removes by something that no later write has: a sequence, a position")
async def dropped_name_may_be_used_again(maker: StoreMaker) -> None:
    """Clean-up of a dropped journal, however late, takes nothing of a journal that is written under its name later."""
    life = await begin(maker)
    await life.write(batch(CHANNEL, 1, 6, "first"), batch(NODE_JOURNAL, 1, 1))
    await life.compact(CHANNEL, 2, b"first rows;")
    calls = [
        life.give_drop(CHANNEL),
        life.give(batch(CHANNEL, 1, 3)),
        life.give_snapshots(snapshot(CHANNEL, 1, b"rows;")),
    ]
    for call in calls:
        await life.take(call)
    for _ in range(2):
        life = await life.again()
        expect(life, {CHANNEL: (1, 3), NODE_JOURNAL: (0, 1)})
        rows = life.store.penalty_rows(CHANNEL)
        require(rows == b"rows;", f"the penalty log is {rows!r}: rows of the dropped journal, or none")
    await life.write(batch(CHANNEL, 4, 4))
    life = await life.again()
    expect(life, {CHANNEL: (1, 4), NODE_JOURNAL: (0, 1)})
    await life.end()


RULES = (
    snapshot_replaces_the_records_it_covers,
    snapshot_may_cover_records_under_way,
    youngest_snapshot_wins,
    snapshot_that_does_not_fit_is_refused,
    penalty_rows_grow_in_the_order_of_the_snapshots,
    dropped_journal_is_gone,
    dropped_name_may_be_used_again,
)
