"""The second place."""

from pathlib import Path

import pytest

from leyden.base.errors import StorageBroken
from leyden.drivers.markfile import Mark, MarkFile


def test_mark_comes_back_and_the_last_one_counts(tmp_path: Path) -> None:
    """It tells an old copy of the store from the live one."""
    file = MarkFile(tmp_path / "mark")
    assert file.read() is None
    file.write(3, {"node": 7, "channel/ab": 12})
    file.write(4, {"node": 9, "channel/ab": 12})
    assert file.read() == Mark(4, {"node": 9, "channel/ab": 12})
    assert [entry.name for entry in tmp_path.iterdir()] == ["mark"]


def test_store_behind_the_mark_is_noticed_per_journal() -> None:
    """Only the channels that are behind go into recovery."""
    mark = Mark(4, {"node": 9, "a": 12, "b": 5, "gone": 1})
    assert mark.missing({"node": 9, "a": 11, "b": 6, "new": 3}) == {"a": (12, 11), "gone": (1, 0)}


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "newer"])
def test_damaged_mark_is_refused(tmp_path: Path, damage: str) -> None:
    """To read it as "never written" would switch the guard off."""
    path = tmp_path / "mark"
    file = MarkFile(path)
    file.write(3, {"node": 7})
    whole = path.read_bytes()
    match damage:
        case "flip":
            path.write_bytes(whole.replace(b"7", b"6"))
        case "cut":
            path.write_bytes(whole[:-10])
        case "empty":
            path.write_bytes(b"")
        case _:
            path.write_bytes(whole.replace(b'"leyden_mark": 1', b'"leyden_mark": 2'))
    with pytest.raises(StorageBroken, match=str(path)):
        file.read()
