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
PROVED_ELSEWHERE = {"15": "tests/simulation/test_restored_stores.py"}


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
    """Or a test that says why it needs more than a file."""
    proved = {line for script in scripts().values() for line in script.proves}
    assert proved | set(PROVED_ELSEWHERE) == set(LINES)
    assert all((FOLDER.parents[3] / path).is_file() for path in PROVED_ELSEWHERE.values())
