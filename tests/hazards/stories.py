"""What users do in the hazards, the names of journals, and what must be true in the end."""

from collections.abc import Callable, Sequence
from functools import partial

from leyden.channel.inputs import ForceClose
from leyden.crypto.hashes import sha256
from leyden.manager import events as ev
from leyden.manager.manager import Manager
from leyden.manager.state import Slot
from leyden.sim import user
from leyden.sim.handler import Prompt
from leyden.sim.schedules import Fair, run_to_rest
from leyden.sim.user import Order
from leyden.sim.world import World
from tests.sim import acts, scenarios

SMALL_MSAT = scenarios.SMALL_MSAT
TWO_PARTS_MSAT = scenarios.TWO_PARTS_MSAT
PATIENT = 100_000
"""A deadline that no store is late for, in seconds."""

Begin = Callable[[World], list[Order]]
Check = Callable[[World, Sequence[Order]], None]


def slot_of(world: World, node: str, peer: str, index: int = 0) -> Slot:
    """A node's channel with a peer, the oldest first."""
    node_id = world.nodes[peer].node_id
    return [slot for slot in world.nodes[node].manager.channels.values() if slot.peer == node_id][index]


def channel(node: str, peer: str, index: int = 0) -> Callable[[World], str]:
    """The journal of a node's channel with a peer."""
    return lambda world: slot_of(world, node, peer, index).tail.journal


def pay(payer: str, payee: str, world: World, amount_msat: int = SMALL_MSAT, name: str = "one") -> list[Order]:
    """One payment with time enough for any store."""
    return [scenarios.pay(world, payer, payee, amount_msat, name, deadline_seconds=PATIENT)]


pay_two_parts = partial(pay, amount_msat=TWO_PARTS_MSAT)


def fail(payer: str, payee: str, world: World) -> list[Order]:
    """One payment that its recipient sends back."""
    unknown = user.make_invoice(
        world.nodes[payee], SMALL_MSAT, hints=True, payment_hash=sha256(b"nobody knows the preimage")
    )
    started = user.invoice_payment(world.nodes[payer], unknown, acts.payment_id("one"), deadline_seconds=PATIENT)
    world.nodes[payee].application = Prompt("fail")
    order = Order(payer, started, payee)
    order.ask(world.nodes[payer])
    return [order]


def ask(payer: str, payee: str, world: World, amount_msat: int = SMALL_MSAT) -> list[Order]:
    """One payment, up to the moment when its recipient has been asked about it, and says nothing yet."""
    world.nodes[payee].application = Prompt("")
    orders = pay(payer, payee, world, amount_msat)
    until = world.clock.now_seconds + 3
    run_to_rest(world, Fair(), lambda at: at.clock.now_seconds > until)
    return orders


def answer(world: World, name: str, what: str) -> None:
    """The user of a node answers all that it was asked, and whatever it will be asked."""
    prompt = world.nodes[name].application = Prompt(what)

    def run(manager: Manager) -> None:
        for event in list(manager.events.values()):
            prompt.on_event(manager, event)

    world.nodes[name].run(run)


def close_by_force(world: World, node: str, peer: str, index: int = 0) -> Slot:
    """A user closes a channel without asking its peer."""
    slot = slot_of(world, node, peer, index)
    world.nodes[node].run(lambda m: m.guarded(slot, ForceClose("closed by the user")))
    return slot


def told(world: World, name: str, kind: type[ev.Event]) -> list[ev.Event]:
    """What a user was shown of a kind, in all lives."""
    return [one.event for one in world.nodes[name].shown if isinstance(one.event, kind)]


def claimed_once(payee: str, parts: int = 1) -> Check:
    """The payee was told of one claim of that many parts, by one id; and the payer that it has paid."""

    def check(world: World, orders: Sequence[Order]) -> None:
        events = told(world, payee, ev.PaymentClaimed)
        assert len({one.event_id for one in events}) == 1
        assert {one.parts for one in events if isinstance(one, ev.PaymentClaimed)} == {parts}
        assert told(world, orders[0].payer, ev.PaymentSent)

    return check


def carried_once(world: World, orders: Sequence[Order]) -> None:
    """bob offered what came from alice once, and no more, to carol."""
    del orders
    assert slot_of(world, "bob", "carol").state.core.next_outbound_id == 1
    assert slot_of(world, "carol", "bob").state.core.next_inbound_id == 1


def forwarded_once(world: World, orders: Sequence[Order]) -> None:
    """And its user was told, by one id, what it has earned."""
    carried_once(world, orders)
    events = told(world, "bob", ev.PaymentForwarded)
    assert len({one.event_id for one in events}) == 1
    claimed_once("carol")(world, orders)
