"""Scenarios: a world at rest, something that users do, and what may go wrong meanwhile, step by step.

A run is named by its scenario, its schedule and its deviations, and is the same each time.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from typing import NamedTuple

import msgspec

from leyden.sim.books import Books
from leyden.sim.oracles import check_rest
from leyden.sim.promises import Watcher
from leyden.sim.schedules import Fair, run_to_rest
from leyden.sim.user import Order
from leyden.sim.world import Observers, Schedule, World

COMBINATIONS_MAX = 12


class Crash(msgspec.Struct, frozen=True):
    """Before step `step` kill `node`; each journal keeps that many of the records under way; then start it again.

    quiet_seconds: how long nothing has happened then.
    """

    step: int
    node: str
    kept: tuple[tuple[str, int], ...] = ()
    quiet_seconds: int = 0


class Cut(msgspec.Struct, frozen=True):
    """Before step number `step` lose the connection of two nodes. quiet_seconds: how long nothing has happened then."""

    step: int
    one: str
    other: str
    quiet_seconds: int = 0


class Hold(msgspec.Struct, frozen=True):
    """From before step `step` on, one journal of a node does not become durable, until a crash of the node."""

    step: int
    node: str
    journal: str
    quiet_seconds: int = 0


AT_REST = 1 << 30
"""A step that no run reaches: what comes then, comes when the world is at rest."""
Deviation = Crash | Cut | Hold
Check = Callable[[World, Sequence[Order]], None]


def no_more_checks(_world: World, _orders: Sequence[Order]) -> None:
    """The oracles are enough."""


class Scenario(msgspec.Struct, frozen=True):
    """base: at rest. begin: what the users do, as orders. check: beside the oracles, what this scenario is about."""

    name: str
    base: World
    begin: Callable[[World], list[Order]]
    check: Check = no_more_checks


class Begun(NamedTuple):
    """A scenario whose users have begun. first_step: what `World.steps` was then."""

    world: World
    orders: list[Order]
    books: Books
    first_step: int


def begin(scenario: Scenario) -> Begun:
    """Return a new world of the scenario: its nodes are connected, their journals compacted, and the users begin."""
    world = scenario.base.copy()
    for node in world.nodes.values():
        node.compact()
    run_to_rest(world, Fair())
    books = Books(world)
    orders = scenario.begin(world)
    return Begun(world, orders, books, world.steps)


class Outline(msgspec.Struct, frozen=True):
    """What an undisturbed run shows: how many steps, and before each and after the last what is under way."""

    steps: int
    under_way: list[dict[str, dict[str, int]]]


def outline(scenario: Scenario, schedule: Schedule) -> Outline:
    """Run a scenario undisturbed, and check it."""
    world, orders, books, first = begin(scenario)
    seen: list[dict[str, dict[str, int]]] = []

    def note(at: World) -> bool:
        if len(seen) <= at.steps - first:
            seen.append({name: node.disk.under_way() for name, node in at.nodes.items()})
        return False

    run_to_rest(world, schedule, note)
    check_rest(world, books, orders)
    scenario.check(world, orders)
    return Outline(world.steps - first, seen)


def replay(scenario: Scenario, schedule: Schedule, deviations: Sequence[Deviation]) -> World:
    """Run a scenario with deviations, and check it. Raises: Violation, naming the deviations and the last actions."""
    world, orders, books, first = begin(scenario)
    looking_on = [] if world.observer is None else [world.observer]
    world.observer = Observers(Watcher(world), *looking_on)
    try:
        for deviation in deviations:
            run_to_rest(world, schedule, partial(_is_time, first, deviation))
            deviate(world, deviation, orders)
        run_to_rest(world, schedule)
        check_rest(world, books, orders)
        scenario.check(world, orders)
    except Exception as error:
        error.add_note(f"{scenario.name} {type(schedule).__name__} {list(deviations)}")
        error.add_note("\n".join(world.trace[-40:]))
        raise
    return world


def _is_time(first: int, deviation: Deviation, world: World) -> bool:
    done = world.steps - first
    return done > deviation.step or (done == deviation.step and world.quiet_seconds >= deviation.quiet_seconds)


def deviate(world: World, deviation: Deviation, orders: Sequence[Order]) -> None:
    """Do it; a user whose call did not return calls again after the restart."""
    match deviation:
        case Crash(node=name, kept=kept):
            world.restart(name, dict(kept))
            for order in orders:
                if order.payer == name:
                    order.ask(world.nodes[name])
        case Cut(one=one, other=other):
            world.cut(one, other)
        case Hold(node=name, journal=journal):
            world.nodes[name].disk.held[journal] = None


def combinations(under_way: Mapping[str, int]) -> list[tuple[tuple[str, int], ...]]:
    """Return every combination of kept prefixes; of too many, those with all or nothing of each journal."""
    names = list(under_way)
    every = product(*[range(under_way[name] + 1) for name in names])
    found = [tuple(zip(names, kept, strict=True)) for kept in every]
    if len(found) > COMBINATIONS_MAX:
        found.sort(key=lambda kept: sum([0 < count < under_way[name] for name, count in kept]))
        del found[COMBINATIONS_MAX:]
    return found


def crashes(plan: Outline, nodes: Sequence[str]) -> Iterator[Crash]:
    """Yield a crash of each node before each step, with every combination of kept prefixes."""
    for step, under_way in enumerate(plan.under_way):
        for name in nodes:
            for kept in combinations(under_way[name]):
                yield Crash(step, name, kept)


def holds(plan: Outline, nodes: Sequence[str]) -> Iterator[tuple[Hold, Crash]]:
    """Yield, for each journal that gets something to write, that it waits until all else is at rest, then a crash.

    The crash keeps nothing of it, or its first record.
    """
    for name in nodes:
        before: dict[str, int] = {}
        for step, under_way in enumerate(plan.under_way):
            for journal, count in under_way[name].items():
                if count > before.get(journal, 0):
                    yield Hold(step, name, journal), Crash(AT_REST, name)
                    yield Hold(step, name, journal), Crash(AT_REST, name, ((journal, 1),))
            before = under_way[name]


def cuts(plan: Outline, links: Sequence[tuple[str, str]]) -> Iterator[Cut]:
    """Yield a cut of each link before each step."""
    for step in range(plan.steps + 1):
        for one, other in links:
            yield Cut(step, one, other)
