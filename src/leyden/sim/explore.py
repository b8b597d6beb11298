"""Every order of what may happen, every crash at every point, every combination of what a crash may keep.

From a scenario's first world the explorer makes every distinct world that an order without a crash leads to. At each it
kills each node with each combination of kept prefixes, and cuts each connection; what comes up again runs to rest under
two fixed schedules that could not differ more. With a second crash allowed the same is done at every step of that
recovery. Worlds that are equal by content (`fingerprint`) are explored once, so the count is finite (ADR 0013).
"""

import time
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import NamedTuple, TypeAlias

import msgspec

from leyden.sim.books import Books
from leyden.sim.disturbing import Disturbance, disturbances
from leyden.sim.fingerprint import Fingerprints, core_digest, digest, remembered
from leyden.sim.freezing import Freezer, dismantle, few_collections
from leyden.sim.judged import Ahead, Judged, Seen, at_rest
from leyden.sim.node import SimNode
from leyden.sim.oracles import check_rest
from leyden.sim.probe import probe
from leyden.sim.promises import Promises
from leyden.sim.scenario import Crash, Cut, Deviation, Scenario, begin, deviate
from leyden.sim.schedules import STORE_FIRST, STORE_LAST, Fair, Last, Livelock, Newest, Ranked, pass_time
from leyden.sim.user import Order
from leyden.sim.world import Action, Schedule, World

RECOVERIES = (STORE_FIRST, STORE_LAST)


def fixed() -> list[Schedule]:
    """Return the schedules of the fixed tier: fair, and unfair in each way."""
    return [Fair(), Last("commit"), Last("deliver"), Newest(), *RECOVERIES]


REST_STEPS_MIN = 5_000
"""A recovery may take at least that long before it is a livelock, else ten times the longest that was seen."""
UNSEEN_MAX = 20
"""Deliveries in a row of a recovery after which its world is looked at again."""
PROGRESS_EVERY = 200


class Tier(Enum):
    """How much is tried.

    FIXED: a few schedules, with every crash. TIERED: every order, with crashes whose recovery is scheduled. ALL: every
    order, in which crashes are steps like others.
    """

    FIXED = "fixed"
    TIERED = "tiered"
    ALL = "all"


class Limits(msgspec.Struct, frozen=True):
    """crashes: each inside of the recovery of the one before. cuts: lost connections too. worlds_max: distinct ones.

    probes: at rest, pay over each channel, once for all that are in the same state. reads: messages that wait together
    also arrive one by one. share, part: of all crashes and lost connections only one of so many is tried, spread over
    the whole run; each part has others.
    """

    crashes: int = 1
    cuts: bool = True
    probes: bool = True
    reads: bool = False
    share: int = 1
    part: int = 0
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
    connections. fresh: distinct worlds after them. second_*: the same inside of recoveries. probes: rests after which
    all channels were paid over. rest_steps_max: of the longest recovery. is_complete: nothing of the tier was left out.
    digest: of all distinct worlds, in the order found.
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
    probes: int = 0
    rest_steps_max: int = 0
    seconds: float = 0.0
    digest: bytes = b""
    is_complete: bool = False
    violation: Found | None = None

    def rate(self) -> int:
        """Return crashes judged in a second."""
        return int((self.combinations + self.second_combinations) / max(self.seconds, 0.001))


Progress: TypeAlias = Callable[[Result], None]


def no_progress(_result: Result) -> None:
    """Nobody watches."""


class _Place(NamedTuple):
    """A live world and what belongs to it. known: digests of nodes that have not moved since they were taken."""

    world: World
    orders: list[Order]
    books: Books
    known: dict[str, bytes]


_Step: TypeAlias = Action | Deviation | None
"""What led from one world to another; None: time passed."""


class _Name(NamedTuple):
    """A distinct world. left: how many crashes may still come as steps."""

    fingerprint: bytes
    left: int


class _Outcome(NamedTuple):
    """What a disturbance has led to. told: events (node, event_id) that were told in it."""

    future: bytes
    told: frozenset[tuple[str, str]]


class _Waiting(NamedTuple):
    """A world that is to be looked at; `frozen` is empty when that was done."""

    name: _Name
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
        self._promises = Promises()
        world, orders, books, self._first_step = begin(scenario)
        self._freezer = Freezer((world, orders, books))
        self._root = _Place(world, orders, books, {})
        # Whence each distinct world was first reached: the way to it, for who must show a violation.
        self._reached: dict[_Name, tuple[_Name | None, _Step]] = {}
        # Worlds from which rest was judged good, by schedule and crashes that were still tried on the way; and those
        # from which it was judged without a crash on the way.
        self._good: dict[tuple[str, int], dict[bytes, None]] = {
            (recovery.name, left): {} for recovery in RECOVERIES for left in range(limits.crashes)
        }
        self._judged = {recovery.name: Judged() for recovery in RECOVERIES}
        self._outcomes: dict[bytes, _Outcome] = {}
        self._keys: list[dict[bytes, None]] = [{} for _ in range(limits.crashes)]
        self._after: list[dict[bytes, None]] = [{} for _ in range(limits.crashes)]
        self._probed: dict[bytes, None] = {}
        self._at: _Name | None = None
        self._doing: Action | None = None
        # In the fixed tier the way is that of the schedule, which may come to a world otherwise than another one did.
        self._trail: list[Action] = []
        self._deviations: list[Deviation] = []
        self._recovery = RECOVERIES[0]

    def run(self) -> Result:
        """Explore."""
        result, began = self._result, time.perf_counter()
        self._began, self._ends = began, began + self._limits.seconds_max
        try:
            with few_collections():
                self._run_tier()
            result.is_complete = True
        except _LimitReached:
            pass
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in a world is looked for
            result.violation = self._found(error)
        result.seconds = time.perf_counter() - began
        self._progress(result)
        return result

    def _run_tier(self) -> None:
        match self._result.tier:
            case Tier.FIXED:
                self._fixed_orders()
            case Tier.TIERED:
                self._every_order(0)
            case Tier.ALL:
                self._every_order(self._limits.crashes)

    def _found(self, error: Exception) -> Found:
        steps = list(self._trail) if self._result.tier is Tier.FIXED else self._way_to(self._at)
        if self._doing is not None:
            steps.append(self._doing)
        return Found(
            f"{type(error).__name__}: {error}",
            self._scenario.name,
            tuple([step for step in steps if isinstance(step, Action)]),
            self._recovery.name,
            (*[step for step in steps if not isinstance(step, Action)], *self._deviations),
        )

    def _way_to(self, name: _Name | None) -> list[Action | Deviation]:
        steps: list[Action | Deviation] = []
        while name is not None:
            name, step = self._reached[name]
            if step is not None:
                steps.append(step)
        return steps[::-1]

    def _count_step(self) -> None:
        result = self._result
        result.steps += 1
        if result.steps % PROGRESS_EVERY == 0:
            now = time.perf_counter()
            result.seconds = now - self._began
            self._progress(result)
            if now > self._ends or result.base_worlds + result.fresh + result.second_fresh > self._limits.worlds_max:
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

    def _see(self, place: _Place) -> Seen:
        moved = [node for name, node in place.world.nodes.items() if name not in place.known]
        future, also = self._prints.future(place.world, place.orders, place.known), remembered(place.world)
        for node in moved:
            self._promises.check_folds(node, self._prints.held.get(node.name))
        return Seen(digest(future, also.digest()), future, also)

    def _fingerprint(self, place: _Place) -> bytes:
        return self._see(place).fingerprint

    def _found_world(self, fingerprint: bytes) -> None:
        self._result.digest = digest(self._result.digest, fingerprint)

    def _perform(self, place: _Place, action: Action) -> None:
        self._count_step()
        mark = self._promises.mark(place.world, [action.node] if action.kind == "commit" else [])
        place.world.perform(action)
        self._promises.check(place.world, mark)
        if action.kind == "act":
            place.known.clear()
        else:
            place.known.pop(action.node, None)
        if action.kind == "connect":
            place.known.pop(action.subject, None)

    def _wait(self, place: _Place) -> bool:
        self._count_step()
        place.known.clear()
        mark = self._promises.mark(place.world)
        moved = pass_time(place.world)
        self._promises.check(place.world, mark)
        return moved

    def _check_rest(self, place: _Place) -> None:
        self._result.rests += 1
        world = place.world
        check_rest(world, place.books, place.orders)
        self._scenario.check(world, place.orders)
        slots = [slot for node in world.nodes.values() for slot in node.manager.channels.values()]
        channels = digest([core_digest(slot.state.core) for slot in slots])
        if self._limits.probes and channels not in self._probed:
            self._probed[channels] = None
            self._result.probes += 1
            probe(world, place.books, place.orders, self._recovery)

    # --- orders ----------------------------------------------------------------------------------------------------

    def _first(self, left: int) -> _Waiting:
        root = self._root
        name = _Name(self._fingerprint(root), left)
        self._reached[name] = (None, None)
        return _Waiting(name, self._freeze(root), root.known)

    def _every_order(self, left: int) -> None:
        """Make every world that any order leads to. left: crashes and lost connections that may be steps of it."""
        waiting = [self._first(left)]
        while waiting:
            here = waiting.pop()
            self._at = here.name
            self._result.base_worlds += 1
            place = self._thaw(here.frozen, here.known)
            if self._result.tier is Tier.TIERED:
                self._disturb(here.frozen, place, self._limits.crashes)
            elif here.name.left:
                waiting += self._disturbed_worlds(here, place)
            waiting += self._next_worlds(here, place)
            self._leave(place)

    def _next_worlds(self, here: _Waiting, place: _Place) -> list[_Waiting]:
        found: list[_Waiting] = []
        enabled = sorted(place.world.enabled())
        if self._limits.reads:
            enabled += place.world.reads()
        for action in enabled[1:]:
            other = self._thaw(here.frozen, here.known)
            self._go(here, other, action, found)
            self._leave(other)
        if enabled:
            self._go(here, place, enabled[0], found)
        elif self._wait(place):
            self._note(_Name(self._fingerprint(place), here.name.left), here.name, None, place, found)
        else:
            self._check_rest(place)
        return found

    def _go(self, here: _Waiting, place: _Place, action: Action, found: list[_Waiting]) -> None:
        self._doing = action
        self._perform(place, action)
        self._note(_Name(self._fingerprint(place), here.name.left), here.name, action, place, found)
        self._doing = None

    def _note(self, name: _Name, before: _Name, step: _Step, place: _Place, found: list[_Waiting]) -> bool:
        """Take in a world; return whether it is one that was not reached before, with as many crashes left."""
        if any(_Name(name.fingerprint, left) in self._reached for left in range(name.left, self._limits.crashes + 1)):
            return False
        self._reached[name] = (before, step)
        self._found_world(name.fingerprint)
        found.append(_Waiting(name, self._freeze(place), place.known))
        return True

    def _disturbed_worlds(self, here: _Waiting, place: _Place) -> list[_Waiting]:
        """Return the worlds after each crash and each lost connection: they are steps like others."""
        found: list[_Waiting] = []
        left = here.name.left - 1
        for one in self._disturbances(place):
            self._result.combinations += 1
            if self._is_known(one.key, left):
                continue
            other = self._deviated(here.frozen, place, one)
            if self._note(_Name(self._fingerprint(other), left), here.name, one.deviation, other, found):
                self._result.fresh += 1
            self._leave(other)
        return found

    def _fixed_orders(self) -> None:
        """Follow each of a few schedules, with every crash at every step."""
        first = self._first(0)
        for schedule in fixed():
            here, place = first, self._thaw(first.frozen, first.known)
            self._trail = []
            while True:
                self._at = here.name
                if here.frozen:
                    self._result.base_worlds += 1
                    self._disturb(here.frozen, place, self._limits.crashes)
                self._at = here.name
                enabled = place.world.enabled()
                action = schedule.choose(place.world, enabled) if enabled else None
                found: list[_Waiting] = []
                if action is not None:
                    self._go(here, place, action, found)
                    self._trail.append(action)
                elif self._wait(place):
                    self._note(_Name(self._fingerprint(place), 0), here.name, None, place, found)
                else:
                    self._check_rest(place)
                    break
                here = found[0] if found else _Waiting(_Name(self._fingerprint(place), 0), b"", {})
            self._leave(place)

    # --- crashes and lost connections --------------------------------------------------------------------------------

    def _disturbances(self, place: _Place) -> Iterator[Disturbance]:
        """Yield every crash and every lost connection of this world that is to be tried, and is of this part."""
        limits = self._limits
        self._see(place)
        for one in disturbances(self._prints, place.world, place.orders, place.known, self._first_step):
            if isinstance(one.deviation, Cut) and not limits.cuts:
                continue
            if int.from_bytes(one.key[:4], "big") % limits.share == limits.part % limits.share:
                yield one

    def _is_known(self, key: bytes, left: int) -> bool:
        """Return whether this was tried, with as many crashes left afterwards; from now on it was."""
        if any(key in keys for keys in self._keys[left:]):
            return True
        self._keys[left][key] = None
        return False

    def _leads_to_known(self, one: Disturbance) -> bool:
        """Return whether it leads where another one has led, and all that comes then is good for this one too."""
        outcome = self._outcomes.get(one.future)
        if outcome is None:
            return False
        also = one.remembered.told_too(outcome.told)
        return all(self._judged[recovery.name].ahead(outcome.future, also) is not None for recovery in RECOVERIES)

    def _deviated(self, frozen: bytes, place: _Place, one: Disturbance) -> _Place:
        """Return the world after a crash or a lost connection."""
        deviation = one.deviation
        self._deviations.append(deviation)
        other = self._thaw(frozen, place.known)
        mark = self._promises.mark(other.world, [deviation.node] if isinstance(deviation, Crash) else [])
        if isinstance(deviation, Crash):
            life = _life_of(other.world.nodes[deviation.node])
            deviate(other.world, deviation, other.orders)
            dismantle(*life)
        else:
            deviate(other.world, deviation, other.orders)
        self._promises.check(other.world, mark)
        for name in one.touched:
            other.known.pop(name, None)
        self._deviations.pop()
        return other

    def _disturb(self, frozen: bytes, place: _Place, left: int) -> None:
        """Try every crash and every lost connection of this world. left: how many crashes may still come."""
        result, is_first = self._result, left == self._limits.crashes
        for one in self._disturbances(place):
            if is_first:
                result.combinations += 1
            else:
                result.second_combinations += 1
            if self._is_known(one.key, left - 1) or (left == 1 and self._leads_to_known(one)):
                continue
            other = self._deviated(frozen, place, one)
            self._deviations.append(one.deviation)
            seen = self._see(other)
            if left == 1:
                self._outcomes[one.future] = _Outcome(seen.future, seen.remembered.told - one.remembered.told)
            if not any(seen.fingerprint in after for after in self._after[left - 1 :]):
                self._after[left - 1][seen.fingerprint] = None
                self._found_world(seen.fingerprint)
                if is_first:
                    result.fresh += 1
                else:
                    result.second_fresh += 1
                self._recover(other, seen, left - 1)
            else:
                self._leave(other)
            self._deviations.pop()

    def _recover(
        self, place: _Place, seen: Seen, left: int, recoveries: Sequence[Ranked] = RECOVERIES, before: int = 0
    ) -> None:
        """Run to rest and judge it, or to a world from which that has been done; and take the world apart.

        Schedules go together while they choose the same. Where all that can happen is that something arrives, nobody
        looks whether the world is a known one: the next one will do. before: steps since the crash.
        """
        way: list[Seen] = []
        path: dict[bytes, None] = {}
        agreed, steps, end = 0, 0, None
        while True:
            way.append(seen)
            todo = self._not_judged(way, recoveries, left)
            if not todo:
                break
            recoveries, self._recovery = todo, todo[0]
            if seen.future in path or before + steps > max(REST_STEPS_MIN, 10 * self._result.rest_steps_max):
                raise Livelock("\n".join(place.world.trace[-60:]))
            path[seen.future] = None
            if left:
                self._disturb(self._freeze(place), place, left)
                self._recovery = todo[0]
            actions, alike = _choose(place.world, todo)
            if len(actions) > 1:
                self._recover_apart(place, way, todo, left, before + steps)
                return
            if actions:
                done, alike = self._go_on(place, actions[0], todo, 1 if left else UNSEEN_MAX, alike=alike)
                steps, agreed = steps + done, agreed if alike else len(way)
            elif not self._wait(place):
                end = at_rest(place.world, seen.remembered)
                self._check_rest(place)
                self._result.rest_steps_max = max(self._result.rest_steps_max, before + steps)
                for recovery in todo:
                    self._take_in(way, recovery, left, end)
                break
            seen = self._see(place)
        if left == 0:
            self._take_in_of_others(way[agreed:], recoveries, end)
        self._leave(place)

    def _go_on(
        self, place: _Place, action: Action, recoveries: Sequence[Ranked], steps_max: int, *, alike: bool
    ) -> tuple[int, bool]:
        """Take a step, and all that come then at which something arrives; return how many, and whether all schedules
        of recoveries would have done the same.
        """
        for done in range(1, steps_max + 1):
            self._perform(place, action)
            actions, next_alike = _choose(place.world, recoveries)
            if done == steps_max or [one.kind for one in actions] != ["deliver"]:
                return done, alike
            action, alike = actions[0], alike and next_alike
        raise AssertionError("at least one step is taken")

    def _not_judged(self, way: list[Seen], recoveries: Sequence[Ranked], left: int) -> list[Ranked]:
        """Return the schedules from which the last world of a way was not judged; take in the way of the others."""
        todo = [recovery for recovery in recoveries if not self._is_good(way[-1], recovery, left)]
        for recovery in recoveries:
            if recovery not in todo:
                self._take_in(way, recovery, left)
        return todo

    def _take_in_of_others(self, way: list[Seen], recoveries: Sequence[Ranked], end: Ahead | None) -> None:
        """The last steps of a way are those of the other schedules too, if all chose the same."""
        last = way[-1]
        for recovery in RECOVERIES:
            ahead = end or self._judged[recovery.name].ahead(last.future, last.remembered)
            if recovery not in recoveries and ahead is not None:
                self._judged[recovery.name].add(way, ahead)

    def _take_in(self, way: list[Seen], recovery: Ranked, left: int, end: Ahead | None = None) -> None:
        """Note that a way leads to a good end: to rest, or to a world from which that was judged already."""
        last = way[-1]
        ahead = end or self._judged[recovery.name].ahead(last.future, last.remembered)
        if left == 0 and ahead is not None:
            self._judged[recovery.name].add(way, ahead)
        else:
            self._good[recovery.name, left].update(dict.fromkeys([one.fingerprint for one in way]))

    def _recover_apart(
        self, place: _Place, way: list[Seen], recoveries: Sequence[Ranked], left: int, steps: int
    ) -> None:
        """From here each schedule goes its own way."""
        frozen, known = self._freeze(place), dict(place.known)
        for recovery in recoveries:
            self._recovery = recovery
            if recovery is not recoveries[0]:
                place = self._thaw(frozen, known)
            self._perform(place, recovery.choose(place.world, place.world.enabled()))
            seen = self._see(place)
            self._recover(place, seen, left, [recovery], steps + 1)
            self._take_in([*way, seen], recovery, left)

    def _is_good(self, seen: Seen, recovery: Ranked, left: int) -> bool:
        """What any order leads to is judged as such, with every crash on the way."""
        if left == 0 and self._judged[recovery.name].ahead(seen.future, seen.remembered) is not None:
            return True
        if self._result.tier is Tier.TIERED and _Name(seen.fingerprint, 0) in self._reached:
            return True
        return any(seen.fingerprint in self._good[recovery.name, more] for more in range(left, self._limits.crashes))


def _choose(world: World, recoveries: Sequence[Ranked]) -> tuple[list[Action], bool]:
    """Return what these schedules choose, each action once, and whether all schedules of recoveries choose alike."""
    enabled = world.enabled()
    if not enabled:
        return [], True
    choices = {recovery: recovery.choose(world, enabled) for recovery in RECOVERIES}
    return list(dict.fromkeys([choices[recovery] for recovery in recoveries])), len(set(choices.values())) == 1


def _life_of(node: SimNode) -> tuple[object, ...]:
    return node.manager.outbox, node.manager, node.runtime, node.life
