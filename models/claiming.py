"""A payment to us in two parts, in channels A and B: question, answer, claim; `node` keeps the acknowledgement.

The application answers PaymentClaimable in its handler, or (`holds`) first pays somebody else and claims later, in the
same or the next life. At the deadline a peer takes a part back whose claim is not durable: a store stalled, or the node
was down. Bounds: two parts, two crashes, one deadline, every kept prefix of three journals.
"""

from dataclasses import dataclass
from itertools import product
from typing import Literal, NamedTuple, TypeAlias

from models.journal import Journal, names
from models.kernel import Moves, Reading

PartRecord: TypeAlias = Literal["held", "claim", "lost", "failed", "forgotten"]
App: TypeAlias = Literal["unasked", "deciding", "paid out", "claiming", "returned", "told of abandonment"]
Parts: TypeAlias = tuple[Journal[PartRecord], Journal[PartRecord]]
NAMES = ("A", "B")


class State(NamedTuple):
    """asked: in this life. left: for each part, whether its fulfil has left. late: the deadline is past."""

    parts: Parts
    node: Journal[str]
    asked: bool
    app: App
    left: tuple[bool, bool]
    late: bool
    crashes: int


def at(parts: Parts, index: int, journal: Journal[PartRecord]) -> Parts:
    """Return the parts with one journal replaced."""
    return (journal, parts[1]) if index == 0 else (parts[0], journal)


def holders(parts: Parts, record: PartRecord) -> list[int]:
    """Return the parts whose journal has this record."""
    return [index for index, journal in enumerate(parts) if record in journal.records]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claiming:
    """Switches; each default is the rule."""

    holds: bool = False
    """No rule: the application pays somebody else before it claims."""
    question_stays: bool = True
    """PaymentClaimable is asked in every life until an answer is durable, acknowledged or not."""
    acknowledges_after: bool = True
    """The handler's acknowledgement is appended after what it asked for is durable."""
    own_record_first: bool = True
    """A fulfil leaves behind its own part's claim record; a recipient has no licence to be early."""
    all_records_first: bool = True
    """... and behind those of all parts."""
    forgotten_after_all: bool = True
    """A part forgets the claim when every part has it durably."""
    judged_once: bool = True
    """What was shown is not judged again in a later life."""

    def start(self) -> State:
        """Both parts are held, durably; nobody was asked."""
        held: Journal[PartRecord] = Journal(("held",), 1)
        return State((held, held), Journal(), asked=False, app="unasked", left=(False, False), late=False, crashes=2)

    def moves(self, state: State) -> Moves[State]:
        """Store, application, rebuild, wire, deadline."""
        for index, journal in enumerate(state.parts):
            if journal.waits:
                yield f"store: {NAMES[index]}", state._replace(parts=at(state.parts, index, journal.written()))
        if state.node.waits:
            yield "store: node", state._replace(node=state.node.written())
        yield from self._ask(state)
        yield from self._replay(state)
        for index in (0, 1):
            yield from self._wire(state, index)
        for index, journal in enumerate(state.parts):
            if state.late and "lost" in journal.records and "failed" not in journal.records:
                yield f"{NAMES[index]}: failed", state._replace(parts=at(state.parts, index, journal.add("failed")))
        if not self.judged_once and state.crashes < 2 and not state.asked and _is_open(state):
            failed = state._replace(parts=(state.parts[0].add("failed"), state.parts[1].add("failed")))
            yield "rebuild: the invoice has expired, fail both", failed

    def _ask(self, state: State) -> Moves[State]:
        parts, app = state.parts, state.app
        open_question = self.question_stays or "acknowledged" not in state.node.records
        if _is_open(state) and not state.asked and not state.late and open_question:
            new: App = "paid out" if self.holds else "deciding"
            kept = app if app not in ("unasked", "deciding", "returned") else new
            yield "event PaymentClaimable", state._replace(asked=True, app=kept)
        if _is_open(state) and state.asked and not state.late and app in ("deciding", "paid out"):
            claimed = (parts[0].add("claim"), parts[1].add("claim"))
            yield "app: claim", state._replace(parts=claimed, app="claiming")
        durable = all("claim" in journal.kept for journal in parts)
        if app == "claiming" and not state.node.records and (durable or not self.acknowledges_after):
            acknowledged = state._replace(node=state.node.add("acknowledged"), app="returned")
            yield "app: handler returns, acknowledged", acknowledged
        if app == "claiming" and state.late and not any(state.left) and holders(parts, "lost"):
            yield "app: the claim is abandoned", state._replace(app="told of abandonment")

    def _replay(self, state: State) -> Moves[State]:
        have = holders(state.parts, "claim")
        if len(have) != 1 or "forgotten" in state.parts[have[0]].records:
            return
        other = 1 - have[0]
        journal = state.parts[other]
        if "lost" not in journal.records and "failed" not in journal.records:
            yield (
                f"rebuild: claim to {NAMES[other]}",
                state._replace(parts=at(state.parts, other, journal.add("claim"))),
            )

    def _wire(self, state: State, index: int) -> Moves[State]:
        own, other = state.parts[index], state.parts[1 - index]
        safe = "claim" in (own.kept if self.own_record_first else own.records)
        if self.all_records_first:
            safe = safe and "claim" in other.kept
        if safe and not state.left[index] and "lost" not in own.records:
            left = (True, state.left[1]) if index == 0 else (state.left[0], True)
            yield f"wire: fulfil on {NAMES[index]}", state._replace(left=left)
        known = other.kept if self.forgotten_after_all else other.records
        if state.left[index] and "claim" in own.kept and "forgotten" not in own.records and "claim" in known:
            forgotten = at(state.parts, index, own.add("forgotten"))
            yield f"{NAMES[index]}: removed, claim forgotten", state._replace(parts=forgotten)

    def faults(self, state: State) -> Moves[State]:
        """Crashes, and the deadline."""
        if not state.late and (state.crashes < 2 or state.parts[0].waits or state.parts[1].waits):
            taken = (_at_deadline(state.parts[0]), _at_deadline(state.parts[1]))
            yield "the deadline passes", state._replace(parts=taken, late=True)
        if not state.crashes:
            return
        app: App = "deciding" if state.app == "claiming" else state.app
        for a, b, node in product(state.parts[0].crashed(), state.parts[1].crashed(), state.node.crashed()):
            after = State((a, b), node, False, app, state.left, state.late, state.crashes - 1)
            yield f"CRASH, kept A {names(a)} B {names(b)} node {names(node)}", after

    def loss(self, state: State) -> str:
        """What was shown fails before its deadline."""
        if state.app == "paid out" and not state.late and holders(state.parts, "failed"):
            return "LOSS: the application has paid out, the parts are failed before their deadline"
        return ""

    def loss_at_rest(self, state: State) -> str:
        """The payer has the preimage and we not all parts; or the application waits for ever."""
        parts = state.parts
        got = [index for index in holders(parts, "claim") if "lost" not in parts[index].records]
        if any(state.left) and len(got) < len(parts):
            return f"LOSS: the payer has the preimage, we were paid {len(got)} of {len(parts)} parts"
        if state.app == "returned" and not got:
            return "CLAIM LOST: asked for and acknowledged, and nothing is claimed"
        if not state.late and len(got) < len(parts) and not holders(parts, "failed"):
            return f"STUCK: the application is {state.app}, and is never asked again"
        return ""


def _is_open(state: State) -> bool:
    return not holders(state.parts, "claim") and not holders(state.parts, "failed")


def _at_deadline(journal: Journal[PartRecord]) -> Journal[PartRecord]:
    """A part whose claim is not durable is taken back by its peer; what the store still had to write is void."""
    return journal if "claim" in journal.kept else Journal((*journal.kept, "lost"), journal.durable + 1)


READINGS = (
    Reading("the rules", Claiming()),
    Reading("the rules, the application pays out first", Claiming(holds=True)),
    Reading("the question ends with its acknowledgement, which waits", Claiming(question_stays=False)),
    Reading("acknowledged before the claim is durable", Claiming(acknowledges_after=False), "CLAIM LOST"),
    Reading(
        "... and the question ends with it", Claiming(acknowledges_after=False, question_stays=False), "CLAIM LOST"
    ),
    Reading("a fulfil waits for the other part only", Claiming(own_record_first=False), "LOSS"),
    Reading("a fulfil waits for its own part only", Claiming(all_records_first=False), "LOSS"),
    Reading(
        "forgotten when the other has it in memory",
        Claiming(all_records_first=False, forgotten_after_all=False),
        "LOSS",
    ),
    Reading("what was shown is judged again", Claiming(holds=True, judged_once=False), "LOSS"),
)
