"""The hand-off without its waiting (not built yet): a record names the position of the other journal that it rests on.

Y appends at once; its effects wait for its own record and for the ground; at a start every journal is cut before the
first record whose ground was not kept, until nothing changes. Bounds: as `forwarding`, two offers.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from models.kernel import Moves, Reading

Outcome: TypeAlias = Literal["fail", "claim"]
OFFERS_MAX = 2


class Record(NamedTuple):
    """ground: how many records the other journal must have for this one to stand."""

    kind: Literal["committed", "decide", "sign", "add", "remove", "acknowledge"]
    outcome: Outcome | None = None
    ground: int = 0

    def __str__(self) -> str:
        name = f"{self.kind} {self.outcome}" if self.outcome else self.kind
        return f"{name}@{self.ground}" if self.ground else name


Records: TypeAlias = tuple[Record, ...]
COMMITTED = Record("committed")


class State(NamedTuple):
    """x, y: records; durable_x, durable_y: how many are durable. offered: adds that the next hop has. removed: what the
    previous hop was told.
    """

    x: Records
    durable_x: int
    y: Records
    durable_y: int
    handed: bool
    offered: int
    removed: Outcome | None
    crashes: int


def stand(x: Records, y: Records, kept_x: int, kept_y: int) -> tuple[int, int]:
    """Return the longest prefixes, within what is kept, whose grounds are all kept."""
    while True:
        new_x = next((i for i in range(kept_x) if x[i].ground > kept_y), kept_x)
        new_y = next((i for i in range(kept_y) if y[i].ground > new_x), kept_y)
        if (new_x, new_y) == (kept_x, kept_y):
            return new_x, new_y
        kept_x, kept_y = new_x, new_y


def count(records: Records, kind: str) -> int:
    """Return how many records are of this kind."""
    return len([one for one in records if one.kind == kind])


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependent:
    """Switches; each default is the rule."""

    cuts: bool = True
    """A start cuts what has lost its ground."""
    effects_wait_for_ground: bool = True
    """Effects wait for the grounds too; else for their own journal."""

    def start(self) -> State:
        """The HTLC is committed, not durable."""
        return State((COMMITTED,), 0, (), 0, handed=False, offered=0, removed=None, crashes=2)

    def moves(self, state: State) -> Moves[State]:
        """Store, node, both hops."""
        x, y = state.x, state.y
        if state.durable_x < len(x):
            yield "store: X", state._replace(durable_x=len(x))
        if state.durable_y < len(y):
            yield "store: Y", state._replace(durable_y=len(y))
        free_x, free_y = state.durable_x, state.durable_y
        if self.effects_wait_for_ground:
            free_x, free_y = stand(x, y, free_x, free_y)
        adds, removals = count(y, "add"), [one for one in y if one.kind == "remove"]
        decided = [one.outcome for one in x if one.kind == "decide"]
        owned = state.handed or adds > len(removals) or (removals and not count(y, "acknowledge"))
        if not owned and not decided and adds < OFFERS_MAX:
            add = Record("add", ground=x.index(COMMITTED) + 1)
            yield f"offer at once: {add}", state._replace(y=(*y, add), handed=True)
        if adds > state.offered and max([i for i, one in enumerate(y) if one.kind == "add"]) < free_y:
            yield "wire: add and signature", state._replace(offered=adds)
        if adds > len(removals) and state.offered >= adds:
            for outcome in ("claim", "fail"):
                removal = Record("remove", "claim" if outcome == "claim" else "fail")
                yield f"next hop: {outcome}", state._replace(y=(*y, removal))
        yield from self._hand_back(state, free_x)

    def _hand_back(self, state: State, free_x: int) -> Moves[State]:
        x, y = state.x, state.y
        removals = [i for i, one in enumerate(y) if one.kind == "remove"]
        decided = [one.outcome for one in x if one.kind == "decide"]
        signed = [i for i, one in enumerate(x) if one.kind == "sign"]
        if removals and not signed:
            outcome = y[removals[-1]].outcome
            if not decided or (outcome == "claim" and "claim" not in decided):
                # A preimage needs no ground: it is its own proof.
                decision = Record("decide", outcome, removals[-1] + 1 if outcome == "fail" else 0)
                yield f"X: {decision}", state._replace(x=(*x, decision))
        if removals and decided and not count(y, "acknowledge"):
            ground = next(i for i, one in enumerate(x) if one.kind == "decide") + 1
            yield "Y: acknowledge", state._replace(y=(*y, Record("acknowledge", ground=ground)))
        if decided and not signed:
            sign = Record("sign", "claim" if "claim" in decided else "fail")
            yield f"X: {sign}", state._replace(x=(*x, sign))
        if signed and state.removed is None and signed[0] < free_x:
            yield f"wire: {x[signed[0]].outcome} to the previous hop", state._replace(removed=x[signed[0]].outcome)

    def faults(self, state: State) -> Moves[State]:
        """Crashes, and the cut that follows."""
        if not state.crashes:
            return
        for kept_x in range(state.durable_x, len(state.x) + 1):
            for kept_y in range(state.durable_y, len(state.y) + 1):
                cut_x, cut_y = stand(state.x, state.y, kept_x, kept_y) if self.cuts else (kept_x, kept_y)
                x = state.x[:cut_x]
                if COMMITTED not in x and state.removed:
                    continue
                after = State(
                    x or (COMMITTED,), cut_x, state.y[:cut_y], cut_y, False, state.offered, state.removed,
                    state.crashes - 1,
                )  # fmt: skip
                kept = f"X [{', '.join(map(str, state.x[:kept_x]))}] Y [{', '.join(map(str, state.y[:kept_y]))}]"
                yield f"CRASH, kept {kept}, cut to {cut_x} and {cut_y}", after

    def loss(self, state: State) -> str:
        """Paid on, and not paid; or an HTLC that we forgot is with the next hop."""
        taken = [one.outcome for one in state.y[: state.durable_y] if one.kind == "remove"].count("claim")
        if state.removed == "fail" and taken:
            return "LOSS: the next hop took it, the previous one has it back"
        if taken > 1:
            return "LOSS: the next hop took it twice"
        return "LOSS: the next hop holds an HTLC that we forgot" if state.offered and not state.y else ""

    def loss_at_rest(self, state: State) -> str:
        """The previous hop is told."""
        return "" if state.removed else "STUCK: the inbound HTLC is never removed"


READINGS = (
    Reading("the rules", Dependent()),
    Reading("nothing is cut at a start", Dependent(cuts=False), "LOSS"),
    Reading("effects wait for their own journal", Dependent(effects_wait_for_ground=False), "LOSS"),
)
