"""A small store that keeps the contract, and fifty ways to break it: each fault is caught by the rule it belongs to."""

import asyncio
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from zlib import crc32

from leyden.base.errors import StorageBroken, StorageFailed, StorageFenced, StorageUnavailable
from leyden.ports.store import Append, Appended, Completion, Snapshot, StoredJournal
from leyden.sim.store_contract import StoreMaker, Trouble

FAULTS = {
    "invents a journal": "new_place_is_empty",
    "loads backwards": "durable_records_come_back_in_order",
    "answers out of order": "batches_under_way_keep_their_order",
    "answers twice": "every_append_is_answered_once",
    "answers for the first only": "every_append_is_answered_once",
    "answers nothing": "every_append_is_answered_once",
    "names appends out of order": "every_append_is_answered_once",
    "refuses inside the call": "no_answer_comes_inside_the_call",
    "loses calls from an answer": "next_batch_may_be_given_from_an_answer",
    "refuses repeats": "same_bytes_at_a_known_position_are_a_success",
    "appends repeats again": "same_bytes_at_a_known_position_are_a_success",
    "refuses repeats under way": "repeats_of_what_is_under_way_are_a_success",
    "compares nothing": "other_bytes_at_a_known_position_are_refused",
    "overwrites": "other_bytes_at_a_known_position_are_refused",
    "takes gaps": "gap_is_refused",
    "stops after a refusal": "gap_is_refused",
    "no epoch in append": "other_epoch_is_refused",
    "no epoch in snapshot": "other_epoch_is_refused",
    "no epoch in drop": "other_epoch_is_refused",
    "takes a higher epoch": "other_epoch_is_refused",
    "calls fenced broken": "other_epoch_is_refused",
    "cuts large records": "records_may_be_empty_or_large",
    "skips empty records": "records_may_be_empty_or_large",
    "makes empty journals": "records_may_be_empty_or_large",
    "cuts large batches": "many_journals_fit_into_a_batch_and_a_place",
    "cuts names": "many_journals_fit_into_a_batch_and_a_place",
    "drops records but no snapshot": "journals_mix_over_many_lives",
    "loads what a snapshot covers": "snapshot_replaces_the_records_it_covers",
    "drops the tail behind a snapshot": "snapshot_replaces_the_records_it_covers",
    "snapshots overtake records": "snapshot_may_cover_records_under_way",
    "snapshots overtake snapshots": "youngest_snapshot_wins",
    "takes any snapshot": "snapshot_that_does_not_fit_is_refused",
    "penalty rows overwritten": "penalty_rows_grow_in_the_order_of_the_snapshots",
    "penalty rows backwards": "penalty_rows_grow_in_the_order_of_the_snapshots",
    "drop keeps penalty rows": "dropped_journal_is_gone",
    "drop of the unknown refused": "dropped_journal_is_gone",
    "drop does nothing": "dropped_journal_is_gone",
    "cleans up by name": "dropped_name_may_be_used_again",
    "epoch in memory": "epoch_rises_with_every_open",
    "no fence": "second_owner_stops_the_first_or_is_refused",
    "check, then write": "append_under_way_never_lands_behind_the_next_open",
    "reads the epoch, then writes it": "concurrent_openers_get_different_epochs",
    "lists before the fence": "load_is_not_disturbed_by_the_older_store",
    "keeps the lock of a cancelled open": "cancelled_open_leaves_the_place_free",
    "answers before it is durable": "nothing_is_reported_before_it_is_durable",
    "skips over gaps at load": "crash_leaves_a_prefix_of_each_journal",
    "loads torn records": "crash_leaves_a_prefix_of_each_journal",
    "does not open after a tear": "crash_leaves_a_prefix_of_each_journal",
    "leaves what is behind a gap": "lost_tail_does_not_come_back",
    "records go before the snapshot": "crash_keeps_the_records_or_their_snapshot",
    "penalty rows come last": "crash_keeps_the_records_or_their_snapshot",
    "snapshot answered early": "crash_keeps_the_records_or_their_snapshot",
    "drops in two steps": "crash_in_a_drop_leaves_all_or_nothing",
    "drop answered early": "crash_in_a_drop_leaves_all_or_nothing",
    "epoch durable later": "crash_never_takes_an_epoch_back",
    "calls transient final": "transient_failure_can_be_repeated",
    "calls failure success": "transient_failure_can_be_repeated",
    "calls a hole a gap": "nothing_overtakes_a_refused_append",
    "writes over a hole": "nothing_overtakes_a_refused_append",
    "goes on after a final failure": "final_failure_is_final",
    "calls final transient": "final_failure_is_final",
    "close loses what is under way": "close_finishes_what_was_given",
    "close does not wait": "close_finishes_what_was_given",
}
"""Faults, and the rule that catches each."""


@dataclass
class Write:
    """One call under way."""

    epoch: int
    answer: Completion
    appends: list[Append] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    drop: str = ""


def sealed(record: bytes) -> bytes:
    """A record as it lies on the disk."""
    return crc32(record).to_bytes(4, "big") + record


def whole(row: bytes) -> bool:
    """Whether a row is not torn."""
    return crc32(row[4:]).to_bytes(4, "big") == row[:4]


@dataclass
class Disk:
    """What is durable, and what is under way."""

    epoch: int = 0
    durable_epoch: int = 0
    rows: dict[str, dict[int, bytes]] = field(default_factory=dict)
    snapshots: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    penalty: dict[str, bytes] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    under_way: list[Write] = field(default_factory=list)
    locked: bool = False

    def copy(self) -> "Disk":
        """What a crash leaves when nothing under way is kept."""
        rows = {name: dict(kept) for name, kept in self.rows.items()}
        return Disk(
            self.durable_epoch, self.durable_epoch, rows, dict(self.snapshots), dict(self.penalty), list(self.dropped)
        )

    def position(self, journal: str) -> int:
        """Where the snapshot is."""
        return self.snapshots.get(journal, (0, b""))[0]

    def end(self, journal: str) -> int:
        """The last record behind which there is a gap, or nothing."""
        last = self.position(journal)
        rows = self.rows.get(journal, {})
        while last + 1 in rows and whole(rows[last + 1]):
            last += 1
        return last


class FaultyStore:
    """A store over a `Disk` that writes one call each turn; `fault` is what is wrong with it, or nothing."""

    def __init__(self, place: "Place") -> None:
        self.place = place
        self.disk = place.disk
        self.fault = place.fault
        self.epoch = 0
        self.listing: Disk | None = None
        self.broken: StorageFailed | None = None
        self.holes: dict[str, int] = {}
        self.answering = False
        self.queue: list[Write] = []
        self.swapped: list[Callable[[], None]] = []

    # --- opening

    async def open(self) -> int:
        disk = self.disk
        if self.fault == "keeps the lock of a cancelled open":
            if disk.locked:
                raise StorageFenced("locked")
            disk.locked = True
        if self.fault == "lists before the fence":
            self.listing = disk.copy()
        if self.fault == "reads the epoch, then writes it":
            self.epoch = disk.epoch + 1
            await asyncio.sleep(0)
            disk.epoch = disk.durable_epoch = self.epoch
            return self.epoch
        for _ in range(3):
            await asyncio.sleep(0)
        self.epoch = disk.epoch + 1
        if self.fault != "epoch in memory":
            disk.epoch = self.epoch
        if self.fault != "epoch durable later":
            disk.durable_epoch = disk.epoch
        if self.fault == "cleans up by name":
            for name in disk.dropped:
                disk.rows.pop(name, None)
            disk.dropped = []
        if self.fault not in (
            "leaves what is behind a gap",
            "skips over gaps at load",
            "takes gaps",
            "loads torn records",
        ):
            self._forget_lost_tails()
        return self.epoch

    def _forget_lost_tails(self) -> None:
        for name, rows in self.disk.rows.items():
            end = self.disk.end(name)
            torn = [place for place, row in rows.items() if not whole(row)]
            if torn and self.fault == "does not open after a tear":
                raise StorageBroken(f"{name} has a torn record {torn[0]}")
            for place in [place for place in rows if place > end]:
                del rows[place]

    def load(self) -> Iterator[StoredJournal]:
        disk = self.listing or self.disk
        names = sorted({*disk.rows, *disk.snapshots})
        if not names and self.fault == "invents a journal":
            yield StoredJournal("node", 0, b"", [])
        for name in names:
            position, state = disk.snapshots.get(name, (0, b""))
            rows = disk.rows.get(name, {})
            first = 1 if self.fault == "loads what a snapshot covers" else position + 1
            last = disk.end(name)
            if self.fault in ("skips over gaps at load", "takes gaps", "loads torn records"):
                last = max(rows, default=position)
            records = [rows[place][4:] for place in range(first, last + 1) if place in rows]
            if self.fault == "loads backwards":
                records.reverse()
            if records or position or self.fault == "makes empty journals":
                yield StoredJournal(name, position, state, records)

    # --- calls

    def append(self, epoch: int, batch: Sequence[Append], on_durable: Appended) -> None:
        answer: Completion = partial(on_durable, batch)
        match self.fault:
            case "answers for the first only":
                answer = partial(on_durable, batch[:1])
            case "names appends out of order":
                answer = partial(on_durable, batch[::-1])
            case "refuses repeats under way":
                for one in batch:
                    if self.disk.end(one.journal) < one.first <= self._given_end(one.journal):
                        asyncio.get_running_loop().call_soon(answer, StorageBroken("not yet"))
                        return
        self._take(Write(epoch, answer, appends=list(batch)))

    def snapshot(self, epoch: int, snapshots: Sequence[Snapshot], on_durable: Completion) -> None:
        self._take(Write(epoch, on_durable, snapshots=list(snapshots)))

    def drop(self, epoch: int, journal: str, on_durable: Completion) -> None:
        self._take(Write(epoch, on_durable, drop=journal))

    def penalty_rows(self, journal: str) -> bytes:
        return self.disk.penalty.get(journal, b"")

    async def close(self) -> None:
        if self.fault == "close loses what is under way":
            self._forget(self.queue)
        while self.queue and self.fault != "close does not wait":  # noqa: ASYNC110 - each turn writes one
            await asyncio.sleep(0)
        if self.epoch == self.disk.epoch:
            self.disk.locked = False

    def _given_end(self, journal: str) -> int:
        given = [one.first + len(one.records) - 1 for w in self.queue for one in w.appends if one.journal == journal]
        return max(given, default=0)

    def _take(self, write: Write) -> None:
        if self.fault == "loses calls from an answer" and self.answering:
            return
        if self.fault == "refuses inside the call" and write.epoch != self.epoch:
            write.answer(StorageFenced("old"))
            return
        if self.fault == "check, then write" and write.epoch != self.disk.epoch:
            asyncio.get_running_loop().call_soon(write.answer, StorageFenced("old"))
            return
        place = len(self.queue)
        if write.snapshots and self.fault == "snapshots overtake records":
            place = 0
        if write.snapshots and self.fault == "snapshots overtake snapshots":
            place = next((i for i, other in enumerate(self.queue) if other.snapshots), place)
        self.queue.insert(place, write)
        self.disk.under_way.append(write)
        if len(self.queue) == 1:
            asyncio.get_running_loop().call_soon(self._step)

    def _forget(self, writes: list[Write]) -> None:
        for write in list(writes):
            writes.remove(write)
            if write in self.disk.under_way:
                self.disk.under_way.remove(write)

    # --- writing

    def _step(self) -> None:
        if not self.queue:
            return
        write = self.queue[0]
        failure = self._refusal(write)
        kind = "drop" if write.drop else "snapshot" if write.snapshots else "append"
        early = self.fault in ("answers before it is durable", f"{kind} answered early")
        if failure is None and early:
            self._answer(write, None)
        if failure is None:
            for _ in steps(self.disk, write, self.fault):
                pass
            self.disk.durable_epoch = self.disk.epoch = max(self.disk.epoch, self.epoch)
        self._forget(self.queue[:1])
        self.queue.pop(0)
        if failure is not None or not early:
            self._answer(write, failure)
        if self.queue:
            asyncio.get_running_loop().call_soon(self._step)

    def _answer(self, write: Write, failure: StorageFailed | None) -> None:
        if self.fault == "answers nothing":
            return
        if self.fault == "answers out of order":
            self.swapped.append(partial(write.answer, failure))
            if len(self.swapped) == 2 or not self.queue:
                while self.swapped:
                    self.swapped.pop()()
            return
        self.answering = True
        write.answer(failure)
        if self.fault == "answers twice":
            write.answer(failure)
        self.answering = False

    def _refusal(self, write: Write) -> StorageFailed | None:
        return self._fenced(write) or self._in_trouble(write) or self._misfit(write)

    def _fenced(self, write: Write) -> StorageFailed | None:
        kind = "append" if write.appends else "snapshot" if write.snapshots else "drop"
        if self.fault in ("check, then write", "epoch in memory", f"no epoch in {kind}"):
            return None
        right = self.epoch if self.fault == "no fence" else self.disk.epoch
        wrong = write.epoch < right if self.fault == "takes a higher epoch" else write.epoch != right
        if not wrong:
            return None
        return StorageBroken("old") if self.fault == "calls fenced broken" else StorageFenced("old")

    def _in_trouble(self, write: Write) -> StorageFailed | None:
        match self.place.kind:
            case Trouble.TRANSIENT:
                if self.fault == "calls failure success":
                    self._forget(self.queue[1:])
                    write.appends, write.snapshots = [], []
                    return None
                for one in write.appends:
                    self.holes[one.journal] = min(one.first, self.holes.get(one.journal, one.first))
                return StorageBroken("full") if self.fault == "calls transient final" else StorageUnavailable("full")
            case Trouble.FINAL:
                self.broken = StorageBroken("lost")
                return StorageUnavailable("lost") if self.fault == "calls final transient" else self.broken
            case Trouble.NONE:
                return None if self.fault == "goes on after a final failure" else self.broken

    def _misfit(self, write: Write) -> StorageFailed | None:
        ends: dict[str, int] = {}
        for one in write.appends:
            failure = self._append_misfit(one, ends.get(one.journal, self.disk.end(one.journal)), ends)
            if failure is not None:
                if self.fault == "stops after a refusal":
                    self.broken = failure
                return failure
        covered: dict[str, int] = {}
        for snap in write.snapshots:
            low = covered.get(snap.journal, self.disk.position(snap.journal))
            fits = max(low, 1) <= snap.position <= self.disk.end(snap.journal)
            if not fits and self.fault not in ("takes any snapshot", "snapshots overtake snapshots"):
                return StorageBroken("does not fit")
            covered[snap.journal] = snap.position
        if self.fault == "drop of the unknown refused" and write.drop and write.drop not in self.disk.rows:
            return StorageBroken("unknown")
        return None

    def _append_misfit(self, one: Append, end: int, ends: dict[str, int]) -> StorageFailed | None:
        if one.first > self.holes.get(one.journal, one.first) and self.fault != "writes over a hole":
            return StorageBroken("gap") if self.fault == "calls a hole a gap" else StorageUnavailable("hole")
        self.holes.pop(one.journal, None)
        if one.first > end + 1 and self.fault not in ("takes gaps", "writes over a hole"):
            return StorageBroken("gap")
        rows = self.disk.rows.get(one.journal, {})
        for place, record in enumerate(one.records, one.first):
            if place > end:
                continue
            if self.fault == "refuses repeats":
                return StorageBroken("known")
            if rows.get(place) != sealed(record) and self.fault not in ("compares nothing", "overwrites"):
                if any(other.journal == one.journal and other is not one for other in self.queue[0].appends):
                    continue  # it repeats another append of its own batch
                return StorageBroken("other bytes")
        ends[one.journal] = max(end, one.first + len(one.records) - 1)
        return None


def steps(disk: Disk, write: Write, fault: str) -> Generator[None, None, None]:
    """Carry a write out; a crash may come at each yield."""
    appends = write.appends[:100] if fault == "cuts large batches" else write.appends
    for one in appends:
        name = one.journal[:60] if fault == "cuts names" else one.journal
        if one.records or fault == "makes empty journals":
            rows = disk.rows.setdefault(name, {})
            for place, record in enumerate(one.records, one.first):
                kept = record[: 1 << 20] if fault == "cuts large records" else record
                if fault == "skips empty records" and not kept:
                    continue
                if fault == "appends repeats again" and place in rows:
                    place = max(rows) + 1  # noqa: PLW2901
                if fault != "compares nothing" or place not in rows:
                    rows[place] = sealed(kept)
                    yield
    for snap in write.snapshots:
        yield from _replace(disk, snap, fault)
    if write.drop:
        yield from _drop(disk, write.drop, fault)


def _replace(disk: Disk, snap: Snapshot, fault: str) -> Generator[None, None, None]:
    name = snap.journal
    rows = disk.rows.setdefault(name, {})

    def add_penalty_rows() -> None:
        older = b"" if fault == "penalty rows overwritten" else disk.penalty.get(name, b"")
        both = snap.penalty_rows + older if fault == "penalty rows backwards" else older + snap.penalty_rows
        disk.penalty[name] = both

    def delete_records() -> None:
        for place in [p for p in rows if p <= snap.position or fault == "drops the tail behind a snapshot"]:
            if fault != "loads what a snapshot covers":
                del rows[place]

    if fault != "penalty rows come last":
        add_penalty_rows()
        yield
    if fault == "records go before the snapshot":
        delete_records()
        yield
    disk.snapshots[name] = (snap.position, snap.state)
    yield
    delete_records()
    yield
    if fault == "penalty rows come last":
        add_penalty_rows()


def _drop(disk: Disk, name: str, fault: str) -> Generator[None, None, None]:
    if fault == "drop does nothing":
        return
    if fault == "drops in two steps":
        disk.penalty.pop(name, None)
        yield
    disk.rows.pop(name, None)
    if fault != "drops records but no snapshot":
        disk.snapshots.pop(name, None)
    if fault != "drop keeps penalty rows":
        disk.penalty.pop(name, None)
    disk.dropped.append(name)


class Place(StoreMaker):
    """A disk with everything that can go wrong with one."""

    answer_seconds = 0.3

    def __init__(self, fault: str = "", disk: Disk | None = None) -> None:
        self.fault = fault
        self.disk = disk or Disk()
        self.kind = Trouble.NONE

    def store(self) -> FaultyStore:
        return FaultyStore(self)

    def trouble(self, kind: Trouble) -> bool:
        self.kind = kind
        return True

    def crashes(self) -> Iterable[StoreMaker]:
        return [Place(self.fault, disk) for disk in self._images()]

    def _images(self) -> Iterator[Disk]:
        """Nothing, a part, all of the next write; the one behind it without it; a torn record."""
        writes = self.disk.under_way
        yield self.disk.copy()
        if not writes:
            return
        image = self.disk.copy()
        for _ in steps(image, writes[0], self.fault):
            yield image.copy()
        yield image.copy()
        if len(writes) > 1 and writes[0].appends and writes[1].appends:
            early = self.disk.copy()
            for _ in steps(early, writes[1], self.fault):
                pass
            yield early
        if writes[0].appends and writes[0].appends[0].records:
            one = writes[0].appends[0]
            torn = self.disk.copy()
            torn.rows.setdefault(one.journal, {})[one.first] = sealed(one.records[0])[:-1]
            yield torn
