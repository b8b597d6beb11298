"""`evolve` for everything that both commitments are made of: the only code that changes a `ChannelCore`.

Reads records and state, nothing else. Folding a record costs what the record changes.
"""

from collections.abc import Callable
from typing import Any

from leyden.bitcoin.tx import txid_to_hex
from leyden.channel.core import ChannelCore, ForwardEvent, Outcome, WithdrawnCommitment, WithdrawnHtlc
from leyden.channel.htlc import Changes, InboundHtlc, OutboundHtlc, inbound_htlc, outbound_htlc
from leyden.crypto.shachain import index_of_commitment
from leyden.journal import penalty
from leyden.journal.records import (
    Acknowledged,
    ChannelClosed,
    ChannelOpened,
    ChannelRecord,
    Claim,
    ClaimAbandoned,
    CloseAgreed,
    Closing,
    ForwardingSwitched,
    FundingAbandoned,
    FundingConfirmed,
    FundingDisconnected,
    FundingSpent,
    HtlcsDecided,
    HtlcsShown,
    LocalReady,
    OnchainResolved,
    OutputsDisconnected,
    OutputSpent,
    PeerPolicy,
    PolicyChanged,
    ProvenStale,
    ReceivedCommitment,
    ReceivedRevocation,
    RemoteReady,
    RemovedHtlc,
    SentCommitment,
    ShutdownReceived,
    ShutdownStarted,
    SpendDisconnected,
    Withdrawn,
)


def fold(core: ChannelCore, record: ChannelRecord) -> None:
    """Take one record into `core`, in place."""
    core.position += 1
    _FOLDS[type(record)](core, record)


def _sent_commitment(core: ChannelCore, record: SentCommitment) -> None:
    number = record.number
    assert number == core.remote.number + 1, "commitment numbers have no gaps"
    assert core.remote_prior is None, "one unrevoked commitment at most"
    core.remote_prior = core.remote.copy()
    core.remote_prior_point = core.remote_point
    core.remote_point = core.remote_next_point
    changes = Changes(feerate_per_kw=record.feerate_per_kw)
    for add in record.adds:
        htlc = outbound_htlc(add, number)
        core.outbound[add.htlc_id] = htlc
        changes.adds.append(htlc)
    core.next_outbound_id += len(record.adds)
    for htlc_id in record.removals:
        removed = core.inbound[htlc_id]
        removed.removing = True
        changes.removals.append((removed, bool(removed.preimage)))
    for removed_htlc, _fulfilled in core.peer_local.removals:
        _leave_peer_commitment(core, removed_htlc, number)
    for removed_htlc, _fulfilled in changes.removals:
        _leave_peer_commitment(core, removed_htlc, number)
    for peer_add in core.peer_local.adds:
        peer_add.first_remote_number = number
    core.remote.apply(core.peer_local)
    core.remote.apply(changes)
    core.remote.number = number
    core.own_signed = changes
    core.peer_signed = core.peer_local
    core.peer_local = Changes()
    core.revocation_is_last = False


def _leave_peer_commitment(core: ChannelCore, htlc: OutboundHtlc | InboundHtlc, number: int) -> None:
    """Note what justice needs of an HTLC that was last in the peer's commitment `number` - 1 (DESIGN section 1,
    "Penalty log").
    """
    is_outbound = type(htlc) is OutboundHtlc
    threshold = core.remote.offered_threshold_msat if is_outbound else core.remote.received_threshold_msat
    if htlc.add.amount_msat < threshold and not _feerate_moves_dust(core):
        return
    core.penalty_rows.append(
        penalty.encode_row(
            htlc.add.payment_hash, htlc.add.cltv_expiry, is_outbound, htlc.first_remote_number, number - 1
        )
    )


def _feerate_moves_dust(core: ChannelCore) -> bool:
    """Without anchors an HTLC that is trimmed now may have had an output at an earlier feerate."""
    return not core.opened.anchors


def _withdrawn(core: ChannelCore, record: Withdrawn) -> None:
    """Undo `_sent_commitment`, also under commitments of the peer that came since."""
    assert core.remote_prior is not None, "only an unrevoked commitment is taken back"
    assert record.number == core.remote.number, "only the latest commitment is taken back"
    signed = core.own_signed
    _keep_in_view(core)
    core.remote = core.remote_prior
    core.remote_prior = None
    # The point of the number that is free again is still the next one.
    core.remote_point = core.remote_prior_point
    core.remote_prior_point = b""
    for added in signed.adds:
        del core.outbound[added.add.htlc_id]
        # Its id is given again: what the chain has said is of another HTLC.
        core.onchain_preimages.pop(added.add.htlc_id, None)
        core.onchain_failed.pop(added.add.htlc_id, None)
    # The peer has never heard of these ids, and the next HTLC that it hears of must have the first of them.
    core.next_outbound_id -= len(signed.adds)
    for removed, _fulfilled in signed.removals:
        assert type(removed) is InboundHtlc
        removed.removing = False
    core.own_signed = Changes()
    for peer_add in core.peer_signed.adds:
        peer_add.first_remote_number = 0
    core.peer_signed.extend(core.peer_local)
    core.peer_local = core.peer_signed
    core.peer_signed = Changes()


def _keep_in_view(core: ChannelCore) -> None:
    """Keep the commitment that is taken back, and, for the day when its number is revoked, a row of each HTLC."""
    view = core.remote
    htlcs = [
        WithdrawnHtlc(bool(key & 1), one.htlc_id, one.amount_msat, one.payment_hash, one.cltv_expiry)
        for key, one in view.htlcs.items()
    ]
    for one in htlcs:
        row = penalty.encode_row(one.payment_hash, one.cltv_expiry, one.offered, view.number, view.number)
        core.penalty_rows.append(row)
    adds = [htlc.add for htlc in core.own_signed.adds]
    kept = WithdrawnCommitment(
        view.number, core.remote_point, view.feerate_per_kw, view.local_msat, view.remote_msat, htlcs, adds
    )
    core.withdrawn = [*core.withdrawn, kept]


def _received_commitment(core: ChannelCore, record: ReceivedCommitment) -> None:
    assert record.number == core.local.number + 1, "commitment numbers have no gaps"
    changes = received_changes(core, record.adds, record.removals, record.feerate_per_kw)
    for htlc in changes.adds:
        core.inbound[htlc.add.htlc_id] = htlc  # type: ignore[assignment]
    core.next_inbound_id += len(record.adds)
    for removal in record.removals:
        outbound = core.outbound[removal.htlc_id]
        outbound.removal = removal
        if removal.preimage:
            core.outcomes[removal.htlc_id] = _outcome(outbound, removal)
    core.local.apply(changes)
    core.local.apply(core.own_acked)
    for removed, _fulfilled in core.own_acked.removals:
        del core.inbound[removed.add.htlc_id]
    core.own_acked = Changes()
    core.peer_local.extend(changes)
    core.local.number = record.number
    core.local_signature = record.signature
    core.local_htlc_signatures = record.htlc_signatures
    core.revocation_is_last = True


def received_changes(core: ChannelCore, adds: Any, removals: Any, feerate_per_kw: int) -> Changes:
    """Return the changes that a `commitment_signed` of the peer covers: its updates, as records hold them."""
    changes = Changes(feerate_per_kw=feerate_per_kw)
    changes.adds = [inbound_htlc(add) for add in adds]
    changes.removals = [(core.outbound[removal.htlc_id], bool(removal.preimage)) for removal in removals]
    return changes


def _outcome(htlc: OutboundHtlc, removal: Any) -> Outcome:
    add = htlc.add
    assert add.source is not None, "what we offer has a source"
    return Outcome(add.htlc_id, add.source, add.amount_msat, add.fee_msat, add.payment_hash, removal)


def _received_revocation(core: ChannelCore, record: ReceivedRevocation) -> None:
    assert core.remote_prior is not None, "a revocation answers a commitment"
    assert record.number == core.remote_prior.number, "commitments are revoked in order"
    core.secrets = core.secrets.insert(index_of_commitment(record.number), record.per_commitment_secret)
    core.remote_next_point = record.next_per_commitment_point
    if core.withdrawn:
        core.withdrawn = [one for one in core.withdrawn if one.number > record.number]
    core.remote_prior = None
    core.remote_prior_point = b""
    core.own_acked.extend(core.own_signed)
    core.own_signed = Changes()
    for added in core.peer_signed.adds:
        added.committed = True  # type: ignore[union-attr]
    shown = core.onchain_preimages
    for removed, fulfilled in core.peer_signed.removals:
        assert type(removed) is OutboundHtlc
        del core.outbound[removed.add.htlc_id]
        if shown and shown.pop(removed.add.htlc_id, b""):
            continue  # its preimage went upstream already, whatever the peer says later
        if not fulfilled:
            assert removed.removal is not None
            core.outcomes[removed.add.htlc_id] = _outcome(removed, removed.removal)
    core.peer_signed = Changes()


def _htlcs_decided(core: ChannelCore, record: HtlcsDecided) -> None:
    for forward in record.forwarded:
        htlc = core.inbound[forward.htlc_id]
        htlc.preimage = forward.preimage
        htlc.failure = None
        htlc.attribution_data = forward.attribution_data
        event_id = f"forwarded/{core.opened.channel_id.hex()}/{forward.htlc_id}"
        core.forward_events[event_id] = ForwardEvent(
            event_id,
            forward.htlc_id,
            htlc.add.amount_msat,
            forward.outbound_channel_id,
            forward.outbound_htlc_id,
            forward.outbound_amount_msat,
        )
    for failed in record.failed:
        htlc = core.inbound[failed.htlc_id]
        htlc.failure = failed
        _forget_shown(core, htlc)
    for claim in record.claims:
        core.claims[claim.claim_id] = claim
        for part in claim.parts:
            if part.channel_id != core.opened.channel_id or part.htlc_id not in core.inbound:
                continue
            htlc = core.inbound[part.htlc_id]
            # A failure that is signed is sent again byte for byte: a claim comes too late for it.
            if not htlc.removing:
                htlc.preimage = claim.preimage
                htlc.failure = None
                htlc.claim_id = claim.claim_id
                _forget_shown(core, htlc)


def _forget_shown(core: ChannelCore, htlc: InboundHtlc) -> None:
    """The user's answer is durable: the question is not asked again."""
    if htlc.set_id:
        core.shown.pop(htlc.set_id, None)


def _htlcs_shown(core: ChannelCore, record: HtlcsShown) -> None:
    core.shown[record.set_id] = record
    for htlc_id in record.htlc_ids:
        core.inbound[htlc_id].set_id = record.set_id


def _acknowledged(core: ChannelCore, record: Acknowledged) -> None:
    for htlc_id, shared_secret in record.handed_off:
        htlc = core.inbound.get(htlc_id)
        if htlc is not None:
            htlc.handed_off = True
            htlc.shared_secret = shared_secret
    for htlc_id in record.outcomes:
        core.outcomes.pop(htlc_id, None)
    for claim_id in record.claims:
        _forget_claim(core, core.claims.pop(claim_id, None))
    for event_id in record.events:
        core.events.pop(event_id, None)
        core.forward_events.pop(event_id, None)


def _forget_claim(core: ChannelCore, claim: Claim | None) -> None:
    """Every part has the claim durably: what is left of it here is a promise like any other, on each connection."""
    if claim is None:
        return
    for part in claim.parts:
        if part.channel_id == core.opened.channel_id and part.htlc_id in core.inbound:
            htlc = core.inbound[part.htlc_id]
            if htlc.claim_id == claim.claim_id:
                htlc.claim_id = b""


def _claim_abandoned(core: ChannelCore, record: ClaimAbandoned) -> None:
    claim = core.claims.pop(record.claim_id, None)
    if claim is None:
        return
    # Each journal that held the claim owes this event: any one of them may be all that a crash leaves.
    event_id = f"claim_abandoned/{claim.claim_id.hex()}"
    core.events[event_id] = ["claim_abandoned", claim.claim_id.hex(), claim.payment_hash.hex()]
    for htlc in core.inbound.values():
        if htlc.claim_id == record.claim_id and not htlc.removing:
            htlc.claim_id = b""
            htlc.preimage = b""


def _event(core: ChannelCore, name: str, *details: str | int) -> None:
    event_id = f"{name}/{core.opened.channel_id.hex()}"
    core.events[event_id] = [name, *details]


def _funding_confirmed(core: ChannelCore, record: FundingConfirmed) -> None:
    core.funding = record


def _funding_disconnected(core: ChannelCore, _record: FundingDisconnected) -> None:
    core.funding = None


def _local_ready(core: ChannelCore, record: LocalReady) -> None:
    if not core.local_ready and core.remote_ready:
        _event(core, "channel_ready")
    core.local_ready = True
    core.local_alias = record.alias


def _remote_ready(core: ChannelCore, record: RemoteReady) -> None:
    if not core.remote_ready:
        core.remote_next_point = record.second_per_commitment_point
        if core.local_ready:
            _event(core, "channel_ready")
    core.remote_ready = True
    if record.alias:
        core.remote_alias = record.alias


def _shutdown_started(core: ChannelCore, record: ShutdownStarted) -> None:
    core.local_shutdown_script = record.scriptpubkey
    core.closing_feerate_per_kw = record.feerate_per_kw


def _shutdown_received(core: ChannelCore, record: ShutdownReceived) -> None:
    core.remote_shutdown_script = record.scriptpubkey
    if record.local_scriptpubkey:
        core.local_shutdown_script = record.local_scriptpubkey
        core.closing_feerate_per_kw = record.feerate_per_kw


def _close_agreed(core: ChannelCore, record: CloseAgreed) -> None:
    core.close_agreed = record


def _closing(core: ChannelCore, record: Closing) -> None:
    core.closing = record


def _funding_spent(core: ChannelCore, record: FundingSpent) -> None:
    core.spent = record
    core.undone_spend = b""


def _spend_disconnected(core: ChannelCore, _record: SpendDisconnected) -> None:
    assert core.spent is not None, "a spend is undone once"
    core.undone_spend = core.spent.transaction
    core.spent = None
    # Whatever spends its outputs is in a later block, or later in the same one.
    core.output_spends = []


def _output_spent(core: ChannelCore, record: OutputSpent) -> None:
    core.output_spends.append(record)


def _outputs_disconnected(core: ChannelCore, record: OutputsDisconnected) -> None:
    core.output_spends = [one for one in core.output_spends if one.height <= record.fork_height]


def _onchain_resolved(core: ChannelCore, record: OnchainResolved) -> None:
    # The HTLCs stay: commitments that the chain may still bring back are rebuilt with them.
    for htlc_id, preimage in record.fulfilled:
        core.onchain_preimages[htlc_id] = preimage
        core.outcomes[htlc_id] = _outcome(core.outbound[htlc_id], RemovedHtlc(htlc_id, preimage, b"", 0, b""))
    for htlc_id in record.failed:
        core.onchain_failed[htlc_id] = None
        core.outcomes[htlc_id] = _outcome(core.outbound[htlc_id], RemovedHtlc(htlc_id, b"", b"", 0, b""))
    if record.spendable:
        for output in record.spendable:
            core.spendable[f"{txid_to_hex(output.txid)}:{output.output_index}"] = output
        first = record.spendable[0]
        event_id = f"spendable/{core.opened.channel_id.hex()}/{txid_to_hex(first.txid)}/{first.output_index}"
        core.events[event_id] = [
            "spendable_outputs",
            *[f"{txid_to_hex(output.txid)}:{output.output_index}" for output in record.spendable],
        ]


def _channel_closed(core: ChannelCore, record: ChannelClosed) -> None:
    core.closed_height = record.height
    if record.reason:
        reason = record.reason
    elif core.close_agreed is not None:
        reason = "cooperative close"
    else:
        reason = core.closing.reason if core.closing is not None else "the peer published its commitment"
    _event(core, "channel_closed", reason)


def _proven_stale(core: ChannelCore, _record: ProvenStale) -> None:
    core.stale = True
    _event(core, "data_loss")


def _peer_policy(core: ChannelCore, record: PeerPolicy) -> None:
    core.peer_policy = record


def _policy_changed(core: ChannelCore, record: PolicyChanged | ForwardingSwitched) -> None:
    core.policy = record.policy
    core.policy_timestamp = record.timestamp


def _forwarding_switched(core: ChannelCore, record: ForwardingSwitched) -> None:
    _policy_changed(core, record)
    core.forwarding_disabled = record.is_disabled


def _funding_abandoned(core: ChannelCore, record: FundingAbandoned) -> None:
    core.abandoned = record.reason
    _event(core, "channel_closed", record.reason)


def _opened(_core: ChannelCore, _record: ChannelOpened) -> None:
    raise AssertionError("a channel is born once")


_FOLDS: dict[type, Callable[[ChannelCore, Any], None]] = {
    ChannelOpened: _opened,
    FundingConfirmed: _funding_confirmed,
    FundingDisconnected: _funding_disconnected,
    LocalReady: _local_ready,
    RemoteReady: _remote_ready,
    SentCommitment: _sent_commitment,
    ReceivedCommitment: _received_commitment,
    ReceivedRevocation: _received_revocation,
    HtlcsDecided: _htlcs_decided,
    HtlcsShown: _htlcs_shown,
    Acknowledged: _acknowledged,
    ShutdownStarted: _shutdown_started,
    ShutdownReceived: _shutdown_received,
    CloseAgreed: _close_agreed,
    Closing: _closing,
    FundingSpent: _funding_spent,
    SpendDisconnected: _spend_disconnected,
    ChannelClosed: _channel_closed,
    ProvenStale: _proven_stale,
    PeerPolicy: _peer_policy,
    PolicyChanged: _policy_changed,
    ForwardingSwitched: _forwarding_switched,
    ClaimAbandoned: _claim_abandoned,
    FundingAbandoned: _funding_abandoned,
    Withdrawn: _withdrawn,
    OutputSpent: _output_spent,
    OutputsDisconnected: _outputs_disconnected,
    OnchainResolved: _onchain_resolved,
}
