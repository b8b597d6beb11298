"""What is said on a new connection, and in which order: H24, H63 to H75, H152, H159."""

from functools import partial

import pytest

from leyden.manager.peers import NODE_FEATURES
from leyden.sim.user import Order
from leyden.sim.world import World
from leyden.wire.features import Feature
from leyden.wire.messages import CommitmentSigned, UpdateFulfillHtlc
from tests.hazards import stories
from tests.hazards.forms import Form, Hazard, every_answer, every_form, run_in, run_with_cuts
from tests.hazards.stories import channel, slot_of
from tests.hazards.witness import on_the_way
from tests.manager.stage import Stage
from tests.sim import topologies

BOB = channel("bob", "alice")


def cross(world: World) -> list[Order]:
    """Payments in both directions: signatures and revocations cross on the wire."""
    return [
        *stories.pay("alice", "bob", world, name="there"),
        *stories.pay("bob", "alice", world, name="back"),
        *stories.pay("alice", "bob", world, name="again"),
    ]


@every_form
def test_crossing_traffic_is_made_good_in_its_order(form: Form) -> None:
    """H66, H68, H70, H71: whatever is owed is sent again in the order of the first time, or the channel would fail."""
    run_in(form, Hazard(topologies.direct, cross, "bob", BOB))


@every_answer
def test_lost_connection_at_any_step_of_crossing_traffic(store: str) -> None:
    """H66 to H71, H74: records become durable before, during and after the reconnection, and after a second one."""
    run_with_cuts(store, Hazard(topologies.direct, cross, "bob", BOB), "alice", "bob")


@every_answer
@pytest.mark.parametrize("peer", ["alice", "carol"])
def test_lost_connection_at_any_step_of_a_forward(store: str, peer: str) -> None:
    """H24, H152, H159: one HTLC goes on and one preimage comes back, whichever side of bob was away and when."""
    begin = partial(stories.pay, "alice", "carol")
    hazard = Hazard(topologies.line, begin, "bob", BOB, stories.forwarded_once)
    run_with_cuts(store, hazard, peer, "bob")


def test_signature_that_waits_for_the_disk_counts_as_sent() -> None:
    """H69: the next one waits for the answer to it, though nobody can answer yet."""
    stage = Stage(topologies.direct())
    slot = stage.slot("alice", "bob")
    stage["alice"].disk.held[slot.tail.journal] = None
    stage.pay("alice", "bob", stage.invoice("bob", tag="one"), "one")
    stage.act()
    assert slot.state.core.awaiting_revocation
    assert not on_the_way(stage.world, "alice", "bob", CommitmentSigned)
    number = slot.state.core.remote.number
    stage.pay("alice", "bob", stage.invoice("bob", tag="two"), "two")
    stage.seconds(5)
    assert slot.state.core.remote.number == number
    assert slot.state.session.queued_adds
    stage["alice"].disk.held.clear()
    stage.check()


def test_frozen_channel_answers_a_reconnection_only_from_the_disk() -> None:
    """H67: `channel_reestablish` itself names numbers, so it waits for the records behind them; pings do not."""
    stage = Stage(topologies.direct())
    slot = stage.slot("bob", "alice")
    stage["bob"].disk.held[slot.tail.journal] = None
    stage.pay("alice", "bob", stage.invoice("bob"), deadline_seconds=stories.PATIENT)
    stage.act()
    assert stage["bob"].disk.under_way()
    stage.world.cut("alice", "bob")
    stage.seconds(5)
    assert slot.state.session.connected
    assert not slot.state.session.reestablished or not slot_of(stage.world, "alice", "bob").state.session.reestablished
    assert not slot_of(stage.world, "alice", "bob").state.session.reestablished
    stage["bob"].disk.held.clear()
    stage.check()


def test_fulfil_that_comes_again_makes_no_second_record() -> None:
    """H24: carol fulfils anew after each lost connection; bob has decided once, and his journal does not grow by it."""
    stage = Stage(topologies.line())
    inbound = stage.slot("bob", "alice")
    stage.pay("alice", "carol", stage.invoice("carol"), deadline_seconds=stories.PATIENT)
    decided: list[int] = []
    for _ in range(3):
        while not on_the_way(stage.world, "carol", "bob", UpdateFulfillHtlc):
            stage.world.perform(stage.world.enabled()[0])
        # The update alone arrives, its signature is lost with the connection.
        stage.world.deliver_count = 1
        while on_the_way(stage.world, "carol", "bob", UpdateFulfillHtlc):
            stage.world.end_of("bob", "carol").deliver(1)
            stage.world.settle()
        assert inbound.state.core.inbound[0].preimage
        decided.append(inbound.state.core.position)
        stage.world.cut("bob", "carol")
        stage.world.cut("alice", "bob")
    assert decided[1] == decided[2]
    stage.check()
    assert stage.payment("alice").sent is not None


def test_quiescence_is_not_spoken() -> None:
    """H64: nobody may ask for it before the feature is offered; whoever offers it must say how `stfu` waits."""
    assert not NODE_FEATURES.supports(Feature.OPTION_QUIESCE)
