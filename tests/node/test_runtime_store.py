"""The run loop and a store in trouble: nothing is lost, nothing leaves early, nothing overtakes (DESIGN section 6)."""

from collections.abc import Callable

import pytest

from leyden.base.errors import StorageBroken, StorageFailed, StorageFenced, StorageUnavailable
from leyden.manager import events as ev
from leyden.node.runtime import RuntimeLimits
from leyden.sim.disk import SimDisk, SimStore
from tests.manager.stage import Stage
from tests.sim import topologies


def trouble(stage: Stage, name: str = "alice") -> None:
    """The store refuses what is under way, for now."""
    stage[name].disk.refuse(StorageUnavailable("no space left"))
    stage.world.settle()


def expect_reports(stage: Stage, name: str = "alice") -> list[str]:
    """What was said about the store; it is no bug."""
    node = stage[name]
    errors = [report.text for report in node.reports if report.level == "error"]
    node.reports.clear()
    return errors


@pytest.mark.parametrize("times", [1, 2, 5])
def test_refused_records_are_given_again_in_order(times: int) -> None:
    """A full disk delays; when there is room everything goes on as if nothing had been."""
    stage = Stage(topologies.direct())
    stage.pay("alice", "bob", stage.invoice("bob"), deadline_seconds=1000)
    for _ in range(times):
        assert stage["alice"].disk.under_way()
        trouble(stage)
        assert stage["alice"].runtime.store_status == "no space left"
        for _second in range(12):
            stage.world.tick()
    stage.rest()
    assert expect_reports(stage)
    assert stage["alice"].runtime.store_status == ""
    stage.check()
    assert stage.payment("alice").sent is not None


def test_what_was_decided_during_the_trouble_is_not_forgotten() -> None:
    """Records that were made while the refused ones were given again wait for their turn, and get it."""
    stage = Stage(topologies.line())
    stage.pay("alice", "bob", stage.invoice("bob"))
    trouble(stage)
    stage.pay("alice", "bob", stage.invoice("bob", tag="two"), "two")
    stage.world.tick(12)
    # The first batch is under way again; more is decided before it is durable.
    stage.pay("alice", "carol", stage.invoice("carol"), "three")
    stage.rest()
    expect_reports(stage)
    stage.check()
    assert all(stage.payment("alice", name).sent is not None for name in ("one", "two", "three"))


def test_refusal_of_several_batches_at_once_keeps_their_order() -> None:
    """Batches overlap; a store that refuses some of them must see them again as they were made."""
    stage = Stage(topologies.line())
    stage["bob"].disk.held.update(
        dict.fromkeys(["node", *(slot.tail.journal for slot in stage.m("bob").channels.values())])
    )
    for name, payer, payee in (("one", "alice", "carol"), ("two", "carol", "alice"), ("three", "bob", "carol")):
        stage.pay(payer, payee, stage.invoice(payee, 1_000_000, tag=name), name)
        stage.act()
    assert len(stage["bob"].disk.under_way()) > 1
    trouble(stage, "bob")
    stage["bob"].disk.held.clear()
    stage.rest()
    expect_reports(stage, "bob")
    stage.check()


FULL = StorageUnavailable("no space left")


def hang(disk: SimDisk, journal: str) -> None:
    """From now on the journal waits."""
    disk.held[journal] = None


def refuse(disk: SimDisk, journal: str) -> None:
    """From now on the journal is refused, whenever it is tried."""
    disk.refusing[journal] = FULL


def mend(disk: SimDisk) -> None:
    """All is well again."""
    disk.held.clear()
    disk.refusing.clear()


@pytest.mark.parametrize("spoil", [hang, refuse])
def test_channel_whose_journal_is_stuck_stops_no_other(spoil: Callable[[SimDisk, str], None]) -> None:
    """One journal waits, for ever if it must; only what rests on it waits with it."""
    stage = Stage(topologies.line())
    bob = stage["bob"]
    stuck = stage.slot("bob", "alice").tail
    spoil(bob.disk, stuck.journal)
    stage.pay("alice", "bob", stage.invoice("bob"), deadline_seconds=10_000)
    stage.pay("bob", "carol", stage.invoice("carol"), "two")
    stage.pay("carol", "bob", stage.invoice("bob", tag="three"), "three")
    stage.seconds(40)
    assert stage.payment("bob", "two").sent is not None
    assert stage.payment("carol", "three").sent is not None
    assert stage.payment("alice").is_live
    assert stuck.durable < stuck.position
    assert all(tail.durable == tail.position for tail in bob.runtime.outbox.tails.values() if tail is not stuck)
    mend(bob.disk)
    stage.rest()
    assert stage.payment("alice").sent is not None
    assert bool(expect_reports(stage, "bob")) is (spoil is refuse)
    assert bob.runtime.store_status == ""
    stage.check()


@pytest.mark.parametrize("spoil", [hang, refuse])
def test_node_journal_that_is_stuck_stops_own_payments_and_what_is_told_of_them(
    spoil: Callable[[SimDisk, str], None],
) -> None:
    """Forwards and fulfils rest on channels alone: a peer is not kept waiting for what `node` records."""
    stage = Stage(topologies.line())
    bob = stage["bob"]
    spoil(bob.disk, "node")
    stage.pay("alice", "carol", stage.invoice("carol"))
    stage.pay("alice", "bob", stage.invoice("bob"), "two")
    stage.pay("bob", "carol", stage.invoice("carol", tag="three"), "three", deadline_seconds=10_000)
    stage.seconds(40)
    assert stage.payment("alice").sent is not None
    assert stage.payment("alice", "two").sent is not None
    assert not stage.told("bob", ev.PaymentClaimed), "its record is not durable"
    assert stage.payment("bob", "three").is_live
    assert not stage.slot("bob", "carol").state.core.outbound, "it has not left"
    mend(bob.disk)
    stage.rest()
    assert stage.told("bob", ev.PaymentClaimed)
    assert stage.payment("bob", "three").sent is not None
    expect_reports(stage, "bob")
    stage.check()


def test_refusal_of_one_journal_is_told_less_and_less_often() -> None:
    """Whoever reads the log must see it, and little else."""
    stage = Stage(topologies.line())
    bob = stage["bob"]
    refuse(bob.disk, stage.slot("bob", "alice").tail.journal)
    stage.pay("alice", "bob", stage.invoice("bob"), deadline_seconds=10_000)
    stage.seconds(100)
    assert 4 <= len(expect_reports(stage, "bob")) <= 20
    mend(bob.disk)
    stage.rest()
    said = [report.text for report in bob.reports if report.subsystem == "store" and report.level == "info"]
    assert said[0] == "the store works again"
    assert [one for one in said if "again" in one] == said[:1]
    stage.check()


def test_nothing_leaves_before_it_is_durable_while_the_store_is_in_trouble() -> None:
    """The output rule knows no exception for trouble (invariant P1)."""
    stage = Stage(topologies.direct())
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.world.perform(stage.world.enabled()[0])
    trouble(stage)
    stage.act()
    assert not stage.slot("bob", "alice").state.session.received_adds
    stage.rest()
    expect_reports(stage)
    stage.check()


@pytest.mark.parametrize("journal", [None, "node"], ids=["all journals", "one journal"])
@pytest.mark.parametrize("error", [StorageBroken("disk gone"), StorageFenced("another process")])
def test_store_that_is_lost_for_good_stops_the_node(error: StorageFailed, journal: str | None) -> None:
    """Not one more message goes out; the next life starts from what is durable (invariant P24)."""
    stage = Stage(topologies.direct())
    told: list[StorageFailed] = []
    alice = stage["alice"]
    alice.runtime.on_broken = told.append
    stage.pay("alice", "bob", stage.invoice("bob"))
    alice.disk.refuse(error, journal)
    stage.world.settle()
    assert told
    with pytest.raises(StorageBroken):
        alice.run(lambda _m: None)
    assert alice.runtime.connections == {} or all(one.ended for one in stage.world.connections.values())  # type: ignore[attr-defined]
    stage.act()
    assert not stage.slot("bob", "alice").state.core.inbound
    expect_reports(stage)
    stage.orders[0].accepted = False
    stage.world.restart("alice")
    stage.orders[0].ask(alice)
    stage.check()


@pytest.mark.parametrize("times", [0, 1, 3])
def test_store_that_is_lost_in_the_middle_of_an_outage_stops_the_node(times: int) -> None:
    """What was refused for now and then for good ends the life, and no timer revives it."""
    stage = Stage(topologies.line())
    bob = stage["bob"]
    journal = stage.slot("bob", "alice").tail.journal
    refuse(bob.disk, journal)
    stage.pay("alice", "bob", stage.invoice("bob"), deadline_seconds=10_000)
    stage.seconds(times * 2 + 1)
    assert bob.runtime.broken is None
    bob.disk.refusing[journal] = StorageBroken("disk gone")
    stage.seconds(30)
    assert isinstance(bob.runtime.broken, StorageBroken)
    commits = bob.disk.commits
    stage.seconds(30)
    assert bob.disk.commits == commits
    assert bob.runtime.connections == {} or all(one.ended for one in stage.world.connections.values())  # type: ignore[attr-defined]
    expect_reports(stage, "bob")
    stage.world.restart("bob")
    stage.check()


def test_node_that_lost_its_store_to_another_process_hears_of_it_by_a_snapshot_too() -> None:
    """A fence is a fence, whatever meets it: two live copies of a node lose money."""
    stage = Stage(topologies.direct())
    alice = stage["alice"]
    alice.disk.take_fence()
    alice.runtime.snapshot("node")
    assert isinstance(alice.runtime.broken, StorageBroken)
    assert not alice.runtime.connections or all(one.ended for one in stage.world.connections.values())
    expect_reports(stage)
    stage.world.restart("alice")
    stage.check()


def test_snapshot_that_is_refused_is_no_reason_to_stop() -> None:
    """The records are all there; the next snapshot will do."""
    stage = Stage(topologies.direct())
    alice = stage["alice"]
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.rest()
    alice.runtime.snapshot("node")
    alice.disk.refuse(FULL, "node")
    assert alice.runtime.broken is None
    assert [one.text for one in alice.reports] == ["a snapshot of node was refused: no space left"]
    alice.runtime.snapshot("node")
    stage.check()
    assert any(one.position for one in alice.disk.journals() if one.journal == "node")


def test_older_life_cannot_write_any_more() -> None:
    """Whoever opens the store last is the only writer (invariant P23)."""
    stage = Stage(topologies.direct())
    alice = stage["alice"]
    SimStore(alice.disk)
    alice.disk.take_fence()
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.act()
    assert isinstance(alice.runtime.broken, StorageFailed)
    expect_reports(stage)
    stage.world.restart("alice")
    stage.orders[0].ask(alice)
    stage.check()


def test_store_that_stays_behind_takes_no_forwards_and_then_stops_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded under a store that is slower than the traffic; claims are never held back (P21)."""
    monkeypatch.setattr(RuntimeLimits, "HOLD_BYTES", 3_000)
    monkeypatch.setattr(RuntimeLimits, "PAUSE_BYTES", 12_000)
    stage = Stage(topologies.line())
    bob = stage["bob"]
    bob.disk.held["node"] = None
    for index in range(4):
        stage.pay("bob", "carol", stage.invoice("carol", 1_000_000, tag=str(index)), str(index))
    assert stage.m("bob").forward_hold or bob.runtime.outbox.queued_bytes <= 3_000
    stage.pay("alice", "carol", stage.invoice("carol"))
    stage.act()
    held = stage.payment("alice").failed is not None
    bob.disk.held.clear()
    stage.rest()
    assert not stage.m("bob").forward_hold
    stage.check()
    assert held is (stage.payment("alice").failed is not None)


def test_snapshot_replaces_records_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that grew long is compacted while the node runs, and a restart sees the same (invariant P4)."""
    monkeypatch.setattr(RuntimeLimits, "SNAPSHOT_TAIL_BYTES_MIN", 2_000)
    stage = Stage(topologies.line())
    for index in range(6):
        stage.pay("alice", "carol", stage.invoice("carol", 1_000_000, tag=str(index)), str(index))
        stage.rest()
    stored = {one.journal: one for one in stage["bob"].disk.journals()}
    assert all(one.position for name, one in stored.items() if name != "node")
    for name in ("alice", "bob", "carol"):
        stage.world.restart(name)
    stage.check()
    assert stage["bob"].disk.penalty_rows(stage.slot("bob", "alice").tail.journal)


def test_snapshot_with_payments_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is live is in the snapshot: parts, their numbers and paths."""
    monkeypatch.setattr(RuntimeLimits, "SNAPSHOT_TAIL_BYTES_MIN", 100)
    stage = Stage(topologies.line("carol"))
    stage.prompt("carol", "")
    stage.pay("alice", "carol", stage.invoice("carol"), deadline_seconds=100_000)
    stage.seconds(3)
    for name in ("alice", "bob", "carol"):
        for journal in list(stage[name].runtime.outbox.tails):
            stage[name].runtime.snapshot(journal)
        stage.act()
        stage.world.restart(name)
        stage.seconds(2)
    stage.prompt("carol", "fail").on_event(stage.m("carol"), stage.question("carol"))
    stage["carol"].run(lambda _m: None)
    stage.check()
    assert stage.failure("alice")[2] == 1, "the failing hop is read with the stored path"


@pytest.mark.parametrize(
    ("error", "stops"), [(StorageFenced("taken over"), True), (StorageBroken("lost"), True), (FULL, False)]
)
def test_store_that_is_lost_at_a_snapshot_stops_the_node(error: StorageFailed, stops: bool) -> None:
    """Who is fenced stops at once, also with nothing else to write: an idle zombie keeps the connections."""
    stage = Stage(topologies.direct())
    alice = stage["alice"]
    alice.runtime.snapshot("node")
    alice.disk.refuse(error)
    stage.world.settle()
    assert (alice.runtime.broken is not None) == stops
    assert (not alice.runtime.connections) == stops
    expect_reports(stage)
