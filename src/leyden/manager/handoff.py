"""The hand-off rule between journals (invariant P3): act once the fact is durable, forget once the act is.

An outcome of an outbound HTLC is acted on in the inbound channel that its source names, or in `node`. Acting twice is
acting
once: an act names its HTLC, and what is unknown is done. A preimage may act before its own journal is durable; it is
its own proof, shows no event by itself, and makes nobody poorer.
"""

from leyden.channel import effects as fx
from leyden.channel.core import ForwardEvent, Outcome
from leyden.journal.records import ForwardedPayment, RemovedHtlc
from leyden.manager import events as ev
from leyden.manager import forwarding, sending
from leyden.manager.manager import Manager
from leyden.manager.outbox import Release
from leyden.manager.state import Slot


def on_preimage(m: Manager, slot: Slot, effect: fx.PreimageLearnt) -> None:
    """The peer fulfilled an HTLC of ours: settle what it came from at once."""
    add = slot.state.core.outbound[effect.htlc_id].add
    source = add.source
    assert source is not None, "what we offer has a source"
    if source.forwarded:
        _fulfil_inbound(m, slot, source.origin, source.index, effect.htlc_id, add.amount_msat, effect.removal)
    else:
        sending.on_preimage(m, source.origin, effect.removal.preimage)


def on_onchain_preimage(m: Manager, slot: Slot, outcome: Outcome) -> None:
    """The chain, or the mempool, shows the preimage of an HTLC of ours: the same, though the peer said nothing."""
    source = outcome.source
    if source.forwarded:
        _fulfil_inbound(m, slot, source.origin, source.index, outcome.htlc_id, outcome.amount_msat, outcome.removal)
    else:
        sending.on_preimage(m, source.origin, outcome.removal.preimage)


def _fulfil_inbound(
    m: Manager,
    slot: Slot,
    channel_id: bytes,
    htlc_id: int,
    outbound_htlc_id: int,
    amount_msat: int,
    removal: RemovedHtlc,
) -> None:
    """Promise the fulfil of the inbound HTLC, if that channel still has it without its preimage."""
    inbound = m.channels.get(channel_id)
    htlc = None if inbound is None else inbound.state.core.inbound.get(htlc_id)
    if (htlc is None or htlc.removing) and (channel_id, htlc_id) in m.failed_early:
        del m.failed_early[(channel_id, htlc_id)]
        name = slot.channel_id.hex()[:16]
        lost = f"HTLC {outbound_htlc_id} of {amount_msat} msat was taken after it had to be failed upstream: it is lost"
        m.report("channel", "error", f"channel {name}: {lost}")
    if htlc is None or htlc.preimage:
        return
    m.decide_fulfil(
        channel_id,
        ForwardedPayment(htlc_id, removal.preimage, slot.channel_id, outbound_htlc_id, amount_msat, b""),
    )


def on_outcomes(m: Manager, slot: Slot, htlc_ids: tuple[int, ...]) -> None:
    """Outcomes of HTLCs that we offered are durable: make sure that somebody has acted, then forget them."""
    by_channel: dict[bytes, list[Outcome]] = {}
    by_node: list[Outcome] = []
    for htlc_id in htlc_ids:
        outcome = slot.state.core.outcomes.get(htlc_id)
        if outcome is None:
            continue
        if outcome.source.forwarded:
            _act_on_forward(m, slot, outcome)
            by_channel.setdefault(outcome.source.origin, []).append(outcome)
        else:
            sending.on_outcome(m, slot, outcome)
            by_node.append(outcome)
    if by_node:
        m.outbox.when_durable(m.node_tail, lambda: acknowledge_outcomes(m, slot, by_node))
    if by_channel:
        # The acts are written at the end of the pass; only then does it make sense to wait for them.
        m.after_verdicts.append(lambda: _acknowledge_later(m, slot, by_channel))


def _act_on_forward(m: Manager, slot: Slot, outcome: Outcome) -> None:
    source, removal = outcome.source, outcome.removal
    if removal.preimage:
        _fulfil_inbound(m, slot, source.origin, source.index, outcome.htlc_id, outcome.amount_msat, removal)
    elif not forwarding.is_carried_elsewhere(m, slot, outcome):
        forwarding.fail_back(m, slot, outcome)


def _acknowledge_later(m: Manager, slot: Slot, by_channel: dict[bytes, list[Outcome]]) -> None:
    """The decisions are recorded: until here the inbound HTLCs were owned, so that nobody judged them anew."""
    for channel_id, outcomes in by_channel.items():
        for outcome in outcomes:
            key = (channel_id, outcome.source.index)
            if m.forwards.get(key) == slot.channel_id:
                del m.forwards[key]
            m.failed_early.pop(key, None)
        inbound = m.channels.get(channel_id)
        if channel_id in m.unreadable:
            continue  # it has not acted: the outcome is kept until it can
        if inbound is None:
            acknowledge_outcomes(m, slot, outcomes)  # archived: unknown means done
        elif not inbound.halted:  # a halted channel takes no act; the next life makes it
            m.outbox.when_durable(inbound.tail, _acknowledging(m, slot, outcomes))


def _acknowledging(m: Manager, slot: Slot, outcomes: list[Outcome]) -> Release:
    return lambda: acknowledge_outcomes(m, slot, outcomes)


def acknowledge_outcomes(m: Manager, slot: Slot, outcomes: list[Outcome]) -> None:
    """The acts are durable: the outcomes may be forgotten with the channel's next record.

    Not one that has taken the place of these meanwhile: a preimage that a reorganisation showed behind a failure.
    """
    known = slot.state.core.outcomes
    slot.ack_outcomes.extend([one.htlc_id for one in outcomes if known.get(one.htlc_id) is one])
    m.acks[slot.channel_id] = slot


def raise_events(m: Manager, slot: Slot) -> None:
    """Show what the channel has to tell, once that is durable; what it has to tell later waits for its own records
    (invariant P1).
    """
    event_ids = tuple(slot.state.core.events)
    m.outbox.when_durable(slot.tail, lambda: _show_channel_events(m, slot, event_ids))


def raise_events_again(m: Manager, slot: Slot) -> None:
    """At start: the same, and what forwards have earned."""
    raise_events(m, slot)
    forwards = list(slot.state.core.forward_events.values())
    if forwards:
        m.outbox.when_durable(slot.tail, lambda: _show_all_forwards(m, slot, forwards))


def _show_channel_events(m: Manager, slot: Slot, event_ids: tuple[str, ...]) -> None:
    """Show those of the events that were neither shown in this life nor acknowledged."""
    core = slot.state.core
    opened = core.opened
    shown = slot.state.session.events_shown
    for event_id in event_ids:
        if event_id in shown or event_id not in core.events:
            continue
        shown.add(event_id)
        name, *details = core.events[event_id]
        match name:
            case "channel_ready":
                event: ev.Event = ev.ChannelReady(
                    event_id, opened.channel_id, opened.counterparty_node_id, opened.user_channel_id
                )
            case "channel_closed":
                event = ev.ChannelClosed(event_id, opened.channel_id, opened.counterparty_node_id, str(details[0]))
            case "data_loss":
                event = ev.ChannelDataLoss(event_id, opened.channel_id, opened.counterparty_node_id)
            case "spendable_outputs":
                outputs = tuple([str(outpoint) for outpoint in details])
                amount_sat = sum([core.spendable[outpoint].value_sat for outpoint in outputs])
                event = ev.SpendableOutputs(event_id, opened.channel_id, outputs, amount_sat)
            case "claim_abandoned":
                claim_id, payment_hash = [bytes.fromhex(str(detail)) for detail in details]
                event = ev.PaymentClaimAbandoned(event_id, claim_id, payment_hash)
            case _:
                raise AssertionError(f"a channel raises no event {name}")
        m.show(event)


def on_forwarded(m: Manager, slot: Slot, forwarded: list[ForwardedPayment]) -> None:
    """Fulfils of forwarded payments are decided: once that is durable, the user is told what each earned."""
    m.outbox.when_durable(slot.tail, lambda: _show_forwards(m, slot, forwarded))


def _show_forwards(m: Manager, slot: Slot, forwarded: list[ForwardedPayment]) -> None:
    events = slot.state.core.forward_events
    for one in forwarded:
        forward = events.get(f"forwarded/{slot.channel_id.hex()}/{one.htlc_id}")
        if forward is not None:
            _show_forward(m, slot, forward)


def _show_all_forwards(m: Manager, slot: Slot, forwards: list[ForwardEvent]) -> None:
    for forward in forwards:
        _show_forward(m, slot, forward)


def _show_forward(m: Manager, slot: Slot, forward: ForwardEvent) -> None:
    shown = slot.state.session.events_shown
    if forward.event_id in shown:
        return
    shown.add(forward.event_id)
    m.show(
        ev.PaymentForwarded(
            forward.event_id,
            slot.channel_id,
            forward.outbound_channel_id,
            forward.inbound_amount_msat,
            forward.outbound_amount_msat,
            forward.inbound_amount_msat - forward.outbound_amount_msat,
        ),
    )


def acknowledge_event(m: Manager, event_id: str) -> None:
    """The user's handler is done with an event. Unknown ids are fine: they were acknowledged before."""
    event = m.events.pop(event_id, None)
    match event:
        case ev.PaymentSent() | ev.PaymentFailed():
            m.ack_node_events.append(event_id)
        case ev.PaymentClaimed():
            _acknowledge_claim(m, event)
        case ev.ChannelReady() | ev.ChannelClosed() | ev.ChannelDataLoss() | ev.SpendableOutputs():
            _acknowledge_in_channel(m, event.channel_id, event_id)
        case ev.PaymentForwarded():
            _acknowledge_in_channel(m, event.inbound_channel_id, event_id)
        case ev.PaymentClaimAbandoned():
            for slot in m.channels.values():
                if event_id in slot.state.core.events:
                    slot.state.session.events_shown.add(event_id)
                    _acknowledge_in_channel(m, slot.channel_id, event_id)
        case ev.PaymentClaimable() | ev.OpenRefused() | ev.StoreBehind() | ev.StoreRecovered() | None:
            # A question is retired by its durable answer alone; the others live in this life only.
            pass


def _acknowledge_in_channel(m: Manager, channel_id: bytes, event_id: str) -> None:
    slot = m.channels.get(channel_id)
    if slot is not None:
        slot.ack_events.append(event_id)
        m.acks[channel_id] = slot


def _acknowledge_claim(m: Manager, event: ev.PaymentClaimed) -> None:
    """Every part has the claim durably (the event was shown behind that): now each may forget it (invariant H3)."""
    for channel_id in m.claim_channels.pop(event.claim_id, ()):
        slot = m.channels.get(channel_id)
        if slot is not None and event.claim_id in slot.state.core.claims:
            slot.ack_claims.append(event.claim_id)
            m.acks[slot.channel_id] = slot
