"""Own payments: idempotent by payment_id, split over channels, retried until a deadline or a fee limit.

`node` keeps the payment; the channels keep its parts. Outcomes are matched by (payment_id, part), a part is in flight
until its outcome is handled, and a payment fails only with none in flight. A preimage is its own proof and settles a
payment at once.
"""

from leyden.base.errors import CommandRejected
from leyden.channel import effects as fx
from leyden.channel import limits
from leyden.channel.core import Outcome
from leyden.channel.inputs import PendingAdd, QueueAdd
from leyden.channel.states import Normal
from leyden.journal.node_records import (
    PartFailed,
    PartSent,
    PaymentFailed,
    PaymentSent,
    PaymentsForgotten,
    PaymentStarted,
)
from leyden.journal.records import HtlcSource
from leyden.manager import events as ev
from leyden.manager.manager import Manager
from leyden.manager.state import Slot
from leyden.payments import outcome as why
from leyden.payments.outbound import (
    OutboundPayment,
    Part,
    PaymentTerms,
    build_part_onion,
    session_key,
    terms_of,
)
from leyden.payments.outcome import ONCHAIN_FAILURE, Failure, is_final_rejection
from leyden.payments.route_fees import HopAmount
from leyden.payments.routes import ChannelView, PlannedPart, Target, Way, plan, ways_ruled_out
from leyden.sphinx.failures import NODE, PERM, FailureCode, failure_of_malformed
from leyden.sphinx.onion import shared_secrets_of
from leyden.sphinx.onion_error import unwrap_error

FINAL_CLTV_MARGIN_BLOCKS = 1
"""A block may come while the payment is under way."""


def start_payment(m: Manager, started: PaymentStarted, terms: PaymentTerms | None) -> None:
    """Accept a payment: its record first; the first HTLC is offered once that is durable. terms: when known already.

    Raises: CommandRejected: known payment_id, hash already paid or being paid, nothing that could carry it.
    """
    m.require_room()
    if started.payment_id in m.node.ledger.payments:
        raise CommandRejected("this payment_id is known already; ask for its state", code="duplicate_payment_id")
    for other_id in m.node.ledger.hashes.get(started.payment_hash, ()):
        other = m.node.ledger.payments[other_id]
        if other.sent is not None:
            raise CommandRejected("this invoice is paid already", code="already_paid")
        if other.is_live:
            raise CommandRejected("this invoice is being paid already", code="payment_in_progress")
    m.record(started)
    payment = m.node.ledger.payments[started.payment_id]
    payment.terms = terms or terms_of(started)
    m.outbox.when_durable(m.node_tail, lambda: _begin(m, payment))


def _begin(m: Manager, payment: OutboundPayment) -> None:
    payment.durable = True
    advance(m, payment)


def abandon_payment(m: Manager, payment_id: bytes) -> None:
    """Offer no further parts; the payment fails once those in flight have failed (they may still succeed).

    Raises: CommandRejected for an unknown payment.
    """
    payment = m.node.ledger.payments.get(payment_id)
    if payment is None:
        raise CommandRejected("no payment has this payment_id", code="unknown_payment")
    if payment.is_live:
        payment.give_up = payment.give_up or why.ABANDONED
        advance(m, payment)


def continue_payments(m: Manager) -> None:
    """A channel is usable again: live payments that lack parts go on."""
    for payment in list(m.node.ledger.live.values()):
        if payment.durable:
            advance(m, payment)


def on_time(m: Manager) -> None:
    """Payments past their deadline offer no further parts."""
    for payment in list(m.node.ledger.live.values()):
        if payment.durable and m.now_seconds >= payment.started.deadline_seconds:
            advance(m, payment)


def advance(m: Manager, payment: OutboundPayment) -> None:
    """Offer what is missing, or fail when nothing is in flight and nothing can be offered."""
    if not (payment.is_live and payment.durable and m.is_started):
        return
    started = payment.started
    missing_msat = started.amount_msat - payment.in_flight_msat()
    if missing_msat <= 0:
        return
    reason = payment.give_up
    if not reason and m.now_seconds >= started.deadline_seconds:
        reason = why.DEADLINE
    if not reason:
        planned = _fixed_plan(m, payment) if started.routes else _plan(m, payment, missing_msat)
        if isinstance(planned, str):
            reason = planned
        else:
            for number, part in planned:
                _offer(m, payment, number, part)
            return
    if _may_wait(m, payment, reason):
        return
    if payment.parts:
        # Parts in flight may still bring the whole to the payee only if they are all; the rest fails with them.
        payment.give_up = payment.give_up or reason
        return
    _fail(m, payment, reason)


def _may_wait(m: Manager, payment: OutboundPayment, reason: str) -> bool:
    """After a start or a disconnection, channels that could carry it may not be back yet: wait for the deadline."""
    if reason not in (why.NO_ROUTE, why.INSUFFICIENT_BALANCE) or payment.last_failure is not None:
        return False
    return any(
        type(slot.state) is Normal and not slot.state.session.reestablished and not slot.halted
        for slot in m.channels.values()
    )


def _channel_views(m: Manager, target: Target) -> list[ChannelView]:
    """Return what the router is told: with the default one only channels that can be the first of a way matter."""
    if m.config.router is plan:
        first = dict.fromkeys([target.payee, *[hint[0].node_id for hint in target.route_hints if hint]])
        slots = [slot for peer in first for slot in m.channels_with(peer)]
    else:
        slots = list(m.channels.values())
    views: list[ChannelView] = []
    for slot in slots:
        state = slot.state
        if type(state) is not Normal or slot.halted or not state.session.reestablished:
            continue
        spendable = limits.spendable_msat(state.core, state.session.queued_msat)
        views.append(ChannelView(slot.channel_id, slot.peer, spendable, state.core.opened.remote.htlc_minimum_msat))
    return views


def _plan(m: Manager, payment: OutboundPayment, missing_msat: int) -> list[tuple[int, PlannedPart]] | str:
    started = payment.started
    terms = payment.terms = payment.terms or terms_of(started)
    expiry = m.env.block_height + terms.min_final_cltv_expiry_delta + FINAL_CLTV_MARGIN_BLOCKS
    parts_max = started.parts_max if terms.supports_mpp else 1
    target = Target(started.payee, expiry, terms.route_hints)
    planned = m.config.router(
        _channel_views(m, target),
        target,
        missing_msat,
        started.fee_msat_max - payment.in_flight_fee_msat(),
        parts_max - len(payment.parts),
        payment.excluded,
    )
    failure = payment.last_failure
    if planned == why.NO_ROUTE and failure is not None:
        return why.ROUTE_FAILED
    if planned == why.INSUFFICIENT_BALANCE and failure is not None and failure.hop >= 0:
        # What is left does not carry it; but it was a failure on the way that ruled the better ways out.
        return why.ROUTE_FAILED
    return planned if isinstance(planned, str) else list(enumerate(planned, payment.next_part))


def _fixed_plan(m: Manager, payment: OutboundPayment) -> list[tuple[int, PlannedPart]] | str:
    """The routes of `send_to_route`, each once in all lives: the part that goes over a route has its number."""
    planned: list[tuple[int, PlannedPart]] = []
    waits = False
    for number, route in enumerate(payment.started.routes):
        if number in payment.parts or number in payment.failed_parts or number in payment.refused_parts:
            continue
        slot = m.channels.get(route.channel_id)
        if slot is None or slot.halted or type(slot.state) is not Normal:
            continue
        if not slot.state.session.reestablished:
            waits = True
            continue
        amounts = tuple([HopAmount(hop.amount_msat, hop.cltv_expiry) for hop in route.hops])
        nodes = tuple([hop.node_id for hop in route.hops])
        scids = tuple([hop.short_channel_id for hop in route.hops[1:]])
        planned.append((number, PlannedPart((route.channel_id, -1), nodes, amounts, scids)))
    if planned:
        return planned
    return why.NO_ROUTE if waits else why.ROUTE_FAILED


def _offer(m: Manager, payment: OutboundPayment, number: int, planned: PlannedPart) -> None:
    started = payment.started
    payment.next_part = max(payment.next_part, number + 1)
    channel_id = planned.way[0]
    try:
        onion = build_part_onion(payment, number, planned)
    except ValueError:
        # Hints and metadata of an invoice, or a caller's route, may ask for more than an onion holds.
        payment.excluded.append(planned.way)
        payment.refused_parts[number] = None
        m.after_verdicts.append(lambda: advance(m, payment))
        return
    payment.parts[number] = Part(channel_id, planned.way, planned.delivered_msat, planned.fee_msat, planned.nodes)
    if len(planned.nodes) > 1:
        m.record(PartSent(started.payment_id, number, list(planned.nodes)))
    first = planned.amounts[0]
    add = PendingAdd(
        first.amount_msat,
        started.payment_hash,
        first.cltv_expiry,
        onion.packet,
        HtlcSource(started.payment_id, number, False),
        planned.fee_msat,
    )
    m.apply(m.channels[channel_id], QueueAdd(add))


def on_refused(m: Manager, slot: Slot, effect: fx.AddRefused) -> None:
    """A part was never sent: it is not in flight, and may go another way."""
    source = effect.add.source
    payment = m.node.ledger.payments.get(source.origin)
    part = None if payment is None else payment.parts.pop(source.index, None)
    if payment is None or part is None:
        return
    if effect.reason == limits.DISCONNECTED:
        # The same way may be open again at the next connection.
        m.after_verdicts.append(lambda: advance(m, payment))
        return
    payment.refused_parts[source.index] = None
    payment.excluded.append(part.way)
    if effect.reason in (limits.INSUFFICIENT_BALANCE, limits.DUST_EXPOSURE, limits.QUEUE_FULL):
        payment.last_failure = payment.last_failure or Failure(-1, 0, is_final=False)
    del slot
    m.after_verdicts.append(lambda: advance(m, payment))


def on_preimage(m: Manager, payment_id: bytes, preimage: bytes) -> None:
    """A preimage of a part is known: the payment is sent, whatever else happens."""
    payment = m.node.ledger.payments.get(payment_id)
    if payment is None:
        return
    if not payment.is_live:
        return
    record = PaymentSent(payment_id, preimage, payment.in_flight_fee_msat(), m.now_seconds)
    m.record(record)
    m.outbox.when_durable(m.node_tail, lambda: show_sent(m, payment))


def show_sent(m: Manager, payment: OutboundPayment) -> None:
    """Tell the user; the record is durable."""
    sent, started = payment.sent, payment.started
    assert sent is not None
    m.show(
        ev.PaymentSent(
            f"sent/{started.payment_id.hex()}",
            started.payment_id,
            started.payment_hash,
            sent.preimage,
            started.amount_msat,
            sent.fee_msat,
        ),
    )


def show_failed(m: Manager, payment: OutboundPayment) -> None:
    """Tell the user; the record is durable."""
    failed, started = payment.failed, payment.started
    assert failed is not None
    m.show(
        ev.PaymentFailed(
            f"failed/{started.payment_id.hex()}",
            started.payment_id,
            started.payment_hash,
            failed.reason,
            failed.code,
            failed.hop,
        ),
    )


def on_outcome(m: Manager, slot: Slot, outcome: Outcome) -> None:
    """An outcome of a part is durable in its channel: handle it, matched by payment and part. Unknown means done."""
    source = outcome.source
    payment = m.node.ledger.payments.get(source.origin)
    if payment is None:
        return
    if outcome.removal.preimage:
        on_preimage(m, source.origin, outcome.removal.preimage)
        payment.parts.pop(source.index, None)
        return
    part = payment.parts.get(source.index)
    if part is None:
        return
    if outcome.htlc_id in slot.state.core.onchain_failed:
        failure = ONCHAIN_FAILURE
    else:
        failure = _read_failure(m, payment, source.index, part, outcome)
    m.record(PartFailed(source.origin, source.index, slot.channel_id, outcome.htlc_id, failure.code, failure.hop))
    _learn_from(m, payment, part.way, failure)
    m.after_verdicts.append(lambda: advance(m, payment))


def _read_failure(m: Manager, payment: OutboundPayment, number: int, part: Part, outcome: Outcome) -> Failure:
    del m
    removal = outcome.removal
    if removal.failure_code:
        # Our peer could not read the onion.
        return Failure(0, failure_of_malformed(removal.failure_code, removal.reason).failure_code, is_final=False)
    nodes = part.nodes or tuple(payment.hops.get(number, ()))
    if not nodes:
        return Failure(-1, 0, is_final=False)
    secrets = shared_secrets_of(session_key(payment.started, number), nodes)
    unwrapped = unwrap_error(secrets, removal.reason, None)
    if unwrapped.hop is None:
        return Failure(-1, 0, is_final=False)
    if unwrapped.failure is None:
        return Failure(unwrapped.hop, 0, is_final=False)
    is_recipient = unwrapped.hop == len(nodes) - 1
    return Failure(
        unwrapped.hop,
        unwrapped.failure.failure_code,
        is_final=is_recipient and is_final_rejection(unwrapped.failure),
    )


def _learn_from(m: Manager, payment: OutboundPayment, way: Way, failure: Failure) -> None:
    """What the code says is not tried again. A `channel_update` in the failure is not looked at: whoever made it could
    mark the payer by it (BOLT 4, "Receiving Failure Codes").
    """
    payment.last_failure = failure
    if failure.code & (PERM | NODE) and not payment.started.routes:
        terms = payment.terms = payment.terms or terms_of(payment.started)
        channels = [(slot.channel_id, slot.peer) for slot in m.channels.values()]
        payment.excluded += ways_ruled_out(way, failure, terms.route_hints, channels)
    else:
        payment.excluded.append(way)
    if failure.is_final:
        payment.give_up = why.RECIPIENT_REJECTED
    elif failure.code == FailureCode.MPP_TIMEOUT.value:
        # The recipient waited for the rest in vain. Parts offered now would only lock money until it waits again.
        payment.give_up = payment.give_up or why.ROUTE_FAILED


def _fail(m: Manager, payment: OutboundPayment, reason: str) -> None:
    """No part is in flight and none will be: the payment failed."""
    assert not payment.parts, "a payment fails only with nothing in flight"
    last = payment.last_failure or Failure(-1, 0, is_final=False)
    if last == ONCHAIN_FAILURE and reason in (why.ROUTE_FAILED, why.DEADLINE):
        reason = why.ONCHAIN_TIMEOUT
    m.record(PaymentFailed(payment.started.payment_id, reason, last.code, last.hop, m.now_seconds))
    m.outbox.when_durable(m.node_tail, lambda: show_failed(m, payment))


def forget_old(m: Manager) -> None:
    """Forget finished payments and claims whose stated time is over, once nothing refers to them any more.

    Their events are acknowledged, and so is every outcome and claim of theirs in every channel: what a channel may
    still tell of after a crash must not be unknown here (DESIGN section 2, "unknown means done").
    """
    if m.unreadable:
        return  # such a journal may tell of any of them
    before = m.now_seconds - m.config.payment_retention_seconds
    named: dict[bytes, None] = dict.fromkeys(m.claim_channels)
    for slot in m.channels.values():
        core = slot.state.core
        named |= dict.fromkeys(core.claims)
        named |= dict.fromkeys([htlc.add.source.origin for htlc in core.outbound.values() if htlc.add.source])
        named |= dict.fromkeys([outcome.source.origin for outcome in core.outcomes.values()])
    payment_ids = [
        payment_id
        for payment_id, payment in m.node.ledger.payments.items()
        if payment_id not in named and _may_be_forgotten(m, payment, before)
    ]
    claim_ids = [
        claim_id
        for claim_id, received in m.node.received.items()
        if received.seconds < before and claim_id not in named
    ]
    if payment_ids or claim_ids:
        # Behind the acknowledgements: one that is lost at a crash would bring the fact back.
        m.outbox.when_all_durable(lambda: m.record(PaymentsForgotten(payment_ids, claim_ids)))


def _may_be_forgotten(m: Manager, payment: OutboundPayment, before_seconds: int) -> bool:
    """Return whether a payment ended before that time, and its user knows."""
    if payment.is_live or payment.parts:
        return False
    payment_id = payment.started.payment_id.hex()
    end = payment.sent or payment.failed
    return (
        end is not None
        and end.seconds < before_seconds
        and f"sent/{payment_id}" not in m.node.unacknowledged
        and f"failed/{payment_id}" not in m.node.unacknowledged
    )
