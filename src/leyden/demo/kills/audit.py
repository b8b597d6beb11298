"""What must hold when all is at rest, looked at through the nodes' API: O1 to O12 as a user can see them."""

import hashlib
from collections.abc import Mapping
from typing import Final

import msgspec

from leyden.demo.kills.listener import QUESTION, Listener
from leyden.demo.kills.load import Wish
from leyden.demo.screen import MSAT_PER_SAT
from leyden.node.views import Balance, ChannelView, EventView, NodeInfo, PaymentView

_CHANNELS_PER_LINK: Final = 2
ENDS: Final = {"alice": _CHANNELS_PER_LINK, "bob": 2 * _CHANNELS_PER_LINK, "carol": _CHANNELS_PER_LINK}


class Look(msgspec.Struct, frozen=True):
    """What one node says at rest, all at one time."""

    info: NodeInfo
    balance: Balance
    channels: list[ChannelView]
    payments: list[PaymentView]
    events: list[EventView]


class Chain(msgspec.Struct, frozen=True):
    """What the chain service says. pool: txids that wait for a block."""

    height: int
    pool: list[str]


class Start(msgspec.Struct, frozen=True):
    """What each node had before the first round. lightning_msat, confirmed_sat: by name."""

    lightning_msat: dict[str, int]
    confirmed_sat: dict[str, int]


def start_of(looks: Mapping[str, Look]) -> Start:
    """Return where the reckoning begins."""
    return Start(
        {name: _owned_msat(look) for name, look in looks.items()},
        {name: look.balance.confirmed_sat for name, look in looks.items()},
    )


def _owned_msat(look: Look) -> int:
    return sum(channel.local_msat for channel in look.channels)


def violations(
    start: Start,
    looks: Mapping[str, Look],
    wishes: list[Wish],
    listeners: Mapping[str, Listener],
    chain: Chain,
) -> list[str]:
    """Return everything that is wrong, in sentences. wishes: of all rounds so far."""
    wrong = [sentence for listener in listeners.values() for sentence in listener.wrong]
    wrong += [f"{txid} was published, and nobody asked for it" for txid in chain.pool]
    for name, look in looks.items():
        wrong += _node(name, look)
        wrong += _events(name, look, listeners[name])
        if look.info.block_height != chain.height:
            wrong.append(f"{name} is at block {look.info.block_height}, the chain at {chain.height}")
        if look.balance.confirmed_sat != start.confirmed_sat[name]:
            wrong.append(f"{name} has {look.balance.confirmed_sat} sat on chain, not {start.confirmed_sat[name]}")
    wrong += _ends_agree(looks)
    wrong += _money(start, looks, listeners)
    wrong += _payments(looks, wishes, listeners)
    return wrong


def _node(name: str, look: Look) -> list[str]:
    info = look.info
    wrong = [f"{name} has an alarm: {alarm}" for alarm in info.alarms]
    if not (info.chain_ok and info.store_ok and info.is_synced):
        wrong.append(f"{name} is not well: {info.chain_status} {info.store_status}")
    if info.htlcs_pending or look.balance.in_flight_inbound_msat or look.balance.in_flight_outbound_msat:
        wrong.append(f"{name} has {info.htlcs_pending} HTLCs left")
    if len(look.channels) != ENDS[name]:
        wrong.append(f"{name} has {len(look.channels)} channels, not {ENDS[name]}")
    for channel in look.channels:
        if channel.state != "normal" or channel.close_reason or channel.halted or not channel.is_usable:
            wrong.append(
                f"{name}'s channel {channel.channel_id[:16]} is {channel.state}, "
                f"{'usable' if channel.is_usable else 'not usable'}: {channel.close_reason or channel.halted or '?'}"
            )
        if channel.local_msat + channel.remote_msat != channel.capacity_sat * MSAT_PER_SAT:
            wrong.append(f"{name}'s channel {channel.channel_id[:16]} does not hold its capacity")
    return wrong


def _events(name: str, look: Look, listener: Listener) -> list[str]:
    """What is not acknowledged is told, and nothing else; what was asked is answered."""
    now = {event.event_id: event for event in look.events}
    wrong = [f"{name} still asks {event.event_id}" for event in look.events if event.type == QUESTION]
    for event_id, told in listener.told.items():
        if told.event.type == QUESTION:
            continue
        if not told.is_acknowledging and event_id not in now:
            wrong.append(f"{name} does not tell {event_id} any more, and nobody has acknowledged it")
        if told.acknowledged_at is not None and event_id in now:
            wrong.append(f"{name} still tells {event_id}, which was acknowledged")
        if event_id in now and now[event_id] != told.event:
            wrong.append(f"{name} tells {event_id} with other contents: {now[event_id].fields}")
    wrong += [f"{name} tells {event_id}, but told it to nobody" for event_id in now if event_id not in listener.told]
    return wrong


def _ends_agree(looks: Mapping[str, Look]) -> list[str]:
    ends: dict[str, list[tuple[str, ChannelView]]] = {}
    for name, look in looks.items():
        for channel in look.channels:
            ends.setdefault(channel.channel_id, []).append((name, channel))
    wrong: list[str] = []
    for channel_id, both in ends.items():
        if len(both) != 2:
            wrong.append(f"channel {channel_id[:16]} is known to {both[0][0]} alone")
            continue
        (name, one), (other_name, other) = both
        if (one.local_msat, one.remote_msat) != (other.remote_msat, other.local_msat):
            wrong.append(
                f"channel {channel_id[:16]}: {name} says {one.local_msat} + {one.remote_msat} msat, "
                f"{other_name} {other.remote_msat} + {other.local_msat}"
            )
    return wrong


def _money(start: Start, looks: Mapping[str, Look], listeners: Mapping[str, Listener]) -> list[str]:
    """What each node has is what its payments, fees and forwards leave it, to the millisatoshi."""
    wrong: list[str] = []
    fees_paid_msat = 0
    for name, look in looks.items():
        expected_msat = start.lightning_msat[name] + listeners[name].fees_earned_msat
        for payment in look.payments:
            if payment.status != "succeeded":
                continue
            if payment.direction == "inbound":
                expected_msat += payment.amount_msat
            else:
                expected_msat -= payment.amount_msat + payment.fee_msat
                fees_paid_msat += payment.fee_msat
        if _owned_msat(look) != expected_msat:
            wrong.append(f"{name} has {_owned_msat(look)} msat in channels, its payments leave it {expected_msat}")
    earned_msat = sum(listener.fees_earned_msat for listener in listeners.values())
    if earned_msat != fees_paid_msat:
        wrong.append(f"{fees_paid_msat} msat of fees were paid, {earned_msat} msat were told as earned")
    return wrong


def _payments(looks: Mapping[str, Look], wishes: list[Wish], listeners: Mapping[str, Listener]) -> list[str]:
    """Each payment ended once, the same way at both ends and in what was told; nobody has one that nobody wanted."""
    sent = {(name, one.payment_id): one for name, look in looks.items() for one in look.payments if _is_out(one)}
    received: dict[tuple[str, str], list[PaymentView]] = {}
    for name, look in looks.items():
        for one in look.payments:
            if not _is_out(one):
                received.setdefault((name, one.payment_hash), []).append(one)
    wrong: list[str] = []
    for wish in wishes:
        payment = sent.get((wish.payer, wish.payment_id))
        there = received.pop((wish.payee, wish.payment_hash), [])
        found = (*_ended(wish, payment), *_received(payment, there), *_told(wish, payment, listeners))
        wrong += [f"{wish.payer} → {wish.payee} {wish.kind} {wish.payment_id}: {why}" for why in found]
    asked = {(wish.payer, wish.payment_id): None for wish in wishes}
    wrong += [f"{name} pays {payment_id}, which nobody asked for" for name, payment_id in sent.keys() - asked.keys()]
    wrong += [f"{name} was paid for {payment_hash}, which nobody owes" for name, payment_hash in received]
    return wrong


def _is_out(payment: PaymentView) -> bool:
    return payment.direction == "outbound"


def _ended(wish: Wish, payment: PaymentView | None) -> list[str]:
    if payment is None:
        return ["was accepted and has vanished"] if wish.is_accepted else []
    if payment.status not in ("succeeded", "failed"):
        return [f"is {payment.status}"]
    succeeded = payment.status == "succeeded"
    wrong: list[str] = []
    if wish.answered == "claimed" and not succeeded:
        wrong.append("was claimed and failed")
    if (wish.answered == "failed" or wish.kind == "refuse") and succeeded:
        wrong.append("was refused and succeeded")
    if payment.amount_msat != wish.amount_msat:
        wrong.append(f"is one of {payment.amount_msat} msat instead of {wish.amount_msat}")
    if succeeded and hashlib.sha256(bytes.fromhex(payment.preimage or "")).hexdigest() != payment.payment_hash:
        wrong.append("succeeded without its preimage")
    return wrong


def _received(payment: PaymentView | None, there: list[PaymentView]) -> list[str]:
    succeeded = payment is not None and payment.status == "succeeded"
    sent_msat = [payment.amount_msat] if succeeded and payment is not None else []
    has_msat = [one.amount_msat for one in there if one.status == "succeeded"]
    others = [one.status for one in there if one.status != "succeeded"]
    wrong = [] if sent_msat == has_msat else [f"{sent_msat} msat were sent, {has_msat} received"]
    return wrong + ([f"its payee has it as {', '.join(others)}"] if others else [])


def _told(wish: Wish, payment: PaymentView | None, listeners: Mapping[str, Listener]) -> list[str]:
    """One event at the payer for how it ended, and one at the payee if it was received."""
    status = "" if payment is None else payment.status
    ended = {"succeeded": [f"sent/{wish.payment_id}"], "failed": [f"failed/{wish.payment_id}"]}.get(status, [])
    told = listeners[wish.payer].outcomes.get(wish.payment_id, [])
    wrong = [] if told == ended else [f"told as {told}, it is {status or 'unknown'}"]
    claims = listeners[wish.payee].claims.get(wish.payment_hash, [])
    if len(claims) != (status == "succeeded"):
        wrong.append(f"{status or 'unknown'}, and told as received by {claims}")
    return wrong
