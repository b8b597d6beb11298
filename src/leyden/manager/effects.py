"""What the manager does with each effect of a channel: the table at the end is the whole of it."""

from typing import Any

from leyden.channel import effects as fx
from leyden.channel.build import local_commitment, remote_commitment
from leyden.channel.inputs import ClosingSignature
from leyden.channel.negotiating import closing_form
from leyden.manager import claiming, forwarding, handoff, receiving, sending, withdrawing
from leyden.manager.actions import Broadcast
from leyden.manager.channel_updates import channel_update
from leyden.manager.manager import REASON_LENGTH_MAX, EffectHandler, Manager
from leyden.manager.onchain import bumping, claims
from leyden.manager.state import Slot
from leyden.signer import requests
from leyden.signer.requests import Answer
from leyden.wire.messages import (
    ChannelReady,
    CommitmentSigned,
    ErrorMessage,
    RevokeAndAck,
    encode,
)


def _send_message(m: Manager, slot: Slot, effect: fx.SendMessage) -> None:
    m.outbox.send(slot.peer, effect.message, slot.tail)


def _send_commitment_signed(m: Manager, slot: Slot, _effect: fx.SendCommitmentSigned) -> None:
    core = slot.state.core
    commitment = remote_commitment(slot.state.keys, core.remote, core.remote_point)
    request = requests.SignCounterpartyCommitment(m.outbox.next_request_id(), core.opened.channel_keys_id, commitment)
    channel_id = core.opened.channel_id

    def complete(answer: Answer) -> bytes | None:
        if not isinstance(answer, requests.CounterpartyCommitmentSigned) or answer.commitment_txid != commitment.txid:
            return None
        return encode(CommitmentSigned(channel_id, answer.signature, answer.htlc_signatures))

    m.outbox.send_signed(slot.peer, slot.tail, request, complete, signs=True)


def _send_revoke_and_ack(m: Manager, slot: Slot, effect: fx.SendRevokeAndAck) -> None:
    core = slot.state.core
    channel_id = core.opened.channel_id
    request = requests.ReleaseCommitmentSecret(m.outbox.next_request_id(), core.opened.channel_keys_id, effect.number)

    def complete(answer: Answer) -> bytes | None:
        if not isinstance(answer, requests.CommitmentSecretReleased) or answer.commitment_number != effect.number:
            return None
        return encode(RevokeAndAck(channel_id, answer.per_commitment_secret, answer.next_per_commitment_point))

    m.outbox.send_signed(slot.peer, slot.tail, request, complete, asks_behind=True)


def _send_channel_ready(m: Manager, slot: Slot, _effect: fx.SendChannelReady) -> None:
    core = slot.state.core
    point = m.signer.per_commitment_point(core.opened.channel_keys_id, 1)
    message = ChannelReady(core.opened.channel_id, point, core.local_alias or None)
    m.outbox.send(slot.peer, encode(message), slot.tail)
    m.register_short_channel_ids(slot)


def _send_channel_update(m: Manager, slot: Slot, _effect: fx.SendChannelUpdate) -> None:
    m.outbox.send(slot.peer, channel_update(m, slot), slot.tail)


def _sign_closing(m: Manager, slot: Slot, effect: fx.SignClosing) -> None:
    closing = closing_form(slot.state, effect.fee_satoshis, effect.form)
    keys_id = slot.state.core.opened.channel_keys_id
    request = requests.SignClosing(m.outbox.next_request_id(), keys_id, closing)

    def complete(answer: Answer) -> bytes | None:
        if isinstance(answer, requests.ClosingSigned):
            m.guarded(slot, ClosingSignature(answer.signature, effect.fee_satoshis, effect.form))
        return None

    m.outbox.ask_signer(request, complete, slot.peer)


def _publish_funding(m: Manager, slot: Slot, _effect: fx.PublishFunding) -> None:
    transaction = slot.state.core.opened.funding_transaction
    m.outbox.when_durable(slot.tail, lambda: m.actions.append(Broadcast(transaction, "funding")))


def _publish_close(m: Manager, slot: Slot, _effect: fx.PublishClose) -> None:
    agreed = slot.state.core.close_agreed
    assert agreed is not None, "published once both have signed"
    m.outbox.when_durable(slot.tail, lambda: m.actions.append(Broadcast(agreed.transaction, "cooperative close")))


def _publish_commitment(m: Manager, slot: Slot, _effect: fx.PublishCommitment) -> None:
    """Behind the durable `Closing` record only: sign and publish (invariant B1)."""
    m.outbox.when_durable(slot.tail, lambda: publish_commitment(m, slot))


def publish_commitment(m: Manager, slot: Slot) -> None:
    """Sign our latest commitment and publish it. The caller knows that `Closing` is durable."""
    core, keys = slot.state.core, slot.state.keys
    assert core.closing is not None
    assert core.closing.number == core.local.number
    assert not core.stale
    keys_id = core.opened.channel_keys_id
    commitment = local_commitment(
        keys, core.local, m.signer.per_commitment_point(keys_id, core.local.number), core.local.number
    )
    request = requests.SignHolderCommitment(m.outbox.next_request_id(), keys_id, commitment)
    remote_signature = core.local_signature

    def complete(answer: Answer) -> bytes | None:
        if isinstance(answer, requests.HolderCommitmentSigned) and answer.commitment_txid == commitment.txid:
            signed = commitment.signed_transaction(answer.signature, remote_signature)
            m.actions.append(Broadcast(signed.serialize(), "force-close"))
            bumping.on_published(m, slot, signed)
        return None

    m.outbox.ask_signer(request, complete)


def _outcomes_known(m: Manager, slot: Slot, effect: fx.OutcomesKnown) -> None:
    m.outbox.when_durable(slot.tail, lambda: handoff.on_outcomes(m, slot, effect.htlc_ids))


def _add_refused(m: Manager, slot: Slot, effect: fx.AddRefused) -> None:
    source = effect.add.source
    if source.forwarded:
        forwarding.on_refused(m, slot, effect)
    else:
        sending.on_refused(m, slot, effect)


def _adds_withdrawn(m: Manager, slot: Slot, effect: fx.AddsWithdrawn) -> None:
    m.outbox.when_durable(slot.tail, lambda: withdrawing.return_sources(m, slot, effect.adds))


def _preimage_learnt(m: Manager, slot: Slot, effect: fx.PreimageLearnt) -> None:
    handoff.on_preimage(m, slot, effect)


def _ready(m: Manager, slot: Slot, _effect: fx.Ready) -> None:
    m.register_short_channel_ids(slot)


def _reestablished(m: Manager, slot: Slot, _effect: fx.Reestablished) -> None:
    slot.heard = True
    claiming.release_again(m, slot)
    m.after_verdicts.append(lambda: receiving.judge_again(m, slot))
    m.after_verdicts.append(lambda: forwarding.offer_held(m))
    m.after_verdicts.append(lambda: sending.continue_payments(m))


def _events_raised(m: Manager, slot: Slot, _effect: fx.EventsRaised) -> None:
    handoff.raise_events(m, slot)


def _fail_peer(m: Manager, slot: Slot, effect: fx.FailPeer) -> None:
    data = effect.reason[:REASON_LENGTH_MAX].encode("ascii", "replace")
    m.outbox.send(slot.peer, encode(ErrorMessage(slot.channel_id, data)), slot.tail)


def _warn_peer(m: Manager, slot: Slot, effect: fx.WarnPeer) -> None:
    m.warn_peer(slot.peer, slot, effect.reason, disconnect=effect.disconnect)


HANDLERS: dict[type, Any] = {
    fx.SendMessage: _send_message,
    fx.SendCommitmentSigned: _send_commitment_signed,
    fx.SendRevokeAndAck: _send_revoke_and_ack,
    fx.SendChannelReady: _send_channel_ready,
    fx.SendChannelUpdate: _send_channel_update,
    fx.SignClosing: _sign_closing,
    fx.HtlcsCommitted: receiving.on_committed,
    fx.PreimageLearnt: _preimage_learnt,
    fx.OutcomesKnown: _outcomes_known,
    fx.AddRefused: _add_refused,
    fx.AddsWithdrawn: _adds_withdrawn,
    fx.PublishFunding: _publish_funding,
    fx.PublishClose: _publish_close,
    fx.PublishCommitment: _publish_commitment,
    fx.Ready: _ready,
    fx.Reestablished: _reestablished,
    fx.EventsRaised: _events_raised,
    fx.FailPeer: _fail_peer,
    fx.WarnPeer: _warn_peer,
}


def wire(m: Manager) -> None:
    """Give the manager its handlers; they need each other, so they meet here."""
    handlers: dict[type, EffectHandler] = HANDLERS
    m.effect_handlers = handlers
    m.on_signed = forwarding.on_signed
    m.update_claims = claims.update
    m.on_forwarded = handoff.on_forwarded
    m.publish_commitment = publish_commitment
