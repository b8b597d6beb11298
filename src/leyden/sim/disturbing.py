"""What may go wrong in a world: a crash of each node with each combination of what it keeps, a lost connection."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

from leyden.sim.fingerprint import Fingerprints, Remembered, digest, remembered
from leyden.sim.scenario import Crash, Cut
from leyden.sim.user import Order
from leyden.sim.world import World


class Disturbance(NamedTuple):
    """A crash or a lost connection. touched: nodes that it touches.

    key: what is the same of those that lead to the same world; future: without what is only remembered of it.
    """

    key: bytes
    future: bytes
    remembered: Remembered
    deviation: Crash | Cut
    touched: Sequence[str]


def disturbances(
    prints: Fingerprints, world: World, orders: Sequence[Order], known: Mapping[str, bytes], first_step: int
) -> Iterator[Disturbance]:
    """Yield every crash and every lost connection of this world. known: digests of its nodes."""
    step, quiet, also = world.steps - first_step, world.quiet_seconds, remembered(world)
    for name, node in world.nodes.items():
        if not node.is_up:
            continue
        links = [pair for pair in world.connections if name in pair]
        others = {other: known[other] for other in world.nodes if other != name}
        around = digest(prints.around(world, orders, links), prints.ledger(node), others)
        touched = [name, *[one if other == name else other for one, other in links]]
        left = also.without(name)
        for kept in every_prefix(node.disk.under_way()):
            future = digest("crash", name, around, prints.durable(node.disk, dict(kept)))
            key = digest(future, left.digest())
            yield Disturbance(key, future, left, Crash(step, name, kept, quiet), touched)
    for pair in list(world.connections):
        future = digest("cut", pair, prints.around(world, orders, [pair]), known)
        yield Disturbance(digest(future, also.digest()), future, also, Cut(step, *pair, quiet), pair)


def every_prefix(under_way: Mapping[str, int]) -> Iterator[tuple[tuple[str, int], ...]]:
    """Yield every combination of kept prefixes, as (journal, records), from nothing to everything."""
    names = list(under_way)
    for counts in product(*[range(under_way[name] + 1) for name in names]):
        yield tuple(zip(names, counts, strict=True))
