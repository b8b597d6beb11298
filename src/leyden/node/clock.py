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
        """Return seconds since 1970: forward with the system's clock, which may be set right after the start or have
        slept, and never back with it.
        """
        ticking = self._offset + time.monotonic()
        ahead = time.time() - ticking
        if ahead >= 1:
            self._offset += ahead
            ticking += ahead
        return int(ticking)

    def monotonic_us(self) -> int:
        """Return microseconds since some moment; they never step."""
        return time.monotonic_ns() // 1000

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
