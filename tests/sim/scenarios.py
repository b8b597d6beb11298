"""What users do in the crash tests, by name."""

from collections.abc import Callable
from functools import partial

from leyden.crypto.hashes import sha256
from leyden.sim import user
from leyden.sim.handler import Prompt
from leyden.sim.scenario import Check, Scenario, no_more_checks
from leyden.sim.schedules import Fair, run_to_rest
from leyden.sim.user import Order
from leyden.sim.world import World
from tests.sim import scenarios_channels, scenarios_claims, scenarios_payments, topologies
from tests.sim.acts import payment_id

SMALL_MSAT = 50_000_000
TWO_PARTS_MSAT = 700_000_000


def pay(world: World, payer: str, payee: str, amount_msat: int = SMALL_MSAT, name: str = "one", **terms: int) -> Order:
    """Make an invoice with hints, and ask the payer to pay it."""
    text = user.make_invoice(world.nodes[payee], amount_msat, hints=True, tag=name)
    started = user.invoice_payment(world.nodes[payer], text, payment_id(name), **terms)  # type: ignore[arg-type]
    order = Order(payer, started, payee)
    order.ask(world.nodes[payer])
    return order


def begin_payment(payer: str, payee: str, amount_msat: int, world: World) -> list[Order]:
    """One payment."""
    return [pay(world, payer, payee, amount_msat)]


def begin_failure(world: World) -> list[Order]:
    """A payment that its recipient does not know: it fails there, and the failure comes back."""
    carol = world.nodes["carol"]
    unknown = user.make_invoice(carol, SMALL_MSAT, hints=True, payment_hash=sha256(b"nobody knows the preimage"))
    started = user.invoice_payment(world.nodes["alice"], unknown, payment_id("one"))
    carol.application = Prompt("fail")
    order = Order("alice", started, "carol")
    order.ask(world.nodes["alice"])
    return [order]


def begin_late_answer(answer: str, payer: str, payee: str, amount_msat: int, world: World) -> list[Order]:
    """A payment that its recipient was asked about long ago is answered now."""
    user_of_payee = Prompt("")
    world.nodes[payee].application = user_of_payee
    order = pay(world, payer, payee, amount_msat, deadline_seconds=10_000)
    run_to_rest(world, Fair(), lambda at: at.clock.now_seconds > order.started.created_seconds + 3)
    user_of_payee.answer = answer
    manager = world.nodes[payee].manager
    for event in list(manager.events.values()):
        world.nodes[payee].run(partial(user_of_payee.on_event, event=event))
    return [order]


def begin_both_ways(world: World) -> list[Order]:
    """Two payments that cross each other."""
    return [pay(world, "alice", "bob", name="there"), pay(world, "bob", "alice", name="back")]


def scenario(name: str) -> Scenario:
    """Return a scenario by its name."""
    base, begin = SCENARIOS[name]
    return Scenario(name, base(), begin, CHECKS.get(name, no_more_checks))


def _payment(payer: str, payee: str, amount_msat: int = SMALL_MSAT) -> Callable[[World], list[Order]]:
    return partial(begin_payment, payer, payee, amount_msat)


SCENARIOS: dict[str, tuple[Callable[[], World], Callable[[World], list[Order]]]] = {
    "direct": (topologies.direct, _payment("alice", "bob")),
    "both ways": (topologies.direct, begin_both_ways),
    "forward": (topologies.line, _payment("alice", "carol")),
    "failure": (topologies.line, begin_failure),
    "two parts": (topologies.double, _payment("alice", "bob", TWO_PARTS_MSAT)),
    "two parts forwarded": (topologies.diamond, _payment("alice", "dave", TWO_PARTS_MSAT)),
    "hold": (partial(topologies.direct, "bob"), _payment("alice", "bob")),
    "hold two parts": (partial(topologies.double, "bob"), _payment("alice", "bob", TWO_PARTS_MSAT)),
    "late claim": (
        partial(topologies.line, "carol"),
        partial(begin_late_answer, "claim", "alice", "carol", SMALL_MSAT),
    ),
    "late failure": (
        partial(topologies.line, "carol"),
        partial(begin_late_answer, "fail", "alice", "carol", SMALL_MSAT),
    ),
    "late claim of two parts": (
        partial(topologies.double, "bob"),
        partial(begin_late_answer, "claim", "alice", "bob", TWO_PARTS_MSAT),
    ),
    "hold forwarded": (partial(topologies.line, "carol"), _payment("alice", "carol")),
}
MAIN = list(SCENARIOS)
"""The main stories: tests try every crash of these."""
SCENARIOS |= {**scenarios_claims.SCENARIOS, **scenarios_payments.SCENARIOS, **scenarios_channels.SCENARIOS}
CHECKS: dict[str, Check] = {**scenarios_claims.CHECKS, **scenarios_payments.CHECKS, **scenarios_channels.CHECKS}
