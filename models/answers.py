"""Answers of the API: somebody outside acts on what a read has shown.

Record n in a journal says that n payments have arrived; a reader delivers goods for as many as it was shown, and the
payer of one that a crash takes has its money back. Bounds: two payments, two reads, one crash, every kept prefix.
"""

from dataclasses import dataclass
from typing import NamedTuple

from models.journal import Journal
from models.kernel import Moves, Reading


class State(NamedTuple):
    """asked: what a read that is under way will show. delivered: goods that are gone."""

    journal: Journal[int] = Journal()
    asked: int | None = None
    delivered: int = 0
    reads: int = 2
    gave_up: bool = False
    crashes: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Switches; each default is the rule."""

    read_waits: bool = True
    """A read is answered when everything that it shows is durable."""

    def start(self) -> State:
        """Nothing has arrived."""
        return State()

    def moves(self, state: State) -> Moves[State]:
        """Payments, the store, the reader."""
        journal = state.journal
        if journal.end < 2 and not state.gave_up:
            yield "a payment arrives", state._replace(journal=journal.add(journal.end + 1))
        if journal.waits:
            yield "store", state._replace(journal=journal.written())
        if state.reads and state.asked is None:
            yield f"reader: asks, there are {journal.end}", state._replace(asked=journal.end, reads=state.reads - 1)
        if state.asked is not None and (journal.durable >= state.asked or not self.read_waits):
            shown = max(state.delivered, state.asked)
            yield f"reader: is shown {state.asked}, delivers", state._replace(asked=None, delivered=shown)

    def faults(self, state: State) -> Moves[State]:
        """A crash; whoever is not told of success takes the money back."""
        if state.crashes:
            for journal in state.journal.crashed():
                after = state._replace(journal=journal, asked=None, gave_up=True, crashes=0)
                yield f"CRASH, kept {journal.end}", after

    def loss(self, state: State) -> str:
        """More was delivered than was paid."""
        if state.delivered > state.journal.end:
            return f"LOSS: delivered for {state.delivered} payments, {state.journal.end} have arrived"
        return ""

    def loss_at_rest(self, state: State) -> str:
        """Every read is answered."""
        return "STUCK: a read is never answered" if state.asked is not None else ""


READINGS = (
    Reading("the rules", Answers()),
    Reading("a read shows what is in memory", Answers(read_waits=False), "LOSS"),
)
