"""The demo as its users run it: the whole node, four processes, real TCP and consensus code, in one test."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

SECONDS_MAX = 60


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the demo makes its temporary folder; short, because Unix sockets live in it."""
    return tmp_path_factory.mktemp("d")


def start(folder: Path, *flags: str) -> subprocess.Popen[str]:
    """Run the demo without a terminal, in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "leyden.demo", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
        start_new_session=True,
    )


def children_of(demo: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes of the demo."""
    return psutil.Process(demo.pid).children(recursive=True)


def wait_for(demo: subprocess.Popen[str], beginning: str) -> None:
    """Read lines until one begins so."""
    assert demo.stdout is not None
    for line in demo.stdout:
        if line.startswith(beginning):
            return
    pytest.fail(f"the demo ended without a line that begins with {beginning}")


@pytest.mark.slow
def test_the_worst_day_is_accounted_for_to_the_satoshi(folder: Path) -> None:
    """`make demo-onchain`: forced closes with payments in flight, kill -9, ten blocks undone, a cheater punished."""
    demo = start(folder, "--onchain", "--json")
    out, _ = demo.communicate(timeout=3 * SECONDS_MAX)
    assert demo.returncode == 0, out
    accounts = json.loads(out.splitlines()[-1])["onchain"]
    assert accounts["is_exact"]
    nodes = accounts["nodes"]
    cheaters_fees_sat = nodes["mallory"]["close_fees_sat"] + nodes["mallory"]["claim_fees_sat"]
    assert nodes["alice"]["justice_sat"] == -nodes["mallory"]["justice_sat"] == 500_000 - cheaters_fees_sat
    kinds = ["offered_htlc", "received_htlc", "second_stage", "to_local"]
    assert sorted([one["kind"] for one in accounts["punished"]]) == kinds
    assert sum([one["fee_sat"] for one in accounts["fees"]]) == accounts["miners_sat"]
    told = accounts["events"]
    assert [told[name]["channel_closed"] for name in ("alice", "bob", "carol", "mallory")] == [3, 2, 2, 1]
    assert told["bob"]["payment_forwarded"] == 1


def test_every_millisatoshi_is_accounted_for(folder: Path) -> None:
    """`make demo` is the promise of the project: open, pay, forward, split, fail, kill -9 twice, close, and add up."""
    demo = start(folder, "--json")
    out, _ = demo.communicate(timeout=2 * SECONDS_MAX)
    assert demo.returncode == 0, out
    lines = out.splitlines()
    report = json.loads(lines[-1])
    assert report["ok"]
    assert report["failure"] is None
    assert report["seconds"] <= SECONDS_MAX
    total = report["accounts"]["total"]
    assert report["accounts"]["is_exact"]
    assert total["put_in_msat"] == 3 * 5_000_000_000_000
    assert total["final_msat"] + report["accounts"]["miners_fees_msat"] == total["put_in_msat"]
    assert total["fees_earned_msat"] > 0
    crash = report["crash"]
    assert crash["payments"] == 200
    assert crash["kills"] == 2
    assert crash["succeeded"] + crash["refused"] + crash["failed_on_the_way"] == 200
    assert not any("\x1b" in line for line in lines), "no terminal, no control characters"
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["ok  Start", "ok  Pay in two parts"])
def test_interrupted_demo_leaves_nothing_behind(folder: Path, number: signal.Signals, moment: str) -> None:
    """Ctrl-C is how most demos end: no process, no port and no folder may stay."""
    demo = start(folder)
    wait_for(demo, moment)
    children = children_of(demo)
    assert len(children) == 4
    demo.send_signal(number)
    out, _ = demo.communicate(timeout=SECONDS_MAX)
    assert demo.returncode == 130
    assert out.splitlines()[-1].startswith("Interrupted")
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []
    assert list(folder.iterdir()) == []


def test_processes_end_with_a_killed_demo(folder: Path) -> None:
    """`kill -9` runs no handler: the processes must notice by themselves that nobody needs them."""
    demo = start(folder)
    wait_for(demo, "ok  Start")
    children = children_of(demo)
    demo.kill()
    demo.communicate(timeout=SECONDS_MAX)
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


def test_failed_step_is_named_and_its_logs_are_kept(folder: Path) -> None:
    """Whoever sees the demo fail must know where, why, and where to look."""
    demo = start(folder, "--json")
    wait_for(demo, "ok  Start")
    children = children_of(demo)
    next(child for child in children if child.cmdline()[-1].endswith("/bob")).kill()
    out, _ = demo.communicate(timeout=SECONDS_MAX)
    assert demo.returncode == 1
    failure = json.loads(out.splitlines()[-1])["failure"]
    assert failure["step"]
    assert "bob" in failure["why"]
    assert (Path(failure["logs"]) / "alice" / "leyden.log").exists()
    assert f"FAILED in the step: {failure['step']}" in out
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []
