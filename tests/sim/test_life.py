"""Turns and timers of one life."""

from leyden.sim.life import Life, SimClock


def test_posted_callbacks_run_in_order_and_with_what_they_post() -> None:
    """As an event loop would."""
    life, ran = Life(SimClock(100)), []

    def first() -> None:
        ran.append(1)
        life.post(lambda: ran.append(3))

    life.post(first)
    life.post(lambda: ran.append(2))
    life.run_posted()
    assert ran == [1, 2, 3]
    assert life.now_seconds() == 100


def test_timers_wait_for_the_clock() -> None:
    """The clock moves when the world says so; equal times keep the order of calls."""
    clock = SimClock(0)
    life, ran = Life(clock), []
    life.after(0.2, lambda: ran.append("short"))
    life.after(3.0, lambda: ran.append("long"))
    life.after(1.0, lambda: ran.append("second"))
    life.run_timers()
    assert ran == []
    clock.now_seconds = 1
    life.run_timers()
    assert ran == ["short", "second"]
    assert life.has_timers()
    clock.now_seconds = 3
    life.run_timers()
    assert ran == ["short", "second", "long"]
    assert not life.has_timers()


def test_what_was_posted_dies_with_the_life() -> None:
    """A callback of a killed process must not run."""
    life, ran = Life(SimClock(0)), []
    life.post(lambda: ran.append(1))
    life.after(1, lambda: ran.append(2))
    life.end()
    life.post(lambda: ran.append(3))
    life.run_posted()
    life.run_timers()
    assert ran == []
