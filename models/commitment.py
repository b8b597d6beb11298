"""Own commitments of one channel: revocations, a broadcast, a store that dies, backups, connections.

Record n > 0: the peer's signature for our commitment n arrived; its effect is `revoke_and_ack` for n - 1. A commitment
that was broadcast may be mined at any later time, so it is a loss as soon as its secret is out too. A broadcast may be
wanted at any moment. Bounds: three commitments, one lost connection, one dying store, two crashes, each with any kept
prefix or (`restores`) an old copy.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from models.journal import Journal, names
from models.kernel import Moves, Reading

TOP = 3
CLOSING: Literal["closing"] = "closing"
STALE: Literal["stale"] = "stale"
Record: TypeAlias = int | Literal["closing", "stale"]


class Queued(NamedTuple):
    """An effect that waits for a position. connection: the one it was decided in."""

    position: int
    what: Literal["revoke", "broadcast"]
    number: int
    connection: int


class State(NamedTuple):
    """connection: how many there were. seen: numbers of `revoke_and_ack` that the peer got on this one. revealed:
    secrets below this number are out. settled: `channel_reestablish` came in this life. closed: in memory alone.
    mark: what the second place says.
    """

    journal: Journal[Record]
    queue: tuple[Queued, ...]
    connection: int
    up: bool
    seen: tuple[int, ...]
    revealed: int
    broadcast: frozenset[int]
    dead: bool
    closed: bool
    settled: bool
    mark: int
    crashes: int


def latest(records: tuple[Record, ...]) -> int:
    """Return the number of our latest commitment."""
    return max([one for one in records if isinstance(one, int)], default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitment:
    """Switches; each default is the rule."""

    broadcasts: Literal["behind a record", "what is durable", "what is in memory"] = "behind a record"
    """An own commitment leaves behind a durable `Closing`; else at once, and only this life knows of the close."""
    belongs_to_connection: bool = True
    """A message dies with the connection it was decided in."""
    restores: bool = False
    """No rule: an old copy of the journal may come back."""
    waits_for_peer: bool = False
    """The first broadcast of a life waits for `channel_reestablish`."""
    marks: bool = False
    """The highest released position is kept in a second place: a store behind it is stale. (Here with the release; as
    it is kept lazily, the last seconds are left to `waits_for_peer`.)
    """
    mark_waits: bool = True
    """The second place is written again, lower, when `ProvenStale` is durable."""

    def start(self) -> State:
        """Commitment 0 is ours, the peer is connected."""
        return State(Journal(), (), 0, True, (), 0, frozenset(), False, False, True, 0, crashes=2)

    def moves(self, state: State) -> Moves[State]:
        """Store, peer, effects, deadline."""
        journal, queue = state.journal, state.queue
        records = journal.records
        if journal.waits and not state.dead:
            yield "store", state._replace(journal=journal.written())
        number = latest(records)
        quiet = CLOSING in records or STALE in records or state.closed
        if state.up and not quiet and number < TOP and state.revealed >= number:
            signed = journal.add(number + 1)
            queued = Queued(signed.end, "revoke", number, state.connection)
            yield f"peer: commitment_signed {number + 1}", state._replace(journal=signed, queue=(*queue, queued))
        if queue and queue[0].position <= journal.durable:
            yield self._release(state, queue[0])
        if not state.up and not quiet and not journal.waits:
            yield "reestablish", self._reestablish(state, number)
        if not quiet and not (self.waits_for_peer and not state.settled):
            yield self._close(state, number)

    def _release(self, state: State, first: Queued) -> tuple[str, State]:
        rest = state._replace(queue=state.queue[1:], mark=max(state.mark, first.position))
        if first.what == "broadcast":
            return f"broadcast {first.number}", rest._replace(broadcast=state.broadcast | {first.number})
        if not state.up or (self.belongs_to_connection and first.connection != state.connection):
            return f"drop revoke_and_ack {first.number}", rest
        seen = (*state.seen, first.number)
        revealed = max(state.revealed, first.number + 1)
        return f"wire: revoke_and_ack {first.number}", rest._replace(seen=seen, revealed=revealed)

    def _reestablish(self, state: State, number: int) -> State:
        again = state._replace(up=True, connection=state.connection + 1, seen=(), settled=True)
        if state.revealed > number:
            return again._replace(journal=state.journal.add(STALE))
        if state.revealed < number:
            owed = Queued(state.journal.end, "revoke", number - 1, again.connection)
            return again._replace(queue=(*state.queue, owed))
        return again

    def _close(self, state: State, number: int) -> tuple[str, State]:
        if self.broadcasts == "behind a record":
            journal = state.journal.add(CLOSING)
            queued = Queued(journal.end, "broadcast", number, state.connection)
            return "close: record", state._replace(journal=journal, queue=(*state.queue, queued))
        out = number if self.broadcasts == "what is in memory" else latest(state.journal.kept)
        after = state._replace(broadcast=state.broadcast | {out}, closed=True, queue=())
        return f"close: broadcast {out}", after

    def faults(self, state: State) -> Moves[State]:
        """A lost connection, a dead store, crashes."""
        journal = state.journal
        if state.up and state.connection < 1:
            queue = state.queue
            if self.belongs_to_connection:
                queue = tuple([one for one in queue if one.what == "broadcast"])
            yield "disconnect", state._replace(up=False, queue=queue, seen=())
        if not state.dead and state.crashes == 2:
            yield "the store dies", state._replace(dead=True)
        if self.marks and state.mark > journal.durable and not (self.mark_waits and journal.waits):
            yield f"the second place says {journal.durable}", state._replace(mark=journal.durable)
        if not state.crashes:
            return
        life = state._replace(
            queue=(), up=False, seen=(), dead=False, closed=False, settled=False, crashes=state.crashes - 1
        )
        for kept in journal.crashed():
            yield f"CRASH, kept {names(kept)}", self._open(life, kept)
        if self.restores and journal.durable > 1 and CLOSING not in journal.records:
            old = Journal(journal.records[:1], 1)
            yield f"CRASH, and {names(old)} is restored", self._open(life, old)

    def _open(self, life: State, kept: Journal[Record]) -> State:
        behind = self.marks and kept.end < life.mark
        return life._replace(journal=kept.add(STALE) if behind else kept)

    def loss(self, state: State) -> str:
        """A commitment is out, and its secret; or the peer has a reason to close."""
        for number in sorted(state.broadcast):
            if number < state.revealed:
                return f"LOSS: commitment {number} was broadcast, and its secret is out"
        if len(set(state.seen)) < len(state.seen):
            return f"CLOSED: the peer gets revoke_and_ack {state.seen} on one connection"
        return ""

    def loss_at_rest(self, state: State) -> str:
        """A close that was recorded happens (in this life: with a live store)."""
        del state
        return ""


READINGS = (
    Reading("the rules", Commitment()),
    Reading("broadcast from memory", Commitment(broadcasts="what is in memory"), "LOSS"),
    Reading("broadcast what is durable, without a record", Commitment(broadcasts="what is durable"), "LOSS"),
    Reading("messages outlive their connection", Commitment(belongs_to_connection=False), "CLOSED"),
    Reading("an old copy comes back unnoticed", Commitment(restores=True), "LOSS"),
    Reading("an old copy, the first broadcast waits for the peer", Commitment(restores=True, waits_for_peer=True)),
    Reading("an old copy, and a mark in a second place", Commitment(restores=True, marks=True)),
    Reading(
        "the mark is lowered before `ProvenStale` is durable",
        Commitment(restores=True, marks=True, mark_waits=False),
        "LOSS",
    ),
)
