"""One commit in the making: batches whose positions fit, joined."""

from collections.abc import Callable, Mapping, Sequence

from leyden.base.errors import StorageBroken
from leyden.ports.store import Append, Snapshot


class Group:
    """Batches and snapshots that become durable together.

    `durable` maps each journal to its last durable position, `replaced` to the position of its snapshot, `stored` reads
    the records of a journal behind its snapshot (slow; only called for a batch that repeats something).
    """

    __slots__ = ("_covered", "_durable", "_replaced", "_stored", "appends", "ends", "snapshots")

    def __init__(
        self, durable: Mapping[str, int], replaced: Mapping[str, int], stored: Callable[[str], dict[int, bytes]]
    ) -> None:
        self._durable = durable
        self._replaced = replaced
        self._stored = stored
        self._covered: dict[str, int] = {}
        self.appends: list[Append] = []
        self.ends: dict[str, int] = {}
        """Last position of each journal that this group moves."""
        self.snapshots: list[Snapshot] = []

    def add_batch(self, batch: Sequence[Append]) -> None:
        """Take a batch whole, or raise StorageBroken and take nothing of it: a gap, or other bytes at a position that
        is taken.
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
                raise StorageBroken(
                    f"{journal} has records up to {high} and a snapshot at {low}: "
                    f"a snapshot at {snapshot.position} does not fit"
                )
            covered[journal] = snapshot.position
        self._covered.update(covered)
        self.snapshots += snapshots

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
