"""What closed a channel and what became of its outputs, for whoever acts on it."""

from leyden.bitcoin.tx import Transaction
from leyden.channel.core import ChannelCore
from leyden.journal.records import FundingSpent
from leyden.manager.manager import Manager
from leyden.manager.state import Slot
from leyden.monitor.classify import classify
from leyden.monitor.closed import ClosedView
from leyden.monitor.watched import commitment_outputs


def view_of(m: Manager, slot: Slot) -> ClosedView | None:
    """Return the chain's side of a channel whose funding output is spent in a block, else None.

    It is made once for a spend; the outputs of the commitment are then looked for in every block.
    """
    core = slot.state.core
    record = core.spent
    if record is None:
        return None
    view = slot.closed_view
    if view is None or view.record is not record:
        view = slot.closed_view = _make(m, slot, record)
        for outpoint in view.outputs:
            m.watched[outpoint] = slot
    return view


def _make(m: Manager, slot: Slot, record: FundingSpent) -> ClosedView:
    # Only what a revoked commitment held may have left the state; the log is read when that is published.
    core, keys = slot.state.core, slot.state.keys
    view = ClosedView(core, keys, record, b"", m.signer.per_commitment_point)
    if view.spend.revoked is not None:
        view = ClosedView(core, keys, record, m.penalty_log(slot.tail.journal), m.signer.per_commitment_point)
    return view


def expect_spend(m: Manager, slot: Slot, transaction: Transaction) -> None:
    """The mempool has a spend of the funding output: keep its outputs, whose spends may show preimages.

    No view of a close is made of it: another spend may be mined, and until one is the channel is as it was. The penalty
    log is not read: an output that only it could name is looked at like any other that is not known.
    """
    points = m.signer.per_commitment_point
    spend = classify(slot.state.core, slot.state.keys, transaction, b"", points)
    found = commitment_outputs(slot.state.core, slot.state.keys, spend, m.env.block_height + 1, points)
    slot.unconfirmed_outputs = {one.outpoint: one for one in found}


def forget_view(m: Manager, slot: Slot) -> None:
    """Blocks were undone, or the channel is archived: nothing of the view holds any more."""
    view, slot.closed_view = slot.closed_view, None
    if view is not None:
        for outpoint in view.outputs:
            if m.watched.get(outpoint) is slot:
                del m.watched[outpoint]


def take_in_spends(m: Manager, slot: Slot) -> None:
    """Look for what spends of outputs have made, from this transaction on."""
    if slot.closed_view is not None:
        for outpoint in slot.closed_view.take_in(slot.state.core):
            m.watched[outpoint] = slot


def upstream_deadline(m: Manager, core: ChannelCore, htlc_id: int) -> int | None:
    """Return the height at which a block must hold the refund of an HTLC that we offered, so that it is deep enough
    before its inbound HTLC is failed back anyhow; None: nobody upstream waits for it.
    """
    htlc = core.outbound.get(htlc_id)
    source = None if htlc is None else htlc.add.source
    inbound = m.channels.get(source.origin) if source is not None and source.forwarded else None
    upstream = None if inbound is None or source is None else inbound.state.core.inbound.get(source.index)
    if upstream is None or upstream.preimage:
        return None
    return upstream.add.cltv_expiry - m.config.fail_back_grace_blocks - m.config.onchain_failure_depth
