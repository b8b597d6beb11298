"""From journals to a running manager (DESIGN section 3): a pure function of the journals and the chain.

`load` folds; `start` runs once the chain is at the tip. Both append nothing that is not needed again after a crash in
the middle: doing it twice changes nothing.
"""

from collections.abc import Callable, Iterable
from functools import partial

import msgspec

from leyden.base.errors import DecodeError, WrittenByNewer
from leyden.base.ids import NODE_JOURNAL, ChannelId, channel_journal
from leyden.channel.build import channel_keys
from leyden.channel.core import ChannelCore, new_core
from leyden.channel.fold import fold
from leyden.channel.htlc import OutboundHtlc
from leyden.channel.session import Session
from leyden.channel.snapshot import decode_core
from leyden.channel.states import AwaitingReady, ChannelState, state_of
from leyden.journal.batch import StoredJournal
from leyden.journal.codec import decode_record
from leyden.journal.node_codec import NodeRecord, decode_node_record
from leyden.journal.records import ChannelOpened
from leyden.journal.wallet_records import WalletRecord
from leyden.manager import batches, chain, claiming, handoff, receiving, sending
from leyden.manager.actions import DropJournal
from leyden.manager.config import ManagerConfig, NodeSigner
from leyden.manager.manager import Manager
from leyden.manager.node_snapshot import decode_node_snapshot
from leyden.manager.onchain import blocks as onchain
from leyden.manager.outbox import Outbox
from leyden.manager.state import ClaimableSet, ClaimableStatus, NodeState, Slot, fold_node
from leyden.payments.outbound import OutboundPayment, Part


class Unreadable(msgspec.Struct, frozen=True):
    """A channel's journal that cannot be folded. position: of its last record. reason: what is wrong."""

    channel_id: bytes
    position: int
    reason: str


class Folded(msgspec.Struct):
    """What the journals say. wallet: the wallet's records and snapshot, for whoever folds them. archived: journals that
    `node` has let go, and a crash has left. unreadable: channels that are not started, by journal.
    """

    node: NodeState
    node_position: int
    wallet_snapshot: bytes
    wallet_records: list[WalletRecord]
    channels: list[ChannelState]
    archived: list[str] = []
    unreadable: dict[str, Unreadable] = {}


def fold_journals(journals: Iterable[StoredJournal]) -> Folded:
    """Fold every journal. A channel's that cannot be folded is left out, and said to be.

    Raises: DecodeError naming the journal that is newer than this program, or the node's own; nothing was changed.
    """
    folded = Folded(NodeState(), 0, b"", [], [])
    for stored in journals:
        try:
            if stored.journal == NODE_JOURNAL:
                _fold_node_journal(folded, stored)
            else:
                folded.channels.append(live_state(fold_channel(stored)))
        except (DecodeError, AssertionError, KeyError, ValueError, IndexError) as error:
            channel_id = _channel_id_of(stored.journal)
            if channel_id is None or isinstance(error, WrittenByNewer):
                raise DecodeError(f"journal {stored.journal} cannot be read: {error}") from error
            position = stored.position + len(stored.records)
            folded.unreadable[stored.journal] = Unreadable(channel_id, position, f"{type(error).__name__}: {error}")
    _leave_out_archived(folded)
    return folded


def _channel_id_of(journal: str) -> bytes | None:
    """Return the channel that a journal is named for; None when it is none's."""
    try:
        return bytes.fromhex(journal.removeprefix("channel/")) if journal.startswith("channel/") else None
    except ValueError:
        return None


def _leave_out_archived(folded: Folded) -> None:
    """`JournalArchived` was durable first: what is left of such a journal is dropped, and never lives again."""
    for journal in [name for name in folded.unreadable if name in folded.node.archived]:
        del folded.unreadable[journal]
        folded.archived.append(journal)
    kept: list[ChannelState] = []
    for state in folded.channels:
        journal = channel_journal(ChannelId(state.core.opened.channel_id))
        if journal in folded.node.archived:
            folded.archived.append(journal)
        else:
            kept.append(state)
    folded.channels = kept


def _fold_node_journal(folded: Folded, stored: StoredJournal) -> None:
    records: list[NodeRecord] = []
    if stored.state:
        records, folded.wallet_snapshot = decode_node_snapshot(stored.state)
    records.extend([decode_node_record(raw) for raw in stored.records])
    for record in records:
        if isinstance(record, WalletRecord):
            folded.wallet_records.append(record)
        else:
            fold_node(folded.node, record)
    folded.node_position = stored.position + len(stored.records)


def fold_channel(stored: StoredJournal) -> ChannelCore:
    """Fold one channel's journal."""
    raw = stored.records
    if stored.state:
        core = decode_core(stored.state)
    else:
        birth = decode_record(raw[0])
        if not isinstance(birth, ChannelOpened):
            raise DecodeError("a channel's journal begins with its birth", field="records")
        core, raw = new_core(birth), raw[1:]
    for encoded in raw:
        fold(core, decode_record(encoded))
    return core


def live_state(core: ChannelCore) -> ChannelState:
    """Return the state of a folded channel, disconnected."""
    return state_of(AwaitingReady(core, Session(), channel_keys(core.opened)))


def unreadable_alarm(journal: str, unreadable: Unreadable) -> str:
    """Say that a channel is not started, and what that means."""
    return (
        f"{journal} cannot be read ({unreadable.reason}): this channel is not started, and what it may take part in "
        "waits. Do not remove it: restore the data directory from where it was last intact, or ask for help"
    )


def load(
    config: ManagerConfig, signer: NodeSigner, outbox: Outbox, folded: Folded, random32: Callable[[], bytes]
) -> Manager:
    """Make a manager of what was folded. Nothing is decided yet."""
    tail = outbox.tail(NODE_JOURNAL, folded.node_position)
    m = Manager(config, signer, outbox, tail, random32)
    m.node = folded.node
    for state in folded.channels:
        m.add_channel(state, state.core.position)
    m.actions += [DropJournal(journal) for journal in folded.archived]
    for journal, unreadable in folded.unreadable.items():
        m.unreadable[unreadable.channel_id] = unreadable.reason
        m.report("channel", "error", unreadable_alarm(journal, unreadable))
    for payment in m.node.ledger.payments.values():
        # A part that nobody can read of may be under way: what was started before is neither continued nor failed.
        payment.durable = not m.unreadable or not payment.is_live
    m.ended_before = {
        payment_id: None for payment_id, payment in m.node.ledger.payments.items() if payment.sent or payment.failed
    }
    # The blocks that were missed may end payments: by then it is known what their parts cost.
    _restore_parts(m)
    if m.node.best is not None:
        m.set_env(block_height=m.node.best.height)
    return m


def start(m: Manager) -> None:
    """The chain is at the tip: index what is owned, carry on what was decided, judge the rest, ask and tell again."""
    m.is_started = True
    batches.abandon_incomplete(m)
    _index(m)
    _leave_what_may_be_owned(m)
    for slot in list(m.channels.values()):
        _restore_shown(m, slot)
    for claimable in m.claimables.values():
        if claimable.received_msat() < claimable.total_msat:
            # A verdict was lost with the crash, so nobody was asked: the missing parts may still complete it.
            claimable.status = ClaimableStatus.INCOMPLETE
    shown = [claimable for claimable in m.claimables.values() if claimable.status is ClaimableStatus.SHOWN]
    for claim in list(
        {claim_id: claim for slot in m.channels.values() for claim_id, claim in slot.state.core.claims.items()}.values()
    ):
        claiming.replay_claim(m, claim)
    ended_before, m.ended_before = m.ended_before, {}
    for payment_id in ended_before:
        _tell_payment(m, m.node.ledger.payments[payment_id])
    for slot in list(m.channels.values()):
        outcomes = tuple(slot.state.core.outcomes)
        if outcomes:
            # What the blocks behind the noted one have just decided is a record that is still to become durable.
            m.outbox.when_durable(slot.tail, partial(handoff.on_outcomes, m, slot, outcomes))
        handoff.raise_events_again(m, slot)
    unspent = [slot for slot in m.channels.values() if not slot.state.core.is_left_to_chain]
    receiving.judge_at_start(m, unspent)
    for slot in unspent:
        chain.become_ready(m, slot)
    # Deadlines may have passed while the node was down; the next block may be an hour away.
    claiming.on_block(m)
    for claimable in shown:
        # Not what was judged just now: that is asked about behind its records (invariant P10).
        if claimable.status is ClaimableStatus.SHOWN and m.claimables.get(claimable.set_id) is claimable:
            claiming.ask(m, claimable)
    sending.continue_payments(m)
    chain.rebroadcast(m)
    onchain.go_on(m)


def check_lost_journals(m: Manager) -> None:
    """A journal that a source or a claim names must be there or archived (DESIGN section 4, "Archive").

    Raises: DecodeError naming both journals: the node must not start.
    """
    for slot in m.channels.values():
        core = slot.state.core
        named = [
            htlc.add.source.origin for htlc in core.outbound.values() if htlc.add.source and htlc.add.source.forwarded
        ]
        named += [part.channel_id for claim in core.claims.values() for part in claim.parts]
        for channel_id in named:
            known = channel_id in m.channels or channel_id in m.unreadable
            if not known and f"channel/{channel_id.hex()}" not in m.node.archived:
                raise DecodeError(
                    f"journal channel/{channel_id.hex()} is missing, and channel/{slot.channel_id.hex()} needs it; "
                    "restore the whole data directory"
                )


def _restore_parts(m: Manager) -> None:
    """Whoever holds a part of a payment of ours that has not ended, or tells how it ended, names its payment."""
    for slot in m.channels.values():
        core = slot.state.core
        for htlc_id, htlc in core.outbound.items():
            source = htlc.add.source
            if source is not None and not source.forwarded and not _is_handled(core, htlc_id, htlc):
                _restore_part(m, slot, source.origin, source.index, htlc.add.amount_msat, htlc.add.fee_msat)
        for outcome in core.outcomes.values():
            if not outcome.source.forwarded:
                source = outcome.source
                _restore_part(m, slot, source.origin, source.index, outcome.amount_msat, outcome.fee_msat)


def _is_handled(core: ChannelCore, htlc_id: int, htlc: OutboundHtlc) -> bool:
    """Decided, and handled durably; it only waits to leave both commitments, or for the archive."""
    fulfilled = htlc.removal is not None and htlc.removal.preimage
    by_chain = htlc_id in core.onchain_preimages or htlc_id in core.onchain_failed
    return bool(fulfilled or by_chain) and htlc_id not in core.outcomes


def _index(m: Manager) -> None:
    """Whoever names an HTLC as source owns it."""
    for slot in m.channels.values():
        core = slot.state.core
        for htlc_id, htlc in core.outbound.items():
            source = htlc.add.source
            assert source is not None
            if source.forwarded and not _is_handled(core, htlc_id, htlc):
                _own(m, (source.origin, source.index), slot)
        for outcome in core.outcomes.values():
            if outcome.source.forwarded and outcome.htlc_id not in core.outbound:
                _own(m, (outcome.source.origin, outcome.source.index), slot)


def _leave_what_may_be_owned(m: Manager) -> None:
    """A journal that cannot be read may name any HTLC as its source: those without another owner are left to it."""
    for channel_id in m.unreadable:
        for slot in m.channels.values():
            for htlc_id in receiving.undecided_ids(m, slot):
                m.forwards[(slot.channel_id, htlc_id)] = channel_id


def _own(m: Manager, inbound: tuple[bytes, int], slot: Slot) -> None:
    if inbound in m.forwards:
        m.also_carried.setdefault(inbound, []).append(slot.channel_id)
    else:
        m.forwards[inbound] = slot.channel_id


def _restore_part(m: Manager, slot: Slot, payment_id: bytes, number: int, amount_msat: int, fee_msat: int) -> None:
    payment = m.node.ledger.payments.get(payment_id)
    if payment is None:
        return
    nodes = tuple(payment.hops.get(number, (slot.peer,)))
    way = (slot.channel_id, -1)
    payment.parts[number] = Part(slot.channel_id, way, amount_msat - fee_msat, fee_msat, nodes)
    payment.next_part = max(payment.next_part, number + 1)


def _restore_shown(m: Manager, slot: Slot) -> None:
    """HTLCs that were shown go back to their set, unjudged (DESIGN section 7, reading 4)."""
    core = slot.state.core
    for shown in core.shown.values():
        claimable = m.claimables.get(shown.set_id)
        if claimable is None:
            claimable = m.claimables[shown.set_id] = ClaimableSet(
                shown.set_id,
                shown.payment_hash,
                shown.payment_secret,
                shown.purpose,
                shown.total_msat,
                shown.preimage,
                shown.custom_records,
                {},
                shown.deadline_height + m.config.claim_deadline_blocks,
                m.now_seconds,
                ClaimableStatus.SHOWN,
            )
        for htlc_id in shown.htlc_ids:
            if htlc_id in core.inbound:
                claimable.parts[(slot.channel_id, htlc_id)] = core.inbound[htlc_id].add.amount_msat


def _tell_payment(m: Manager, payment: OutboundPayment) -> None:
    """What ended in an earlier life and was not acknowledged is told again. What the blocks that were missed have ended
    in this one is told behind its record, like all that ends later.
    """
    payment_id = payment.started.payment_id.hex()
    for event_id, is_so, show in (
        (f"sent/{payment_id}", payment.sent is not None, sending.show_sent),
        (f"failed/{payment_id}", payment.failed is not None, sending.show_failed),
    ):
        if is_so and event_id in m.node.unacknowledged:
            show(m, payment)
