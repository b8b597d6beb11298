"""What the command line hands over to the node: whole commands, in processes of their own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

LEYDEN = [sys.executable, "-m", "leyden.cli"]


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    return subprocess.run([*LEYDEN, *arguments], capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """`leyden regtest` on a free port: its cookie file and the port."""
    process = subprocess.Popen(
        [*LEYDEN, "regtest", "--data-dir", str(tmp_path / "chain"), "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    yield tmp_path / "chain" / ".cookie", int(line.rpartition(":")[2])
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    process.stdout.close()


def test_daemon_runs_answers_and_stops(chain: tuple[Path, int], tmp_path: Path) -> None:
    """The whole way of a newcomer: init, node, info, stop, journal."""
    cookie, port = chain
    directory = tmp_path / "node"
    made = run(
        "init", "-d", str(directory), "--listen", "127.0.0.1:0", "--bitcoind-url", f"http://127.0.0.1:{port}",
        "--bitcoind-cookie-file", str(cookie), "--json",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    node_id = json.loads(made.stdout)["node_id"]
    process = subprocess.Popen([*LEYDEN, "node", "-d", str(directory)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    seen = ""
    for line in process.stderr:
        seen += line
        if "is ready" in line:
            break
    info = run("info", "-d", str(directory), "--json")
    assert json.loads(info.stdout)["node_id"] == node_id, (info.stderr, seen)
    second = run("node", "-d", str(directory))
    assert second.returncode != 0
    assert "in use by another process" in second.stderr
    assert run("journal", "list", "-d", str(directory)).returncode == 1
    assert run("stop", "-d", str(directory)).returncode == 0
    rest = process.stderr.read()
    assert process.wait(30) == 0, rest
    process.stderr.close()
    assert run("info", "-d", str(directory)).returncode == 3
    verified = run("journal", "verify", "-d", str(directory))
    assert verified.returncode == 0
    assert (directory / "leyden.log").read_text().count(" is ready") == 1
    assert os.listdir(directory).count("api.sock") == 0
