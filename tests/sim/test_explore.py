"""The explorer: complete, finite, the same each time; and what it finds can be replayed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from leyden.base.errors import StorageBroken
from leyden.sim.explore import Limits, Tier, every_prefix, explore
from leyden.sim.fingerprint import Fingerprints
from leyden.sim.scenario import Crash, Cut, Scenario, replay
from leyden.sim.schedules import STORE_FIRST, Scripted
from leyden.sim.user import Order
from leyden.sim.world import World
from tests.sim.scenarios import scenario

ROOT = Path(__file__).resolve().parents[2]
COUNTED = """
from leyden.sim.explore import Tier, explore
from tests.sim.scenarios import scenario
result = explore(scenario("direct"), Tier.TIERED)
print(result.base_worlds, result.combinations, result.fresh, result.rests, result.digest.hex())
"""


def test_every_combination_of_prefixes_is_one() -> None:
    """From nothing to everything of each journal, and no bound on how many that are."""
    assert list(every_prefix({})) == [()]
    assert len(list(every_prefix({"a": 3, "b": 3, "c": 4}))) == 80
    assert list(every_prefix({"a": 1, "b": 1}))[1] == (("a", 0), ("b", 1))


def test_payment_survives_everything_and_the_count_is_complete() -> None:
    """The whole of what one crash or lost connection can do to one payment."""
    seen: list[int] = []
    result = explore(scenario("direct"), progress=lambda so_far: seen.append(so_far.steps))
    assert result.violation is None, result.violation
    assert result.is_complete
    assert result.base_worlds > 40
    assert result.combinations > result.fresh > result.base_worlds
    assert result.rest_steps_max > 10
    assert seen == sorted(seen)
    assert seen[-1] == result.steps


def test_parts_have_all_crashes_between_them() -> None:
    """Each is spread over the whole run, and another one."""
    whole = explore(scenario("direct"))
    parts = [explore(scenario("direct"), limits=Limits(share=3, part=part)) for part in range(3)]
    assert all(one.is_complete and one.base_worlds == whole.base_worlds for one in parts)
    assert sum([one.combinations for one in parts]) == whole.combinations
    assert len({one.digest for one in parts}) == 3
    assert max([one.combinations for one in parts]) < whole.combinations / 2


def test_messages_may_arrive_one_by_one() -> None:
    """Each may be the last that a node hears before a crash, or the only one that a pass handles."""
    together, apart = explore(scenario("direct")), explore(scenario("direct"), limits=Limits(reads=True))
    assert apart.violation is None
    assert apart.is_complete
    assert apart.base_worlds > together.base_worlds


def test_fixed_orders_are_fewer_and_crashes_as_steps_are_more() -> None:
    """What a tier leaves out is known."""
    fixed, tiered, every = [explore(scenario("direct"), tier) for tier in (Tier.FIXED, Tier.TIERED, Tier.ALL)]
    assert fixed.violation is tiered.violation is every.violation is None
    assert fixed.is_complete
    assert every.is_complete
    assert fixed.combinations < tiered.combinations == every.combinations
    assert every.base_worlds > 10 * tiered.base_worlds


@pytest.mark.parametrize("tier", Tier)
def test_step_that_goes_wrong_is_the_last_of_those_found(tier: Tier) -> None:
    """An error in a step is shown by the steps before it and that one."""
    first = scenario("direct")

    def begun(world: World) -> list[Order]:
        orders = first.begin(world)
        world.nodes["bob"].disk.refusing["node"] = StorageBroken("planted")
        return orders

    found = explore(Scenario("direct", first.base, begun), tier).violation
    assert found is not None
    with pytest.raises(Exception, match=found.what.partition(": ")[2][:20]):
        replay(Scenario("direct", first.base, begun), Scripted(found.actions, STORE_FIRST), found.deviations)


def test_counts_and_worlds_do_not_depend_on_the_hash_seed() -> None:
    """A world that is found today is found tomorrow."""
    printed = [
        subprocess.run(
            [sys.executable, "-c", COUNTED],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": f"{ROOT}/src:{ROOT}"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert printed[0] == printed[1] != ""


def test_limits_end_it_and_the_result_says_so() -> None:
    """A tier that was not finished is never called complete."""
    result = explore(scenario("forward"), limits=Limits(worlds_max=20))
    assert not result.is_complete
    assert result.violation is None
    assert explore(scenario("forward"), limits=Limits(seconds_max=0)).is_complete is False


@pytest.mark.parametrize(
    ("tier", "crashes"), [(Tier.FIXED, 1), (Tier.FIXED, 2), (Tier.TIERED, 1), (Tier.TIERED, 2), (Tier.ALL, 1)]
)
def test_what_is_wrong_is_found_with_the_run_that_shows_it(tier: Tier, crashes: int) -> None:
    """The actions up to the first crash, and the crashes: enough to see the same again."""
    first = scenario("direct")

    def wrong(world: World, orders: list[Order]) -> None:
        lives = world.nodes["bob"].lives - first.base.nodes["bob"].lives
        assert lives <= crashes, f"bob came back {lives} times"

    bad = Scenario("direct", first.base, first.begin, wrong)  # type: ignore[arg-type]
    result = explore(bad, tier, Limits(crashes=crashes, cuts=False))
    found = result.violation
    assert found is not None
    assert not result.is_complete
    assert "bob came back" in found.what
    assert [type(one) for one in found.deviations] == [Crash] * crashes
    with pytest.raises(AssertionError, match="bob came back"):
        replay(bad, Scripted(found.actions, STORE_FIRST), found.deviations)


def test_lost_connections_are_deviations_too() -> None:
    """Without them fewer combinations are tried."""
    with_cuts = explore(scenario("direct"))
    without = explore(scenario("direct"), limits=Limits(cuts=False))
    assert with_cuts.combinations > without.combinations
    assert Cut(3, "alice", "bob") != Cut(3, "alice", "bob", 1)


def test_a_world_that_comes_back_on_its_way_is_a_livelock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may go round in circles, however slowly."""
    true_print = Fingerprints.world

    def always_the_same(prints: Fingerprints, world: World, *rest: object) -> bytes:
        crashed = any(line.startswith("crash") for line in world.trace)
        return b"the same" if crashed else true_print(prints, world, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Fingerprints, "world", always_the_same)
    found = explore(scenario("direct")).violation
    assert found is not None
    assert found.what.startswith("Livelock")
