"""Normal: payments flow.

Means: both `channel_ready` are exchanged; neither side has sent `shutdown`.
Guaranteed: at most one commitment of the peer is unrevoked; we revoke whatever we accept in the same record; a message
leaves only behind the records of the decision that made it (P1); ids of HTLCs have no gaps. Leaves by: shutdown (either
side), force-close (user, violation), a spend of the funding output, proof that we lost data.
"""

from leyden.base.transition import Decision
from leyden.channel import limits
from leyden.channel.build import local_commitment
from leyden.channel.core import ChannelCore
from leyden.channel.effects import (
    AddRefused,
    Effect,
    HtlcsCommitted,
    OutcomesKnown,
    SendRevokeAndAck,
)
from leyden.channel.env import ChannelEnv
from leyden.channel.errors import InvalidCommitment, InvalidRevocation, UnexpectedMessage
from leyden.channel.inputs import ChangeFeerate, DecideHtlcs, QueueAdd, ReleaseClaim, Show
from leyden.channel.receive import require_reestablished
from leyden.channel.session import (
    AddQueued,
    ClaimReleased,
    CommitmentReceived,
    FeerateQueued,
    RemovalsQueued,
    RevocationReceived,
    next_local,
)
from leyden.channel.states import NOTHING, ChannelDecision, LiveState
from leyden.channel.view import CommitmentView
from leyden.crypto import ec
from leyden.crypto.shachain import index_of_commitment
from leyden.journal.records import HtlcsDecided, ReceivedCommitment, ReceivedRevocation
from leyden.transactions import fees
from leyden.transactions.commitment import Commitment
from leyden.wire.messages import CommitmentSigned, RevokeAndAck


def on_commitment_signed(state: LiveState, msg: CommitmentSigned, env: ChannelEnv) -> ChannelDecision:
    """Accept the peer's signatures on our next commitment and revoke our current one.

    Args:    msg.signature: 64 bytes; msg.htlc_signatures: one per untrimmed HTLC, in output order.
    Returns: record ReceivedCommitment; sends `revoke_and_ack`; outcomes of HTLCs that it fulfils.
    Raises:  InvalidCommitment.
    Spec:    BOLT 2, "Committing Updates So Far: `commitment_signed`".
    """
    require_reestablished(state)
    core, session = state.core, state.session
    view = session.next_local or next_local(core, session)
    number = core.local.number + 1
    _check_balances(core, view, session.received_feerate_per_kw)
    point = env.point_of(core.opened.channel_keys_id, number)
    _verify(local_commitment(state.keys, view, point, number), msg)
    record = ReceivedCommitment(
        number,
        msg.signature,
        b"".join(msg.htlc_signatures),
        session.received_adds,
        session.received_removals,
        session.received_feerate_per_kw,
    )
    fulfilled = tuple([removal.htlc_id for removal in session.received_removals if removal.preimage])
    # The secret of the old commitment leaves only behind the record that makes the new one ours (invariant P1).
    effects: tuple[Effect, ...] = (SendRevokeAndAck(number - 1),)
    if fulfilled:
        effects = (SendRevokeAndAck(number - 1), OutcomesKnown(fulfilled))
    return Decision((record,), (CommitmentReceived(),), effects)


def _check_balances(core: ChannelCore, view: CommitmentView, feerate_per_kw: int) -> None:
    if view.remote_msat < 0:
        raise InvalidCommitment("the HTLCs are more than the peer has")
    if feerate_per_kw and not core.opened.is_opener:
        # BOLT 2, "Updating Fees": the check may be deferred to here. HTLCs of ours that the opener may not have known
        # when it sent `update_fee` are left out: they may push it below its reserve, and fail nothing.
        crossing = sum([htlc.add.amount_msat >= view.offered_threshold_msat for htlc in core.own_acked.adds])
        if fees.commitment_cost_sat(feerate_per_kw, view.untrimmed - crossing, view.anchors) * 1000 > view.remote_msat:
            raise InvalidCommitment("the opener cannot afford its feerate_per_kw")


def _verify(commitment: Commitment, msg: CommitmentSigned) -> None:
    if len(msg.htlc_signatures) != len(commitment.htlcs):
        raise InvalidCommitment(f"{len(msg.htlc_signatures)} HTLC signatures for {len(commitment.htlcs)} HTLC outputs")
    keys = commitment.keys
    if not ec.verify_ecdsa(keys.countersignatory_funding_public_key, commitment.digest(), msg.signature):
        raise InvalidCommitment("signature does not sign our next commitment")
    if commitment.htlcs:
        digests = commitment.htlc_digests(commitment.htlc_sighash_type)
        bad = ec.verify_ecdsa_many(keys.countersignatory_htlc_public_key, digests, msg.htlc_signatures)
        if bad is not None:
            raise InvalidCommitment(f"HTLC signature {bad} is wrong")


def on_revoke_and_ack(state: LiveState, msg: RevokeAndAck, _env: ChannelEnv) -> ChannelDecision:
    """The peer gives up its old commitment: what the new one holds from us may enter ours, the rest is irrevocable.

    Raises: InvalidRevocation.
    Spec:   BOLT 2, "Completing the Transition to the Updated State: `revoke_and_ack`".
    """
    require_reestablished(state)
    core = state.core
    if core.remote_prior is None:
        raise InvalidRevocation("revoke_and_ack without a commitment_signed to answer")
    if not ec.is_valid_secret(msg.per_commitment_secret):
        raise InvalidRevocation("per_commitment_secret is not a secret key")
    if ec.public_key(msg.per_commitment_secret) != core.remote_prior_point:
        raise InvalidRevocation("per_commitment_secret does not match the point of the commitment")
    if not ec.is_valid_point(msg.next_per_commitment_point):
        raise InvalidRevocation("next_per_commitment_point is not a point")
    number = core.remote_prior.number
    try:
        core.secrets.insert(index_of_commitment(number), msg.per_commitment_secret)
    except ValueError as wrong:
        raise InvalidRevocation("per_commitment_secret does not belong to the chain of the earlier ones") from wrong
    committed = tuple([htlc.add.htlc_id for htlc in core.peer_signed.adds])
    failed = tuple([htlc.add.htlc_id for htlc, fulfilled in core.peer_signed.removals if not fulfilled])
    effects: list[Effect] = []
    if committed:
        effects.append(HtlcsCommitted(committed))
    if failed:
        effects.append(OutcomesKnown(failed))
    return Decision(
        (ReceivedRevocation(number, msg.per_commitment_secret, msg.next_per_commitment_point),),
        (RevocationReceived(core.own_signed),),
        tuple(effects),
    )


def on_queue_add(state: LiveState, event: QueueAdd, env: ChannelEnv) -> ChannelDecision:
    """Queue an HTLC for the next signature; refuse it at once where waiting cannot help."""
    core, session = state.core, state.session
    if not session.reestablished:
        return Decision((), (), (AddRefused(event.add, limits.DISCONNECTED),))
    if core.local_shutdown_script or core.remote_shutdown_script:
        return Decision((), (), (AddRefused(event.add, limits.CLOSING),))
    if len(session.queued_adds) >= env.limits.max_queued_htlcs:
        return Decision((), (), (AddRefused(event.add, limits.QUEUE_FULL),))
    return Decision((), (AddQueued(event.add),))


def on_decide_htlcs(state: LiveState, event: DecideHtlcs, _env: ChannelEnv) -> ChannelDecision:
    """Record decisions on inbound HTLCs; they are promises from here on, made again at every connection.

    The peer of a channel that is over hears of none: its record alone tells the monitor what to claim.
    """
    core = state.core
    forwarded = [one for one in event.forwarded if _undecided(core, one.htlc_id, fulfil=True)]
    fulfilled = [one.htlc_id for one in forwarded]
    failed = [
        one for one in event.failed if one.htlc_id not in fulfilled and _undecided(core, one.htlc_id, fulfil=False)
    ]
    claims = [one for one in event.claims if one.claim_id not in core.claims]
    if not (forwarded or failed or claims):
        return NOTHING
    queued = tuple([one.htlc_id for one in forwarded] + [one.htlc_id for one in failed])
    facts = (RemovalsQueued(queued),) if queued and state.session.reestablished else ()
    return Decision((HtlcsDecided(forwarded, failed, claims),), facts)


def _undecided(core: ChannelCore, htlc_id: int, *, fulfil: bool) -> bool:
    """A decision is taken once; only a failure that is not signed yet gives way to a preimage."""
    htlc = core.inbound.get(htlc_id)
    if htlc is None or htlc.preimage or htlc.removing:
        return False
    assert htlc.committed, "only what is irrevocably committed is decided"
    return fulfil or htlc.failure is None


def on_release_claim(state: LiveState, event: ReleaseClaim, _env: ChannelEnv) -> ChannelDecision:
    """All parts are durable: queue the fulfils of this claim's HTLCs here; without a connection the next one does."""
    if not state.session.reestablished:
        return NOTHING
    ids = claimed_ids(state.core, event.claim_id)
    return Decision((), (ClaimReleased(ids),)) if ids else NOTHING


def claimed_ids(core: ChannelCore, claim_id: bytes) -> tuple[int, ...]:
    """Return the inbound HTLCs of a claim that are still to be fulfilled here."""
    claim = core.claims.get(claim_id)
    if claim is None:
        return ()
    channel_id = core.opened.channel_id
    return tuple(
        [
            part.htlc_id
            for part in claim.parts
            if part.channel_id == channel_id
            and (htlc := core.inbound.get(part.htlc_id)) is not None
            and htlc.claim_id == claim_id
            and not htlc.removing
        ]
    )


def on_show(state: LiveState, event: Show, _env: ChannelEnv) -> ChannelDecision:
    """Record the verdict that HTLCs are shown as claimable."""
    if event.shown.set_id in state.core.shown:
        return NOTHING
    return Decision((event.shown,))


def on_change_feerate(state: LiveState, event: ChangeFeerate, _env: ChannelEnv) -> ChannelDecision:
    """Queue an `update_fee`; only the opener may, and only while connected."""
    core = state.core
    if not core.opened.is_opener or not state.session.reestablished:
        return NOTHING
    if event.feerate_per_kw == (state.session.queued_feerate_per_kw or core.remote.feerate_per_kw):
        return NOTHING
    return Decision((), (FeerateQueued(event.feerate_per_kw),))


def refuse_add(_state: LiveState, event: QueueAdd, _env: ChannelEnv) -> ChannelDecision:
    """In every other state no HTLC is offered."""
    return Decision((), (), (AddRefused(event.add, limits.CLOSING),))


def unexpected(_state: LiveState, msg: object, _env: ChannelEnv) -> ChannelDecision:
    """A message that this state does not allow."""
    raise UnexpectedMessage(f"unexpected {type(msg).__name__}")
