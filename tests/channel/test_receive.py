"""Updates of the peer: each is checked when it arrives, none counts before its signature, and a bad one fails the
channel.
"""

from typing import Any

import msgspec
import pytest

from leyden.base.errors import Reaction
from leyden.channel import effects as fx
from leyden.channel.env import ChannelLimits
from leyden.channel.errors import InvalidFeeUpdate, InvalidHtlc, InvalidRemoval, NotReestablished, UnexpectedMessage
from leyden.channel.inputs import Connected, Disconnected
from leyden.transactions import fees
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from leyden.wire.messages import (
    ChannelReestablish,
    CommitmentSigned,
    RevokeAndAck,
    UpdateAddHtlc,
    UpdateFailHtlc,
    UpdateFailMalformedHtlc,
    UpdateFee,
    UpdateFulfillHtlc,
    decode,
)
from tests.channel.pair import Pair, failure, fulfil, pending_add, preimage_of, ready_pair
from tests.channel.play import Party, a, play

STATIC = ChannelType(CommitmentFormat.STATIC_REMOTEKEY)


def add(party: Party, htlc_id: int = 0, amount_msat: int = 10_000_000, cltv_expiry: int = 500) -> UpdateAddHtlc:
    """An `update_add_htlc` for this party's channel."""
    return UpdateAddHtlc(party.core.opened.channel_id, htlc_id, amount_msat, b"h" * 32, cltv_expiry, bytes(1366))


def test_an_add_is_volatile_until_it_is_signed() -> None:
    """No record, no effect: the peer may still take it back by disconnecting."""
    pair = ready_pair()
    play(pair.b).on(add(pair.b)).expect_nothing()
    assert [one.htlc_id for one in pair.b.session.received_adds] == [0]
    assert not pair.b.core.inbound
    play(pair.b).on(Disconnected()).expect_nothing()
    assert not pair.b.session.received_adds


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"id": 1}, "id is 1, not 0"),
        ({"id": (1 << 64) - 1}, "not 0"),
        ({"amount_msat": 0}, "below our htlc_minimum_msat"),
        ({"amount_msat": 999}, "below our htlc_minimum_msat"),
        ({"amount_msat": 50_000_001}, "more in flight than our max_htlc_value_in_flight_msat"),
        ({"cltv_expiry": 500_000_000}, "cltv_expiry is not a height"),
        ({"cltv_expiry": (1 << 32) - 1}, "cltv_expiry is not a height"),
    ],
)
def test_a_bad_add_fails_the_channel(changes: dict[str, Any], text: str) -> None:
    """Each is a clear breach; going on would mean commitments that the two sides build differently."""
    limits = ChannelLimits(htlc_minimum_msat=1_000, max_htlc_value_in_flight_percent=5)
    pair = ready_pair((None, limits), funding_satoshis=1_000_000, push_msat=400_000_000)
    play(pair.b).on(add(pair.b, amount_msat=1_000)).expect_nothing()
    pair.b.handle(Disconnected())
    pair = ready_pair((None, limits), funding_satoshis=1_000_000, push_msat=400_000_000)
    play(pair.b).refuses(msgspec.structs.replace(add(pair.b), **changes), InvalidHtlc, text)
    assert InvalidHtlc.reaction is Reaction.FAIL_CHANNEL
    nothing = ready_pair((None, ChannelLimits(htlc_minimum_msat=0)))
    play(nothing.b).refuses(add(nothing.b, amount_msat=0), InvalidHtlc, "below our htlc_minimum_msat")


def test_ids_go_on_after_everything_is_resolved() -> None:
    """An id that was used once is never used again."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    pair.resolve(1, fulfil(0, 1))
    pair.pump()
    play(pair.b).refuses(add(pair.b, 0), InvalidHtlc, "id is 0, not 1")
    play(pair.b).on(add(pair.b, 1)).on(add(pair.b, 2)).expect_nothing()
    play(pair.b).refuses(add(pair.b, 2), InvalidHtlc, "id is 2, not 3")


def test_an_id_of_an_unsigned_add_comes_again_after_a_reconnection() -> None:
    """The peer never heard that we had it, so it is not a repetition but the first time."""
    pair = ready_pair()
    play(pair.b).on(add(pair.b, 0)).expect_nothing()
    pair.reconnect()
    pair.pump()
    play(pair.b).on(add(pair.b, 0)).expect_nothing()


def test_our_max_accepted_htlcs_and_in_flight_value_are_enforced() -> None:
    """They bound what one force-close costs us."""
    limits = ChannelLimits(max_accepted_htlcs=2, max_htlc_value_in_flight_percent=1)
    pair = ready_pair((None, limits))
    dialogue = play(pair.b).on(add(pair.b, 0)).on(add(pair.b, 1))
    dialogue.refuses(add(pair.b, 2), InvalidHtlc, "more HTLCs than our max_accepted_htlcs")
    pair = ready_pair((None, limits))
    dialogue = play(pair.b).on(add(pair.b, 0, 60_000_000))
    dialogue.refuses(add(pair.b, 1, 40_000_001), InvalidHtlc, "more in flight")
    dialogue.on(add(pair.b, 1, 40_000_000)).expect_nothing()


@pytest.mark.parametrize("kind", [CommitmentFormat.ANCHORS, CommitmentFormat.STATIC_REMOTEKEY])
def test_the_funder_must_afford_its_htlc_above_reserve_fee_and_anchors(kind: CommitmentFormat) -> None:
    """To the millisatoshi on our commitment; a trimmed HTLC costs no fee."""
    pair = ready_pair(channel_type=ChannelType(kind))
    anchors = kind is CommitmentFormat.ANCHORS
    most_msat = 6_000_000_000 - 100_000_000 - fees.commitment_cost_sat(1_000, 1, anchors) * 1_000
    play(pair.b).refuses(add(pair.b, 0, most_msat + 1), InvalidHtlc, "more than the sender can afford")
    play(pair.b).on(add(pair.b, 0, most_msat)).expect_nothing()
    play(pair.b).refuses(add(pair.b, 1, 1_000), InvalidHtlc, "more than the sender can afford")


def test_the_non_funder_must_afford_its_htlc_above_its_reserve() -> None:
    """It pays no fee, so exactly its balance without the reserve."""
    pair = ready_pair()
    most_msat = 4_000_000_000 - 100_000_000
    play(pair.a).refuses(add(pair.a, 0, most_msat + 1), InvalidHtlc, "more than the sender can afford")
    play(pair.a).on(add(pair.a, 0, most_msat)).expect_nothing()


def test_an_htlc_that_leaves_us_as_funder_below_our_reserve_is_legal() -> None:
    """The peer need not know what we have sent meanwhile: the fee is then what is left (BOLT 3, "Fee Payment")."""
    pair = ready_pair(push_msat=9_895_000_000, feerate_per_kw=3_500)
    play(pair.a).on(add(pair.a)).expect_nothing()


def removal(kind: str, party: Party, htlc_id: int, index: int = 1) -> Any:
    """One of the three removals."""
    channel_id = party.core.opened.channel_id
    if kind == "fulfil":
        return UpdateFulfillHtlc(channel_id, htlc_id, preimage_of(index))
    if kind == "fail":
        return UpdateFailHtlc(channel_id, htlc_id, b"x" * 292)
    return UpdateFailMalformedHtlc(channel_id, htlc_id, b"s" * 32, 0xC005)


REMOVALS = ["fulfil", "fail", "malformed"]


@pytest.mark.parametrize("kind", REMOVALS)
def test_only_what_is_irrevocably_committed_may_be_removed(kind: str) -> None:
    """An HTLC is in our commitment last; before that the peer must not touch it, and an unknown id never."""
    pair = ready_pair()
    play(pair.a).refuses(removal(kind, pair.a, 0), InvalidRemoval, "there is no HTLC 0")
    pair.offer(0, pending_add(1))
    play(pair.a).refuses(removal(kind, pair.a, 0), InvalidRemoval, "not irrevocably committed")
    pair.deliver(0)
    pair.deliver(1, 1)  # revoke_and_ack: only the peer's commitment has it
    play(pair.a).refuses(removal(kind, pair.a, 0), InvalidRemoval, "not irrevocably committed")
    pair.deliver(1, 1)  # commitment_signed: ours too
    dialogue = play(pair.a).on(removal(kind, pair.a, 0))
    if kind == "fulfil":
        dialogue.expect(a(fx.PreimageLearnt, htlc_id=0))
    else:
        dialogue.expect_nothing()
    for again in REMOVALS:
        play(pair.a).refuses(removal(again, pair.a, 0), InvalidRemoval, "already removed")


@pytest.mark.parametrize("kind", REMOVALS)
def test_a_removal_that_is_signed_is_not_made_again(kind: str) -> None:
    """Between the peer's signature and its revocation the HTLC is in no state to be removed twice."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    decision: Any = {"fulfil": fulfil(0, 1), "fail": failure(0), "malformed": failure(0, 0xC005)}[kind]
    pair.resolve(1, decision)
    pair.deliver(1)
    play(pair.a).refuses(removal(kind, pair.a, 0), InvalidRemoval)
    pair.pump()
    play(pair.a).refuses(removal(kind, pair.a, 0), InvalidRemoval, "there is no HTLC 0")


def test_a_wrong_preimage_fails_the_channel() -> None:
    """It would pay nobody upstream."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    play(pair.a).refuses(removal("fulfil", pair.a, 0, index=2), InvalidRemoval, "does not match its payment_hash")


def test_a_malformed_failure_needs_badonion() -> None:
    """Any other code would be passed on as if the next node had said it."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    message = UpdateFailMalformedHtlc(pair.a.core.opened.channel_id, 0, b"s" * 32, 0x4005)
    play(pair.a).refuses(message, InvalidRemoval, "without BADONION")


def test_a_malformed_failure_is_kept_as_it_came() -> None:
    """Whoever forwarded the HTLC makes an error of its own from code and hash (BOLT 2, "Removing an HTLC")."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    pair.resolve(1, failure(0, 0xC006))
    pair.pump()
    removed = pair.a.core.outcomes[0].removal
    assert (removed.failure_code, removed.reason, removed.preimage) == (0xC006, b"x" * 32, b"")


def test_attribution_data_reaches_the_outcome() -> None:
    """It tells the payer where time was lost."""
    pair = ready_pair()
    pair.offered(0, pending_add(1), pending_add(2))
    one = msgspec.structs.replace(fulfil(0, 1), attribution_data=b"a" * 920)
    two = msgspec.structs.replace(failure(1), attribution_data=b"b" * 920)
    pair.resolve(1, one, two)
    pair.pump()
    assert pair.a.core.outcomes[0].removal.attribution_data == b"a" * 920
    assert pair.a.core.outcomes[1].removal.attribution_data == b"b" * 920


def fee(party: Party, feerate_per_kw: int) -> UpdateFee:
    """An `update_fee` for this party's channel."""
    return UpdateFee(party.core.opened.channel_id, feerate_per_kw)


def test_update_fee_from_the_non_funder_fails_the_channel() -> None:
    """Nobody sets what another pays."""
    pair = ready_pair()
    play(pair.a).refuses(fee(pair.a, 2_000), InvalidFeeUpdate, "only the opener")


@pytest.mark.parametrize("feerate_per_kw", [252, 50_001, 0, (1 << 32) - 1])
def test_a_feerate_that_is_too_low_or_too_high_fails_the_channel(feerate_per_kw: int) -> None:
    """Too low is never mined, too high burns what is in the channel."""
    pair = ready_pair()
    play(pair.b).refuses(fee(pair.b, feerate_per_kw), InvalidFeeUpdate, "is outside 253..50000")
    play(pair.b).on(fee(pair.b, 253)).on(fee(pair.b, 50_000)).expect_nothing()


def dusty_pair(limits: ChannelLimits) -> Pair:
    """Ten HTLCs of 2,000 sat on a channel without anchors: trimmed from about 2,340 sat/kw on."""
    pair = ready_pair((limits, limits), channel_type=STATIC)
    pair.offered(0, *[pending_add(index, 2_000_000) for index in range(10)])
    return pair


def test_a_feerate_that_trims_too_much_is_refused_by_both_sides() -> None:
    """Without anchors a rise turns outputs into dust: the sender does not ask for it, the receiver does not take it."""
    calm = ChannelLimits(max_dust_htlc_exposure_msat=100_000_000)
    pair = dusty_pair(calm)
    play(pair.b).on(fee(pair.b, 5_000)).expect_nothing()
    strict = msgspec.structs.replace(calm, max_dust_htlc_exposure_msat=19_999_999)
    for party in pair.parties:
        party.env = msgspec.structs.replace(party.env, limits=strict)
    play(pair.b).refuses(fee(pair.b, 5_000), InvalidFeeUpdate, "would trim more HTLCs than we risk")
    play(pair.b).on(fee(pair.b, 1_500)).expect_nothing()


def test_lowering_the_feerate_is_never_refused_for_dust() -> None:
    """It only takes HTLCs out of the dust."""
    pair = ready_pair(channel_type=STATIC, feerate_per_kw=4_000)
    pair.offered(0, *[pending_add(index, 2_000_000) for index in range(10)])
    strict = ChannelLimits(max_dust_htlc_exposure_msat=1_000_000)
    pair.b.env = msgspec.structs.replace(pair.b.env, limits=strict)
    play(pair.b).on(fee(pair.b, 3_500)).expect_nothing()
    play(pair.b).refuses(fee(pair.b, 4_100), InvalidFeeUpdate)


def test_nothing_of_a_channel_may_come_before_channel_reestablish() -> None:
    """The two sides do not know yet where they stand; a new connection heals it, so the channel lives."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    pair.disconnect()
    pair.give(0, Connected())
    pair.give(1, Connected())
    channel_id = pair.a.core.opened.channel_id
    messages = [
        add(pair.a),
        *[removal(kind, pair.a, 0) for kind in REMOVALS],
        CommitmentSigned(channel_id, bytes(64), ()),
        RevokeAndAck(channel_id, b"\x01" * 32, pair.b.signer.node_id),
    ]
    for message in messages:
        play(pair.a).refuses(message, NotReestablished, "before channel_reestablish")
    play(pair.b).refuses(fee(pair.b, 2_000), NotReestablished, "before channel_reestablish")
    assert NotReestablished.reaction is Reaction.DISCONNECT
    (reestablish,) = pair.wires[0]
    assert type(decode(reestablish)) is ChannelReestablish
    play(pair.b).on(reestablish)
    play(pair.b).refuses(reestablish, UnexpectedMessage, "second channel_reestablish")
