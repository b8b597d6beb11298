"""What a power cut leaves of a directory in which files are replaced."""

import os
import random
from pathlib import Path

import pytest

from leyden.drivers.atomic_file import write_atomically
from leyden.sim.power_cut import Told
from leyden.sim.power_files import BytesSynced, FileEvent, Named, NamesSynced, WatchedDirectory, Wrote, file_cuts


def test_every_call_that_matters_is_written_down(tmp_path: Path) -> None:
    """Bytes, sync of the bytes, rename, sync of the names: in another order a cut loses the file."""
    with WatchedDirectory(tmp_path) as watched:
        write_atomically(tmp_path / "f", b"content")
        watched.tell("done", 1)
    after = list(watched.history)
    write_atomically(tmp_path / "f", b"unseen")
    assert watched.history == after
    assert after == [
        Named("f.new", 1), Wrote(1, b"content"), BytesSynced(1), Named("f", 1, left="f.new"), NamesSynced(),
        Told("done", "", 1),
    ]  # fmt: skip


def test_other_files_do_not_count_and_removals_do(tmp_path: Path) -> None:
    """The process that is watched has other files open."""
    (tmp_path / "inner").mkdir()
    with WatchedDirectory(tmp_path / "inner") as watched:
        write_atomically(tmp_path / "f", b"elsewhere")
        os.close(os.open(tmp_path / "inner" / "g", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        (tmp_path / "inner" / "g").unlink()
        with pytest.raises(AssertionError, match="only new files"):
            os.open(tmp_path / "inner" / "h", os.O_CREAT | os.O_WRONLY)
    assert watched.history == [Named("g", 1), Named("g", None)]


def test_bytes_and_names_are_lost_each_by_itself() -> None:
    """A name can be durable before its content is: the empty file after a cut that everybody has seen."""
    history: list[FileEvent] = [Named("f.new", 1), Wrote(1, b"new"), Named("f", 1, left="f.new")]
    images = [cut.image for cut in file_cuts(history, random.Random(1), 200)]
    assert {} in images
    assert {"f": b""} in images
    assert {"f": b"new"} in images
    assert {"f.new": b"ne"} in images
    whole = [*history[:2], BytesSynced(1), history[2], NamesSynced()]
    assert [cut.image for cut in file_cuts(whole, random.Random(1), 20)][-20:] == [{"f": b"new"}] * 20
