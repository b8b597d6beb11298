"""The command line as a whole: its commands, its help, how fast it starts."""

import importlib
import subprocess
import sys
from pathlib import Path

from leyden.cli import exits
from tests.api.small_node import SmallNode
from tests.cli.conftest import Leyden

COMMANDS = [
    "init", "node", "regtest", "info", "stop", "call", "address", "balance", "send-onchain", "connect", "disconnect",
    "peers", "trust", "open", "channels", "close", "policy", "invoice", "decode", "pay", "keysend", "payments", "claim",
    "fail", "events", "journal",
]  # fmt: skip


def test_every_command_explains_itself(leyden: Leyden) -> None:
    """The help is the documentation that people read."""
    overview = leyden("--help").stdout
    for command in COMMANDS:
        assert command in overview
        shown = leyden(command, "--help")
        assert shown.exit_code == 0
        assert "Usage: leyden" in shown.stdout or "Usage: root" in shown.stdout


def test_every_command_and_exit_code_is_documented() -> None:
    """What a script may rely on stands in one page."""
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    for command in COMMANDS:
        assert f"`{command}" in page, command
    for name, code in vars(exits).items():
        if name.isupper() and isinstance(code, int):
            assert f"| {code} |" in page, name


def test_unknown_command_suggests_the_right_one(leyden: Leyden) -> None:
    """A misspelt command is a wrong command line."""
    done = leyden("chanels")
    assert done.exit_code == 2
    assert "channels" in done.stderr


def test_version_is_shown(leyden: Leyden) -> None:
    """A bug report begins with it."""
    assert leyden("--version").stdout.startswith("leyden")


def test_data_directory_may_stand_on_both_sides_of_the_command(leyden: Leyden, node: SmallNode, tmp_path: Path) -> None:
    """People write it where they think of it; the one behind the command wins."""
    assert leyden("info").exit_code == 0
    assert leyden("info", "--data-dir", str(tmp_path)).exit_code == 0
    assert leyden("info", "-d", str(tmp_path / "other")).exit_code == 3


def test_help_loads_neither_node_nor_network() -> None:
    """`leyden --help` answers at once because it imports nothing that works."""
    code = (
        "import sys, leyden.cli.main as main; main.make_app()\n"
        "heavy = [name for name in sys.modules if name.split('.')[0] in ('asyncio', 'msgspec', 'coincurve', 'apsw')\n"
        "    or name.startswith(('leyden.api', 'leyden.node', 'leyden.channel'))]\n"
        "print(heavy)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"


def test_script_of_the_package_is_there() -> None:
    """`leyden` on the path and `python -m leyden.cli` are the same program."""
    assert callable(importlib.import_module("leyden.cli.main").run)
    done = subprocess.run(
        [sys.executable, "-m", "leyden.cli", "info", "-d", "/nonexistent"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert done.stderr.startswith("leyden: no node is running in /nonexistent")
