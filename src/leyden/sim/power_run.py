"""Power cuts under the default store: does every image open at a state that had been reported durable, or later?

A store works through a random mixture of all it can do. At every cut its disk leaves images (`power_cut`); each is
opened as a start would open it. Some are worked on and cut a second time, in the recovery or soon after.
"""

import itertools
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import apsw
import msgspec

from leyden.base.errors import StorageBroken
from leyden.drivers.storage.group import Group
from leyden.drivers.storage.sqlite_file import SqliteFile
from leyden.ports.store import Append, Snapshot
from leyden.sim.power_cut import Cut, Event, PowerVfs, Told, power_cuts
from leyden.sim.power_small import small_file_cuts, small_file_fault

PATH = Path("/leyden.db")

_IMAGES_PER_CUT = 2
_STEPS = 40
"""Of one history: some 900 cuts."""

_IMAGES_OF_SMALL_FILES = 4

_AGAIN_EVERY = 97
"""One image of so many is worked on and cut again."""

_FAULTS_SHOWN = 5


class PowerCutTotals(msgspec.Struct):
    """What a run has seen. histories: different runs of the store; again: images of a second cut among `images`."""

    histories: int = 0
    cut_points: int = 0
    images: int = 0
    again: int = 0
    bad: int = 0
    seconds: float = 0.0
    faults: list[str] = []

    def line(self) -> str:
        """Return the figures as one sentence."""
        rate = int(self.images / self.seconds) if self.seconds else 0
        return (
            f"{self.images:,} images of {self.cut_points:,} power cuts in {self.histories} histories "
            f"({self.again:,} of a second cut): {self.bad:,} bad, {rate:,} a second"
        )


def record(journal: str, position: int) -> bytes:
    """Return the record that a history writes at a position."""
    return f"{journal} {position} ".encode() * (1 + position * 37 % 90)


def state(journal: str, position: int) -> bytes:
    """Return the snapshot that a history writes at a position."""
    return f"state of {journal} at {position} ".encode() * 300


def row(position: int) -> bytes:
    """Return the penalty row that a history writes with a snapshot."""
    return b"<%d>" % position


class StoreAtWork:
    """A store file on a power-cut disk; what its callers are told goes into the history beside the disk's operations.

    ends: last position of each journal, durable or not.
    """

    def __init__(self, vfs: PowerVfs) -> None:
        self.vfs = vfs
        self.ends: dict[str, int] = {}
        self.start()

    def start(self) -> None:
        """Begin a life."""
        self.vfs.renew(str(PATH) + "-wal")
        self.file = SqliteFile(PATH, self.vfs.name)
        self.ends = dict(self.file.positions)
        self._tell("epoch", "", self.file.epoch)

    def restart(self) -> None:
        """End a life and begin the next."""
        self.file.close()
        self.vfs.room = 1 << 40
        self.start()

    def write(self, counts: dict[str, int], snapshots: Sequence[str] = ()) -> None:
        """Append so many records to each journal, and snapshots of journals at their ends, in one commit."""
        group = Group(self.file.positions, self.file.snapshots, {}, self.file.stored_records)
        ends = dict(self.ends)
        for journal, count in counts.items():
            first = ends.get(journal, 0) + 1
            ends[journal] = first + count - 1
            group.add_batch([Append(journal, first, [record(journal, first + i) for i in range(count)])])
        group.add_snapshots(
            [Snapshot(name, ends[name], state(name, ends[name]), row(ends[name])) for name in snapshots]
        )
        self.file.commit(self.file.epoch, group)
        self.ends = ends
        for journal in counts:
            self._tell("records", journal, ends[journal])
        for journal in snapshots:
            self._tell("snapshot", journal, ends[journal])

    def drop(self, journal: str) -> None:
        """Drop a journal."""
        self._tell("dropping", journal, 1)
        self.file.drop(self.file.epoch, journal)
        del self.ends[journal]
        self._tell("dropped", journal, 1)

    def fail_to_sync(self, counts: dict[str, int]) -> None:
        """Write to a disk that fails to sync, or move the log if there is nothing; the next life begins at once."""
        self.vfs.sync_fails = True
        try:
            if counts:
                self.write(counts)
            else:
                self.file.checkpoint(truncate=False)
        except apsw.IOError:
            pass
        finally:
            self.vfs.sync_fails = False
        self.restart()

    def _tell(self, promise: str, journal: str, position: int) -> None:
        self.vfs.history.append(Told(promise, journal, position))


def work(store: StoreAtWork, chance: random.Random, steps: int, prefix: str) -> None:
    """Let a store do `steps` of all it can do, in a random order. prefix: of the names of journals to be dropped."""
    names = itertools.count()
    for _ in range(steps):
        # The disk is nearly full at times: a step may fail in the middle, and another one comes.
        used = sum(map(len, store.vfs.files.values()))
        store.vfs.room = used + chance.randrange(40_000) if chance.random() < 0.2 else 1 << 40
        with suppress(apsw.FullError):
            _step(store, chance, f"{prefix}{next(names)}", prefix)
    store.vfs.room = 1 << 40


def _step(store: StoreAtWork, chance: random.Random, name: str, prefix: str) -> None:
    file = store.file
    match chance.randrange(12):
        case 0 | 1 | 2:
            store.write({a: chance.randrange(1, 4) for a in ("a", "b") if chance.random() < 0.7} or {"a": 1})
        case 3:
            store.write({"b": 40, name: 1})
        case 4 | 5:
            store.write({"a": 1}, [one for one in sorted(store.ends) if chance.random() < 0.6])
        case 6:
            store.fail_to_sync({"a": chance.randrange(1, 30)} if chance.random() < 0.7 else {})
        case 7:
            passing = [one for one in sorted(store.ends) if one.startswith(prefix)]
            if passing:
                store.drop(chance.choice(passing))
        case 8:
            file.cut(file.epoch, 1 << 20)
        case 9:
            file.cut(file.epoch, 1 << 20)
            file.vacuum(64)
        case 10:
            file.checkpoint(truncate=chance.random() < 0.3)
        case _:
            store.restart()


def history(seed: int, *, sync_lies: bool = False) -> list[Event]:
    """Return what one store does to its disk, from the making of the file on, and what it tells its callers.

    sync_lies: on a disk that syncs nothing, on which a judge must find fault.
    """
    vfs = PowerVfs()
    vfs.sync_lies = sync_lies
    try:
        store = StoreAtWork(vfs)
        work(store, random.Random(seed), _STEPS, "c")
        store.file.close()
        return vfs.history
    finally:
        vfs.unregister()


def fault(cut: Cut) -> str:
    """Return what is wrong with the store that a cut left; empty when every promise is kept."""
    wal, content = PATH.with_name(PATH.name + "-wal"), cut.image.get(str(PATH))
    if cut.image.get(str(wal)) and not content:
        return f"{PATH.name} is empty and its log is not: a start refuses that"
    vfs = PowerVfs(cut.image)
    try:
        try:
            file = SqliteFile(PATH, vfs.name)
        except (StorageBroken, apsw.Error) as error:
            return f"the store refuses to open: {error}"
        try:
            return _broken_promise(file, cut.told) or _broken_content(file)
        finally:
            file.close()
    finally:
        vfs.unregister()


def _broken_promise(file: SqliteFile, told: Sequence[Told]) -> str:
    ended = {one.journal for one in told if one.promise == "dropping"}
    for one in told:
        journal, position = one.journal, one.position
        match one.promise:
            case "epoch":
                if file.epoch <= position:
                    return f"epoch {file.epoch} follows epoch {position}"
            case "records" if journal not in ended and file.positions.get(journal, 0) < position:
                return f"{journal} ends at {file.positions.get(journal, 0)}, record {position} was reported durable"
            case "snapshot" if journal not in ended:
                if file.snapshots.get(journal, 0) < position:
                    return f"the snapshot of {journal} at {position} was reported durable and is gone"
                if row(position) not in file.read_penalty_rows(journal):
                    return f"penalty row {position} of {journal} was reported durable and is gone"
            case "dropped" if journal in file.positions or file.read_penalty_rows(journal):
                return f"{journal} was reported dropped and is there"
            case _:
                pass
    return ""


def _broken_content(file: SqliteFile) -> str:
    for journal, end in file.positions.items():
        position, content = file.read_snapshot(journal)
        if position and content != state(journal, position):
            return f"the snapshot of {journal} at {position} has other bytes"
        tail = file.take_tail(journal)
        if tail != [record(journal, place) for place in range(position + 1, end + 1)]:
            return f"the tail of {journal} behind {position} has other records, or a gap"
        rows = file.read_penalty_rows(journal)
        if position and not rows.endswith(row(position)):
            return f"{journal} has a snapshot at {position} without its penalty rows, or in another order"
    return ""


def cut_again(cut: Cut, chance: random.Random) -> list[Cut]:
    """Open an image, work on it a little, and return the images of cuts from its recovery on."""
    vfs = PowerVfs(cut.image)
    try:
        store = StoreAtWork(vfs)
        work(store, chance, 4, "d")
        store.file.close()
        return [Cut(one.image, [*cut.told, *one.told]) for one in power_cuts(vfs.history, chance, 1, cut.image)]
    finally:
        vfs.unregister()


def run_power_cuts(images: int, report: Callable[[str], None]) -> PowerCutTotals:
    """Judge `images` images, of as many histories as that takes, and some hundreds of the small files beside the store.

    report: takes a sentence for each history, with the figures so far, and for each of the first faults.
    """
    totals = PowerCutTotals()
    start = perf_counter()
    _run_small_files(totals, report)
    for seed in itertools.count(1):
        if totals.images >= images:
            break
        _run_history(seed, images, totals, report)
        totals.seconds = perf_counter() - start
        report(totals.line())
    return totals


def _run_small_files(totals: PowerCutTotals, report: Callable[[str], None]) -> None:
    with TemporaryDirectory() as written, TemporaryDirectory() as read:
        cuts = small_file_cuts(Path(written), random.Random(0), _IMAGES_OF_SMALL_FILES)
        totals.histories += 1
        totals.cut_points += len(cuts) // _IMAGES_OF_SMALL_FILES
        for number, cut in enumerate(cuts):
            where = f"mark and key, cut {number // _IMAGES_OF_SMALL_FILES}"
            _count(small_file_fault(cut, Path(read)), where, totals, report)


def _run_history(seed: int, images: int, totals: PowerCutTotals, report: Callable[[str], None]) -> None:
    chance = random.Random(seed)
    totals.histories += 1
    for number, cut in enumerate(power_cuts(history(seed), chance, _IMAGES_PER_CUT)):
        point, image = divmod(number, _IMAGES_PER_CUT)
        where = f"history {seed}, cut {point}, image {image}"
        totals.cut_points += image == 0
        bad = _count(fault(cut), where, totals, report)
        if number % _AGAIN_EVERY == 0 and not bad:
            again = cut_again(cut, chance)
            totals.cut_points += len(again)
            totals.again += len(again)
            for later, one in enumerate(again):
                _count(fault(one), f"{where}, second cut {later}", totals, report)
        if totals.images >= images:
            return


def _count(wrong: str, where: str, totals: PowerCutTotals, report: Callable[[str], None]) -> bool:
    totals.images += 1
    if wrong:
        totals.bad += 1
        if len(totals.faults) < _FAULTS_SHOWN:
            totals.faults.append(f"{where}: {wrong}")
            report(f"BAD {where}: {wrong}")
    return bool(wrong)
