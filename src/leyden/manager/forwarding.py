"""Forwarding: never twice, never failed early, never claimed too late.

An inbound HTLC is owned by whatever names it as source. `Manager.forwards` says so from the moment it is queued; after
a restart it is made again from the outbound HTLCs and the unhandled outcomes of all channels.
"""

from leyden.channel import effects as fx
from leyden.channel import limits
from leyden.channel.core import Outcome
from leyden.channel.htlc import InboundHtlc
from leyden.channel.inputs import PendingAdd, QueueAdd
from leyden.channel.states import Normal
from leyden.journal.records import FailedHtlc, HtlcSource
from leyden.manager import onions
from leyden.manager.channel_updates import channel_update
from leyden.manager.manager import Manager
from leyden.manager.state import Peeled, Slot
from leyden.payments.route_fees import fee_msat
from leyden.sphinx.failures import (
    AmountBelowMinimum,
    ChannelDisabled,
    ExpiryTooFar,
    ExpiryTooSoon,
    FailureMessage,
    FeeInsufficient,
    IncorrectCltvExpiry,
    PermanentChannelFailure,
    TemporaryChannelFailure,
    TemporaryNodeFailure,
    UnknownNextPeer,
    failure_of_malformed,
)
from leyden.sphinx.onion_error import create_error, wrap_error

_TEMPORARY = TemporaryChannelFailure(channel_update=b"")
_AWAY = TemporaryChannelFailure(channel_update=b"")
"""Told apart from the other by identity: the peer is not connected."""
CLTV_EXPIRY_DELTA_MIN = 34
"""Less would not leave time to see a fulfil on chain and claim it in turn (BOLT 2, "`cltv_expiry_delta` Selection")."""
EXPIRY_GRACE_BLOCKS = 3
HOLD_SECONDS = 10
"""How long an HTLC waits for the next peer to come back before it is failed."""


def forward(m: Manager, slot: Slot, htlc_ids: tuple[int, ...]) -> None:
    """The inbound HTLCs are durable: offer each on, or decide to fail it."""
    if slot.state.core.is_left_to_chain:
        return
    for htlc_id in htlc_ids:
        htlc = slot.state.core.inbound.get(htlc_id)
        if htlc is None or htlc.decided() or (slot.channel_id, htlc_id) in m.forwards:
            continue
        peeled = onions.peeled_of(m, slot, htlc)
        _hold_or_fail(m, slot, htlc_id, peeled, _offer(m, slot, htlc, peeled, ()))


def _hold_or_fail(m: Manager, slot: Slot, htlc_id: int, peeled: Peeled, refused: FailureMessage | None) -> None:
    """A peer that is away for a moment, or for our own restart, costs nobody a payment: the HTLC waits a little for
    it.
    """
    key = (slot.channel_id, htlc_id)
    if refused is _AWAY and m.now_seconds < m.held_forwards.setdefault(key, m.now_seconds) + HOLD_SECONDS:
        return
    m.held_forwards.pop(key, None)
    if refused is not None:
        onions.fail(m, slot, htlc_id, peeled, refused)


def offer_held(m: Manager) -> None:
    """A channel is usable again, or time has passed: HTLCs that waited go on, or fail when they waited long enough."""
    for channel_id, htlc_id in list(m.held_forwards):
        slot = m.channels.get(channel_id)
        htlc = None if slot is None else slot.state.core.inbound.get(htlc_id)
        if slot is None or htlc is None or htlc.decided() or slot.state.core.is_left_to_chain:
            m.held_forwards.pop((channel_id, htlc_id), None)
        else:
            forward(m, slot, (htlc_id,))


def _offer(
    m: Manager, slot: Slot, htlc: InboundHtlc, peeled: Peeled, tried: tuple[bytes, ...]
) -> FailureMessage | None:
    """Queue the HTLC in the channel that the onion names, or another to the same peer; return why not."""
    payload = peeled.payload
    assert payload is not None
    assert payload.short_channel_id is not None
    assert payload.amt_to_forward is not None
    assert payload.outgoing_cltv_value is not None
    named = m.channels.get(m.by_short_channel_id.get(payload.short_channel_id, b""))
    if named is None:
        return UnknownNextPeer()
    amount_msat = payload.amt_to_forward
    outgoing = _choose(m, named, amount_msat, tried)
    refused = _check_policy(m, named, htlc, payload.short_channel_id, amount_msat, payload.outgoing_cltv_value)
    if refused is not None:
        return refused
    if outgoing is None:
        return _AWAY if any(_is_away(one) for one in m.channels_with(named.peer)) else _TEMPORARY
    add = PendingAdd(
        amount_msat,
        htlc.add.payment_hash,
        payload.outgoing_cltv_value,
        peeled.next_packet,
        HtlcSource(slot.channel_id, htlc.add.htlc_id, True),
        htlc.add.amount_msat - amount_msat,
    )
    m.forwards[(slot.channel_id, htlc.add.htlc_id)] = outgoing.channel_id
    m.apply(outgoing, QueueAdd(add))
    return None


def _choose(m: Manager, named: Slot, amount_msat: int, tried: tuple[bytes, ...]) -> Slot | None:
    """Return the channel to use: the one that was named, else another usable one to the same peer."""
    others = [one for one in m.channels_with(named.peer) if one is not named]
    for candidate in (named, *others):
        if candidate.channel_id in tried or candidate.halted:
            continue
        state = candidate.state
        if type(state) is not Normal or not state.session.reestablished or state.core.forwarding_disabled:
            continue
        queued_msat = state.session.queued_msat
        if limits.spendable_msat(state.core, queued_msat) >= amount_msat or (candidate is named and not others):
            return candidate
    return None


def _is_away(slot: Slot) -> bool:
    return type(slot.state) is Normal and not slot.state.session.reestablished and not slot.halted


def _check_policy(
    m: Manager, outgoing: Slot, htlc: InboundHtlc, scid: int, amount_msat: int, cltv_expiry: int
) -> FailureMessage | None:
    """Check amounts and expiries against our policy (BOLT 4, "Failure Messages"; BOLT 7, "HTLC Fees").

    What breaks the policy is answered with the policy, under the name that the payer used (`scid`): without it LND can
    not read the failure, and takes this node for one that does not work.
    """
    policy, height = outgoing.state.core.policy, m.env.block_height
    if len(m.events) >= m.config.unacknowledged_events_max or m.forward_hold:
        return TemporaryNodeFailure()
    if type(outgoing.state) is not Normal:
        return PermanentChannelFailure() if outgoing.state.core.closing or outgoing.state.core.spent else _TEMPORARY
    if outgoing.state.core.forwarding_disabled:
        return ChannelDisabled(disabled_flags=0, channel_update=channel_update(m, outgoing, scid))
    if amount_msat < policy.htlc_minimum_msat:
        return AmountBelowMinimum(htlc_msat=amount_msat, channel_update=channel_update(m, outgoing, scid))
    fee = fee_msat(amount_msat, policy.fee_base_msat, policy.fee_proportional_millionths)
    if htlc.add.amount_msat < amount_msat + fee:
        return FeeInsufficient(htlc_msat=htlc.add.amount_msat, channel_update=channel_update(m, outgoing, scid))
    if htlc.add.cltv_expiry < cltv_expiry + max(policy.cltv_expiry_delta, CLTV_EXPIRY_DELTA_MIN):
        return IncorrectCltvExpiry(cltv_expiry=htlc.add.cltv_expiry, channel_update=channel_update(m, outgoing, scid))
    if cltv_expiry <= height + EXPIRY_GRACE_BLOCKS:
        return ExpiryTooSoon(channel_update=channel_update(m, outgoing, scid))
    if htlc.add.cltv_expiry > height + m.config.cltv_expiry_max_blocks:
        return ExpiryTooFar()
    return None


def on_refused(m: Manager, slot: Slot, effect: fx.AddRefused) -> None:
    """An HTLC that was queued was never sent: it may go another way, or it fails back."""
    source = effect.add.source
    m.forwards.pop((source.origin, source.index), None)
    inbound = m.channels.get(source.origin)
    htlc = None if inbound is None else inbound.state.core.inbound.get(source.index)
    if inbound is None or htlc is None or htlc.decided() or inbound.state.core.is_left_to_chain:
        return
    peeled = onions.peeled_of(m, inbound, htlc)
    _hold_or_fail(m, inbound, source.index, peeled, _offer(m, inbound, htlc, peeled, (slot.channel_id,)))


def on_signed(m: Manager, slot: Slot) -> None:
    """Adds with a source were signed: once that is durable, their inbound journals may let the onions go."""
    handed: list[tuple[bytes, int]] = [
        (source.origin, source.index)
        for htlc in slot.state.core.own_signed.adds
        if (source := htlc.add.source) is not None and source.forwarded
    ]
    if handed:
        m.outbox.when_durable(slot.tail, lambda: _acknowledge_handed_off(m, handed))


def _acknowledge_handed_off(m: Manager, handed: list[tuple[bytes, int]]) -> None:
    for channel_id, htlc_id in handed:
        inbound = m.channels.get(channel_id)
        if inbound is None:
            continue
        peeled = inbound.peeled.pop(htlc_id, None)
        htlc = inbound.state.core.inbound.get(htlc_id)
        if htlc is not None and peeled is not None and not htlc.handed_off:
            inbound.ack_handed_off.append((htlc_id, peeled.shared_secret))
            m.acks[channel_id] = inbound


def is_carried_elsewhere(m: Manager, slot: Slot, outcome: Outcome) -> bool:
    """Return whether another HTLC of the same source is still open: a failure counts when it is the last."""
    key = (outcome.source.origin, outcome.source.index)
    others = m.also_carried.get(key)
    if others:
        if slot.channel_id in others:
            others.remove(slot.channel_id)
        else:
            m.forwards[key] = others.pop()
        return True
    return m.forwards.get(key, slot.channel_id) != slot.channel_id


def fail_back(m: Manager, slot: Slot, outcome: Outcome) -> None:
    """The last HTLC of a source failed: wrap its failure for the previous hop (BOLT 4, "Returning Errors").

    When it was the chain that decided, nobody further on has said anything: the failure is ours.
    """
    source = outcome.source
    inbound = m.channels.get(source.origin)
    htlc = None if inbound is None else inbound.state.core.inbound.get(source.index)
    if inbound is None or htlc is None or htlc.decided():
        return
    if outcome.htlc_id in slot.state.core.onchain_failed:
        fail_from_here(m, inbound, htlc)
        return
    secret = _take_secret(m, inbound, htlc)
    removal = outcome.removal
    if removal.failure_code:
        malformed = failure_of_malformed(removal.failure_code, removal.reason)
        packet = create_error(secret, malformed, 0).reason
    else:
        packet = wrap_error(secret, removal.reason, None, 0).reason
    m.decide_fail(source.origin, FailedHtlc(source.index, packet, 0, b""))


def fail_from_here(m: Manager, inbound: Slot, htlc: InboundHtlc) -> None:
    """Decide to fail an HTLC that was forwarded because the channel that carried it on is at its end."""
    packet = create_error(_take_secret(m, inbound, htlc), PermanentChannelFailure(), 0).reason
    m.decide_fail(inbound.channel_id, FailedHtlc(htlc.add.htlc_id, packet, 0, b""))


def _take_secret(m: Manager, inbound: Slot, htlc: InboundHtlc) -> bytes:
    """Return the secret that failures are encrypted with; the onion is not looked at any more."""
    secret = htlc.shared_secret or onions.peeled_of(m, inbound, htlc).shared_secret
    inbound.peeled.pop(htlc.add.htlc_id, None)
    return secret
