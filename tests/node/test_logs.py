"""Logs: levels, formats, rotation, and what never gets into them."""

import json
import logging
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from leyden.node import logs
from leyden.node.settings import LogSettings


@pytest.fixture(autouse=True)
def _quiet_afterwards() -> Iterator[None]:
    """Leave the process's logging as it was."""
    yield
    logs.tear_down()


def lines(path: Path) -> list[str]:
    """What was written."""
    return path.read_text().splitlines()


def test_each_subsystem_has_its_level(tmp_path: Path) -> None:
    """Debugging one peer must not drown in everything else."""
    logs.set_up(LogSettings(level="warning", levels={"peer": "debug"}, stderr=False), tmp_path / "log")
    logging.getLogger("leyden.peer").debug("a ping")
    logging.getLogger("leyden.chain").info("a block")
    logging.getLogger("leyden.chain").error("no service")
    written = lines(tmp_path / "log")
    assert len(written) == 2
    assert written[0].split(" ", 1)[1] == "debug   peer: a ping"
    assert written[1].split(" ", 1)[1] == "error   chain: no service"
    logs.set_up(LogSettings(stderr=False), tmp_path / "log")
    logging.getLogger("leyden.peer").debug("not any more")
    assert len(lines(tmp_path / "log")) == 2


def test_json_lines_hold_fields_and_traces(tmp_path: Path) -> None:
    """Programs that collect logs want values, not sentences."""
    logs.set_up(LogSettings(format="json", stderr=False), tmp_path / "log")
    try:
        raise ValueError("odd")
    except ValueError:
        logging.getLogger("leyden.node").exception("failed", extra={"channel_id": b"\xcc", "amount_msat": 5})
    entry = json.loads(lines(tmp_path / "log")[0])
    assert (entry["level"], entry["subsystem"], entry["message"]) == ("error", "node", "failed")
    assert (entry["channel_id"], entry["amount_msat"]) == ("cc", 5)
    assert "ValueError: odd" in entry["trace"]


def test_text_of_a_peer_cannot_forge_a_line(tmp_path: Path) -> None:
    """A warning of a peer is in our log, in its own words."""
    logs.set_up(LogSettings(stderr=False), tmp_path / "log")
    logging.getLogger("leyden.peer").warning(
        "it says %s", "x\n2026-01-01 error store: lost\x1b[2J", extra={"why": "a b"}
    )
    written = lines(tmp_path / "log")
    assert len(written) == 1
    assert "\x1b" not in written[0]
    assert written[0].endswith(' why="a b"')


@pytest.mark.parametrize(
    "name", ["preimage", "per_commitment_secret", "bitcoind_password", "session_seed", "private_key"]
)
@pytest.mark.parametrize("form", ["text", "json"])
def test_secret_fields_are_blotted_out(tmp_path: Path, name: str, form: str) -> None:
    """The last guard against a careless line."""
    logs.set_up(LogSettings(format=form, stderr=False), tmp_path / "log")  # type: ignore[arg-type]
    logging.getLogger("leyden.node").info("settled", extra={name: "sekret"})
    assert "sekret" not in (tmp_path / "log").read_text()
    assert "***" in (tmp_path / "log").read_text()


def test_file_is_the_owners_and_rotates(tmp_path: Path) -> None:
    """It says whom the node deals with, and must not fill the disk."""
    logs.set_up(LogSettings(file_bytes_max=10_000, files_kept=2, stderr=False), tmp_path / "log")
    for number in range(1000):
        logging.getLogger("leyden.node").info("line %d", number)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["log", "log.1", "log.2"]
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    assert all(file.stat().st_size <= 10_000 for file in files)


def test_full_disk_loses_a_line_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The node pauses for the store's sake, not for its log's."""
    logs.set_up(LogSettings(stderr=False), Path("/dev/full"))
    logging.getLogger("leyden.node").info("lost")
    assert capsys.readouterr().err == ""


def test_standard_error_gets_the_same_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A service manager collects it."""
    logs.set_up(LogSettings(), tmp_path / "log")
    logging.getLogger("leyden.node").info("ready")
    assert capsys.readouterr().err == (tmp_path / "log").read_text()
    assert sys.stderr is not None
