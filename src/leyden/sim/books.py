"""What everybody owns, to the millisatoshi, and what the payments say that they should own."""

from collections.abc import Iterable

from leyden.channel.states import Closed, MutualClose, Spent
from leyden.manager.events import PaymentClaimed, PaymentForwarded
from leyden.sim.node import SimNode
from leyden.sim.user import Order
from leyden.sim.world import MINER_SCRIPT, World


def balance_msat(node: SimNode) -> int:
    """Return what a node owns on the chain and in its channels; HTLCs in flight count nowhere, and what a closing
    transaction pays counts in the wallet from the moment it is published.
    """
    wallet = node.runtime.wallet.balance()
    own_sat = wallet.confirmed_sat + wallet.unconfirmed_sat + wallet.immature_sat
    channels = [slot.state for slot in node.manager.channels.values()]
    return own_sat * 1000 + sum(
        [state.core.local.local_msat for state in channels if type(state) not in (Closed, Spent, MutualClose)]
    )


def chain_msat(world: World) -> int:
    """Return the sum of all unspent outputs that no miner owns, as if all that waits were mined."""
    return sum([coin.value_sat * 1000 for coin in world.chain.coins() if coin.script_pubkey != MINER_SCRIPT])


class Books:
    """Opened when a world is at rest; compared when it is at rest again."""

    def __init__(self, world: World) -> None:
        self.opened = {name: balance_msat(node) for name, node in world.nodes.items()}
        self._chain_msat = chain_msat(world) - world.granted_sat * 1000

    def chain_fees_msat(self, world: World) -> int:
        """Return what miners have got since, or will get with the next block."""
        return self._chain_msat + world.granted_sat * 1000 - chain_msat(world)

    def expected(self, world: World, orders: Iterable[Order]) -> dict[str, int]:
        """Return what each node should own now: what it had, what it paid and was paid, what it earned."""
        owned = dict(self.opened)
        for order in orders:
            payment = world.nodes[order.payer].manager.node.ledger.payments.get(order.started.payment_id)
            if payment is not None and payment.sent is not None:
                owned[order.payer] -= payment.started.amount_msat + payment.sent.fee_msat
        for name, node in world.nodes.items():
            told = {shown.event.event_id: shown.event for shown in node.shown}
            for event in told.values():
                if isinstance(event, PaymentClaimed):
                    owned[name] += event.amount_msat
                elif isinstance(event, PaymentForwarded):
                    owned[name] += event.fee_msat
        return owned
