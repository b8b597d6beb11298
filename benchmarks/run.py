"""What every part is given: how much to do, where to say what goes on, and how long to wait for a quiet machine."""

import time
from collections.abc import Callable

from benchmarks.machine import wait_for_quiet
from benchmarks.scale import Scale

SETTLE_SECONDS = 60.0
"""Longest wait before one measurement."""


class Run:
    """One run of the program. quiet_seconds: how long it may wait in all for others to be done."""

    def __init__(self, scale: Scale, say: Callable[[str], None], quiet_seconds: float) -> None:
        self.scale = scale
        self.say = say
        self._left_seconds = quiet_seconds

    def may_wait(self) -> bool:
        """Return whether there is time left to wait."""
        return self._left_seconds > 0

    def settle(self) -> None:
        """Wait until nobody else is busy, as long as that is allowed."""
        if not self.may_wait():
            return
        self.say("waiting for a quiet machine")
        begun = time.monotonic()
        wait_for_quiet(min(self._left_seconds, SETTLE_SECONDS))
        self._left_seconds -= time.monotonic() - begun
