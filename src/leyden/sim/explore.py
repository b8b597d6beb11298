"""Every order of what may happen, every crash at every point, every combination of what a crash may keep.

From a scenario's first world the explorer makes every distinct world that an order without a crash leads to. At each it
kills each node with each combination of kept prefixes, and cuts each connection; what comes up again runs to rest under
two fixed schedules that could not differ more. With a second crash allowed the same is done at every step of that
recovery. Worlds that are equal by content (`fingerprint`) are explored once, so the count is finite (ADR 0013).
"""

import gc
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from itertools import product
from typing import NamedTuple, TypeAlias

import msgspec

from leyden.sim.books import Books
from leyden.sim.fingerprint import Fingerprints, digest
from leyden.sim.freezing import Freezer, dismantle
from leyden.sim.node import SimNode
from leyden.sim.oracles import check_rest
from leyden.sim.scenario import Crash, Cut, Deviation, Scenario, begin, deviate
from leyden.sim.schedules import STORE_FIRST, STORE_LAST, Livelock, Ranked, pass_time
from leyden.sim.user import Order
from leyden.sim.world import Action, World

RECOVERIES = (STORE_FIRST, STORE_LAST)
REST_STEPS_MIN = 200
"""A recovery may take at least that long before it is a livelock, else ten times the longest that was seen."""
PROGRESS_EVERY = 200
GC_FIRST = 50_000
"""So many new containers until the collector looks at them: some twenty worlds."""


class Tier(Enum):
    """How much is tried.

    FIXED: a few schedules, with every crash. TIERED: every order, with crashes whose recovery is scheduled. ALL: every
    order, in which crashes are steps like others.
    """

    FIXED = "fixed"
    TIERED = "tiered"
    ALL = "all"


class Limits(msgspec.Struct, frozen=True):
    """crashes: each inside of the recovery of the one before. cuts: lost connections too. worlds_max: distinct ones."""

    crashes: int = 1
    cuts: bool = True
    worlds_max: int = 1_000_000
    seconds_max: float = 3600.0


class Found(msgspec.Struct, frozen=True):
    """What must not be, and the run that shows it: `replay(scenario, Scripted(actions, recovery), deviations)`."""

    what: str
    scenario: str
    actions: tuple[Action, ...]
    recovery: str
    deviations: tuple[Deviation, ...]


class Result(msgspec.Struct):
    """What was explored.

    base_worlds: distinct ones without a crash. combinations: crashes judged (which node, where, what was kept) and lost
    connections. fresh: distinct worlds after them. second_*: the same inside of recoveries. rest_steps_max: of the
    longest recovery. is_complete: nothing of the tier was left out. digest: of all distinct worlds, in the order found.
    """

    scenario: str
    tier: Tier
    crashes: int
    base_worlds: int = 0
    combinations: int = 0
    fresh: int = 0
    second_combinations: int = 0
    second_fresh: int = 0
    steps: int = 0
    rests: int = 0
    rest_steps_max: int = 0
    seconds: float = 0.0
    digest: bytes = b""
    is_complete: bool = False
    violation: Found | None = None

    def rate(self) -> int:
        """Return crashes judged in a second."""
        return int((self.combinations + self.second_combinations) / max(self.seconds, 0.001))

    def fresh_rate(self) -> int:
        """Return distinct worlds after a crash in a second."""
        return int((self.fresh + self.second_fresh) / max(self.seconds, 0.001))


Progress: TypeAlias = Callable[[Result], None]


def no_progress(_result: Result) -> None:
    """Nobody watches."""


class _Place(NamedTuple):
    """A live world and what belongs to it. known: digests of nodes that have not moved since they were taken."""

    world: World
    orders: list[Order]
    books: Books
    known: dict[str, bytes]


class _Waiting(NamedTuple):
    """A world that is to be looked at."""

    fingerprint: bytes
    frozen: bytes
    known: dict[str, bytes]


class _LimitReached(Exception):
    """Worlds or seconds are used up."""


def explore(
    scenario: Scenario, tier: Tier = Tier.TIERED, limits: Limits | None = None, progress: Progress = no_progress
) -> Result:
    """Explore a scenario; stop at the first thing that is wrong, which is in the result with a run that shows it."""
    return _Explorer(scenario, tier, limits or Limits(), progress).run()


class _Explorer:
    def __init__(self, scenario: Scenario, tier: Tier, limits: Limits, progress: Progress) -> None:
        self._scenario = scenario
        self._limits = limits
        self._progress = progress
        self._result = Result(scenario.name, tier, limits.crashes)
        self._prints = Fingerprints()
        world, orders, books, self._first_step = begin(scenario)
        self._freezer = Freezer((world, orders, books))
        self._root = _Place(world, orders, books, {})
        # Whence each distinct world without a crash was first reached: the way to it, for who must show a violation.
        self._reached: dict[bytes, tuple[bytes, Action | None]] = {}
        # Worlds from which rest was judged good, by schedule and crashes that were still tried on the way.
        self._good: dict[tuple[str, int], dict[bytes, None]] = {
            (recovery.name, left): {} for recovery in RECOVERIES for left in range(limits.crashes)
        }
        self._keys: list[dict[bytes, None]] = [{} for _ in range(limits.crashes)]
        self._after: list[dict[bytes, None]] = [{} for _ in range(limits.crashes)]
        self._at = b""
        self._deviations: list[Deviation] = []
        self._recovery = RECOVERIES[0]

    def run(self) -> Result:
        """Explore."""
        result, began = self._result, time.perf_counter()
        self._ends = began + self._limits.seconds_max
        self._began = began
        try:
            with _few_collections():
                self._every_order()
            result.is_complete = True
        except _LimitReached:
            pass
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in a world is what is looked for
            result.violation = self._found(error)
        result.seconds = time.perf_counter() - began
        self._progress(result)
        return result

    def _found(self, error: Exception) -> Found:
        return Found(
            f"{type(error).__name__}: {error}",
            self._scenario.name,
            tuple(self._way_to(self._at)),
            self._recovery.name,
            tuple(self._deviations),
        )

    def _way_to(self, fingerprint: bytes) -> list[Action]:
        actions: list[Action] = []
        while fingerprint:
            fingerprint, action = self._reached[fingerprint]
            if action is not None:
                actions.append(action)
        return actions[::-1]

    def _count_step(self) -> None:
        result = self._result
        result.steps += 1
        if result.steps % PROGRESS_EVERY == 0:
            now = time.perf_counter()
            result.seconds = now - self._began
            self._progress(result)
            worlds = result.base_worlds + result.fresh + result.second_fresh
            if now > self._ends or worlds > self._limits.worlds_max:
                raise _LimitReached

    # --- worlds ----------------------------------------------------------------------------------------------------

    def _freeze(self, place: _Place) -> bytes:
        return self._freezer.freeze((place.world, place.orders, place.books))

    def _thaw(self, frozen: bytes, known: dict[str, bytes]) -> _Place:
        world, orders, books = self._freezer.thaw(frozen)
        return _Place(world, orders, books, dict(known))

    def _leave(self, place: _Place) -> None:
        """Nobody will look at this world again."""
        world = place.world
        for connection in world.connections.values():
            dismantle(connection.peer, connection)
        for node in world.nodes.values():
            if node.is_up:
                dismantle(*_life_of(node))
            dismantle(node)
        dismantle(world)

    def _fingerprint(self, place: _Place) -> bytes:
        return self._prints.world(place.world, place.orders, place.known)

    def _found_world(self, fingerprint: bytes) -> None:
        self._result.digest = digest(self._result.digest, fingerprint)

    def _perform(self, place: _Place, action: Action) -> None:
        self._count_step()
        place.world.perform(action)
        if action.kind == "act":
            place.known.clear()
        else:
            place.known.pop(action.node, None)
        if action.kind == "connect":
            place.known.pop(action.subject, None)

    def _wait(self, place: _Place) -> bool:
        self._count_step()
        place.known.clear()
        return pass_time(place.world)

    def _check_rest(self, place: _Place) -> None:
        self._result.rests += 1
        check_rest(place.world, place.books, place.orders)
        self._scenario.check(place.world, place.orders)

    # --- every order without a crash -------------------------------------------------------------------------------

    def _every_order(self) -> None:
        root = self._root
        first = self._fingerprint(root)
        self._reached[first] = (b"", None)
        waiting = [_Waiting(first, self._freeze(root), root.known)]
        while waiting:
            here = waiting.pop()
            self._at = here.fingerprint
            self._result.base_worlds += 1
            place = self._thaw(here.frozen, here.known)
            self._disturb(here.frozen, place, self._limits.crashes)
            self._at = here.fingerprint
            waiting += self._next_worlds(here, place)
            self._leave(place)

    def _next_worlds(self, here: _Waiting, place: _Place) -> list[_Waiting]:
        found: list[_Waiting] = []
        enabled = sorted(place.world.enabled())
        for action in enabled[1:]:
            other = self._thaw(here.frozen, here.known)
            self._perform(other, action)
            self._note(here, other, action, found)
            self._leave(other)
        if enabled:
            self._perform(place, enabled[0])
            self._note(here, place, enabled[0], found)
        elif self._wait(place):
            self._note(here, place, None, found)
        else:
            self._check_rest(place)
        return found

    def _note(self, here: _Waiting, place: _Place, action: Action | None, found: list[_Waiting]) -> None:
        fingerprint = self._fingerprint(place)
        if fingerprint not in self._reached:
            self._reached[fingerprint] = (here.fingerprint, action)
            self._found_world(fingerprint)
            found.append(_Waiting(fingerprint, self._freeze(place), place.known))

    # --- crashes and lost connections --------------------------------------------------------------------------------

    def _disturb(self, frozen: bytes, place: _Place, left: int) -> None:
        """Try every crash and every lost connection of this world. left: how many crashes may still come."""
        world = place.world
        step, quiet = world.steps - self._first_step, world.quiet_seconds
        self._fingerprint(place)
        for name, node in world.nodes.items():
            if not node.is_up:
                continue
            links = [pair for pair in world.connections if name in pair]
            others = {other: known for other, known in place.known.items() if other != name}
            around = digest(self._prints.around(world, place.orders, links), self._prints.ledger(node), others)
            for kept in every_prefix(node.disk.under_way()):
                key = digest("crash", name, around, self._prints.durable(node.disk, dict(kept)))
                touched = [name, *[one if other == name else other for one, other in links]]
                self._try(frozen, place, key, Crash(step, name, kept, quiet), touched, left)
        for pair in list(world.connections) if self._limits.cuts else []:
            key = digest("cut", pair, self._prints.around(world, place.orders, [pair]), place.known)
            self._try(frozen, place, key, Cut(step, *pair, quiet), pair, left)

    def _try(
        self, frozen: bytes, place: _Place, key: bytes, deviation: Deviation, touched: Sequence[str], left: int
    ) -> None:
        result, is_first = self._result, left == self._limits.crashes
        if is_first:
            result.combinations += 1
        else:
            result.second_combinations += 1
        if any(key in keys for keys in self._keys[left - 1 :]):
            return
        self._keys[left - 1][key] = None
        self._deviations.append(deviation)
        other = self._thaw(frozen, place.known)
        if isinstance(deviation, Crash):
            life = _life_of(other.world.nodes[deviation.node])
            deviate(other.world, deviation, other.orders)
            dismantle(*life)
        else:
            deviate(other.world, deviation, other.orders)
        for name in touched:
            other.known.pop(name, None)
        fingerprint = self._fingerprint(other)
        if not any(fingerprint in after for after in self._after[left - 1 :]):
            self._after[left - 1][fingerprint] = None
            self._found_world(fingerprint)
            if is_first:
                result.fresh += 1
            else:
                result.second_fresh += 1
            self._recover(other, fingerprint, left - 1)
        else:
            self._leave(other)
        self._deviations.pop()

    def _recover(self, place: _Place | None, fingerprint: bytes, left: int) -> None:
        assert place is not None
        frozen, known = self._freeze(place), dict(place.known)
        for recovery in RECOVERIES:
            self._recovery = recovery
            if self._is_good(fingerprint, recovery, left):
                continue
            place = place or self._thaw(frozen, known)
            self._settle(place, fingerprint, recovery, left)
            self._leave(place)
            place = None

    def _settle(self, place: _Place, fingerprint: bytes, recovery: Ranked, left: int) -> None:
        """Run to rest and judge it, or to a world from which that has been done."""
        path: dict[bytes, None] = {}
        while not self._is_good(fingerprint, recovery, left):
            if fingerprint in path or len(path) > max(REST_STEPS_MIN, 10 * self._result.rest_steps_max):
                raise Livelock("\n".join(place.world.trace[-60:]))
            path[fingerprint] = None
            if left:
                self._disturb(self._freeze(place), place, left)
                self._recovery = recovery
            enabled = place.world.enabled()
            if enabled:
                self._perform(place, recovery.choose(place.world, enabled))
            elif not self._wait(place):
                self._check_rest(place)
                self._result.rest_steps_max = max(self._result.rest_steps_max, len(path))
                break
            fingerprint = self._fingerprint(place)
        self._good[recovery.name, left].update(path)

    def _is_good(self, fingerprint: bytes, recovery: Ranked, left: int) -> bool:
        """What any order leads to is judged as such, with every crash on the way."""
        if fingerprint in self._reached:
            return True
        return any(fingerprint in self._good[recovery.name, more] for more in range(left, self._limits.crashes))


def _life_of(node: SimNode) -> tuple[object, ...]:
    return node.manager.outbox, node.manager, node.runtime, node.life


@contextmanager
def _few_collections() -> Generator[None]:
    """Worlds are cycles and die young: most of what the collector looks at lives as long as the explorer."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_FIRST, 5, 1000)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def every_prefix(under_way: Mapping[str, int]) -> Iterator[tuple[tuple[str, int], ...]]:
    """Yield every combination of kept prefixes, as (journal, records), from nothing to everything."""
    names = list(under_way)
    for counts in product(*[range(under_way[name] + 1) for name in names]):
        yield tuple(zip(names, counts, strict=True))
