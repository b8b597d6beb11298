"""`python -m leyden.sim`, as it is typed."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from leyden.manager import handoff
from leyden.manager.manager import Manager
from leyden.sim.cli import app, run_worlds
from leyden.sim.script import load_script, parse_script, token_of

TEXT = """# Direct.
channel alice bob 1000000 500000000

pay alice bob 5000000 one
"""


def call(*words: str) -> tuple[int, str]:
    """Exit code and output."""
    result = CliRunner().invoke(app, list(words))
    return result.exit_code, result.output


@pytest.fixture
def direct(tmp_path: Path) -> Path:
    """A scenario file."""
    path = tmp_path / "direct.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Acknowledgements go nowhere."""

    def forget(m: Manager, event_id: str) -> None:
        m.events.pop(event_id, None)

    monkeypatch.setattr(handoff, "acknowledge_event", forget)


def test_file_and_token_are_replayed(direct: Path) -> None:
    """Told moment by moment, or in one line."""
    code, output = call("replay", str(direct))
    assert (code, output.splitlines()[-1]) == (0, "everything that must hold holds")
    assert "update_add_htlc 0" in output
    code, output = call("replay", token_of(parse_script(TEXT)), "--quiet")
    assert (code, output.strip()) == (0, "everything that must hold holds")


@pytest.mark.usefixtures("forgetful")
def test_violation_is_said_and_ends_with_one(direct: Path, tmp_path: Path) -> None:
    """A program that calls it notices; the picture shows it too."""
    code, output = call("replay", str(direct))
    assert code == 1
    assert "violated:" in output
    assert call("show", str(direct), "-o", str(tmp_path / "run.html"))[0] == 0
    assert "Violated:" in (tmp_path / "run.html").read_text()


def test_commands_that_made_no_sense_are_listed(direct: Path) -> None:
    """A shrunk run may have some."""
    direct.write_text(TEXT + "@3 start alice\n")
    assert "skipped start alice: alice is up" in call("replay", str(direct))[1]


def test_run_is_drawn(direct: Path, tmp_path: Path) -> None:
    """As a page."""
    code, output = call("show", str(direct), "-o", str(tmp_path / "run.html"))
    assert code == 0
    assert "moments drawn" in output
    assert "<svg" in (tmp_path / "run.html").read_text()


def test_traces_are_compared_and_rewritten(direct: Path) -> None:
    """What happens now against what the file says."""
    code, output = call("trace", str(direct))
    assert (code, output.splitlines()[-1]) == (1, "1 scenarios, 1 different")
    assert call("trace", "--rewrite", str(direct))[0] == 0
    assert load_script(direct).expected
    assert call("trace", str(direct)) == (0, "1 scenarios, 0 different\n")


def test_random_worlds_run_in_processes(tmp_path: Path) -> None:
    """With figures at the end."""
    code, output = call("random", "--seeds", "0..3", "--jobs", "1", "--out", str(tmp_path))
    assert code == 0
    assert "3 random worlds in" in output
    assert "0 violation(s)" in output


@pytest.mark.usefixtures("forgetful")
def test_random_world_that_fails_is_made_small() -> None:
    """And the ones behind it do not run."""
    count, finding = run_worlds(range(3))
    assert count == 1
    assert finding is not None
    assert len(finding.script.commands) <= 3


def test_scenarios_are_explored_and_promises_named(direct: Path, tmp_path: Path) -> None:
    """A table, sums, and what stands for what."""
    direct.write_text(TEXT.replace("# Direct.", "# Direct.\nproves 6"))
    code, output = call("explore", str(direct), "--tier", "fixed", "--jobs", "1", "--out", str(tmp_path))
    assert code == 0
    assert "direct " in output
    assert "1 scenarios, 1 complete" in output
    assert output.splitlines()[-1] == "promise 6: direct"
    assert "was tried" not in output
    code, output = call("explore", str(direct), "--tier", "fixed", "--jobs", "1", "--share", "9", "--part", "10")
    assert "one crash in 9 was tried: part 1, parts 0 to 8 have all of them" in output
    code, output = call("explore", str(direct), "--promise", "7")
    assert "0 scenarios" in output


def test_power_cuts_are_counted() -> None:
    """Some images."""
    code, output = call("power", "--images", "40")
    assert code == 0
    assert "0 bad" in output


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("explore", "nonsense.txt"), "this is no token"),
        (("replay", "nonsense"), "this is no token"),
        (("random", "--seeds", "9..3"), "'9..3' is no range of seeds: write 0..2000"),
        (("random", "--seeds", "many"), "'many' is no range of seeds"),
    ],
)
def test_wrong_lines_are_answered(words: tuple[str, ...], complaint: str) -> None:
    """With what would be right."""
    code, output = call(*words)
    assert code == 2
    assert complaint in output


def test_bad_file_is_answered(direct: Path) -> None:
    """With the line."""
    direct.write_text(TEXT + "juggle\n")
    code, output = call("replay", str(direct))
    assert code == 2
    assert "line 5: 'juggle' is no command" in output
