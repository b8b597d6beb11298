"""What users and the world do in scenarios, one after the other: each is an action of its own, so that a crash may come
before it and after it.
"""

from collections.abc import Callable
from functools import partial

from leyden.base.errors import CommandRejected
from leyden.crypto.hashes import sha256
from leyden.manager import events as ev
from leyden.manager import handoff, sending
from leyden.manager.manager import Manager
from leyden.sim import user
from leyden.sim.commands import WHEN_IDLE
from leyden.sim.handler import Prompt
from leyden.sim.node import SimNode
from leyden.sim.user import Order
from leyden.sim.world import Act, World


def payment_id(name: str) -> bytes:
    """A payment_id that a test can tell again."""
    return sha256(b"payment " + name.encode())


def ordered(world: World, payer: str, text: str, payee: str, name: str = "one", **terms: int) -> Order:
    """Ask for the payment of an invoice."""
    node = world.nodes[payer]
    order = Order(payer, user.invoice_payment(node, text, payment_id(name), **terms), payee)  # type: ignore[arg-type]
    order.ask(node)
    return order


def then(world: World, name: str, run: Callable[[], None], when: int = WHEN_IDLE) -> None:
    """Add what happens next, with all nodes up."""
    world.acts.append(Act(name, tuple(world.nodes), run, when))


def journals_of(node: SimNode) -> list[str]:
    """The journals of a node's channels, oldest first."""
    return [slot.tail.journal for slot in node.manager.channels.values()]


def hold(node: SimNode, journal: str) -> None:
    """A journal does not become durable until it is released."""
    node.disk.held[journal] = None


def answer(node: SimNode, prompt: Prompt, word: str) -> None:
    """The user answers so from now on, and what is open at once."""
    prompt.answer = word

    def run(manager: Manager) -> None:
        for event in list(manager.events.values()):
            if isinstance(event, ev.PaymentClaimable):
                try:
                    prompt.on_event(manager, event)
                except CommandRejected:
                    continue  # too late, or answered before

    node.run(run)


def mine_to(world: World, height: int) -> None:
    """Mine until the chain has this height."""
    count = height - world.chain.tip.height
    if count > 0:
        world.mine(count)


def was_told(node: SimNode, kind: type[ev.Event]) -> bool:
    """Whether a node was shown an event of a kind, in any life."""
    return any(isinstance(shown.event, kind) for shown in node.shown)


class OnceMore(Order):
    """A payment that is asked for again and again, whether it is known or not: by a caller that heard no answer."""

    def insist(self, node: SimNode) -> None:
        """Call `pay` with the same payment_id."""

        def run(manager: Manager) -> None:
            try:
                sending.start_payment(manager, self.started, None)
            except CommandRejected:
                return  # it is known

        node.run(run)


class Refusable(Order):
    """A payment that may be refused; then it is none. orders: where it stands while it is one."""

    def __init__(self, order: Order, orders: list[Order]) -> None:
        super().__init__(order.payer, order.started, order.payee)
        self._orders = orders

    def ask(self, node: SimNode) -> None:
        """Call `pay`."""
        if self.accepted:
            return
        try:
            super().ask(node)
        except CommandRejected:
            self._orders[:] = [order for order in self._orders if order is not self]
        else:
            if all(order is not self for order in self._orders):
                self._orders.append(self)


class Noting(Prompt):
    """An application that needs a second for each event. acknowledged: ids of those it came to the end of, in all
    lives.
    """

    def __init__(self) -> None:
        super().__init__(delay_seconds=1)
        self.acknowledged: dict[str, None] = {}

    def on_event(self, manager: Manager, event: ev.Event) -> None:
        """See `Application`."""
        super().on_event(manager, event)
        if not isinstance(event, ev.PaymentClaimable):
            self.acknowledged[event.event_id] = None


class FirstOnly(Prompt):
    """An application that claims the first payment it is asked about, and no other one; in all lives the same."""

    def __init__(self) -> None:
        super().__init__(acknowledges=False)
        self._first = ""
        self._others = ""

    def on_event(self, manager: Manager, event: ev.Event) -> None:
        """See `Application`."""
        if isinstance(event, ev.PaymentClaimable):
            self._first = self._first or event.event_id
            self.answer = "claim" if event.event_id == self._first else self._others
        super().on_event(manager, event)

    def refuse_others(self, node: SimNode) -> None:
        """Fail what was not taken."""
        self._others = "fail"
        for event in list(node.manager.events.values()):
            if isinstance(event, ev.PaymentClaimable):
                node.run(partial(self.on_event, event=event))

    def acknowledge_all(self, node: SimNode) -> None:
        """Be done with everything."""
        self.acknowledges = True
        for event_id in list(node.manager.events):
            node.run(partial(handoff.acknowledge_event, event_id=event_id))


class Hasty(Prompt):
    """An application that acknowledges a question before it has answered it."""

    def on_event(self, manager: Manager, event: ev.Event) -> None:
        """See `Application`."""
        if isinstance(event, ev.PaymentClaimable) and not self.answer:
            handoff.acknowledge_event(manager, event.event_id)
            manager.events[event.event_id] = event  # what was asked stays on the user's own list
        else:
            super().on_event(manager, event)
