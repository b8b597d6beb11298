"""`SqliteStore` in a process of its own: it keeps a second process out and survives `kill -9`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import leyden
from leyden.base.errors import StorageFenced
from leyden.drivers.storage.sqlite import SqliteStore
from tests.drivers.storage import victim

ROUNDS = 3
LINES_BEFORE_KILL = 400


def _start(path: Path) -> subprocess.Popen[bytes]:
    roots = [str(Path(leyden.__file__).parent.parent), str(Path(__file__).parents[3])]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.drivers.storage.victim", str(path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(roots)},
        stdout=subprocess.PIPE,
    )


async def _check(path: Path, reported: dict[str, int]) -> None:
    store = SqliteStore(path)
    await store.open()
    loaded = {stored.journal: stored for stored in store.load()}
    for journal, last in reported.items():
        stored = loaded[journal]
        assert victim.end(stored) >= last, f"{journal} lost records"
        assert stored.records == [
            victim.record(journal, position) for position in range(stored.position + 1, victim.end(stored) + 1)
        ]
        assert stored.position == 0 or stored.state == victim.state(journal, stored.position)
    await store.close()


async def test_killed_process_loses_nothing_that_was_reported(tmp_path: Path) -> None:
    """Crash-only software: `kill -9` is an ordinary stop."""
    path = tmp_path / "leyden.db"
    reported: dict[str, int] = {}
    for _ in range(ROUNDS):
        process = _start(path)
        assert process.stdout is not None
        try:
            lines = [process.stdout.readline() for _ in range(LINES_BEFORE_KILL)]
            with pytest.raises(StorageFenced, match=rf"{tmp_path} is in use by another process \(pid {process.pid}\)"):
                await SqliteStore(path).open()
        finally:
            process.kill()
            rest, _ = process.communicate()
        for line in [*lines, *rest.splitlines(keepends=True)]:
            if line.endswith(b"\n"):
                journal, _, last = line.decode().strip().rpartition(" ")
                reported[journal] = max(reported.get(journal, 0), int(last))
        await _check(path, reported)
    assert sorted(reported) == sorted(victim.JOURNALS)
