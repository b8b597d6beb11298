"""The benchmarks run; how fast is nobody's fault."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import grown, report
from benchmarks.__main__ import RUNS, chosen_parts
from benchmarks.blocks import blocks
from benchmarks.goals import PARTS, ROWS, Figure, compared
from benchmarks.journals import PayerJournal
from benchmarks.justice import justice
from benchmarks.looks import looks
from benchmarks.micro import micro
from benchmarks.profiling import subsystem_of
from benchmarks.run import Run
from benchmarks.scale import TINY
from leyden.drivers.storage.sqlite import SqliteStore
from leyden.journal.batch import StoredJournal
from leyden.manager.rebuild import fold_channel, fold_journals
from leyden.node import files

ROOT = Path(__file__).resolve().parents[2]

WANTED = [
    "sync_1",
    "sync_100",
    "sync_400",
    "sync_966",
    "dust_100",
    "delay_10ms_400",
    "delay_50ms_400",
    "delay_150ms_400",
    "delay_150ms_966",
    "lone_0ms",
    "lone_10ms",
    "lone_50ms",
    "lone_150ms",
    "forwarded_100",
    "stall_all",
    "stall_other",
    "cpu",
    "syncs",
    "idle_rss",
    "channel_memory",
    "start_1000",
    "store_100k",
    "revoked_disk",
    "revoked_memory",
    "revoked_lookup",
    "justice",
    "justice_busy",
    "blocks",
    "blocks_closed",
    "rescan",
    "look",
    "help",
]
"""Every figure that has a goal, and the ones that are wanted without one."""


def test_a_tiny_run_measures_and_its_last_line_has_every_row() -> None:
    """Programs read the last line: a row that is missing there is a goal that nobody looks at."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--scale", "tiny", "--only", "direct", "--only", "help"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    seen = json.loads(done.stdout.splitlines()[-1])
    assert sorted(seen["rows"]) == sorted(WANTED)
    for row in ROWS:
        figure = seen["rows"][row.name]["figure"]
        assert (figure is not None) == (row.part in ("direct", "help")), row.name
        assert figure is None or figure > 0
        assert seen["rows"][row.name]["goal"] == row.goal
    hundred = seen["rows"]["sync_100"]
    assert hundred["figure_per_goal"] == pytest.approx(hundred["figure"] / 1000, abs=0.001)
    assert hundred["figure_per_ldk"] == pytest.approx(hundred["figure"] / 668, abs=0.001)
    assert hundred["details"]["failed"] == 0
    assert all(syncs > 0 for syncs in hundred["details"]["syncs"])


def test_every_row_has_a_part_that_runs() -> None:
    """A row that no part measures would stay empty for ever."""
    assert set(PARTS) == {*RUNS, "micro"}
    assert chosen_parts(["delay_10ms_400", "micro"]) == ["delay-10", "micro"]
    assert chosen_parts([]) == list(PARTS)


def test_a_goal_is_met_from_its_own_side() -> None:
    """More is better for a rate and worse for a time."""
    rows = {row.name: row for row in ROWS}
    assert compared(rows["sync_100"], Figure(999.0))["goal_met"] is False
    assert compared(rows["sync_100"], Figure(1000.0))["goal_met"] is True
    assert compared(rows["cpu"], Figure(0.45))["goal_met"] is True
    assert compared(rows["cpu"], Figure(0.46))["goal_met"] is False
    assert compared(rows["cpu"], None)["goal_met"] is None
    assert report.better_than(rows["cpu"], Figure(0.225), 0.45) == "2.00"


async def test_grown_journals_are_ones_that_a_node_takes(tmp_path: Path) -> None:
    """Memory and start are measured with them, so they must be what a node would have written."""
    directories = [tmp_path / "payer", tmp_path / "payee"]
    await grown.write(directories, 2, grown.Place(9, bytes(32)))
    for directory in directories:
        store = SqliteStore(directory / files.STORE_FILE)
        await store.open()
        folded = fold_journals(store.load())
        await store.close()
        assert len(folded.channels) == 2
        for state in folded.channels:
            assert state.core.local.number == state.core.remote.number == grown.UPDATES + 1
            assert not state.core.has_pending_htlcs()


def test_payers_journal_folds_to_where_it_was_written() -> None:
    """The speed of folding says something only about a journal that folds."""
    journal = PayerJournal()
    journal.settle(journal.offer(3))
    journal.settle(journal.offer(2))
    core = fold_channel(StoredJournal("channel/x", 0, b"", journal.records))
    assert core.next_outbound_id == 5
    assert not core.outbound
    assert core.position == len(journal.records)


def test_micro_benchmarks_run() -> None:
    """They call what they measure by its real name, which may change."""
    figures = micro(Run(TINY, lambda _what: None, 0.0))
    assert all(value > 0 for name, value in figures.items() if " each" not in name), figures
    assert any(name.startswith("fold") for name in figures)


def test_readme_is_made_again_in_place() -> None:
    """What people wrote between the tables must outlive the tables."""
    text = report.README_FILE.read_text(encoding="utf-8")
    for name in ("machine", "figures", "details", "profile", "micro"):
        again = report.replaced(report.replaced(text, name, ["one"]), name, ["two"])
        assert "two" in again
        assert "one\n" + report.END.format(name) not in again
    with pytest.raises(ValueError, match="no section"):
        report.replaced(text, "poetry", [])


def test_subsystems_follow_from_the_file() -> None:
    """The profile adds up by subsystem: a package is one."""
    assert subsystem_of("/x/src/leyden/channel/fold.py") == "channel"
    assert subsystem_of("/x/src/leyden/drivers/net/tcp.py") == "drivers/net"
    assert subsystem_of("/usr/lib/python3.11/asyncio/events.py") == "asyncio"
    assert subsystem_of("/x/site-packages/cryptography/hazmat/x.py") == "Python's library"


def test_what_is_measured_on_the_chain_happens() -> None:
    """A penalty that never left, or channels without claims, would be the fastest of all."""
    run = Run(TINY, lambda _what: None, 0.0)
    seen = justice(run) | blocks(run) | looks(run)
    assert seen["look"].details["channels"] == TINY.channels
    assert seen["justice_busy"].details["rows"] > 100 * TINY.states
    opened, closed = seen["blocks"].details, seen["blocks_closed"].details
    assert (opened["channels"], opened["closed"], opened["claims"]) == (TINY.channels, 0, 0)
    assert (closed["channels"], closed["closed"]) == (TINY.channels, 4)
    assert closed["claims"] >= 4
    assert all(count > 0 for count in closed["given_to_the_chain"])
