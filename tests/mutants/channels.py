"""Mutants of a channel's own life: reconnection, folding, closing, stale data, stores."""

from typing import Any

import msgspec

from leyden.base.transition import Decision
from leyden.channel import closing
from leyden.channel.effects import SendMessage, SendRevokeAndAck
from leyden.channel.inputs import ForceClose
from leyden.channel.states import Normal
from leyden.journal.records import Closing
from leyden.wire.messages import Shutdown, UpdateFailHtlc, encode
from tests.mutants.mutant import Hit, Make, mutant, nothing

AGAIN = "promise 10"
RESTORED = "tests.simulation.test_restored_stores:"


def _other_order(original: Any, hit: Hit) -> Any:
    def owed_messages(state: Any, msg: Any) -> Any:
        owed = original(state, msg)
        revocation = [one for one in owed if isinstance(one, SendRevokeAndAck)]
        others = [one for one in owed if not isinstance(one, SendRevokeAndAck)]
        if revocation and others:
            hit()
            return others + revocation if owed[0] is revocation[0] else revocation + others
        return owed

    return owed_messages


def _owes_nothing(original: Any, hit: Hit) -> Any:
    def owed_messages(state: Any, msg: Any) -> Any:
        if original(state, msg):
            hit()
        return []

    return owed_messages


def _failure_made_anew(original: Any, hit: Hit) -> Any:
    """What is sent again is another packet than what was sent."""

    def removal_message(core: Any, htlc: Any) -> bytes:
        if not htlc.preimage and not htlc.failure.failure_code and htlc.removing:
            hit()
            return encode(UpdateFailHtlc(core.opened.channel_id, htlc.add.htlc_id, htlc.failure.reason[::-1], None))
        sent: bytes = original(core, htlc)
        return sent

    return removal_message


def _judged_anew_at_start(original: Any, hit: Hit) -> Any:
    """A failure that was decided in an earlier life is decided again."""

    def fold_channel(stored: Any) -> Any:
        core = original(stored)
        for htlc in core.inbound.values():
            if htlc.failure is not None and not htlc.removing:
                hit()
                htlc.failure = None
        return core

    return fold_channel


def _script_chosen_again(_original: Any, hit: Hit) -> Any:
    def shutdown_again(core: Any) -> SendMessage:
        hit()
        script = core.local_shutdown_script[:2] + bytes(len(core.local_shutdown_script) - 2)
        return SendMessage(encode(Shutdown(core.opened.channel_id, script)))

    return shutdown_again


def _without_record(original: Any, hit: Hit) -> Any:
    def on_force_close(state: Any, event: Any, env: Any) -> Any:
        decision = original(state, event, env)
        hit()
        return Decision((), decision.facts, decision.effects)

    return on_force_close


def _publishes_without(original: Any, _hit: Hit) -> Any:

    def publish_commitment(m: Any, slot: Any) -> None:
        core = slot.state.core
        kept, core.closing = core.closing, Closing(core.local.number, "mutant")
        original(m, slot)
        core.closing = kept

    return publish_commitment


def _goes_on_after_closing(original: Any, hit: Hit) -> Any:
    def state_class(core: Any) -> Any:
        if core.closing is not None and core.spent is None and not core.closed_height:
            hit()
            return Normal
        return original(core)

    return state_class


def _stale_without_record(original: Any, hit: Hit) -> Any:
    def check_revocations(core: Any, msg: Any, env: Any) -> Any:
        lost = original(core, msg, env)
        if lost is None:
            return None
        hit()
        return Decision((), lost.facts, lost.effects[:1])

    return check_revocations


def _closes_although_stale(_original: Any, hit: Hit) -> Any:

    def refuse_force_close(state: Any, event: Any, env: Any) -> Any:
        hit()
        return closing.on_force_close(state, event, env)

    return refuse_force_close


def _publishes_stale(original: Any, hit: Hit) -> Any:
    def publish_commitment(m: Any, slot: Any) -> None:
        kept, slot.state.core.stale = slot.state.core.stale, False
        if kept:
            hit()
        original(m, slot)
        slot.state.core.stale = kept

    return publish_commitment


def _losing(*names: str) -> Make:
    """A snapshot of a channel without some of its fields."""

    def make(original: Any, hit: Hit) -> Any:
        def snapshot_of(core: Any) -> Any:
            snapshot = original(core)
            if any(getattr(snapshot, name) for name in names):
                hit()
            empty = {name: type(getattr(snapshot, name))() for name in names}
            return msgspec.structs.replace(snapshot, **empty)

        return snapshot_of

    return make


def _losing_decisions(original: Any, hit: Hit) -> Any:
    def snapshot_of(core: Any) -> Any:
        snapshot = original(core)
        kept = []
        for one in snapshot.inbound:
            if one.preimage or one.failure is not None or one.set_id:
                hit()
            kept.append(msgspec.structs.replace(one, preimage=b"", failure=None, set_id=b"", claim_id=b""))
        return msgspec.structs.replace(snapshot, inbound=kept)

    return snapshot_of


def _losing_node_facts(original: Any, hit: Hit) -> Any:
    def encode_node_snapshot(node: Any, wallet: bytes) -> bytes:
        if node.unacknowledged or node.received:
            hit()
        encoded: bytes = original(msgspec.structs.replace(node, unacknowledged={}, received={}), wallet)
        return encoded

    return encode_node_snapshot


def _losing_penalty_rows(original: Any, hit: Hit) -> Any:
    """Rows are dropped when a snapshot is written, not when it is durable."""

    def snapshot(self: Any, journal: str) -> None:
        original(self, journal)
        slot = self.manager.channels.get(bytes.fromhex(journal.removeprefix("channel/"))) if "/" in journal else None
        if slot is not None and slot.state.core.penalty_rows:
            hit()
            slot.state.core.penalty_rows.clear()

    return snapshot


def _reads_a_clock(original: Any, hit: Hit) -> Any:
    """A fold that depends on how often something was folded, as it would on a clock."""
    folded = [0]

    def received_commitment(core: Any, record: Any) -> None:
        original(core, record)
        folded[0] += 1
        hit()
        core.policy_timestamp = folded[0]

    return received_commitment


def _undoes_nothing(_original: Any, hit: Hit) -> Any:
    def on_blocks_disconnected(m: Any, fork_height: int) -> None:
        hit()
        m.set_env(block_height=fork_height)

    return on_blocks_disconnected


def _closes_when_the_store_breaks(original: Any, hit: Hit) -> Any:
    def on_broken(self: Any, error: Any) -> None:
        original(self, error)
        hit()
        for slot in self.manager.channels.values():
            self.manager.guarded(slot, ForceClose("the store is lost"))
        self.manager.flush()
        for request in self.outbox.take_requests():
            self.outbox.on_answer(request, self.manager.signer.answer(request.request))
        for channel in self.manager.channels.values():
            self.manager.publish_commitment(self.manager, channel)
        for request in self.outbox.take_requests():
            self.outbox.on_answer(request, self.manager.signer.answer(request.request))
        self._act()

    return on_broken


def _goes_on_when_broken(original: Any, hit: Hit) -> Any:
    def on_broken(self: Any, error: Any) -> None:
        hit()
        for tail in self.outbox.tails.values():
            tail.durable = tail.position
        self.on_broken(error)
        self._post_turn()

    return on_broken


def _closes_without_hearing(original: Any, hit: Hit) -> Any:
    def fail_channel(m: Any, peer: Any, slot: Any, text: str) -> None:
        if not slot.state.session.reestablished:
            hit()
            m.guarded(slot, ForceClose(text))
        else:
            original(m, peer, slot, text)

    return fail_channel


MUTANTS = (
    mutant(
        "owed messages in the other order",
        "channel.reestablish:_owed_messages",
        _other_order,
        why="the peer takes a signature for another state than it signs",
        guards=AGAIN,
        scenarios=("both ways",),
    ),
    mutant(
        "owed messages are not sent again",
        "channel.reestablish:_owed_messages",
        _owes_nothing,
        why="a message that a crash or a disconnection has swallowed stops the channel",
        guards=AGAIN,
        scenarios=("direct", "both ways"),
    ),
    mutant(
        "failure sent again with other bytes",
        "channel.commit:removal_message",
        _failure_made_anew,
        why="the payer cannot read it, or reads two different ones",
        guards="P5; S6; promise 5; DESIGN 1 Promises",
        scenarios=("failure", "failure that is read"),
    ),
    mutant(
        "failure of an earlier life decided again",
        "manager.rebuild:fold_channel",
        _judged_anew_at_start,
        why="a promise is judged anew",
        guards="P5; P15; promise 5; DESIGN 1 Promises",
        scenarios=("refused while the payer is away", "late failure"),
    ),
    mutant(
        "shutdown script chosen again after a restart",
        "channel.reestablish:_shutdown_again",
        _script_chosen_again,
        why="the peer sees two scripts and fails the channel",
        guards="S1; promise 9; DESIGN 4",
        scenarios=("close",),
    ),
    mutant(
        "own commitment published without Closing",
        "channel.dispatch:_HANDLERS[Normal][ForceClose]",
        _without_record,
        ("manager.effects:publish_commitment", _publishes_without),
        why="after a restart the channel goes on and reveals the secret of what was published",
        guards="S1; DESIGN 2 Broadcast rule; DESIGN 7.6",
        scenarios=("tests.mutants.stories:a_forced_close_that_a_crash_forgets",),
    ),
    mutant(
        "secret revealed after Closing",
        "channel.states:state_class",
        _goes_on_after_closing,
        why="the published commitment is a revoked one",
        guards="S1; S2; DESIGN 2 Broadcast rule; DESIGN 7.6",
        scenarios=("tests.mutants.stories:a_channel_says_nothing_after_closing",),
    ),
    mutant(
        "proof of lost data is not recorded",
        "channel.reestablish:_check_revocations",
        _stale_without_record,
        why="the next life closes with a commitment that was revoked",
        guards="S9; promise 15; DESIGN 4 Chain; DESIGN 6 Restored stores",
        scenarios=(f"{RESTORED}test_old_copy_never_publishes_and_the_peer_closes[with_mark=True]",),
    ),
    mutant(
        "stale channel closes",
        "channel.dispatch:_HANDLERS[Stale][ForceClose]",
        _closes_although_stale,
        ("manager.effects:publish_commitment", _publishes_stale),
        why="the peer takes everything",
        guards="S9; promise 15; DESIGN 4 Chain",
        scenarios=(f"{RESTORED}test_old_copy_refuses_to_close_whatever_the_user_asks[with_mark=True]",),
    ),
    mutant(
        "closed before channel_reestablish",
        "manager.peers:_fail_channel",
        _closes_without_hearing,
        why="an old backup closes before the peer can prove that it is one",
        guards="S9; S10; promise 13; promise 15; DESIGN 6 Restored stores",
        scenarios=("tests.manager.test_given_up_channels:test_old_store_is_proven_and_never_closes",),
    ),
    mutant(
        "snapshot without outcomes",
        "channel.snapshot:snapshot_of",
        _losing("outcomes"),
        why="a preimage is forgotten before anybody has acted on it",
        guards="P4; P8; DESIGN 6 Snapshots",
        scenarios=("forward with snapshots",),
    ),
    mutant(
        "snapshot without claims",
        "channel.snapshot:snapshot_of",
        _losing("claims"),
        why="the other parts are not claimed from it",
        guards="P4; P11; DESIGN 6 Snapshots",
        scenarios=("claim of two parts with snapshots",),
    ),
    mutant(
        "snapshot without verdicts",
        "channel.snapshot:snapshot_of",
        _losing("shown"),
        why="what was shown is judged again",
        guards="P4; P5; DESIGN 6 Snapshots",
        scenarios=("claim of two parts with snapshots",),
    ),
    mutant(
        "snapshot without events",
        "channel.snapshot:snapshot_of",
        _losing("events", "forward_events"),
        why="an event that was not acknowledged is not told again",
        guards="P4; P20; DESIGN 6 Snapshots",
        scenarios=("slow handler with snapshots",),
    ),
    mutant(
        "snapshot without decisions",
        "channel.snapshot:snapshot_of",
        _losing_decisions,
        why="a promise is judged anew",
        guards="P4; P5; DESIGN 6 Snapshots",
        scenarios=("forward with snapshots", "failure with snapshots"),
    ),
    mutant(
        "snapshot of node without what is not acknowledged",
        "node.runtime:encode_node_snapshot",
        _losing_node_facts,
        why="an outcome is not told again, and a whole claim is given up",
        guards="P4; P20; DESIGN 6 Snapshots",
        scenarios=("forward with snapshots", "claim of two parts with snapshots"),
    ),
    mutant(
        "penalty rows dropped before their snapshot is durable",
        "node.runtime:Runtime.snapshot",
        _losing_penalty_rows,
        why="HTLCs of a revoked commitment cannot be punished",
        guards="P25; DESIGN 1 Penalty log; DESIGN 7.11",
        scenarios=("tests.mutants.stories:penalty_rows_outlive_refused_snapshots",),
    ),
    mutant(
        "fold reads more than records",
        "channel.fold:_FOLDS[ReceivedCommitment]",
        _reads_a_clock,
        why="a restart folds to another state",
        guards="P3; P4; DESIGN 1",
        scenarios=("direct",),
    ),
    mutant(
        "funding not published again",
        "manager.chain:rebroadcast",
        nothing,
        why="a funding that a crash kept from the network locks its coins for ever",
        guards="P19; promise 9; DESIGN 4 Birth",
        scenarios=("open",),
    ),
    mutant(
        "lost blocks are not undone",
        "manager.chain:on_blocks_disconnected",
        _undoes_nothing,
        why="a channel rests on a funding that is in no block",
        guards="promise 11; DESIGN 4 Chain",
        # Blocks of the other branch undo what they replace; an archive would be made before the first of them.
        scenarios=(
            "tests.manager.onchain.test_blocks:test_reorganisation_while_the_archive_waits_for_the_store_is_taken_in",
        ),
    ),
    mutant(
        "lost journal is not missed",
        "manager.rebuild:check_lost_journals",
        nothing,
        why="a forward whose inbound journal is lost settles for nobody",
        guards="P15; P26; promise 14; DESIGN 4 Archive",
        scenarios=("tests.manager.test_rebuild:test_missing_journal_that_another_one_names_refuses_the_start",),
    ),
    mutant(
        "channels closed because the store is lost",
        "node.runtime:Runtime._break",
        _closes_when_the_store_breaks,
        why="a disk costs all channels",
        guards="S10; promise 13; DESIGN 2 Broadcast rule",
        scenarios=("store breaks",),
    ),
    mutant(
        "messages leave after the store is lost",
        "node.runtime:Runtime._break",
        _goes_on_when_broken,
        why="what the peer was told is not in the journal",
        guards="P1; P24; promise 12; DESIGN 7.7",
        scenarios=("store breaks",),
    ),
)
