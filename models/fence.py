"""Two writers on one engine: the old one appends in a transaction (check the epoch, commit), the new one takes over.

The old one's record is the peer's signature for commitment 1; its effect reveals the secret of commitment 0. The new
one folds what it reads and closes with the latest commitment. Bounds: one append, one takeover.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from models.kernel import Moves, Reading


class State(NamedTuple):
    """old, new: where each stands. folded: records that the new one has read."""

    epoch: int
    records: int
    old: Literal["idle", "checked", "committed", "refused", "revealed"]
    new: Literal["idle", "has read", "has epoch", "ready", "closed"]
    folded: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """Switches; each default is the rule."""

    check_locks: bool = True
    """An append locks the epoch that it checks until it commits; else it reads it, and then writes."""
    epoch_then_read: bool = True
    """A journal is read after the new epoch is in force."""

    def start(self) -> State:
        """The old writer leads, with commitment 0."""
        return State(0, 0, "idle", "idle", 0)

    def moves(self, state: State) -> Moves[State]:
        """Both writers, interleaved."""
        if state.old == "idle":
            yield "old: check the epoch", state._replace(old="checked" if state.epoch == 0 else "refused")
        if state.old == "checked":
            yield "old: commit", state._replace(old="committed", records=1)
        if state.old == "committed":
            yield "old: revoke_and_ack 0 leaves", state._replace(old="revealed")
        locked = self.check_locks and state.old == "checked"
        if state.new in ("idle", "has read") and not locked and (state.new == "has read") != self.epoch_then_read:
            ready = state._replace(epoch=1, new="has epoch" if self.epoch_then_read else "ready")
            yield "new: take the epoch", ready
        if state.new == ("has epoch" if self.epoch_then_read else "idle"):
            read = state._replace(folded=state.records, new="ready" if self.epoch_then_read else "has read")
            yield f"new: read {state.records} records", read
        if state.new == "ready":
            yield f"new: close with commitment {state.folded}", state._replace(new="closed")

    def faults(self, state: State) -> Moves[State]:
        """None: the takeover is the fault."""
        del state
        return iter(())

    def loss(self, state: State) -> str:
        """A revoked commitment is broadcast."""
        if state.new == "closed" and state.old == "revealed" and state.folded == 0:
            return "LOSS: the new writer broadcast commitment 0, which the old one had revoked"
        return ""

    def loss_at_rest(self, state: State) -> str:
        """The new writer got through."""
        return "" if state.new == "closed" else "STUCK: nobody leads"


READINGS = (
    Reading("the rules", Fence()),
    Reading("read the epoch, then write", Fence(check_locks=False), "LOSS"),
    Reading("read the journal, then take the epoch", Fence(epoch_then_read=False), "LOSS"),
)
