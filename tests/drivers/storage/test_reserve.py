"""`DiskReserve`."""

from pathlib import Path

from leyden.drivers.storage.reserve import DiskReserve
from leyden.drivers.storage.sqlite import RESERVE_BYTES, SqliteStore


def test_reserve_takes_real_space_and_gives_it_back(tmp_path: Path) -> None:
    """A sparse file would reserve nothing."""
    path = tmp_path / "reserve"
    reserve = DiskReserve(path, 1 << 20)
    assert reserve.fill()
    assert path.stat().st_blocks * 512 >= 1 << 20
    assert reserve.fill(), "it is still there"
    assert reserve.release()
    assert not path.exists()
    assert not reserve.release()


def test_no_room_for_a_reserve_is_no_error(tmp_path: Path) -> None:
    """The node runs without it; a half-filled one is not left behind."""
    path = tmp_path / "reserve"
    assert not DiskReserve(path, 1 << 60).fill()
    assert not path.exists()
    assert not DiskReserve(tmp_path / "no" / "reserve", 100).fill()
    assert not DiskReserve(path, 0).fill()
    assert not path.exists()


async def test_open_store_has_its_reserve_and_release_leaves_it_working(tmp_path: Path) -> None:
    """What `Closing` needs on a full disk must have been put aside long before."""
    store = SqliteStore(tmp_path / "leyden.db")
    await store.open()
    reserve = tmp_path / "leyden.db.reserve"
    assert reserve.stat().st_size == RESERVE_BYTES
    assert store.release_reserve()
    assert not reserve.exists()
    assert store.refill_reserve()
    assert reserve.exists()
    await store.close()


async def test_reserve_that_a_power_cut_left_short_is_whole_after_the_next_start(tmp_path: Path) -> None:
    """It is never synced: after a cut it may have any size."""
    for size in (0, 1, RESERVE_BYTES // 2):
        (tmp_path / "leyden.db.reserve").write_bytes(bytes(size))
        store = SqliteStore(tmp_path / "leyden.db")
        await store.open()
        assert (tmp_path / "leyden.db.reserve").stat().st_size == RESERVE_BYTES
        await store.close()
