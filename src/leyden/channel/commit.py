"""Signing the peer's next commitment: one signature for everything that is queued (natural batching).

Every signature signs every pending HTLC again, so one leaves only when the last one is revoked, and covers all updates
that wait. Updates are sent together with it; what is queued and not sent is volatile.
"""

import msgspec

from leyden.base.transition import Decision
from leyden.channel import limits
from leyden.channel.core import ChannelCore
from leyden.channel.effects import AddRefused, AddsWithdrawn, Effect, SendCommitmentSigned, SendMessage
from leyden.channel.env import ChannelEnv
from leyden.channel.htlc import InboundHtlc, outbound_htlc
from leyden.channel.inputs import Commit, Withdraw
from leyden.channel.session import QueueTaken
from leyden.channel.states import NOTHING, ChannelDecision, LiveState
from leyden.channel.view import CommitmentView
from leyden.journal.records import AddedHtlc, SentCommitment, Withdrawn
from leyden.transactions import fees
from leyden.wire.messages import (
    UpdateAddHtlc,
    UpdateFailHtlc,
    UpdateFailMalformedHtlc,
    UpdateFee,
    UpdateFulfillHtlc,
    encode,
)


class _Batch(msgspec.Struct):
    """What the next signature will cover, while it is put together."""

    view: CommitmentView
    messages: list[Effect]
    refused: list[Effect]
    adds: list[AddedHtlc]
    removals: list[int]
    feerate_per_kw: int = 0
    taken: int = 0


def on_commit(state: LiveState, _event: Commit, env: ChannelEnv) -> ChannelDecision:
    """Sign the peer's next commitment if something changes it and the last one is revoked.

    Returns: record SentCommitment; the updates and `commitment_signed`, in this order; AddRefused for what does not
    fit. Spec:    BOLT 2, "Committing Updates So Far: `commitment_signed`".
    """
    core, session = state.core, state.session
    if not session.reestablished or core.awaiting_revocation or not core.remote_next_point:
        return NOTHING
    if not (session.queued_adds or session.queued_removals or session.queued_feerate_per_kw or core.peer_local):
        return NOTHING
    view = core.remote.copy()
    view.apply(core.peer_local)
    batch = _Batch(view, [], [], [], [])
    _take_removals(state, batch)
    _take_feerate(state, batch, env)
    _take_adds(state, batch, env)
    facts = (QueueTaken(batch.taken),)
    if not (batch.adds or batch.removals or batch.feerate_per_kw or core.peer_local):
        return Decision((), facts, tuple(batch.refused))
    record = SentCommitment(core.remote.number + 1, batch.adds, batch.removals, batch.feerate_per_kw)
    return Decision((record,), facts, (*batch.refused, *batch.messages, SendCommitmentSigned()))


def _take_removals(state: LiveState, batch: _Batch) -> None:
    core = state.core
    for htlc_id in dict.fromkeys(state.session.queued_removals):
        htlc = core.inbound.get(htlc_id)
        if htlc is None or htlc.removing or not htlc.decided():
            continue
        if htlc.claim_id and htlc_id not in state.session.released:
            continue  # P11: a part of a claim waits until every part is durable
        batch.view.remove(htlc, bool(htlc.preimage))
        batch.removals.append(htlc_id)
        batch.messages.append(SendMessage(removal_message(core, htlc)))


def _take_feerate(state: LiveState, batch: _Batch, env: ChannelEnv) -> None:
    core, feerate = state.core, state.session.queued_feerate_per_kw
    if not feerate or feerate == batch.view.feerate_per_kw:
        return
    if core.local_shutdown_script and not core.has_pending_htlcs():
        return  # BOLT 2, "Closing Initiation: `shutdown`": no update once nothing is left to settle
    untrimmed = max(batch.view.untrimmed, core.local.untrimmed)
    cost_msat = fees.commitment_cost_sat(feerate, untrimmed, core.opened.anchors) * 1000
    if batch.view.local_msat - core.opened.remote.channel_reserve_satoshis * 1000 < cost_msat:
        return
    if limits.feerate_exceeds_dust((core.local, batch.view), feerate, env):
        return
    batch.view.set_feerate(feerate)
    batch.feerate_per_kw = feerate
    batch.messages.append(SendMessage(encode(UpdateFee(core.opened.channel_id, feerate))))


def _take_adds(state: LiveState, batch: _Batch, env: ChannelEnv) -> None:
    core = state.core
    number = core.remote.number + 1
    htlc_id = core.next_outbound_id
    for pending in state.session.queued_adds:
        if not env.block_height < pending.cltv_expiry < limits.CLTV_EXPIRY_LIMIT:
            reason = limits.BAD_EXPIRY
        else:
            reason = limits.refusal(core, batch.view, pending.amount_msat, env)
        if reason in limits.WAITS and not waits_for_ever(core, pending.amount_msat):
            return
        batch.taken += 1
        if reason:
            batch.refused.append(AddRefused(pending, reason))
            continue
        add = AddedHtlc(
            htlc_id,
            pending.amount_msat,
            pending.payment_hash,
            pending.cltv_expiry,
            pending.onion_routing_packet,
            pending.source,
            pending.fee_msat,
        )
        htlc_id += 1
        batch.view.add(outbound_htlc(add, number))
        batch.adds.append(add)
        batch.messages.append(SendMessage(add_message(core.opened.channel_id, add)))


def on_withdraw(state: LiveState, event: Withdraw, _env: ChannelEnv) -> ChannelDecision:
    """Take a signature back that provably never left: its HTLCs are free once that is durable (invariant P18).

    Only HTLCs that we offer are worth it; what else it carries is promised again at the next connection anyway.
    """
    core = state.core
    adds = tuple([htlc.add for htlc in core.own_signed.adds])
    if state.session.connected or not adds or core.remote.number != event.number:
        return NOTHING
    return Decision((Withdrawn(event.number),), (), (AddsWithdrawn(adds),))


def waits_for_ever(core: ChannelCore, amount_msat: int) -> bool:
    """Return whether no resolved HTLC can ever make room: the amount alone is over the peer's limit."""
    remote = core.opened.remote
    return amount_msat > remote.max_htlc_value_in_flight_msat or remote.max_accepted_htlcs == 0


def add_message(channel_id: bytes, add: AddedHtlc) -> bytes:
    """Encode the `update_add_htlc` of an HTLC that we offer."""
    return encode(
        UpdateAddHtlc(
            channel_id, add.htlc_id, add.amount_msat, add.payment_hash, add.cltv_expiry, add.onion_routing_packet
        )
    )


def removal_message(core: ChannelCore, htlc: InboundHtlc) -> bytes:
    """Encode the update that carries out the decision on an inbound HTLC: the same bytes at every connection."""
    channel_id, htlc_id = core.opened.channel_id, htlc.add.htlc_id
    if htlc.preimage:
        return encode(UpdateFulfillHtlc(channel_id, htlc_id, htlc.preimage, htlc.attribution_data or None))
    failure = htlc.failure
    assert failure is not None, "only decided HTLCs are removed"
    if failure.failure_code:
        return encode(UpdateFailMalformedHtlc(channel_id, htlc_id, failure.reason, failure.failure_code))
    return encode(UpdateFailHtlc(channel_id, htlc_id, failure.reason, failure.attribution_data or None))


def retransmission(state: LiveState) -> list[Effect]:
    """Return the updates and the signature of our last, unrevoked `commitment_signed`, as they were sent.

    Spec: BOLT 2, "Message Retransmission".
    """
    core = state.core
    signed = core.own_signed
    messages: list[Effect] = []
    for removed, _fulfilled in signed.removals:
        assert type(removed) is InboundHtlc
        messages.append(SendMessage(removal_message(core, removed)))
    if signed.feerate_per_kw:
        messages.append(SendMessage(encode(UpdateFee(core.opened.channel_id, signed.feerate_per_kw))))
    messages.extend([SendMessage(add_message(core.opened.channel_id, htlc.add)) for htlc in signed.adds])
    messages.append(SendCommitmentSigned())
    return messages
