"""The system's time and randomness, and the event loop as the run loop's scheduler: the only places they come from."""

import asyncio
import os
import time
from collections.abc import Callable


class LoopScheduler:
    """`Scheduler` on the running event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._offset = time.time() - time.monotonic()

    def now_seconds(self) -> int:
        """Return seconds since 1970. A clock that is set back does not make time go back here."""
        return int(self._offset + time.monotonic())

    def post(self, callback: Callable[[], None]) -> None:
        """Run `callback` in a later turn."""
        self._loop.call_soon(callback)

    def after(self, delay_seconds: float, callback: Callable[[], None]) -> None:
        """Run `callback` once, later."""
        self._loop.call_later(delay_seconds, callback)


def random_bytes(count: int) -> bytes:
    """Return unpredictable bytes."""
    return os.urandom(count)


def random32() -> bytes:
    """Return 32 unpredictable bytes."""
    return os.urandom(32)
