"""Small files, old or new."""

from pathlib import Path

import pytest

from leyden.drivers.atomic_file import write_atomically


def test_content_is_replaced_whole_and_private(tmp_path: Path) -> None:
    """A left-over of an earlier crash is no obstacle, and nobody else reads along."""
    path = tmp_path / "file"
    (tmp_path / "file.new").write_bytes(b"half of an earlier try")
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_failure_leaves_the_old_content_and_no_litter(tmp_path: Path) -> None:
    """A directory in the way stands for any error at the last step."""
    path = tmp_path / "file"
    path.mkdir()
    (path / "child").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        write_atomically(path, b"secret")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
