"""Are all channels usable? A small payment over each of them, from each end that has enough for it."""

from collections.abc import Iterator

from leyden.channel.states import Normal
from leyden.crypto.hashes import sha256
from leyden.manager.state import Slot
from leyden.sim import user
from leyden.sim.books import Books
from leyden.sim.handler import Prompt
from leyden.sim.node import SimNode
from leyden.sim.oracles import Violation, check_rest
from leyden.sim.schedules import run_to_rest
from leyden.sim.user import Order
from leyden.sim.world import Schedule, World

PROBE_MSAT = 2_000_000
ENOUGH_MSAT = 50_000_000
"""What an end must have beside its reserve and the fees to be asked for a payment."""


def usable(world: World) -> Iterator[tuple[SimNode, Slot]]:
    """Yield the ends with money of every channel that nobody closes, between nodes that connect."""
    for node in world.nodes.values():
        for slot in node.manager.channels.values():
            peer = world.node_of(slot.peer).name
            linked = world.links.get((node.name, peer)) or world.links.get((peer, node.name))
            is_open = type(slot.state) is Normal and slot.channel_id not in world.closes_asked
            if linked and is_open and slot.state.core.local.local_msat >= ENOUGH_MSAT:
                yield node, slot


def order_over(node: SimNode, slot: Slot, peer: SimNode) -> Order:
    """Let a node pay its peer a little."""
    payment_id = sha256(b"probe" + slot.channel_id + node.node_id)
    order = Order(node.name, user.keysend_payment(node, peer, PROBE_MSAT, payment_id), peer.name)
    order.ask(node)
    return order


def probe(world: World, books: Books, orders: list[Order], schedule: Schedule) -> None:
    """Pay over every channel of a world at rest, and let it come to rest again. Raises: Violation, Livelock."""
    probes: list[Order] = []
    for node, slot in list(usable(world)):
        peer = world.node_of(slot.peer)
        node.application = peer.application = Prompt("claim")
        probes.append(order_over(node, slot, peer))
    run_to_rest(world, schedule)
    check_rest(world, books, [*orders, *probes])
    for order in probes:
        payment = world.nodes[order.payer].manager.node.ledger.payments[order.started.payment_id]
        if payment.sent is None:
            raise Violation(f"{order.payer} cannot pay {order.payee} any more: {payment.failed}")
