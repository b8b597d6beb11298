"""Blocks: confirmations and spends of funding outputs become records; heights and deadlines move on."""

from collections.abc import Sequence
from functools import partial

from leyden.bitcoin.tx import OutPoint, Transaction
from leyden.channel.build import pays_funding
from leyden.channel.inputs import BecomeReady
from leyden.channel.states import AwaitingReady, Closed
from leyden.journal.node_records import BestBlock
from leyden.journal.records import (
    FundingAbandoned,
    FundingConfirmed,
    FundingDisconnected,
    FundingSpent,
    SpendDisconnected,
)
from leyden.manager import archive, batches, claiming, closes, peer_storage
from leyden.manager.actions import Broadcast, ForgetTransaction
from leyden.manager.manager import Manager
from leyden.manager.onchain import blocks as onchain
from leyden.manager.onchain import claims, deadlines, sweeping
from leyden.manager.onchain.views import forget_view, view_of
from leyden.manager.state import Slot


def on_block(
    m: Manager,
    height: int,
    block_hash: bytes,
    transactions: Sequence[Transaction],
    txids: Sequence[bytes],
    *,
    is_tip: bool = True,
) -> None:
    """The best chain grew by this block (block_hash, txids: 32 bytes, internal order).

    is_tip: no block after it is known; only then something is published for what the chain has decided.
    """
    m.set_env(block_height=height)
    claims.on_block(m)
    for known in m.channels.values():
        _forget_other_block(m, known, height, block_hash)
        if known.state.core.spent is not None:
            onchain.forget_other_block(m, known, height, block_hash)
            m.shielded(partial(view_of, m, known))
    watched, watched_txids = m.watched, m.watched_txids
    for index, transaction in enumerate(transactions):
        for slot in watched_txids.get(txids[index], ()):
            _on_funding(m, slot, height, block_hash, index, transaction)
        for spent in transaction.inputs:
            spender = watched.get(spent.prevout)
            if spender is not None:
                _on_spend(m, spender, spent.prevout, transaction, height, block_hash)
    for slot in list(m.channels.values()):
        if type(slot.state) is not Closed:
            _on_height(m, slot, height)
        if is_tip and slot.state.core.spent is not None:
            onchain.on_height(m, slot)
        elif is_tip and m.is_started and not slot.halted:
            m.shielded(partial(publish_close_again, m, slot))
    m.shielded(lambda: deadlines.on_block(m))
    m.shielded(lambda: claiming.on_block(m))
    if is_tip:
        m.shielded(lambda: sweeping.update(m))
    m.shielded(lambda: peer_storage.on_block(m))
    m.shielded(lambda: archive.on_block(m))
    m.seen_onions.on_block(height)


def _on_spend(
    m: Manager, slot: Slot, outpoint: OutPoint, transaction: Transaction, height: int, block_hash: bytes
) -> None:
    known = slot.state.core.spent
    if known is not None:
        if outpoint != slot.state.keys.local_parameters.funding_outpoint:
            m.shielded(partial(onchain.on_spend, m, slot, transaction, height, block_hash))
            return
        if known.height <= height:
            return
        # Nothing is spent twice: the later block was undone while the node was down and `node` was behind.
        _forget_spend(m, slot, height)
    m.learn(slot, FundingSpent(transaction.serialize(), height, block_hash))
    # From here on its outputs are looked for, in this block too.
    m.shielded(partial(view_of, m, slot))
    m.shielded(partial(closes.report_spend, m, slot))


def _forget_other_block(m: Manager, slot: Slot, height: int, block_hash: bytes) -> None:
    """What a record knows of another block at this height was undone while the node was down and `node` was behind."""
    core = slot.state.core
    if core.spent is not None and core.spent.height == height and core.spent.block_hash != block_hash:
        _forget_spend(m, slot, height - 1)
    if core.funding is not None and core.funding.height == height and core.funding.block_hash != block_hash:
        _forget_funding(m, slot, height - 1)


def _forget_spend(m: Manager, slot: Slot, fork_height: int) -> None:
    m.learn(slot, SpendDisconnected(fork_height))
    view = slot.closed_view
    for txid in {} if view is None else dict.fromkeys([seen.txid for seen in view.spenders.values()]):
        # Another commitment may take the place of this one; if the same comes back, its claims are made again.
        m.actions.append(ForgetTransaction(txid))
    forget_view(m, slot)
    # Nothing of what was claimed is there any more.
    m.shielded(partial(claims.update, m, slot))


def _forget_funding(m: Manager, slot: Slot, fork_height: int) -> None:
    funding = slot.state.core.funding
    assert funding is not None
    m.by_short_channel_id.pop(funding.short_channel_id, None)
    m.learn(slot, FundingDisconnected(fork_height))
    m.register_short_channel_ids(slot)
    slot.unconfirmed_since = fork_height


def _on_funding(m: Manager, slot: Slot, height: int, block_hash: bytes, index: int, transaction: Transaction) -> None:
    core = slot.state.core
    if core.funding is not None and core.funding.height > height:
        # No transaction is in two blocks: the later one was undone while the node was down and `node` was behind.
        _forget_funding(m, slot, height - 1)
    if core.funding is not None or core.abandoned:
        return
    if not pays_funding(core, slot.state.keys, transaction):
        # BOLT 2, "The `channel_ready` Message": a channel over another output than agreed is worth nothing.
        m.learn(slot, FundingAbandoned("the funding transaction does not pay what was agreed"))
        return
    scid = height << 40 | index << 16 | core.opened.funding_output_index
    m.learn(slot, FundingConfirmed(height, block_hash, scid))
    m.register_short_channel_ids(slot)


def _on_height(m: Manager, slot: Slot, height: int) -> None:
    core = slot.state.core
    if core.spent is not None:
        if height - core.spent.height + 1 >= m.config.closed_depth:
            m.shielded(lambda: closes.close(m, slot, height))
        return
    become_ready(m, slot)
    since = max(core.opened.birth_height, slot.unconfirmed_since)
    # Once we have said `channel_ready` money is at stake, wherever the funding is now.
    unused = core.funding is None and not core.opened.is_opener and not core.local_ready
    if unused and height - since >= m.config.funding_timeout_blocks:
        # BOLT 2, "The `channel_ready` Message": the fundee may forget; the funder never does once it has published.
        m.learn(slot, FundingAbandoned("the funding transaction did not confirm in time"))


def become_ready(m: Manager, slot: Slot) -> None:
    """Say `channel_ready` if the funding is deep enough now, or need not be."""
    if slot.state.core.opened.funding_txid in m.unpublished:
        return  # it may never be funded
    if type(slot.state) is AwaitingReady and not slot.state.core.local_ready:
        m.guarded(slot, BecomeReady(m.new_alias()))


def on_blocks_disconnected(m: Manager, fork_height: int) -> None:
    """All blocks above `fork_height` left the best chain: what they brought is undone."""
    m.set_env(block_height=fork_height)
    for slot in m.channels.values():
        core = slot.state.core
        archive.think_again(m, slot)
        if core.spent is not None and core.spent.height > fork_height:
            _forget_spend(m, slot, fork_height)
        else:
            onchain.disconnect(m, slot, fork_height)
        if core.funding is not None and core.funding.height > fork_height:
            _forget_funding(m, slot, fork_height)


def note_best_block(m: Manager, height: int, block_hash: bytes) -> None:
    """Remember the best block once every chain record up to it is durable (DESIGN section 4, "Chain")."""
    if m.unreadable or any(slot.halted for slot in m.channels.values()):
        # Such a channel takes in no blocks: the next life must see them again.
        return
    m.outbox.when_all_durable(lambda: m.record(BestBlock(height, block_hash)))


def rebroadcast(m: Manager) -> None:
    """Publish again what is ours and not in a block: at every start, and now and then.

    A start appends records before it comes here; behind those it waits, like everything that leaves.
    """
    for slot in batches.fundings_on_their_way(m).values():
        if not batches.is_in_doubt(m, slot.state.core):
            _when_durable(m, slot, Broadcast(slot.state.core.opened.funding_transaction, "funding"))
    for slot in m.channels.values():
        publish_close_again(m, slot)


def publish_close_again(m: Manager, slot: Slot) -> None:
    """Publish what ends a channel until a block has it: mempools forget, and miners choose."""
    core = slot.state.core
    if core.spent is not None or core.abandoned:
        return
    if core.closed_height and core.undone_spend:
        # It was deep, and a reorganisation took it away: nothing off chain is left to go back to.
        _when_durable(m, slot, Broadcast(core.undone_spend, "the close that a reorganisation undid"))
    elif core.close_agreed is not None:
        _when_durable(m, slot, Broadcast(core.close_agreed.transaction, "cooperative close"))
    elif core.closing is not None and not core.stale:
        m.outbox.when_durable(slot.tail, partial(_close_again, m, slot))


def _when_durable(m: Manager, slot: Slot, broadcast: Broadcast) -> None:
    m.outbox.when_durable(slot.tail, lambda: m.actions.append(broadcast))


def _close_again(m: Manager, slot: Slot) -> None:
    """One of the records that this waited for may have proven the copy old (DESIGN section 6, "Restored stores")."""
    if not slot.state.core.stale:
        m.publish_commitment(m, slot)
