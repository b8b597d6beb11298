"""What goes to and comes from a store: runs of encoded records, opaque to it."""

import msgspec


class Append(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Consecutive records of one journal.

    `first` is the position of the first record (positions count from 1 and have no gaps); `records` are encoded
    records, opaque to the store. The record at position p of a journal never changes: the same bytes at the same
    position are a success.
    """

    journal: str
    first: int
    records: list[bytes]


class Snapshot(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Encoded fold of the records 1..position of one journal; replaces them once it is durable.

    `penalty_rows` are appended to the journal's penalty log, which no load reads, durable before the records are
    dropped.
    """

    journal: str
    position: int
    state: bytes
    penalty_rows: bytes


class StoredJournal(msgspec.Struct, frozen=True, array_like=True):
    """What a load gives for one journal: the last snapshot (position 0 and empty state when none) and the tail behind
    it.
    """

    journal: str
    position: int
    state: bytes
    records: list[bytes]
