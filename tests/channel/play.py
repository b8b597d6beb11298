"""Dialogues with a channel: `play(party).on(input).expect(records and effects)` compares whole transcripts.

A `Party` is one end of a channel: its journal as bytes, the state that follows from it, a signer. Whatever a test does
with it, after each input the party checks what must always hold: at most one record a decision, records survive their
encoding, the fold of the journal and of a snapshot and its tail are the state, and no millisatoshi appears or is lost.
A `Pair` (pair.py) wires two of them together.
"""

import re
from collections.abc import Callable, Sized
from typing import Any

import msgspec
import pytest

from leyden.base.errors import CommandRejected, PeerViolation
from leyden.bitcoin.networks import REGTEST
from leyden.channel import effects as fx
from leyden.channel.build import remote_commitment
from leyden.channel.core import ChannelCore, new_core
from leyden.channel.dispatch import apply, decide, evolve
from leyden.channel.env import ChannelEnv, ChannelLimits
from leyden.channel.fold import fold
from leyden.channel.inputs import ClosingSignature
from leyden.channel.negotiating import closing_form
from leyden.channel.opening_v1 import born
from leyden.channel.session import Session
from leyden.channel.snapshot import decode_core, encode_core, snapshot_of
from leyden.channel.states import ChannelState, state_class
from leyden.channel.view import CommitmentView
from leyden.journal.codec import decode_record, encode_record
from leyden.journal.records import ChannelOpened, ChannelRecord
from leyden.signer.in_memory import InMemorySigner
from leyden.wire.messages import ChannelReady, CommitmentSigned, RevokeAndAck, decode, encode


def environment(signer: InMemorySigner, limits: ChannelLimits, **changes: Any) -> ChannelEnv:
    """What a party sees of the world unless a test says otherwise: height 100, bounds wide enough for everything."""
    fields: dict[str, Any] = {
        "block_height": 100,
        "feerate_per_kw": 1_000,
        "feerate_min_per_kw": 253,
        "feerate_max_per_kw": 50_000,
        "closing_feerate_per_kw": 1_000,
        "limits": limits,
        "point_of": signer.per_commitment_point,
        "shutdown_script_of": lambda _keys_id: signer.shutdown_script_pubkey(),
    }
    return ChannelEnv(**(fields | changes))


class Crash(Exception):
    """A party dies right after a record, before anything of the decision leaves."""


class Party:
    """One end of a channel. `out`: encoded messages that may leave now, in order. `seen`: every effect that is no
    message.

    to_sign: closing transactions that wait for the signer. journal: the records as bytes; all of them are durable.
    crash_at: raise `Crash` when the journal gets this many records (0: never).
    """

    def __init__(self, seed: bytes, keys_id: bytes, limits: ChannelLimits | None = None) -> None:
        self.seed, self.keys_id = seed, keys_id
        self.signer = InMemorySigner(seed, REGTEST)
        self.env = environment(self.signer, limits or ChannelLimits())
        self.journal: list[bytes] = []
        self.state: Any = None
        self.out: list[bytes] = []
        self.seen: list[Any] = []
        self.to_sign: list[fx.SignClosing] = []
        self.on_effect: Callable[[Any], None] | None = None
        self.crash_at = 0

    # --- life ----------------------------------------------------------------------------------------------------

    def be_born(self, opened: ChannelOpened) -> None:
        """Begin the journal."""
        self.journal = [encode_record(opened)]
        self.state = born(opened)
        self._shadows()

    def _shadows(self) -> None:
        """Two more folds of the same journal: from its bytes alone, and from a snapshot that is taken now and then."""
        self.refolded = fold_journal(self.journal)
        self.from_snapshot = decode_core(encode_core(self.refolded))
        self.snapshots = 1

    @property
    def core(self) -> ChannelCore:
        """The durable state."""
        core: ChannelCore = self.state.core
        return core

    @property
    def session(self) -> Session:
        """The volatile state."""
        session: Session = self.state.session
        return session

    @property
    def records(self) -> list[ChannelRecord]:
        """The journal."""
        return [decode_record(encoded) for encoded in self.journal]

    def crash(self, lost: int = 0) -> None:
        """Die and start again from the journal without its last `lost` records; nothing that waited to leave leaves."""
        del self.journal[len(self.journal) - lost :]
        self.signer = InMemorySigner(self.seed, REGTEST)
        self.env = msgspec.structs.replace(self.env, point_of=self.signer.per_commitment_point)
        core = fold_journal(self.journal)
        self.state = state_class(core)(core, Session(), born(core.opened).keys)
        self.out, self.to_sign = [], []
        self._shadows()

    # --- one input -----------------------------------------------------------------------------------------------

    def handle(self, event: object) -> list[Any]:
        """Let the channel decide on an input; return the records and effects, messages decoded.

        Raises: PeerViolation, CommandRejected: then nothing has changed.
        """
        before = self.fingerprint()
        try:
            decision = decide(self.state, event, self.env)
        except (PeerViolation, CommandRejected):
            assert self.fingerprint() == before, "a refusal changes nothing"
            raise
        assert self.fingerprint() == before, "deciding changes nothing"
        assert len(decision.records) <= 1, "one decision, one record"
        for record in decision.records:
            self._evolve(record)
        for fact in decision.facts:
            apply(self.state, fact)
        transcript: list[Any] = list(decision.records)
        for effect in decision.effects:
            transcript.append(decode(effect.message) if type(effect) is fx.SendMessage else effect)
            self._release(effect)
        self.check(evolved=bool(decision.records))
        return transcript

    def _evolve(self, record: ChannelRecord) -> None:
        encoded = encode_record(record)
        decoded = decode_record(encoded)
        assert decoded == record, "a record survives its encoding"
        assert encode_record(decoded) == encoded
        self.journal.append(encoded)
        if len(self.journal) == self.crash_at:
            self.crash_at = 0
            raise Crash
        self.state = evolve(self.state, record)
        fold(self.refolded, decoded)
        fold(self.from_snapshot, decode_record(encoded))
        if len(self.journal) % (self.snapshots + 1) == 0:
            self.from_snapshot = decode_core(encode_core(self.from_snapshot))
            self.snapshots += 1

    def _release(self, effect: Any) -> None:
        """Carry out an effect: what a message says is signed now."""
        core = self.core
        kind = type(effect)
        if kind is fx.SendMessage:
            self.out.append(effect.message)
        elif kind is fx.SendCommitmentSigned:
            commitment = remote_commitment(self.state.keys, core.remote, core.remote_point)
            signature, htlc_signatures = self.signer.sign_counterparty_commitment(self.keys_id, commitment)
            self.out.append(encode(CommitmentSigned(core.opened.channel_id, signature, tuple(htlc_signatures))))
        elif kind is fx.SendRevokeAndAck:
            secret = self.signer.release_commitment_secret(self.keys_id, effect.number)
            point = self.signer.per_commitment_point(self.keys_id, effect.number + 2)
            self.out.append(encode(RevokeAndAck(core.opened.channel_id, secret, point)))
        elif kind is fx.SendChannelReady:
            point = self.signer.per_commitment_point(self.keys_id, 1)
            self.out.append(encode(ChannelReady(core.opened.channel_id, point, core.local_alias or None)))
        elif kind is fx.SignClosing:
            self.to_sign.append(effect)
        else:
            self.seen.append(effect)
            if self.on_effect is not None:
                self.on_effect(effect)

    def answer_of_signer(self) -> ClosingSignature:
        """The signer's answer to the oldest closing transaction that waits for it."""
        asked = self.to_sign.pop(0)
        closing = closing_form(self.state, asked.fee_satoshis, asked.form)
        return ClosingSignature(self.signer.sign_closing(self.keys_id, closing), asked.fee_satoshis, asked.form)

    # --- what always holds ---------------------------------------------------------------------------------------

    def fingerprint(self) -> Any:
        """What of the state a decision might have changed by mistake, as a value: numbers and how much is where."""
        fields = msgspec.structs.asdict(self.session)
        del fields["next_local"]  # a cache, made on first use
        sizes = [len(value) if isinstance(value, Sized) else value for value in fields.values()]
        return (type(self.state), len(self.journal), self.core.position, sizes)

    def check(self, evolved: bool) -> None:
        """Assert every invariant of one party. A volatile change of a channel full of HTLCs is not worth the whole
        check.
        """
        core, following = self.core, self.session.next_local
        if following is not None and (evolved or len(following.htlcs) < 30):
            check_view(following, core.opened.funding_satoshis * 1000)
        if not evolved:
            return
        assert type(self.state) is state_class(core), "the state follows from the journal"
        assert core.position == len(self.journal)
        now = snapshot_of(core)
        assert snapshot_of(self.refolded) == now, "the journal folds to the state (P4)"
        assert snapshot_of(self.from_snapshot) == now, "snapshot and tail fold to the state (P4)"
        assert self.refolded.penalty_rows == core.penalty_rows
        for view in (core.local, core.remote, core.remote_prior):
            if view is not None:
                check_view(view, core.opened.funding_satoshis * 1000)


def fold_journal(journal: list[bytes]) -> ChannelCore:
    """The state that a journal's bytes fold to."""
    opened = decode_record(journal[0])
    assert isinstance(opened, ChannelOpened)
    core = new_core(opened)
    for encoded in journal[1:]:
        fold(core, decode_record(encoded))
    return core


def check_view(view: CommitmentView, funding_msat: int) -> None:
    """Assert that a commitment holds exactly the channel's money, and that its counters are those of its HTLCs."""
    amounts = {key: htlc.amount_msat for key, htlc in view.htlcs.items()}
    assert view.local_msat + view.remote_msat + sum(amounts.values()) == funding_msat, "money is conserved (S7)"
    assert view.local_msat >= 0
    assert view.remote_msat >= 0
    offered = [amount for key, amount in amounts.items() if key & 1]
    received = [amount for key, amount in amounts.items() if not key & 1]
    assert (view.offered_count, view.offered_msat) == (len(offered), sum(offered))
    assert (view.received_count, view.received_msat) == (len(received), sum(received))
    thresholds = (view.offered_threshold_msat, view.received_threshold_msat)
    dust = [amount for amount in offered if amount < thresholds[0]]
    dust += [amount for amount in received if amount < thresholds[1]]
    assert view.dust_msat == sum(dust)
    assert view.untrimmed == len(amounts) - len(dust)


class a:  # noqa: N801 - reads as a sentence: `expect(a(UpdateAddHtlc, id=0))`
    """Matches a value of this type with these fields."""

    def __init__(self, kind: type, **fields: Any) -> None:
        self.kind, self.fields = kind, fields

    def __eq__(self, other: object) -> bool:
        return type(other) is self.kind and all(getattr(other, name) == value for name, value in self.fields.items())

    def __hash__(self) -> int:
        raise TypeError("a matcher is no key")

    def __repr__(self) -> str:
        return f"a {self.kind.__name__}({', '.join(f'{name}={value!r}' for name, value in self.fields.items())})"


class Play:
    """A dialogue with one party; see the module."""

    def __init__(self, party: Party) -> None:
        self.party = party
        self.transcript: list[Any] = []

    def on(self, event: object) -> "Play":
        """Give an input or a wire message, as bytes or value."""
        self.transcript += self.party.handle(decode(event) if isinstance(event, bytes) else event)
        return self

    def signed(self) -> "Play":
        """The signer answers the oldest `SignClosing`."""
        return self.on(self.party.answer_of_signer())

    def expect(self, *expected: Any) -> "Play":
        """Everything since the last call is exactly this: types, values, `a(...)`; messages are those on the wire."""
        got, self.transcript = self.transcript, []
        lines = []
        for place in range(max(len(got), len(expected))):
            one = got[place] if place < len(got) else None
            want = expected[place] if place < len(expected) else None
            fits = type(one) is want if isinstance(want, type) else want is not None and want == one
            lines.append(f"  {shorten(one)}" if fits else f"! {shorten(one)}   <- expected {shorten(want)}")
        assert not any(line.startswith("!") for line in lines), "\n" + "\n".join(lines)
        return self

    def expect_nothing(self) -> "Play":
        """No record and no effect."""
        return self.expect()

    def refuses(self, event: object, kind: type[PeerViolation] | type[CommandRejected], text: str = "") -> "Play":
        """The input is refused with this error and changes nothing."""
        with pytest.raises(kind, match=re.escape(text) or None) as refused:
            self.party.handle(decode(event) if isinstance(event, bytes) else event)
        assert type(refused.value) is kind
        return self


def shorten(value: object) -> str:
    """A value for the transcript of a failure."""
    text = value.__name__ if isinstance(value, type) else repr(value)
    return text if len(text) < 160 else text[:157] + "..."


def play(party: Party) -> Play:
    """Begin a dialogue with `party`."""
    return Play(party)


def state_name(state: ChannelState) -> str:
    """The name of a state as the table of `states.py` has it."""
    return type(state).__name__
