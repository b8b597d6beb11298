"""Random worlds: the seeds that once found something, and a range of new ones.

`LEYDEN_RANDOM_WORLDS=A..B pytest tests/simulation/test_random_worlds.py` runs other ones.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from leyden.sim.random_world import RandomWorld
from leyden.sim.world import World
from tests.sim import topologies

BASES: dict[str, Callable[[], World]] = {
    "direct": topologies.direct,
    "line": topologies.line,
    "double": topologies.double,
    "diamond": topologies.diamond,
    "hold direct": partial(topologies.direct, "bob"),
    "hold line": partial(topologies.line, "carol"),
    "hold double": partial(topologies.double, "bob"),
    "hold diamond": partial(topologies.diamond, "dave"),
}
KEPT = [
    line.split()[0]
    for line in (Path(__file__).parent / "seeds.txt").read_text().splitlines()
    if line and not line.startswith("#")
]
FIRST, LAST = map(int, os.environ.get("LEYDEN_RANDOM_WORLDS", "0..24").split(".."))


@pytest.mark.parametrize("seed", KEPT)
def test_world_that_once_failed(seed: str) -> None:
    """Found seeds are kept for ever."""
    RandomWorld(seed, BASES).run()


@pytest.mark.parametrize("number", range(FIRST, LAST))
def test_random_world_comes_to_rest_with_everything_in_place(number: int) -> None:
    """Nobody thought of these orders."""
    RandomWorld(str(number), BASES).run()


def test_same_seed_is_the_same_world() -> None:
    """Otherwise a failure could not be looked at twice."""
    assert RandomWorld("again", BASES).run() == RandomWorld("again", BASES).run()
