"""An audit that could not fail would prove nothing: each test plants one fault in a world that is in order."""

import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from leyden.api.client import async_control
from leyden.demo.kills import audit
from leyden.demo.kills.audit import Chain, Look, Start
from leyden.demo.kills.listener import Listener, Told
from leyden.demo.kills.load import Wish
from leyden.node.views import Balance, ChannelView, EventView, ForwardingPolicyView, NodeInfo, PaymentView

SENT_MSAT, FEE_MSAT, HALF_MSAT = 5_000_000, 1_007, 1_000_000_000
PREIMAGE = bytes(32)
HASH = hashlib.sha256(PREIMAGE).hexdigest()
LINKS = (("alice", "bob"), ("alice", "bob"), ("bob", "carol"), ("bob", "carol"))
CHANGED_MSAT = {"alice": -SENT_MSAT - FEE_MSAT, "bob": FEE_MSAT, "carol": SENT_MSAT}


def channel(name: str, other: str, number: int, local_msat: int) -> ChannelView:
    """One end of a channel in which all is well."""
    fields: dict[str, Any] = {field.name: 0 for field in msgspec.structs.fields(ChannelView) if field.type is int}
    fields |= {"capacity_sat": 2 * HALF_MSAT // 1000, "local_msat": local_msat}
    fields |= {"channel_id": f"{number:064x}", "remote_msat": 2 * HALF_MSAT - local_msat, "node_id": other}
    fields |= {"is_opener": name < other, "state": "normal", "channel_type": "anchors"}
    fields |= dict.fromkeys(("is_usable", "is_connected"), True) | dict.fromkeys(
        ("is_zero_conf", "is_announced"), False
    )
    fields |= dict.fromkeys(("short_channel_id", "alias"), None) | dict.fromkeys(
        ("funding_txid", "user_channel_id"), ""
    )
    policy = ForwardingPolicyView(
        fee_base_msat=0, fee_proportional_millionths=0, cltv_expiry_delta=0, htlc_minimum_msat=0
    )
    return ChannelView(**fields, policy=policy)


def payment(payment_id: str, direction: str, **changes: Any) -> PaymentView:
    """One that has succeeded."""
    fields: dict[str, Any] = {"payment_id": payment_id, "payment_hash": HASH, "direction": direction}
    fields |= {"status": "succeeded", "parts": 1, "amount_msat": SENT_MSAT, "fee_msat": 0, "in_flight_msat": 0}
    fields |= {"created_seconds": 1, "preimage": PREIMAGE.hex()}
    return PaymentView(**(fields | changes))


def info() -> NodeInfo:
    """Of a node that is well."""
    texts: dict[str, Any] = dict.fromkeys(
        ("node_id", "alias", "network", "version", "block_hash", "chain_status", "store_status", "data_dir"), ""
    )
    numbers: dict[str, Any] = {field.name: 0 for field in msgspec.structs.fields(NodeInfo) if field.type is int}
    return NodeInfo(**texts, **numbers, listening=[], is_synced=True, chain_ok=True, store_ok=True)


class Scene(msgspec.Struct):
    """Alice has paid carol over bob; everything is in order. One more payment was asked for and left nothing."""

    start: Start
    looks: dict[str, Look]
    wishes: list[Wish]
    listeners: dict[str, Listener]
    chain: Chain

    def wrong(self) -> list[str]:
        """What the audit says."""
        return audit.violations(self.start, self.looks, self.wishes, self.listeners, self.chain)

    def change(self, name: str, **changes: Any) -> None:
        """Let a node say something else."""
        self.looks[name] = msgspec.structs.replace(self.looks[name], **changes)


Fault = Callable[[Scene], None]


def event(event_id: str, kind: str = "payment_forwarded", **fields: object) -> EventView:
    """An event."""
    return EventView(event_id=event_id, type=kind, fields=fields)


def scene() -> Scene:
    """See `Scene`."""
    amounts = {field.name: 0 for field in msgspec.structs.fields(Balance) if field.required}
    balance = msgspec.convert(amounts, Balance)
    wish = Wish("invoice", "alice", "carol", SENT_MSAT, 32 * "aa", payment_hash=HASH, is_accepted=True)
    unknown = Wish("invoice", "carol", "alice", SENT_MSAT, 32 * "bb", payment_hash=32 * "bc")
    events = {
        "alice": event(f"sent/{wish.payment_id}", "payment_sent", payment_id=wish.payment_id),
        "bob": event("forwarded/1", fee_msat=FEE_MSAT),
        "carol": event("claimed/1", "payment_claimed", payment_hash=HASH),
    }
    looks: dict[str, Look] = {}
    listeners: dict[str, Listener] = {}
    for name, one in events.items():
        channels: list[ChannelView] = []
        for number, (left, right) in enumerate(LINKS):
            # Alice's first channel and carol's first one have carried the payment from left to right.
            moved_msat = {0: -CHANGED_MSAT["alice"], 2: CHANGED_MSAT["carol"]}.get(number, 0)
            if name == left:
                channels.append(channel(name, right, number, HALF_MSAT - moved_msat))
            elif name == right:
                channels.append(channel(name, left, number, HALF_MSAT + moved_msat))
        looks[name] = Look(info(), balance, channels, [], [one])
        listener = listeners[name] = Listener(name, async_control(Path("nowhere")), random.Random(1))
        listener.told[one.event_id] = Told(one, [1])
    listeners["alice"].outcomes[wish.payment_id] = [events["alice"].event_id]
    listeners["carol"].claims[HASH] = [events["carol"].event_id]
    listeners["bob"].fees_earned_msat = FEE_MSAT
    start = Start({name: HALF_MSAT * audit.ENDS[name] for name in looks}, dict.fromkeys(looks, 0))
    made = Scene(start, looks, [wish, unknown], listeners, Chain(0, []))
    made.change("alice", payments=[payment(wish.payment_id, "outbound", fee_msat=FEE_MSAT)])
    made.change("carol", payments=[payment(32 * "cc", "inbound")])
    return made


def test_a_world_in_order_passes() -> None:
    """The other tests change one thing in it."""
    assert scene().wrong() == []


# --- faults -----------------------------------------------------------------------------------------------------------


def says(name: str, **changes: Any) -> Fault:
    """A node says something else."""
    return lambda made: made.change(name, **changes)


def of_channel(**changes: Any) -> Fault:
    """Bob says something else of his first channel."""

    def plant(made: Scene) -> None:
        first, *others = made.looks["bob"].channels
        made.change("bob", channels=[msgspec.structs.replace(first, **changes), *others])

    return plant


def of_payment(name: str, **changes: Any) -> Fault:
    """A node says something else of its payment."""
    return lambda made: made.change(name, payments=[msgspec.structs.replace(made.looks[name].payments[0], **changes)])


def of_info(**changes: Any) -> Fault:
    """Bob is not well."""
    return says("bob", info=msgspec.structs.replace(info(), **changes))


def of_balance(**changes: Any) -> Fault:
    """Bob's balance is another one."""
    return lambda made: made.change("bob", balance=msgspec.structs.replace(made.looks["bob"].balance, **changes))


def wanted(**changes: Any) -> Fault:
    """Another payment was wanted than happened."""
    return lambda made: made.wishes.__setitem__(0, msgspec.structs.replace(made.wishes[0], **changes))


def heard(name: str, **changes: Any) -> Fault:
    """The listener has heard something else in all."""

    def plant(made: Scene) -> None:
        for field, value in changes.items():
            setattr(made.listeners[name], field, value)

    return plant


def acknowledged(made: Scene) -> None:
    """Bob has confirmed that an event was dealt with."""
    told = made.listeners["bob"].told["forwarded/1"]
    told.is_acknowledging, told.acknowledged_at = True, 1.0


def claimed_and_failed(made: Scene) -> None:
    """Carol has said that she claims."""
    wanted(answered="claimed")(made)
    of_payment("alice", status="failed")(made)


def received_twice(made: Scene) -> None:
    """Two claims of one payment."""
    made.change("carol", payments=[payment(claim_id, "inbound") for claim_id in ("cc", "cd")])


FAULTS: dict[str, tuple[Fault, str]] = {
    "heard something wrong": (heard("bob", wrong=["bob tells nonsense"]), "bob tells nonsense"),
    "published": (lambda made: made.chain.pool.append("f00d"), "f00d was published"),
    "alarm": (of_info(alarms=["a fault"]), "bob has an alarm: a fault"),
    "store": (of_info(store_ok=False, store_status="disk full"), "not well:  disk full"),
    "chain": (of_info(chain_ok=False, chain_status="away"), "not well: away"),
    "not in sync": (of_info(is_synced=False), "not well"),
    "behind": (of_info(block_height=-1), "bob is at block -1, the chain at 0"),
    "HTLC left": (of_info(htlcs_pending=1), "1 HTLCs left"),
    "money coming": (of_balance(in_flight_inbound_msat=1), "HTLCs left"),
    "money going": (of_balance(in_flight_outbound_msat=1), "HTLCs left"),
    "money on chain": (of_balance(confirmed_sat=1), "bob has 1 sat on chain"),
    "channel gone": (lambda made: made.change("carol", channels=made.looks["carol"].channels[:1]), "1 channels, not 2"),
    "closing": (of_channel(state="force_closing", close_reason="why not"), "is force_closing, usable: why not"),
    "halted": (of_channel(halted="a bug"), "a bug"),
    "about to close": (of_channel(close_reason="why not"), "why not"),
    "unusable": (of_channel(is_usable=False), "not usable"),
    "capacity": (of_channel(remote_msat=1), "does not hold its capacity"),
    "ends differ": (of_channel(local_msat=HALF_MSAT, remote_msat=HALF_MSAT), "alice says"),
    "event lost": (says("bob", events=[]), "does not tell forwarded/1 any more"),
    "acknowledged for nothing": (acknowledged, "still tells forwarded/1, which was acknowledged"),
    "event changed": (says("bob", events=[event("forwarded/1")]), "with other contents"),
    "told to nobody": (lambda made: made.looks["carol"].events.append(event("claimed/2")), "but told it to nobody"),
    "still asks": (lambda made: made.looks["carol"].events.append(event("1", "payment_claimable")), "still asks 1"),
    "fee not told": (heard("bob", fees_earned_msat=0), "1007 msat of fees were paid, 0 msat"),
    "paid twice": (of_payment("alice", amount_msat=SENT_MSAT * 2), "its payments leave it"),
    "one msat less": (of_payment("carol", amount_msat=SENT_MSAT - 1), "[5000000] msat were sent, [4999999] received"),
    "not received": (says("carol", payments=[]), "msat were sent, [] received"),
    "received twice": (received_twice, "[5000000, 5000000] received"),
    "still held": (of_payment("carol", status="claimable"), "its payee has it as claimable"),
    "vanished": (says("alice", payments=[]), "was accepted and has vanished"),
    "pending for ever": (of_payment("alice", status="pending"), "is pending"),
    "claimed and failed": (claimed_and_failed, "was claimed and failed"),
    "refused and sent": (wanted(answered="failed"), "was refused and succeeded"),
    "to be refused": (wanted(kind="refuse"), "was refused and succeeded"),
    "another amount": (wanted(amount_msat=1), "instead of 1"),
    "no proof": (of_payment("alice", preimage=32 * "11"), "without its preimage"),
    "never told": (lambda made: made.listeners["alice"].outcomes.clear(), "told as []"),
    "told twice": (lambda made: made.listeners["alice"].outcomes[32 * "aa"].append("failed/x"), "told as ['sent/"),
    "another id": (heard("alice", outcomes={32 * "aa": ["sent/other"]}), "told as ['sent/other']"),
    "claim never told": (lambda made: made.listeners["carol"].claims.clear(), "told as received by []"),
    "claim told twice": (lambda made: made.listeners["carol"].claims[HASH].append("claimed/2"), "'claimed/2']"),
    "claim of nothing": (heard("alice", claims={32 * "bc": ["claimed/9"]}), "by ['claimed/9']"),
    "nobody asked": (lambda made: made.wishes.clear(), "which nobody asked for"),
    "nobody owes": (lambda made: made.wishes.clear(), "which nobody owes"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_seen(fault: str) -> None:
    """Whatever a node could lose, double, or tell wrongly."""
    plant, sentence = FAULTS[fault]
    made = scene()
    plant(made)
    assert any(sentence in one for one in made.wrong()), made.wrong()


def test_a_payment_without_an_answer_may_have_been_accepted() -> None:
    """Its payer died before the answer: then it is known and ended in full, or was never there."""
    made = scene()
    wanted(is_accepted=False)(made)
    assert made.wrong() == []


def test_the_reckoning_begins_with_what_there_is() -> None:
    """Whatever the channels held before the first round is not for the audit to explain."""
    made = scene()
    begun = audit.start_of(made.looks)
    assert begun.lightning_msat == {
        name: HALF_MSAT * audit.ENDS[name] + CHANGED_MSAT[name] for name in ("alice", "bob", "carol")
    }
    assert begun.confirmed_sat == dict.fromkeys(made.looks, 0)
