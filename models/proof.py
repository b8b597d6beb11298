"""An own payment counts as sent at the preimage, before its channel's record is durable: the preimage is its own proof.

`node` keeps the payment, Y its HTLCs. A fulfil is *heard* (volatile) before the peer signs it away (a record); after a
crash in between a hostile peer may fail the HTLC instead. Every outcome in Y is delivered again in each life until it
is acknowledged. Bounds: two parts one after the other, two crashes, every kept prefix of both journals.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from models.journal import Journal, crashed_both, names
from models.kernel import Moves, Reading

NodeRecord: TypeAlias = Literal["start", "sent", "failed", "told"]
Told: TypeAlias = Literal["nothing", "sent", "failed", "both", "sent twice"]
HTLCS_MAX = 2


class ChannelRecord(NamedTuple):
    """In Y."""

    kind: Literal["add", "fulfilled", "failed", "acknowledged"]
    htlc: int

    def __str__(self) -> str:
        return f"{self.kind} {self.htlc}"


class State(NamedTuple):
    """heard: HTLCs whose preimage is known but not signed away. delivered: outcomes given to `node` in this life."""

    node: Journal[NodeRecord]
    y: Journal[ChannelRecord]
    heard: frozenset[int]
    delivered: frozenset[int]
    told: Told
    crashes: int


def ids(records: tuple[ChannelRecord, ...], *kinds: str) -> tuple[int, ...]:
    """Return the HTLCs that have a record of one of these kinds."""
    return tuple([one.htlc for one in records if one.kind in kinds])


def phase(records: tuple[NodeRecord, ...]) -> NodeRecord:
    """Fold `node`: the last word about the payment."""
    return [one for one in records if one != "told"][-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Switches; each default is the rule."""

    at_preimage: bool = True
    """Sent when the preimage is heard; else when Y's record of it is durable (safe, one store delay later)."""
    event_waits: bool = True
    """PaymentSent is shown when the record in `node` is durable; else with the preimage."""
    acknowledged_behind_node: bool = True
    """Y forgets the outcome when what `node` made of it is durable."""
    sent_is_final: bool = True
    """A failure that comes after the proof changes nothing; else the last outcome counts."""
    repeats_are_known: bool = True
    """An outcome that is delivered again finds the payment sent; else it makes a new event."""

    def start(self) -> State:
        """The payment's record is durable."""
        return State(Journal(("start",), 1), Journal(), frozenset(), frozenset(), "nothing", 2)

    def moves(self, state: State) -> Moves[State]:
        """Store, node, peer, user."""
        node, y = state.node, state.y
        if node.waits:
            yield "store: node", state._replace(node=node.written())
        if y.waits:
            yield "store: Y", state._replace(y=y.written())
        yield from self._offer(state)
        removed = ids(y.records, "fulfilled", "failed")
        for htlc in ids(y.kept, "add"):
            if htlc in removed:
                continue
            if htlc not in state.heard:
                yield f"peer: update_fulfill {htlc}", self._hear(state, htlc)
                yield f"peer: fails {htlc}", state._replace(y=y.add(ChannelRecord("failed", htlc)))
            else:
                signed = y.add(ChannelRecord("fulfilled", htlc))
                yield f"peer: signs {htlc} away", state._replace(y=signed, heard=state.heard - {htlc})
        for record in y.kept:
            if record.kind in ("fulfilled", "failed") and record.htlc not in ids(y.records, "acknowledged"):
                yield from self._deliver(state, record)
        yield from self._show(state)

    def _offer(self, state: State) -> Moves[State]:
        """Offer a part when none is in flight; give up when there is no other."""
        if phase(state.node.records) != "start":
            return
        adds = ids(state.y.records, "add")
        handled = ids(state.y.records, "acknowledged") + tuple(sorted(state.delivered))
        if any(htlc not in handled for htlc in adds):
            return
        if len(adds) < HTLCS_MAX:
            yield f"node: offer {len(adds)}", state._replace(y=state.y.add(ChannelRecord("add", len(adds))))
        else:
            yield "node: failed", state._replace(node=state.node.add("failed"))

    def _hear(self, state: State, htlc: int) -> State:
        heard = state._replace(heard=state.heard | {htlc})
        return self._prove(heard) if self.at_preimage else heard

    def _prove(self, state: State) -> State:
        """A preimage is known: `node` records that the payment is sent."""
        now = phase(state.node.records)
        if now == "start" or (now == "failed" and not self.sent_is_final):
            state = state._replace(node=state.node.add("sent"))
            return state if self.event_waits else state._replace(told=_with(state.told, "sent"))
        if not self.repeats_are_known and "told" in state.node.records:
            return state._replace(told="sent twice")
        return state

    def _deliver(self, state: State, record: ChannelRecord) -> Moves[State]:
        if record.htlc not in state.delivered:
            after = state._replace(delivered=state.delivered | {record.htlc})
            if record.kind == "fulfilled":
                after = self._prove(after)
            elif not self.sent_is_final and phase(state.node.records) == "sent":
                after = after._replace(node=after.node.add("failed"))
            yield f"node: handle {record}", after
        elif not (self.acknowledged_behind_node and state.node.waits):
            acknowledged = ChannelRecord("acknowledged", record.htlc)
            yield f"Y: {acknowledged}", state._replace(y=state.y.add(acknowledged))

    def _show(self, state: State) -> Moves[State]:
        ended = phase(state.node.kept)
        if ended != "start" and ended == phase(state.node.records) and state.node.records[-1] != "told":
            told = _with(state.told, ended)
            yield f"user: is told {ended}, acknowledges", state._replace(told=told, node=state.node.add("told"))

    def faults(self, state: State) -> Moves[State]:
        """Crashes: what was heard is forgotten, what was delivered is delivered again."""
        if not state.crashes:
            return
        for node, y in crashed_both(state.node, state.y):
            after = State(node, y, frozenset(), frozenset(), state.told, state.crashes - 1)
            yield f"CRASH, kept node {names(node)} Y {names(y)}", after

    def loss(self, state: State) -> str:
        """Paid twice, or told two things."""
        if len(ids(state.y.records, "fulfilled")) > 1:
            return "PAID TWICE"
        if state.told == "both":
            return "CONTRADICTION: told that it was sent, and that it failed"
        return "EVENT TWICE: a second PaymentSent that is not a repetition" if state.told == "sent twice" else ""

    def loss_at_rest(self, state: State) -> str:
        """A payment ends in one of two events; one that was paid in `sent`."""
        if ids(state.y.records, "fulfilled") and state.told != "sent":
            return f"EVENT LOST: it was paid, the user was told {state.told}"
        if state.told == "nothing":
            return "EVENT LOST: the user is told nothing"
        left = len(ids(state.y.records, "add")) - len(ids(state.y.records, "acknowledged"))
        return f"{left} outcomes are never forgotten" if left else ""


def _with(told: Told, event: NodeRecord) -> Told:
    """Events have stable ids, so the same one again is no news."""
    if event == "sent":
        return "both" if told == "failed" else "sent"
    return "both" if told == "sent" else "failed"


READINGS = (
    Reading("sent at the preimage", Proof()),
    Reading("sent when the channel's record is durable", Proof(at_preimage=False)),
    Reading("the event does not wait for `node`", Proof(event_waits=False), "CONTRADICTION"),
    Reading("Y forgets when `node` has it in memory", Proof(acknowledged_behind_node=False), "PAID TWICE"),
    Reading("the last outcome counts", Proof(sent_is_final=False), "CONTRADICTION"),
    Reading("an outcome told again is a new event", Proof(repeats_are_known=False), "EVENT TWICE"),
)
