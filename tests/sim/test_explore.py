"""The explorer: complete, finite, the same each time; and what it finds can be replayed."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from leyden.base.errors import StorageBroken
from leyden.sim.explore import Limits, Result, Tier, explore
from leyden.sim.fingerprint import Fingerprints, digest
from leyden.sim.node import SimNode
from leyden.sim.scenario import Crash, Cut, Scenario, replay
from leyden.sim.schedules import STORE_FIRST, Scripted
from leyden.sim.user import Order
from leyden.sim.world import World
from tests.sim.scenarios import scenario

WHOLE = Limits()
ROOT = Path(__file__).resolve().parents[2]
COUNTED = """
from leyden.sim.explore import Tier, explore
from tests.sim.scenarios import scenario
result = explore(scenario("direct"), Tier.TIERED)
print(result.base_worlds, result.combinations, result.fresh, result.rests, result.digest.hex())
"""


@cache
def explored(tier: Tier = Tier.TIERED, limits: Limits = WHOLE) -> Result:
    """What one payment came to; several tests compare with it."""
    return explore(scenario("direct"), tier, limits)


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
    whole = explored(Tier.FIXED)
    parts = [explored(Tier.FIXED, Limits(share=3, part=part)) for part in range(3)]
    assert all(one.is_complete and one.base_worlds == whole.base_worlds for one in parts)
    assert sum([one.combinations for one in parts]) == whole.combinations
    assert len({one.digest for one in parts}) == 3
    assert max([one.combinations for one in parts]) < whole.combinations / 2


def test_messages_may_arrive_one_by_one() -> None:
    """Each may be the last that a node hears before a crash, or the only one that a pass handles."""
    together, apart = explored(), explored(limits=Limits(reads=True))
    assert apart.violation is None
    assert apart.is_complete
    assert apart.base_worlds > together.base_worlds


def test_fixed_orders_are_fewer_and_crashes_as_steps_are_more() -> None:
    """What a tier leaves out is known."""
    fixed, tiered, every = [explored(tier, Limits(cuts=False)) for tier in (Tier.FIXED, Tier.TIERED, Tier.ALL)]
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
def test_what_is_wrong_is_found_with_the_run_that_shows_it(
    tier: Tier, crashes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The actions up to the first crash, and the crashes: enough to see the same again."""
    first = scenario("direct")
    true_ledger = Fingerprints.ledger

    def with_lives(prints: Fingerprints, node: SimNode) -> bytes:
        return digest(true_ledger(prints, node), node.lives)

    monkeypatch.setattr(Fingerprints, "ledger", with_lives)  # what is asked below decides something

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


def test_what_is_told_again_in_a_life_is_found_though_all_else_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two worlds that differ only in what their lives have told have one future, and not one judgement."""
    true_cut = World.cut

    def tells_again(world: World, one: str, other: str) -> None:
        true_cut(world, one, other)
        alice = world.nodes["alice"]
        if alice.shown and alice.shown[-1].life == alice.lives:
            alice.shown.append(alice.shown[-1])

    monkeypatch.setattr(World, "cut", tells_again)
    found = explore(scenario("direct"), Tier.FIXED).violation
    assert found is not None
    assert "was told twice in one life" in found.what


def test_close_that_must_be_is_missed_though_all_else_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel that may be closed may stay open; once the call has returned it may not."""
    true_cut = World.cut

    def asks(world: World, one: str, other: str) -> None:
        true_cut(world, one, other)
        for channel_id in world.nodes["alice"].manager.channels:
            world.closes_asked[channel_id] = bool(world.nodes["alice"].shown)

    monkeypatch.setattr(World, "cut", asks)
    first = scenario("direct")

    def begun(world: World) -> list[Order]:
        world.closes_asked.update(dict.fromkeys(world.nodes["alice"].manager.channels, False))
        return first.begin(world)

    found = explore(Scenario("direct", first.base, begun), Tier.FIXED).violation
    assert found is not None
    assert "is Normal, and should be closed" in found.what


def test_lost_connections_are_deviations_too() -> None:
    """Without them fewer combinations are tried."""
    with_cuts = explored()
    without = explored(limits=Limits(cuts=False))
    assert with_cuts.combinations > without.combinations
    assert Cut(3, "alice", "bob") != Cut(3, "alice", "bob", 1)


def test_a_world_that_comes_back_on_its_way_is_a_livelock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may go round in circles, however slowly."""
    true_print = Fingerprints.future

    def always_the_same(prints: Fingerprints, world: World, *rest: object) -> bytes:
        crashed = any(line.startswith("crash") for line in world.trace)
        true = true_print(prints, world, *rest)  # type: ignore[arg-type]
        return b"the same" if crashed else true

    monkeypatch.setattr(Fingerprints, "future", always_the_same)
    found = explore(scenario("direct")).violation
    assert found is not None
    assert found.what.startswith("Livelock")
