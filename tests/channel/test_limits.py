"""Dust exposure in both directions, on both commitments; what a channel can still carry."""

from typing import Any

import msgspec
import pytest

from leyden.channel import effects as fx
from leyden.channel import limits
from leyden.channel.env import ChannelLimits
from leyden.channel.inputs import ChangeFeerate, Commit
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from tests.channel.pair import Pair, fulfil, pending_add, ready_pair
from tests.channel.play import play
from tests.channel.test_commit import refusals

STATIC = ChannelType(CommitmentFormat.STATIC_REMOTEKEY)


def dusty(exposure_msat: int, dust: tuple[int, int] = (354, 354), **request: Any) -> Pair:
    """A channel whose sides risk so much dust, with these dust limits."""
    sides = [
        ChannelLimits(
            max_dust_htlc_exposure_msat=exposure_msat, dust_limit_satoshis=one, channel_reserve_floor_satoshis=one
        )
        for one in dust
    ]
    return ready_pair((sides[0], sides[1]), **request)


def test_dust_is_offered_up_to_the_limit_and_not_a_millisatoshi_more() -> None:
    """Trimmed HTLCs go to the miners when the channel closes: what we risk is bounded, also within one batch."""
    pair = dusty(1_000_000)
    ids = pair.offered(0, pending_add(1, 300_000), pending_add(2, 353_999), pending_add(3, 346_001))
    assert ids == [0, 1, 2]
    pair.offer(0, pending_add(4, 1), pending_add(5, 354_000))
    assert refusals(pair.a) == [(4, limits.DUST_EXPOSURE)]
    pair.pump()
    pair.resolve(1, fulfil(2, 3))
    pair.pump()
    assert pair.offered(0, pending_add(6, 346_001)) == [4]


def test_dust_of_both_directions_counts_together() -> None:
    """It is one commitment that loses it."""
    pair = dusty(1_000_000)
    pair.offered(1, pending_add(1, 300_000), pending_add(2, 300_000))
    pair.offer(0, pending_add(3, 300_000), pending_add(4, 100_001))
    assert refusals(pair.a) == [(4, limits.DUST_EXPOSURE)]


@pytest.mark.parametrize("dust", [(354, 2_000), (2_000, 354)])
def test_an_htlc_trimmed_on_one_commitment_alone_counts_there(dust: tuple[int, int]) -> None:
    """Each side has its own dust limit, and either commitment may be the one that is published."""
    pair = dusty(3_000_000, dust)
    ids = pair.offered(0, *[pending_add(index, 1_000_000) for index in range(5)])
    assert ids == [0, 1, 2]
    assert refusals(pair.a) == [(3, limits.DUST_EXPOSURE), (4, limits.DUST_EXPOSURE)]
    counted = pair.a.core.local if dust[0] == 2_000 else pair.a.core.remote
    other = pair.a.core.remote if dust[0] == 2_000 else pair.a.core.local
    assert (counted.dust_msat, other.dust_msat) == (3_000_000, 0)
    # What would have an output on both is no dust at all.
    assert pair.offered(0, pending_add(9, 2_000_000)) == [3]


def test_dust_that_is_signed_but_not_on_our_commitment_yet_counts() -> None:
    """Else a peer that is slow to sign would lift our limit."""
    pair = dusty(1_000_000, (2_000, 354))
    pair.offer(0, pending_add(1, 900_000))
    pair.deliver(0)
    pair.deliver(1, 1)  # its revocation; its signature is on its way
    assert pair.a.core.local.dust_msat == 0
    pair.offer(0, pending_add(2, 100_001))
    assert refusals(pair.a) == [(2, limits.DUST_EXPOSURE)]


def test_without_anchors_dust_is_judged_at_a_feerate_with_a_buffer() -> None:
    """A rise of the feerate must not trim at once what we were careful not to risk."""
    pair = dusty(5_000_000, channel_type=STATIC)
    # At 1,000 sat/kw HTLCs of 2,000 sat have an output (354 + 703); at 3,530 (the buffer) they do not (354 + 2,340).
    ids = pair.offered(0, *[pending_add(index, 2_000_000) for index in range(4)])
    assert ids == [0, 1]
    assert pair.a.core.remote.dust_msat == 0
    assert {reason for _index, reason in refusals(pair.a)} == {limits.DUST_EXPOSURE}
    pair.offer(0, pending_add(9, 3_000_000))
    assert len(refusals(pair.a)) == 2
    anchors = dusty(5_000_000)
    assert len(anchors.offered(0, *[pending_add(index, 2_000_000) for index in range(4)])) == 4


def test_thresholds_at_the_buffer_feerate_are_those_of_whoever_publishes() -> None:
    """354 sat and an HTLC-timeout (663) or HTLC-success (703) at 3,530 sat/kw."""
    pair = ready_pair(channel_type=STATIC)
    timeout, success = (354 + 3_530 * weight // 1_000 for weight in (663, 703))
    assert limits.judged_thresholds(pair.a.core.local, pair.a.env) == (timeout * 1_000, success * 1_000)
    assert limits.judged_thresholds(pair.a.core.remote, pair.a.env) == (success * 1_000, timeout * 1_000)


def test_an_inbound_htlc_past_the_limit_is_told_once_it_is_committed() -> None:
    """It is failed back then, without its preimage and without closing: the peer did nothing forbidden."""
    pair = dusty(50_000_000)
    pair.b.env = msgspec.structs.replace(pair.b.env, limits=ChannelLimits(max_dust_htlc_exposure_msat=600_000))
    assert pair.offered(0, pending_add(1, 300_000), pending_add(2, 300_000)) == [0, 1]
    assert not limits.inbound_exceeds_dust(pair.b.core, 300_000, pair.b.env)
    pair.offered(0, pending_add(3, 1), pending_add(4))
    assert limits.inbound_exceeds_dust(pair.b.core, 1, pair.b.env)
    assert not limits.inbound_exceeds_dust(pair.b.core, 10_000_000, pair.b.env)


@pytest.mark.parametrize("dust", [(354, 2_000), (2_000, 354)])
def test_inbound_dust_counts_on_either_commitment(dust: tuple[int, int]) -> None:
    """The threshold is that of whoever would publish."""
    pair = dusty(50_000_000, dust)
    pair.b.env = msgspec.structs.replace(pair.b.env, limits=ChannelLimits(max_dust_htlc_exposure_msat=1_500_000))
    pair.offered(0, pending_add(1, 1_000_000))
    assert not limits.inbound_exceeds_dust(pair.b.core, 1_000_000, pair.b.env)
    pair.offered(0, pending_add(2, 1_000_000))
    assert limits.inbound_exceeds_dust(pair.b.core, 1_000_000, pair.b.env)


def test_inbound_dust_without_anchors_is_judged_with_the_buffer() -> None:
    """The same feerate counts in both directions."""
    pair = dusty(50_000_000, channel_type=STATIC)
    pair.b.env = msgspec.structs.replace(pair.b.env, limits=ChannelLimits(max_dust_htlc_exposure_msat=3_000_000))
    pair.offered(0, pending_add(1, 2_000_000))
    assert not limits.inbound_exceeds_dust(pair.b.core, 2_000_000, pair.b.env)
    pair.offered(0, pending_add(2, 2_000_000))
    assert pair.b.core.local.dust_msat == 0
    assert limits.inbound_exceeds_dust(pair.b.core, 2_000_000, pair.b.env)


def test_an_update_fee_that_trims_too_much_is_not_sent() -> None:
    """The peer may fail the channel for it (BOLT 2, "Updating Fees: `update_fee`")."""
    pair = dusty(50_000_000, channel_type=STATIC)
    pair.offered(0, *[pending_add(index, 2_000_000) for index in range(10)])
    strict = ChannelLimits(max_dust_htlc_exposure_msat=19_999_999)
    pair.a.env = msgspec.structs.replace(pair.a.env, limits=strict)
    play(pair.a).on(ChangeFeerate(5_000)).on(Commit()).expect_nothing()
    pair.give(0, ChangeFeerate(2_000))
    pair.pump()
    assert pair.b.core.local.feerate_per_kw == 2_000


def test_what_a_channel_can_carry_is_told_without_a_promise() -> None:
    """Payments choose their channels by it; nothing below zero."""
    pair = ready_pair((None, ChannelLimits(max_htlc_value_in_flight_percent=10)))
    assert limits.in_flight_room_msat(pair.a.core) == 1_000_000_000
    assert limits.spendable_msat(pair.a.core, 0) == 1_000_000_000
    assert limits.spendable_msat(pair.a.core, 400_000_000) == 600_000_000
    assert limits.spendable_msat(pair.a.core, 2_000_000_000) == 0
    assert limits.receivable_msat(pair.b.core) == 1_000_000_000
    assert limits.receivable_msat(pair.a.core) == 4_000_000_000 - 100_000_000
    pair.offered(0, pending_add(1, 900_000_000))
    assert limits.spendable_msat(pair.a.core, 0) == limits.receivable_msat(pair.b.core) == 100_000_000


def test_refusals_that_pass_are_told_from_those_that_do_not() -> None:
    """Only what other HTLCs of this channel hold up is worth waiting for."""
    assert {limits.NO_SLOT, limits.IN_FLIGHT_LIMIT} == limits.WAITS
    pair = dusty(10**12)
    pair.offer(0, pending_add(1))
    assert not [one for one in pair.a.seen if type(one) is fx.AddRefused]
