"""A world at rest whose channels carry nothing any more has lost something too."""

import pytest

from leyden.sim.books import Books
from leyden.sim.oracles import Violation
from leyden.sim.probe import probe, usable
from leyden.sim.scenario import begin
from leyden.sim.schedules import STORE_FIRST, run_to_rest
from tests.sim import topologies
from tests.sim.scenarios import scenario


def test_every_channel_is_paid_over_both_ways() -> None:
    """What was paid before stays in the books."""
    world, orders, books, _ = begin(scenario("forward"))
    run_to_rest(world, STORE_FIRST)
    assert len(list(usable(world))) == 4
    probe(world, books, orders, STORE_FIRST)
    assert len(world.nodes["alice"].manager.node.ledger.payments) == 2


def test_channel_that_carries_nothing_is_found() -> None:
    """Here its other end takes no payment that it did not ask for."""
    world = topologies.make([("alice", "bob")], accept_keysend=False)
    with pytest.raises(Violation, match="alice cannot pay bob any more"):
        probe(world, Books(world), [], STORE_FIRST)


def test_channels_that_cannot_be_used_are_no_fault() -> None:
    """Somebody closes them, or their ends do not connect."""
    world, _, _, _ = begin(scenario("direct"))
    world.links[("alice", "bob")] = False
    assert list(usable(world)) == []
    world.links[("alice", "bob")] = True
    world.closes_asked[next(iter(world.nodes["bob"].manager.channels))] = False
    assert list(usable(world)) == []


def test_end_without_money_is_not_asked() -> None:
    """It would be right to refuse."""
    world, _, _, _ = begin(scenario("direct"))
    alice, bob = world.nodes["alice"], world.nodes["bob"]
    [slot] = alice.manager.channels.values()
    slot.state.core.local.local_msat = 10_000_000
    assert [node for node, _ in usable(world)] == [bob]
