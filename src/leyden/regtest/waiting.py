"""Calls that wait for a block: `waitfornewblock`, `waitforblockheight`, `waitforblock`."""

import asyncio
from typing import final

from leyden.bitcoin.tx import txid_to_hex


@final
class TipWaiters:
    """Knows the latest tip and wakes who waits for another. Belongs to the event loop."""

    def __init__(self) -> None:
        self._height = -1
        self._hash = b""
        self._changed = asyncio.Event()

    def on_tip(self, height: int, block_hash: bytes) -> None:
        """Take note of the tip (`block_hash`: 32 bytes); cheap when it is the old one."""
        if block_hash == self._hash:
            return
        self._height, self._hash = height, block_hash
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait(self, kind: str, wanted: object, timeout_ms: int) -> object:
        """Wait for a tip: other than `wanted` or the present one (`new`), at least at a `height`, or with a `hash`.

        Args: timeout_ms: 0 for ever; when it passes, the tip of that moment is the answer.
        """
        start = (wanted or self._hash) if kind == "new" else b""
        try:
            async with asyncio.timeout(timeout_ms / 1000 if timeout_ms else None):
                while not self._is_reached(kind, wanted, start):
                    await self._changed.wait()
        except TimeoutError:
            pass
        return {"hash": txid_to_hex(self._hash), "height": self._height}

    def _is_reached(self, kind: str, wanted: object, start: object) -> bool:
        if kind == "height":
            return isinstance(wanted, int) and self._height >= wanted
        return self._hash == wanted if kind == "hash" else self._hash != start
