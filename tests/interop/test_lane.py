"""The lane tells apart what can become of a scenario, and goes on after each."""

import asyncio
import os
from pathlib import Path

from interop.foreign import NotOffered, PeerRefused
from interop.kinds import makers_of
from interop.lane import Lane, Result
from interop.scenario import Extent, PeerAtFault, Registry, check
from interop.world import World

scenario = Registry()


@scenario(1, "what works")
async def works(world: World) -> None:
    """It passes only with a chain and two nodes that are connected."""
    check(world.us.node_id in await world.peer.peers(), "the peer is not connected")


@scenario(1, "what does not")
async def does_not(_world: World) -> None:
    """It finds something wrong."""
    check(False, "1 is not 2")


@scenario(1, "what the peer refuses")
async def refused(_world: World) -> None:
    """The words of the peer are the reason."""
    raise PeerRefused("I would rather not")


@scenario(1, "what takes too long", seconds_max=0)
async def slow(_world: World) -> None:
    """It has no time at all."""
    await asyncio.sleep(10)


@scenario(1, "what the peer has not")
async def absent(_world: World) -> None:
    """No failure of anybody."""
    raise NotOffered("no such feature bit")


@scenario(1, "what the peer does wrong", alone=True)
async def wrong(_world: World) -> None:
    """Not ours."""
    raise PeerAtFault("it forgets")


def said_nothing(_line: str) -> None:
    """Take progress that nobody reads."""


async def test_each_end_of_a_scenario_has_its_outcome(tmp_path: Path) -> None:
    """What fails ends its world, and the next scenario has another one; the logs of the failed one are kept."""
    kept_at_once: list[Result] = []
    lane = Lane(
        "leyden", await makers_of(["leyden"], said_nothing), tmp_path, said_nothing, Extent(), kept_at_once.append
    )
    results = {result.scenario: result for result in await lane.run(scenario.scenarios)}
    outcomes = {key.partition(".")[2]: (one.outcome, one.reason) for key, one in results.items()}
    assert outcomes["works"] == ("pass", "")
    assert outcomes["does_not"] == ("fail", "ScenarioFailed: 1 is not 2")
    assert outcomes["refused"] == ("fail", "PeerRefused: I would rather not")
    assert outcomes["slow"] == ("fail", "it took more than 0 s")
    assert outcomes["absent"] == ("not offered", "no such feature bit")
    assert outcomes["wrong"] == ("peer's fault", "it forgets")
    assert kept_at_once == list(results.values())
    kept = set(os.listdir(tmp_path))
    assert kept == {f"leyden-test_lane.{name}" for name in ("does_not", "refused", "slow")}
    assert os.listdir(tmp_path / "leyden-test_lane.does_not" / "us") == ["output.log"]
