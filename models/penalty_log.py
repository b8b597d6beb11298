"""What justice needs of old commitments: rows go to a log that no load reads, before the records they come from go.

Record n makes the peer's commitment n the current one; a row is written when an HTLC has left. A snapshot replaces the
records up to a position in three steps of the store, a crash between any two. Any revoked commitment may be published
at any time. Bounds: four commitments, two HTLCs, snapshots at any position, one refused snapshot, two crashes.
"""

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from models.kernel import Moves, Reading

COMMITMENTS: Final = ("", "h", "hg", "g", "")
"""The HTLCs of each commitment."""
Step: TypeAlias = Literal["rows", "snapshot", "drop"]


class Row(NamedTuple):
    """An HTLC of commitments `first` to `last`."""

    htlc: str
    first: int
    last: int


class Fold(NamedTuple):
    """What a life knows. live: HTLCs of the current commitment with their first one. rows: not in the log yet."""

    position: int = 0
    live: tuple[tuple[str, int], ...] = ()
    rows: frozenset[Row] = frozenset()


class Job(NamedTuple):
    """A snapshot on its way to the store."""

    fold: Fold
    left: tuple[Step, ...]


class State(NamedTuple):
    """durable: records that no crash takes. dropped: records that are gone. snapshot, log: what the store holds."""

    fold: Fold
    durable: int
    dropped: int
    snapshot: Fold
    log: frozenset[Row]
    job: Job | None
    refusals: int
    crashes: int


def advance(fold: Fold) -> Fold:
    """Take the next record."""
    number = fold.position + 1
    known = dict(fold.live)
    live = tuple([(htlc, known.get(htlc, number)) for htlc in COMMITMENTS[number]])
    gone = [Row(htlc, first, number - 1) for htlc, first in fold.live if htlc not in COMMITMENTS[number]]
    return Fold(number, live, fold.rows | frozenset(gone))


@dataclass(frozen=True, slots=True, kw_only=True)
class PenaltyLog:
    """Switches; each default is the rule."""

    steps: tuple[Step, ...] = ("rows", "snapshot", "drop")
    """Rows are durable before the records are dropped."""
    logs_rows: bool = True
    """There is a log; else a snapshot is all that is kept of the past."""
    rows_in_snapshot: bool = False
    """Rows stay in memory and in every snapshot, for ever."""
    kept_until_done: bool = True
    """Rows stay in memory until the store has said that they are durable."""
    first_in_snapshot: bool = True
    """A snapshot knows the first commitment of each live HTLC."""

    def start(self) -> State:
        """Commitment 0, no HTLC."""
        return State(Fold(), 0, 0, Fold(), frozenset(), None, refusals=1, crashes=2)

    def moves(self, state: State) -> Moves[State]:
        """Records, the store, snapshots."""
        fold, job = state.fold, state.job
        if fold.position + 1 < len(COMMITMENTS):
            after = advance(fold)
            yield f"commitment {after.position}: {COMMITMENTS[after.position] or 'empty'}", state._replace(fold=after)
        if state.durable < fold.position:
            yield "store: records", state._replace(durable=fold.position)
        if job is not None and state.durable >= job.fold.position:
            yield f"store: {job.left[0]}", self._store(state, job)

    def _store(self, state: State, job: Job) -> State:
        match job.left[0]:
            case "rows":
                state = state._replace(log=state.log | job.fold.rows)
            case "snapshot":
                rows = job.fold.rows if self.rows_in_snapshot else frozenset()
                live = job.fold.live
                if not self.first_in_snapshot:
                    live = tuple([(htlc, job.fold.position) for htlc, _ in live])
                state = state._replace(snapshot=Fold(job.fold.position, live, rows))
            case "drop":
                state = state._replace(dropped=job.fold.position)
        if len(job.left) > 1:
            return state._replace(job=Job(job.fold, job.left[1:]))
        kept = state.fold.rows if self.rows_in_snapshot else state.fold.rows - job.fold.rows
        return state._replace(job=None, fold=state.fold._replace(rows=kept))

    def faults(self, state: State) -> Moves[State]:
        """Snapshots are nobody's duty; the store refuses one; crashes."""
        fold, job = state.fold, state.job
        steps: tuple[Step, ...] = self.steps
        if not self.logs_rows or self.rows_in_snapshot:
            steps = ("snapshot", "drop")
        if job is None and fold.position > state.snapshot.position:
            begun = state._replace(job=Job(fold, steps))
            if not self.kept_until_done:
                begun = begun._replace(fold=fold._replace(rows=frozenset()))
            yield f"snapshot at {fold.position}", begun
        if job is not None and job.left == steps and state.refusals:
            yield "store: refuses the snapshot", state._replace(job=None, refusals=state.refusals - 1)
        if not state.crashes:
            return
        for kept in range(state.durable, fold.position + 1):
            again = state.snapshot
            while again.position < kept:
                again = advance(again)
            yield (
                f"CRASH, kept {kept}",
                state._replace(fold=again, durable=again.position, job=None, crashes=state.crashes - 1),
            )

    def loss(self, state: State) -> str:
        """A revoked commitment is published, and an output of it cannot be claimed."""
        fold = state.fold
        if state.dropped > state.snapshot.position:
            return "LOSS: records are gone that no snapshot replaces"
        known = state.log | fold.rows | (state.job.fold.rows if state.job and self.kept_until_done else frozenset())
        for number in range(fold.position):
            for htlc in COMMITMENTS[number]:
                in_rows = any(row.htlc == htlc and row.first <= number <= row.last for row in known)
                if not in_rows and not any(one == htlc and first <= number for one, first in fold.live):
                    return f"LOSS: commitment {number} is published, HTLC {htlc} is unknown"
        if len(state.snapshot.rows) > 1:
            return f"GROWS: a snapshot holds {len(state.snapshot.rows)} HTLCs that are gone"
        return ""

    def loss_at_rest(self, state: State) -> str:
        """Nothing more."""
        del state
        return ""


READINGS = (
    Reading("the rules", PenaltyLog()),
    Reading("records are dropped first", PenaltyLog(steps=("snapshot", "drop", "rows")), "LOSS"),
    Reading("the snapshot replaces records before the rows", PenaltyLog(steps=("snapshot", "rows", "drop")), "LOSS"),
    Reading("a snapshot is the state alone", PenaltyLog(logs_rows=False), "LOSS"),
    Reading("a snapshot holds the rows", PenaltyLog(rows_in_snapshot=True), "GROWS"),
    Reading("rows leave memory when they are given", PenaltyLog(kept_until_done=False), "LOSS"),
    Reading("a snapshot forgets where an HTLC began", PenaltyLog(first_in_snapshot=False), "LOSS"),
)
