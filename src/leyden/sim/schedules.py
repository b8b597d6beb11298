"""Ways to choose what happens next: fair, and each unfair one that has found something somewhere."""

from collections import deque
from collections.abc import Callable, Sequence

from leyden.crypto.hashes import sha256
from leyden.sim.world import Action, Schedule, World

STEPS_MAX = 20_000
QUIET_SECONDS = 2
PATIENCE_SECONDS = 200


class Fair:
    """Whatever has been possible for longest."""

    def choose(self, world: World, enabled: Sequence[Action]) -> Action:
        """See `Schedule`."""
        del world
        return enabled[0]


class Last:
    """One kind of action only when nothing else is possible: a slow store, or slow links."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def choose(self, world: World, enabled: Sequence[Action]) -> Action:
        """See `Schedule`."""
        del world
        return next((action for action in enabled if action.kind != self.kind), enabled[0])


class Newest:
    """Whatever has become possible last: the oldest writes and messages wait longest."""

    def choose(self, world: World, enabled: Sequence[Action]) -> Action:
        """See `Schedule`."""
        del world
        return enabled[-1]


class Ranked:
    """By kind, and of one kind by name: what comes next follows from what the world is, not from how it came to be."""

    def __init__(self, name: str, *kinds: str) -> None:
        self.name = name
        self._ranks = {kind: rank for rank, kind in enumerate(kinds)}

    def choose(self, world: World, enabled: Sequence[Action]) -> Action:
        """See `Schedule`."""
        del world
        return min(enabled, key=self._rank)

    def _rank(self, action: Action) -> tuple[int, Action]:
        return self._ranks[action.kind], action


STORE_FIRST = Ranked("store first", "commit", "sign", "block", "mempool", "connect", "act", "deliver")
STORE_LAST = Ranked("store last", "deliver", "connect", "block", "mempool", "sign", "act", "commit")


class Scripted:
    """Given actions, one after the other; then what another schedule says."""

    def __init__(self, actions: Sequence[Action], then: Schedule) -> None:
        self._left = deque(actions)
        self._then = then

    def choose(self, world: World, enabled: Sequence[Action]) -> Action:
        """See `Schedule`."""
        if not self._left:
            return self._then.choose(world, enabled)
        action = self._left.popleft()
        assert action in enabled or action in world.reads(), f"{action} is not possible here, only {enabled}"
        return action


class Draws:
    """Numbers from a seed."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._drawn = 0

    def below(self, limit: int) -> int:
        """Return a number from 0 to limit - 1."""
        self._drawn += 1
        return int.from_bytes(sha256(self._seed + self._drawn.to_bytes(8, "big"))[:8], "big") % limit


class Drawn:
    """Anything, as the seed says; now and then messages arrive one by one."""

    def __init__(self, draws: Draws) -> None:
        self.draws = draws

    def choose(self, world: World, enabled: Sequence[Action]) -> Action:
        """See `Schedule`."""
        world.deliver_count = 1 if self.draws.below(4) == 0 else 1_000_000
        return enabled[self.draws.below(len(enabled))]


def schedules(seed: bytes) -> list[Schedule]:
    """Return one schedule of each kind."""
    return [Fair(), Last("commit"), Last("deliver"), Newest(), Drawn(Draws(seed))]


class Livelock(AssertionError):
    """The world does not come to rest."""


class Calm:
    """Whether a world in which nothing can happen is at rest, or only waits for the clock."""

    def __init__(self) -> None:
        self._quiet, self._patience = 0, PATIENCE_SECONDS

    def is_rest(self) -> bool:
        """Return whether the clock has moved long enough."""
        return self._quiet > QUIET_SECONDS

    def tick(self, world: World) -> None:
        """Move the clock by a second."""
        world.tick()
        if self._patience and world.waits_for_time():
            self._patience -= 1
        else:
            self._quiet += 1


def pass_time(world: World) -> bool:
    """Nothing can happen: move the clock until something can; return whether that came to be."""
    calm = Calm()
    while not calm.is_rest():
        calm.tick(world)
        if world.enabled():
            return True
    return False


def run_to_rest(world: World, schedule: Schedule, until: Callable[[World], bool] | None = None) -> bool:
    """Let things happen until nothing can, not even after the clock has moved; or until `until` says so: then True.

    Raises: Livelock.
    """
    calm = Calm()
    last = world.steps + STEPS_MAX
    while not calm.is_rest():
        if until is not None and until(world):
            return True
        enabled = world.enabled()
        if enabled:
            calm = Calm()
            world.perform(schedule.choose(world, enabled))
            if world.steps > last:
                raise Livelock("\n".join(world.trace[-60:]))
        else:
            calm.tick(world)
    return False
