"""Payments to users that take their time, over journals that take theirs: questions, claims, equal hashes."""

from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from leyden.invoices import bolt11
from leyden.journal.node_records import FixedHop, FixedRoute
from leyden.manager import events as ev
from leyden.manager import handoff
from leyden.sim import user
from leyden.sim.commands import IN_TURN
from leyden.sim.handler import Prompt
from leyden.sim.node import SimNode
from leyden.sim.scenario import Check
from leyden.sim.schedules import Fair, run_to_rest
from leyden.sim.user import Order
from leyden.sim.world import World
from tests.sim import topologies
from tests.sim.acts import (
    FirstOnly,
    Hasty,
    Noting,
    answer,
    hold,
    journals_of,
    mine_to,
    ordered,
    payment_id,
    then,
    was_told,
)

Begin = Callable[[World], list[Order]]
SMALL_MSAT = 50_000_000
TWO_PARTS_MSAT = 700_000_000
LONG_SECONDS = 100_000


def _asked(world: World, payee: str, amount_msat: int, prompt: Prompt, *, expiry_seconds: int = 3600) -> Order:
    """A payment that its recipient has been asked about for some seconds."""
    node = world.nodes[payee]
    node.application = prompt
    text = user.make_invoice(node, amount_msat, hints=True, tag="one", expiry_seconds=expiry_seconds)
    order = ordered(world, "alice", text, payee, deadline_seconds=LONG_SECONDS)
    since = world.clock.now_seconds
    run_to_rest(world, Fair(), lambda at: at.clock.now_seconds > since + 5)
    return order


def _second_journal(node: SimNode) -> str:
    return journals_of(node)[1]


# --- questions -----------------------------------------------------------------------------------------------------


def begin_expired_question(prompt_class: type[Prompt], world: World) -> list[Order]:
    """Asked long ago; since then the invoice has expired and the policy has changed; answered now."""
    prompt = prompt_class("")
    bob = world.nodes["bob"]
    order = _asked(world, "bob", SMALL_MSAT, prompt, expiry_seconds=3)
    world.tick(2)
    bob.config = msgspec.structs.replace(bob.config, min_final_cltv_expiry_delta=100, accept_keysend=False)
    then(world, "answer", lambda: answer(bob, prompt, "claim"), IN_TURN)
    return [order]


def begin_behind_late_journal(world: World) -> list[Order]:
    """One part's verdict is late, and lost with a crash; by then the invoice has expired."""
    bob = world.nodes["bob"]
    prompt = bob.application = Prompt("")
    slot = list(bob.manager.channels.values())[1]
    text = user.make_invoice(bob, TWO_PARTS_MSAT, hints=True, tag="one", expiry_seconds=3)
    order = ordered(world, "alice", text, "bob", deadline_seconds=LONG_SECONDS)

    def is_last_revocation_missing(_world: World) -> bool:
        return bool(slot.state.core.peer_signed.adds) and slot.tail.durable == slot.tail.position

    assert run_to_rest(world, Fair(), is_last_revocation_missing)
    hold(bob, slot.tail.journal)
    since = world.clock.now_seconds
    run_to_rest(world, Fair(), lambda at: at.clock.now_seconds > since + 5)
    then(world, "restart", lambda: world.restart("bob"), IN_TURN)
    then(world, "answer", lambda: answer(bob, prompt, "claim"))
    return [order]


def who_is_asked_is_paid(world: World, orders: Sequence[Order]) -> None:
    """The user may have delivered the goods."""
    payment = world.nodes["alice"].manager.node.ledger.payments[orders[0].started.payment_id]
    if was_told(world.nodes["bob"], ev.PaymentClaimable):
        assert payment.sent is not None, "the user was asked, said yes, and was not paid"


def begin_past_deadline(world: World) -> list[Order]:
    """The answer comes when it is too late to settle."""
    bob = world.nodes["bob"]
    prompt = Prompt("")
    order = _asked(world, "bob", SMALL_MSAT, prompt)
    deadline = next(one for one in bob.manager.events.values() if isinstance(one, ev.PaymentClaimable)).deadline_height
    then(world, "deadline", lambda: mine_to(world, deadline))
    then(world, "answer", lambda: answer(bob, prompt, "claim"))
    return [order]


def nobody_is_paid(world: World, orders: Sequence[Order]) -> None:
    """Too late is too late."""
    for order in orders:
        payment = world.nodes[order.payer].manager.node.ledger.payments[order.started.payment_id]
        assert payment.failed is not None, "taken too late to be safe"


# --- claims of several parts ---------------------------------------------------------------------------------------


def begin_claim_behind_late_journal(payee: str, cut: tuple[str, str] | None, world: World) -> list[Order]:
    """The user claims while one part's journal hangs. cut: a connection of another part is lost meanwhile."""
    node = world.nodes[payee]
    prompt = Prompt("")
    order = _asked(world, payee, TWO_PARTS_MSAT, prompt)
    journal = _second_journal(node)
    then(world, "hold", lambda: hold(node, journal), IN_TURN)
    then(world, "claim", lambda: answer(node, prompt, "claim"), IN_TURN)
    if cut is not None:
        then(world, "cut", lambda: world.cut(*cut))
    then(world, "wait", lambda: None)
    then(world, "release", node.disk.held.clear)
    return [order]


def begin_claim_while_away(world: World) -> list[Order]:
    """The user claims while the payer is away, and does not acknowledge before it is back."""
    bob = world.nodes["bob"]
    prompt = Prompt("", acknowledges=False)
    order = _asked(world, "bob", SMALL_MSAT, prompt)

    def away() -> None:
        world.links[("alice", "bob")] = False
        world.cut("alice", "bob")

    def done() -> None:
        prompt.acknowledges = True
        for event_id in list(bob.manager.events):
            bob.run(partial(handoff.acknowledge_event, event_id=event_id))

    then(world, "away", away, IN_TURN)
    then(world, "claim", lambda: answer(bob, prompt, "claim"))
    then(world, "back", lambda: world.links.update({("alice", "bob"): True}))
    then(world, "done", done)
    return [order]


def begin_claim_given_up(world: World) -> list[Order]:
    """The user claims, one part's journal hangs until it is too late for a claim, and then it goes on."""
    bob = world.nodes["bob"]
    prompt = Prompt("")
    order = _asked(world, "bob", TWO_PARTS_MSAT, prompt)
    question = next(one for one in bob.manager.events.values() if isinstance(one, ev.PaymentClaimable))
    journal, too_late = _second_journal(bob), question.deadline_height + bob.config.claim_deadline_blocks - 9
    then(world, "hold", lambda: hold(bob, journal), IN_TURN)
    then(world, "claim", lambda: answer(bob, prompt, "claim"), IN_TURN)
    then(world, "deadline", lambda: mine_to(world, question.deadline_height))
    then(world, "too late", lambda: mine_to(world, too_late))
    doomed = Doomed(order)

    def release() -> None:
        doomed.is_late = doomed.is_late or journal in bob.disk.held
        bob.disk.held.clear()

    then(world, "release", release)
    return [doomed]


class Doomed(Order):
    """A payment whose claim comes too late. is_late: the journal of a part hung until then."""

    def __init__(self, order: Order) -> None:
        super().__init__(order.payer, order.started, order.payee)
        self.accepted = True
        self.is_late = False


def late_claims_are_given_up(world: World, orders: Sequence[Order]) -> None:
    """What is not durable everywhere in time is given up everywhere."""
    for order in orders:
        payment = world.nodes[order.payer].manager.node.ledger.payments[order.started.payment_id]
        assert isinstance(order, Doomed)
        assert not order.is_late or payment.failed is not None, "taken although it was too late"


def begin_whole_claim_and_blocks(world: World) -> list[Order]:
    """A claim that was whole waits for a peer that is away, until it would be too late for one that was not whole."""
    dave = world.nodes["dave"]
    prompt = Prompt("")
    order = _asked(world, "dave", TWO_PARTS_MSAT, prompt)
    question = next(one for one in dave.manager.events.values() if isinstance(one, ev.PaymentClaimable))
    too_late = question.deadline_height + dave.config.claim_deadline_blocks - 9
    links = [("carol", "dave"), ("dave", "carol")]
    links = [link for link in links if link in world.links]

    def away() -> None:
        world.links.update(dict.fromkeys(links, False))
        world.cut("carol", "dave")

    def late() -> None:
        """Blocks that dave is not there to see: else he would close the channel with carol in time."""
        world.crash("dave")
        mine_to(world, too_late)
        dave.start()

    then(world, "away", away, IN_TURN)
    then(world, "claim", lambda: answer(dave, prompt, "claim"), IN_TURN)
    then(world, "too late", late)
    then(world, "back", lambda: world.links.update(dict.fromkeys(links, True)))
    return [order]


def who_claims_is_paid(world: World, orders: Sequence[Order]) -> None:
    """A claim that was whole is never given up."""
    for order in orders:
        payment = world.nodes[order.payer].manager.node.ledger.payments[order.started.payment_id]
        assert payment.sent is not None, "claimed and not paid"


def begin_two_parts_in_one_channel(world: World) -> list[Order]:
    """Two HTLCs of one payment in one journal."""
    alice, bob = world.nodes["alice"], world.nodes["bob"]
    text = user.make_invoice(bob, 2 * SMALL_MSAT, tag="one")
    slot = next(iter(alice.manager.channels.values()))
    expiry = alice.manager.env.block_height + bob.config.min_final_cltv_expiry_delta + 3
    hop = FixedHop(slot.state.core.local_alias, bob.node_id, SMALL_MSAT, expiry)
    route = FixedRoute(slot.channel_id, [hop], bolt11.decode(text).payment_secret, 0)
    started = user.route_payment(alice, text, 2 * SMALL_MSAT, payment_id("one"), [route, route])
    order = Order("alice", started, "bob")
    order.ask(alice)
    return [order]


def begin_refused_routes(world: World) -> list[Order]:
    """Two given routes, and a user who refuses."""
    world.nodes["bob"].application = Prompt("fail")
    return begin_two_parts_in_one_channel(world)


def every_route_is_tried_once(world: World, _orders: Sequence[Order]) -> None:
    """In all lives together."""
    [slot] = world.nodes["alice"].manager.channels.values()
    tried = slot.state.core.next_outbound_id
    assert tried <= 2, f"{tried} HTLCs over two routes"


# --- equal hashes --------------------------------------------------------------------------------------------------


def begin_same_hash(world: World) -> list[Order]:
    """Two payers have the same invoice; the user takes one payment, and refuses the other later."""
    bob = world.nodes["bob"]
    user_of_bob = bob.application = FirstOnly()
    text = user.make_invoice(bob, SMALL_MSAT, tag="one", hints=True)
    orders = [ordered(world, "alice", text, "bob", deadline_seconds=LONG_SECONDS)]

    def second() -> None:
        order = ordered(world, "carol", text, "bob", "two", deadline_seconds=LONG_SECONDS)
        orders.append(order)

    then(world, "second", second)
    then(world, "restart", lambda: world.restart("bob"))
    then(world, "refuse", lambda: user_of_bob.refuse_others(bob))
    then(world, "done", lambda: user_of_bob.acknowledge_all(bob))
    return orders


def one_is_paid(world: World, orders: Sequence[Order]) -> None:
    """The user took one."""
    sent = [
        order
        for order in orders
        if world.nodes[order.payer].manager.node.ledger.payments[order.started.payment_id].sent is not None
    ]
    assert len(sent) == 1, f"{len(sent)} of {len(orders)} were taken"


def begin_same_hash_twice(world: World) -> list[Order]:
    """Two payers have the same invoice; the user takes both payments, one after the other."""
    text = user.make_invoice(world.nodes["bob"], SMALL_MSAT, tag="one", hints=True)
    orders = [ordered(world, "alice", text, "bob", deadline_seconds=LONG_SECONDS)]
    then(world, "second", lambda: orders.append(ordered(world, "carol", text, "bob", "two")))
    return orders


# --- applications --------------------------------------------------------------------------------------------------


def begin_slow(begin: Begin, world: World) -> list[Order]:
    """Every application needs a second for each event, and may not come to its end."""
    for node in world.nodes.values():
        node.application = Noting()
    return begin(world)


def begin_invoice(payer: str, payee: str, amount_msat: int, world: World) -> list[Order]:
    """One payment of an invoice."""
    text = user.make_invoice(world.nodes[payee], amount_msat, tag="one", hints=True)
    return [ordered(world, payer, text, payee)]


def every_event_is_handled(world: World, _orders: Sequence[Order]) -> None:
    """An event is told until an application has come to its end with it."""
    for node in world.nodes.values():
        application = node.application
        assert isinstance(application, Noting)
        told = [shown.event for shown in node.shown if not isinstance(shown.event, ev.PaymentClaimable)]
        lost = [event for event in told if event.event_id not in application.acknowledged]
        assert not lost, f"{node.name} was never told again of {lost}"


SCENARIOS: dict[str, tuple[Callable[[], World], Begin]] = {
    "late claim of an expired invoice": (
        partial(topologies.direct, "bob"),
        partial(begin_expired_question, Prompt),
    ),
    "acknowledged question of an expired invoice": (
        partial(topologies.direct, "bob"),
        partial(begin_expired_question, Hasty),
    ),
    "asked behind a late journal": (partial(topologies.double, "bob"), begin_behind_late_journal),
    "question past its deadline": (partial(topologies.direct, "bob"), begin_past_deadline),
    "claim behind a late journal": (
        partial(topologies.double, "bob"),
        partial(begin_claim_behind_late_journal, "bob", None),
    ),
    "claim behind a late journal and a new connection": (
        partial(topologies.diamond, "dave"),
        partial(begin_claim_behind_late_journal, "dave", ("bob", "dave")),
    ),
    "claim while the payer is away": (partial(topologies.direct, "bob"), begin_claim_while_away),
    "claim given up at its deadline": (partial(topologies.double, "bob"), begin_claim_given_up),
    "whole claim and late blocks": (partial(topologies.diamond, "dave"), begin_whole_claim_and_blocks),
    "two parts in one channel": (topologies.direct, begin_two_parts_in_one_channel),
    "refused routes": (partial(topologies.direct, "bob"), begin_refused_routes),
    "same hash again": (partial(topologies.line, "bob"), begin_same_hash),
    "same hash again, both claimed": (partial(topologies.line, "bob"), begin_same_hash_twice),
    "slow handler": (topologies.line, partial(begin_slow, partial(begin_invoice, "alice", "carol", SMALL_MSAT))),
    "slow handler of a claim": (
        partial(topologies.double, "bob"),
        partial(begin_slow, partial(begin_invoice, "alice", "bob", TWO_PARTS_MSAT)),
    ),
}
CHECKS: dict[str, Check] = {
    "late claim of an expired invoice": who_is_asked_is_paid,
    "acknowledged question of an expired invoice": who_is_asked_is_paid,
    "asked behind a late journal": who_is_asked_is_paid,
    "question past its deadline": nobody_is_paid,
    "claim behind a late journal": who_claims_is_paid,
    "claim behind a late journal and a new connection": who_claims_is_paid,
    "claim while the payer is away": who_claims_is_paid,
    "claim given up at its deadline": late_claims_are_given_up,
    "same hash again": one_is_paid,
    "refused routes": every_route_is_tried_once,
    "slow handler": every_event_is_handled,
    "slow handler of a claim": every_event_is_handled,
}
