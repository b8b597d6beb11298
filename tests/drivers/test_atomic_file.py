"""Small files, old or new."""

import os
from pathlib import Path

import pytest

from leyden.drivers.atomic_file import make_directory, write_atomically


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where everything was that was synced, in order."""
    places: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        places.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return places


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


def test_new_directory_is_there_after_a_power_cut(tmp_path: Path, synced: list[str]) -> None:
    """A key that was synced into a directory that is gone is gone."""
    make_directory(tmp_path / "a" / "b")
    assert set(synced) == {str(tmp_path), str(tmp_path / "a")}
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    synced.clear()
    make_directory(tmp_path / "a" / "b")
    assert synced == []


def test_new_data_directory_is_durable_before_its_words_are_shown(tmp_path: Path, synced: list[str]) -> None:
    """`leyden init` promises that the key is there."""
    from leyden.node import setup

    setup.create(tmp_path / "new" / "node", {"network": "regtest"}, None, None, {})
    assert {str(tmp_path), str(tmp_path / "new"), str(tmp_path / "new" / "node")} <= set(synced)
