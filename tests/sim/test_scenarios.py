"""The scenario files that come with the product."""

from pathlib import Path

import pytest

import leyden.sim
from leyden.sim.findings import trace_of
from leyden.sim.script import Script, load_script

FOLDER = Path(leyden.sim.__file__).parent / "scenarios"
FILES = sorted(FOLDER.glob("*.txt"))
LINES = [str(number) for number in range(1, 16)]
"""What docs/assurance.md promises."""


def scripts() -> dict[str, Script]:
    """All of them, by name."""
    return {path.stem: load_script(path) for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_scenario_runs_as_its_file_says(path: Path) -> None:
    """`python -m leyden.sim trace --rewrite` writes them anew; a change is to be looked at."""
    script = load_script(path)
    assert script.title
    assert script.proves
    assert trace_of(script) == list(script.expected)


def test_every_promise_has_a_scenario() -> None:
    """`python -m leyden.sim explore` names them."""
    assert {line for script in scripts().values() for line in script.proves} == set(LINES)
