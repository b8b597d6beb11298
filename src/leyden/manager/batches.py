"""From the births of channels that one transaction funds to its publication, or to the end of them all (invariant P19).

Published is what all members hold durably and none of them has abandoned. So every later life can tell from the
journals alone: a member that is gone, or was abandoned, means that nothing was published nor ever will be. An
abandonment in the life of the births is durable before anything rests on it: before users and peers are told, and
before the coins are used again.
"""

from collections.abc import Sequence

from leyden.base.ids import ChannelId, channel_journal
from leyden.channel.core import ChannelCore
from leyden.channel.inputs import BecomeReady
from leyden.journal.records import ChannelOpened, FundingAbandoned
from leyden.manager import events as ev
from leyden.manager.actions import Broadcast, ChannelBorn, ReleaseFunding, ShowEvent
from leyden.manager.manager import REASON_LENGTH_MAX, Manager
from leyden.manager.outbox import Release
from leyden.manager.state import Slot
from leyden.wire.messages import ErrorMessage, encode

MEMBERS_MAX = 20
LOST = "abandoned: a crash lost another channel of its batch"
TOLD_TO_PEERS = b"not opened: another channel of its batch came to nothing"


def publish_when_durable(m: Manager, slots: Sequence[Slot]) -> None:
    """Publish the transaction that funds these channels, which were just born, when all of them are durable."""
    opened = slots[0].state.core.opened
    if opened.batch:
        m.unpublished[opened.funding_txid] = [slot.channel_id for slot in slots]
    m.outbox.when_these_durable([slot.tail for slot in slots], lambda: _publish(m, slots))


def _publish(m: Manager, slots: Sequence[Slot]) -> None:
    opened = slots[0].state.core.opened
    m.unpublished.pop(opened.funding_txid, None)
    if any(slot.state.core.abandoned for slot in slots):
        return
    m.actions.append(Broadcast(opened.funding_transaction, "funding"))
    for slot in slots:
        m.actions.append(ChannelBorn(slot.state.core.opened.user_channel_id, slot.channel_id))
        if opened.batch and not slot.state.core.opened.minimum_depth:
            m.guarded(slot, BecomeReady(m.new_alias()))


def fundings_on_their_way(m: Manager) -> dict[bytes, Slot]:
    """Return, by txid, a channel for each funding of ours that is published or may be, and in no block yet."""
    found: dict[bytes, Slot] = {}
    for slot in m.channels.values():
        core = slot.state.core
        if core.spent is not None or core.closed_height or core.abandoned or core.funding is not None:
            continue
        funding_txid = core.opened.funding_txid
        if core.opened.funding_transaction and funding_txid not in m.unpublished and not _has_ended(m, core):
            found.setdefault(funding_txid, slot)
    return found


def is_in_doubt(m: Manager, core: ChannelCore) -> bool:
    """Return whether a member's journal cannot be read: it may say that the batch was abandoned, or not."""
    return any(channel_id in m.unreadable for channel_id in core.opened.batch)


def _has_ended(m: Manager, core: ChannelCore) -> bool:
    """Return whether the transaction of this channel was never published: a member was abandoned, or is gone.

    What was abandoned is archived only when the others are abandoned durably.
    """
    for channel_id in core.opened.batch:
        slot = m.channels.get(channel_id)
        if slot is None:
            if channel_id not in m.unreadable and channel_journal(ChannelId(channel_id)) not in m.node.archived:
                return True
        elif slot.state.core.abandoned:
            return True
    return False


def abandon_incomplete(m: Manager) -> None:
    """At start, with the chain at its tip: end what is left of batches that were never published.

    What the journals hold says so in every life, so the coins were never locked in this one.
    """
    for slot in list(m.channels.values()):
        core = slot.state.core
        if core.abandoned or core.stale or core.funding is not None or core.spent is not None or core.closed_height:
            continue  # an old copy may lack a member; what the chain has shown was published
        if _has_ended(m, core):
            _abandon(m, slot, LOST)


def abandon_unpublished(m: Manager, funding_txid: bytes, reason: str) -> None:
    """A peer gave up its channel of a batch that is not published yet: none of them is opened.

    The coins are free behind the first record that is durable, and freed once: who takes them next must keep them.
    """
    slots = [m.channels[channel_id] for channel_id in m.unpublished[funding_txid]]
    if any(slot.state.core.abandoned for slot in slots):
        return
    reason = f"abandoned: {reason}"[:REASON_LENGTH_MAX]
    release = _release_once(m, [slot.state.core.opened for slot in slots], reason)
    for slot in slots:
        _abandon(m, slot, reason)
        if slot.state.core.abandoned:
            m.outbox.when_durable(slot.tail, release)


def _abandon(m: Manager, slot: Slot, reason: str) -> None:
    """End one channel of a batch that was not published, and tell its peer. A halted one learns it in another life."""
    m.learn(slot, FundingAbandoned(reason))
    if slot.state.core.abandoned:
        m.outbox.send(slot.peer, encode(ErrorMessage(slot.channel_id, TOLD_TO_PEERS)), slot.tail)


def _release_once(m: Manager, opened: Sequence[ChannelOpened], reason: str) -> Release:
    is_done = False

    def release() -> None:
        nonlocal is_done
        if is_done:
            return
        is_done = True
        m.actions.append(ReleaseFunding(opened[0].funding_transaction))
        for one in opened:
            event_id = f"refused/{one.user_channel_id.hex()}"
            m.actions.append(ShowEvent(ev.OpenRefused(event_id, one.user_channel_id, reason)))

    return release
