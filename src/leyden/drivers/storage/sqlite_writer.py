"""The writer thread: takes requests from a queue, makes them durable in groups, posts completions to the event loop.

Everything queued while one commit is under way becomes the next commit, and one commit posts its completions with one
call to the loop. The thread keeps the interpreter lock from the queue to the commit and back, because winning it from a
busy loop costs a switch interval each time.
"""

from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Protocol, TypeAlias

import apsw
import msgspec

from leyden.base.errors import StorageBroken, StorageFailed, StorageFenced, StorageUnavailable
from leyden.drivers.storage.group import Group
from leyden.drivers.storage.sqlite_file import SqliteFile
from leyden.drivers.storage.sqlite_schema import storage_error
from leyden.ports.store import Append, Completion, Snapshot


class Write(msgspec.Struct, frozen=True, gc=False):
    """Appends, snapshots, or the drop of a journal."""

    epoch: int
    on_durable: Completion
    batch: Sequence[Append] = ()
    snapshots: Sequence[Snapshot] = ()
    drop: str | None = None


class Query(msgspec.Struct, frozen=True):
    """Something to run on the file between commits; it answers its caller itself."""

    run: Callable[[SqliteFile], None]


class Stop(msgspec.Struct, frozen=True):
    """The end of the thread, after everything queued before."""


Request: TypeAlias = Write | Query | Stop
Outcome: TypeAlias = tuple[Completion, StorageFailed | None]


class Post(Protocol):
    """Hands the outcomes of one commit to the event loop's thread."""

    def __call__(self, outcomes: list[Outcome]) -> None: ...


_GROUP_MAX = 4096
"""Requests in one commit."""

_CUT_BYTES = 4 << 20
"""Dead log on disk above this is deleted even when the store is never idle, so much at a time."""

_WAL_PAGES_MAX = 8192
"""Write-ahead log (32 MiB) above which a checkpoint no longer waits for an idle moment."""

_WAL_PAGES_IDLE = 256
"""Less than this is not worth a checkpoint."""

_IDLE_SECONDS = 0.05
_RETRY_SECONDS = 1.0

_VACUUM_PAGES = 512
"""Free pages are given back in steps of this many, when more than this and a third of the file are free."""


class Writer:
    """The body of the thread. Owns the file from `run` on."""

    def __init__(self, file: SqliteFile, requests: "SimpleQueue[Request]", post: Post) -> None:
        self._file = file
        self._requests = requests
        self._post = post
        self._refused: dict[str, int] = {}
        """Last position of each journal that was offered and may be offered again: it stands for a missing batch."""
        self._broken: StorageFailed | None = None
        self._idle_seconds = _IDLE_SECONDS

    @property
    def is_broken(self) -> bool:
        """Whether this life takes no more writes."""
        return self._broken is not None

    def run(self) -> None:
        """Serve requests until `Stop`."""
        writes: list[Write] = []
        while True:
            request = self._next()
            if request is None:
                self._tidy_idle()
                continue
            while type(request) is Write and request.drop is None and len(writes) < _GROUP_MAX:
                writes.append(request)
                try:
                    request = self._requests.get_nowait()
                except Empty:
                    request = None
            if writes:
                self._write_group(writes)
                writes = []
            if isinstance(request, Stop):
                return
            if isinstance(request, Query):
                request.run(self._file)
            elif request is not None:
                self._write_alone(request)
            self._tidy_busy()

    def _next(self) -> Request | None:
        if self._broken is not None or (self._file.wal_pages < _WAL_PAGES_IDLE and not self._file.dead):
            return self._requests.get()
        try:
            return self._requests.get(timeout=self._idle_seconds)
        except Empty:
            return None

    # ------------------------------------------------------------------ writes

    def _write_group(self, writes: Sequence[Write]) -> None:
        file = self._file
        group = Group(file.positions, file.snapshots, self._refused, file.stored_records)
        refusals = [self._join(group, write) for write in writes]
        failure: StorageFailed | None = None
        if group.appends or group.snapshots:
            failure = self._attempt(lambda: file.commit(file.epoch, group))
        outcomes = [(write.on_durable, refusal or failure) for write, refusal in zip(writes, refusals, strict=True)]
        self._note_refused(writes, outcomes, group)
        self._post(outcomes)

    def _note_refused(self, writes: Sequence[Write], outcomes: Sequence[Outcome], group: Group) -> None:
        refused = self._refused
        if refused:
            for journal in group.ends:
                if refused.get(journal, 0) <= self._file.positions.get(journal, 0):
                    refused.pop(journal, None)
        for write, (_, failure) in zip(writes, outcomes, strict=True):
            self._note(write, failure)

    def _note(self, write: Write, failure: StorageFailed | None) -> None:
        """What was refused will be offered again: until then its journals have a hole that is no gap."""
        if isinstance(failure, StorageUnavailable):
            for append in write.batch:
                end = append.first + len(append.records) - 1
                self._refused[append.journal] = max(self._refused.get(append.journal, 0), end)

    def _join(self, group: Group, write: Write) -> StorageFailed | None:
        """Take a write into the group, or say why not; the next one of the same group must know of the hole."""
        refusal = self._refusal(write) or self._misfit(group, write)
        self._note(write, refusal)
        return refusal

    def _write_alone(self, write: Write) -> None:
        """Drop a journal, or write what found no room in a group."""
        journal = write.drop
        if journal is None:
            self._write_group([write])
            return
        failure = self._refusal(write)
        if failure is None:
            failure = self._attempt(lambda: self._file.drop(self._file.epoch, journal))
        self._post([(write.on_durable, failure)])

    def _refusal(self, write: Write) -> StorageFailed | None:
        if self._broken is not None:
            return self._broken
        if write.epoch != self._file.epoch:
            return StorageFenced(f"written under epoch {write.epoch}, the store is at epoch {self._file.epoch}")
        return None

    def _misfit(self, group: Group, write: Write) -> StorageFailed | None:
        """Add a write to the group, or say why it does not fit; only that write is refused then."""
        try:
            group.add_batch(write.batch)
            group.add_snapshots(write.snapshots)
        except Exception as error:  # noqa: BLE001 - see `_failure`
            return self._failure(error)
        return None

    def _failure(self, error: Exception) -> StorageFailed:
        """Return what `error` means to a caller; a bug here must reach every caller, not end the thread in silence."""
        if isinstance(error, StorageFailed):
            return error
        if isinstance(error, apsw.Error):
            return storage_error(error, self._file.path)
        failure = StorageBroken(f"the store's writer failed: {type(error).__name__}: {error}")
        failure.__cause__ = error
        return failure

    def _attempt(self, action: Callable[[], None]) -> StorageFailed | None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - see `_failure`
            failure = self._failure(error)
        else:
            return None
        if isinstance(failure, StorageBroken):
            self._broken = failure
        return failure

    # ------------------------------------------------------------------ space

    def _tidy_busy(self) -> None:
        if self._broken is not None:
            return
        file = self._file
        if file.dead and sum(size for _, size in file.dead) > _CUT_BYTES:
            self._maintain(lambda: file.cut(file.epoch, _CUT_BYTES))
        if file.wal_pages > _WAL_PAGES_MAX:
            self._maintain(lambda: file.checkpoint(truncate=False))

    def _tidy_idle(self) -> None:
        """Do one step; anything that arrives meanwhile goes first."""
        file = self._file
        if file.dead:
            self._maintain(lambda: file.cut(file.epoch, _CUT_BYTES))
        elif self._wants_vacuum():
            self._maintain(lambda: file.vacuum(_VACUUM_PAGES))
        else:
            self._maintain(lambda: file.checkpoint(truncate=False))

    def _wants_vacuum(self) -> bool:
        free, pages = self._file.free_pages()
        return free > _VACUUM_PAGES and free * 3 > pages

    def _maintain(self, action: Callable[[], None]) -> None:
        """Run a step that nobody waits for: a transient failure is tried again later, nothing of it was kept."""
        failure = self._attempt(action)
        if failure is None or isinstance(failure, StorageBroken):
            self._idle_seconds = _IDLE_SECONDS
            return
        self._idle_seconds = _RETRY_SECONDS


def reclaim(file: SqliteFile) -> None:
    """Give all space back now: dead rows, free pages, write-ahead log."""
    while file.dead:
        file.cut(file.epoch, _CUT_BYTES)
    while file.free_pages()[0]:
        file.vacuum(_VACUUM_PAGES)
    file.checkpoint(truncate=True)
