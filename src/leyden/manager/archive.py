"""The end of a journal (DESIGN section 4, "Archive"; invariant P26): it goes when nothing can ever ask for it again.

First `JournalArchived` becomes durable in `node`, then the journal is dropped; a start drops what a crash has left.
"Closed" is not enough: what is ours on the chain must be spent for good, and nobody may wait for a word of it.
"""

from collections.abc import Iterator

from leyden.channel.core import ChannelCore
from leyden.channel.states import Closed
from leyden.journal.node_records import JournalArchived
from leyden.manager import peer_storage
from leyden.manager.actions import DropJournal
from leyden.manager.manager import Manager
from leyden.manager.onchain import outcomes
from leyden.manager.outbox import Release
from leyden.manager.state import Slot
from leyden.monitor.resolution import IRREVOCABLE_BLOCKS


def on_block(m: Manager) -> None:
    """Archive what may go."""
    if not m.is_started or m.unreadable:
        return  # a journal that cannot be read may name any other
    for slot in list(m.channels.values()):
        if type(slot.state) is Closed and not slot.archived and may_go(m, slot):
            slot.archived = True
            m.outbox.when_all_durable(_archiving(m, slot))


def _archiving(m: Manager, slot: Slot) -> Release:
    def run() -> None:
        slot.archived = may_go(m, slot)
        if slot.archived:
            m.record(JournalArchived(slot.tail.journal))
            m.outbox.when_durable(m.node_tail, lambda: _forget(m, slot))

    return run


def think_again(m: Manager, slot: Slot) -> None:
    """Blocks are undone: a channel that `node` has not let go yet takes in what they had brought."""
    if slot.tail.journal not in m.node.archived:
        slot.archived = False


def _forget(m: Manager, slot: Slot) -> None:
    """`node` says durably that it is gone: let it go."""
    m.remove_channel(slot)
    m.actions.append(DropJournal(slot.tail.journal))
    m.report("channel", "info", f"channel {slot.channel_id.hex()[:16]} is archived: nothing of it is left to do")


def may_go(m: Manager, slot: Slot) -> bool:
    """Return whether nothing can ask for this journal again, now or after a crash."""
    if slot.halted or slot.tail.durable < slot.tail.position:
        return False
    return (
        is_resolved(m, slot)
        and not _has_facts(slot)
        and not _is_needed_by_storage(m, slot)
        and slot.channel_id not in _named(m, slot)
    )


def is_resolved(m: Manager, slot: Slot) -> bool:
    """Return whether nothing of ours is or can come to be on the chain, irrevocably."""
    core, height = slot.state.core, m.env.block_height
    if core.spent is None:
        return not (core.inbound or core.outbound) and _never_was(m, core, height)
    return outcomes.is_finished(m, slot)


def _never_was(m: Manager, core: ChannelCore, height: int) -> bool:
    """An abandoned funding may still confirm; then what the opener gave us would be there to be had."""
    late = core.opened.birth_height + m.config.funding_timeout_blocks + IRREVOCABLE_BLOCKS
    return bool(core.abandoned) and core.funding is None and not core.local.local_msat and height >= late


def _has_facts(slot: Slot) -> bool:
    """Return whether a fact of this journal waits for somebody: an event, a hand-off, a claim."""
    core = slot.state.core
    return bool(core.events or core.forward_events or core.outcomes or core.claims or core.shown)


def _is_needed_by_storage(m: Manager, slot: Slot) -> bool:
    """Return whether a blob that we keep for the peer would go with its last channel (`peer_storage`)."""
    if slot.peer not in m.node.storage and slot.peer not in m.storage_waiting:
        return False
    others = [one for one in m.channels_with(slot.peer) if one is not slot and not one.archived]
    return not any(peer_storage.counts(m, one) for one in others)


def _named(m: Manager, slot: Slot) -> dict[bytes, None]:
    """Return the channels that something outside of `slot` names: a source, an outcome, a claim, a part."""
    return dict.fromkeys(_names(m, slot))


def _names(m: Manager, slot: Slot) -> Iterator[bytes]:
    for other in m.channels.values():
        if other is slot:
            continue
        core = other.state.core
        if not is_resolved(m, other):
            # Once it is, its HTLCs are history, else two channels that carried for each other would wait for ever.
            yield from [htlc.add.source.origin for htlc in core.outbound.values() if htlc.add.source is not None]
        yield from [outcome.source.origin for outcome in core.outcomes.values()]
        yield from [part.channel_id for claim in core.claims.values() for part in claim.parts]
    for payment in m.node.ledger.payments.values():
        yield from [part.channel_id for part in payment.parts.values()]
    yield from m.forwards.values()
    yield from [channel_id for channel_id, _htlc_id in m.forwards]
    for channel_ids in (*m.claim_blockers.values(), *m.claim_channels.values()):
        yield from channel_ids
