"""Every crash of every node before every step of a fair run, with every combination of kept prefixes; lost connections.

A run that fails is named in its traceback by its scenario, schedule and deviations; `replay` runs it again.
"""

import os
from collections.abc import Callable

import pytest

from leyden.manager import events as ev
from leyden.sim.scenario import Crash, combinations, crashes, cuts, holds, outline, replay
from leyden.sim.schedules import Draws, Fair, Last, Newest
from leyden.sim.world import Schedule
from tests.sim.scenarios import SCENARIOS, scenario

SMALL = [name for name in SCENARIOS if name != "two parts forwarded"]
SECOND_CRASHES = int(os.environ.get("LEYDEN_SECOND_CRASHES", "12"))
SAMPLE = int(os.environ.get("LEYDEN_CRASH_SAMPLE", "7"))
"""Of the large scenario and of unfair schedules every so many is tried; 1 tries all."""
UNFAIR: dict[str, Callable[[], Schedule]] = {
    "slow store": lambda: Last("commit"),
    "slow links": lambda: Last("deliver"),
    "newest first": Newest,
}


@pytest.mark.parametrize("name", SMALL)
def test_any_crash_loses_nothing(name: str) -> None:
    """Whatever a crash left of each journal, money, events and channels are all there afterwards."""
    plan = outline(scenario(name), Fair())
    for crash in crashes(plan, list(scenario(name).base.nodes)):
        replay(scenario(name), Fair(), [crash])


@pytest.mark.parametrize("name", SMALL)
def test_any_lost_connection_loses_nothing(name: str) -> None:
    """A disconnection while records wait is as common as a crash, and forgets less."""
    plan = outline(scenario(name), Fair())
    for cut in cuts(plan, list(scenario(name).base.links)):
        replay(scenario(name), Fair(), [cut])


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_journal_that_stays_behind_loses_nothing(name: str) -> None:
    """What the other journals write while one waits must not rest on what is lost with it."""
    plan = outline(scenario(name), Fair())
    for hold, crash in holds(plan, list(scenario(name).base.nodes)):
        replay(scenario(name), Fair(), [hold, crash])


def test_a_crash_of_any_of_four_nodes_loses_nothing() -> None:
    """Two parts over two forwarders: the most journals that depend on each other."""
    name = "two parts forwarded"
    plan = outline(scenario(name), Fair())
    for crash in list(crashes(plan, list(scenario(name).base.nodes)))[::SAMPLE]:
        replay(scenario(name), Fair(), [crash])


@pytest.mark.parametrize("schedule", UNFAIR)
@pytest.mark.parametrize("name", ["forward", "two parts", "hold two parts"])
def test_a_crash_in_an_unfair_run_loses_nothing(name: str, schedule: str) -> None:
    """A store or a link that is always last lets everything else run ahead of it."""
    plan = outline(scenario(name), UNFAIR[schedule]())
    for crash in list(crashes(plan, list(scenario(name).base.nodes)))[::SAMPLE]:
        replay(scenario(name), UNFAIR[schedule](), [crash])


@pytest.mark.parametrize("name", SMALL)
def test_a_second_crash_in_the_recovery_loses_nothing(name: str) -> None:
    """A restart may be interrupted like everything else, of the same node or of another one."""
    draws = Draws(b"second crash " + name.encode())
    plan = outline(scenario(name), Fair())
    nodes = list(scenario(name).base.nodes)
    every = list(crashes(plan, nodes))
    for _ in range(SECOND_CRASHES):
        first = every[draws.below(len(every))]
        second = Crash(first.step + 1 + draws.below(25), nodes[draws.below(len(nodes))], _some_prefix(draws, first))
        replay(scenario(name), Fair(), [first, second])


def _some_prefix(draws: Draws, first: Crash) -> tuple[tuple[str, int], ...]:
    found = combinations({journal: 2 for journal, _ in first.kept})
    return found[draws.below(len(found))]


@pytest.mark.parametrize("name", ["direct", "forward", "two parts", "two parts forwarded", "hold", "hold two parts"])
def test_undisturbed_payments_arrive(name: str) -> None:
    """The runs that the crashes disturb would otherwise do what they are for."""
    world = replay(scenario(name), Fair(), [])
    assert [shown.event for shown in world.nodes["alice"].shown if isinstance(shown.event, ev.PaymentSent)]


def test_undisturbed_failure_fails() -> None:
    """The scenario of the failure that comes back is one."""
    world = replay(scenario("failure"), Fair(), [])
    told = [shown.event for shown in world.nodes["alice"].shown if isinstance(shown.event, ev.PaymentFailed)]
    assert [(event.reason, event.hop) for event in told] == [("recipient_rejected", 1)]
