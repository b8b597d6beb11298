"""Batches between the run loop and the store: some fail, come back, and are given again; no message is early.

The loop gives batches as they come; a batch that failed, and what is behind it, waits and is given again in order, one
at a time, while new ones queue behind. The store commits what is in flight in groups, refuses a batch that does not
follow what it holds, and may answer in any order. A commit may have happened although it is said to have failed.
Bounds: four batches over two journals, two failed commits, every grouping, every order of answers.
"""

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from models.kernel import Moves, Reading

Place: TypeAlias = tuple[str, int]
"""A record: journal and position."""

BATCHES: Final[tuple[tuple[Place, ...], ...]] = ((("A", 1),), (("A", 2), ("B", 1)), (("B", 2),), (("A", 3),))
JOURNALS: Final = ("A", "B")
Verdict: TypeAlias = Literal["durable", "unavailable", "broken"]


class State(NamedTuple):
    """next: the batch that the core makes next. flight: batches at the store. answers: not delivered yet. refused:
    batches that came back, or wait behind them. trouble: new batches wait. timer: a retry is due. stored: durable
    records. missing: what the store was offered in vain. reported, early: what the loop knows to be durable.
    """

    next: int = 0
    flight: tuple[int, ...] = ()
    answers: frozenset[tuple[int, Verdict]] = frozenset()
    refused: frozenset[int] = frozenset()
    trouble: bool = False
    timer: bool = False
    stored: frozenset[Place] = frozenset()
    missing: frozenset[Place] = frozenset()
    reported: frozenset[Place] = frozenset()
    failures: int = 2
    broken: bool = False


def prefix(places: frozenset[Place], journal: str) -> int:
    """Return how many records of a journal there are without a gap."""
    end = 0
    while (journal, end + 1) in places:
        end += 1
    return end


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """Switches; each default is the rule."""

    waits_behind: bool = True
    """What comes while refused batches wait queues behind them; else it is given at once."""
    oldest_first: bool = True
    """Refused batches are given again from the oldest on; else from the youngest."""
    keeps_refused: bool = True
    """A batch that failed is given again; else only what is behind it goes on."""
    knows_missing: bool = True
    """To the store, a batch behind a failed one is early; else a gap is the caller's bug, for good."""
    knows_at_once: bool = True
    """... from the moment it refuses one; else from the end of the commit in which it did."""
    checks_order: bool = True
    """The store takes only what follows; else whatever it is given."""
    repeats_succeed: bool = True
    """The same bytes at the same position are a success; else a taken position is the caller's bug."""
    released_when_durable: bool = True
    """Messages leave when the store says durable; else when it has the batch."""
    released_by_prefix: bool = True
    """... and every record before; else when their own batch is."""

    def start(self) -> State:
        """Nothing was given."""
        return State()

    def moves(self, state: State) -> Moves[State]:
        """Core, store, answers, the retry timer."""
        if state.broken:
            return
        if state.next < len(BATCHES):
            yield f"core: batch {state.next}", self._make(state)
        for size in range(1, len(state.flight) + 1):
            yield f"store: commits {state.flight[:size]}", self._commit(state, size, "durable")
        for number, verdict in sorted(state.answers):
            yield f"answer: {number} is {verdict}", self._answer(state, number, verdict)
        if state.timer:
            yield "the retry is due", self._give_next(state._replace(timer=False))

    def _make(self, state: State) -> State:
        number = state.next
        state = state._replace(next=number + 1)
        if state.trouble and self.waits_behind:
            return state._replace(refused=state.refused | {number})
        return self._give(state, number)

    def _give(self, state: State, number: int) -> State:
        if not self.released_when_durable:
            state = state._replace(reported=state.reported | frozenset(BATCHES[number]))
        return state._replace(flight=(*state.flight, number))

    def _commit(self, state: State, size: int, outcome: Verdict) -> State:
        """One group commit. outcome: of what fits."""
        stored, missing, answers = state.stored, state.missing, state.answers
        fits: list[int] = []
        for number in state.flight[:size]:
            verdict = self._check(stored, missing, number)
            if verdict == "durable":
                fits.append(number)
                stored |= frozenset(BATCHES[number])
            else:
                answers |= {(number, verdict)}
                if self.knows_at_once and verdict == "unavailable":
                    missing |= frozenset(BATCHES[number])
        kept = state.stored if outcome == "unavailable" else stored
        answers |= frozenset([(number, outcome) for number in fits])
        vain = [place for number, verdict in answers if verdict == "unavailable" for place in BATCHES[number]]
        missing = (state.missing | frozenset(vain)) - kept
        return state._replace(flight=state.flight[size:], answers=answers, stored=kept, missing=missing)

    def _check(self, stored: frozenset[Place], missing: frozenset[Place], number: int) -> Verdict:
        for journal, position in BATCHES[number]:
            end = prefix(stored, journal)
            if position <= end and not self.repeats_succeed:
                return "broken"
            if position > end + 1 and self.checks_order:
                waited_for = any(one == journal and at >= position - 1 for one, at in missing)
                return "unavailable" if waited_for and self.knows_missing else "broken"
        return "durable"

    def _answer(self, state: State, number: int, verdict: Verdict) -> State:
        state = state._replace(answers=state.answers - {(number, verdict)})
        quiet = not state.flight and not state.answers
        if verdict == "broken":
            return state._replace(broken=True)
        if verdict == "durable":
            state = state._replace(reported=state.reported | frozenset(BATCHES[number]))
            return self._give_next(state) if state.trouble and quiet else state
        refused = state.refused | ({number} if self.keeps_refused else frozenset())
        return state._replace(refused=refused, trouble=True, timer=state.timer or quiet)

    def _give_next(self, state: State) -> State:
        if not state.refused:
            return state._replace(trouble=False)
        number = min(state.refused) if self.oldest_first else max(state.refused)
        return self._give(state._replace(refused=state.refused - {number}), number)

    def faults(self, state: State) -> Moves[State]:
        """A commit fails, or is only said to have failed."""
        if state.broken or not state.failures:
            return
        for size in range(1, len(state.flight) + 1):
            less = state._replace(failures=state.failures - 1)
            yield f"store: fails {state.flight[:size]}", self._commit(less, size, "unavailable")
            said = self._commit(less, size, "durable")
            lied = frozenset([(n, v if v == "broken" else "unavailable") for n, v in said.answers - state.answers])
            answers = state.answers | lied
            yield f"store: commits {state.flight[:size]}, and says it failed", said._replace(answers=answers)

    def loss(self, state: State) -> str:
        """A message is out whose record a crash takes; a journal has a gap; the node stops for nothing."""
        if state.broken:
            return "STOPPED: the store calls it a bug of its caller"
        for journal in JOURNALS:
            released = prefix(state.reported, journal)
            if not self.released_by_prefix:
                released = max([at for one, at in state.reported if one == journal], default=0)
            if released > prefix(state.stored, journal):
                return f"EARLY: a message left behind record {released} of {journal}, which is not durable"
            if any(one == journal and at > prefix(state.stored, journal) for one, at in state.stored):
                return f"GAP: a crash now leaves {journal} with a record missing"
        return ""

    def loss_at_rest(self, state: State) -> str:
        """Everything is durable, and its messages are out."""
        for journal in JOURNALS:
            end = max([at for batch in BATCHES for one, at in batch if one == journal])
            if prefix(state.reported, journal) < end:
                return f"STUCK: the messages of {journal} never leave"
        return "STUCK: new batches wait for nothing" if state.trouble or state.refused else ""


READINGS = (
    Reading("the rules", Batches()),
    Reading("new batches overtake refused ones", Batches(waits_behind=False)),
    Reading("messages wait for their own batch alone", Batches(released_by_prefix=False)),
    Reading("the youngest is given again first", Batches(oldest_first=False), "STOPPED"),
    Reading("a failed batch is not given again", Batches(keeps_refused=False), "STUCK"),
    Reading("a batch behind a failed one is a gap", Batches(knows_missing=False), "STOPPED"),
    Reading("what a commit refuses is missing for the next one", Batches(knows_at_once=False), "STOPPED"),
    Reading("the store takes what it is given", Batches(checks_order=False), "GAP"),
    Reading("a repeated batch is a bug", Batches(repeats_succeed=False), "STOPPED"),
    Reading("messages leave when the store has the batch", Batches(released_when_durable=False), "EARLY"),
)
