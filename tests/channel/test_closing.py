"""The ends of a channel: what leaves only behind a record, and what never leaves again."""

import msgspec
import pytest

from leyden.channel import effects as fx
from leyden.channel import limits
from leyden.channel.build import local_commitment
from leyden.channel.inputs import (
    BecomeReady,
    ChangeFeerate,
    Commit,
    Connected,
    DecideHtlcs,
    Disconnected,
    ForceClose,
    Learn,
    QueueAdd,
    ReleaseClaim,
    SetPolicy,
    StartShutdown,
)
from leyden.channel.session import Session
from leyden.channel.states import Closed, ForceClosing, MutualClose, Negotiating, Normal, ShuttingDown, Spent
from leyden.crypto import ec
from leyden.journal.records import (
    ChannelClosed,
    Closing,
    ForwardingPolicy,
    ForwardingSwitched,
    FundingAbandoned,
    FundingSpent,
    HtlcsDecided,
    PolicyChanged,
    ProvenStale,
    SpendDisconnected,
)
from leyden.signer.policy import SignerRefused
from leyden.wire.messages import (
    ChannelReestablish,
    ChannelUpdate,
    ClosingSigned,
    CommitmentSigned,
    FeeRange,
    UpdateFailHtlc,
    UpdateFulfillHtlc,
)
from tests.channel.pair import Pair, failure, fulfil, pending_add, ready_pair
from tests.channel.play import a, play, state_name
from tests.channel.test_commit import claim_of
from tests.channel.test_negotiating import negotiating, signed_by

SPENT = FundingSpent(b"transaction", 200, b"s" * 32)


def test_our_commitment_is_published_only_behind_a_closing_record() -> None:
    """The record names the commitment; the transaction is the one whose signature the journal holds (S1)."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    number = pair.a.core.local.number
    transcript = pair.a.handle(ForceClose("the user asked for it"))
    assert transcript == [
        Closing(number, "the user asked for it"),
        fx.FailPeer("the user asked for it"),
        fx.PublishCommitment(),
    ]
    assert type(pair.a.state) is ForceClosing
    core = pair.a.core
    point = pair.a.signer.per_commitment_point(pair.a.keys_id, number)
    commitment = local_commitment(pair.a.state.keys, core.local, point, number)
    assert ec.verify_ecdsa(core.opened.remote.funding_pubkey, commitment.digest(), core.local_signature)
    pair.a.signer.sign_holder_commitment(pair.a.keys_id, commitment)
    play(pair.a).on(ForceClose("again")).expect_nothing()


@pytest.mark.parametrize("crashed", [False, True])
def test_no_secret_is_revealed_after_closing(crashed: bool) -> None:
    """Neither for what the peer sends, nor after a restart, nor on a new connection (S1)."""
    pair = ready_pair()
    pair.offer(1, pending_add(1))
    pair.give(0, ForceClose("closing"))
    if crashed:
        pair.crash(0)
    number = pair.a.core.local.number
    pair.give(0, Connected())
    for message in pair.sent(1):
        transcript = pair.give(0, message)
        assert not [one for one in transcript if type(one) is fx.SendRevokeAndAck]
    pair.give(0, Commit())
    assert not pair.sent_kinds(0)
    assert pair.a.core.local.number == number
    pair.reconnect()
    pair.pump()
    assert "RevokeAndAck" not in pair.sent_kinds(0)
    assert [one for one in pair.a.seen if type(one) is fx.FailPeer]


def test_the_signer_would_refuse_too() -> None:
    """The last guard: a secret of a commitment that may be published is not given out."""
    pair = ready_pair()
    core = pair.a.core
    commitment = local_commitment(
        pair.a.state.keys, core.local, pair.a.signer.per_commitment_point(pair.a.keys_id, 0), 0
    )
    pair.a.signer.sign_holder_commitment(pair.a.keys_id, commitment)
    with pytest.raises(SignerRefused):
        pair.a.signer.release_commitment_secret(pair.a.keys_id, 0)


@pytest.mark.parametrize("state", [Normal, ShuttingDown, Negotiating, MutualClose])
def test_every_live_state_can_be_force_closed(state: type) -> None:
    """A peer that is gone, or that does not agree, never holds our money."""
    if state is Normal:
        pair = ready_pair()
    elif state is ShuttingDown:
        pair = ready_pair()
        pair.offered(0, pending_add(1))
        pair.give(0, StartShutdown(pair.a.signer.shutdown_script_pubkey(), 1_000))
    else:
        pair = negotiating()
        if state is MutualClose:
            pair.pump()
    assert type(pair.a.state) is state
    play(pair.a).on(ForceClose("gone")).expect(a(Closing, reason="gone"), fx.FailPeer, fx.PublishCommitment)
    assert type(pair.a.state) is ForceClosing


def ends(pair: Pair) -> list[tuple[object, type]]:
    """Inputs that end the channel, and the state that follows."""
    return [
        (ForceClose("gone"), ForceClosing),
        (Learn(SPENT), Spent),
        (Learn(ChannelClosed(300)), Closed),
        (Learn(FundingAbandoned("double-spent")), Closed),
        (Learn(ProvenStale(9)), type(pair.a.state)),
    ]


@pytest.mark.parametrize("which", range(5))
def test_what_waits_in_a_channel_that_ends_returns_to_its_owner_once(which: int) -> None:
    """A payment must not wait for ever in a queue that nobody reads, and must not be told twice."""
    pair = ready_pair()
    add = pending_add(1)
    pair.give(0, QueueAdd(add))
    event, _state = ends(pair)[which]
    refused = [one for one in pair.a.handle(event) if type(one) is fx.AddRefused]
    assert refused == [fx.AddRefused(add, limits.CLOSING)]
    play(pair.a).on(Disconnected()).expect_nothing()
    play(pair.a).on(QueueAdd(add)).expect(fx.AddRefused(add, limits.CLOSING))


@pytest.mark.parametrize("which", range(4))
def test_what_is_decided_in_a_channel_that_is_over_is_a_record_and_waits_in_no_queue(which: int) -> None:
    """The monitor claims by the record. A queue that is never signed would grow, and outlive a reorganisation."""
    pair = ready_pair()
    pair.offered(1, pending_add(1), pending_add(2), pending_add(3))
    pair.give(0, DecideHtlcs([], [failure(2)], []))  # waits for its signature when the channel ends
    event, _state = ends(pair)[which]
    pair.give(0, event)
    assert pair.a.session == Session()
    claim = claim_of(pair.a.core.opened.channel_id, 2, 1)
    play(pair.a).on(DecideHtlcs([fulfil(0, 1)], [], [claim])).expect(a(HtlcsDecided))
    play(pair.a).on(ReleaseClaim(claim.claim_id)).on(Commit()).expect_nothing()
    assert pair.a.session == Session()
    decided = {key: bool(htlc.preimage) for key, htlc in pair.a.core.inbound.items() if htlc.decided()}
    assert decided == {0: True, 1: True, 2: False}


def test_what_was_decided_while_the_chain_had_the_channel_is_sent_when_a_reorganisation_gives_it_back() -> None:
    """The promise is in the journal: each update leaves once, with the first signature of the new connection."""
    pair = ready_pair()
    pair.offered(1, pending_add(1), pending_add(2), pending_add(3))
    pair.give(0, DecideHtlcs([], [failure(1)], []))
    pair.give(0, Learn(SPENT))
    pair.give(0, DecideHtlcs([fulfil(0, 1)], [failure(2)], []))
    pair.give(0, Learn(SpendDisconnected(199)))
    assert pair.a.session == Session()
    pair.reconnect()
    pair.deliver(1)
    sent = [message for message in pair.sent(0) if not isinstance(message, ChannelReestablish | ChannelUpdate)]
    assert [(type(one), getattr(one, "id", None)) for one in sent] == [
        (UpdateFulfillHtlc, 0),
        (UpdateFailHtlc, 1),
        (UpdateFailHtlc, 2),
        (CommitmentSigned, None),
    ]
    pair.pump()
    assert not pair.a.core.inbound
    assert {key: bool(one.removal.preimage) for key, one in pair.b.core.outcomes.items()} == {
        0: True,
        1: False,
        2: False,
    }


@pytest.mark.parametrize("which", range(4))
def test_a_channel_that_is_over_ignores_its_peer_and_its_owner(which: int) -> None:
    """Nothing off chain changes it any more."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    pair.resolve(1, fulfil(0, 1))
    messages = pair.sent(1)
    event, state = ends(pair)[which]
    pair.give(0, event)
    assert type(pair.a.state) is state
    dialogue = play(pair.a)
    for message in messages:
        dialogue.on(message)
    for own in (
        Commit(),
        ChangeFeerate(2_000),
        BecomeReady(5),
        SetPolicy(ForwardingPolicy(1, 1, 40, 1), 5),
        StartShutdown(b"\x00\x14" + bytes(20), 1),
        ForceClose("again"),
        Connected(),
        Disconnected(),
    ):
        dialogue.on(own)
    dialogue.expect_nothing()


def test_the_life_of_a_spend_on_chain() -> None:
    """Seen in a block, perhaps undone by a reorganisation, at last deep enough; each is told to the user once."""
    pair = ready_pair()
    play(pair.a).on(Learn(SPENT)).expect(SPENT, fx.EventsRaised)
    assert state_name(pair.a.state) == "Spent"
    undone = SpendDisconnected(199)
    play(pair.a).on(Learn(undone)).expect(undone, a(fx.WarnPeer, disconnect=True))
    assert state_name(pair.a.state) == "Normal"
    assert not pair.a.session.connected
    pair.reconnect()
    pair.pump()
    assert pair.offered(0, pending_add(1)) == [0]
    for record in (SPENT, ChannelClosed(300)):
        play(pair.a).on(Learn(record)).expect(record, fx.EventsRaised)
    assert state_name(pair.a.state) == "Closed"
    assert list(pair.a.core.events.values())[-1] == ["channel_closed", "the peer published its commitment"]


def test_a_reorganisation_does_not_revive_a_channel_that_is_force_closed() -> None:
    """Our commitment is out: whatever the chain does, no secret follows."""
    pair = ready_pair()
    pair.give(0, ForceClose("gone"))
    play(pair.a).on(Learn(SPENT)).on(Learn(SpendDisconnected(199)))
    assert type(pair.a.state) is ForceClosing
    for record in (SPENT, ChannelClosed(300)):
        pair.give(0, Learn(record))
    assert list(pair.a.core.events.values())[-1] == ["channel_closed", "gone"]


def test_after_an_agreed_close_the_fee_is_repeated_to_a_peer_that_missed_it() -> None:
    """The last message was lost: the opener says its fee again, and the fundee insists on the one that is signed."""
    pair = negotiating()
    pair.finish_pass(0)
    pair.deliver(0)
    assert [type(party.state) for party in pair.parties] == [Negotiating, MutualClose]
    agreed = pair.b.core.close_agreed
    assert agreed is not None
    # The opener wants to pay three times as much now; its range still holds the old fee.
    pair.a.env = msgspec.structs.replace(pair.a.env, closing_feerate_per_kw=1_900)
    pair.reconnect()
    pair.pump()
    assert pair.a.core.close_agreed == agreed
    # The other way round: the opener has both signatures, the fundee comes back with nothing.
    pair = negotiating()
    pair.pump()
    pair.crash(1, lost=1)
    assert type(pair.b.state) is Negotiating
    pair.reconnect()
    pair.pump()
    assert pair.a.core.close_agreed == pair.b.core.close_agreed


def test_after_an_agreed_close_the_answer_is_always_the_signed_fee() -> None:
    """And that alone is our range; the transaction is broadcast again."""
    pair = negotiating()
    pair.pump()
    agreed = pair.b.core.close_agreed
    assert agreed is not None
    fee = agreed.fee_satoshis
    pair.reconnect()
    pair.deliver(0)
    message = signed_by(pair.a, fee + 100)
    dialogue = play(pair.b).on(message).expect(fx.SignClosing(fee, 0), fx.PublishClose)
    dialogue.signed().expect(a(ClosingSigned, fee_satoshis=fee, fee_range=FeeRange(fee, fee)))
    dialogue.on(message).expect(fx.SignClosing(fee, 0), fx.PublishClose)
    dialogue.on(signed_by(pair.a, fee)).expect(fx.PublishClose)
    assert type(pair.b.state) is MutualClose


def test_a_cooperative_close_ends_as_one() -> None:
    """What the user is told about why the channel is gone."""
    pair = negotiating()
    pair.pump()
    pair.give(0, Learn(SPENT))
    pair.give(0, Learn(ChannelClosed(300)))
    assert list(pair.a.core.events.values())[-1] == ["channel_closed", "cooperative close"]


def test_the_policy_of_a_live_channel_is_a_record() -> None:
    """What we ask for forwarding outlives a restart, and a peer that is there is told at once."""
    pair = ready_pair()
    policy = ForwardingPolicy(5, 6, 80, 7)
    changed = PolicyChanged(policy, 1_700_000_000)
    play(pair.a).on(SetPolicy(policy, 1_700_000_000)).expect(changed, fx.SendChannelUpdate)
    pair.disconnect()
    # A later update has a later timestamp, also within one second.
    play(pair.a).on(SetPolicy(policy, 1_700_000_000)).expect(PolicyChanged(policy, 1_700_000_001))
    switched = ForwardingSwitched(policy, 1_700_000_002, is_disabled=True)
    play(pair.a).on(SetPolicy(policy, 1, is_disabled=True)).expect(switched)
    pair.crash(0)
    assert (pair.a.core.policy, pair.a.core.policy_timestamp) == (policy, 1_700_000_002)
    assert pair.a.core.forwarding_disabled
