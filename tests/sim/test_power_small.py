"""The mark and the key file are old or new after a power cut."""

import random
from pathlib import Path

import pytest

from leyden.sim.power_cut import Cut, Told
from leyden.sim.power_files import BytesSynced, FileEvent, NamesSynced, file_cuts
from leyden.sim.power_small import replace_small_files, small_file_cuts, small_file_fault


@pytest.fixture
def history(tmp_path: Path) -> list[FileEvent]:
    """What happens in a directory while both files are written."""
    (tmp_path / "written").mkdir()
    (tmp_path / "read").mkdir()
    return replace_small_files(tmp_path / "written", random.Random(0))


def test_no_power_cut_leaves_half_a_file(tmp_path: Path) -> None:
    """A key that is gone is all the money; a mark that goes back lets an old copy of the store close channels."""
    for name in ("written", "read"):
        (tmp_path / name).mkdir()
    cuts = small_file_cuts(tmp_path / "written", random.Random(1), 10)
    assert len(cuts) > 400
    assert not [wrong for cut in cuts if (wrong := small_file_fault(cut, tmp_path / "read"))]


@pytest.mark.parametrize("forgotten", [BytesSynced, NamesSynced])
def test_sync_that_is_left_out_is_noticed(tmp_path: Path, history: list[FileEvent], forgotten: type) -> None:
    """Negative control, once for the bytes and once for the directory."""
    left = [event for event in history if not isinstance(event, forgotten)]
    faults = [small_file_fault(cut, tmp_path / "read") for cut in file_cuts(left, random.Random(1), 5)]
    assert sum(map(bool, faults)) * 5 > len(faults)


def test_judge_finds_what_was_reported_and_is_gone(tmp_path: Path, history: list[FileEvent]) -> None:
    """A mark of yesterday and a key without its passphrase are whole files, too."""
    *_, last = file_cuts(history, random.Random(1), 1)
    early = next(cut for cut in file_cuts(history, random.Random(1), 1) if cut.told[-1:] == [Told("mark", "", 2)])
    read = tmp_path / "read"
    assert small_file_fault(last, read) == ""
    assert "mark 6 was reported written" in small_file_fault(Cut(early.image, last.told[:-1]), read)
    assert "key file is not the one" in small_file_fault(Cut(early.image, [Told("sealed", "", 1)]), read)
    assert "is gone" in small_file_fault(Cut({}, [Told("key", "", 1)]), read)
    assert "other positions" in small_file_fault(Cut({"mark": _other_mark(tmp_path)}, []), read)


def _other_mark(directory: Path) -> bytes:
    from leyden.drivers.markfile import MarkFile

    MarkFile(directory / "other").write(2, {"node": 1})
    return (directory / "other").read_bytes()
