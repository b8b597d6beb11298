"""A published commitment: who may take its outputs, when, and what is told upstream ("On chain" builds it).

The peer's commitment holds our HTLC, offered on behalf of an inbound HTLC. The peer may claim it with the preimage
while no timeout of ours has confirmed; if the commitment was revoked, everything is ours until the peer's delay is
over. A reorganisation takes back what is shallow (6 blocks), not what is deep (100).
Bounds: one HTLC, a twin with the same hash, one reorganisation, a store that may be dead from the start.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from models.kernel import Moves, Reading


class State(NamedTuple):
    """output: who has the HTLC's output. upstream, twin: what became of the inbound HTLC and of its twin. waited: the
    peer's delay is over.
    """

    output: Literal["open", "ours, shallow", "ours, deep", "peer's"] = "open"
    upstream: Literal["held", "failed", "fulfilled"] = "held"
    twin: Literal["held", "failed", "fulfilled"] = "held"
    waited: bool = False
    reorganisations: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class OnChain:
    """Switches; each default is the rule."""

    revoked: bool = False
    """No rule: the commitment is a revoked one."""
    store_dead: bool = False
    """No rule: the store takes nothing any more."""
    claims_with_dead_store: bool = True
    """What spends outputs of a published commitment needs no record."""
    fails_when_deep: bool = True
    """A failure learnt on chain goes upstream when it is irrevocable; else at six confirmations."""
    by_id: bool = True
    """An outcome goes to the HTLC that is named as its source; else to whichever has its hash."""

    def start(self) -> State:
        """The commitment is confirmed, and the HTLC has expired."""
        return State()

    def moves(self, state: State) -> Moves[State]:
        """Both sides, blocks, and what is told upstream."""
        acts = self.claims_with_dead_store or not self.store_dead
        if state.output == "open":
            if acts:
                yield "we: take the output", state._replace(output="ours, shallow")
            if self.revoked and not state.waited:
                yield "the peer's delay passes", state._replace(waited=True)
            if not self.revoked or state.waited:
                yield "peer: takes the output, shows the preimage", state._replace(output="peer's")
        if state.output == "ours, shallow":
            yield "it is irrevocable", state._replace(output="ours, deep")
        told_deep = state.output == "ours, deep" or (state.output == "ours, shallow" and not self.fails_when_deep)
        if not self.revoked and not self.store_dead and state.upstream == "held":
            if told_deep:
                yield from self._tell(state, "failed")
            if state.output == "peer's":
                yield from self._tell(state, "fulfilled")

    def _tell(self, state: State, outcome: Literal["failed", "fulfilled"]) -> Moves[State]:
        yield f"upstream: {outcome}", state._replace(upstream=outcome)
        if not self.by_id and state.twin == "held":
            yield f"upstream: the twin {outcome}", state._replace(twin=outcome)

    def faults(self, state: State) -> Moves[State]:
        """A reorganisation takes back what is shallow; then the peer may be faster."""
        if state.output == "ours, shallow" and state.reorganisations:
            yield "reorganisation", state._replace(output="open", reorganisations=0)

    def loss(self, state: State) -> str:
        """The peer has what it must not have, or somebody else's HTLC was decided."""
        if state.twin != "held":
            return f"WRONG HTLC: the twin is {state.twin}, and nobody had decided so"
        if state.output == "peer's" and state.upstream == "failed":
            return "LOSS: the next hop took it, the previous one has it back"
        if self.revoked and state.output == "peer's" and not self.claims_with_dead_store:
            return "LOSS: a revoked commitment went unpunished while the store was dead"
        return ""

    def loss_at_rest(self, state: State) -> str:
        """Nobody waits for ever."""
        if state.output == "open":
            return "LOSS: the output is never taken"
        waiting = state.upstream == "held" and not self.revoked and not self.store_dead
        return "STUCK: upstream is never told" if waiting else ""


READINGS = (
    Reading("the rules", OnChain()),
    Reading("the rules, a dead store", OnChain(store_dead=True)),
    Reading("the rules, a revoked commitment and a dead store", OnChain(revoked=True, store_dead=True)),
    Reading(
        "no effects while the store is down",
        OnChain(revoked=True, store_dead=True, claims_with_dead_store=False),
        "LOSS",
    ),
    Reading("failed upstream at six confirmations", OnChain(fails_when_deep=False), "LOSS"),
    Reading("outcomes go by hash", OnChain(by_id=False), "WRONG HTLC"),
)
