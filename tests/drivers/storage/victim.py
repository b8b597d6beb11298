"""A process that writes to a store as fast as it can and says what was reported durable; it is there to be killed."""

import asyncio
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from leyden.base.errors import StorageFailed
from leyden.drivers.storage.sqlite import SqliteStore
from leyden.ports.store import Append, Completion, Snapshot, StoredJournal

JOURNALS = ("node", "channel/a", "channel/b")


def record(journal: str, position: int) -> bytes:
    """The record that this process writes at a position."""
    return f"{journal}:{position}:".encode() * (1 + position * 13 % 40)


def state(journal: str, position: int) -> bytes:
    """The snapshot that this process writes at a position."""
    return f"{journal}@{position};".encode() * 50


def end(stored: StoredJournal) -> int:
    """Last position of a journal that was loaded."""
    return stored.position + len(stored.records)


def appended(complete: Completion, _: Sequence[Append], failure: StorageFailed | None) -> None:
    """Answer for an append as for a snapshot."""
    complete(failure)


async def write_until_killed(path: Path) -> None:
    """Write to every journal, a snapshot now and then, one line for each answer."""
    store = SqliteStore(path)
    epoch = await store.open()
    ends = dict.fromkeys(JOURNALS, 0) | {stored.journal: end(stored) for stored in store.load()}
    room = asyncio.Semaphore(8)
    while True:
        for index, journal in enumerate(JOURNALS):
            await room.acquire()
            first, count = ends[journal] + 1, 1 + (ends[journal] + index) % 3
            ends[journal] += count

            def complete(failure: StorageFailed | None, line: str = f"{journal} {ends[journal]}\n") -> None:
                assert failure is None
                os.write(1, line.encode())
                room.release()

            append = Append(journal, first, [record(journal, first + i) for i in range(count)])
            store.append(epoch, [append], partial(appended, complete))
            if ends[journal] % 10 == 0:
                await room.acquire()
                snapshot = Snapshot(journal, ends[journal], state(journal, ends[journal]), b".")
                store.snapshot(epoch, [snapshot], complete)


if __name__ == "__main__":
    asyncio.run(write_until_killed(Path(sys.argv[1])))
