"""Payments that are asked for twice, that fail and go another way, that queue behind others."""

from collections.abc import Callable, Sequence
from functools import cache, partial

from leyden.crypto.hashes import sha256
from leyden.manager import events as ev
from leyden.manager import sending
from leyden.sim import user
from leyden.sim.commands import IN_TURN
from leyden.sim.handler import Prompt
from leyden.sim.scenario import Check
from leyden.sim.user import Order
from leyden.sim.world import World
from tests.sim import topologies
from tests.sim.acts import OnceMore, Refusable, answer, hold, journals_of, ordered, payment_id, then
from tests.sim.topologies import rest

Begin = Callable[[World], list[Order]]
SMALL_MSAT = 50_000_000
LARGE_MSAT = 300_000_000
TWO_PARTS_MSAT = 700_000_000
LONG_SECONDS = 100_000


@cache
def double_exit() -> World:
    """alice - bob = carol, two channels"""
    return topologies.make([("alice", "bob"), ("bob", "carol"), ("bob", "carol")])


@cache
def lopsided() -> World:
    """alice - bob - dave, alice - carol - dave; bob has next to nothing left in his channel with dave."""
    world = topologies.diamond().copy()
    rest(world)
    text = user.make_invoice(world.nodes["dave"], 400_000_000, hints=True, tag="before")
    ordered(world, "bob", text, "dave", "before")
    return rest(world)


def begin_asked_again(world: World) -> list[Order]:
    """The caller hears no answer and asks again, at once and later."""
    text = user.make_invoice(world.nodes["bob"], SMALL_MSAT, hints=True)
    alice = world.nodes["alice"]
    order = OnceMore("alice", user.invoice_payment(alice, text, payment_id("one")), "bob")
    order.ask(alice)
    for number in range(4):
        then(world, f"again {number}", lambda: order.insist(alice), IN_TURN)
    then(world, "again at the end", lambda: order.insist(alice))
    return [order]


def begin_two_ids(world: World) -> list[Order]:
    """One invoice, and two callers of one node who do not know of each other."""
    text = user.make_invoice(world.nodes["bob"], SMALL_MSAT, hints=True)
    alice = world.nodes["alice"]
    orders = [ordered(world, "alice", text, "bob")]
    other = Order("alice", user.invoice_payment(alice, text, payment_id("two")), "bob")
    refusable = Refusable(other, orders)
    for number in range(3):
        then(world, f"other {number}", lambda: refusable.ask(alice), IN_TURN)
    then(world, "other at the end", lambda: refusable.ask(alice))
    return orders


def one_is_sent(world: World, orders: Sequence[Order]) -> None:
    """An invoice is paid once."""
    ledger = world.nodes["alice"].manager.node.ledger
    sent = [payment for payment in ledger.payments.values() if payment.sent is not None]
    assert len(sent) <= 1, f"{len(sent)} payments of one invoice were sent, of {len(orders)}"


def begin_retry(amount_msat: int, world: World) -> list[Order]:
    """What goes over bob fails there and is offered over carol."""
    text = user.make_invoice(world.nodes["dave"], amount_msat, hints=True)
    return [ordered(world, "alice", text, "dave")]


def begin_many(payee: str, count: int, world: World) -> list[Order]:
    """Payments that come while others wait for a signature or a revocation."""
    texts = [user.make_invoice(world.nodes[payee], SMALL_MSAT + n, hints=True, tag=str(n)) for n in range(count)]
    orders = [ordered(world, "alice", texts[0], payee, "0", deadline_seconds=LONG_SECONDS)]

    def later(number: int) -> None:
        orders.append(ordered(world, "alice", texts[number], payee, str(number), deadline_seconds=LONG_SECONDS))

    for number in range(1, count):
        then(world, f"payment {number}", partial(later, number), IN_TURN)
    return orders


def begin_lost_forward(world: World) -> list[Order]:
    """The journal of the outbound channel hangs, acknowledgements are written meanwhile, and a crash comes."""
    bob = world.nodes["bob"]
    text = user.make_invoice(world.nodes["carol"], SMALL_MSAT, hints=True)
    order = ordered(world, "alice", text, "carol", deadline_seconds=LONG_SECONDS)
    outbound = journals_of(bob)[1]
    then(world, "hold", lambda: hold(bob, outbound), IN_TURN)
    then(world, "time", lambda: world.tick(2))
    then(world, "restart", lambda: world.restart("bob"))
    return [order]


def all_arrive(world: World, orders: Sequence[Order]) -> None:
    """There is no reason for a failure."""
    for order in orders:
        payment = world.nodes[order.payer].manager.node.ledger.payments[order.started.payment_id]
        assert payment.sent is not None, f"failed: {payment.failed}"


def begin_refused(world: World) -> list[Order]:
    """The recipient refuses; the payer learns that it was the recipient."""
    carol = world.nodes["carol"]
    carol.application = Prompt("fail")
    unknown = user.make_invoice(carol, SMALL_MSAT, hints=True, payment_hash=sha256(b"nobody knows the preimage"))
    return [ordered(world, "alice", unknown, "carol", deadline_seconds=LONG_SECONDS)]


def begin_refused_later(payer_restarts: bool, world: World) -> list[Order]:
    """The recipient takes its time to refuse. payer_restarts: meanwhile the payer does, else its connection is lost."""
    carol = world.nodes["carol"]
    prompt = carol.application = Prompt("")
    text = user.make_invoice(carol, SMALL_MSAT, hints=True)
    order = ordered(world, "alice", text, "carol", deadline_seconds=LONG_SECONDS)

    def away() -> None:
        world.links[("alice", "bob")] = False
        world.cut("alice", "bob")

    if payer_restarts:
        then(world, "restart", lambda: world.restart("alice"))
    else:
        then(world, "away", away)
    then(world, "refuse", lambda: answer(carol, prompt, "fail"))
    then(world, "time", lambda: world.tick(2))
    then(world, "wait", lambda: None)
    then(world, "back", lambda: world.links.update({("alice", "bob"): True}))
    return [order]


def asked_and_refused_once(restarts: int, world: World, orders: Sequence[Order]) -> None:
    """The recipient is asked about one HTLC, and its refusal is the one that is read.

    A payer that crashes with the outcome of the last part and without the end of the payment tries once more.
    restarts: of the payer, without such a crash.
    """
    crashes = sum(line.startswith("crash alice") for line in world.trace)
    asked = {shown.event.event_id for shown in world.nodes["carol"].shown if shown.event.event_id[:5] == "claim"}
    if crashes <= restarts:
        assert len(asked) == 1, f"{len(asked)} questions about {len(orders)} payment"
    told = [shown.event for shown in world.nodes["alice"].shown if isinstance(shown.event, ev.PaymentFailed)]
    read = {(event.reason, event.hop) for event in told}
    assert read == {("recipient_rejected", 1)} or crashes > restarts, read


def the_recipient_refused(world: World, _orders: Sequence[Order]) -> None:
    """Whatever was lost on the way, the failure that was made is the one that is read.

    A payer that crashes between the outcome of the last part and the end of the payment tries again, and fails for want
    of another way.
    """
    told = [shown.event for shown in world.nodes["alice"].shown if isinstance(shown.event, ev.PaymentFailed)]
    read = {(event.reason, event.hop) for event in told}
    allowed = {("recipient_rejected", 1)}
    if any(line.startswith("crash alice") for line in world.trace):
        allowed.add(("route_failed", -1))
    assert read <= allowed, read


def begin_abandoned(world: World) -> list[Order]:
    """The payer gives up a payment of two parts that its recipient has not answered; then the recipient takes it."""
    dave = world.nodes["dave"]
    prompt = dave.application = Prompt("")
    text = user.make_invoice(dave, TWO_PARTS_MSAT, hints=True)
    order = ordered(world, "alice", text, "dave", deadline_seconds=LONG_SECONDS)
    alice = world.nodes["alice"]

    def give_up() -> None:
        alice.run(partial(sending.abandon_payment, payment_id=order.started.payment_id))

    def take() -> None:
        prompt.answer = "claim"
        for event in list(dave.manager.events.values()):
            dave.run(partial(prompt.on_event, event=event))

    then(world, "give up", give_up)
    then(world, "take", take)
    return [order]


def begin_ten_minutes_later(world: World) -> list[Order]:
    """Payments are looked through for old ones now and then; this one is not old."""
    text = user.make_invoice(world.nodes["bob"], SMALL_MSAT, hints=True)
    order = ordered(world, "alice", text, "bob")

    def later() -> None:
        world.clock.now_seconds += 600 - world.clock.now_seconds % 600 - 1
        world.tick(3)

    then(world, "ten minutes", later)
    return [order]


SCENARIOS: dict[str, tuple[Callable[[], World], Begin]] = {
    "asked again and again": (topologies.direct, begin_asked_again),
    "invoice paid under two ids": (topologies.direct, begin_two_ids),
    "retry": (lopsided, partial(begin_retry, LARGE_MSAT)),
    "retry of one part": (lopsided, partial(begin_retry, TWO_PARTS_MSAT)),
    "three payments": (topologies.direct, partial(begin_many, "bob", 3)),
    "three forwards": (double_exit, partial(begin_many, "carol", 3)),
    "forward behind a late journal": (topologies.line, begin_lost_forward),
    "failure that is read": (topologies.line, begin_refused),
    "refused after the payer's restart": (partial(topologies.line, "carol"), partial(begin_refused_later, True)),
    "refused while the payer is away": (partial(topologies.line, "carol"), partial(begin_refused_later, False)),
    "given up and taken": (partial(topologies.diamond, "dave"), begin_abandoned),
    "ten minutes later": (topologies.direct, begin_ten_minutes_later),
}
CHECKS: dict[str, Check] = {
    "invoice paid under two ids": one_is_sent,
    "three payments": all_arrive,
    "three forwards": all_arrive,
    "forward behind a late journal": all_arrive,
    "failure that is read": the_recipient_refused,
    "refused after the payer's restart": partial(asked_and_refused_once, 1),
    "refused while the payer is away": partial(asked_and_refused_once, 0),
}
