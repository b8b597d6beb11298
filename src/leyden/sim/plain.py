"""What a node holds in memory as plain values, for its fingerprint.

What belongs to the node has a name; a callback is the name of its code and what it closes over. Every attribute counts
unless a table says where it is instead, or why it decides nothing: a new one is in the fingerprint until somebody has
thought about it. What is of no known kind raises.
"""

from collections import deque
from collections.abc import Mapping
from enum import Enum
from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any

import msgspec

from leyden.channel.session import Session
from leyden.manager.manager import Manager
from leyden.manager.outbox import Line, Outbox, Signing, Tail
from leyden.manager.state import ClaimableSet, ClaimableStatus, Peer, Slot
from leyden.node.runtime import Runtime, RuntimeLimits
from leyden.payments.outbound import OutboundPayment
from leyden.sim.books import Books
from leyden.sim.disk import SimStore
from leyden.sim.life import Life
from leyden.sim.network import SimConnection
from leyden.sim.node import SimNode
from leyden.sim.user import Order
from leyden.sim.world import World

NEVER = "never changes"
FOLLOWS = "follows from the channels"
COUNTS = "only counts"
APART: dict[type, dict[str, str]] = {
    Manager: {
        "config": NEVER, "node_id": NEVER, "effect_handlers": NEVER, "on_signed": NEVER, "on_forwarded": NEVER,
        "publish_commitment": NEVER, "update_claims": NEVER, "penalty_log": NEVER,
        "random32": "draws names", "signer": "a witness, among what outlives a crash",
        "node_tail": "one of the outbox's", "outbox": "by itself", "now_seconds": "the world's clock",
        "by_peer": FOLLOWS, "by_short_channel_id": FOLLOWS, "watched": FOLLOWS, "watched_txids": FOLLOWS,
        "claiming": FOLLOWS, "published": FOLLOWS, "node": "by itself", "env": "by itself",
        "channels": "by itself", "claimables": "by itself",
        "dirty": "its names", "moved": "its names", "acks": "its names", "seen_onions": "its names",
        "faults": "how many", "told_uneconomic": "tells", "onchain_due": "empty between passes",
    },
    Runtime: {
        "manager": "by itself", "wallet": "by itself", "outbox": "the manager's", "store": "the disk", "epoch": COUNTS,
        "scheduler": "the life", "on_action": NEVER, "on_broken": NEVER, "connections": "their peers",
        "_since": "matters when both sides dial at once, which links do not", "_turn_posted": "posted in the life",
        "_prepare_posted": "posted in the life", "_given": "what is under way",
        "watch": "measures, and warns of a store that is behind for longer than the explorer waits",
        "_tail_bytes": "megabytes until a snapshot", "_snapshot_bytes": "as _tail_bytes",
    },
    Outbox: {
        "tails": "by itself", "lines": "by itself", "_waiting_signer": "by itself", "_to_sign": "empty between passes",
        "_dirty": "tails with records", "_touched": "lines with messages", "_waiting": "lines with entries",
        "_next_request": COUNTS, "queued_bytes": "those of the tails",
    },
    Slot: {
        "state": "by itself", "tail": "in the outbox", "peer": NEVER, "peeled": "its names",
        "closed_view": "follows from the journal",
        "deadline_bound": "follows from the records",
        "unconfirmed_outputs": "follow from what the node has seen in the mempool",
        "away_since": "counts only while a signature has not left, for longer than links are cut",
        "update_timestamp": "a date that a change of the policy looks at",
    },
    SimNode: {
        "world": "is around it", "config": NEVER, "seed": NEVER, "node_id": NEVER, "signs_late": NEVER,
        "signer": "among what outlives a crash", "disk": "by itself", "life": "by itself", "_runtime": "by itself",
        "_accounts": NEVER,
        "late": "what waits there", "application": "among what outlives a crash",
        "shown": "among what outlives a crash", "reports": "among what outlives a crash", "best": "its hash",
        "mark": "only an older copy of the store is behind it, and no crash makes one",
        "lives": "names what is drawn, decides nothing", "_drawn": "as lives",
    },
    World: {
        "seed": NEVER, "_by_id": NEVER, "deliver_count": NEVER, "observer": "looks on", "steps": COUNTS,
        "trace": "tells",
        "quiet_seconds": COUNTS, "granted_sat": "in the chain", "broadcasts": "in the mempool",
        "nodes": "by themselves", "connections": "by themselves", "chain": "its tip, mempool and fees",
        "acts": "their names",
        "closes_asked": "its channels; which must be closed is remembered by itself",
        "clock": "counts only while something waits for it", "_became": "as _since",
        "_since": "an order of what is possible, which the schedules of the explorer do not ask for",
    },
}  # fmt: skip
"""Attributes that are not taken as they are: where they are instead, or why they decide nothing."""

_ATOMS = frozenset((type(None), bool, int, str, bytes))
_ROWS = frozenset((list, tuple, deque))
_CALLBACKS = frozenset((FunctionType, MethodType, partial, CellType))
_CALM = [Session(), Session(connected=True), Session(connected=True, reestablished=True)]
_SORTED = ("removing", "released", "events_shown")
_PAYMENT_APART = ("started", "sent", "failed", "terms")
"""Records, and what follows from them."""
_FOR_PARTS = ("next_part", "failed_parts", "refused_parts", "excluded", "last_failure", "give_up")
"""What the next part of a payment goes by: one that has ended offers none."""


class Values:
    """Makes plain values of what one node holds, or of what is around all nodes (`node` is None)."""

    def __init__(self, node: SimNode | None) -> None:
        self._node = node
        self._cells: dict[int, int] = {}

    def rest(self, thing: Any) -> list[object]:
        """Return every attribute of `thing` that has no place of its own, but for those that are None."""
        apart: dict[str, str] = APART[thing.__class__]
        attributes: dict[str, Any] = thing.__dict__
        return [
            [name, self.of(value) if value else 0]
            for name, value in attributes.items()
            if value is not None and name not in apart
        ]

    def of(self, value: Any) -> Any:
        """Return a plain value. Raises: TypeError for what is of no known kind."""
        kind: type[object] = value.__class__
        if kind in _ATOMS:
            return value
        if kind in _ROWS:
            return [self.of(one) for one in value] if value else []
        if kind is dict:
            return [[self.of(key), self.of(one)] for key, one in value.items()] if value else []
        if kind in _CALLBACKS:
            return self._callback(value)
        return value.name if isinstance(value, Enum) else self._named(value)

    def _callback(self, value: Any) -> Any:
        match value:
            case FunctionType():
                closure = [self._callback(cell) for cell in value.__closure__ or ()]
                return [value.__module__, value.__qualname__, closure, self.of(value.__defaults__)]
            case MethodType():
                return [value.__func__.__qualname__, self.of(value.__self__)]
            case CellType():
                # Two callbacks may share a cell that one of them changes.
                number = self._cells.setdefault(id(value), len(self._cells))
                return [number, self.of(value.cell_contents)]
            case _:
                return [self.of(value.func), self.of(value.args), self.of(value.keywords)]

    def _named(self, value: Any) -> Any:  # noqa: C901 - a table of kinds
        match value:
            case Manager() | Runtime() | World() | Life() | SimStore() | Outbox() | Books():
                return type(value).__name__
            case SimNode():
                return ["node", value.name]
            case Slot():
                return ["slot", value.channel_id]
            case Tail():
                return ["tail", value.journal]
            case Line():
                return ["line", value.peer, value.open]
            case Order():
                return ["order", value.started.payment_id]
            case SimConnection():
                return ["end", value.node_id, value.ended]
            case OutboundPayment():
                return ["payment", value.started.payment_id, self._is_current(value)]
            case ClaimableSet():
                return ["set", value.set_id, self._is_current(value)]
            case BaseException():
                return [type(value).__name__, str(value)]
            case Peer() if value.messages <= RuntimeLimits.STRANGER_MESSAGES // 2:
                # A count of what has come, far from where it decides something.
                names = [name for name in value.__struct_fields__ if name != "messages"]
                return ["peer", [self.of(getattr(value, name)) for name in names]]
            case msgspec.Struct() if value.__struct_config__.frozen:
                return [type(value).__name__, value]
            case msgspec.Struct():
                return [type(value).__name__, [self.of(getattr(value, name)) for name in value.__struct_fields__]]
            case _:
                raise TypeError(f"a fingerprint has no place for {type(value).__name__}")

    def _is_current(self, value: OutboundPayment | ClaimableSet) -> bool:
        """Whether a callback that holds it would find this one, or another has come in its place."""
        if self._node is None:
            return True
        m = self._node.manager
        if isinstance(value, ClaimableSet):
            return m.claimables.get(value.set_id) is value
        return m.node.ledger.payments.get(value.started.payment_id) is value

    # --- what a manager holds ----------------------------------------------------------------------------------------

    def slot(self, slot: Slot) -> list[object]:
        """Return what of a channel is in memory alone."""
        session = slot.state.session
        volatile = [session.connected, session.reestablished] if session in _CALM else self._session(session)
        apart = APART[Slot]
        others = [self.of(getattr(slot, name)) for name in slot.__struct_fields__ if name not in apart]
        return [type(slot.state).__name__, volatile, list(slot.peeled), others]

    def _session(self, session: Session) -> list[object]:
        return [
            sorted(getattr(session, name)) if name in _SORTED else self.of(getattr(session, name))
            for name in session.__struct_fields__
        ]

    def claimable(self, one: ClaimableSet) -> list[object]:
        """Return a payment to us; since when it waits counts only while it does."""
        since = one.since_seconds if one.status is ClaimableStatus.INCOMPLETE else 0
        names = [name for name in one.__struct_fields__ if name != "since_seconds"]
        return [since, [self.of(getattr(one, name)) for name in names]]

    def payment(self, payment: OutboundPayment) -> list[object]:
        """Return what of an own payment is in memory alone; the others are records, or follow from them."""
        apart = _PAYMENT_APART if payment.is_live else _PAYMENT_APART + _FOR_PARTS
        names = [name for name in payment.__struct_fields__ if name not in apart]
        return [payment.started.payment_id, [self.of(getattr(payment, name)) for name in names]]

    def outbox(self, outbox: Outbox) -> list[object]:
        """Return what waits for the store or the signer."""
        tails = [
            [
                tail.journal,
                tail.position - tail.durable,
                tail.records,
                [[max(0, position - tail.durable), self.of(release)] for position, release in tail.waiting],
                tail.unsent,
            ]
            for tail in outbox.tails.values()
        ]
        lines = [
            [
                peer,
                [[one.tail.journal, max(0, one.position - one.tail.durable), one.message, one.dropped]
                 for one in line.entries],
                line.ready,
            ]
            for peer, line in outbox.lines.items()
        ]  # fmt: skip
        waiting: Mapping[int, Signing] = vars(outbox)["_waiting_signer"]
        signing = [[request_of(one.request), one.line is not None and one.line.open] for one in waiting.values()]
        return [tails, lines, signing, self.rest(outbox)]

    def life(self, life: Life) -> list[object]:
        """Return what runs later."""
        private, now = vars(life), life.clock.now_seconds
        timers = [[due - now, self.of(callback)] for due, _, callback in private["_timers"]]
        return [[self.of(callback) for callback in private["_posted"]], timers]


def request_of(request: Any) -> list[object]:
    """Return what a request to the signer asks for, but for its number."""
    asked: list[object] = [type(request).__name__, request.keys_id]
    for name in ("commitment", "closing", "transaction"):
        if hasattr(request, name):
            made = getattr(request, name)
            asked.append(made.txid if name == "commitment" else getattr(made, "transaction", made).txid())
    asked += [getattr(request, name, None) for name in ("commitment_number", "position", "input_index", "digest")]
    return asked
