"""Scenarios and deviations: what is explored, and that a failure names itself."""

import pytest

from leyden.sim.scenario import (
    AT_REST,
    Crash,
    Cut,
    Deviation,
    Scenario,
    combinations,
    crashes,
    cuts,
    holds,
    outline,
    replay,
)
from leyden.sim.schedules import Fair
from leyden.sim.world import World
from tests.sim import topologies
from tests.sim.scenarios import scenario


def test_combinations_are_all_unless_they_are_too_many() -> None:
    """Then those that keep all or nothing of each journal."""
    assert len(combinations({"x": 1, "y": 2})) == 6
    assert combinations({}) == [()]
    many = combinations({"a": 3, "b": 3, "c": 3})
    assert len(many) == 12
    assert (("a", 0), ("b", 3), ("c", 0)) in many


def test_outline_and_what_is_made_of_it() -> None:
    """Every step, every node, every prefix; every link; every journal that gets something to write."""
    plan = outline(scenario("direct"), Fair())
    assert len(plan.under_way) == plan.steps + 1
    every = list(crashes(plan, ["alice", "bob"]))
    assert {one.step for one in every} == set(range(plan.steps + 1))
    assert len(list(cuts(plan, [("alice", "bob")]))) == plan.steps + 1
    held = list(holds(plan, ["alice", "bob"]))
    assert held
    assert all(crash.step == AT_REST for _hold, crash in held)


def test_same_deviations_are_the_same_run() -> None:
    """A failure can be looked at again."""
    deviations: list[Deviation] = [Crash(3, "alice"), Cut(5, "alice", "bob"), Crash(9, "bob")]
    traces = [replay(scenario("direct"), Fair(), deviations).trace for _ in range(2)]
    assert traces[0] == traces[1]
    assert sum(line.startswith("crash") for line in traces[0]) == 2


def test_failure_names_its_deviations() -> None:
    """Whoever reads it can replay it."""

    def wrong(_world: World, _orders: object) -> None:
        raise AssertionError("planted")

    bad = Scenario("bad", topologies.direct(), lambda _world: [], wrong)
    with pytest.raises(AssertionError) as failed:
        replay(bad, Fair(), [Crash(0, "alice")])
    assert "Crash(step=0, node='alice'" in "\n".join(failed.value.__notes__)
