"""A store of one's own: one file for each batch, in a directory that only grows.

Three things make it a store (`leyden.Store`): a batch is reported durable only when it is (`fsync` of file and
directory); an epoch that is not the newest is refused; each journal keeps its records in order, without a gap. That it
is one was tried with `leyden.sim.store_contract` (docs/stores.md). Everything is done in one thread of its own, so that
a slow disk never stops the node.
"""

import asyncio
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import msgspec

import leyden


class _Batch(msgspec.Struct, frozen=True, array_like=True):
    """One call; none of the three: a store was opened."""

    appends: Sequence[leyden.Append] = ()
    snapshots: Sequence[leyden.Snapshot] = ()
    dropped: str = ""


class _Journal(msgspec.Struct):
    """What is durable of one journal. This store keeps it in memory, too: a store for many records would not."""

    position: int = 0
    state: bytes = b""
    records: list[bytes] = []
    rows: bytes = b""

    @property
    def end(self) -> int:
        """The last position."""
        return self.position + len(self.records)


class DirectoryStore:
    """`leyden.Store` in a directory: `000000001.batch`, `000000002.batch`, ..."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._epoch = 0
        self._written = 0
        self._lock = -1
        self._journals: dict[str, _Journal] = {}
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
        self._journals, self._written = {}, 0
        for path in sorted(self._directory.glob("*.batch")):
            self._keep(_applied(self._journals, msgspec.msgpack.decode(path.read_bytes(), type=_Batch)))
            self._written += 1
        # The lock keeps others out as long as this process lives, so the number of batches will do as an epoch: the one
        # written here makes it higher than the last.
        self._write_file(_Batch())
        self._epoch = self._written
        return self._epoch

    def load(self) -> Iterator[leyden.StoredJournal]:
        """Yield what `open` has read."""
        for name, journal in sorted(self._journals.items()):
            yield leyden.StoredJournal(name, journal.position, journal.state, list(journal.records))

    def append(self, epoch: int, batch: Sequence[leyden.Append], on_durable: leyden.Appended) -> None:
        """Make a batch durable."""
        self._submit(epoch, _Batch(appends=batch), partial(on_durable, batch))

    def snapshot(self, epoch: int, snapshots: Sequence[leyden.Snapshot], on_durable: leyden.Completion) -> None:
        """Replace records by snapshots: here, by a batch that says so."""
        self._submit(epoch, _Batch(snapshots=snapshots), on_durable)

    def drop(self, epoch: int, journal: str, on_durable: leyden.Completion) -> None:
        """Forget a journal."""
        self._submit(epoch, _Batch(dropped=journal), on_durable)

    def penalty_rows(self, journal: str) -> bytes:
        """Return the penalty log of a journal."""
        return self._journals.get(journal, _Journal()).rows

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
            return self._failure  # what is on the disk is known again when it was opened again
        try:
            after = _applied(self._journals, batch)
        except leyden.StorageBroken as misfit:
            return misfit
        try:
            self._write_file(batch)
        except OSError as error:
            self._failure = leyden.StorageBroken(f"cannot write to {self._directory}: {error.strerror}")
            return self._failure
        self._keep(after)
        return None

    def _write_file(self, batch: _Batch) -> None:
        path = self._directory / f"{self._written + 1:09}.batch"
        half = path.with_suffix(".half")
        with half.open("wb") as file:
            file.write(msgspec.msgpack.encode(batch))
            file.flush()
            os.fsync(file.fileno())
        half.rename(path)
        _sync_directory(self._directory)
        self._written += 1

    def _keep(self, after: dict[str, _Journal]) -> None:
        self._journals = {name: one for name, one in (self._journals | after).items() if one.end}


def _applied(before: dict[str, _Journal], batch: _Batch) -> dict[str, _Journal]:
    """Return the journals that a batch touches as it leaves them. Raises StorageBroken for one that does not fit."""
    after = {batch.dropped: _Journal()}
    for name in (*[one.journal for one in batch.appends], *[one.journal for one in batch.snapshots]):
        known = before.get(name, _Journal())
        after.setdefault(name, msgspec.structs.replace(known, records=list(known.records)))
    for append in batch.appends:
        journal = after[append.journal]
        known_count = journal.end + 1 - append.first
        repeated = append.records[: max(known_count, 0)]
        start = append.first - journal.position - 1
        if known_count < 0 or (repeated and (start < 0 or journal.records[start : start + len(repeated)] != repeated)):
            raise leyden.StorageBroken(
                f"{append.journal} ends at {journal.end}: a gap before {append.first}, or another record"
            )
        journal.records += append.records[len(repeated) :]
    for snapshot in batch.snapshots:
        journal = after[snapshot.journal]
        if not max(journal.position, 1) <= snapshot.position <= journal.end:
            raise leyden.StorageBroken(f"a snapshot at {snapshot.position} does not fit into {snapshot.journal}")
        del journal.records[: snapshot.position - journal.position]
        journal.position, journal.state = snapshot.position, snapshot.state
        journal.rows += snapshot.penalty_rows
    return after


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
