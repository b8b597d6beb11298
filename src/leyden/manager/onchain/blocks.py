"""Blocks, and what waits for one: spends of the outputs of closed channels become records, preimages act at once."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from leyden.bitcoin.tx import OutPoint, Transaction
from leyden.channel.core import ChannelCore
from leyden.journal.records import OutputsDisconnected, OutputSpent
from leyden.manager.manager import Manager
from leyden.manager.onchain import bumping, claims, outcomes, sweeping
from leyden.manager.onchain.views import expect_spend, forget_view, take_in_spends, view_of
from leyden.manager.state import Slot
from leyden.monitor.resolution import preimages_of
from leyden.monitor.watched import WatchedKind, WatchedOutput


def on_spend(m: Manager, slot: Slot, transaction: Transaction, height: int, block_hash: bytes) -> None:
    """A transaction in a block spends an output that a closed channel looks at; one that is known is not told again."""
    view = view_of(m, slot)
    if view is None:
        return
    if any(view.spenders[one.prevout].height > height for one in transaction.inputs if one.prevout in view.spenders):
        # Nothing is spent twice: the later block was undone while the node was down and `node` was behind.
        disconnect(m, slot, height)
        view = view_of(m, slot)
        assert view is not None, "the funding output is still spent"
    if all(one.prevout in view.spenders for one in transaction.inputs if one.prevout in view.outputs):
        return
    m.learn(slot, OutputSpent(transaction.serialize(), height, block_hash))
    take_in_spends(m, slot)


def forget_other_block(m: Manager, slot: Slot, height: int, block_hash: bytes) -> None:
    """What is known of another block at this height was undone while the node was down and `node` was behind."""
    spends = slot.state.core.output_spends
    if any(one.height == height and one.block_hash != block_hash for one in reversed(spends)):
        disconnect(m, slot, height - 1)


def disconnect(m: Manager, slot: Slot, fork_height: int) -> None:
    """Undo what blocks above `fork_height` did to the outputs; the spend of the funding output stays."""
    if any(one.height > fork_height for one in slot.state.core.output_spends):
        m.learn(slot, OutputsDisconnected(fork_height))
        forget_view(m, slot)


def on_height(m: Manager, slot: Slot) -> None:
    """The chain has a new tip: what it has decided of a channel is recorded, and what it allows is claimed."""
    if slot.state.core.spent is not None:
        m.shielded(lambda: outcomes.resolve_and_tell(m, slot))
    m.shielded(lambda: claims.update(m, slot))
    m.shielded(lambda: bumping.update(m, slot))


def go_on(m: Manager) -> None:
    """At start: what an earlier life claimed and swept is made again of the state and the chain."""
    for slot in list(m.channels.values()):
        if slot.state.core.spent is not None:
            on_height(m, slot)
    m.shielded(lambda: sweeping.update(m))


def mempool_watch_list(m: Manager) -> list[OutPoint]:
    """Return the outputs whose spends in the mempool may show a preimage that we need, or will soon.

    With anchors every spend of an HTLC with its preimage waits for a block behind the commitment (BOLT 3, "Offered HTLC
    Outputs", "Received HTLC Outputs": `1 OP_CHECKSEQUENCEVERIFY`). Without, it may be in the mempool together with the
    commitment: so there the funding output is asked for too, while an HTLC of ours has no preimage.
    """
    wanted: list[OutPoint] = []
    for slot in m.channels.values():
        core = slot.state.core
        if not core.outbound or slot.halted or slot.archived:
            continue
        if core.spent is not None:
            outputs: Iterable[WatchedOutput] = () if slot.closed_view is None else slot.closed_view.unspent()
        elif core.opened.anchors or all(_is_known(core, htlc_id) for htlc_id in core.outbound):
            continue
        else:
            wanted.append(slot.state.keys.local_parameters.funding_outpoint)
            outputs = slot.unconfirmed_outputs.values()
        wanted += [one.outpoint for one in outputs if _is_wanted(core, one)]
    return wanted


def _is_known(core: ChannelCore, htlc_id: int) -> bool:
    """Return whether nobody has to learn the preimage of an HTLC that we offered any more."""
    htlc = core.outbound.get(htlc_id)
    fulfilled = htlc is None or (htlc.removal is not None and bool(htlc.removal.preimage))
    return fulfilled or htlc_id in core.onchain_preimages


def _is_wanted(core: ChannelCore, output: WatchedOutput) -> bool:
    """Return whether a spend may show a preimage that we lack; of what is not known whole, any may."""
    if output.kind is WatchedKind.UNKNOWN:
        return True
    htlc = output.htlc
    if htlc is None or not htlc.offered:
        return False
    return htlc.htlc_id is None or not _is_known(core, htlc.htlc_id)


def on_mempool_transactions(m: Manager, transactions: Sequence[Transaction]) -> None:
    """Transactions wait for a block that spend what channels look at: the preimages they show go upstream at once
    (BOLT 5, "Requirements": as soon as it is seen, also in the mempool).

    Of what would close a channel its outputs are noted, so that what spends those is asked for next; nothing else of it
    counts before a block has it. Parents and children may come in any order.
    """
    for transaction in transactions:
        for slot in _slots_of(m.watched, transaction):
            if slot.state.core.spent is None:
                m.shielded(partial(expect_spend, m, slot, transaction))
    unconfirmed = {outpoint: slot for slot in m.channels.values() for outpoint in slot.unconfirmed_outputs}
    for transaction in transactions:
        for slot in _slots_of(m.watched, transaction):
            if slot.closed_view is not None:
                m.shielded(partial(_look_for_preimages, m, slot, slot.closed_view.outputs, transaction))
        for slot in _slots_of(unconfirmed, transaction):
            m.shielded(partial(_look_for_preimages, m, slot, slot.unconfirmed_outputs, transaction))


def _slots_of(watched: Mapping[OutPoint, Slot], transaction: Transaction) -> list[Slot]:
    """Return the channels whose outputs it spends, each once."""
    slots = [slot for one in transaction.inputs if (slot := watched.get(one.prevout))]
    return list({slot.channel_id: slot for slot in slots}.values())


def _look_for_preimages(
    m: Manager, slot: Slot, outputs: Mapping[OutPoint, WatchedOutput], transaction: Transaction
) -> None:
    core = slot.state.core
    found: dict[int, bytes] = {}
    for one in transaction.inputs:
        output = outputs.get(one.prevout)
        if output is not None:
            found.update(preimages_of(core, output, one))
    outcomes.learn_preimages(m, slot, found)
