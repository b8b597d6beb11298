"""A journal as the models see it: records in order, of which a prefix is durable."""

from collections.abc import Iterator
from itertools import product
from typing import Generic, NamedTuple, TypeVar

Record = TypeVar("Record")
Other = TypeVar("Other")


class Journal(NamedTuple, Generic[Record]):
    """A value. durable: how many of the records the store has reported durable."""

    records: tuple[Record, ...] = ()
    durable: int = 0

    @property
    def kept(self) -> tuple[Record, ...]:
        """The records that no crash can take."""
        return self.records[: self.durable]

    @property
    def waits(self) -> bool:
        """Whether the store has something to do."""
        return self.durable < len(self.records)

    @property
    def end(self) -> int:
        """The position of the last record."""
        return len(self.records)

    def add(self, *records: Record) -> "Journal[Record]":
        """Append."""
        return Journal(self.records + records, self.durable)

    def written(self) -> "Journal[Record]":
        """Everything is durable. That it was not all at once is a commit before the last records were appended."""
        return Journal(self.records, len(self.records))

    def crashed(self) -> "Iterator[Journal[Record]]":
        """Yield what a crash may leave: every prefix that holds what is durable."""
        for length in range(self.durable, len(self.records) + 1):
            yield Journal(self.records[:length], length)


def crashed_both(a: Journal[Record], b: Journal[Other]) -> Iterator[tuple[Journal[Record], Journal[Other]]]:
    """Yield what a crash may leave of two journals: no prefix of one says anything about the other."""
    yield from product(a.crashed(), b.crashed())


def names(journal: Journal[Record]) -> str:
    """Return the records in words, for schedules."""
    return "[" + ", ".join([str(record) for record in journal.records]) + "]"
