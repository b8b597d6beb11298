"""Worlds from which a schedule was followed to a good rest: who comes to one of them need not go on.

Worlds are recognised by what decides their future. Oracles remember more than that: an event that was told in a life is
not told there again, a channel whose close was asked for does not stay open. So what is ahead of a world is kept with
it, and whoever comes to it with other things remembered goes on alone when something ahead would be wrong for it.
"""

from typing import NamedTuple

from leyden.channel.states import Closed, MutualClose, Spent
from leyden.sim.fingerprint import Remembered, remembered
from leyden.sim.world import World


class Seen(NamedTuple):
    """A world as it is recognised. future: what decides; fingerprint: that and what is remembered."""

    fingerprint: bytes
    future: bytes
    remembered: Remembered


class Ahead(NamedTuple):
    """What comes on the way to rest. told: events, as (node, event_id). left_open: channels not closed at its end."""

    told: frozenset[tuple[str, str]]
    left_open: frozenset[bytes]

    def suits(self, remembered: Remembered) -> bool:
        """Return whether no oracle finds anything wrong with that way, for what is remembered at its beginning."""
        return not (remembered.is_told_twice or self.told & remembered.told or self.left_open & remembered.must_close)


def at_rest(world: World, since: Remembered) -> Ahead:
    """Return what was ahead of a world that has come to rest since: what time has brought, and channels may be open."""
    slots = [slot for node in world.nodes.values() for slot in node.manager.channels.values()]
    is_open = [slot.channel_id for slot in slots if type(slot.state) not in (MutualClose, Spent, Closed)]
    return Ahead(remembered(world).told - since.told, frozenset(is_open))


class Judged:
    """Worlds from which one schedule leads to a good rest."""

    def __init__(self) -> None:
        self._ahead: dict[bytes, Ahead] = {}

    def ahead(self, future: bytes, remembered: Remembered) -> Ahead | None:
        """Return what is ahead of a world, None when it was not judged, or not for what is remembered."""
        ahead = self._ahead.get(future)
        return ahead if ahead is not None and ahead.suits(remembered) else None

    def add(self, way: list[Seen], end: Ahead) -> None:
        """Take in a way without a crash on it, of which the last world has `end` ahead."""
        last = way[-1].remembered.told
        told: dict[frozenset[tuple[str, str]], frozenset[tuple[str, str]]] = {}
        for seen in way:
            before = seen.remembered.told
            if before not in told:
                told[before] = (last - before) | end.told
            self._ahead[seen.future] = Ahead(told[before], end.left_open)
