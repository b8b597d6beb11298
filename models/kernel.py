"""Try every schedule of a small world, breadth first: what is found is a shortest way to the loss."""

from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

State = TypeVar("State", bound=Hashable)
Moves: TypeAlias = Iterator[tuple[str, State]]
"""Pairs of what happens, in words, and the state after it."""

STATES_MAX = 400_000


class TooManyStates(Exception):
    """A model is not small: nothing is proven by it."""


class Model(Protocol[State]):
    """One rule and the world around it. States are values: equal ones are explored once."""

    def start(self) -> State:
        """Return the first state."""
        ...

    def moves(self, state: State) -> Moves[State]:
        """Yield what happens sooner or later by itself; a state without any is at rest."""
        ...

    def faults(self, state: State) -> Moves[State]:
        """Yield what may happen and need not: crashes, lost connections, a store that dies."""
        ...

    def loss(self, state: State) -> str:
        """Return what is wrong in this state, or an empty string."""
        ...

    def loss_at_rest(self, state: State) -> str:
        """Return what is wrong if nothing else happens any more, or an empty string."""
        ...


class Found(NamedTuple):
    """What an exploration saw. loss: empty when no schedule loses; schedule: a shortest one that does."""

    states: int
    loss: str
    schedule: tuple[str, ...]


class Reading(NamedTuple):
    """One way to read a rule. loses: what must be found, or empty for a reading that must hold in every schedule.

    quick: less than a second; the default tests explore only these.
    """

    name: str
    model: Model[Any]
    loses: str = ""
    quick: bool = True

    def verdict(self, found: Found) -> str:
        """Return why `found` is not what was expected, or an empty string."""
        if not self.loses:
            return f"the right reading loses: {found.loss}" if found.loss else ""
        if not found.loss:
            return f"a losing reading was not found out: {self.loses}"
        return "" if self.loses in found.loss else f"loses, but not by `{self.loses}`: {found.loss}"


def explore(model: Model[State]) -> Found:
    """Visit every state that can be reached, until one is bad. A state from which no rest can be reached is bad too.

    Raises: TooManyStates.
    """
    first = model.start()
    came: dict[State, tuple[State, str] | None] = {first: None}
    before: dict[State, list[State]] = {}
    resting: list[State] = []
    ahead = deque([first])
    while ahead:
        state = ahead.popleft()
        loss = model.loss(state)
        if not loss:
            moves = list(model.moves(state))
            if not moves:
                loss = model.loss_at_rest(state)
                resting.append(state)
        if loss:
            return Found(len(came), loss, _schedule(came, state))
        for _, after in moves:
            before.setdefault(after, []).append(state)
        for label, after in (*moves, *model.faults(state)):
            if after not in came:
                came[after] = (state, label)
                ahead.append(after)
        if len(came) > STATES_MAX:
            raise TooManyStates(f"more than {STATES_MAX} states")
    restless = _cannot_rest(came, before, resting)
    if restless is not None:
        return Found(len(came), "NEVER ENDS: from here no schedule comes to rest", _schedule(came, restless))
    return Found(len(came), "", ())


def _cannot_rest(came: Iterable[State], before: dict[State, list[State]], resting: list[State]) -> State | None:
    """Return the first state found from which moves alone lead to no rest."""
    can = set(resting)
    ahead = deque(resting)
    while ahead:
        for earlier in before.get(ahead.popleft(), ()):
            if earlier not in can:
                can.add(earlier)
                ahead.append(earlier)
    return next((state for state in came if state not in can), None)


def _schedule(came: dict[State, tuple[State, str] | None], state: State) -> tuple[str, ...]:
    labels: list[str] = []
    step = came[state]
    while step is not None:
        labels.append(step[1])
        step = came[step[0]]
    return tuple(reversed(labels))
