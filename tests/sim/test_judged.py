"""Ways that were judged good: for whom they are good too, and for whom not."""

import pytest

from leyden.sim.fingerprint import Remembered
from leyden.sim.judged import Ahead, Judged, Seen, at_rest
from leyden.sim.scenario import begin
from tests.sim.scenarios import scenario

NOTHING: frozenset[tuple[str, str]] = frozenset()
SENT, READY = ("alice", "sent/1"), ("bob", "ready/1")
CHANNEL = bytes(32)


def seen(name: bytes, *told: tuple[str, str]) -> Seen:
    """A world in which so much was told."""
    return Seen(name + b"!", name, Remembered(frozenset(told), frozenset()))


@pytest.mark.parametrize(
    ("remembered", "is_good"),
    [
        (Remembered(NOTHING, frozenset()), True),
        (Remembered(frozenset({READY}), frozenset({bytes(31)})), True),
        (Remembered(frozenset({SENT}), frozenset()), False),
        (Remembered(NOTHING, frozenset({CHANNEL})), False),
        (Remembered(NOTHING, frozenset(), is_told_twice=True), False),
    ],
)
def test_way_is_good_for_whom_nothing_on_it_is_wrong(remembered: Remembered, is_good: bool) -> None:
    """An event that was told already would be told again; a channel that must be closed would stay open."""
    judged = Judged()
    judged.add([seen(b"world")], Ahead(frozenset({SENT}), frozenset({CHANNEL})))
    assert (judged.ahead(b"world", remembered) is not None) is is_good
    assert judged.ahead(b"other", remembered) is None


def test_each_world_of_a_way_has_ahead_what_comes_after_it() -> None:
    """What was told before it is not told again on this way, so whoever comes to it with that is fine."""
    judged = Judged()
    way = [seen(b"first"), seen(b"second", SENT), seen(b"third", SENT, READY)]
    judged.add(way, Ahead(frozenset({("bob", "claimed/1")}), frozenset()))
    ahead = {name: judged.ahead(name, Remembered(NOTHING, frozenset())) for name in (b"first", b"second", b"third")}
    assert ahead == {
        b"first": Ahead(frozenset({SENT, READY, ("bob", "claimed/1")}), frozenset()),
        b"second": Ahead(frozenset({READY, ("bob", "claimed/1")}), frozenset()),
        b"third": Ahead(frozenset({("bob", "claimed/1")}), frozenset()),
    }
    assert judged.ahead(b"second", Remembered(frozenset({SENT}), frozenset())) is not None
    assert judged.ahead(b"first", Remembered(frozenset({SENT}), frozenset())) is None


def test_at_rest_channels_that_are_open_are_ahead() -> None:
    """Nothing else is."""
    world = begin(scenario("direct")).world
    end = at_rest(world, Remembered(NOTHING, frozenset()))
    assert end == Ahead(NOTHING, frozenset(world.nodes["alice"].manager.channels))
    assert len(end.left_open) == 1
