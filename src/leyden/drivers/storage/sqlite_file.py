"""The store's file as one thread sees it: verify, read, and write groups of batches in single transactions.

A commit of appends is *one* statement: it inserts one blob and reads the fence under the same write lock, and it gives
up the interpreter lock once. The log is one table in sequence: a row per record, or keys spread over channels, would
make SQLite sync many more pages.
"""

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path

import apsw
import msgspec

from leyden.base.errors import StorageBroken, StorageFenced
from leyden.drivers.storage import sqlite_schema
from leyden.drivers.storage.group import Group
from leyden.drivers.storage.log_index import LogIndex
from leyden.drivers.storage.sealed import HEADER_SIZE, open_sealed, seal, seal_in_place
from leyden.ports.store import Append, Snapshot

_INSERT_BEHIND_FENCE = "insert into log(seq, blob) select ?1, ?2 where (select epoch from fence where id = 1) = ?3"
_REPLACE_SNAPSHOT = (
    "insert into snapshot(journal, position, blob) values (?1, ?2, ?3) "
    "on conflict(journal) do update set position = excluded.position, blob = excluded.blob"
)


def _log_place(seq: int) -> bytes:
    return b"log/%d" % seq


def _snapshot_place(journal: str, position: int) -> bytes:
    return b"snapshot/%s/%d" % (journal.encode(), position)


def _penalty_place(journal: str) -> bytes:
    return b"penalty/%s" % journal.encode()


class SqliteFile:
    """One store file, opened. Every method may raise `apsw.Error`; nothing of a failed write is kept."""

    def __init__(self, path: Path, vfs: str | None) -> None:
        self.path = path
        self.epoch = 0
        self.positions: dict[str, int] = {}
        """Last durable position of each journal."""
        self.snapshots: dict[str, int] = {}
        """Position of each journal's snapshot."""
        self.index = LogIndex()
        self.dead: list[tuple[int, int]] = []
        """Rows (seq, bytes) of the log that nobody needs and that are still on disk."""
        self.wal_pages = 0
        """Upper estimate of the pages in the write-ahead log since the last checkpoint."""
        self.commits = 0
        """Transactions made durable since the opening."""
        self._seq = 0
        self._dropped: dict[str, int] = {}
        self._tails: dict[str, list[bytes]] = {}
        self._sizes: dict[int, int] = {}
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(list[Append])
        self._connection = sqlite_schema.connect(path, vfs)
        try:
            self._open()
        except BaseException:
            self._connection.close(True)
            raise

    # ------------------------------------------------------------------ opening and reading

    def _open(self) -> None:
        known = sqlite_schema.recognise(self._connection, self.path)
        if known:
            self._read_all()
        sqlite_schema.prepare_for_writing(self._connection)
        if not known:
            sqlite_schema.create(self._connection)
        epoch = sqlite_schema.scalar(
            self._connection, "update fence set epoch = epoch + 1 where id = 1 returning epoch"
        )
        self.epoch = epoch

    def _read_all(self) -> None:
        """Verify every snapshot and every log row, and index them; writes nothing."""
        for journal, position, blob in self._connection.execute("select journal, position, blob from snapshot"):
            assert isinstance(journal, str)
            assert isinstance(position, int)
            self._unseal(_snapshot_place(journal, position), blob, f"the snapshot of {journal}")
            self.snapshots[journal] = position
        self.positions.update(self.snapshots)
        for journal, seq in self._connection.execute("select journal, seq from dropped"):
            assert isinstance(journal, str)
            assert isinstance(seq, int)
            self._dropped[journal] = seq
        self._seq = max(self._dropped.values(), default=0)
        for seq, blob in self._connection.execute("select seq, blob from log order by seq"):
            assert isinstance(seq, int)
            assert isinstance(blob, bytes)
            self._read_row(seq, blob)

    def _read_row(self, seq: int, blob: bytes) -> None:
        ends: dict[str, int] = {}
        for entry in self._decode_row(seq, blob):
            journal = entry.journal
            end = entry.first + len(entry.records) - 1
            position = self.positions.get(journal, 0)
            if seq <= self._dropped.get(journal, 0) or end <= position:
                continue
            if entry.first > position + 1:
                raise sqlite_schema.damaged(
                    self.path,
                    f"log row {seq} has record {entry.first} of {journal}, records {position + 1} and on are missing",
                )
            self._tails.setdefault(journal, []).extend(entry.records[position + 1 - entry.first :])
            self.positions[journal] = ends[journal] = end
        self._seq = max(self._seq, seq)
        self._note_row(seq, len(blob), ends)

    def _decode_row(self, seq: int, blob: bytes) -> list[Append]:
        what = f"log row {seq}"
        body = self._unseal(_log_place(seq), blob, what)
        try:
            return self._decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise sqlite_schema.damaged(self.path, f"{what} cannot be decoded ({error})") from error

    def _unseal(self, place: bytes, blob: object, what: str) -> memoryview:
        if not isinstance(blob, bytes):
            raise sqlite_schema.damaged(self.path, f"{what} is no blob")
        try:
            return open_sealed(place, blob, what)
        except StorageBroken as error:
            raise sqlite_schema.damaged(self.path, str(error)) from error

    def take_tail(self, journal: str) -> list[bytes]:
        """Return the records of a journal behind its snapshot as they were at opening, once."""
        return self._tails.pop(journal, [])

    def read_snapshot(self, journal: str) -> tuple[int, bytes]:
        """Return position and state of a journal's snapshot; (0, b"") when there is none."""
        position = self.snapshots.get(journal, 0)
        if position == 0:
            return 0, b""
        blob = self._connection.execute("select blob from snapshot where journal = ?", (journal,)).get
        return position, bytes(self._unseal(_snapshot_place(journal, position), blob, f"the snapshot of {journal}"))

    def read_penalty_rows(self, journal: str) -> bytes:
        """Return the penalty log of a journal, oldest row first."""
        place = _penalty_place(journal)
        rows = self._connection.execute("select blob from penalty where journal = ? order by id", (journal,))
        return b"".join(self._unseal(place, blob, f"the penalty log of {journal}") for (blob,) in rows)

    def stored_records(self, journal: str) -> dict[int, bytes]:
        """Return the records of a journal behind its snapshot by position, read from the log (slow)."""
        found: dict[int, bytes] = {}
        for seq in self.index.rows_of(journal):
            blob = self._connection.execute("select blob from log where seq = ?", (seq,)).get
            assert isinstance(blob, bytes)
            for entry in self._decode_row(seq, blob):
                if entry.journal == journal:
                    found.update(enumerate(entry.records, entry.first))
        return found

    # ------------------------------------------------------------------ writing

    def commit(self, epoch: int, group: Group) -> None:
        """Make a group durable in one transaction. Raises StorageFenced when `epoch` is no longer the file's."""
        seq, blob = self._seq + 1, self._encode(group.appends)
        if group.snapshots:
            with self._transaction(epoch):
                if group.appends:
                    self._insert(seq, blob, epoch)
                for snapshot in group.snapshots:
                    self._replace_snapshot(snapshot)
        else:
            self._insert(seq, blob, epoch)
            self.commits += 1
        if group.appends:
            self._seq = seq
            self._note_row(seq, len(blob), group.ends)
            self.positions.update(group.ends)
            self.wal_pages += len(blob) // sqlite_schema.PAGE_SIZE + 4
        for snapshot in group.snapshots:
            self.snapshots[snapshot.journal] = snapshot.position
            self._bury(self.index.cover(snapshot.journal, snapshot.position))
            self.wal_pages += (len(snapshot.state) + len(snapshot.penalty_rows)) // sqlite_schema.PAGE_SIZE + 8

    def _encode(self, appends: Sequence[Append]) -> bytearray:
        blob = bytearray(HEADER_SIZE)
        self._encoder.encode_into(appends, blob, HEADER_SIZE)
        return seal_in_place(_log_place(self._seq + 1), blob)

    def _insert(self, seq: int, blob: bytearray, epoch: int) -> None:
        self._connection.execute(_INSERT_BEHIND_FENCE, (seq, blob, epoch))
        if self._connection.changes() != 1:
            raise self._fenced(epoch)

    def _replace_snapshot(self, snapshot: Snapshot) -> None:
        journal = snapshot.journal
        if snapshot.penalty_rows:
            rows = seal(_penalty_place(journal), snapshot.penalty_rows)
            self._connection.execute("insert into penalty(journal, blob) values (?, ?)", (journal, rows))
        state = seal(_snapshot_place(journal, snapshot.position), snapshot.state)
        self._connection.execute(_REPLACE_SNAPSHOT, (journal, snapshot.position, state))

    def drop(self, epoch: int, journal: str) -> None:
        """Remove a journal and its penalty log; what other journals' log rows still hold of it is void."""
        with self._transaction(epoch):
            self._connection.execute("delete from snapshot where journal = ?", (journal,))
            self._connection.execute("delete from penalty where journal = ?", (journal,))
            self._connection.execute("insert or replace into dropped(journal, seq) values (?, ?)", (journal, self._seq))
        self._dropped[journal] = self._seq
        self.positions.pop(journal, None)
        self.snapshots.pop(journal, None)
        self._bury(self.index.forget(journal))
        self.wal_pages += 8

    @contextmanager
    def _transaction(self, epoch: int) -> Generator[None, None, None]:
        self._connection.execute("begin immediate")
        try:
            if sqlite_schema.scalar(self._connection, "select epoch from fence where id = 1") != epoch:
                raise self._fenced(epoch)
            yield
            self._connection.execute("commit")
            self.commits += 1
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("rollback")
            raise

    def _fenced(self, epoch: int) -> StorageFenced:
        return StorageFenced(
            f"{self.path} has been taken over by another process (this one wrote under epoch {epoch}): it must stop"
        )

    # ------------------------------------------------------------------ space

    def _note_row(self, seq: int, size: int, ends: dict[str, int]) -> None:
        self._sizes[seq] = size
        if ends:
            self.index.add(seq, size, ends)
        else:
            self._bury((seq,))

    def _bury(self, rows: Iterable[int]) -> None:
        self.dead.extend((seq, self._sizes.pop(seq)) for seq in rows)

    def cut(self, epoch: int, bytes_max: int) -> None:
        """Delete dead rows of the log, at most about `bytes_max` bytes of them."""
        size, taken = 0, 0
        while taken < len(self.dead) and size < bytes_max:
            size += self.dead[taken][1]
            taken += 1
        rows, kept = self.dead[:taken], self.dead[taken:]
        oldest = min([seq for seq, _ in kept], default=self._seq + 1)
        first_live = self.index.oldest()
        if first_live is not None:
            oldest = min(oldest, first_live)
        markers = [journal for journal, seq in self._dropped.items() if seq < oldest]
        with self._transaction(epoch):
            self._connection.executemany("delete from log where seq = ?", [(seq,) for seq, _ in rows])
            self._connection.executemany("delete from dropped where journal = ?", [(journal,) for journal in markers])
        self.dead = kept
        for journal in markers:
            del self._dropped[journal]
        self.wal_pages += taken + size // (64 * sqlite_schema.PAGE_SIZE) + 8

    def free_pages(self) -> tuple[int, int]:
        """Return (free, all) pages of the file."""
        return (
            sqlite_schema.scalar(self._connection, "pragma freelist_count"),
            sqlite_schema.scalar(self._connection, "pragma page_count"),
        )

    def vacuum(self, pages: int) -> None:
        """Give up to `pages` free pages back to the file system (at the next checkpoint)."""
        for _ in self._connection.execute(f"pragma incremental_vacuum({pages:d})"):
            pass
        self.commits += 1
        self.wal_pages += 2 * pages

    def checkpoint(self, *, truncate: bool) -> None:
        """Move the write-ahead log into the file; `truncate` also gives its space back."""
        mode = apsw.SQLITE_CHECKPOINT_TRUNCATE if truncate else apsw.SQLITE_CHECKPOINT_PASSIVE
        self._connection.wal_checkpoint(mode=mode)
        self.wal_pages = 0

    def close(self) -> None:
        """Close without writing anything."""
        self._connection.close(True)
