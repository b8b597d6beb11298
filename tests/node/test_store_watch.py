"""What is said about a store that does not keep up, and the figures behind it."""

import pytest

from leyden.base.errors import StorageUnavailable
from leyden.manager import events as ev
from leyden.manager import handoff
from leyden.node.store_watch import SAMPLES_KEPT, Samples, StoreWatch
from tests.manager.stage import Stage
from tests.sim import topologies


def said(stage: Stage, name: str = "bob") -> list[tuple[str, str]]:
    """(level, text) of what was reported about the store."""
    return [(one.level, one.text) for one in stage[name].reports if one.subsystem == "store"]


def stuck() -> Stage:
    """bob's store hangs, with records under way."""
    stage = Stage(topologies.line())
    bob = stage["bob"]
    bob.disk.held.update(dict.fromkeys(bob.runtime.outbox.tails))
    stage.pay("alice", "bob", stage.invoice("bob"), deadline_seconds=10_000)
    return stage


def test_quantiles_are_those_of_the_last_values() -> None:
    """Old figures must not hide what the store does now."""
    samples = Samples()
    assert samples.quantile(0.5) == 0.0
    for value in range(1000, 0, -1):
        samples.add(value)
    assert samples.quantile(0.0) == 1
    assert samples.quantile(0.5) == SAMPLES_KEPT // 2 + 1
    assert samples.quantile(1.0) == SAMPLES_KEPT
    samples.add(5000)
    assert samples.quantile(1.0) == 5000


def test_store_that_hangs_is_spoken_of_less_and_less_often_until_it_has_caught_up() -> None:
    """Whoever owns the disk must hear of it in time, and must be able to read the rest of the log."""
    stage = stuck()
    stage.seconds(4)
    assert said(stage) == []
    stage.seconds(200)
    lines = said(stage)
    assert [level for level, _ in lines] == ["warning"] * 6, "at 5, 10, 20, 40, 80 and 160 s"
    assert lines[0][1].startswith("2 records in 1 journals wait for the store, ")
    assert lines[0][1].endswith("the oldest for 5 s")
    assert len(stage.told("bob", ev.StoreBehind)) == 1
    stage["bob"].disk.held.clear()
    stage.rest()
    assert said(stage)[6:] == [("info", "the store has caught up, after 205 s")]
    [recovered] = stage.told("bob", ev.StoreRecovered)
    assert recovered.behind_seconds == 205
    stage.check()


def test_event_says_why() -> None:
    """A full disk and a hanging one are mended in other ways."""
    stage = Stage(topologies.line())
    stage["bob"].disk.refusing = dict.fromkeys(stage["bob"].runtime.outbox.tails, StorageUnavailable("no room"))
    stage.pay("alice", "bob", stage.invoice("bob"), deadline_seconds=10_000)
    stage.seconds(8)
    [behind] = stage.told("bob", ev.StoreBehind)
    assert (behind.records_waiting, behind.reason) == (2, "no room")
    assert behind.bytes_waiting > 100
    assert 5 <= behind.oldest_waiting_seconds <= 6


def test_a_store_in_trouble_again_and_again_leaves_two_events_at_most() -> None:
    """Nobody may be there to acknowledge them, and their number stops new payments."""
    stage = stuck()
    stage.prompt("bob", "", acknowledges=False)
    bob = stage["bob"]
    for _ in range(4):
        bob.disk.held.update(dict.fromkeys(bob.runtime.outbox.tails))
        bob.run(lambda m: m.record(m.node.best))  # type: ignore[arg-type]
        stage.seconds(8)
        bob.disk.held.clear()
        stage.seconds(2)
    assert len(stage.told("bob", ev.StoreBehind)) == 4
    kept = [event for event in stage.m("bob").events.values() if isinstance(event, ev.StoreBehind | ev.StoreRecovered)]
    assert len(kept) == 2
    for event in kept:
        handoff.acknowledge_event(stage.m("bob"), event.event_id)
    ids = {event.event_id for event in stage.told("bob", ev.StoreBehind)}
    assert len(ids) == 4, "an id is never used twice"


def test_ids_differ_from_life_to_life() -> None:
    """What was acknowledged in one life must not hide what happens in the next."""
    stage = stuck()
    stage.seconds(6)
    stage.world.restart("bob")
    bob = stage["bob"]
    bob.disk.held.update(dict.fromkeys(bob.runtime.outbox.tails))
    stage.seconds(10)
    first, second = stage.told("bob", ev.StoreBehind)
    assert first.event_id != second.event_id


@pytest.mark.parametrize("bound", [1, 30])
def test_bound_is_the_configured_one(bound: int) -> None:
    """What is late on a disk is usual far away."""
    stage = stuck()
    stage["bob"].runtime.watch.warn_after_seconds = float(bound)
    stage.seconds(bound - 1)
    assert said(stage) == []
    stage.seconds(2)
    assert said(stage)


def test_batches_and_commits_are_counted() -> None:
    """The figures of `leyden info`."""
    stage = Stage(topologies.direct())
    watch = stage["alice"].runtime.watch
    before = watch.batches
    stage.pay("alice", "bob", stage.invoice("bob"))
    assert watch.batches == before + 1
    stage.world.tick(3)
    stage.rest()
    assert watch.batches > before + 3
    assert watch.commit_us.quantile(1.0) == 3_000_000, "the clock moved on while the first batch waited"
    assert watch.batch_records.quantile(1.0) >= 1
    assert watch.batch_bytes.quantile(0.5) > 10
    assert watch.refusals == 0


def test_nothing_waits_in_a_watch_that_is_new() -> None:
    """A node that has just started has no figures yet."""
    watch = StoreWatch(1)
    assert (watch.batches, watch.commit_us.quantile(0.99), watch.behind_since_us) == (0, 0.0, None)
