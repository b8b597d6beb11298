"""Ten rounds as a user runs them: nothing may be lost, and what is found must be shown."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from leyden.demo.kills import __main__ as command
from leyden.demo.kills import audit
from leyden.demo.kills.__main__ import Stage, stages
from leyden.demo.kills.load import IN_FLIGHT

ROUNDS = 10
SECONDS_MAX = 300


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the temporary folders are made; short, because Unix sockets live in them."""
    return tmp_path_factory.mktemp("k")


def test_nothing_is_lost_in_ten_rounds(folder: Path) -> None:
    """On a store that is quick and on one that is 50 ms late; every role dies."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-m", "leyden.demo.kills", "--rounds", str(ROUNDS), "--seed", "ten", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    assert ran.returncode == 0, ran.stdout
    report = json.loads(ran.stdout.splitlines()[-1])
    assert report["ok"]
    assert report["seed"] == "ten"
    assert [sums["rounds"] for sums in report["totals"].values()] == [5, 5]
    for sums in report["totals"].values():
        assert sums["accepted"] + sums["never_durable"] == 5 * IN_FLIGHT
        assert sums["sent"] + sums["failed"] == sums["accepted"]
        assert sums["sent"] > sums["failed"] * 2, "else this is a load of failures"
        assert min(sums["kills_by_role"].values()) >= 1
        assert sums["asked_again"] > 0
        assert sums["in_flight_at_kill_median"] > 0
    assert sum(sums["events_told_again"] for sums in report["totals"].values()) > 0
    assert list(folder.iterdir()) == []


def test_a_violation_is_shown_and_everything_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever finds one needs the sentence, the seed, the journals and the logs; and no process stays behind."""
    monkeypatch.setattr(audit, "violations", lambda *_: ["alice lost one", "bob lost two"])
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert command.main(["--rounds", "1", "--seed", "planted", "--delay-ms", "0", "--json"]) == 1
    out = capsys.readouterr().out
    report = json.loads(out.splitlines()[-1])
    assert not report["ok"]
    assert report["failure"]["round"] == 1
    assert report["failure"]["wrong"] == ["alice lost one", "bob lost two"]
    assert "FAILED in round 1, seed planted:\n  alice lost one\n  bob lost two\n" in out
    assert "again: python -m leyden.demo.kills --rounds 1 --seed planted --delay-ms 0\n" in out
    kept = Path(report["failure"]["kept"])
    assert (kept / "alice" / "leyden.log").exists()
    assert (kept / "carol" / "journals.sqlite").exists()
    assert psutil.Process().children(recursive=True) == []


def test_interrupted_run_leaves_nothing_behind(folder: Path) -> None:
    """Two hundred rounds take minutes: many of them end by Ctrl-C, in the middle of a load."""
    run = subprocess.Popen(
        [sys.executable, "-m", "leyden.demo.kills", "--rounds", "1000"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
        start_new_session=True,
    )
    children: list[psutil.Process] = []
    while len(children) < 4:
        children = psutil.Process(run.pid).children(recursive=True)
    run.send_signal(signal.SIGINT)
    out, _ = run.communicate(timeout=SECONDS_MAX)
    assert run.returncode == 130
    assert out.splitlines()[-1].startswith("Interrupted")
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []
    assert list(folder.iterdir()) == []


def test_rounds_are_cut_into_worlds_with_each_delay_in_turn() -> None:
    """No delay is left out, however few rounds there are, and no world gets too old."""
    assert stages(10, [0, 50]) == [Stage(0, 0, 4), Stage(50, 5, 9)]
    assert stages(1, [0, 50]) == [Stage(0, 0, 0)]
    many = stages(200, [0, 50])
    assert [one.delay_ms for one in many] == [0, 50] * 4
    assert [number for one in many for number in range(one.first, one.last + 1)] == list(range(200))


@pytest.mark.parametrize("arguments", [["--rounds", "0"], ["--delay-ms", "-1"]])
def test_arguments_that_make_no_sense_are_refused(arguments: list[str]) -> None:
    """Nothing is started for them."""
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2
