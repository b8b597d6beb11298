"""What everybody owns, to the millisatoshi, and what the payments say that they should own."""

from collections.abc import Iterable

from leyden.channel.states import Closed, MutualClose
from leyden.manager import closes
from leyden.manager.events import PaymentClaimed, PaymentForwarded
from leyden.manager.state import Slot
from leyden.monitor.classify import SpendKind
from leyden.monitor.watched import WatchedKind, WatchedOutput
from leyden.sim.node import SimNode
from leyden.sim.user import Order
from leyden.sim.world import MINER_SCRIPT, World
from leyden.transactions.fees import ANCHOR_VALUE_SAT


def balance_msat(node: SimNode) -> int:
    """Return what a node owns on the chain and in its channels; HTLCs in flight count nowhere. What a closing
    transaction or a claim pays counts in the wallet from the moment it is published; what a commitment pays, when it is
    mined, until a claim spends it.
    """
    wallet = node.runtime.wallet.balance()
    own_sat = wallet.confirmed_sat + wallet.unconfirmed_sat + wallet.immature_sat
    return own_sat * 1000 + sum([_channel_msat(node, slot) for slot in node.manager.channels.values()])


def _channel_msat(node: SimNode, slot: Slot) -> int:
    state = slot.state
    if type(state) is MutualClose:
        return 0
    spend = closes.spend_of(node.manager, slot)
    if spend is None:
        return 0 if type(state) is Closed else state.core.local.local_msat  # closed unspent: it was never funded
    view = slot.closed_view
    if spend.kind is SpendKind.MUTUAL_CLOSE or view is None:
        return 0
    chain = node.world.chain
    outputs = [one for one in view.unspent() if _is_certain(slot, one) and chain.pool_spends(one.outpoint) is None]
    return sum([one.value_sat * 1000 for one in outputs])


_CERTAIN = (
    WatchedKind.TO_LOCAL,
    WatchedKind.TO_REMOTE,
    WatchedKind.SECOND_STAGE,
    WatchedKind.REVOKED_TO_LOCAL,
    WatchedKind.REVOKED_HTLC,
    WatchedKind.REVOKED_SECOND_STAGE,
)


def _is_certain(slot: Slot, output: WatchedOutput) -> bool:
    """Return whether nobody can take an output if its owner acts in time: all but HTLCs that may go either way."""
    if output.kind in _CERTAIN:
        return True
    htlc = output.htlc
    if output.kind is not WatchedKind.HTLC or htlc is None or htlc.offered or htlc.htlc_id is None:
        return False
    inbound = slot.state.core.inbound.get(htlc.htlc_id)
    return inbound is not None and bool(inbound.preimage)


def chain_msat(world: World) -> int:
    """Return the sum of all unspent outputs, as if all that waits were mined; but of miners' and of anchors."""
    coins = [coin for coin in world.chain.coins() if coin.script_pubkey != MINER_SCRIPT]
    return sum([coin.value_sat * 1000 for coin in coins if coin.value_sat != ANCHOR_VALUE_SAT])


class Books:
    """Opened when a world is at rest; compared when it is at rest again."""

    def __init__(self, world: World) -> None:
        self.opened = {name: balance_msat(node) for name, node in world.nodes.items()}
        self._chain_msat = chain_msat(world) - world.granted_sat * 1000

    def chain_fees_msat(self, world: World) -> int:
        """Return what miners have got since, or will get with the next block, and what anchors hold."""
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
