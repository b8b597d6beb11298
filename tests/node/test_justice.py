"""The file that a watchtower reads."""

import asyncio
from pathlib import Path

import pytest

from leyden.monitor.watchtower import JusticeBlob
from leyden.node import justice
from leyden.node.justice import JusticeFile, blob_of, line_of

BLOBS = [JusticeBlob(bytes([n]) * 16, bytes([n]) * 100) for n in range(3)]


def test_line_reads_back() -> None:
    """And says nothing of the channel."""
    for blob in BLOBS:
        assert line_of(blob).endswith("\n")
        assert blob_of(line_of(blob)) == blob


async def test_blobs_are_appended_in_order(tmp_path: Path) -> None:
    """An earlier life's lines stay."""
    path = tmp_path / "tower"
    for blobs in (BLOBS[:1], BLOBS[1:]):
        file = JusticeFile(path)
        file(bytes(32), 1, blobs)
        file.write()
        file.write()
    assert [blob_of(line) for line in path.read_text().splitlines()] == BLOBS
    assert path.stat().st_mode & 0o777 == 0o600


async def test_file_that_cannot_be_written_is_told_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was revoked meanwhile is not lost."""
    monkeypatch.setattr(justice, "RETRY_SECONDS", 0.001)
    said: asyncio.Queue[str] = asyncio.Queue()
    file = JusticeFile(tmp_path / "missing" / "tower")
    writing = asyncio.ensure_future(file.keep_writing(said.put_nowait))
    file(bytes(32), 1, BLOBS)
    assert "No such file" in await said.get()
    (tmp_path / "missing").mkdir()
    while await said.get():
        pass
    assert [blob_of(line) for line in file.path.read_text().splitlines()] == BLOBS
    writing.cancel()
