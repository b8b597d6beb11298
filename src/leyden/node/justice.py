"""Blobs for a watchtower, appended to a file: one JSON object a line, `locator` and `ciphertext` in hex.

What carries the lines to a tower is the user's choice. Nothing in the file says which channel a line is for.
"""

import asyncio
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from leyden.monitor.watchtower import JusticeBlob

NAME = "watchtower file"
RETRY_SECONDS = 5.0


def line_of(blob: JusticeBlob) -> str:
    """Return the line of a blob, its end included."""
    return json.dumps({"locator": blob.locator.hex(), "ciphertext": blob.ciphertext.hex()}) + "\n"


def blob_of(line: str) -> JusticeBlob:
    """Read a line back. Raises: ValueError, KeyError for what is no line of such a file."""
    fields = cast("dict[str, str]", json.loads(line))
    return JusticeBlob(bytes.fromhex(fields["locator"]), bytes.fromhex(fields["ciphertext"]))


class JusticeFile:
    """A `JusticeSink` that keeps what it is given until `keep_writing` has written it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting: list[str] = []
        self._wake = asyncio.Event()

    def __call__(self, _channel_id: bytes, _number: int, blobs: Sequence[JusticeBlob], /) -> None:
        """Take the blobs of one commitment."""
        self._waiting += [line_of(blob) for blob in blobs]
        self._wake.set()

    def write(self) -> None:
        """Write and sync what waits. Raises OSError: it is still there, and perhaps some of it twice later."""
        lines = self._waiting[:]
        if not lines:
            return
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            data = "".join(lines).encode()
            while data:
                data = data[os.write(descriptor, data) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        del self._waiting[: len(lines)]

    async def keep_writing(self, tell: Callable[[str], None]) -> None:
        """Write whatever comes, away from the event loop's thread. tell: takes why the last write failed, or ""."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await asyncio.to_thread(self.write)
            except OSError as error:
                tell(f"cannot write {self.path} ({error.strerror}): the watchtower misses what is revoked now")
                self._wake.set()
                await asyncio.sleep(RETRY_SECONDS)
            else:
                tell("")
