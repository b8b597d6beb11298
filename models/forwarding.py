"""One forwarded HTLC: inbound channel X, outbound channel Y, a next hop that does what hurts.

The hand-off rule: act when the fact is durable, forget when the act is, and until then be able to tell that one has
acted. Bounds: one HTLC, three offers of it, two crashes, every kept prefix of both journals.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from models.journal import Journal, crashed_both, names
from models.kernel import Moves, Reading

Outcome: TypeAlias = Literal["fail", "claim"]
OUTCOMES: tuple[Outcome, ...] = ("fail", "claim")
OFFERS_MAX = 3


class Record(NamedTuple):
    """X: committed, decide, sign. Y: add, remove (with its fact), left (without), fact, acknowledge."""

    kind: Literal["committed", "decide", "sign", "add", "remove", "left", "fact", "acknowledge"]
    outcome: Outcome | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.outcome}" if self.outcome else self.kind


COMMITTED, ADD, ACKNOWLEDGE = Record("committed"), Record("add"), Record("acknowledge")


class State(NamedTuple):
    """queued: an `update_*` in X that no record stands behind. handed: Y was given the HTLC in this life."""

    x: Journal[Record]
    y: Journal[Record]
    queued: Outcome | None
    handed: bool
    crashes: int


def resolution(x: tuple[Record, ...]) -> Outcome | None:
    """Return what X's records say becomes of the inbound HTLC: a preimage wins."""
    said = [one.outcome for one in x if one.kind in ("decide", "sign")]
    return None if not said else "claim" if "claim" in said else "fail"


def open_adds(y: tuple[Record, ...]) -> int:
    """Return how many offers of the HTLC are neither failed nor fulfilled."""
    return sum([(one.kind == "add") - (one.kind in ("remove", "left")) for one in y])


def facts(y: tuple[Record, ...]) -> tuple[Outcome, ...]:
    """Return the outcomes that Y has not forgotten, oldest first."""
    known = tuple([one.outcome for one in y if one.kind in ("remove", "fact") and one.outcome])
    return known[y.count(ACKNOWLEDGE) :]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarding:
    """Switches; each default is the rule."""

    waits_for_fact: bool = True
    """A forward waits for X, a failure for Y, to be durable."""
    forgets_after_act: bool = True
    """Y forgets the outcome only when X's act is durable."""
    act_is_record: bool = True
    """X decides by a record; else its act is the queued update."""
    proof_is_kept: bool = True
    """X writes a preimage to its journal, and does not only use it."""
    one_record: bool = True
    """An HTLC's removal and the fact of it are one record."""
    proof_passes_at_once: bool = True
    """A preimage may act before its own record is durable."""

    def start(self) -> State:
        """The HTLC is committed, nothing is durable."""
        return State(Journal((COMMITTED,)), Journal(), None, handed=False, crashes=2)

    def moves(self, state: State) -> Moves[State]:
        """Store, node, next hop."""
        x, y = state.x, state.y
        if x.waits:
            yield "store: X", state._replace(x=x.written())
        if y.waits:
            yield "store: Y", state._replace(y=y.written())
        if self._may_offer(state):
            yield "offer to Y", state._replace(y=y.add(ADD), handed=True)
        if open_adds(y.records) and open_adds(y.kept):
            for outcome in OUTCOMES:
                removed = (Record("remove", outcome),) if self.one_record else _cut(outcome)
                yield f"next hop: {outcome}", state._replace(y=y.add(*removed))
        yield from self._hand_back(state)
        signed = any(one.kind == "sign" for one in x.records)
        decided = resolution(x.records)
        if not signed and (decided or state.queued):
            outcome = "claim" if "claim" in (decided, state.queued) else "fail"
            yield f"X: sign {outcome}", state._replace(x=x.add(Record("sign", outcome)), queued=None)

    def _may_offer(self, state: State) -> bool:
        ground = state.x.kept if self.waits_for_fact else state.x.records
        is_open = resolution(state.x.records) is None and state.queued is None
        owned = state.handed or open_adds(state.y.records) or facts(state.y.records)
        return COMMITTED in ground and is_open and not owned and state.y.records.count(ADD) < OFFERS_MAX

    def _hand_back(self, state: State) -> Moves[State]:
        x, y = state.x, state.y
        if not facts(y.records):
            return
        outcome = facts(y.records)[0]
        decided = resolution(x.records)
        signed = any(one.kind == "sign" for one in x.records)
        at_once = outcome == "claim" and self.proof_passes_at_once
        ready = at_once or not self.waits_for_fact or outcome in facts(y.kept)
        better = decided is None or (decided == "fail" and outcome == "claim")
        if ready and better and not signed and state.queued not in ("claim", outcome):
            if self.act_is_record and (outcome == "fail" or self.proof_is_kept):
                yield f"X: decide {outcome}", state._replace(x=x.add(Record("decide", outcome)))
            else:
                yield f"X: queue the update, {outcome}", state._replace(queued=outcome)
        acted = resolution(x.kept) if self.forgets_after_act else decided or state.queued
        if acted:
            yield "Y: acknowledge", state._replace(y=y.add(ACKNOWLEDGE), handed=False)

    def faults(self, state: State) -> Moves[State]:
        """Crashes; an HTLC that X has lost is sent again by its peer."""
        if not state.crashes:
            return
        for x, y in crashed_both(state.x, state.y):
            again = x if COMMITTED in x.records else Journal((COMMITTED,))
            after = State(again, y, None, handed=False, crashes=state.crashes - 1)
            yield f"CRASH, kept X {names(x)} Y {names(y)}", after

    def loss(self, state: State) -> str:
        """Nothing is lost before the world is at rest: until then the peer can be told again."""
        return ""

    def loss_at_rest(self, state: State) -> str:
        """The next hop took more than we were given, or nobody was told."""
        taken = len([one for one in state.y.kept if one.kind in ("remove", "left") and one.outcome == "claim"])
        given = [one.outcome for one in state.x.kept if one.kind == "sign"]
        if taken > given.count("claim"):
            return f"LOSS: the next hop took it {taken} times, the previous one gave it {given.count('claim')} times"
        if not given:
            return "STUCK: the inbound HTLC is never removed, its peer will close"
        return "TWICE: offered again after it had failed" if state.y.records.count(ADD) > 1 else ""


def _cut(outcome: Outcome) -> tuple[Record, ...]:
    return Record("left", outcome), Record("fact", outcome)


READINGS = (
    Reading("the rules", Forwarding()),
    Reading("a preimage waits for its record too", Forwarding(proof_passes_at_once=False)),
    Reading("the act is volatile, but forgotten when signed", Forwarding(act_is_record=False)),
    Reading("acts before the fact is durable", Forwarding(waits_for_fact=False), "LOSS"),
    Reading("forgets before the act is durable", Forwarding(forgets_after_act=False), "LOSS"),
    Reading("a queued update is the act", Forwarding(act_is_record=False, forgets_after_act=False), "LOSS"),
    Reading("a preimage is only used", Forwarding(proof_is_kept=False, forgets_after_act=False), "LOSS"),
    Reading("one input, two records", Forwarding(one_record=False), "TWICE"),
)
