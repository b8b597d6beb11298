"""MuSig2 nonces for our own commitments (taproot channels are not built yet).

We send a public nonce; the peer signs our commitment for it; we complete that signature only when we close, perhaps in
another life. Two signatures over different messages with one nonce give our key away; a nonce that is lost leaves the
peer's half useless. A splice makes a second candidate funding with the same commitment number. What we sign for the
peer is asked for again on each connection. Bounds: two candidates, one commitment, two connections, one crash.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from models.kernel import Moves, Reading


class State(NamedTuple):
    """used: (nonce, message) of every signature of ours that is out. life: counted, for nonces that die with it.
    has: candidates whose half signature we hold, with the nonce it was made for.
    """

    used: frozenset[tuple[str, str]] = frozenset()
    has: frozenset[tuple[int, str]] = frozenset()
    life: int = 0
    connection: int = 0
    closed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Nonces:
    """Switches; each default is the rule."""

    own: Literal["derived from funding and number", "derived from number", "kept in memory"] = (
        "derived from funding and number"
    )
    """The nonce of our own commitment, of which each candidate funding has one."""
    theirs: Literal["fresh", "kept", "stored signature"] = "fresh"
    """What the peer asks for again, with a new nonce of its own, is signed with a fresh one; with the one of the first
    time; or the signature of the first time is sent, which the peer's new nonce makes useless.
    """

    def start(self) -> State:
        """Connected, two candidates."""
        return State()

    def moves(self, state: State) -> Moves[State]:
        """The peer's halves come, we sign its commitment, we close with one candidate."""
        asked = f"peer's commitment for its nonce {state.connection}"
        if not any(message == asked for _, message in state.used):
            nonce = f"fresh {state.connection}" if self.theirs == "fresh" else "first"
            message = "peer's commitment for its nonce 0" if self.theirs == "stored signature" else asked
            if (nonce, message) not in state.used:
                yield f"we: sign the {message}", state._replace(used=state.used | {(nonce, message)})
        if state.closed:
            return
        for funding in (0, 1):
            if not any(one == funding for one, _ in state.has):
                half = (funding, self._own_nonce(state, funding))
                yield f"peer: half of candidate {funding}", state._replace(has=state.has | {half})
        if len(state.has) == 2:
            yield "we: close, each candidate in turn", self._close(state)

    def _own_nonce(self, state: State, funding: int) -> str:
        match self.own:
            case "derived from funding and number":
                return f"own {funding}"
            case "derived from number":
                return "own"
            case "kept in memory":
                return f"own {funding} of life {state.life}"

    def _close(self, state: State) -> State:
        """Complete what can be: the reorganised chain may ask for either candidate."""
        for funding, nonce in sorted(state.has):
            if nonce == self._own_nonce(state, funding):
                state = state._replace(used=state.used | {(nonce, f"own commitment of candidate {funding}")})
        return state._replace(closed=True)

    def faults(self, state: State) -> Moves[State]:
        """A new connection, with or without a crash."""
        if state.connection == 0 and not state.closed:
            yield "disconnect, reconnect", state._replace(connection=1)
            yield "CRASH, reconnect", state._replace(connection=1, life=1)

    def loss(self, state: State) -> str:
        """One nonce, two messages."""
        for nonce in sorted({one for one, _ in state.used}):
            if len([one for one, _ in state.used if one == nonce]) > 1:
                return f"KEY LOST: nonce `{nonce}` signed two messages"
        return ""

    def loss_at_rest(self, state: State) -> str:
        """The close is complete, and the peer has a signature it can use."""
        completed = len([message for _, message in state.used if message.startswith("own")])
        if completed < 2:
            return "STUCK: the peer's half was made for a nonce that we no longer have"
        asked = f"peer's commitment for its nonce {state.connection}"
        useful = any(message == asked for _, message in state.used)
        return "" if useful else "STUCK: the peer has a signature for a nonce that it no longer has"


READINGS = (
    Reading("the rules", Nonces()),
    Reading("one nonce for all candidates", Nonces(own="derived from number"), "KEY LOST"),
    Reading("the nonce is kept in memory", Nonces(own="kept in memory"), "STUCK"),
    Reading("a stored signature is sent again", Nonces(theirs="stored signature"), "STUCK"),
    Reading("signed again with the same nonce", Nonces(theirs="kept"), "KEY LOST"),
)
