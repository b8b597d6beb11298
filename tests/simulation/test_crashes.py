"""Crashes of every node with every combination of kept prefixes, and lost connections, in the main stories.

A run that fails says which actions and deviations show it; `replay` with `Scripted` runs it again.
"""

import os

import pytest

from leyden.manager import events as ev
from leyden.sim.explore import Limits, Result, Tier, explore
from leyden.sim.scenario import Crash, combinations, crashes, holds, outline, replay
from leyden.sim.schedules import Draws, Fair
from tests.sim.scenarios import MAIN, scenario

EVERY_ORDER = ["direct", "failure", "two parts"]
SHARES = {"direct": 1, "failure": 1, "two parts": 10}
"""Of the last one default tests try every order, and one crash or lost connection in so many."""
FIXED_SHARE = 3
"""Of the others a few orders, and one in so many; all of them in the slow tests."""
SLOW = ["forward", "two parts"]
"""These have all crashes in every order in the slow tests; and in `make explore`, like what is as large as they are."""
LARGE = "two parts forwarded"
FIXED = [name for name in MAIN if name not in (*EVERY_ORDER, LARGE)]
SECOND_CRASHES = int(os.environ.get("LEYDEN_SECOND_CRASHES", "12"))


def assert_holds(result: Result) -> None:
    """Nothing is wrong, and nothing of the tier was left out."""
    assert result.violation is None, result.violation
    assert result.is_complete


@pytest.mark.parametrize("name", EVERY_ORDER)
def test_any_crash_in_any_order_loses_nothing(name: str) -> None:
    """Whatever the order of messages and writes, and whatever a crash left of each journal, everything is there."""
    assert_holds(explore(scenario(name), Tier.TIERED, Limits(share=SHARES[name])))


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_any_crash_in_any_order_of_a_large_story_loses_nothing(name: str) -> None:
    """The same with all crashes."""
    assert_holds(explore(scenario(name), Tier.TIERED))


def test_any_second_crash_in_the_recovery_loses_nothing() -> None:
    """A restart may be interrupted like everything else, at every step, of the same node or of another one."""
    assert_holds(explore(scenario("direct"), Tier.TIERED, Limits(crashes=2)))


@pytest.mark.parametrize("name", FIXED)
def test_any_crash_under_fair_and_unfair_schedules_loses_nothing(name: str) -> None:
    """A store or a link that is always last lets everything else run ahead of it."""
    assert_holds(explore(scenario(name), Tier.FIXED, Limits(share=FIXED_SHARE)))


def test_a_crash_of_any_of_four_nodes_loses_nothing() -> None:
    """Two parts over two forwarders: the most journals that depend on each other."""
    assert_holds(explore(scenario(LARGE), Tier.FIXED, Limits(cuts=False, share=FIXED_SHARE)))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FIXED, LARGE])
@pytest.mark.parametrize("part", range(1, FIXED_SHARE))
def test_the_other_crashes_under_fair_and_unfair_schedules_lose_nothing(name: str, part: int) -> None:
    """What the default tests leave out."""
    assert_holds(explore(scenario(name), Tier.FIXED, Limits(cuts=name != LARGE, share=FIXED_SHARE, part=part)))


@pytest.mark.parametrize("name", [*FIXED, LARGE])
def test_a_journal_that_stays_behind_loses_nothing(name: str) -> None:
    """What the other journals write while one waits must not rest on what is lost with it."""
    plan = outline(scenario(name), Fair())
    for hold, crash in holds(plan, list(scenario(name).base.nodes)):
        replay(scenario(name), Fair(), [hold, crash])


@pytest.mark.parametrize("name", [*EVERY_ORDER, *FIXED])
def test_some_second_crashes_lose_nothing(name: str) -> None:
    """A sample where all of them would be too many."""
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
