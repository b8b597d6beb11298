"""Random worlds: the seeds that once found something, and a range of new ones, of which `make explore` has more.

`LEYDEN_RANDOM_WORLDS=A..B pytest tests/simulation/test_random_worlds.py` runs other ones.
"""

import os
from pathlib import Path

import pytest

from leyden.sim.play import Play
from leyden.sim.random_world import RandomWorld
from leyden.sim.script import script_of

KEPT = Path(__file__).parent / "seeds.txt"
FIRST, LAST = map(int, os.environ.get("LEYDEN_RANDOM_WORLDS", "0..1000").split(".."))
GROUP = 25


def test_worlds_that_once_failed() -> None:
    """What was found is kept for ever, as a token: it outlives changes of what is drawn."""
    for line in KEPT.read_text().splitlines():
        if line and not line.startswith("#"):
            Play(script_of(line.split()[0])).run()


@pytest.mark.parametrize("first", range(FIRST, LAST, GROUP))
def test_random_worlds_come_to_rest_with_everything_in_place(first: int) -> None:
    """Nobody thought of these orders."""
    for number in range(first, min(first + GROUP, LAST)):
        RandomWorld(str(number)).run()
