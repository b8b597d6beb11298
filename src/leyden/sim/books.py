"""What everybody owns, to the millisatoshi, and what the payments say that they should own."""

from collections.abc import Container, Iterable, Sequence

from leyden.bitcoin.tx import OutPoint, Transaction, TxOut
from leyden.channel.states import Closed, MutualClose
from leyden.manager import closes
from leyden.manager.events import PaymentClaimed, PaymentForwarded
from leyden.manager.state import Slot
from leyden.monitor.classify import SpendKind
from leyden.monitor.watched import WatchedKind, WatchedOutput
from leyden.sim.node import SimNode
from leyden.sim.user import Order
from leyden.sim.world import MINER_SCRIPT, World
from leyden.transactions.fees import ANCHOR_VALUE_SAT, DUST_LIMIT_UNKNOWN_WITNESS_SAT


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


class _Fees:
    """Walks the chain, and the mempool as if it were mined. by_node: see `Books.fees_msat`."""

    def __init__(self, world: World, before: Container[bytes], funding: dict[OutPoint, tuple[str, ...]]) -> None:
        self.by_node = dict.fromkeys(world.nodes, 0)
        self._world = world
        self._outputs: dict[OutPoint, TxOut] = {}
        self._ends: dict[bytes, tuple[str, ...]] = {}
        self._funding = funding
        for txid, tx in (*_mined(world).items(), *world.chain.pool.items()):
            self._add(txid, tx, counts=txid not in before)

    def _add(self, txid: bytes, tx: Transaction, *, counts: bool) -> None:
        before = [self._outputs.get(one.prevout) for one in tx.inputs]
        self._outputs.update({OutPoint(txid, vout): output for vout, output in enumerate(tx.outputs)})
        spent = [output for output in before if output is not None]
        if not spent:
            return  # a coin that was granted
        ends = next((self._funding[one.prevout] for one in tx.inputs if one.prevout in self._funding), ())
        ends = ends or next((self._ends[one.prevout.txid] for one in tx.inputs if one.prevout.txid in self._ends), ())
        owners = self._owners([*spent, *tx.outputs])
        if ends or not owners:
            # Of a channel; who has it is not known when it was opened since, and is archived already.
            self._ends[txid] = ends or tuple(self._world.nodes)
        if counts:
            fee_msat = (_worth_sat(spent) - _worth_sat(tx.outputs)) * 1000
            payers = owners or self._ends[txid]
            for name in payers:
                self.by_node[name] += fee_msat
            if any(one.prevout in self._funding for one in tx.inputs):
                # An end that a closing transaction does not pay had less than an output may hold.
                for name in [name for name in ends if name not in payers]:
                    self.by_node[name] += min(fee_msat, DUST_LIMIT_UNKNOWN_WITNESS_SAT * 1000)

    def _owners(self, outputs: Sequence[TxOut]) -> tuple[str, ...]:
        scripts = dict.fromkeys([output.script_pubkey for output in outputs])
        return tuple(
            name
            for name, node in self._world.nodes.items()
            if any(node.wallet.is_own_script(script) for script in scripts)
        )


def _mined(world: World) -> dict[bytes, Transaction]:
    """Return the transactions of the chain by txid, in order, but for what pays miners."""
    found: dict[bytes, Transaction] = {}
    for height in range(1, world.chain.tip.height + 1):
        block = world.chain.block_at(height)
        assert block is not None, "below the tip"
        found.update(zip(block.txids[1:], block.transactions[1:], strict=True))
    return found


def _worth_sat(outputs: Sequence[TxOut]) -> int:
    return sum([output.value_sat for output in outputs if output.value_sat != ANCHOR_VALUE_SAT])


def _funding_ends(world: World) -> dict[OutPoint, tuple[str, ...]]:
    found: dict[OutPoint, tuple[str, ...]] = {}
    for name, node in world.nodes.items():
        for slot in node.manager.channels.values():
            opened = slot.state.core.opened
            outpoint = OutPoint(opened.funding_txid, opened.funding_output_index)
            found[outpoint] = (name, world.node_of(slot.peer).name)
    return found


class Books:
    """Opened when a world is at rest; compared when it is at rest again."""

    def __init__(self, world: World) -> None:
        self.opened = {name: balance_msat(node) for name, node in world.nodes.items()}
        self._before = dict.fromkeys(_mined(world))
        self._funding = _funding_ends(world)

    def fees_msat(self, world: World) -> dict[str, int]:
        """Return what each node may have paid to miners since, or will with the next block, and into anchors.

        A commitment, and whatever spends it without a coin or an address of a wallet, is paid for by either end; all
        else by whose wallet it comes from or goes to.
        """
        return _Fees(world, self._before, {**self._funding, **_funding_ends(world)}).by_node

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
