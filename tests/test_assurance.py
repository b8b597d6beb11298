"""docs/assurance.md says which scenarios and mutants stand for each promise; both must be there, and no fewer."""

import re
from pathlib import Path

from leyden.sim.exploring import built_in
from leyden.sim.script import load_script
from tests.mutants.registry import ALL

PAGE = Path(__file__).resolve().parent.parent / "docs" / "assurance.md"
ROW = re.compile(r"^\| (\d+) \| (.+) \| (.+) \| (.+) \|$", re.MULTILINE)


def rows() -> dict[str, tuple[str, str]]:
    """What the page says: scenarios and mutants by promise."""
    return {number: (scenarios, mutants) for number, _, scenarios, mutants in ROW.findall(PAGE.read_text())}


def test_there_are_fifteen_promises() -> None:
    """As many as the scenarios may name."""
    assert list(rows()) == [str(number) for number in range(1, 16)]


def test_page_names_the_scenarios_of_each_promise() -> None:
    """Those whose files say so."""
    proves = {path.stem: load_script(path).proves for path in built_in()}
    for number, (scenarios, _) in rows().items():
        assert scenarios == ", ".join([name for name, lines in proves.items() if number in lines]), number


def test_page_names_the_mutants_of_each_promise() -> None:
    """Those of the registry."""
    for number, (_, mutants) in rows().items():
        assert mutants == "; ".join([one.name for one in ALL if f"promise {number}" in one.guards]), number
