"""`channel_ready`: when it is sent, what it brings, and what a repetition may change."""

import msgspec
import pytest

from leyden.channel import effects as fx
from leyden.channel.errors import InvalidOpen
from leyden.channel.inputs import BecomeReady, Commit, ForceClose, Learn, QueueAdd
from leyden.channel.ready import depth
from leyden.channel.states import AwaitingReady, Closed, ForceClosing, Normal
from leyden.journal.records import (
    Closing,
    FundingAbandoned,
    FundingConfirmed,
    FundingDisconnected,
    LocalReady,
    RemoteReady,
)
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from leyden.wire.messages import ChannelReady
from tests.channel.pair import FUNDING_BLOCK, born_pair, pending_add, ready_pair
from tests.channel.play import a, play


def test_channel_ready_is_sent_at_minimum_depth_and_not_before() -> None:
    """Money in a funding that is not deep enough can still be double-spent."""
    pair = born_pair(accept={"minimum_depth": 3})
    play(pair.b).on(Learn(FUNDING_BLOCK)).expect(FUNDING_BLOCK, fx.EventsRaised)
    for height, confirmations in ((101, 1), (102, 2)):
        pair.set_env(block_height=height)
        assert depth(pair.b.core, height) == confirmations
        play(pair.b).on(BecomeReady(7)).expect_nothing()
    pair.set_env(block_height=103)
    play(pair.b).on(BecomeReady(7)).expect(LocalReady(7), fx.SendChannelReady)
    play(pair.b).on(BecomeReady(8)).expect_nothing()
    assert not pair.b.core.events, "the user hears of it when both are ready"
    assert type(pair.b.state) is AwaitingReady


def test_an_unconfirmed_or_reorganised_funding_has_no_depth() -> None:
    """A block that left the best chain confirms nothing."""
    pair = born_pair()
    pair.set_env(block_height=200)
    play(pair.a).on(BecomeReady(7)).expect_nothing()
    play(pair.a).on(Learn(FUNDING_BLOCK)).on(Learn(FundingDisconnected(100)))
    assert pair.a.core.funding is None
    play(pair.a).on(BecomeReady(7)).expect_nothing()


def test_the_channel_is_usable_when_both_have_said_channel_ready() -> None:
    """Either order leads to Normal, one event each, and our policy is told to the peer."""
    pair = born_pair()
    pair.set_env(block_height=110)
    for party in pair.parties:
        party.handle(Learn(FUNDING_BLOCK))
    play(pair.a).on(BecomeReady(7)).expect(LocalReady(7), fx.SendChannelReady)
    pair.collect(0)
    (message,) = pair.sent(0)
    assert message.short_channel_id == 7
    play(pair.b).on(message).expect(RemoteReady(message.second_per_commitment_point, 7))
    play(pair.b).on(BecomeReady(9)).expect(
        LocalReady(9), fx.SendChannelReady, fx.Ready, fx.EventsRaised, fx.SendChannelUpdate
    )
    pair.collect(1)
    play(pair.a).on(pair.sent(1)[0]).expect(RemoteReady, fx.Ready, fx.EventsRaised, fx.SendChannelUpdate)
    for party in pair.parties:
        assert type(party.state) is Normal
        assert [name for name, *_ in party.core.events.values()] == ["channel_ready"]
    assert (pair.a.core.remote_alias, pair.b.core.remote_alias) == (9, 7)


def test_second_per_commitment_point_is_that_of_commitment_one() -> None:
    """With another point the first payment's signature would not hold."""
    pair = ready_pair()
    assert pair.b.core.remote_next_point == pair.a.signer.per_commitment_point(pair.a.keys_id, 1)


@pytest.mark.parametrize("kind", [CommitmentFormat.ANCHORS, CommitmentFormat.STATIC_REMOTEKEY])
def test_zero_conf_is_usable_at_once_and_gets_its_short_channel_id_later(kind: CommitmentFormat) -> None:
    """The alias carries the channel until there is a block, and a reorganisation may change what the block said."""
    zero_conf = ChannelType(kind, scid_alias=True, zeroconf=True)
    pair = born_pair(accept={"minimum_depth": 0}, channel_type=zero_conf)
    for who in (0, 1):
        pair.give(who, BecomeReady(1_000 + who))
    pair.pump()
    assert all(type(party.state) is Normal and party.core.funding is None for party in pair.parties)
    assert pair.offered(0, pending_add(1)) == [0]
    pair.give(0, Learn(FUNDING_BLOCK))
    assert pair.a.core.funding == FUNDING_BLOCK
    pair.give(0, Learn(FundingDisconnected(100)))
    pair.give(0, Learn(FundingConfirmed(105, b"c" * 32, 105 << 40)))
    assert pair.a.core.funding is not None
    assert pair.a.core.funding.short_channel_id == 105 << 40
    assert pair.a.core.local_alias == 1_000
    assert type(pair.a.state) is Normal


def test_a_redundant_channel_ready_is_ignored_and_another_alias_is_taken() -> None:
    """Peers repeat it after a reconnection; a new alias must reach invoices and routes."""
    pair = ready_pair()
    point = pair.b.signer.per_commitment_point(pair.b.keys_id, 1)
    channel_id = pair.a.core.opened.channel_id
    play(pair.a).on(ChannelReady(channel_id, point, 1_001)).expect_nothing()
    play(pair.a).on(ChannelReady(channel_id, point)).expect_nothing()
    play(pair.a).on(ChannelReady(channel_id, point, 55)).expect(RemoteReady(point, 55))
    assert pair.a.core.remote_alias == 55
    pair.offered(0, pending_add(1))
    # Later the point is old; only the alias counts.
    play(pair.a).on(ChannelReady(channel_id, point, 56)).expect(a(RemoteReady, alias=56))
    assert pair.a.core.remote_next_point == pair.b.signer.per_commitment_point(pair.b.keys_id, 2)


def test_a_bad_or_changed_point_fails() -> None:
    """We could not build the peer's next commitment with it."""
    pair = born_pair()
    message = ChannelReady(pair.a.core.opened.channel_id, b"\x02" + b"\xff" * 32)
    play(pair.a).refuses(message, InvalidOpen, "second_per_commitment_point is not a point")
    pair = ready_pair()
    other = msgspec.structs.replace(message, second_per_commitment_point=pair.a.signer.node_id)
    play(pair.a).refuses(other, InvalidOpen, "another second_per_commitment_point")


def test_a_channel_may_become_ready_while_the_peer_is_away() -> None:
    """The record stands, `channel_ready` leaves with the next connection."""
    pair = born_pair()
    pair.set_env(block_height=110)
    pair.disconnect()
    for who in (0, 1):
        pair.give(who, Learn(FUNDING_BLOCK))
        play(pair.parties[who]).on(BecomeReady(1_000 + who)).expect(a(LocalReady, alias=1_000 + who))
    pair.reconnect()
    pair.pump()
    assert all(type(party.state) is Normal for party in pair.parties)


def test_nothing_is_offered_or_signed_before_both_are_ready() -> None:
    """The peer's point for commitment 1 is not known yet."""
    pair = born_pair()
    play(pair.a).on(QueueAdd(pending_add(1))).expect(fx.AddRefused)
    play(pair.a).on(Commit()).expect_nothing()


def test_before_it_is_ready_a_channel_can_be_force_closed_or_abandoned() -> None:
    """The opener whose peer is gone gets its money back; the fundee forgets what never confirmed (2016 blocks)."""
    pair = born_pair()
    play(pair.a).on(ForceClose("the peer is gone")).expect(
        Closing(0, "the peer is gone"), fx.FailPeer, fx.PublishCommitment
    )
    assert type(pair.a.state) is ForceClosing
    play(pair.b).on(Learn(FundingAbandoned("not confirmed in 2016 blocks"))).expect(FundingAbandoned, fx.EventsRaised)
    assert type(pair.b.state) is Closed
