"""Which rows of the shared log are still needed, and by which journals.

A log row holds records of many journals. It can go when each of them has a snapshot that covers what the row has of it.
"""

from collections import deque
from collections.abc import Mapping


class LogIndex:
    """Pins of the log's rows, kept in memory. Not thread-safe."""

    def __init__(self) -> None:
        self._rows: dict[int, list[int]] = {}
        self._tails: dict[str, deque[tuple[int, int]]] = {}
        self.live_bytes = 0

    def add(self, seq: int, size: int, ends: Mapping[str, int]) -> None:
        """Note row `seq` (above all earlier ones) of `size` bytes that holds records up to position `ends[journal]`."""
        self._rows[seq] = [len(ends), size]
        self.live_bytes += size
        for journal, end in ends.items():
            tail = self._tails.get(journal)
            if tail is None:
                tail = self._tails[journal] = deque()
            tail.append((seq, end))

    def cover(self, journal: str, position: int) -> list[int]:
        """Note a snapshot at `position`; return the rows that nobody needs any more."""
        tail = self._tails.get(journal)
        dead: list[int] = []
        while tail and tail[0][1] <= position:
            self._unpin(tail.popleft()[0], dead)
        if tail is not None and not tail:
            del self._tails[journal]
        return dead

    def forget(self, journal: str) -> list[int]:
        """Note that a journal is dropped; return the rows that nobody needs any more."""
        dead: list[int] = []
        for seq, _ in self._tails.pop(journal, ()):
            self._unpin(seq, dead)
        return dead

    def oldest(self) -> int | None:
        """Return the first row that is still needed."""
        return next(iter(self._rows), None)

    def rows_of(self, journal: str) -> list[int]:
        """Return the rows that hold records of a journal behind its snapshot, oldest first."""
        return [seq for seq, _ in self._tails.get(journal, ())]

    def laggards(self) -> list[tuple[str, int]]:
        """Return every journal that pins rows with the bytes it pins, the most first."""
        pinned = [(journal, sum(self._rows[seq][1] for seq, _ in tail)) for journal, tail in self._tails.items()]
        pinned.sort(key=lambda entry: (-entry[1], entry[0]))
        return pinned

    def _unpin(self, seq: int, dead: list[int]) -> None:
        row = self._rows[seq]
        row[0] -= 1
        if row[0] == 0:
            del self._rows[seq]
            self.live_bytes -= row[1]
            dead.append(seq)
