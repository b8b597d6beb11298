"""A store of one's own: one file for each batch, in a directory that only grows.

Three things make it a store (`leyden.Store`): a batch is reported durable only when it is (`fsync` of file and
directory); an epoch that is not the newest is refused; each journal keeps its records in order, without a gap.
Everything is done in one thread of its own, so that a slow disk never stops the node.
"""

import asyncio
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeAlias

import msgspec

import leyden


class _Dropped(msgspec.Struct, frozen=True, array_like=True):
    journal: str


_Batch: TypeAlias = tuple[list[leyden.Append], list[leyden.Snapshot], list[_Dropped]]


class DirectoryStore:
    """`leyden.Store` in a directory: `000000001.batch`, `000000002.batch`, ..."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._epoch = 0
        self._written = 0
        self._lock = -1
        self._failure: leyden.StorageFailed | None = None

    async def open(self) -> int:
        """Keep every other process out, and begin the next epoch."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise leyden.StorageFenced(f"another process uses {self._directory}") from None
        for half in self._directory.glob("*.half"):
            half.unlink()  # its end was never reported
        self._written = len(self._files())
        # The lock keeps others out as long as this process lives, so the number of batches will do as an epoch.
        self._epoch = self._written + 1
        return self._epoch

    def load(self) -> Iterator[leyden.StoredJournal]:
        """Replay every batch, and yield what is left."""
        journals: dict[str, leyden.StoredJournal] = {}
        for appends, snapshots, drops in self._batches():
            for append in appends:
                known = journals.get(append.journal) or leyden.StoredJournal(append.journal, 0, b"", [])
                kept = known.records[: append.first - known.position - 1]
                journals[append.journal] = msgspec.structs.replace(known, records=[*kept, *append.records])
            for snapshot in snapshots:
                known = journals[snapshot.journal]
                tail = known.records[snapshot.position - known.position :]
                journals[snapshot.journal] = leyden.StoredJournal(
                    snapshot.journal, snapshot.position, snapshot.state, tail
                )
            for drop in drops:
                journals.pop(drop.journal, None)
        yield from journals.values()

    def append(self, epoch: int, batch: Sequence[leyden.Append], on_durable: leyden.Appended) -> None:
        """Make a batch durable."""
        self._submit(epoch, (list(batch), [], []), partial(on_durable, batch))

    def snapshot(self, epoch: int, snapshots: Sequence[leyden.Snapshot], on_durable: leyden.Completion) -> None:
        """Replace records by snapshots: here, by a batch that says so."""
        self._submit(epoch, ([], list(snapshots), []), on_durable)

    def drop(self, epoch: int, journal: str, on_durable: leyden.Completion) -> None:
        """Forget a journal."""
        self._submit(epoch, ([], [], [_Dropped(journal)]), on_durable)

    def penalty_rows(self, journal: str) -> bytes:
        """Return the penalty log of a journal."""
        rows = [one.penalty_rows for _, snapshots, _ in self._batches() for one in snapshots if one.journal == journal]
        return b"".join(rows)

    async def close(self) -> None:
        """Write what is under way, and let others in."""
        await asyncio.get_running_loop().run_in_executor(None, self._thread.shutdown)
        os.close(self._lock)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _submit(self, epoch: int, batch: _Batch, on_durable: leyden.Completion) -> None:
        """Write in the store's thread; tell the node in its own."""
        loop = asyncio.get_running_loop()

        def work() -> None:
            failure = self._write(epoch, batch)
            loop.call_soon_threadsafe(on_durable, failure)

        self._thread.submit(work)

    def _write(self, epoch: int, batch: _Batch) -> leyden.StorageFailed | None:
        if epoch != self._epoch:
            return leyden.StorageFenced(f"epoch {epoch} is over")
        if self._failure is not None:
            return self._failure  # what follows a batch that was lost would leave a gap
        path = self._directory / f"{self._written + 1:09}.batch"
        half = path.with_suffix(".half")
        try:
            with half.open("wb") as file:
                file.write(msgspec.msgpack.encode(batch))
                file.flush()
                os.fsync(file.fileno())
            half.rename(path)
            _sync_directory(self._directory)
        except OSError as error:
            self._failure = leyden.StorageBroken(f"cannot write {path}: {error.strerror}")
            return self._failure
        self._written += 1
        return None

    def _files(self) -> list[Path]:
        return sorted(self._directory.glob("*.batch"))

    def _batches(self) -> Iterator[_Batch]:
        for path in self._files():
            yield msgspec.msgpack.decode(path.read_bytes(), type=_Batch)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def main(config: leyden.NodeConfig, use: Callable[[leyden.Node], object]) -> None:
    """Run a node on it."""
    async with leyden.Node(config, store=DirectoryStore(config.directory / "batches")) as node:
        print(f"node {(await node.info()).node_id} keeps its journals in {config.directory / 'batches'}")
        use(node)


if __name__ == "__main__":
    import sys

    settings = leyden.NodeConfig(
        data_dir=sys.argv[1],
        bitcoind=leyden.BitcoindSettings(url="http://127.0.0.1:18443", cookie_file=sys.argv[2]),
    )
    asyncio.run(main(settings, lambda _node: None))
