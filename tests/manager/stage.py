"""A world at rest with names for what tests say about it."""

from collections.abc import Sequence
from typing import TypeVar

from leyden.crypto.hashes import sha256
from leyden.invoices import bolt11
from leyden.journal.node_records import FixedHop, FixedRoute
from leyden.manager import events as ev
from leyden.manager.events import Event
from leyden.manager.manager import Manager
from leyden.manager.state import Slot
from leyden.payments.outbound import OutboundPayment
from leyden.sim import user
from leyden.sim.books import Books
from leyden.sim.handler import Prompt
from leyden.sim.node import SimNode
from leyden.sim.oracles import check_rest
from leyden.sim.schedules import Fair, run_to_rest
from leyden.sim.user import Order
from leyden.sim.world import World
from leyden.sphinx.failures import FailureCode

EventT = TypeVar("EventT", bound=Event)
AMOUNT_MSAT = 50_000_000
DELTA = 72
"""cltv_expiry_delta of every node's policy here."""


def payment_id(name: str) -> bytes:
    """A payment_id that a test can tell again."""
    return sha256(b"payment " + name.encode())


class Stage:
    """One world, its books, and the payments that were ordered in it."""

    def __init__(self, base: World) -> None:
        self.world = base.copy()
        run_to_rest(self.world, Fair())
        self.books = Books(self.world)
        self.orders: list[Order] = []

    def __getitem__(self, name: str) -> SimNode:
        return self.world.nodes[name]

    def m(self, name: str) -> Manager:
        """The manager of a node."""
        return self.world.nodes[name].manager

    def prompt(self, name: str, answer: str, *, acknowledges: bool = True) -> Prompt:
        """Say what the user of a node does from now on."""
        prompt = Prompt(answer, acknowledges=acknowledges)
        self.world.nodes[name].application = prompt
        return prompt

    # --- channels --------------------------------------------------------------------------------------------------

    def slots(self, name: str, peer: str) -> list[Slot]:
        """All channels of a node with a peer, oldest first."""
        return [slot for slot in self.m(name).channels.values() if slot.peer == self[peer].node_id]

    def slot(self, name: str, peer: str, index: int = 0) -> Slot:
        """One channel of a node with a peer."""
        return self.slots(name, peer)[index]

    def scid(self, name: str, peer: str, index: int = 0) -> int:
        """How a route names the channel of `name` to `peer`."""
        return self.slot(name, peer, index).state.core.local_alias

    def balance_msat(self, name: str, peer: str) -> int:
        """What a node has in its channels with a peer."""
        return sum(slot.state.core.local.local_msat for slot in self.slots(name, peer))

    # --- payments --------------------------------------------------------------------------------------------------

    def invoice(self, payee: str, amount_msat: int = AMOUNT_MSAT, tag: str = "one", **terms: object) -> str:
        """An invoice with route hints."""
        return user.make_invoice(self[payee], amount_msat, hints=True, tag=tag, **terms)  # type: ignore[arg-type]

    def pay(self, payer: str, payee: str, text: str, name: str = "one", **terms: object) -> Order:
        """Order the payment of an invoice; nothing has left yet."""
        started = user.invoice_payment(self[payer], text, payment_id(name), **terms)  # type: ignore[arg-type]
        return self.order(Order(payer, started, payee))

    def order(self, order: Order) -> Order:
        """Ask for a payment."""
        self.orders.append(order)
        order.ask(self[order.payer])
        return order

    def route(self, payer: str, text: str, hops: Sequence[tuple[int, str, int, int]], name: str = "one") -> Order:
        """Order a payment over one route; hops: (short_channel_id, node, amount_msat, cltv_expiry)."""
        route = self.fixed_route(payer, hops, bolt11.decode(text).payment_secret)
        payee, amount_msat = hops[-1][1], hops[-1][2]
        started = user.route_payment(self[payer], text, amount_msat, payment_id(name), [route])
        return self.order(Order(payer, started, payee))

    def fixed_route(self, payer: str, hops: Sequence[tuple[int, str, int, int]], secret: bytes = b"") -> FixedRoute:
        """A route for `send_to_route`."""
        fixed = [FixedHop(scid, self[node].node_id, amount, expiry) for scid, node, amount, expiry in hops]
        return FixedRoute(self.slot(payer, hops[0][1]).channel_id, fixed, secret, 0)

    def payment(self, payer: str, name: str = "one") -> OutboundPayment:
        """What the payer knows of a payment."""
        return self.m(payer).node.ledger.payments[payment_id(name)]

    def failure(self, payer: str, name: str = "one") -> tuple[str, FailureCode | None, int]:
        """(reason, code, hop) of a payment that failed."""
        failed = self.payment(payer, name).failed
        assert failed is not None, "it has not failed"
        return failed.reason, FailureCode(failed.code) if failed.code else None, failed.hop

    # --- events ----------------------------------------------------------------------------------------------------

    def told(self, name: str, kind: type[EventT]) -> list[EventT]:
        """The events of a kind that a node has shown, in all lives."""
        return [shown.event for shown in self[name].shown if isinstance(shown.event, kind)]

    def question(self, name: str) -> ev.PaymentClaimable:
        """The one open question of a node."""
        [question] = [event for event in self.m(name).events.values() if isinstance(event, ev.PaymentClaimable)]
        return question

    # --- time ------------------------------------------------------------------------------------------------------

    def rest(self) -> "Stage":
        """Let everything happen that can."""
        run_to_rest(self.world, Fair())
        return self

    def seconds(self, count: int) -> "Stage":
        """Let the clock move, and everything happen meanwhile."""
        until = self.world.clock.now_seconds + count
        while self.world.clock.now_seconds < until:
            self.act()
            self.world.tick()
        self.act()
        return self

    def act(self) -> "Stage":
        """Let everything happen that needs no clock."""
        while enabled := self.world.enabled():
            self.world.perform(enabled[0])
        return self

    def mine(self, count: int = 1) -> "Stage":
        """Mine blocks, and let everybody see them."""
        self.world.mine(count)
        return self.act()

    def check(self) -> None:
        """Everything that must hold at rest holds."""
        self.rest()
        check_rest(self.world, self.books, self.orders)
