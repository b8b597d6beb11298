"""Runs of scenario files: once as they are written, or as something that is explored."""

from collections.abc import Sequence

from leyden.sim.books import Books
from leyden.sim.commands import Do, Timed
from leyden.sim.director import Director
from leyden.sim.narrate import Narrator
from leyden.sim.oracles import check_rest
from leyden.sim.promises import Watcher
from leyden.sim.scenario import Scenario
from leyden.sim.schedules import Fair, pass_time, run_to_rest
from leyden.sim.script import SCHEDULES, Script, format_script
from leyden.sim.user import Order
from leyden.sim.world import Observers, Schedule, World

TRACE_LINES = 40


class Play:
    """One run. world, books, director: to be looked at when it is over.

    watched: what leaves a node is compared with what is durable there, at every step (`promises`).
    """

    def __init__(self, script: Script, *, watched: bool = True) -> None:
        self.script = script
        self.schedule: Schedule = SCHEDULES[script.schedule]()
        self.world = script.base().copy()
        for node in self.world.nodes.values():
            node.compact()
        run_to_rest(self.world, Fair())
        self.books = Books(self.world)
        self.director = Director(self.world)
        self.first = self.world.steps
        self._observers = self.world.observer = Observers()
        self._narrator: Narrator | None = None
        if watched:
            self._observers.all.append(Watcher(self.world))

    def narrated(self) -> Narrator:
        """Let a narrator watch this run; return it."""
        self._narrator = Narrator(self.world, self.director.labels)
        self._observers.all.insert(0, self._narrator)
        return self._narrator

    def run(self) -> None:
        """Run to rest, and check everything. Raises: Violation, Livelock; with the scenario in a note."""
        self.finish(self.script.commands)

    def finish(self, commands: Sequence[Timed]) -> None:
        """Carry out commands, come to rest, and check everything. Raises: as `run`."""
        try:
            self.carry_out(commands)
            check_rest(self.world, self.books, self.director.orders)
        except Exception as error:
            error.add_note(format_script(self.script))
            error.add_note("\n".join(self.world.trace[-TRACE_LINES:]))
            raise

    def carry_out(self, commands: Sequence[Timed]) -> None:
        """Carry out commands, and come to rest; check nothing. Raises: Livelock."""
        for timed in commands:
            self._take(timed)
        run_to_rest(self.world, self.schedule)

    def _take(self, timed: Timed) -> None:
        if timed.step < 0:
            self.director.announce(timed)
            return
        run_to_rest(self.world, self.schedule, lambda world: world.steps - self.first >= timed.step)
        # What is possible now became so before the command; a chosen action may have to wait for the clock.
        if not self.world.enabled() and isinstance(timed.command, Do):
            pass_time(self.world)
        if self._narrator is not None:
            self._narrator.command(timed)
        self.director.perform(timed.command)
        if self._narrator is not None:
            self._narrator.settled()


def scenario_of(script: Script, name: str) -> Scenario:
    """Return a scenario to be explored; its commands with a step are not part of it."""

    def begin(world: World) -> list[Order]:
        director = Director(world)
        for timed in script.commands:
            if timed.step < 0:
                director.announce(timed)
        return director.orders

    return Scenario(name, script.base(), begin, _all_acts_done)


def _all_acts_done(world: World, _orders: Sequence[Order]) -> None:
    assert not world.acts, f"not everything was done: {world.acts[0].name}"
