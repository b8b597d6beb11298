"""One commit in the making: batches whose positions fit, joined."""

from collections.abc import Callable, Mapping, Sequence

from leyden.base.errors import StorageBroken, StorageUnavailable
from leyden.ports.store import Append, Snapshot


class Group:
    """Batches and snapshots that become durable together.

    Each of these maps journals to positions: `durable` to the last durable record, `replaced` to the snapshot,
    `refused` to the last record offered in vain (what follows it has to wait and is no gap). `stored` reads the records
    of a journal behind its snapshot (slow; only called for a batch that repeats something).
    """

    __slots__ = ("_covered", "_durable", "_refused", "_replaced", "_stored", "appends", "ends", "snapshots")

    def __init__(
        self,
        durable: Mapping[str, int],
        replaced: Mapping[str, int],
        refused: Mapping[str, int],
        stored: Callable[[str], dict[int, bytes]],
    ) -> None:
        self._durable = durable
        self._replaced = replaced
        self._refused = refused
        self._stored = stored
        self._covered: dict[str, int] = {}
        self.appends: list[Append] = []
        self.ends: dict[str, int] = {}
        """Last position of each journal that this group moves."""
        self.snapshots: list[Snapshot] = []

    def add_batch(self, batch: Sequence[Append]) -> None:
        """Take a batch whole, or raise and take nothing of it.

        Raises StorageUnavailable behind a batch that failed; StorageBroken for a gap, or for other bytes at a position
        that is taken.
        """
        ends: dict[str, int] = {}
        taken: list[Append] = []
        for append in batch:
            end = ends.get(append.journal)
            if end is None:
                end = self._end(append.journal)
            if append.first <= end and append.records:
                append = self._without_repeat(append, end, taken)  # noqa: PLW2901
            if append.first != end + 1:
                self._check_not_waited_for(append.journal, append.first - 1)
                raise StorageBroken(f"{append.journal} ends at record {end}, record {append.first} was offered next")
            if append.records:
                ends[append.journal] = end + len(append.records)
                taken.append(append)
        self.appends += taken
        self.ends.update(ends)

    def add_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        """Take snapshots, or raise StorageBroken and take none: behind an earlier one, or of records that are not
        there.
        """
        covered: dict[str, int] = {}
        for snapshot in snapshots:
            journal = snapshot.journal
            low = covered.get(journal, self._covered.get(journal, self._replaced.get(journal, 0)))
            high = self._end(journal)
            if not max(low, 1) <= snapshot.position <= high:
                self._check_not_waited_for(journal, snapshot.position)
                raise StorageBroken(
                    f"{journal} has records up to {high} and a snapshot at {low}: "
                    f"a snapshot at {snapshot.position} does not fit"
                )
            covered[journal] = snapshot.position
        self._covered.update(covered)
        self.snapshots += snapshots

    def _check_not_waited_for(self, journal: str, position: int) -> None:
        if self._end(journal) < position <= self._refused.get(journal, 0):
            raise StorageUnavailable(f"an earlier write of {journal} failed: give the batches again, in order")

    def _end(self, journal: str) -> int:
        end = self.ends.get(journal)
        return self._durable.get(journal, 0) if end is None else end

    def _without_repeat(self, append: Append, end: int, taken: Sequence[Append]) -> Append:
        known = self._stored(append.journal)
        for earlier in (*self.appends, *taken):
            if earlier.journal == append.journal:
                known.update(enumerate(earlier.records, earlier.first))
        repeated = min(end + 1 - append.first, len(append.records))
        for position, record in enumerate(append.records[:repeated], append.first):
            if known.get(position) != record:
                raise StorageBroken(
                    f"record {position} of {append.journal} is stored with other bytes, or is behind a snapshot"
                )
        if repeated == len(append.records):
            return Append(append.journal, end + 1, [])
        return Append(append.journal, end + 1, append.records[repeated:])
