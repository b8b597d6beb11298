"""How the node lives with its store: H116 to H121, H125, H126."""

from collections.abc import Callable, Sequence

import pytest

from leyden.base.errors import StorageUnavailable
from leyden.journal.batch import Append
from leyden.manager import events as ev
from leyden.ports.store import Appended
from leyden.sim.disk import SimDisk
from leyden.sim.oracles import _folds
from leyden.sim.world import Action, World
from tests.hazards import stories
from tests.hazards.stories import channel
from tests.manager.stage import Stage
from tests.sim import topologies


def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every store be durable, and say so, before the call that gave it a batch has returned."""
    takes = SimDisk.append

    def append(self: SimDisk, epoch: int, batch: Sequence[Append], on_durable: Appended) -> None:
        takes(self, epoch, batch, on_durable)
        while ready := self.ready():
            self.commit(ready[0])

    monkeypatch.setattr(SimDisk, "append", append)


def test_store_that_answers_inside_the_call_is_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """H116, H126: what waits for the answer is there before the call, so nothing is missed and nothing is early."""
    at_once(monkeypatch)
    stage = Stage(topologies.line())
    stage.pay("alice", "carol", stage.invoice("carol"))
    stage.pay("carol", "alice", stage.invoice("alice", tag="back"), "back")
    stage.check()
    assert stage.payment("alice").sent is not None
    assert stage.payment("carol", "back").sent is not None


def test_store_may_answer_at_once_today_and_late_tomorrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """H118: within a life and between lives; each answer stands for itself."""
    stage = Stage(topologies.line())
    for number, slow in enumerate((True, False, True, False)):
        with monkeypatch.context() as patched:
            if not slow:
                at_once(patched)
            stage.pay("alice", "carol", stage.invoice("carol", tag=f"{number}"), f"{number}")
            for _ in range(9):
                stage.world.perform(stage.world.enabled()[0])
            if number > 1:
                stage.world.restart("bob", stage["bob"].disk.under_way())
    stage.check()
    assert len({one.event_id for one in stage.told("alice", ev.PaymentSent)}) == 4


def store_first(_world: World, enabled: Sequence[Action]) -> Action:
    """Every write is durable before anything else happens."""
    return next((action for action in enabled if action.kind == "commit"), enabled[0])


def oldest_first(_world: World, enabled: Sequence[Action]) -> Action:
    """Whatever has been possible for longest."""
    return enabled[0]


def one_journal_last(world: World, enabled: Sequence[Action]) -> Action:
    """bob's channel with alice answers last of all."""
    waits = ("commit", "bob", channel("bob", "alice")(world))
    return next((action for action in enabled if action != waits), enabled[0])


@pytest.mark.parametrize("choose", [store_first, oldest_first, one_journal_last])
def test_nothing_waits_for_the_clock(choose: Callable[[World, Sequence[Action]], Action]) -> None:
    """H119: every answer of the store wakes whoever waits for it; no timer has to come to the rescue."""
    stage = Stage(topologies.line())
    begun = stage.world.clock.now_seconds
    stage.pay("alice", "carol", stage.invoice("carol"))
    while enabled := stage.world.enabled():
        stage.world.perform(choose(stage.world, enabled))
    assert stage.payment("alice").sent is not None
    assert stage.told("alice", ev.PaymentSent)
    assert stage.told("carol", ev.PaymentClaimed)
    assert stage.told("bob", ev.PaymentForwarded)
    assert stage.world.clock.now_seconds == begun


@pytest.mark.parametrize("what", ["claim", "fail"])
def test_nothing_changes_without_a_record(what: str) -> None:
    """H120, H121: whenever no record is under way, the disk folds to what is in memory, at every step of a payment."""
    stage = Stage(topologies.line("carol"))
    stage.prompt("carol", what)
    stage.pay("alice", "carol", stage.invoice("carol"))
    compared = 0
    while enabled := stage.world.enabled():
        stage.world.perform(store_first(stage.world, enabled))
        for node in stage.world.nodes.values():
            if node.runtime.outbox.is_idle():
                assert not list(_folds(node))
                compared += 1
    assert compared > 50
    stage.check()


@pytest.mark.parametrize("journal", ["node", "channel"])
def test_snapshot_that_is_refused_is_made_again(journal: str) -> None:
    """H125: one refusal does not switch compaction off."""
    stage = Stage(topologies.direct())
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.rest()
    bob = stage["bob"]
    name = "node" if journal == "node" else stage.slot("bob", "alice").tail.journal
    for refused in (True, True, False):
        bob.runtime.snapshot(name)
        if refused:
            bob.disk.refuse(StorageUnavailable("no space left"))
        stage.act()
    [stored] = [one for one in bob.disk.journals() if one.journal == name]
    assert stored.state
    assert not stored.records
    stage.world.restart("bob")
    bob.reports[:] = [one for one in bob.reports if "the store" not in one.text]
    stage.check()
    stories.pay("bob", "alice", stage.world, name="afterwards")
    stage.rest()
