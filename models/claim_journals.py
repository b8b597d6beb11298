"""A claim in one journal is released in its own pass; over several journals it waits for all; a twin has the same hash.

Payment P has two parts, both in channel A (`one`), or in A and B. Q is another payment with the same hash, in the other
channel or beside P's part. `node` keeps that P was received, which tells a later life that a part without the claim is
done with it, not too late. A start may find news of the chain first, which wait in a channel's journal. After the
deadline a claim that waits is abandoned, of which nothing may have left, in this life or another. Bounds: three HTLCs,
two crashes, one deadline, every kept prefix of three journals.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal, NamedTuple, TypeAlias

from models.journal import Journal, names
from models.kernel import Moves, Reading

Htlc: TypeAlias = Literal["P0", "P1", "Q"]
PARTS: tuple[Htlc, ...] = ("P0", "P1")
NAMES = ("A", "B")


class Record(NamedTuple):
    """In A and B; `claim`, `abandon` and `forget` are about P."""

    kind: Literal["news", "claim", "abandon", "forget", "fulfil", "fail"]
    htlc: Htlc | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.htlc}" if self.htlc else self.kind


Channels: TypeAlias = tuple[Journal[Record], Journal[Record]]
NEWS, CLAIM, ABANDON, FORGET = Record("news"), Record("claim"), Record("abandon"), Record("forget")


class State(NamedTuple):
    """blockers: (channel, position) that a claim waits for; None when none waits. whole: every part had the claim
    durably when this life began. told, left: what user and payer have seen, in any life. abandoning: the user will be
    told when the abandonment is durable.
    """

    channels: Channels
    node: Journal[str]
    blockers: tuple[tuple[int, int], ...] | None
    whole: bool
    released: bool
    shown: bool
    told: frozenset[str]
    left: frozenset[Htlc]
    late: bool
    crashes: int
    abandoning: bool = False


def put(channels: Channels, index: int, *records: Record) -> Channels:
    """Append to one channel's journal."""
    added = channels[index].add(*records)
    return (added, channels[1]) if index == 0 else (channels[0], added)


def has_claim(records: tuple[Record, ...]) -> bool:
    """Return whether the claim is in the fold: made, neither abandoned nor forgotten."""
    return CLAIM in records and ABANDON not in records and FORGET not in records


def settled(records: tuple[Record, ...], htlc: Htlc) -> bool:
    """Return whether an HTLC was failed or fulfilled."""
    return Record("fulfil", htlc) in records or Record("fail", htlc) in records


def is_received(node: tuple[str, ...]) -> bool:
    """Return whether `node` knows that P was received."""
    return bool(node) and node[-1] == "received"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimJournals:
    """Switches; each default is the rule."""

    one: bool = False
    """No rule: both parts of P are in one journal."""
    twin: bool = True
    """No rule: there is the other payment Q."""
    money_only: bool = False
    """No rule: look for lost money alone, not for what the user is told."""
    crashes: int = 2
    several_wait: bool = True
    """Over several journals no fulfil is signed in the pass of the claim."""
    claims_parts: bool = True
    """A replay claims the parts that the claim lists; else whatever has its hash."""
    abandons: Literal["what cannot have left", "what is blocked"] = "what cannot have left"
    """A claim that every part had durably when this life began is not abandoned, though it waits again."""
    event_waits: bool = True
    """PaymentClaimed, whose acknowledgement lets the parts forget, is shown behind the record in `node`."""
    node_keeps: Literal["until all forgot", "for a time"] = "until all forgot"
    """`node` knows of P as long as a part durably has the claim; else for a time."""

    def start(self) -> State:
        """All HTLCs are committed, and the user was asked about P."""
        nothing: Journal[Record] = Journal()
        channels: Channels = (nothing, nothing)
        return State(channels, Journal(), None, False, False, False, frozenset(), frozenset(), False, self.crashes)

    def place(self, htlc: Htlc) -> int:
        """Return the channel of an HTLC."""
        return {"P0": 0, "P1": 0 if self.one else 1, "Q": 1 if self.one else 0}[htlc]

    @property
    def places(self) -> tuple[int, ...]:
        """The channels that have a part of P."""
        return (0,) if self.one else (0, 1)

    # --- what happens by itself

    def moves(self, state: State) -> Moves[State]:
        """Store, user, node, wire."""
        channels = state.channels
        for index, journal in enumerate(channels):
            if journal.waits:
                written = journal.written()
                both = (written, channels[1]) if index == 0 else (channels[0], written)
                yield f"store: {NAMES[index]}", state._replace(channels=both)
        if state.node.waits:
            yield "store: node", state._replace(node=state.node.written())
        if not self._records_of_parts(channels) and not state.late:
            yield "user: claim P", self._write(state)
        if self.twin and not settled(channels[self.place("Q")].records, "Q"):
            failed = put(channels, self.place("Q"), Record("fail", "Q"))
            yield "user: fail Q", state._replace(channels=failed)
        yield from self._blocked(state)
        yield from self._fulfil(state)
        received = is_received(state.node.kept) or not self.event_waits
        if state.released and not state.shown and received:
            yield "user: told of P, acknowledges", self._acknowledged(state)
        if state.abandoning and not any(journal.waits for journal in channels):
            yield "user: told of the abandonment", state._replace(told=state.told | {"abandoned"}, abandoning=False)
        if state.late and not any(has_claim(one.records) for one in channels):
            failed = self._fail_parts(channels)
            if failed != channels:
                yield "node: nobody claims P in time", state._replace(channels=failed)

    def _records_of_parts(self, channels: Channels) -> bool:
        """Return whether anything was decided about P."""
        about_q = (NEWS, Record("fail", "Q"), Record("fulfil", "Q"))
        return any(record not in about_q for journal in channels for record in journal.records)

    def _write(self, state: State) -> State:
        """Write the claim where it lacks, and wait for every part's journal."""
        channels = state.channels
        for index in self.places:
            records = channels[index].records
            if not has_claim(records) and not is_received(state.node.records):
                channels = put(channels, index, CLAIM)
            if self.one or not self.several_wait:
                channels = put(channels, index, *self._fulfils(channels, index))
        blockers = tuple([(index, channels[index].end) for index in self.places])
        return state._replace(channels=channels, blockers=blockers)

    def _fulfils(self, channels: Channels, index: int) -> list[Record]:
        mine = [part for part in PARTS if self.place(part) == index]
        return [Record("fulfil", part) for part in mine if not settled(channels[index].records, part)]

    def _blocked(self, state: State) -> Moves[State]:
        if state.blockers is None:
            return
        free = _unblocked(state)
        if free.released:
            yield "node: the claim is durable everywhere", free
            return
        may_have_left = state.whole and self.abandons == "what cannot have left"
        if state.late and not self.one and not may_have_left:
            yield "node: too late, abandon P", self._abandon(state)

    def _fulfil(self, state: State) -> Moves[State]:
        for index, journal in enumerate(state.channels):
            promised = FORGET in journal.records or (state.released and has_claim(journal.records))
            for record in self._fulfils(state.channels, index) if promised else ():
                yield f"{NAMES[index]}: {record}", state._replace(channels=put(state.channels, index, record))
            for htlc in PARTS:
                if Record("fulfil", htlc) in journal.kept and htlc not in state.left:
                    yield f"wire: fulfil {htlc}", state._replace(left=state.left | {htlc})

    def _acknowledged(self, state: State) -> State:
        channels = state.channels
        for index in self.places:
            if has_claim(channels[index].records):
                channels = put(channels, index, FORGET)
        return state._replace(channels=channels, shown=True, told=state.told | {"claimed"})

    def _abandon(self, state: State) -> State:
        channels = state.channels
        for index in self.places:
            if has_claim(channels[index].records):
                channels = put(channels, index, ABANDON)
        failed = self._fail_parts(channels)
        return state._replace(channels=failed, blockers=None, abandoning=True)

    def _fail_parts(self, channels: Channels) -> Channels:
        """Fail what was not promised: a part that has forgotten the claim still fulfils."""
        for part in PARTS:
            records = channels[self.place(part)].records
            if not settled(records, part) and FORGET not in records:
                channels = put(channels, self.place(part), Record("fail", part))
        return channels

    # --- what may happen

    def faults(self, state: State) -> Moves[State]:
        """The deadline, `node` forgetting, crashes."""
        if not state.late:
            yield "the deadline passes", state._replace(late=True)
        if is_received(state.node.records) and self._may_forget(state):
            yield "node: forgets that P was received", state._replace(node=state.node.add("forgotten"))
        if not state.crashes:
            return
        for a, b, node in product(state.channels[0].crashed(), state.channels[1].crashed(), state.node.crashed()):
            for news, channels in _news((a, b)):
                fresh = State(
                    channels, node, None, False, False, False, state.told, state.left, state.late, state.crashes - 1
                )
                label = f"CRASH, kept A {names(a)} B {names(b)} node {names(node)}{news}"
                yield label, self._replay(fresh)

    def _may_forget(self, state: State) -> bool:
        if self.node_keeps == "for a time":
            return True
        return all(FORGET in state.channels[index].kept for index in self.places)

    def _replay(self, state: State) -> State:
        """Start again: go on with a claim that some journal holds, or give it up when it can no longer be whole."""
        channels = state.channels
        if not any(has_claim(channels[index].records) for index in self.places):
            return state
        if not self.claims_parts and not settled(channels[self.place("Q")].records, "Q"):
            state = state._replace(channels=put(channels, self.place("Q"), Record("fulfil", "Q")))
        if not is_received(state.node.records) and not all(self._can_have(state, index) for index in self.places):
            return self._abandon(state)
        whole = is_received(state.node.records) or all(has_claim(channels[index].kept) for index in self.places)
        return _unblocked(self._write(state._replace(whole=whole)))

    def _can_have(self, state: State, index: int) -> bool:
        records = state.channels[index].records
        mine = [part for part in PARTS if self.place(part) == index]
        return has_claim(records) or not (state.late or any(settled(records, part) for part in mine))

    # --- what must not be

    def loss(self, state: State) -> str:
        """The twin is taken, or the user is told two things."""
        if Record("fulfil", "Q") in state.channels[self.place("Q")].records:
            return "TAKEN: the other payment with this hash, which nobody claimed"
        both = len(state.told) > 1 and not self.money_only
        return "CONTRADICTION: told that P was claimed, and abandoned" if both else ""

    def loss_at_rest(self, state: State) -> str:
        """The payer has the preimage and we not all parts, or nobody was told."""
        if state.left and len(state.left) < len(PARTS):
            return f"LOSS: the payer has the preimage, we were paid {len(state.left)} of {len(PARTS)} parts"
        if state.left and "claimed" not in state.told and not self.money_only:
            return "EVENT LOST: P was claimed and nobody is told"
        for part in PARTS:
            if not settled(state.channels[self.place(part)].kept, part):
                return f"STUCK: {part} is neither fulfilled nor failed"
        return ""


def _unblocked(state: State) -> State:
    """When every part has the claim durably, its fulfils are free, and `node` records that P was received."""
    assert state.blockers is not None
    if any(state.channels[index].durable < position for index, position in state.blockers):
        return state
    node = state.node if is_received(state.node.records) else state.node.add("received")
    return state._replace(node=node, blockers=None, released=True)


def _news(channels: Channels) -> Iterator[tuple[str, Channels]]:
    """Yield what a start may find on chain before it replays: nothing, or something about one channel."""
    yield "", channels
    for index in (0, 1):
        if NEWS not in channels[index].records:
            yield f", and news of {NAMES[index]}", put(channels, index, NEWS)


READINGS = (
    Reading("one journal, and a twin", ClaimJournals(one=True)),
    Reading("several journals", ClaimJournals(twin=False)),
    Reading("several journals, and a twin", ClaimJournals(crashes=1), quick=False),
    Reading("several journals, released in the pass", ClaimJournals(twin=False, several_wait=False), "LOSS"),
    Reading("a replay claims by hash, one journal", ClaimJournals(one=True, claims_parts=False), "TAKEN"),
    Reading("a replay claims by hash, several journals", ClaimJournals(claims_parts=False), "TAKEN"),
    Reading(
        "what waits again is abandoned", ClaimJournals(twin=False, abandons="what is blocked", money_only=True), "LOSS"
    ),
    Reading("told before `node` knows", ClaimJournals(twin=False, event_waits=False), "CONTRADICTION"),
    Reading("`node` forgets by the clock alone", ClaimJournals(twin=False, node_keeps="for a time"), "CONTRADICTION"),
    Reading(
        "`node` forgets by the clock alone, in money",
        ClaimJournals(twin=False, node_keeps="for a time", money_only=True),
        "LOSS",
        quick=False,
    ),
)
