"""Power cuts under the default store: no promise is broken, and a disk that lies is noticed."""

import random

import pytest

from leyden.drivers.storage.group import Group
from leyden.ports.store import Append, Snapshot
from leyden.sim.power_cut import Cut, PowerVfs, Told, cut_now, power_cuts
from leyden.sim.power_run import StoreAtWork, cut_again, fault, history, row, run_power_cuts, state

IMAGES = 1500


def test_no_power_cut_breaks_a_promise() -> None:
    """Money depends on it: a record that was reported durable is there after any cut, the rest is a gap-free prefix."""
    lines: list[str] = []
    totals = run_power_cuts(IMAGES, lines.append)
    assert not totals.faults, lines
    assert totals.bad == 0
    assert totals.images >= IMAGES
    assert totals.again > 100, "too few second cuts to mean anything"
    assert totals.cut_points > 500
    assert lines[-1] == totals.line()
    assert " 0 bad, " in lines[-1]


@pytest.mark.slow
def test_no_power_cut_of_many_breaks_a_promise() -> None:
    """The same with many more images."""
    totals = run_power_cuts(40_000, lambda _line: None)
    assert not totals.faults


def test_disk_that_lies_about_syncing_is_noticed() -> None:
    """Negative control: if these cuts found nothing, the tests above would prove nothing."""
    cuts = list(power_cuts(history(1, sync_lies=True)[:300], random.Random(3), 2))
    assert sum(bool(fault(cut)) for cut in cuts) * 2 > len(cuts)


def test_second_cut_knows_what_was_told_before_the_first() -> None:
    """A recovery that loses what the first recovery found would go unseen otherwise."""
    last = list(power_cuts(history(1), random.Random(1), 1))[-1]
    again = cut_again(last, random.Random(1))
    assert len(again) > 20
    assert all(list(cut.told[: len(last.told)]) == list(last.told) for cut in again)
    assert not [wrong for cut in again if (wrong := fault(cut))]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (Told("epoch", "", 1000), "follows epoch 1000"),
        (Told("records", "a", 1000), "record 1000 was reported durable"),
        (Told("records", "unknown", 1), "record 1 was reported durable"),
        (Told("snapshot", "a", 1000), "snapshot of a at 1000 was reported durable"),
        (Told("snapshot", "a", 0), "penalty row 0 of a"),
        (Told("dropped", "a", 1), "a was reported dropped and is there"),
    ],
)
def test_judge_finds_each_broken_promise(told: Told, words: str) -> None:
    """A judge that overlooks one kind of loss would pass every image that has it."""
    last = list(power_cuts(history(1), random.Random(1), 1))[-1]
    assert fault(last) == ""
    assert words in fault(Cut(last.image, [*last.told, told]))


def test_judge_finds_a_damaged_file() -> None:
    """An image that does not open is a loss of everything."""
    last = list(power_cuts(history(1), random.Random(1), 1))[-1]
    damaged = {name: content[:100] + b"?" * 4000 + content[4100:] for name, content in last.image.items()}
    assert "refuses to open" in fault(Cut(damaged, last.told))


class _KeepsTheLog(PowerVfs):
    def renew(self, name: str) -> None:
        """Do nothing, as a start without `renew_log` did."""


@pytest.mark.parametrize(("disk", "loses"), [(PowerVfs, False), (_KeepsTheLog, True)])
def test_records_behind_a_failed_sync_are_not_lost_with_it(disk: type[PowerVfs], loses: bool) -> None:
    """The next life can read what the disk never got; what it writes behind that must not hang on it."""
    vfs = disk()
    try:
        store = StoreAtWork(vfs)
        store.write({"a": 3})
        store.fail_to_sync({"a": 1})
        store.write({"a": 2})
        store.file.close()
        faults = [fault(cut) for seed in range(20) for cut in cut_now(vfs.history, random.Random(seed), 1)]
    finally:
        vfs.unregister()
    assert any("was reported durable" in one or "follows epoch" in one for one in faults) == loses
    assert any(faults) == loses


def test_judge_finds_a_log_without_its_file() -> None:
    """SQLite would delete the log; the store refuses to start, and says to put the file back."""
    last = list(power_cuts(history(1), random.Random(1), 1))[-1]
    assert "a start refuses that" in fault(Cut({**last.image, "/leyden.db": b"", "/leyden.db-wal": b"log"}, last.told))


def _written_wrong(kind: str) -> Cut:
    """A store whose file is whole and holds something that no history wrote."""
    vfs = PowerVfs()
    try:
        store = StoreAtWork(vfs)
        store.write({"a": 3})
        group = Group(store.file.positions, store.file.snapshots, {}, store.file.stored_records)
        match kind:
            case "record":
                group.add_batch([Append("a", 4, [b"other"])])
            case "snapshot":
                group.add_snapshots([Snapshot("a", 2, b"other", row(2))])
            case "rows":
                group.add_snapshots([Snapshot("a", 2, state("a", 2), b"other")])
        store.file.commit(store.file.epoch, group)
        store.file.close()
        [cut] = cut_now(vfs.history, random.Random(1), 1)
        return cut
    finally:
        vfs.unregister()


@pytest.mark.parametrize(
    ("kind", "words"),
    [("record", "other records, or a gap"), ("snapshot", "has other bytes"), ("rows", "without its penalty rows")],
)
def test_judge_finds_content_that_was_never_written(kind: str, words: str) -> None:
    """A cut may leave less than was written, never something else."""
    assert words in fault(_written_wrong(kind))
