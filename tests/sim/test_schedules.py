"""Ways to choose what happens next, and the bound on how long it may go on."""

import pytest

from leyden.sim import schedules
from leyden.sim.schedules import Drawn, Draws, Fair, Last, Livelock, Newest, run_to_rest
from leyden.sim.world import Action
from tests.sim import topologies
from tests.sim.scenarios import pay

ENABLED = [Action("commit", "a", "x"), Action("deliver", "a", "b"), Action("commit", "b", "y")]


def test_each_schedule_chooses_as_it_says() -> None:
    """Fair is first come first served; the others are unfair in one way each."""
    world = topologies.direct()
    assert Fair().choose(world, ENABLED) == ENABLED[0]
    assert Last("commit").choose(world, ENABLED) == ENABLED[1]
    assert Last("deliver").choose(world, ENABLED) == ENABLED[0]
    assert Last("commit").choose(world, ENABLED[:1]) == ENABLED[0]
    assert Newest().choose(world, ENABLED) == ENABLED[2]
    world = world.copy()
    drawn = Drawn(Draws(b"seed"))
    assert {drawn.choose(world, ENABLED) for _ in range(50)} == set(ENABLED)


def test_draws_are_the_same_for_the_same_seed() -> None:
    """Nothing but the seed decides."""
    one, two, other = Draws(b"1"), Draws(b"1"), Draws(b"2")
    first = [one.below(1000) for _ in range(20)]
    assert first == [two.below(1000) for _ in range(20)]
    assert first != [other.below(1000) for _ in range(20)]
    assert all(0 <= one.below(3) < 3 for _ in range(100))


@pytest.mark.parametrize("index", range(5))
def test_payment_arrives_under_every_schedule(index: int) -> None:
    """Order is no excuse."""
    world = topologies.line().copy()
    schedule = schedules.schedules(b"five")[index]
    run_to_rest(world, schedule)
    order = pay(world, "alice", "carol")
    run_to_rest(world, schedule)
    payment = world.nodes["alice"].manager.node.ledger.payments[order.started.payment_id]
    assert payment.sent is not None


def test_world_that_never_rests_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two nodes that talk for ever are a bug, and a test that waits for them would never say so."""
    monkeypatch.setattr(schedules, "STEPS_MAX", 3)
    world = topologies.line().copy()
    with pytest.raises(Livelock):
        run_to_rest(world, Fair())


def test_run_stops_where_the_test_wants() -> None:
    """To disturb it there."""
    world = topologies.direct().copy()
    assert run_to_rest(world, Fair(), lambda at: at.steps == 2)
    assert world.steps == 2
    assert not run_to_rest(world, Fair(), lambda _at: False)
