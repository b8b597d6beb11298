"""The end of closed channels: how long to mine for it, and what must hold on the chain when nothing waits any more.

What is left there belongs to wallets, miners, channels that live or are still being settled. Anything else costs more
than it brings, or somebody has lost it.
"""

from collections.abc import Iterator

from leyden.bitcoin.tx import OutPoint
from leyden.channel.states import Closed, ForceClosing, MutualClose, Spent
from leyden.manager import fees
from leyden.manager.state import Slot
from leyden.monitor.resolution import IRREVOCABLE_BLOCKS, open_outputs
from leyden.monitor.watched import WatchedKind
from leyden.sim.node import SimNode
from leyden.sim.world import MINER_SCRIPT, World
from leyden.transactions.fees import ANCHOR_VALUE_SAT

QUIET_BLOCKS = 450
"""So many blocks without a transaction: every delay, expiry and depth of a closed channel is past."""
QUICK_BLOCKS = 50
QUICK_BLOCKS_WITH_HTLCS = 3
"""Miners are this quick when nothing waits for a block; with HTLCs about, a node is not to miss its deadlines."""
CLAIM_WEIGHT = 1_000
"""No claim of one output weighs more, with the dust limit of what it pays to not counted."""
DUST_SAT = 354
_CLOSED = (ForceClosing, MutualClose, Spent, Closed)


def closed_slots(world: World) -> Iterator[tuple[SimNode, Slot]]:
    """Yield the ends of closed channels that are not archived; one that was never funded has nothing to settle."""
    for node in world.nodes.values():
        if node.is_up:
            for slot in node.manager.channels.values():
                if type(slot.state) in _CLOSED and not slot.state.core.abandoned:
                    yield node, slot


def quiet_blocks(world: World) -> int:
    """Return how many of the last blocks hold no transaction, but no more than counts."""
    tip = world.chain.tip.height
    for back in range(QUIET_BLOCKS):
        block = world.chain.block_at(tip - back)
        if block is None or len(block.txids) > 1:
            return back
    return QUIET_BLOCKS


def blocks_to_mine(world: World) -> int:
    """Return how many blocks come next until all is settled; 0 when that is so, or when nothing happens any more."""
    if not any(closed_slots(world)) or quiet_blocks(world) >= QUIET_BLOCKS:
        return 0
    if any(txid not in world.left_out for txid in world.chain.pool):
        return 1
    slots = [slot for node in world.nodes.values() for slot in node.manager.channels.values()]
    return QUICK_BLOCKS_WITH_HTLCS if any(_has_htlcs(slot) for slot in slots) else QUICK_BLOCKS


def _has_htlcs(slot: Slot) -> bool:
    """Return whether an HTLC may still have a deadline: one in a channel, or in an output that nobody has taken."""
    view = slot.closed_view
    if view is None:
        return bool(slot.state.core.inbound or slot.state.core.outbound)
    return any(one.kind in (WatchedKind.HTLC, WatchedKind.REVOKED_HTLC) for one in view.unspent())


def is_uneconomic(node: SimNode, value_sat: int) -> bool:
    """Return whether an output costs more to claim than it brings, at the feerate that a node knows."""
    return value_sat <= CLAIM_WEIGHT * fees.feerate_for(node.manager, 6) // 1000 + DUST_SAT


def check_settled(world: World) -> Iterator[str]:
    """Yield what is wrong on the chain and in wallets."""
    for node in world.nodes.values():
        yield from (f"{node.name}: {what}" for what in _wallet(world, node))
    if quiet_blocks(world) >= QUIET_BLOCKS:
        for node, slot in closed_slots(world):
            if not _waits_for_cheaper_fees(node, slot):
                yield f"{node.name}: closed channel {slot.channel_id.hex()[:8]} is never archived"
    yield from _left_over(world)


def _wallet(world: World, node: SimNode) -> Iterator[str]:
    """The wallet holds what its keys can spend, and nothing else."""
    wallet = node.wallet
    held = {coin.outpoint: coin.value_sat for coin in wallet.coins() if coin.height}
    there = {
        outpoint: coin.value_sat
        for outpoint, coin in world.chain.mined_coins()
        if wallet.is_own_script(coin.script_pubkey) and world.chain.pool_spends(outpoint) is None
    }
    for outpoint in held.keys() ^ there.keys():
        where = "in no block, or spent" if outpoint in held else "and not known"
        yield f"coin {outpoint.txid[::-1].hex()[:8]}:{outpoint.vout} is {where}"


def _waits_for_cheaper_fees(node: SimNode, slot: Slot) -> bool:
    view = slot.closed_view
    if view is None:
        return False
    left = open_outputs(slot.state.core, view, node.manager.env.block_height, IRREVOCABLE_BLOCKS)
    return bool(left) and all(is_uneconomic(node, one.value_sat) for one in left)


def left_over(world: World) -> dict[OutPoint, int]:
    """Return the outputs, with their value, that no wallet has and no channel looks at: anchors do not count."""
    looked_at: dict[OutPoint, None] = {}
    for node in world.nodes.values():
        for slot in node.manager.channels.values():
            opened = slot.state.core.opened
            looked_at[OutPoint(opened.funding_txid, opened.funding_output_index)] = None
            if slot.closed_view is not None:
                looked_at.update(dict.fromkeys(slot.closed_view.outputs))
    found: dict[OutPoint, int] = {}
    for outpoint, coin in world.chain.mined_coins():
        if outpoint in looked_at or coin.value_sat == ANCHOR_VALUE_SAT or coin.script_pubkey == MINER_SCRIPT:
            continue
        if not any(node.wallet.is_own_script(coin.script_pubkey) for node in world.nodes.values()):
            found[outpoint] = coin.value_sat
    return found


def _left_over(world: World) -> Iterator[str]:
    if world.restored:
        return  # an HTLC in a commitment that its owner does not know any more
    for outpoint, value_sat in left_over(world).items():
        if not any(is_uneconomic(node, value_sat) for node in world.nodes.values()):
            yield f"output {outpoint.txid[::-1].hex()[:8]}:{outpoint.vout} of {value_sat} sat is nobody's"


def anchors_msat(world: World, name: str) -> int:
    """Return what a node has taken from anchors, in transactions that pay its wallet."""
    wallet, anchors, taken = world.nodes[name].wallet, dict[OutPoint, None](), 0
    for height in range(1, world.chain.tip.height + 1):
        block = world.chain.block_at(height)
        assert block is not None, "below the tip"
        for txid, transaction in zip(block.txids, block.transactions, strict=True):
            is_own = any(wallet.is_own_script(output.script_pubkey) for output in transaction.outputs)
            taken += sum([is_own for one in transaction.inputs if one.prevout in anchors])
            for index, output in enumerate(transaction.outputs):
                if output.value_sat == ANCHOR_VALUE_SAT:
                    anchors[OutPoint(txid, index)] = None
    return taken * ANCHOR_VALUE_SAT * 1000
