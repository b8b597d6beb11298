"""What was found, as files and in words."""

from pathlib import Path

import pytest

from leyden.manager import handoff
from leyden.manager.manager import Manager
from leyden.sim.explore import Found, Limits, Tier, explore
from leyden.sim.findings import Finding, describe, finding_of, script_of_found, trace_of, write
from leyden.sim.oracles import Violation
from leyden.sim.play import scenario_of
from leyden.sim.scenario import Crash, Cut, Hold
from leyden.sim.script import format_script, load_script, parse_script
from leyden.sim.shrink import violation_of
from leyden.sim.world import Action

TEXT = """# Direct.
channel alice bob 1000000 500000000

pay alice bob 5000000 one
@7 cut alice bob
"""


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Acknowledgements go nowhere."""

    def forget(m: Manager, event_id: str) -> None:
        m.events.pop(event_id, None)

    monkeypatch.setattr(handoff, "acknowledge_event", forget)


@pytest.mark.usefixtures("forgetful")
def test_finding_is_small_and_its_file_replays_it(tmp_path: Path) -> None:
    """With what it violates, and the run that shows it."""
    finding = finding_of("seed 7", parse_script(TEXT))
    assert finding is not None
    assert len(finding.script.commands) == 1
    path = write(finding, tmp_path / "new")
    assert path.name == "seed-7.txt"
    again = load_script(path)
    assert again.commands == finding.script.commands
    assert any(line.startswith("violated: ") for line in again.expected)
    assert "seed 7 violates:" in finding.report(path)
    assert str(path) in finding.report(path)


def test_scenario_that_holds_is_no_finding() -> None:
    """And its trace ends with its last moment."""
    assert finding_of("direct", parse_script(TEXT)) is None
    assert not any("violated" in line for line in trace_of(parse_script(TEXT)))


def test_run_of_the_explorer_becomes_a_scenario() -> None:
    """Every step as it was taken, crashes and lost connections between them."""
    script = parse_script(TEXT)
    node, channel = "node", next(iter(script.base().nodes["alice"].disk.journals())).journal
    actions = (Action("act", "", "pay alice bob 5000000 one"), Action("commit", "alice", node))
    deviations = (
        Crash(2, "bob", ((channel, 1),)),
        Cut(2, "alice", "bob", quiet_seconds=3),
        Hold(2, "alice", channel),
    )
    found = script_of_found(script, Found("it", "direct", actions, "store last", deviations))
    assert format_script(found).splitlines()[-9:] == [
        "channel alice bob 1000000 500000000",
        "",
        "pay alice bob 5000000 one",
        "@0 do act - -",
        "@1 do commit alice node",
        "@2 crash bob alice-bob=1",
        "@2 tick 3",
        "@2 cut alice bob",
        "@2 hold alice alice-bob",
    ]
    assert found.schedule == "store-last"


@pytest.mark.usefixtures("forgetful")
def test_violation_that_the_explorer_finds_can_be_replayed() -> None:
    """From the scenario that is written."""
    script = parse_script(TEXT)
    result = explore(scenario_of(script, "direct"), Tier.TIERED, Limits(seconds_max=20.0))
    assert result.violation is not None
    assert violation_of(script_of_found(script, result.violation)) is not None


def test_program_that_crashes_is_described_with_its_error() -> None:
    """A violation speaks for itself."""
    assert describe(Violation("money is gone")) == "money is gone"
    assert describe(ZeroDivisionError("by zero")) == "ZeroDivisionError: by zero"


def test_long_reports_are_cut(tmp_path: Path) -> None:
    """The file has all of it."""
    wrong = "\n".join([f"wrong {number}" for number in range(30)])
    finding = Finding("it", wrong, parse_script(TEXT))
    assert "wrong 29" not in finding.report(tmp_path)
    assert "wrong 29" in write(finding, tmp_path).read_text()
