"""What was refused comes again: the next batches find a hole, not a gap. Found by `models/batches.py`."""

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import apsw
import pytest

from leyden.base.errors import StorageFailed, StorageUnavailable
from leyden.drivers.storage.group import Group
from leyden.drivers.storage.sqlite import SqliteStore
from leyden.drivers.storage.sqlite_file import SqliteFile
from leyden.ports.store import Append


async def test_a_batch_behind_one_that_is_refused_in_the_same_commit_waits_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told that the store is broken, the node would stop for a disk that is full for a moment."""
    real, begun, gate, commits = SqliteFile.commit, threading.Event(), threading.Event(), 0

    def commit(self: SqliteFile, epoch: int, group: Group) -> None:
        nonlocal commits
        commits += 1
        if commits == 1:
            begun.set()
            gate.wait(10)
            raise apsw.FullError("disk full")
        real(self, epoch, group)

    monkeypatch.setattr(SqliteFile, "commit", commit)
    store = SqliteStore(tmp_path / "journals.sqlite")
    epoch = await store.open()
    answers: dict[int, StorageFailed | None] = {}
    answered = asyncio.Event()
    batches = [
        [Append("A", 1, [b"a1"])],
        [Append("A", 2, [b"a2"]), Append("B", 1, [b"b1"])],
        [Append("B", 2, [b"b2"])],
    ]

    def give(number: int) -> None:
        def note(_: Sequence[Append], error: StorageFailed | None) -> None:
            answers[number] = error
            if len(answers) == len(batches):
                answered.set()

        store.append(epoch, batches[number], note)

    give(0)
    await asyncio.to_thread(begun.wait, 10)
    give(1)
    give(2)
    gate.set()
    await answered.wait()
    assert all(isinstance(error, StorageUnavailable) for error in answers.values()), answers
    answers.clear()
    answered.clear()
    for number in range(len(batches)):
        give(number)
    await answered.wait()
    assert answers == {0: None, 1: None, 2: None}
    await store.close()
