"""The tables: every state takes every input, and whatever a channel can want or refuse is seen in some dialogue."""

import inspect
from collections.abc import Callable
from typing import Any, get_args

import pytest

from leyden.base.errors import CommandRejected, PeerViolation, Reaction
from leyden.channel import effects as fx
from leyden.channel import errors, inputs
from leyden.channel.dispatch import apply, decide, evolve
from leyden.channel.errors import UnexpectedMessage
from leyden.channel.inputs import (
    BecomeReady,
    ChangeFeerate,
    ClosingSignature,
    Commit,
    Connected,
    DecideHtlcs,
    Disconnected,
    ForceClose,
    Learn,
    QueueAdd,
    ReleaseClaim,
    SetPolicy,
    Show,
    StartShutdown,
    Withdraw,
)
from leyden.channel.session import FeerateQueued
from leyden.channel.states import ChannelState
from leyden.journal.records import (
    ChannelClosed,
    FundingDisconnected,
    FundingSpent,
    HtlcsShown,
    LocalReady,
    PolicyChanged,
    ProvenStale,
)
from leyden.wire.messages import (
    ChannelReady,
    ChannelReestablish,
    ClosingSigned,
    CommitmentSigned,
    OpenChannel,
    RevokeAndAck,
    Shutdown,
    UpdateAddHtlc,
    UpdateFailHtlc,
    UpdateFailMalformedHtlc,
    UpdateFee,
    UpdateFulfillHtlc,
)
from tests.channel.pair import FUNDING_BLOCK, POLICY, Pair, born_pair, failure, fulfil, pending_add, ready_pair
from tests.channel.play import Party, play
from tests.channel.test_negotiating import negotiating, signed_by
from tests.channel.test_receive import add, removal

WPKH = b"\x00\x14" + b"w" * 20


def shutting_down() -> Party:
    """An HTLC is left to settle."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    pair.give(0, StartShutdown(WPKH, 1_000))
    return pair.a


def mutual() -> Party:
    """Both have signed."""
    pair = negotiating()
    pair.pump()
    return pair.a


def after(event: object) -> Callable[[], Party]:
    """A usable channel after this input."""

    def build() -> Party:
        party = ready_pair().a
        party.handle(event)
        return party

    return build


PARTIES: dict[str, Callable[[], Party]] = {
    "AwaitingReady": lambda: born_pair().a,
    "Normal": lambda: ready_pair().a,
    "ShuttingDown": shutting_down,
    "Negotiating": lambda: negotiating().a,
    "MutualClose": mutual,
    "ForceClosing": after(ForceClose("gone")),
    "Stale": after(Learn(ProvenStale(5))),
    "Spent": after(Learn(FundingSpent(b"t", 1, b"b"))),
    "Closed": after(Learn(ChannelClosed(9))),
}


def own_inputs() -> list[Any]:
    """One of each command."""
    return [
        QueueAdd(pending_add(9)),
        DecideHtlcs([], [], []),
        ReleaseClaim(b"c" * 32),
        Withdraw(1),
        Show(HtlcsShown(b"x" * 32, [], b"h" * 32, b"s" * 32, "invoice", 1, 480, b"", [])),
        Commit(),
        ChangeFeerate(2_000),
        BecomeReady(5),
        Connected(),
        Disconnected(),
        StartShutdown(WPKH, 1_000),
        ForceClose("reason"),
        SetPolicy(POLICY, 5),
        Learn(PolicyChanged(POLICY, 6)),
        ClosingSignature(bytes(64), 1, 0),
    ]


def peer_messages(channel_id: bytes, point: bytes) -> list[Any]:
    """One of each message of BOLT 2 that a born channel may get."""
    return [
        ChannelReady(channel_id, point, 5),
        UpdateAddHtlc(channel_id, 0, 1_000_000, b"h" * 32, 500, bytes(1366)),
        UpdateFulfillHtlc(channel_id, 0, b"p" * 32),
        UpdateFailHtlc(channel_id, 0, b"r" * 292),
        UpdateFailMalformedHtlc(channel_id, 0, b"s" * 32, 0xC005),
        CommitmentSigned(channel_id, bytes(64), ()),
        RevokeAndAck(channel_id, b"\x01" * 32, point),
        UpdateFee(channel_id, 2_000),
        ChannelReestablish(channel_id, 1, 0, bytes(32), point),
        Shutdown(channel_id, WPKH),
        ClosingSigned(channel_id, 1_000, bytes(64)),
    ]


def test_the_lists_of_this_file_are_complete() -> None:
    """A new input, state, effect or violation must be added here."""
    assert {type(one) for one in own_inputs()} == set(get_args(inputs.Command))
    assert set(PARTIES) == {state.__name__ for state in get_args(ChannelState)}
    for name, build in PARTIES.items():
        assert type(build().state).__name__ == name


@pytest.mark.parametrize("state", list(PARTIES))
def test_every_state_takes_every_command(state: str) -> None:
    """The owner's wishes never end in the peer being blamed, and never in a bug."""
    for event in own_inputs():
        party = PARTIES[state]()
        if state == "Stale" and type(event) in (ForceClose, StartShutdown):
            play(party).refuses(event, CommandRejected, "lost data")
        else:
            party.handle(event)


@pytest.mark.parametrize("state", list(PARTIES))
@pytest.mark.parametrize("connected", [True, False])
def test_every_state_takes_or_refuses_every_message(state: str, connected: bool) -> None:
    """Whatever the peer sends, whenever: taken, ignored, or refused as its own violation (S10)."""
    for position in range(11):
        party = PARTIES[state]()
        if not connected:
            party.handle(Disconnected())
        message = peer_messages(party.core.opened.channel_id, party.signer.node_id)[position]
        try:
            party.handle(message)
        except PeerViolation:
            assert state in {"AwaitingReady", "Normal", "ShuttingDown", "Negotiating", "MutualClose"}


def test_a_message_that_is_not_of_a_born_channel_is_unexpected() -> None:
    """Nothing is guessed from it."""
    party = ready_pair().a
    fields: dict[str, Any] = dict.fromkeys(OpenChannel.__struct_fields__, b"")
    play(party).refuses(OpenChannel(**fields), UnexpectedMessage, "unexpected OpenChannel")


def test_decide_changes_nothing_evolve_only_what_is_durable_and_apply_only_what_is_not() -> None:
    """The three doors of the machine (P2): the party of the harness checks the first at every input."""
    party = ready_pair().a
    decision = decide(party.state, ChangeFeerate(2_000), party.env)
    assert decision.facts == (FeerateQueued(2_000),)
    assert party.session.queued_feerate_per_kw == 0
    position = party.core.position
    apply(party.state, decision.facts[0])
    assert (party.session.queued_feerate_per_kw, party.core.position) == (2_000, position)
    state = evolve(party.state, LocalReady(77))
    assert state is party.state
    assert (party.core.local_alias, party.core.position) == (77, position + 1)


# --- everything a channel may want or refuse
# ---------------------------------------------------------------------------


def told(*dialogues: tuple[Party, Any]) -> list[Any]:
    """What each party answers."""
    return [one for party, event in dialogues for one in party.handle(event)]


def fees_apart() -> list[Any]:
    """Ranges that do not meet."""
    pair = negotiating()
    return told((pair.b, signed_by(pair.a, 10, (5, 20))))


def wants() -> list[Any]:
    """Dialogues in which every effect occurs."""
    party = PARTIES["Normal"]
    pair = ready_pair()
    pair.offered(0, pending_add(1), pending_add(2))
    got: list[Any] = list(pair.b.seen)
    pair.resolve(1, fulfil(0, 1), failure(1))
    pair.pump()
    got += [*pair.a.seen, *fees_apart(), *told((party(), ForceClose("gone")), (party(), QueueAdd(pending_add(1, 0))))]
    offering = party()
    got += told((offering, QueueAdd(pending_add(1, 0))), (offering, Commit()))
    got += told((offering, QueueAdd(pending_add(1))), (offering, Commit()))
    born = born_pair()
    born.set_env(block_height=110)
    got += told((born.a, Learn(FUNDING_BLOCK)), (born.a, BecomeReady(5)), (born.a, Learn(FundingDisconnected(100))))
    ready = ready_pair()
    got += told((ready.b, add(ready.b)), (ready.a, StartShutdown(WPKH, 1_000)))
    again = ready_pair()
    again.reconnect()
    got += [one for message in again.sent(1) for one in told((again.a, message))]
    receiving = ready_pair()
    receiving.offer(0, pending_add(1))
    got += [one for message in receiving.sent(0) for one in told((receiving.b, message))]
    withdrawing = ready_pair()
    withdrawing.offer(0, pending_add(1))
    withdrawing.disconnect()
    got += told((withdrawing.a, Withdraw(1)))
    both = born_pair(accept={"minimum_depth": 0})
    both.give(0, BecomeReady(5))
    both.give(1, both.sent(0)[0])
    got += told((both.b, BecomeReady(6)))
    closing = negotiating()
    got += told((closing.a, Commit()))
    closing.collect(0)
    closing.pump()
    return got + closing.a.seen + closing.b.seen


def test_every_effect_is_wanted_in_some_dialogue() -> None:
    """One that nobody ever wants is dead, and one that nobody tests is worse."""
    kinds = {type(one) for one in wants()} | {
        fx.SendMessage for one in wants() if type(one) in {Shutdown, UpdateAddHtlc}
    }
    assert {kind for kind in get_args(fx.Effect) if kind not in kinds} == set()


def refused(party: Party, event: object) -> PeerViolation:
    """The violation that an input is refused with."""
    with pytest.raises(PeerViolation) as raised:
        party.handle(event)
    return raised.value


def refusals() -> list[PeerViolation]:
    """Dialogues in which every violation of a born channel occurs."""
    pair: Pair = ready_pair()
    channel_id, point = pair.a.core.opened.channel_id, pair.a.signer.node_id
    quiet = ready_pair()
    quiet.disconnect()
    quiet.reconnect()
    close = negotiating()
    return [
        refused(PARTIES["Normal"](), ClosingSigned(channel_id, 1, bytes(64))),
        refused(quiet.a, add(quiet.a)),
        refused(pair.a, add(pair.a, 7)),
        refused(pair.a, removal("fail", pair.a, 7)),
        refused(pair.a, UpdateFee(channel_id, 2_000)),
        refused(pair.a, CommitmentSigned(channel_id, bytes(64), ())),
        refused(pair.a, RevokeAndAck(channel_id, b"\x01" * 32, point)),
        refused(quiet.a, ChannelReestablish(channel_id, 0, 0, bytes(32), point)),
        refused(born_pair().a, ChannelReady(channel_id, b"\x02" + b"\xff" * 32)),
        refused(pair.a, Shutdown(channel_id, b"")),
        refused(close.b, ClosingSigned(channel_id, 1_000, bytes(64))),
    ]


def test_every_violation_occurs_and_says_what_is_wrong() -> None:
    """Each class has its rule, its reaction and a sentence of printable ASCII that may be sent to the peer."""
    classes = {
        one
        for _name, one in inspect.getmembers(errors, inspect.isclass)
        if issubclass(one, PeerViolation) and one not in {PeerViolation, errors.ChannelViolation}
    }
    found = refusals()
    assert {type(one) for one in found} == classes
    for one in found:
        assert one.what.isascii()
        assert one.what.isprintable()
        assert "BOLT 2" in (type(one).__doc__ or "") or type(one) is UnexpectedMessage
    reactions = {one: one.reaction for one in classes}
    gentle = {one for one, reaction in reactions.items() if reaction is Reaction.DISCONNECT}
    assert gentle == {errors.InvalidShutdown, errors.NotReestablished}
    assert set(reactions.values()) == {Reaction.DISCONNECT, Reaction.FAIL_CHANNEL}
