"""Ways to choose what happens next: fair, and each unfair one that has found something somewhere."""

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


def run_to_rest(world: World, schedule: Schedule, until: Callable[[World], bool] | None = None) -> bool:
    """Let things happen until nothing can, not even after the clock has moved; or until `until` says so: then True.

    Raises: Livelock.
    """
    quiet, patience = 0, PATIENCE_SECONDS
    last = world.steps + STEPS_MAX
    while quiet <= QUIET_SECONDS:
        if until is not None and until(world):
            return True
        enabled = world.enabled()
        if enabled:
            quiet = 0
            world.perform(schedule.choose(world, enabled))
            if world.steps > last:
                raise Livelock("\n".join(world.trace[-60:]))
            patience = PATIENCE_SECONDS
            continue
        world.tick()
        if patience and world.waits_for_time():
            patience -= 1
        else:
            quiet += 1
    return False
