"""`journal list`, `show`, `verify`, `fold` over the journals of a node that has run."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from leyden.cli.main import make_app
from tests.node.pair import live_and_stop


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A data directory and the channel in it."""
    directory = tmp_path_factory.mktemp("lived")
    return directory / "alice", live_and_stop(directory)


def journal(directory: Path, *arguments: str) -> Result:
    """Run `leyden journal ARGUMENTS`."""
    return CliRunner().invoke(make_app(), ["-d", str(directory), "journal", *arguments])


def test_list_and_verify(lived: tuple[Path, str]) -> None:
    """One line for each journal; exit code 0 when all are whole."""
    directory, channel_id = lived
    lines = journal(directory, "list").stdout.splitlines()
    assert lines[1].split()[0] == f"channel/{channel_id}"
    assert lines[2].split()[0] == "node"
    assert json.loads(journal(directory, "list", "--json").stdout)[1]["journal"] == "node"
    verified = journal(directory, "verify")
    assert verified.exit_code == 0
    assert [line.split()[-1] for line in verified.stdout.splitlines()] == ["verdict", "ok", "ok"]


def test_show_prints_records_for_people_and_programs(lived: tuple[Path, str]) -> None:
    """Long values are cut for people, never for programs."""
    directory, channel_id = lived
    shown = journal(directory, "show", channel_id[:6], "--to", "2").stdout
    assert "ChannelOpened" in shown
    assert "characters)" in shown
    lines = journal(directory, "show", channel_id[:6], "--json", "--from", "2").stdout.splitlines()
    assert [json.loads(line)["position"] for line in lines] == list(range(2, len(lines) + 2))
    assert "per_commitment_secret: hidden" in journal(directory, "show", channel_id).stdout
    assert "hidden" not in journal(directory, "show", channel_id, "--secrets").stdout


def test_fold_prints_a_state(lived: tuple[Path, str]) -> None:
    """Always JSON: it is long, and `jq` cuts it."""
    directory, channel_id = lived
    state = json.loads(journal(directory, "fold", channel_id, "--at", "1").stdout)
    assert (state["position"], state["state"]) == (1, "AwaitingReady")
    assert json.loads(journal(directory, "fold", "node").stdout)["journal"] == "node"
    refused = journal(directory, "fold", channel_id, "--at", "10000")
    assert refused.exit_code == 1
    assert "can be folded at" in refused.stderr


def test_directory_without_journals(tmp_path: Path) -> None:
    """One sentence, no trace."""
    done = journal(tmp_path, "verify")
    assert done.exit_code == 1
    assert done.stderr.startswith("leyden: ")
    assert len(done.stderr.splitlines()) == 1
