"""`Manager`: all channels and payments of one node, in memory, driven one input at a time.

One pass is: inputs (`on_message`, commands, blocks), then `flush`, then the driver takes the batch for the store, the
requests for the signer and the messages that may leave. Nothing here waits, and nothing here is stored: it is rebuilt
from the journals.
"""

from collections.abc import Callable
from functools import partial

import msgspec

from leyden.base.errors import CommandRejected, PeerViolation, Reaction
from leyden.base.ids import ChannelId, channel_journal
from leyden.bitcoin.tx import OutPoint
from leyden.channel import effects as fx
from leyden.channel.build import prepare
from leyden.channel.dispatch import apply, decide, evolve
from leyden.channel.env import ChannelEnv
from leyden.channel.errors import InvalidReestablish
from leyden.channel.inputs import Commit, DecideHtlcs, ForceClose, Learn
from leyden.channel.states import ChannelState
from leyden.journal.codec import encode_record
from leyden.journal.node_codec import encode_node_record
from leyden.journal.node_records import CoreNodeRecord, EventsAcknowledged
from leyden.journal.records import Acknowledged, ChannelRecord, FailedHtlc, ForwardedPayment
from leyden.manager.actions import Action, Disconnect, Report, ShowEvent, Subsystem
from leyden.manager.config import CloseCause, CloseRequest, ManagerConfig, NodeSigner
from leyden.manager.events import Event
from leyden.manager.onchain.active import ActiveClaim, ActiveSweep
from leyden.manager.outbox import Outbox, Tail
from leyden.manager.replays import SeenOnions
from leyden.manager.state import ClaimableSet, NodeState, Peer, Slot, Verdict, fold_node
from leyden.signer.requests import Request
from leyden.wire.messages import WarningMessage, encode

REASON_LENGTH_MAX = 200
FAULTS_KEPT = 100
COMMIT = Commit()
EffectHandler = Callable[["Manager", Slot, fx.Effect], None]


def describe_bug(bug: BaseException) -> str:
    """Return the error and where it was raised."""
    trace = bug.__traceback__
    place = ""
    while trace is not None:
        code = trace.tb_frame.f_code
        place = f" in {code.co_filename.rpartition('/')[2]}:{trace.tb_lineno} {code.co_qualname}"
        trace = trace.tb_next
    return f"{type(bug).__name__}: {bug}"[:REASON_LENGTH_MAX] + place


class Manager:
    """See the module.

    random32: 32 bytes from the driver's entropy; nothing else here is random.
    forwards: inbound HTLC (channel_id, htlc_id) -> channel that carries it on, from the moment it is queued there.
    held_forwards: inbound HTLCs that wait for the next peer to come back, and since when (seconds).
    failed_early: inbound HTLCs that were failed in this life before the chain had resolved what carries them on.
    also_carried: further channels that carry the same inbound HTLC, found at start. by_peer: channels by node_id.
    claim_channels: claim_id -> channels of a claim that the user was told of and has not acknowledged.
    watched: outputs whose spend is looked for in every block: fundings, and what closed channels leave.
    watched_txids: channels by funding transaction. penalty_log: a journal's rows, from the store.
    claiming: channels that claims of this life are for, by id. published: claims that the chain service was given, by
    txid. onchain_due: closed channels of which a preimage was decided in this pass. told_uneconomic: claims that cost
    more than they bring, as the user was told. sweep, unswept_sat: what goes to the wallet, and what is not worth its
    fee.
    feerates: sat/kw by target in blocks, as estimated.
    unpublished: txid -> channels of a batch that was born in this life and is not all durable yet.
    ended_before: payments that had ended when the journals were folded, until the start has told of them.
    forward_hold: the store is behind, take no new forwards.
    is_started: the chain is at its tip, so new things are decided (invariant P16).
    unreadable: channels whose journal cannot be folded, and why: not started, and never taken for unknown or archived.
    faults: bugs outside of any channel in this life, for the operator.
    storage_waiting: node_id -> blob of `peer_storage` that is written later. storage_due: node_id -> when its writes
    are paid for.
    asked: sets that users were asked about, by the set_id that they name: other than the key of `claimables` it is
    never that of another payment with the same hash and secret.
    claim_blockers: claim_id -> channels whose claim record is not durable yet; never stored, a replayed claim makes it
    again.
    """

    def __init__(  # noqa: PLR0915 - a line for each thing that a manager knows
        self, config: ManagerConfig, signer: NodeSigner, outbox: Outbox, node_tail: Tail, random32: Callable[[], bytes]
    ) -> None:
        self.config = config
        self.random32 = random32
        self.signer = signer
        self.outbox = outbox
        self.node_tail = node_tail
        self.node = NodeState()
        self.node_id = signer.node_id
        self.now_seconds = 0
        self.channels: dict[bytes, Slot] = {}
        self.by_peer: dict[bytes, dict[bytes, Slot]] = {}
        self.by_short_channel_id: dict[int, bytes] = {}
        self.peers: dict[bytes, Peer] = {}
        self.claimables: dict[bytes, ClaimableSet] = {}
        self.asked: dict[bytes, ClaimableSet] = {}
        self.claim_blockers: dict[bytes, dict[bytes, None]] = {}
        self.claim_channels: dict[bytes, list[bytes]] = {}
        self.forwards: dict[tuple[bytes, int], bytes] = {}
        self.held_forwards: dict[tuple[bytes, int], int] = {}
        self.failed_early: dict[tuple[bytes, int], None] = {}
        self.also_carried: dict[tuple[bytes, int], list[bytes]] = {}
        self.verdicts: dict[bytes, Verdict] = {}
        self.dirty: dict[bytes, Slot] = {}
        self.moved: dict[bytes, Slot] = {}
        self.after_verdicts: list[Callable[[], None]] = []
        self.events: dict[str, Event] = {}
        self.acks: dict[bytes, Slot] = {}
        self.ack_node_events: list[str] = []
        self.actions: list[Action] = []
        self.effect_handlers: dict[type, EffectHandler] = {}
        self.on_signed: Callable[[Manager, Slot], None] = lambda _m, _slot: None
        self.on_forwarded: Callable[[Manager, Slot, list[ForwardedPayment]], None] = lambda _m, _slot, _forwarded: None
        self.publish_commitment: Callable[[Manager, Slot], None] = lambda _m, _slot: None
        self.forward_hold = False
        self.is_started = False
        self.seen_onions = SeenOnions()
        self.storage_waiting: dict[bytes, bytes] = {}
        self.storage_due: dict[bytes, int] = {}
        self.faults: list[str] = []
        self.unreadable: dict[bytes, str] = {}
        self.watched: dict[OutPoint, Slot] = {}
        self.claiming: dict[bytes, Slot] = {}
        self.published: dict[bytes, ActiveClaim] = {}
        self.onchain_due: dict[bytes, Slot] = {}
        self.told_uneconomic: dict[bytes, None] = {}
        self.sweep: ActiveSweep | None = None
        self.unswept_sat = 0
        self.feerates: dict[int, int] = {}
        self.penalty_log: Callable[[str], bytes] = lambda _journal: b""
        self.update_claims: Callable[[Manager, Slot], None] = lambda _m, _slot: None
        self.watched_txids: dict[bytes, list[Slot]] = {}
        self.ended_before: dict[bytes, None] = {}
        self.unpublished: dict[bytes, list[bytes]] = {}
        self.env = ChannelEnv(
            block_height=0,
            feerate_per_kw=2500,
            feerate_min_per_kw=config.feerate_min_per_kw,
            feerate_max_per_kw=config.feerate_max_per_kw,
            closing_feerate_per_kw=2500,
            limits=config.limits,
            point_of=signer.per_commitment_point,
            shutdown_script_of=lambda _keys_id: signer.shutdown_script_pubkey(),
        )

    # --- one channel ---------------------------------------------------------------------------------------------

    def add_channel(self, state: ChannelState, position: int) -> Slot:
        """Take in a channel whose journal holds `position` durable records."""
        channel_id = state.core.opened.channel_id
        tail = self.outbox.tail(channel_journal(ChannelId(channel_id)), position)
        slot = Slot(state, tail, state.core.opened.counterparty_node_id)
        self.channels[channel_id] = slot
        self.by_peer.setdefault(slot.peer, {})[channel_id] = slot
        self.watched[state.keys.local_parameters.funding_outpoint] = slot
        self.watched_txids.setdefault(state.core.opened.funding_txid, []).append(slot)
        self.register_short_channel_ids(slot)
        return slot

    def remove_channel(self, slot: Slot) -> None:
        """Forget a channel whose journal is archived; whatever still names it is told that it is unknown."""
        channel_id = slot.channel_id
        del self.channels[channel_id]
        del self.by_peer[slot.peer][channel_id]
        self.by_short_channel_id = {
            scid: known for scid, known in self.by_short_channel_id.items() if known != channel_id
        }
        for outpoint in [outpoint for outpoint, known in self.watched.items() if known is slot]:
            del self.watched[outpoint]
        funding_txid = slot.state.core.opened.funding_txid
        left = [one for one in self.watched_txids.pop(funding_txid) if one is not slot]
        if left:
            self.watched_txids[funding_txid] = left
        for waiting in (self.acks, self.dirty, self.moved, self.onchain_due):
            waiting.pop(channel_id, None)
        self.outbox.close_tail(slot.tail)

    def channels_with(self, peer: bytes) -> list[Slot]:
        """Return the channels with a peer (node_id)."""
        return list(self.by_peer.get(peer, {}).values())

    def register_short_channel_ids(self, slot: Slot) -> None:
        """Make the channel known under its aliases, and under its real short_channel_id unless the type forbids it."""
        core = slot.state.core
        if core.local_alias:
            self.by_short_channel_id[core.local_alias] = slot.channel_id
        if core.funding is not None and not core.opened.scid_alias:
            self.by_short_channel_id[core.funding.short_channel_id] = slot.channel_id

    def new_alias(self) -> int:
        """Return a random alias that looks like no real short_channel_id: its block is before any Lightning channel."""
        while True:
            alias = int.from_bytes(self.random32()[:8], "big") & ((1 << 58) - 1)
            if alias and alias not in self.by_short_channel_id:
                return alias

    def apply(self, slot: Slot, event: object) -> None:
        """Let one channel decide on an input, fold its record, and carry out what it wants.

        Raises: PeerViolation, CommandRejected: nothing has happened.
        """
        if slot.halted or slot.archived:
            return
        decision = decide(slot.state, event, self.env)
        for record in decision.records:
            slot.state = evolve(slot.state, record)
            self.outbox.append(slot.tail, encode_record(record))
        state = slot.state
        if decision.records and state.core.spent is not None:
            self.onchain_due[slot.channel_id] = slot
        for fact in decision.facts:
            apply(state, fact)
        if event is not COMMIT and (decision.records or decision.facts):
            self.dirty[slot.channel_id] = slot
        handlers = self.effect_handlers
        for effect in decision.effects:
            handlers[type(effect)](self, slot, effect)

    def learn(self, slot: Slot, record: ChannelRecord) -> None:
        """Append a record that was decided outside of the channel's own machine."""
        self.guarded(slot, Learn(record))

    def on_violation(self, slot: Slot | None, peer: bytes, violation: PeerViolation) -> None:
        """The peer broke the protocol: the one place where that has a consequence."""
        self.report("peer", "warning", f"peer {peer.hex()[:16]}: {violation.what}")
        if violation.reaction is Reaction.FAIL_CHANNEL and slot is not None and not slot.state.core.stale:
            if isinstance(violation, InvalidReestablish):
                # It has said where it stands: numbers that cannot be, but no secret of ours (the proof is looked at
                # first). So no newer commitment has replaced our latest one, and publishing it costs nothing.
                slot.heard = True
            if slot.heard:
                self.force_close(slot, violation.what, CloseCause.VIOLATION)
                return
            # An old copy of our journal would be at fault, not the peer: hear first where it stands.
            self.warn_peer(peer, slot, violation.what, disconnect=True)
            return
        self.warn_peer(peer, slot, violation.what, disconnect=violation.reaction is not Reaction.WARN)

    def force_close(self, slot: Slot, reason: str, cause: CloseCause) -> None:
        """Publish our commitment: the only way to it, whoever wants it. Unless that is the user or a deadline, the
        close hook is asked; when it refuses the channel stays, and its peer is disconnected.

        Raises: CommandRejected (`data_loss`) for the user alone; others do not ask it of a stale channel.
        """
        if cause is CloseCause.USER:
            self.apply(slot, ForceClose(reason))
        elif slot.state.core.closing is not None or slot.state.core.is_left_to_chain:
            return
        elif cause is CloseCause.DEADLINE or self._may_close(CloseRequest(slot.channel_id, slot.peer, cause, reason)):
            self.guarded(slot, ForceClose(reason))
        else:
            name = slot.channel_id.hex()[:16]
            self.report("channel", "error", f"channel {name} is kept, as its policy says, though it failed: {reason}")
            self.warn_peer(slot.peer, slot, f"this channel is not closed: {reason}", disconnect=True)

    def _may_close(self, request: CloseRequest) -> bool:
        try:
            return self.config.close_hook(request)
        except Exception as bug:  # noqa: BLE001 - the hook is the user's own, and a close cannot be taken back
            self.fault(bug)
            return False

    def warn_peer(self, peer: bytes, slot: Slot | None, reason: str, *, disconnect: bool) -> None:
        """Send a `warning`, which closes no channel (BOLT 1, "The `error` and `warning` Messages"); disconnect if
        asked.
        """
        channel_id = bytes(32) if slot is None else slot.channel_id
        data = reason[:REASON_LENGTH_MAX].encode("ascii", "replace")
        self.outbox.send_free(peer, encode(WarningMessage(channel_id, data)))
        if disconnect:
            session = self.peers.get(peer)
            if session is not None:
                session.ending = True
            self.actions.append(Disconnect(peer, reason))

    # --- verdicts ------------------------------------------------------------------------------------------------

    def decide_fulfil(self, channel_id: bytes, forwarded: ForwardedPayment) -> None:
        """Promise to fulfil an inbound HTLC that was forwarded; recorded at the end of the pass."""
        self.verdicts.setdefault(channel_id, Verdict()).forwarded.append(forwarded)

    def decide_fail(self, channel_id: bytes, failed: FailedHtlc) -> None:
        """Promise to fail an inbound HTLC; recorded at the end of the pass."""
        self.verdicts.setdefault(channel_id, Verdict()).failed.append(failed)

    # --- the node journal ------------------------------------------------------------------------------------------

    def record(self, record: CoreNodeRecord) -> None:
        """Fold and append one record of the node journal."""
        fold_node(self.node, record)
        self.outbox.append(self.node_tail, encode_node_record(record))

    # --- the end of a pass -----------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Finish a pass: record verdicts, sign what is queued, run what became free, until nothing moves."""
        while True:
            moved = self._run_released()
            moved |= self._record_verdicts()
            moved |= self._commit()
            if not moved and not self._claim_onchain():
                break
        self._write_acknowledgements(forced=False)

    def _claim_onchain(self) -> bool:
        """A preimage that was decided for a closed channel goes to the chain at once."""
        if not self.onchain_due:
            return False
        due, self.onchain_due = self.onchain_due, {}
        for slot in due.values():
            self.shielded(partial(self.update_claims, self, slot))
        return True

    def _run_released(self) -> bool:
        try:
            return self.outbox.run_released()
        except Exception as bug:  # noqa: BLE001 - what else waits is still queued, and must not wait for ever
            self.fault(bug)
            return True

    def _record_verdicts(self) -> bool:
        if not self.verdicts and not self.after_verdicts:
            return False
        verdicts, self.verdicts = self.verdicts, {}
        for channel_id, verdict in verdicts.items():
            slot = self.channels.get(channel_id)
            if slot is not None:
                self.guarded(slot, DecideHtlcs(verdict.forwarded, verdict.failed, []))
                if verdict.forwarded:
                    self.on_forwarded(self, slot, verdict.forwarded)
        later, self.after_verdicts = self.after_verdicts, []
        for run in later:
            self.shielded(run)
        return True

    def _commit(self) -> bool:
        if not self.dirty:
            return False
        dirty, self.dirty = self.dirty, {}
        for slot in dirty.values():
            before = slot.state.core.remote.number
            self.guarded(slot, COMMIT)
            if slot.state.core.remote.number != before:
                self.moved[slot.channel_id] = slot
                slot.tail.unsent = slot.state.core.remote.number
                self.on_signed(self, slot)
        # Also when nothing is dirty: what was refused has left verdicts, or something to run behind them.
        return True

    def prepare_moved(self) -> None:
        """Derive the keys of the next commitments of channels that have just signed one."""
        moved, self.moved = self.moved, {}
        for slot in moved.values():
            prepare(slot.state.core, slot.state.keys, self.signer.per_commitment_point)

    def guarded(self, slot: Slot, event: object) -> None:
        """Apply an input of our own; a bug halts this channel and nothing else."""
        try:
            self.apply(slot, event)
        except PeerViolation as violation:
            self.on_violation(slot, slot.peer, violation)
        except Exception as bug:  # noqa: BLE001 - one channel's bug must not cost the others their turn
            self.halt(slot, event, bug)

    def halt(self, slot: Slot, event: object, bug: BaseException) -> None:
        """A bug of ours: this channel writes and sends nothing more in this life; everything else goes on.

        What is said is where the bug is, the input, and the state: the position of its journal, to be looked at with
        `leyden journal fold`.
        """
        where = f"record {slot.tail.position} of {slot.tail.journal}"
        slot.halted = f"{describe_bug(bug)} on {type(event).__name__} at {where}"
        self.report("channel", "error", f"channel {slot.channel_id.hex()[:16]} halted: {slot.halted}")

    def on_signer_refused(self, request: Request, bug: BaseException) -> None:
        """The signer will not sign or reveal what we asked for: a bug of ours. What waits behind it dies with the
        connection.
        """
        for slot in self.channels.values():
            if slot.state.core.opened.channel_keys_id == request.keys_id:
                self.halt(slot, request, bug)
                self.actions.append(Disconnect(slot.peer, "internal error"))
                return
        self.fault(bug)

    def fault(self, bug: BaseException) -> None:
        """A bug of ours outside of any channel: say so, and go on with everything else."""
        if len(self.faults) < FAULTS_KEPT:
            self.faults.append(describe_bug(bug))
        self.report("node", "error", f"a fault of this program: {describe_bug(bug)}")

    def shielded(self, run: Callable[[], object]) -> None:
        """Run something that belongs to no channel; a bug in it stops nothing else."""
        try:
            run()
        except Exception as bug:  # noqa: BLE001 - see above
            self.fault(bug)

    def write_acknowledgements(self) -> None:
        """Write every acknowledgement that waits; the driver calls this now and then."""
        self._write_acknowledgements(forced=True)

    def _write_acknowledgements(self, *, forced: bool) -> None:
        for channel_id, slot in list(self.acks.items()):
            if slot.halted or not (forced or slot.tail.records):
                continue
            del self.acks[channel_id]
            record = Acknowledged(slot.ack_handed_off, slot.ack_outcomes, slot.ack_claims, slot.ack_events)
            # Not before: until it is folded the channel still holds the event, and would tell it again.
            slot.state.session.events_shown.difference_update(slot.ack_events)
            slot.ack_handed_off, slot.ack_outcomes, slot.ack_claims, slot.ack_events = [], [], [], []
            slot.state = evolve(slot.state, record)
            self.outbox.append(slot.tail, encode_record(record))
        if self.ack_node_events and (forced or self.node_tail.records):
            acknowledged, self.ack_node_events = self.ack_node_events, []
            self.record(EventsAcknowledged(acknowledged))

    def holds_urgent_records(self) -> bool:
        """Return whether a close or a preimage waits for the store: on a full disk these come first."""
        for slot in self.channels.values():
            if slot.tail.durable == slot.tail.position:
                continue
            core = slot.state.core
            if core.closing is not None or core.claims or any(htlc.preimage for htlc in core.inbound.values()):
                return True
        return False

    def show(self, event: Event) -> None:
        """Show an event whose fact is durable; the same one again is shown once in a life."""
        if event.event_id not in self.events:
            self.events[event.event_id] = event
            self.actions.append(ShowEvent(event))

    def require_room(self) -> None:
        """Refuse new payments while the application does not acknowledge its events, or the store is far behind.

        Raises: CommandRejected.
        """
        if len(self.events) >= self.config.unacknowledged_events_max:
            raise CommandRejected(
                f"{len(self.events)} events wait to be acknowledged; acknowledge some first", code="too_many_events"
            )
        if self.forward_hold:
            raise CommandRejected(
                "the store is far behind what it was given: look at the disk, or try again later", code="store_behind"
            )

    def take_actions(self) -> list[Action]:
        """Return what is to be done outside, in order."""
        actions, self.actions = self.actions, []
        return actions

    def report(self, subsystem: Subsystem, level: str, text: str) -> None:
        """Say something to whoever reads the log."""
        self.actions.append(Report(subsystem, level, text))

    def set_env(self, **changes: int) -> None:
        """Take a new snapshot of the world: height, feerates."""
        self.env = msgspec.structs.replace(self.env, **changes)
