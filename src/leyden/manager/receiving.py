"""Inbound HTLCs that are irrevocably committed: judged once, here (DESIGN section 3, step 5).

Each is failed, shown or claimed (records of its own journal, whose order is enough), or forwarded once its own record
is durable.
"""

from collections.abc import Iterable

from leyden.channel import effects as fx
from leyden.channel import limits
from leyden.channel.htlc import InboundHtlc
from leyden.crypto.hashes import sha256
from leyden.manager import claiming, forwarding, onions
from leyden.manager.manager import Manager
from leyden.manager.state import Peeled, Slot
from leyden.payments.terms import InvoiceTerms, decode_terms
from leyden.sphinx.failures import (
    ExpiryTooFar,
    FailureMessage,
    FinalIncorrectCltvExpiry,
    FinalIncorrectHtlcAmount,
    IncorrectOrUnknownPaymentDetails,
    InvalidOnionPayload,
    TemporaryChannelFailure,
    TemporaryNodeFailure,
)
from leyden.sphinx.payload import PAYMENT_DATA, HopPayload


def on_committed(m: Manager, slot: Slot, effect: fx.HtlcsCommitted) -> None:
    """Judge HTLCs that the peer's revocation has just made irrevocable."""
    judge(m, slot, _not_replayed(m, slot, effect.htlc_ids))


def _not_replayed(m: Manager, slot: Slot, htlc_ids: tuple[int, ...]) -> tuple[int, ...]:
    """Fail HTLCs whose onion was taken before; each HTLC is asked about once in a life. Returns the others."""
    inbound, is_new = slot.state.core.inbound, m.seen_onions.is_new
    replayed: list[int] = []
    for htlc_id in htlc_ids:
        htlc = inbound[htlc_id]
        secret = onions.peeled_of(m, slot, htlc).shared_secret
        if secret and not is_new(secret, htlc.add.cltv_expiry) and not htlc.decided():
            replayed.append(htlc_id)
    if not replayed:
        return htlc_ids
    for htlc_id in replayed:
        _fail_replayed(m, slot, inbound[htlc_id])
    return tuple([htlc_id for htlc_id in htlc_ids if htlc_id not in replayed])


def _fail_replayed(m: Manager, slot: Slot, htlc: InboundHtlc) -> None:
    """Answer as if nothing were known of the payment: the channel and its peer may be innocent."""
    peeled = onions.peeled_of(m, slot, htlc)
    failure: FailureMessage = TemporaryNodeFailure()
    if not peeled.next_packet:
        failure = IncorrectOrUnknownPaymentDetails(htlc_msat=htlc.add.amount_msat, height=m.env.block_height)
    onions.fail(m, slot, htlc.add.htlc_id, peeled, peeled.failure or failure)


def judge(m: Manager, slot: Slot, htlc_ids: tuple[int, ...]) -> None:
    """Decide what becomes of undecided, irrevocably committed inbound HTLCs of one channel."""
    onward: list[int] = []
    inbound = slot.state.core.inbound
    for htlc_id in htlc_ids:
        htlc = inbound[htlc_id]
        if htlc.decided():
            slot.peeled.pop(htlc_id, None)  # a claim that another part's journal had kept came first
            continue
        peeled = onions.peeled_of(m, slot, htlc)
        if peeled.failure is None and limits.inbound_exceeds_dust(slot.state.core, htlc.add.amount_msat, m.env):
            onions.fail(m, slot, htlc_id, peeled, TemporaryChannelFailure(channel_update=b""))
        elif peeled.failure is not None:
            onions.fail(m, slot, htlc_id, peeled, peeled.failure)
        elif peeled.next_packet:
            onward.append(htlc_id)
        else:
            _receive(m, slot, htlc, peeled)
    if onward:
        # Y acts only once the fact is durable in X (invariant P3, rule 1).
        ids = tuple(onward)
        m.outbox.when_durable(slot.tail, lambda: forwarding.forward(m, slot, ids))


def judge_again(m: Manager, slot: Slot) -> None:
    """After a reconnection: inbound HTLCs that are neither decided, owned nor shown (DESIGN section 3, step 5)."""
    open_ids = undecided_ids(m, slot)
    if open_ids:
        judge(m, slot, open_ids)


def judge_at_start(m: Manager, slots: Iterable[Slot]) -> None:
    """The same for these channels in a new life. Onions of all other pending HTLCs are remembered first: of two equal
    ones the one that nobody owns yet is the replay.
    """
    undecided = {slot.channel_id: (slot, undecided_ids(m, slot)) for slot in slots}
    for slot in m.channels.values():
        _, open_ids = undecided.get(slot.channel_id, (slot, ()))
        for htlc_id, htlc in slot.state.core.inbound.items():
            if htlc.committed and htlc_id not in open_ids:
                secret = htlc.shared_secret or onions.shared_secret_of(m, htlc)
                m.seen_onions.is_new(secret, htlc.add.cltv_expiry)
    for slot, open_ids in undecided.values():
        if open_ids:
            judge(m, slot, _not_replayed(m, slot, open_ids))


def undecided_ids(m: Manager, slot: Slot) -> tuple[int, ...]:
    """Return the inbound HTLCs of a channel that wait for a judgement."""
    return tuple([htlc_id for htlc_id, htlc in slot.state.core.inbound.items() if _is_open(m, slot, htlc)])


def _is_open(m: Manager, slot: Slot, htlc: InboundHtlc) -> bool:
    """Return whether nobody has decided on this HTLC, carries it on, or was asked about it."""
    htlc_id = htlc.add.htlc_id
    return (
        htlc.committed
        and not htlc.decided()
        and htlc.set_id not in slot.state.core.shown
        and (slot.channel_id, htlc_id) not in m.forwards
        and not _in_a_set(m, slot.channel_id, htlc_id)
    )


def _in_a_set(m: Manager, channel_id: bytes, htlc_id: int) -> bool:
    return any((channel_id, htlc_id) in one.parts for one in m.claimables.values())


def _receive(m: Manager, slot: Slot, htlc: InboundHtlc, peeled: Peeled) -> None:
    """An HTLC for us: check it against what was asked for, then add it to its set."""
    payload = peeled.payload
    assert payload is not None, "a final hop has a payload"
    add = htlc.add
    unknown = IncorrectOrUnknownPaymentDetails(htlc_msat=add.amount_msat, height=m.env.block_height)
    refused = _check_final(m, htlc, payload)
    if refused is not None:
        onions.fail(m, slot, add.htlc_id, peeled, refused)
        return
    if payload.payment_data is not None:
        opened = m.signer.open_inbound_payment(add.payment_hash, payload.payment_data.payment_secret)
        terms = None if opened is None else decode_terms(opened.metadata)
        if terms is None or opened is None or not _meets(m, terms, payload, add.cltv_expiry):
            onions.fail(m, slot, add.htlc_id, peeled, unknown)
            return
        claiming.add_part(
            m,
            slot,
            htlc,
            payload.payment_data.payment_secret,
            payload.payment_data.total_msat,
            "invoice",
            opened.preimage or b"",
            list(payload.custom_records),
        )
        return
    preimage = payload.keysend_preimage
    if preimage is None:
        onions.fail(m, slot, add.htlc_id, peeled, InvalidOnionPayload(type=PAYMENT_DATA, offset=0))
    elif not m.config.accept_keysend or sha256(preimage) != add.payment_hash:
        onions.fail(m, slot, add.htlc_id, peeled, unknown)
    else:
        custom = list(payload.custom_records)
        claiming.add_part(m, slot, htlc, b"", add.amount_msat, "keysend", preimage, custom)


def _check_final(m: Manager, htlc: InboundHtlc, payload: HopPayload) -> FailureMessage | None:
    """Check the HTLC against the onion (BOLT 4, "Payload for the Last Node")."""
    add = htlc.add
    assert payload.amt_to_forward is not None
    assert payload.outgoing_cltv_value is not None
    if add.amount_msat < payload.amt_to_forward:
        return FinalIncorrectHtlcAmount(incoming_htlc_amt=add.amount_msat)
    if add.cltv_expiry < payload.outgoing_cltv_value:
        return FinalIncorrectCltvExpiry(cltv_expiry=add.cltv_expiry)
    if add.cltv_expiry > m.env.block_height + m.config.cltv_expiry_max_blocks:
        return ExpiryTooFar()
    if add.cltv_expiry <= m.env.block_height + m.config.claim_deadline_blocks:
        return IncorrectOrUnknownPaymentDetails(htlc_msat=add.amount_msat, height=m.env.block_height)
    return None


def _meets(m: Manager, terms: InvoiceTerms, payload: HopPayload, cltv_expiry: int) -> bool:
    """Return whether a payment meets our invoice: amount (up to twice), expiry, and blocks left to claim it."""
    data = payload.payment_data
    assert data is not None
    if terms.amount_msat and not terms.amount_msat <= data.total_msat <= 2 * terms.amount_msat:
        return False
    if terms.expires_at and m.now_seconds >= terms.expires_at:
        return False
    return cltv_expiry >= m.env.block_height + terms.min_final_cltv_expiry_delta - 3
