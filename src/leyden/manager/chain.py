"""Blocks: confirmations and spends of funding outputs become records; heights and deadlines move on."""

from collections.abc import Sequence

from leyden.bitcoin.tx import Transaction
from leyden.channel.inputs import BecomeReady
from leyden.channel.states import AwaitingReady, Closed
from leyden.journal.node_records import BestBlock
from leyden.journal.records import (
    ChannelClosed,
    FundingAbandoned,
    FundingConfirmed,
    FundingDisconnected,
    FundingSpent,
    SpendDisconnected,
)
from leyden.manager import claiming
from leyden.manager.actions import Broadcast
from leyden.manager.manager import Manager
from leyden.manager.opening import new_alias
from leyden.manager.state import Slot


def on_block(
    m: Manager, height: int, block_hash: bytes, transactions: Sequence[Transaction], txids: Sequence[bytes]
) -> None:
    """The best chain grew by this block (block_hash, txids: 32 bytes, internal order)."""
    m.set_env(block_height=height)
    watched, watched_txids = m.watched, m.watched_txids
    for index, transaction in enumerate(transactions):
        slot = watched_txids.get(txids[index])
        if slot is not None:
            _on_funding(m, slot, height, block_hash, index)
        for spent in transaction.inputs:
            spender = watched.get(spent.prevout)
            if spender is not None and spender.state.core.spent is None:
                m.learn(spender, FundingSpent(transaction.serialize(), height, block_hash))
    for slot in list(m.channels.values()):
        if type(slot.state) is not Closed:
            _on_height(m, slot, height)
    claiming.on_block(m)


def _on_funding(m: Manager, slot: Slot, height: int, block_hash: bytes, index: int) -> None:
    core = slot.state.core
    if core.funding is not None:
        return
    scid = height << 40 | index << 16 | core.opened.funding_output_index
    m.learn(slot, FundingConfirmed(height, block_hash, scid))
    m.register_short_channel_ids(slot)


def _on_height(m: Manager, slot: Slot, height: int) -> None:
    core = slot.state.core
    if core.spent is not None:
        if height - core.spent.height + 1 >= m.config.closed_depth:
            m.learn(slot, ChannelClosed(height))
        return
    if not core.local_ready and type(slot.state) is AwaitingReady:
        m.guarded(slot, BecomeReady(new_alias(m)))
    if (
        core.funding is None
        and not core.opened.is_opener
        and height - core.opened.birth_height >= m.config.funding_timeout_blocks
    ):
        # BOLT 2, "The `channel_ready` Message": the fundee may forget; the funder never does once it has published.
        m.learn(slot, FundingAbandoned("the funding transaction did not confirm in time"))


def on_blocks_disconnected(m: Manager, fork_height: int) -> None:
    """All blocks above `fork_height` left the best chain: what they brought is undone."""
    m.set_env(block_height=fork_height)
    for slot in m.channels.values():
        core = slot.state.core
        if core.spent is not None and core.spent.height > fork_height and not core.closed_height:
            m.learn(slot, SpendDisconnected(fork_height))
        if core.funding is not None and core.funding.height > fork_height:
            m.by_short_channel_id.pop(core.funding.short_channel_id, None)
            m.learn(slot, FundingDisconnected(fork_height))
            m.register_short_channel_ids(slot)


def note_best_block(m: Manager, height: int, block_hash: bytes) -> None:
    """Remember the best block once every chain record up to it is durable (DESIGN section 4, "Chain")."""
    m.outbox.when_all_durable(lambda: m.record(BestBlock(height, block_hash)))


def rebroadcast(m: Manager) -> None:
    """Publish again what is ours and not in a block: at every start, and now and then."""
    for slot in m.channels.values():
        core = slot.state.core
        if core.spent is not None or core.closed_height or core.abandoned or slot.tail.durable < slot.tail.position:
            continue
        if core.opened.funding_transaction and core.funding is None:
            m.actions.append(Broadcast(core.opened.funding_transaction, "funding"))
        if core.close_agreed is not None:
            m.actions.append(Broadcast(core.close_agreed.transaction, "cooperative close"))
        elif core.closing is not None and not core.stale:
            m.publish_commitment(m, slot)
