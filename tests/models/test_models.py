"""The models of the rules: every reading is as expected, and the table in models/README.md names readings that lose."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from models import kernel
from models.__main__ import main
from models.catalogue import MODELS
from models.kernel import Reading, TooManyStates, explore

FOLDER = Path(kernel.__file__).parent
ROWS = re.findall(r"^\| (\d+) \| .+ \| (\w+) \| (.+) \|$", (FOLDER / "README.md").read_text(), re.MULTILINE)
READINGS_THAT_LOSE = range(1, 18)
"""Those of the design, section 7."""


class Counter(NamedTuple):
    """A world that counts to `top`, one or two at a time, and may fall into a circle at 7."""

    top: int
    bad: int = -1
    circle: bool = False

    def start(self) -> int:
        """Zero."""
        return 0

    def moves(self, state: int) -> Iterator[tuple[str, int]]:
        """Count."""
        if state == 7 and self.circle:
            yield "around", 7
        elif state < self.top:
            yield "one", state + 1
            if state + 2 <= self.top:
                yield "two", state + 2

    def faults(self, state: int) -> Iterator[tuple[str, int]]:
        """Start again."""
        yield f"again from {state}", 0

    def loss(self, state: int) -> str:
        """One number may be bad."""
        return "LOSS" if state == self.bad else ""

    def loss_at_rest(self, state: int) -> str:
        """Nothing."""
        return "" if state == self.top else "STUCK"


def test_explorer_finds_a_shortest_schedule() -> None:
    """A schedule that people read must not contain what does not matter."""
    found = explore(Counter(top=9, bad=5))
    assert found.loss == "LOSS"
    assert len(found.schedule) == 3
    assert explore(Counter(top=9)) == (10, "", ())


def test_explorer_finds_a_world_that_never_rests() -> None:
    """A retry without end looks like nothing being wrong in any state."""
    found = explore(Counter(top=9, circle=True))
    assert found.loss.startswith("NEVER ENDS")


def test_explorer_refuses_a_world_that_is_not_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was cut short proves nothing."""
    monkeypatch.setattr(kernel, "STATES_MAX", 5)
    with pytest.raises(TooManyStates):
        explore(Counter(top=9))


def test_verdict_on_a_reading_is_wrong_in_each_way() -> None:
    """A check that cannot fail is no check."""
    loses, holds = explore(Counter(top=9, bad=5)), explore(Counter(top=9))
    assert "was not found out" in Reading("losing", Counter(top=9), "LOSS").verdict(holds)
    assert "not by `STUCK`" in Reading("losing", Counter(top=9), "STUCK").verdict(loses)
    assert "the right reading loses" in Reading("right", Counter(top=9)).verdict(loses)
    assert not Reading("losing", Counter(top=9), "LOSS").verdict(loses)


@pytest.mark.parametrize("model", MODELS)
def test_each_reading_of_a_model_is_as_expected(model: str) -> None:
    """The rules hold in every schedule, and every way to misread them that we know is found out."""
    assert not unexpected([reading for reading in MODELS[model] if reading.quick])


@pytest.mark.slow
def test_each_reading_that_takes_longer_is_as_expected() -> None:
    """The widest bounds; `make models` explores them all."""
    assert not unexpected([reading for readings in MODELS.values() for reading in readings if not reading.quick])


def unexpected(readings: list[Reading]) -> dict[str, str]:
    """The readings that are not as expected, and why."""
    wrong = {reading.name: reading.verdict(explore(reading.model)) for reading in readings}
    return {name: verdict for name, verdict in wrong.items() if verdict}


def test_program_prints_a_line_for_each_reading_and_knows_its_models(capsys: pytest.CaptureFixture[str]) -> None:
    """People read the schedules, a lane reads the exit code."""
    assert main(["fence"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("fence: ")]) == len(MODELS["fence"])
    assert any(line.startswith("      ") for line in lines)
    assert main(["nothing"]) == 2


def test_program_fails_when_a_reading_is_not_as_expected(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A lane that cannot turn red protects nothing."""
    monkeypatch.setitem(MODELS, "counter", (Reading("losing", Counter(top=9), "LOSS"),))
    assert main(["counter"]) == 1
    assert "NOT AS EXPECTED: a losing reading was not found out" in capsys.readouterr().out


def test_every_losing_reading_of_the_design_has_a_switch() -> None:
    """Each is what a careful person would write first."""
    assert {int(number) for number, _, _ in ROWS} == set(READINGS_THAT_LOSE)
    losing = {(model, reading.name) for model, readings in MODELS.items() for reading in readings if reading.loses}
    assert not [row for row in ROWS if (row[1], row[2]) not in losing]


def test_every_model_has_a_right_reading_names_and_bounds() -> None:
    """A model in which nothing can hold would find any reading out."""
    readme = (FOLDER / "README.md").read_text()
    for model, readings in MODELS.items():
        names = [reading.name for reading in readings]
        assert len(set(names)) == len(names)
        assert any(not reading.loses for reading in readings)
        assert "Bounds: " in (FOLDER / f"{model}.py").read_text()
        assert f"| `{model}` |" in readme
