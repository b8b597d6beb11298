"""Time goes forward with the system's clock and never back with it; turns and timers are the event loop's."""

import asyncio
from types import SimpleNamespace

import pytest

from leyden.node import clock
from leyden.node.clock import LoopScheduler, random32, random_bytes


class SystemClock:
    """Both clocks of a machine, in seconds."""

    def __init__(self) -> None:
        self.wall, self.ticks = 1_000_000.0, 50.0

    def pass_time(self, seconds: float) -> None:
        """Time goes by."""
        self.wall += seconds
        self.ticks += seconds


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> SystemClock:
    """A machine whose clocks are the test's."""
    made = SystemClock()
    fake = SimpleNamespace(
        time=lambda: made.wall, monotonic=lambda: made.ticks, monotonic_ns=lambda: int(made.ticks * 10**9)
    )
    monkeypatch.setattr(clock, "time", fake)
    return made


async def test_seconds_are_those_of_the_system(system: SystemClock) -> None:
    """Whole ones, since 1970."""
    scheduler = LoopScheduler()
    assert scheduler.now_seconds() == 1_000_000
    system.pass_time(41.5)
    assert scheduler.now_seconds() == 1_000_041
    system.pass_time(0.5)
    assert scheduler.now_seconds() == 1_000_042


@pytest.mark.parametrize("back", [0.4, 1.0, 3_600.0])
async def test_clock_that_is_set_back_changes_nothing(system: SystemClock, back: float) -> None:
    """A deadline that has passed stays so."""
    scheduler = LoopScheduler()
    system.wall -= back
    assert scheduler.now_seconds() == 1_000_000
    system.pass_time(5)
    assert scheduler.now_seconds() == 1_000_005


@pytest.mark.parametrize(("ahead", "seen"), [(0.9, 0), (1.0, 1), (3_600.0, 3_600)])
async def test_clock_that_is_set_forward_is_followed(system: SystemClock, ahead: float, seen: int) -> None:
    """A machine that slept, or learnt the time after its start; what is less than a second is drift."""
    scheduler = LoopScheduler()
    system.wall += ahead
    assert scheduler.now_seconds() == 1_000_000 + seen
    system.wall -= ahead
    assert scheduler.now_seconds() == 1_000_000 + seen, "and not back again"


async def test_microseconds_never_step(system: SystemClock) -> None:
    """They measure; the wall clock is not theirs."""
    scheduler = LoopScheduler()
    before = scheduler.monotonic_us()
    system.wall += 3_600
    assert scheduler.monotonic_us() == before
    system.pass_time(0.25)
    assert scheduler.monotonic_us() == before + 250_000


async def test_turns_come_later_and_in_order() -> None:
    """A callback never runs inside the call that posts it; one that waits runs once."""
    scheduler, ran = LoopScheduler(), list[str]()
    scheduler.after(0.02, lambda: ran.append("latest"))
    scheduler.after(0.0, lambda: ran.append("later"))
    scheduler.post(lambda: ran.append("first"))
    scheduler.post(lambda: ran.append("second"))
    assert not ran
    await asyncio.sleep(0)
    assert ran[:2] == ["first", "second"]
    async with asyncio.timeout(5):
        while "latest" not in ran:  # noqa: ASYNC110 - nothing says it
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.03)
    assert ran == ["first", "second", "later", "latest"]


def test_random_bytes_differ_and_have_their_length() -> None:
    """Names and nonces are made of them."""
    assert len(random32()) == 32
    assert len(random_bytes(16)) == 16
    assert len({random32() for _ in range(100)}) == 100
