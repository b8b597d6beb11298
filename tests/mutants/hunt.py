"""Looking for a mutant: run after run of its likely scenarios, then of all others, until a check of one fails."""

import ast
import importlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeAlias, TypeVar

import pytest

from leyden.crypto.hashes import sha256
from leyden.manager.events import PaymentClaimAbandoned, PaymentClaimed
from leyden.sim.node import SimNode
from leyden.sim.random_world import RandomWorld
from leyden.sim.scenario import Crash, Deviation, Scenario, combinations, crashes, cuts, holds, outline, replay
from leyden.sim.schedules import Fair, Last, Newest
from leyden.sim.user import Order
from leyden.sim.world import Action, Observer, Schedule, World
from tests.hazards.witness import Witness
from tests.mutants.mutant import Mutant, planted
from tests.sim.scenarios import SCENARIOS, scenario

ItemT = TypeVar("ItemT")
Run: TypeAlias = tuple[str, Callable[[], object]]
"""What it is, and how to do it: it raises if something is lost."""

SECONDS_MAX = 90
FIRST_RUNS = 80
"""Of each likely scenario, before the rest of any."""
OTHER_RUNS = 50
RANDOM_WORLDS = 20
SCHEDULES: tuple[tuple[str, Callable[[], Schedule]], ...] = (
    ("fair", Fair),
    ("slow store", partial(Last, "commit")),
    ("slow links", partial(Last, "deliver")),
    ("newest first", Newest),
)
_OWN_BUGS = ("TypeError", "NameError", "AttributeError", "UnboundLocalError", "ImportError")


@dataclass(frozen=True)
class Found:
    """What became of the search. by: the scenario; how: its schedule and deviations; runs: worlds run to rest."""

    name: str
    reached: int
    by: str
    how: str
    runs: int
    seconds: float
    violation: str

    @property
    def is_caught(self) -> bool:
        """Whether a check failed because the guard is gone, and not because the mutant itself is wrong."""
        return bool(self.by and self.reached) and not any(bug in self.violation for bug in _OWN_BUGS)


TO_AN_ERROR = "sent a warning: closing needs your channel_reestablish first"


def hunt(mutant: Mutant, seconds_max: float = SECONDS_MAX) -> Found:
    """Run worlds with the mutant until one fails, all are done, or the time is over."""
    for name in SCENARIOS:
        scenario(name)  # bases are made by the sound program
    runs, begin = 0, time.perf_counter()
    with planted(mutant) as counter:
        for by, how, run in _all_runs(mutant.scenarios):
            runs += 1
            try:
                run()
            except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - whatever goes wrong is what we look for
                seconds = time.perf_counter() - begin
                text = f"{type(error).__name__}: {error}"
                return Found(mutant.name, counter.count, by, how, runs, seconds, text)
            if time.perf_counter() - begin > seconds_max:
                break
        return Found(mutant.name, counter.count, "", "", runs, time.perf_counter() - begin, "")


def _all_runs(likely: Sequence[str]) -> Iterator[tuple[str, str, Callable[[], object]]]:
    started = {name: runs_of(name) for name in likely}
    for count in (FIRST_RUNS, None):
        for name, runs in started.items():
            yield from ((name, how, run) for how, run in islice(runs, count))
    for name in SCENARIOS:
        if name not in started:
            yield from ((name, how, run) for how, run in islice(runs_of(name), OTHER_RUNS))
    for number in range(RANDOM_WORLDS):
        yield "random worlds", str(number), RandomWorld(str(number)).run


class Watch:
    """Lets a witness look at whatever leaves a node, and counts what payments have in flight.

    beside: what else observes this world.
    """

    def __init__(self, world: World, beside: Observer | None) -> None:
        self._world = world
        self._witness = Witness(world)
        self._beside = beside

    def before(self, action: Action) -> None:
        """Look at what has left in a restart; see `Observer`."""
        self._witness.look()
        if self._beside is not None:
            self._beside.before(action)

    def after(self, action: Action) -> None:
        """See `Observer`."""
        self._witness.look()
        for node in self._world.nodes.values():
            nobody_complains(node)
            if node.is_up:
                never_more_than_the_total(node)
        if self._beside is not None:
            self._beside.after(action)


def never_more_than_the_total(node: SimNode) -> None:
    """No payment has more in flight than it is to pay (invariant P14)."""
    offered: dict[bytes, int] = {}
    for slot in node.manager.channels.values():
        for htlc in slot.state.core.outbound.values():
            source = htlc.add.source
            if source is not None and not source.forwarded and (htlc.removal is None or htlc.removal.preimage):
                delivered = htlc.add.amount_msat - htlc.add.fee_msat
                offered[source.origin] = offered.get(source.origin, 0) + delivered
    for payment_id, sum_msat in offered.items():
        payment = node.manager.node.ledger.payments.get(payment_id)
        assert payment is None or sum_msat <= payment.started.amount_msat, f"{node.name} offers {sum_msat} msat"


def nobody_complains(node: SimNode) -> None:
    """Honest peers never break the protocol in each other's eyes.

    Who has seen the close in a block says by an error that the channel is over; who has not answers that.
    """
    warnings = [one.text for one in node.reports if one.subsystem == "peer" and one.level == "warning"]
    said = [text for text in warnings if " sent an error: " not in text and not text.endswith(TO_AN_ERROR)]
    assert not said, f"{node.name}: {said[0]}"


def nothing_has_two_ends(world: World) -> None:
    """A claim is taken or given up."""
    for node in world.nodes.values():
        events = [shown.event for shown in node.shown]
        taken = {event.claim_id for event in events if isinstance(event, PaymentClaimed)}
        given_up = {event.claim_id for event in events if isinstance(event, PaymentClaimAbandoned)}
        assert not taken & given_up, f"{node.name} was told that a payment is its own, and that it is not"


def watched(made: Scenario) -> Scenario:
    """Return a scenario that is watched from where it begins."""

    def begin(world: World) -> list[Order]:
        orders = made.begin(world)
        world.observer = Watch(world, world.observer)
        return orders

    def check(world: World, orders: Sequence[Order]) -> None:
        nothing_has_two_ends(world)
        made.check(world, orders)

    return Scenario(made.name, made.base, begin, check)


def runs_of(name: str) -> Iterator[Run]:
    """Yield the runs of a scenario, or the one of a test that is named as `module:function[name=value]`."""
    if ":" in name:
        yield "", test_of(name)
        return
    made = watched(scenario(name))
    by_schedule = [_runs_under(made, text, schedule) for text, schedule in SCHEDULES]
    fair, *unfair = by_schedule
    yield from in_turn(fair, fair, *unfair)


def in_turn(*sources: Iterator[ItemT]) -> Iterator[ItemT]:
    """Yield one of each, over and over; nothing is taken before it is asked for."""
    left = list(sources)
    while left:
        for source in list(left):
            item = next(source, None)
            if item is None:
                left.remove(source)
            else:
                yield item


def _runs_under(made: Scenario, text: str, schedule: Callable[[], Schedule]) -> Iterator[Run]:
    for deviations in _deviations(made, schedule):
        how = text if not deviations else f"{text}: {', '.join(map(_describe, deviations))}"
        yield how, partial(replay, made, schedule(), deviations)


def test_of(name: str) -> Callable[[], object]:
    """Return a test, with its one parameter bound."""
    module, _, rest = name.partition(":")
    function, _, value = rest.removesuffix("]").partition("[")
    key, _, literal = value.partition("=")
    return partial(
        getattr(importlib.import_module(module), function), **({key: ast.literal_eval(literal)} if key else {})
    )


def _deviations(made: Scenario, schedule: Callable[[], Schedule]) -> Iterator[Sequence[Deviation]]:
    """Nothing; then crashes, lost connections and journals that stay behind in turn, each kind in a mixed order."""
    yield ()
    nodes = list(made.base.nodes)
    plan = outline(made, schedule())
    single = sorted(crashes(plan, nodes), key=_forgetful_first)
    late = sorted(holds(plan, nodes), key=_mixed)
    crashed: Iterator[Sequence[Deviation]] = ((crash,) for crash in single)
    held: Iterator[Sequence[Deviation]] = iter(late)
    cut: Iterator[Sequence[Deviation]] = ((one,) for one in sorted(cuts(plan, list(made.base.links)), key=_mixed))
    twice: Iterator[Sequence[Deviation]] = (
        (first, _next(first, second)) for first, second in zip(single, reversed(single), strict=True)
    )
    yield from in_turn(crashed, held, crashed, held, cut, held, twice)


def _forgetful_first(crash: Crash) -> tuple[bool, bytes]:
    return any(count for _, count in crash.kept), _mixed(crash)


def _mixed(value: object) -> bytes:
    return sha256(repr(value).encode())


def _next(first: Crash, other: Crash) -> Crash:
    """A crash in the recovery of the first, of the same node."""
    kept = combinations(dict.fromkeys([journal for journal, _ in first.kept], 2))
    return Crash(first.step + 1 + other.step % 20, first.node, kept[other.step % len(kept)])


def _describe(deviation: Deviation) -> str:
    match deviation:
        case Crash(step=step, node=node, kept=kept):
            names = ", ".join(f"{count} of {journal[:16]}" for journal, count in kept)
            return f"crash of {node} before step {step} that keeps {names or 'nothing'}"
        case _:
            return str(deviation)
