"""An own payment with one payment_id: its records in `node`, its HTLCs in channel Y, a recipient that does what hurts.

The application is durable by itself. It calls `send` again with the same id when its call had not returned at a crash,
or, once that is forgotten, after PaymentFailed (the same invoice, a second try). Bounds: `payments` under the id,
`htlcs` each, one after the other, three calls, `crashes`, every kept prefix of both journals.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from models.journal import Journal, crashed_both, names
from models.kernel import Moves, Reading

App: TypeAlias = Literal["idle", "calling", "waiting", "crashed", "saw sent", "saw failed", "contradicted"]
Phase: TypeAlias = Literal["unknown", "live", "sent", "failed"]


class NodeRecord(NamedTuple):
    """In `node`. key: what a failed part is known by."""

    kind: Literal["start", "sent", "failed", "part failed", "told", "forgotten"]
    key: int = -1

    def __str__(self) -> str:
        return f"{self.kind} {self.key}" if self.key >= 0 else self.kind


class ChannelRecord(NamedTuple):
    """In Y. htlc: counted from 0 over both payments."""

    kind: Literal["add", "fulfilled", "failed", "acknowledged"]
    htlc: int

    def __str__(self) -> str:
        return f"{self.kind} {self.htlc}"


class Payment(NamedTuple):
    """The fold of `node`. number: 1 or 2. failed: keys of parts whose failure was handled."""

    phase: Phase = "unknown"
    number: int = 0
    failed: tuple[int, ...] = ()
    told: bool = False


class State(NamedTuple):
    """owners: for each HTLC ever added in Y (by htlc id) the payment and the part it was added for.
    handled: HTLCs whose outcome was given to `node` in this life; it is given once.
    """

    node: Journal[NodeRecord]
    y: Journal[ChannelRecord]
    owners: tuple[tuple[int, int], ...]
    app: App
    calls: int
    crashes: int
    handled: frozenset[int] = frozenset()


def payment_of(records: tuple[NodeRecord, ...]) -> Payment:
    """Fold `node`."""
    payment = Payment()
    for record in records:
        match record.kind:
            case "start":
                payment = Payment("live", payment.number + 1)
            case "sent" | "failed":
                payment = payment._replace(phase=record.kind)
            case "part failed":
                payment = payment._replace(failed=(*payment.failed, record.key))
            case "told":
                payment = payment._replace(told=True)
            case "forgotten":
                payment = Payment(number=payment.number)
    return payment


def ids(records: tuple[ChannelRecord, ...], *kinds: str) -> tuple[int, ...]:
    """Return the HTLCs that have a record of one of these kinds."""
    return tuple([one.htlc for one in records if one.kind in kinds])


@dataclass(frozen=True, slots=True, kw_only=True)
class Paying:
    """Switches; each default is the rule."""

    records_first: bool = True
    """The first HTLC is signed when the payment's record is durable."""
    matches: Literal["htlc", "part", "payment"] = "htlc"
    """What an outcome names: its HTLC; the payment_id and a part's number; the payment_id alone."""
    forgets: Literal["acknowledged", "handled", "told"] = "acknowledged"
    """When `node` may forget: every outcome is durably acknowledged in Y; handled in memory; the user was told."""
    unknown_is_done: bool = True
    """An outcome of an unknown payment is acknowledged; else the payment is made again from it."""
    counts_until_handled: bool = True
    """A part is in flight until its outcome is handled; else until it has left the channel."""
    returns_durable: bool = True
    """`send` returns when its record is durable."""
    payments: int = 2
    htlcs: int = 1
    crashes: int = 1

    def start(self) -> State:
        """Nothing was paid."""
        return State(Journal(), Journal(), (), "idle", 0, self.crashes)

    def moves(self, state: State) -> Moves[State]:
        """Store, application, node, recipient."""
        if state.node.waits:
            yield "store: node", state._replace(node=state.node.written())
        if state.y.waits:
            yield "store: Y", state._replace(y=state.y.written())
        payment = payment_of(state.node.records)
        yield from self._application(state, payment)
        yield from self._advance(state, payment)
        settled = ids(state.y.records, "fulfilled", "failed")
        for htlc in ids(state.y.kept, "add"):
            if htlc not in settled:
                for kind in ("fulfilled", "failed"):
                    record = ChannelRecord("fulfilled" if kind == "fulfilled" else "failed", htlc)
                    yield f"recipient: {record}", state._replace(y=state.y.add(record))
        for record in state.y.kept:
            if record.kind in ("fulfilled", "failed") and record.htlc not in ids(state.y.records, "acknowledged"):
                yield from self._outcome(state, payment, record)
        if payment.told and payment.phase != "unknown" and self._may_forget(state, payment):
            yield "node: forget", state._replace(node=state.node.add(NodeRecord("forgotten")))

    def _application(self, state: State, payment: Payment) -> Moves[State]:
        app = state.app
        if app in ("idle", "crashed", "saw failed") and state.calls < 3 and payment.number < self.payments:
            called = state._replace(calls=state.calls + 1)
            if payment.phase in ("live", "sent") or (payment.phase == "failed" and not payment.told):
                yield "app: send, known already", called._replace(app="waiting")
            elif payment.phase == "unknown":
                yield "app: send", called._replace(app="calling", node=state.node.add(NodeRecord("start")))
        if app == "calling" and not (self.returns_durable and state.node.waits):
            yield "app: send returned", state._replace(app="waiting")
        durable = payment_of(state.node.kept)
        ended = payment.phase in ("sent", "failed") and durable.phase == payment.phase
        if ended and durable.number == payment.number and not payment.told and app != "idle":
            saw: App = "saw sent" if payment.phase == "sent" else "saw failed"
            if app == "saw sent" and saw == "saw failed":
                saw = "contradicted"
            told = state.node.add(NodeRecord("told"))
            yield f"app: {saw}, acknowledges", state._replace(app=saw, node=told)

    def _advance(self, state: State, payment: Payment) -> Moves[State]:
        if payment.phase != "live":
            return
        durable = payment_of(state.node.kept)
        started = durable.number == payment.number or not self.records_first
        offered = [one for one in state.owners if one[0] == payment.number]
        if not started or self._in_flight(state, payment):
            return
        if len(offered) < self.htlcs:
            htlc = len(state.owners)
            owners = (*state.owners, (payment.number, len(offered)))
            added = state._replace(y=state.y.add(ChannelRecord("add", htlc)), owners=owners)
            yield f"node: offer HTLC {htlc}, part {len(offered)} of payment {payment.number}", added
        else:
            yield "node: failed", state._replace(node=state.node.add(NodeRecord("failed")))

    def _in_flight(self, state: State, payment: Payment) -> bool:
        if self.matches == "payment" and payment.failed:
            return False
        gone = ids(state.y.records, "acknowledged")
        if not self.counts_until_handled:
            gone += ids(state.y.records, "fulfilled", "failed")
        return any(
            self._is_mine(state, payment, htlc) and self._key(state, htlc) not in payment.failed
            for htlc in ids(state.y.records, "add")
            if htlc not in gone
        )

    def _is_mine(self, state: State, payment: Payment, htlc: int) -> bool:
        return self.matches != "htlc" or state.owners[htlc][0] == payment.number

    def _key(self, state: State, htlc: int) -> int:
        return htlc if self.matches == "htlc" else state.owners[htlc][1] if self.matches == "part" else 0

    def _outcome(self, state: State, payment: Payment, record: ChannelRecord) -> Moves[State]:
        if record.htlc in state.handled:
            if not state.node.waits:
                acknowledged = state.y.add(ChannelRecord("acknowledged", record.htlc))
                yield f"Y: acknowledge {record}", state._replace(y=acknowledged)
            return
        node, key = state.node, self._key(state, record.htlc)
        if payment.phase == "unknown":
            if not self.unknown_is_done and payment.number < self.payments:
                node = node.add(NodeRecord("start"))
        elif record.kind == "fulfilled":
            node = node.add(NodeRecord("sent")) if payment.phase == "live" else node
        elif self._is_mine(state, payment, record.htlc) and key not in payment.failed:
            node = node.add(NodeRecord("part failed", key))
        new = ", ".join([str(one) for one in node.records[state.node.end :]])
        after = state._replace(node=node, handled=state.handled | {record.htlc})
        yield f"node: handle {record}: {new or 'nothing'}", after

    def _may_forget(self, state: State, payment: Payment) -> bool:
        if self.forgets == "told":
            return True
        if self.forgets == "handled":
            return not self._in_flight(state, payment)
        gone = ids(state.y.kept, "acknowledged")
        return all(htlc in gone for htlc in ids(state.y.records, "add"))

    def faults(self, state: State) -> Moves[State]:
        """Crashes; the application remembers whether its call returned."""
        if not state.crashes:
            return
        app: App = "crashed" if state.app == "calling" else state.app
        for node, y in crashed_both(state.node, state.y):
            owners = state.owners[: len(ids(y.records, "add"))]
            after = State(node, y, owners, app, state.calls, state.crashes - 1)
            yield f"CRASH, kept node {names(node)} Y {names(y)}", after

    def loss(self, state: State) -> str:
        """The recipient was paid twice, or the user was told two things."""
        if len(ids(state.y.records, "fulfilled")) > 1:
            return "PAID TWICE"
        return "CONTRADICTION: told that it was sent, then that it failed" if state.app == "contradicted" else ""

    def loss_at_rest(self, state: State) -> str:
        """Somebody was never told, or something is never forgotten."""
        if ids(state.y.records, "fulfilled") and state.app != "saw sent":
            return f"EVENT LOST: it was paid, the application {state.app}"
        if state.app in ("waiting", "calling"):
            return "STUCK: no event ever tells the application"
        left = len(ids(state.y.records, "add")) - len(ids(state.y.records, "acknowledged"))
        return f"{left} outcomes are never forgotten" if left else ""


READINGS = (
    Reading("the rules, two payments", Paying()),
    Reading("the rules, two HTLCs, two crashes", Paying(payments=1, htlcs=2, crashes=2)),
    Reading("the rules, two payments of two HTLCs", Paying(htlcs=2), quick=False),
    Reading("`node` forgets when told, outcomes name their HTLC", Paying(forgets="told")),
    Reading("outcomes name a part, forgotten when acknowledged", Paying(matches="part", htlcs=2), quick=False),
    Reading("outcomes name the payment alone", Paying(forgets="told", matches="payment", htlcs=2, crashes=0), "PAID"),
    Reading("forgets when handled, outcomes name a part", Paying(forgets="handled", matches="part", htlcs=2), "PAID"),
    Reading("an unknown payment is made again", Paying(forgets="told", unknown_is_done=False), "PAID TWICE"),
    Reading("signed before the record is durable", Paying(records_first=False, crashes=2), "EVENT LOST"),
    Reading("in flight until it left the channel", Paying(counts_until_handled=False, htlcs=2), "PAID TWICE"),
    Reading("`send` returns at once", Paying(returns_durable=False), "STUCK"),
)
