"""The forms in which a hazard is tried: how the store answers, and what a restart finds in the journals.

`N` the store answers at once; `L` it is late with everything, and time goes by; `R` writes of the journals become
durable in another order than they were made, this journal last and then the others last. `=` a restart finds all that
was written; `<` this journal has lost the end of it; `>` the other journals have.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

import msgspec
import pytest

from leyden.sim.books import Books
from leyden.sim.freezing import Freezer
from leyden.sim.oracles import check_rest
from leyden.sim.schedules import Fair, run_to_rest
from leyden.sim.user import Order
from leyden.sim.world import Action, Schedule, World
from tests.hazards.witness import Witness


class Form(msgspec.Struct, frozen=True):
    """store: one of `NLR`. restart: one of `=<>`, or empty for none."""

    store: str
    restart: str


every_answer = pytest.mark.parametrize("store", "NLR")
every_form = pytest.mark.parametrize(
    "form",
    [Form(store, restart) for store in "NLR" for restart in ("", "=", "<", ">")],
    ids=lambda form: f"{form.store}{form.restart}",
)


def orders_only(_world: World, _orders: Sequence[Order]) -> None:
    """The oracles and the witness are enough."""


class Hazard(msgspec.Struct, frozen=True):
    """What is tried. begin: what the users do. node: whose disk it is about. this: the name of the journal in question.

    check: what must be true at the end, beside the oracles. settle: what users do once all is at rest, before that.
    oracles: what must be true of every world at rest.
    """

    base: Callable[[], World]
    begin: Callable[[World], list[Order]]
    node: str
    this: Callable[[World], str]
    check: Callable[[World, Sequence[Order]], None] = orders_only
    settle: Callable[[World], None] | None = None
    oracles: Callable[[World, Books, Sequence[Order]], None] = check_rest


class StoreFirst:
    """Every write is durable before anything else happens."""

    def choose(self, world: World, enabled: Sequence[Action]) -> Action:
        """See `Schedule`."""
        del world
        return next((action for action in enabled if action.kind == "commit"), enabled[0])


class Late:
    """Writes of one node become durable when nothing else can happen, and a second goes by before each."""

    def __init__(self, node: str) -> None:
        self.node = node

    def choose(self, world: World, enabled: Sequence[Action]) -> Action:
        """See `Schedule`."""
        other = next((action for action in enabled if action[:2] != ("commit", self.node)), None)
        if other is None:
            world.tick()
        return other or enabled[0]


class Behind:
    """Writes of one journal become durable when nothing else can happen; or, the other way round, all others do."""

    def __init__(self, node: str, journal: str, *, others: bool) -> None:
        self.node = node
        self.journal = journal
        self.others = others

    def _waits(self, action: Action) -> bool:
        return action[:2] == ("commit", self.node) and (action.subject == self.journal) is not self.others

    def choose(self, world: World, enabled: Sequence[Action]) -> Action:
        """See `Schedule`."""
        for _ in range(2):
            if action := next((action for action in enabled if not self._waits(action)), None):
                return action
            # Acknowledgements go along with other records, or alone after a second: let them be before what waits.
            world.tick()
            enabled = world.enabled()
        return enabled[0]


def schedules_of(form: Form, node: str, this: str) -> list[Schedule]:
    """The ways in which the store answers in this form."""
    match form.store:
        case "N":
            return [StoreFirst()]
        case "L":
            return [Late(node)]
        case _:
            return [Behind(node, this, others=False), Behind(node, this, others=True)]


def prefixes(form: Form, under_way: dict[str, int], this: str) -> Iterator[dict[str, int]]:
    """What a crash keeps of each journal in this form; nothing when there is no such crash now."""
    others = {name: count for name, count in under_way.items() if name != this}
    match form.restart:
        case "=" if under_way:
            yield dict(under_way)
        case "<":
            for left in range(under_way.get(this, 0)):
                yield {**others, this: left}
        case ">" if others:
            yield {this: under_way.get(this, 0)}
        case _:
            return


class _Start(NamedTuple):
    """A base at rest, with its books, to begin any run from; and what freezes the runs."""

    freezer: Freezer
    frozen: bytes


@cache
def _start(base: World) -> _Start:
    world = base.copy()
    run_to_rest(world, Fair())
    freezer = Freezer(world)
    return _Start(freezer, freezer.freeze((world, Books(world))))


class _Moment(NamedTuple):
    """A moment of a plan, to come back to. under_way: what the disk of the node in question had under way."""

    step: int
    under_way: dict[str, int]
    frozen: bytes


class _Run:
    """One run of a hazard, watched at every step; from its beginning, or from a moment of its plan."""

    def __init__(self, hazard: Hazard, schedule: Schedule, moment: _Moment | None = None) -> None:
        self.hazard, self.schedule = hazard, schedule
        self._freezer, begin = _start(hazard.base())
        self._wanted: Callable[[dict[str, int]], bool] | None = None
        self._looked = 0
        self.moments: list[_Moment] = []
        if moment is not None:
            self.world, self.books, self.orders, self.first, self.witness = self._freezer.thaw(moment.frozen)
            return
        self.world, self.books = self._freezer.thaw(begin)
        self.orders = hazard.begin(self.world)
        self.first = self.world.steps
        self.witness = Witness(self.world)

    @classmethod
    def plan(cls, hazard: Hazard, schedule: Schedule, wanted: Callable[[dict[str, int]], bool]) -> "_Run":
        """Run to the end, and keep the moments before `settle` at which what has come under way is wanted."""
        run = cls(hazard, schedule)
        run._wanted = wanted
        run.finish()
        return run

    def _look(self, world: World) -> bool:
        self.witness.look()
        step = world.steps - self.first
        if self._wanted is not None and step >= self._looked:
            self._looked = step + 1
            under_way = world.nodes[self.hazard.node].disk.under_way()
            if self._wanted(under_way):
                parts = (world, self.books, self.orders, self.first, self.witness)
                self.moments.append(_Moment(step, under_way, self._freezer.freeze(parts)))
        return False

    def until(self, step: int) -> None:
        """Run up to a step."""
        run_to_rest(self.world, self.schedule, lambda at: self._look(at) or at.steps - self.first >= step)

    def restart(self, kept: dict[str, int]) -> None:
        """Kill the node and start it; a user whose call did not return calls again."""
        self.world.restart(self.hazard.node, kept)
        for order in self.orders:
            if order.payer == self.hazard.node:
                order.ask(self.world.nodes[order.payer])

    def finish(self) -> None:
        """Run to rest and check everything."""
        run_to_rest(self.world, self.schedule, self._look)
        self._wanted = None
        if self.hazard.settle is not None:
            self.hazard.settle(self.world)
            run_to_rest(self.world, self.schedule, self._look)
        self.hazard.oracles(self.world, self.books, self.orders)
        self.hazard.check(self.world, self.orders)
        assert self.witness.messages_seen, "the witness has seen nothing"


class _Fresh:
    """Wants each moment that has something else under way than the one before."""

    def __init__(self) -> None:
        self._before: dict[str, int] = {}

    def __call__(self, under_way: dict[str, int]) -> bool:
        """Look at the next moment."""
        before, self._before = self._before, under_way
        return bool(under_way) and under_way != before


def run_in(form: Form, hazard: Hazard) -> None:
    """Run a hazard in one form; with a restart at every moment that has something else under way.

    Raises: AssertionError, with the crash and the last steps, also when the form cannot happen.
    """
    tried = 0
    for schedule in schedules_of(form, hazard.node, hazard.this(hazard.base())):
        plan = _Run.plan(hazard, schedule, _Fresh() if form.restart else lambda _: False)
        for moment in plan.moments:
            for kept in prefixes(form, moment.under_way, hazard.this(plan.world)):
                _crash(hazard, schedule, moment, kept)
                tried += 1
    assert tried or not form.restart, "no crash of this form can happen"


def run_with_cuts(store: str, hazard: Hazard, one: str, other: str) -> None:
    """Run a hazard with one kind of store, and lose the connection of two nodes before each step; now and then twice.

    Raises: AssertionError, with the cut and the last steps.
    """
    for schedule in schedules_of(Form(store, ""), hazard.node, hazard.this(hazard.base())):
        for moment in _Run.plan(hazard, schedule, lambda _: True).moments:
            step = moment.step
            for again in (0,) if step % 3 else (0, 1 + step % 5):
                _cut(hazard, schedule, moment, again, (one, other))


def _cut(hazard: Hazard, schedule: Schedule, moment: _Moment, again: int, link: tuple[str, str]) -> None:
    run = _Run(hazard, schedule, moment)
    try:
        run.world.cut(*link)
        if again:
            run.until(moment.step + again)
            run.world.cut(*link)
        run.finish()
    except Exception as error:
        error.add_note(f"{type(schedule).__name__}: cut at step {moment.step}, again {again} later")
        error.add_note("\n".join(run.world.trace[-40:]))
        raise


def _crash(hazard: Hazard, schedule: Schedule, moment: _Moment, kept: dict[str, int]) -> None:
    run = _Run(hazard, schedule, moment)
    try:
        run.restart(kept)
        run.finish()
    except Exception as error:
        error.add_note(f"{type(schedule).__name__}: crash of {hazard.node} at step {moment.step}, kept {kept}")
        error.add_note("\n".join(run.world.trace[-40:]))
        raise


def run_with_two_crashes(hazard: Hazard) -> None:
    """Crash at each moment, keeping all of either side, and again during the recovery, keeping all or nothing.

    Raises: AssertionError, with the crashes and the last steps.
    """
    tried = 0
    for schedule in (StoreFirst(), Late(hazard.node)):
        plan = _Run.plan(hazard, schedule, _Fresh())
        for moment in plan.moments:
            for restart in "<>":
                for kept in prefixes(Form("N", restart), moment.under_way, hazard.this(plan.world)):
                    for later in ((0, 3), (1, 6))[moment.step % 2]:
                        _crash_twice(hazard, schedule, moment, kept, later, keeps=bool(tried % 2))
                        tried += 1
    assert tried, "no crash can happen"


def _crash_twice(
    hazard: Hazard, schedule: Schedule, moment: _Moment, kept: dict[str, int], later: int, *, keeps: bool
) -> None:
    run = _Run(hazard, schedule, moment)
    try:
        run.restart(kept)
        run.until(moment.step + later)
        run.restart(run.world.nodes[hazard.node].disk.under_way() if keeps else {})
        run.finish()
    except Exception as error:
        error.add_note(
            f"{type(schedule).__name__}: crash at step {moment.step}, kept {kept}, again {later} later ({keeps})"
        )
        error.add_note("\n".join(run.world.trace[-40:]))
        raise
