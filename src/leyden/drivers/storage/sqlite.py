"""`SqliteStore`: the default store. One file, one connection, one writer thread, one blob per group commit."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

import apsw

from leyden.base.errors import StorageBroken, StorageFailed, StorageFenced
from leyden.base.ids import JournalId
from leyden.drivers.storage.lock import FileLock
from leyden.drivers.storage.reserve import DiskReserve
from leyden.drivers.storage.sqlite_file import SqliteFile
from leyden.drivers.storage.sqlite_log import renew_log
from leyden.drivers.storage.sqlite_schema import storage_error
from leyden.drivers.storage.sqlite_writer import Outcome, Query, Request, Stop, Write, Writer, reclaim
from leyden.ports.store import Append, Appended, Completion, Snapshot, StoredJournal

T = TypeVar("T")

RESERVE_BYTES = 4 << 20
"""Thousands of records, and the pages that SQLite writes around them."""

_LOAD_STEP = 64
"""Journals whose snapshots are read in one visit to the writer thread."""


class SqliteStore:
    """`Store` over one SQLite file.

    Args:
        path: the file; its directory must exist. `path` with `.lock` appended keeps a second process out.
        vfs: name of a registered SQLite VFS that holds the file instead of the file system (for tests); then there is
            no lock file and no reserve.
        reserve_bytes: kept free for a full disk, in a file with `.reserve` appended; 0 for none.
    """

    def __init__(self, path: Path, *, vfs: str | None = None, reserve_bytes: int = RESERVE_BYTES) -> None:
        self._path = path
        self._vfs = vfs
        self._lock = FileLock(path.with_name(path.name + ".lock"))
        self._reserve = DiskReserve(path.with_name(path.name + ".reserve"), 0 if vfs else reserve_bytes)
        self._requests: SimpleQueue[Request] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._file: SqliteFile | None = None

    async def open(self) -> int:
        """Verify the file, take the fence and return the new epoch.

        Raises StorageFenced when another process (or store) has the file, StorageBroken for a file that is damaged,
        foreign or of a newer format (nothing is changed then), StorageUnavailable when the disk has no room.
        """
        if self._thread is not None:
            raise StorageFenced(f"{self._path} is already open here")
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[SqliteFile] = loop.create_future()
        self._requests = SimpleQueue()
        thread = threading.Thread(target=self._serve, args=(loop, opened), name="leyden-store", daemon=True)
        self._thread = thread
        thread.start()
        try:
            self._file = await opened
        except BaseException:
            self._requests.put(Stop())
            self._thread = None
            raise
        if self._vfs is None:
            # Journals hold preimages and revocation secrets: nobody else reads them, wherever the file lies.
            for suffix in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    self._path.with_name(self._path.name + suffix).chmod(0o600)
        return self._file.epoch

    def load(self) -> Iterator[StoredJournal]:
        """Yield every journal in the order of its name."""
        journals = sorted(self._opened().positions)
        for start in range(0, len(journals), _LOAD_STEP):
            part = journals[start : start + _LOAD_STEP]
            yield from self._ask(partial(_stored, part))

    def append(self, epoch: int, batch: Sequence[Append], on_durable: Appended) -> None:
        """Queue `batch` for the next commit."""
        self._queue(Write(epoch, partial(on_durable, batch), batch))

    def snapshot(self, epoch: int, snapshots: Sequence[Snapshot], on_durable: Completion) -> None:
        """Queue `snapshots` for the next commit; they may cover records of batches given before."""
        self._queue(Write(epoch, on_durable, snapshots=snapshots))

    def drop(self, epoch: int, journal: JournalId, on_durable: Completion) -> None:
        """Queue the removal of a journal."""
        self._queue(Write(epoch, on_durable, drop=journal))

    def penalty_rows(self, journal: JournalId) -> bytes:
        """Return the penalty log of a journal; waits for the batches given before."""
        return self._ask(lambda file: file.read_penalty_rows(journal))

    @property
    def commits(self) -> int:
        """Transactions made durable since `open`, those that only tidy up included; for whoever measures."""
        return self._opened().commits

    def log_bytes(self) -> int:
        """Return the bytes of log that snapshots do not cover yet."""
        return self._opened().index.live_bytes

    def laggards(self) -> list[tuple[str, int]]:
        """Return the journals that keep log rows from being cut, with the bytes each pins, the most first (rows are
        shared).
        """
        return self._ask(lambda file: file.index.laggards())

    def release_reserve(self) -> bool:
        """Make room on a full disk for what cannot wait (`Closing`, preimages); return whether there was a reserve
        left.
        """
        return self._reserve.release()

    def refill_reserve(self) -> bool:
        """Put the reserve aside again, when the disk has room; `open` does it too. Return whether it is there."""
        return self._reserve.fill()

    async def reclaim(self) -> None:
        """Give all unneeded disk space back now instead of when idle."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._ask, reclaim)

    async def close(self) -> None:
        """Stop after the batches already given, whose completions have run when this returns."""
        thread = self._thread
        if thread is None:
            return
        self._file = None
        self._requests.put(Stop())
        await asyncio.get_running_loop().run_in_executor(None, thread.join)
        # Completions were posted before the thread ended: one turn of the loop runs them.
        await asyncio.sleep(0)
        self._thread = None

    # ------------------------------------------------------------------ the thread's side

    def _serve(self, loop: asyncio.AbstractEventLoop, opened: "asyncio.Future[SqliteFile]") -> None:
        try:
            if self._vfs is None:
                self._lock.take()
                refuse_headless(self._path)
                renew_log(self._path)
            file = SqliteFile(self._path, self._vfs)
            self._reserve.fill()
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to the caller of `open`
            failure = storage_error(error, self._path) if isinstance(error, apsw.Error) else error
            self._lock.release()
            _call_soon(loop, lambda: None if opened.done() else opened.set_exception(failure))
            return
        _call_soon(loop, lambda: None if opened.done() else opened.set_result(file))

        def post(outcomes: list[Outcome]) -> None:
            _call_soon(loop, lambda: _complete(loop, outcomes))

        try:
            writer = Writer(file, self._requests, post)
            writer.run()
            # Behind a failed sync nothing may be written: what can be read of the log need not be on the disk.
            if not writer.is_broken:
                with suppress(apsw.Error, StorageFailed):  # nothing depends on a tidy end
                    reclaim(file)
        finally:
            file.close()
            self._lock.release()

    # ------------------------------------------------------------------ the loop's side

    def _queue(self, write: Write) -> None:
        if self._file is None:
            raise StorageBroken(f"{self._path} is not open")
        self._requests.put(write)

    def _opened(self) -> SqliteFile:
        if self._file is None:
            raise StorageBroken(f"{self._path} is not open")
        return self._file

    def _ask(self, question: Callable[[SqliteFile], T]) -> T:
        """Run `question` on the writer thread and wait for its answer."""
        self._opened()
        answers: SimpleQueue[tuple[T, None] | tuple[None, Exception]] = SimpleQueue()

        def run(file: SqliteFile) -> None:
            try:
                answers.put((question(file), None))
            except Exception as error:  # noqa: BLE001 - raised again in the caller's thread
                answers.put((None, error))

        self._requests.put(Query(run))
        answer, error = answers.get()
        if error is not None:
            raise storage_error(error, self._path) if isinstance(error, apsw.Error) else error
        return answer  # type: ignore[return-value]


def _stored(journals: Sequence[str], file: SqliteFile) -> list[StoredJournal]:
    return [StoredJournal(journal, *file.read_snapshot(journal), file.take_tail(journal)) for journal in journals]


def _complete(loop: asyncio.AbstractEventLoop, outcomes: Sequence[Outcome]) -> None:
    for index, (on_durable, failure) in enumerate(outcomes):
        try:
            on_durable(failure)
        except BaseException:
            # One caller's bug must not cost the others their answer.
            loop.call_soon(_complete, loop, outcomes[index + 1 :])
            raise


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    try:
        loop.call_soon_threadsafe(callback)
    except RuntimeError:
        # The loop is closed: nobody is left to hear it, and nothing depends on being heard.
        if not loop.is_closed():
            raise


def refuse_headless(path: Path) -> None:
    """Raise StorageBroken for an empty or missing file beside a write-ahead log with content, which SQLite would
    delete.
    """
    wal = path.with_name(path.name + "-wal")
    if wal.exists() and wal.stat().st_size > 0 and (not path.exists() or path.stat().st_size == 0):
        raise StorageBroken(
            f"{path} is missing or empty, but its log {wal.name} is not: put the file back; nothing was changed"
        )
