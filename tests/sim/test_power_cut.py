"""The disk below SQLite and the images of its power cuts."""

import random
from collections.abc import Iterator

import apsw
import pytest

from leyden.sim.power_cut import SECTOR, Change, Cut, Event, PowerVfs, Synced, SyncFailed, Told, cut_now, power_cuts


def images(history: list[Event], count: int, start: dict[str, bytes] | None = None) -> list[dict[str, bytes]]:
    """Images of a cut at the end of a history, with different luck."""
    return [cut.image for cut in cut_now(history, random.Random(7), count, start)]


@pytest.fixture
def vfs() -> Iterator[PowerVfs]:
    """A disk, empty."""
    disk = PowerVfs()
    yield disk
    disk.unregister()


def test_what_was_synced_is_in_every_image() -> None:
    """A disk that forgets synced bytes is broken, and nobody can build on it."""
    history: list[Event] = [Change("f"), Change("f", 0, b"old"), Synced("f"), Change("g", 0, b"lost or not")]
    assert {image["f"] for image in images(history, 50)} == {b"old"}
    assert {"g" in image for image in images(history, 50)} == {True, False}
    assert {image["h"] for image in images(history, 5, {"h": b"from before"})} == {b"from before"}


def test_unsynced_writes_are_dropped_reordered_and_torn() -> None:
    """All three happen to real disks; what none of the images shows is not tested."""
    first, second = b"1" * SECTOR * 2, b"2" * SECTOR * 2
    history: list[Event] = [Change("f"), Synced("f"), Change("f", 0, first), Change("f", 0, second)]
    seen = {image["f"] for image in images(history, 400)}
    assert {b"", first, second} <= seen, "kept or dropped whole, the later one last"
    assert b"1" * SECTOR + b"2" * SECTOR in seen, "a sector by itself"
    assert b"2" * SECTOR + b"1" * SECTOR in seen, "the earlier write landed last"
    assert b"2" * SECTOR in seen, "cut short"
    assert any(set(content) - set(b"12\0") for content in seen), "garbage where the write stopped"


def test_torn_write_spoils_nothing_outside_of_it() -> None:
    """What SQLite assumes of every disk; without it no write-ahead log could be extended."""
    history: list[Event] = [Change("f", 0, b"x" * 100), Synced("f"), Change("f", 100, b"y" * 100)]
    assert {image["f"][:100] for image in images(history, 200)} == {b"x" * 100}


def test_removal_and_truncation_may_be_lost() -> None:
    """A file that was removed may be back after a cut."""
    history: list[Event] = [
        Change("f", 0, b"12"), Synced("f"), Change("g", 0, b"34"), Synced("g"),
        Change("f", deleted=True), Change("g", size=1),
    ]  # fmt: skip
    seen = [(image.get("f"), image["g"]) for image in images(history, 200)]
    assert {one for one, _ in seen} == {None, b"12"}
    assert {one for _, one in seen} == {b"3", b"34"}


def test_removed_file_is_not_made_by_a_write_from_before() -> None:
    """Reordering must not invent states that no disk has."""
    history: list[Event] = [Change("f", 0, b"1" * 3000), Synced("f"), Change("f", 0, b"2"), Change("f", deleted=True)]
    assert {len(image.get("f", b"")) for image in images(history, 200)} == {0, 3000}
    assert images([*history, Synced("f")], 20) == [{}] * 20


def test_sync_that_failed_leaves_a_part_that_no_later_sync_brings() -> None:
    """A system may take pages for written that it could not write."""
    history: list[Event] = [
        Change("f", 0, b"1"),
        Change("f", 1, b"2"),
        SyncFailed("f"),
        Change("f", 2, b"3"),
        Synced("f"),
    ]
    seen = {cut.image["f"] for seed in range(40) for cut in cut_now(history, random.Random(seed), 1)}
    assert seen == {b"123", b"1\x003", b"\x0023", b"\x00\x003"}


def test_replacement_is_whole_and_makes_durable_what_could_only_be_read(vfs: PowerVfs) -> None:
    """It is another file, synced before it takes the name."""
    vfs.change(Change("f", 0, b"1" * 2000))
    vfs.history.append(SyncFailed("f"))
    before = len(vfs.history)
    vfs.renew("f")
    vfs.renew("none")
    assert {image["f"] for image in images(vfs.history, 20)} == {b"1" * 2000}
    pending = {image.get("f", b"") for image in images(vfs.history[before:-1], 50, {"f": b"old"})}
    assert pending == {b"old", b"1" * 2000}


def test_cuts_fall_before_and_after_each_event_and_know_what_was_told() -> None:
    """A promise counts from the moment in which it was made."""
    history: list[Event] = [Change("f", 0, b"1"), Told("records", "a", 1), Synced("f")]
    cuts = list(power_cuts(history, random.Random(1), 2))
    assert [len(cut.told) for cut in cuts] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert cuts[-1] == Cut({"f": b"1"}, [Told("records", "a", 1)])


def test_database_works_on_it_and_full_and_failing_disks_say_so(vfs: PowerVfs) -> None:
    """It stands in for a disk, so SQLite must see one."""
    connection = apsw.Connection("/db", vfs=vfs.name)
    connection.execute("create table t(x); insert into t values ('kept')")
    assert connection.execute("select x from t").get == "kept"
    vfs.room = sum(map(len, vfs.files.values()))
    with pytest.raises(apsw.FullError):
        connection.execute("insert into t values (zeroblob(100000))")
    vfs.room, vfs.sync_fails = 1 << 40, True
    with pytest.raises(apsw.IOError):
        connection.execute("insert into t values (2)")
    connection.close()
    with pytest.raises(apsw.CantOpenError):
        apsw.Connection("/none", vfs=vfs.name, flags=apsw.SQLITE_OPEN_READWRITE)


def test_disk_that_lies_keeps_nothing_apart(vfs: PowerVfs) -> None:
    """The switch with which a test of power cuts shows that it would notice."""
    vfs.sync_lies = True
    connection = apsw.Connection("/db", vfs=vfs.name)
    connection.execute("create table t(x)")
    connection.close()
    assert not [event for event in vfs.history if isinstance(event, Synced)]
    assert {} in images(vfs.history, 50)
