"""Channels that are closed and still have something to say: H77 to H81, H84, H86, H90."""

import pytest

from leyden.channel.states import Closed, Spent
from leyden.manager import claiming
from leyden.manager import events as ev
from tests.hazards import stories
from tests.hazards.stories import slot_of
from tests.hazards.witness import durable_cores
from tests.manager.stage import Stage
from tests.manager.test_claiming import asked, claim
from tests.sim import topologies


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("restarts", [False, True])
def test_decision_on_a_spent_channel_is_taken_and_told(deep: bool, restarts: bool) -> None:
    """H77: the funding is spent, even irrevocably: the record is written like any other, and what waits for it runs."""
    stage = asked()
    stories.close_by_force(stage.world, "alice", "bob")
    stage.act()
    stage.mine(7 if deep else 1)
    slot = stage.slot("bob", "alice")
    assert type(slot.state) is (Closed if deep else Spent)
    claim(stage)
    stage.seconds(2)
    [claimed] = stage.told("bob", ev.PaymentClaimed)
    [htlc] = durable_cores(stage["bob"])[slot.channel_id].inbound.values()
    assert htlc.preimage
    if restarts:
        stage.world.restart("bob")
        stage.seconds(2)
        assert stage.told("bob", ev.PaymentClaimed)[-1] == claimed


def two_questions() -> Stage:
    """bob's user has been asked about two payments over one channel, which is closed meanwhile."""
    stage = Stage(topologies.direct("bob"))
    stage.prompt("bob", "")
    for name in ("one", "two"):
        stage.pay("alice", "bob", stage.invoice("bob", tag=name), name, deadline_seconds=stories.PATIENT)
    stage.seconds(3)
    stories.close_by_force(stage.world, "alice", "bob")
    stage.act()
    stage.mine(1)
    return stage


def test_records_of_a_closed_channel_are_numbered_and_waited_for_one_by_one() -> None:
    """H78, H79: two decisions are under way; when the first is durable, the second still waits for itself."""
    stage = two_questions()
    slot = stage.slot("bob", "alice")
    for question in list(stage.m("bob").events.values()):
        assert isinstance(question, ev.PaymentClaimable)
        stage["bob"].run(lambda m, one=question.set_id: claiming.claim_payment(m, one, b""))  # type: ignore[misc]
        stage.world.settle()
    assert stage["bob"].disk.under_way()[slot.tail.journal] == 2
    for done in (1, 2):
        stage["bob"].disk.commit(slot.tail.journal)
        stage.world.settle()
        while "node" in stage["bob"].disk.ready():
            stage["bob"].disk.commit("node")
            stage.world.settle()
        assert len(stage.told("bob", ev.PaymentClaimed)) == done
    assert durable_cores(stage["bob"])[slot.channel_id].position == slot.tail.position


@pytest.mark.parametrize("kept", [0, 1])
def test_channel_is_there_while_its_records_are_under_way(kept: int) -> None:
    """H80: the last channel with a peer is closed for good; what waits for its journal is not thrown away with it."""
    stage = asked()
    slot = stage.slot("bob", "alice")
    stories.close_by_force(stage.world, "alice", "bob")
    stage.act()
    stage["bob"].disk.held[slot.tail.journal] = None
    claim(stage)
    stage.mine(120)
    stage.seconds(3)
    assert slot_of(stage.world, "bob", "alice") is slot
    assert not stage.told("bob", ev.PaymentClaimed)
    stage.world.restart("bob", stage["bob"].disk.under_way() if kept else {})
    stage.seconds(3)
    assert slot_of(stage.world, "bob", "alice").channel_id == slot.channel_id
    assert bool(stage.told("bob", ev.PaymentClaimed)) is bool(kept)


@pytest.mark.parametrize("what", ["claim", "fail"])
@pytest.mark.parametrize("kept", [0, 1])
def test_outcome_outlives_the_close_of_its_channel(what: str, kept: int) -> None:
    """H81: known to the channel alone when it was closed; the payment ends by it in whatever life comes to it."""
    stage = asked()
    stage["alice"].disk.held["node"] = None
    stories.answer(stage.world, "bob", what)
    stage.seconds(3)
    slot = stage.slot("alice", "bob")
    assert durable_cores(stage["alice"])[slot.channel_id].outcomes
    stories.close_by_force(stage.world, "alice", "bob")
    stage.act()
    stage.mine(120)
    assert durable_cores(stage["alice"])[slot.channel_id].outcomes
    stage.world.restart("alice", stage["alice"].disk.under_way() if kept else {})
    stage.seconds(5)
    payment = stage.payment("alice")
    assert (payment.sent is not None, payment.failed is not None) == (what == "claim", what == "fail")
    kind = ev.PaymentSent if what == "claim" else ev.PaymentFailed
    assert len({one.event_id for one in stage.told("alice", kind)}) == 1
