"""Time and turns of one life of a node: the `Scheduler` that the run loop gets in a simulated world."""

from collections import deque
from collections.abc import Callable


class SimClock:
    """The one clock of a world, in seconds since 1970. It moves when the world says so."""

    def __init__(self, now_seconds: int) -> None:
        self.now_seconds = now_seconds


class Life:
    """From a start to a crash. What was posted in a life dies with it."""

    def __init__(self, clock: SimClock) -> None:
        self.clock = clock
        self.is_over = False
        self._posted: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self._made = 0

    def now_seconds(self) -> int:
        """Return seconds since 1970."""
        return self.clock.now_seconds

    def monotonic_us(self) -> int:
        """Return microseconds on the world's clock."""
        return self.clock.now_seconds * 1_000_000

    def post(self, callback: Callable[[], None]) -> None:
        """Run `callback` before the world's next action."""
        if not self.is_over:
            self._posted.append(callback)

    def after(self, delay_seconds: float, callback: Callable[[], None]) -> None:
        """Run `callback` once the clock has moved on by at least that much."""
        self._made += 1
        self._timers.append((self.clock.now_seconds + max(1, int(delay_seconds + 0.999)), self._made, callback))

    def run_posted(self) -> None:
        """Run all that was posted, and what that posts."""
        while self._posted and not self.is_over:
            self._posted.popleft()()

    def run_timers(self) -> None:
        """Run the timers that are due."""
        due = sorted([timer for timer in self._timers if timer[0] <= self.clock.now_seconds], key=lambda one: one[:2])
        self._timers = [timer for timer in self._timers if timer[0] > self.clock.now_seconds]
        for _, _, callback in due:
            self.post(callback)
        self.run_posted()

    def has_timers(self) -> bool:
        """Return whether something waits for the clock."""
        return bool(self._timers)

    def end(self) -> None:
        """The process is killed."""
        self.is_over = True
        self._posted.clear()
        self._timers.clear()
