"""Events and the application: H93 to H98, H160."""

from collections.abc import Sequence
from functools import partial

import pytest

from leyden.crypto.hashes import sha256
from leyden.manager import events as ev
from leyden.manager import handoff, sending
from leyden.manager.events import Event
from leyden.manager.manager import Manager
from leyden.sim import user
from leyden.sim.handler import Prompt
from leyden.sim.user import Order
from leyden.sim.world import World
from tests.hazards import stories
from tests.hazards.forms import Form, Hazard, every_form, run_in
from tests.hazards.stories import channel
from tests.manager.stage import Stage
from tests.sim import topologies


def untold(payer: str, payee: str, world: World) -> list[Order]:
    """A payment; nobody's handler is done with anything."""
    for name in (payer, payee):
        world.nodes[name].application = Prompt("claim", acknowledges=False)
    return stories.pay(payer, payee, world)


@every_form
def test_event_that_was_handled_and_not_acknowledged_comes_again(form: Form) -> None:
    """H93: in each life, by the same id, at both ends, until the acknowledgement itself is durable."""

    def settle(world: World) -> None:
        for name, kind in (("alice", ev.PaymentSent), ("bob", ev.PaymentClaimed)):
            told = stories.told(world, name, kind)
            world.restart(name, world.nodes[name].disk.under_way())
            assert stories.told(world, name, kind) == [*told, told[-1]]
            stories.answer(world, name, "claim")

    hazard = Hazard(
        topologies.direct, partial(untold, "alice", "bob"), "alice", lambda _world: "node",
        stories.claimed_once("bob"), settle,
    )  # fmt: skip
    run_in(form, hazard)


def test_events_come_again_in_the_order_of_their_causes() -> None:
    """H94: a handler that fails sees the same event first in the next life, and nothing has been skipped."""
    stage = Stage(topologies.direct())
    for name in ("alice", "bob"):
        stage.prompt(name, "claim", acknowledges=False)
    for name in ("one", "two", "three"):
        stage.pay("alice", "bob", stage.invoice("bob", tag=name), name)
        stage.seconds(2)
    sent, claimed = stage.told("alice", ev.PaymentSent), stage.told("bob", ev.PaymentClaimed)
    assert len(sent) == len(claimed) == 3
    for _ in range(2):
        for name in ("alice", "bob"):
            stage.world.restart(name)
        stage.seconds(2)
        assert stage.told("alice", ev.PaymentSent)[-3:] == sent
        assert stage.told("bob", ev.PaymentClaimed)[-3:] == claimed
    assert list(stage.m("alice").events) == [one.event_id for one in sent]
    # The handler recovers; what it is done with first does not take the others with it.
    first = sent[0].event_id
    stage["alice"].run(lambda m: handoff.acknowledge_event(m, first))
    stage.seconds(2)
    stage.world.restart("alice")
    stage.seconds(2)
    assert stage.told("alice", ev.PaymentSent)[-2:] == sent[1:]
    for name in ("alice", "bob"):
        stories.answer(stage.world, name, "claim")
    stage.check()


@pytest.mark.parametrize("restarts", [False, True])
def test_handler_that_fails_stops_no_channel(restarts: bool) -> None:
    """H94: events wait, payments go on."""
    stage = Stage(topologies.direct())
    for name in ("alice", "bob"):
        stage.prompt(name, "claim", acknowledges=False)
    for number in range(6):
        stage.pay("alice", "bob", stage.invoice("bob", tag=f"{number}"), f"{number}")
        stage.seconds(2)
        assert stage.payment("alice", f"{number}").sent is not None
        if restarts:
            stage.world.restart("bob")
    for name in ("alice", "bob"):
        stories.answer(stage.world, name, "claim")
    stage.check()


def test_acknowledgement_that_is_not_durable_releases_nothing() -> None:
    """H95: the claim may be forgotten when the acknowledgement is on the disk, and not when it was given."""
    stage = Stage(topologies.direct())
    stage.prompt("bob", "claim", acknowledges=False)
    slot = stage.slot("bob", "alice")
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.seconds(2)
    [claimed] = stage.told("bob", ev.PaymentClaimed)
    stage["bob"].disk.held[slot.tail.journal] = None
    stage["bob"].run(lambda m: handoff.acknowledge_event(m, claimed.event_id))
    stage.seconds(3)
    assert not slot.state.core.claims, "forgotten in memory"
    stage.world.restart("bob")
    stage.seconds(2)
    assert stage.slot("bob", "alice").state.core.claims
    assert stage.told("bob", ev.PaymentClaimed) == [claimed, claimed]
    stories.answer(stage.world, "bob", "claim")
    stage.check()


class Onward:
    """An application that pays for every payment it has received, and is done with an event when that is durable."""

    def __init__(self, world: World, text: str) -> None:
        self.world = world
        self.text = text
        self.delay_seconds = 0

    def on_event(self, manager: Manager, event: Event) -> None:
        """See `Application`."""
        if not isinstance(event, ev.PaymentClaimed):
            handoff.acknowledge_event(manager, event.event_id)
            return
        payment_id = sha256(event.event_id.encode())
        if payment_id not in manager.node.ledger.payments:
            bob = self.world.nodes["bob"]
            started = user.invoice_payment(bob, self.text, payment_id, deadline_seconds=stories.PATIENT)
            sending.start_payment(manager, started, None)
        manager.outbox.when_durable(manager.node_tail, lambda: handoff.acknowledge_event(manager, event.event_id))


@every_form
def test_application_that_acts_and_then_acknowledges_acts_once(form: Form) -> None:
    """H96: its own payment has an id made of the event's, so a repetition is found, and a loss cannot happen."""

    def begin(world: World) -> list[Order]:
        text = user.make_invoice(world.nodes["alice"], stories.SMALL_MSAT // 2, hints=True, tag="onward")
        world.nodes["bob"].application = Onward(world, text)
        return stories.pay("alice", "bob", world)

    def check(world: World, _orders: Sequence[Order]) -> None:
        [payment] = world.nodes["bob"].manager.node.ledger.payments.values()
        assert payment.sent is not None
        claimed = stories.told(world, "alice", ev.PaymentClaimed)
        assert len({one.event_id for one in claimed}) == 1

    def oracles(world: World, _books: object, orders: Sequence[Order]) -> None:
        for node in world.nodes.values():
            assert not node.manager.events
            assert not any(slot.state.core.has_pending_htlcs() for slot in node.manager.channels.values())
        del orders

    run_in(form, Hazard(topologies.direct, begin, "bob", channel("bob", "alice"), check, oracles=oracles))


@pytest.mark.parametrize("journal", ["node", "channel"])
@pytest.mark.parametrize("durable", [False, True])
def test_snapshot_neither_loses_nor_doubles_an_event(journal: str, durable: bool) -> None:
    """H97: what waits for its handler is in the snapshot; one that fails or is lost has changed nothing."""
    stage = Stage(topologies.direct())
    for name in ("alice", "bob"):
        stage.prompt(name, "claim", acknowledges=False)
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.pay("bob", "alice", stage.invoice("alice", tag="back"), "back")
    stage.seconds(3)
    for name, peer in (("alice", "bob"), ("bob", "alice")):
        stage[name].runtime.snapshot("node" if journal == "node" else stage.slot(name, peer).tail.journal)
    if durable:
        stage.act()
    before = {name: dict(stage.m(name).events) for name in ("alice", "bob")}
    for name in ("alice", "bob"):
        stage.world.restart(name)
    stage.seconds(2)
    for name in ("alice", "bob"):
        assert stage.m(name).events == before[name]
        stories.answer(stage.world, name, "claim")
    stage.check()
