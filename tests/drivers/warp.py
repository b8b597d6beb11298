"""An event loop whose clock jumps: when nothing is ready it goes to the next timer instead of waiting for it."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _JumpingSelector(selectors.DefaultSelector):  # type: ignore[misc,valid-type]
    """Reports what is ready now; else moves the clock by the time it was told to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            return super().select(None)  # type: ignore[no-any-return]
        self.now += timeout
        return []


class WarpLoop(asyncio.SelectorEventLoop):
    """A selector loop on virtual time; real sockets work, since loopback delivers before `send` returns."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds."""
        return self._jumping.now


def run_warped(story: Coroutine[Any, Any, T]) -> T:
    """Run `story` on a fresh `WarpLoop`."""
    with asyncio.Runner(loop_factory=WarpLoop) as runner:
        return runner.run(story)
