"""Signing: one signature for everything that waits, and nothing in it that does not fit."""

import msgspec
import pytest

from leyden.channel import effects as fx
from leyden.channel import limits
from leyden.channel.dispatch import apply
from leyden.channel.env import ChannelLimits
from leyden.channel.inputs import ChangeFeerate, Commit, DecideHtlcs, Learn, QueueAdd, ReleaseClaim
from leyden.channel.session import RemovalsQueued
from leyden.crypto.hashes import sha256
from leyden.journal.records import Acknowledged, Claim, ClaimAbandoned, ClaimPart, HtlcsDecided, SentCommitment
from leyden.transactions import fees
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from leyden.wire.messages import (
    RevokeAndAck,
    UpdateAddHtlc,
    UpdateFailHtlc,
    UpdateFailMalformedHtlc,
    UpdateFee,
    UpdateFulfillHtlc,
)
from tests.channel.pair import failure, fulfil, pending_add, preimage_of, ready_pair
from tests.channel.play import Party, a, play


def refusals(party: Party) -> list[tuple[int, str]]:
    """(payment, reason) of each HTLC that was refused."""
    return [(one.add.source.index, one.reason) for one in party.seen if type(one) is fx.AddRefused]


def test_one_commitment_signed_covers_many_updates_of_every_kind() -> None:
    """Each signature signs every pending HTLC again: one for each update would be quadratic work."""
    pair = ready_pair()
    ids = pair.offered(1, *[pending_add(index) for index in range(3)])
    assert ids == [0, 1, 2]
    dialogue = play(pair.a).on(DecideHtlcs([fulfil(0, 0)], [failure(1), failure(2, 0xC005)], []))
    dialogue.expect(HtlcsDecided)
    dialogue.on(QueueAdd(pending_add(10))).on(QueueAdd(pending_add(11))).on(ChangeFeerate(1_200)).expect_nothing()
    dialogue.on(Commit()).expect(
        a(SentCommitment, number=2, removals=[0, 1, 2], feerate_per_kw=1_200),
        a(UpdateFulfillHtlc, id=0, payment_preimage=preimage_of(0)),
        a(UpdateFailHtlc, id=1),
        a(UpdateFailMalformedHtlc, id=2, failure_code=0xC005),
        a(UpdateFee, feerate_per_kw=1_200),
        a(UpdateAddHtlc, id=0),
        a(UpdateAddHtlc, id=1),
        fx.SendCommitmentSigned,
    )
    pair.collect(0)
    pair.pump()
    assert pair.b.core.local.feerate_per_kw == 1_200
    assert sorted(pair.b.core.inbound) == [0, 1]
    assert not pair.b.core.outbound


def test_commitment_signed_without_an_update_is_never_sent() -> None:
    """It would make the peer revoke for nothing, and some peers fail the channel."""
    pair = ready_pair()
    play(pair.a).on(Commit()).on(ChangeFeerate(1_000)).on(Commit()).expect_nothing()
    pair.offered(0, pending_add(1))
    play(pair.a).on(Commit()).expect_nothing()
    play(pair.b).on(Commit()).expect_nothing()


def test_a_second_commitment_waits_for_the_revocation_of_the_first() -> None:
    """Two unrevoked commitments of the peer are more than the protocol knows; what waits shares the next one."""
    pair = ready_pair()
    pair.offer(0, pending_add(1))
    play(pair.a).on(QueueAdd(pending_add(2))).on(QueueAdd(pending_add(3))).on(Commit()).expect_nothing()
    assert pair.sent_kinds(0) == ["UpdateAddHtlc", "CommitmentSigned"]
    pair.deliver(0)
    assert pair.sent_kinds(1) == ["RevokeAndAck", "CommitmentSigned"]
    pair.deliver(1, 1)
    assert pair.sent_kinds(0) == ["UpdateAddHtlc", "UpdateAddHtlc", "CommitmentSigned"]
    pair.pump()
    assert sorted(pair.b.core.inbound) == [0, 1, 2]


def test_ids_start_at_zero_and_have_no_gaps() -> None:
    """An HTLC that was refused when it would have been sent has used no id, and a resolved one never frees its id."""
    pair = ready_pair()
    pair.offer(0, pending_add(1), pending_add(2, amount_msat=9_000_000_000), pending_add(3))
    assert [message.id for message in pair.sent(0)[:2]] == [0, 1]
    assert refusals(pair.a) == [(2, limits.INSUFFICIENT_BALANCE)]
    pair.pump()
    pair.resolve(1, fulfil(0, 1), failure(1))
    pair.pump()
    assert not pair.a.core.outbound
    assert pair.offered(0, pending_add(4)) == [2]
    assert pair.b.core.inbound[2].add.payment_hash == sha256(preimage_of(4))


def test_equal_hashes_and_amounts_are_different_htlcs() -> None:
    """Identity is the side and the htlc_id (S4): one of the twins fails, the other is paid."""
    pair = ready_pair()
    assert pair.offered(0, pending_add(1), pending_add(1), pending_add(1)) == [0, 1, 2]
    pair.resolve(1, failure(0), fulfil(1, 1))
    pair.pump()
    outcomes = pair.a.core.outcomes
    assert (bool(outcomes[0].removal.preimage), bool(outcomes[1].removal.preimage)) == (False, True)
    assert list(pair.a.core.outbound) == [2]
    pair.resolve(1, fulfil(2, 1))
    pair.pump()
    assert pair.balances_msat() == (5_980_000_000, 4_020_000_000)


@pytest.mark.parametrize("slots", [1, 30])
def test_the_peer_s_max_accepted_htlcs_holds_back_the_rest(slots: int) -> None:
    """What does not fit waits in order, and leaves when there is room."""
    pair = ready_pair((None, ChannelLimits(max_accepted_htlcs=slots)))
    ids = pair.offered(0, *[pending_add(index) for index in range(slots + 2)])
    assert ids == list(range(slots))
    assert len(pair.a.session.queued_adds) == 2
    assert not refusals(pair.a)
    pair.resolve(1, fulfil(0, 0))
    pair.pump()
    assert max(pair.b.core.inbound) == slots
    assert len(pair.a.session.queued_adds) == 1


def test_the_peer_s_in_flight_limit_holds_back_the_rest() -> None:
    """What could never fit is refused at once instead of waiting for ever."""
    pair = ready_pair((None, ChannelLimits(max_htlc_value_in_flight_percent=1)))
    assert pair.a.core.opened.remote.max_htlc_value_in_flight_msat == 100_000_000
    pair.offer(0, pending_add(1, 60_000_000), pending_add(2, 100_000_001), pending_add(3, 40_000_001))
    pair.pump()
    assert refusals(pair.a) == [(2, limits.IN_FLIGHT_LIMIT)]
    assert [add.source.index for add in pair.a.session.queued_adds] == [3]
    pair.resolve(1, fulfil(0, 1))
    pair.pump()
    assert not pair.a.session.queued_adds
    assert pair.b.core.local.received_msat == 40_000_001


def test_an_htlc_below_the_peer_s_htlc_minimum_msat_or_of_nothing_is_refused() -> None:
    """The peer would fail the channel."""
    pair = ready_pair((None, ChannelLimits(htlc_minimum_msat=1_000)))
    pair.offer(0, pending_add(1, 999), pending_add(2, 0))
    assert refusals(pair.a) == [(1, limits.BELOW_MINIMUM), (2, limits.BELOW_MINIMUM)]
    assert pair.offered(0, pending_add(3, 1_000)) == [0]
    pair = ready_pair((None, ChannelLimits(htlc_minimum_msat=0)))
    pair.offer(0, pending_add(2, 0))
    assert refusals(pair.a) == [(2, limits.BELOW_MINIMUM)]


@pytest.mark.parametrize("cltv_expiry", [99, 110, 500_000_000, 1 << 31])
def test_an_expiry_that_is_past_or_no_height_is_refused_when_it_would_be_sent(cltv_expiry: int) -> None:
    """An add is checked when it is sent: while it waited, blocks came."""
    pair = ready_pair()
    pair.offer(0, pending_add(1, cltv_expiry=cltv_expiry))
    assert refusals(pair.a) == [(1, limits.BAD_EXPIRY)]
    assert not pair.sent(0)


@pytest.mark.parametrize("kind", [CommitmentFormat.ANCHORS, CommitmentFormat.STATIC_REMOTEKEY])
@pytest.mark.parametrize("pending", [0, 3])
def test_the_funder_keeps_reserve_anchors_and_a_fee_spike_buffer(kind: CommitmentFormat, pending: int) -> None:
    """Room for twice the feerate and one more HTLC: to the satoshi, one more msat is refused."""
    pair = ready_pair(channel_type=ChannelType(kind))
    pair.offered(0, *[pending_add(index) for index in range(pending)])
    anchors = kind is CommitmentFormat.ANCHORS
    buffer = fees.commitment_cost_sat(2 * 1_000, pending + 2, anchors)
    most_msat = pair.a.core.remote.local_msat - 100_000_000 - buffer * 1_000
    assert limits.spendable_msat(pair.a.core, 0) == most_msat
    pair.offer(0, pending_add(90, most_msat + 1))
    assert refusals(pair.a) == [(90, limits.INSUFFICIENT_BALANCE)]
    assert pair.offered(0, pending_add(91, most_msat)) == [pending]
    # The peer may still add an HTLC and the feerate may double: nothing fails.
    assert pair.offered(1, pending_add(92)) == [0]
    pair.a.handle(ChangeFeerate(2_000))
    pair.pump()
    assert pair.b.core.local.feerate_per_kw == 2_000


def test_the_non_funder_keeps_its_reserve() -> None:
    """To the millisatoshi."""
    pair = ready_pair()
    most_msat = 4_000_000_000 - 100_000_000
    assert limits.spendable_msat(pair.b.core, 0) == most_msat
    pair.offer(1, pending_add(1, most_msat + 1))
    assert refusals(pair.b) == [(1, limits.INSUFFICIENT_BALANCE)]
    assert pair.offered(1, pending_add(2, most_msat)) == [0]


def test_the_non_funder_does_not_push_the_funder_below_its_reserve() -> None:
    """The funder pays for the output of our HTLC: when it cannot, the HTLC is not offered."""
    pair = ready_pair(push_msat=9_895_000_000, feerate_per_kw=3_500)
    # The funder has 105,000 sat, 100,000 of it reserve; 1124 + 172 weight at 3500 and two anchors are 5,196.
    pair.offer(1, pending_add(1))
    assert refusals(pair.b) == [(1, limits.INSUFFICIENT_BALANCE)]
    pair = ready_pair(push_msat=9_894_000_000, feerate_per_kw=3_500)
    assert pair.offered(1, pending_add(1)) == [0]
    # A second one is a second output: 5,798.
    assert pair.offered(1, pending_add(2)) == [1]
    pair.offer(1, pending_add(3))
    assert refusals(pair.b) == [(3, limits.INSUFFICIENT_BALANCE)]


def test_room_is_counted_with_what_is_in_the_same_batch() -> None:
    """Ten HTLCs that fit alone do not fit together."""
    pair = ready_pair()
    pair.offer(0, *[pending_add(index, 1_000_000_000) for index in range(10)])
    pair.pump()
    assert len(pair.b.core.inbound) == 5
    assert {reason for _index, reason in refusals(pair.a)} == {limits.INSUFFICIENT_BALANCE}


def test_an_update_fee_the_funder_cannot_afford_is_not_sent() -> None:
    """Above its reserve and with the anchors."""
    pair = ready_pair(push_msat=9_890_000_000)
    # 110,000 sat, 100,000 of them reserve: 1124 weight and 660 sat of anchors allow 8,310.
    play(pair.a).on(ChangeFeerate(8_311)).on(Commit()).expect_nothing()
    play(pair.a).on(ChangeFeerate(8_310)).on(Commit()).expect(
        a(SentCommitment, feerate_per_kw=8_310), UpdateFee, fx.SendCommitmentSigned
    )


def test_only_the_funder_sends_update_fee_and_the_last_wish_counts() -> None:
    """The fee is the funder's money; a wish that was overtaken is not sent."""
    pair = ready_pair()
    play(pair.b).on(ChangeFeerate(2_000)).on(Commit()).expect_nothing()
    dialogue = play(pair.a).on(ChangeFeerate(2_000)).on(ChangeFeerate(3_000)).on(Commit())
    dialogue.expect(
        a(SentCommitment, feerate_per_kw=3_000), a(UpdateFee, feerate_per_kw=3_000), fx.SendCommitmentSigned
    )
    pair.collect(0)
    pair.pump()
    play(pair.a).on(ChangeFeerate(2_000)).on(ChangeFeerate(3_000)).on(Commit()).expect_nothing()


def claim_of(pair_channel_id: bytes, index: int, *htlc_ids: int) -> Claim:
    """A claim with these parts here and one in another channel."""
    parts = [ClaimPart(pair_channel_id, htlc_id, 10_000_000) for htlc_id in htlc_ids]
    parts.append(ClaimPart(b"z" * 32, 0, 5))
    preimage = preimage_of(index)
    return Claim(b"claim %26d" % index, sha256(preimage), preimage, b"s" * 32, "invoice", 20_000_000, parts, [])


def test_a_claim_is_fulfilled_only_when_all_its_parts_are_durable() -> None:
    """The payer must never get the proof of payment for a part while another part may fail (P11)."""
    pair = ready_pair()
    pair.offered(0, pending_add(1), pending_add(1))
    claim = claim_of(pair.b.core.opened.channel_id, 1, 0, 1)
    play(pair.b).on(DecideHtlcs([], [], [claim])).on(Commit()).expect(HtlcsDecided([], [], [claim]))
    play(pair.b).on(DecideHtlcs([], [], [claim])).on(DecideHtlcs([], [failure(0)], [])).expect_nothing()
    play(pair.b).on(ReleaseClaim(b"?" * 32)).on(Commit()).expect_nothing()
    play(pair.b).on(ReleaseClaim(claim.claim_id)).on(Commit()).expect(
        a(SentCommitment, removals=[0, 1]),
        a(UpdateFulfillHtlc, id=0),
        a(UpdateFulfillHtlc, id=1),
        fx.SendCommitmentSigned,
    )


def test_a_queued_failure_that_became_a_claim_does_not_leak_the_preimage_early() -> None:
    """The place in the queue was for the failure; the claim has to be released first (P11, S15)."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    claim = claim_of(pair.b.core.opened.channel_id, 1, 0)
    dialogue = play(pair.b).on(DecideHtlcs([], [failure(0)], [])).on(DecideHtlcs([], [], [claim]))
    dialogue.expect(HtlcsDecided, HtlcsDecided)
    dialogue.on(Commit()).expect_nothing()
    assert pair.b.core.inbound[0].failure is None
    dialogue.on(ReleaseClaim(claim.claim_id)).on(Commit())
    dialogue.expect(SentCommitment, a(UpdateFulfillHtlc, id=0), fx.SendCommitmentSigned)


def test_an_abandoned_claim_reveals_nothing_and_its_htlcs_can_be_failed() -> None:
    """Nothing of it has left the node, so the payer gets its money back."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    claim = claim_of(pair.b.core.opened.channel_id, 1, 0)
    play(pair.b).on(DecideHtlcs([], [], [claim])).on(Learn(ClaimAbandoned(claim.claim_id)))
    play(pair.b).on(ReleaseClaim(claim.claim_id)).on(Commit()).expect_nothing()
    assert pair.b.core.inbound[0].preimage == b""
    pair.resolve(1, failure(0))
    pair.pump()
    assert pair.balances_msat() == (6_000_000_000, 4_000_000_000)
    # What is signed stays as it is, whatever comes too late.
    pair.offered(0, pending_add(2))
    claim = claim_of(pair.b.core.opened.channel_id, 2, 1)
    play(pair.b).on(DecideHtlcs([], [], [claim])).on(ReleaseClaim(claim.claim_id)).on(Commit())
    play(pair.b).on(Learn(ClaimAbandoned(claim.claim_id)))
    assert pair.b.core.inbound[1].preimage == preimage_of(2)
    pair.reconnect()
    pair.pump()
    assert pair.balances_msat() == (5_990_000_000, 4_010_000_000)


def test_a_claim_that_every_part_has_is_a_promise_like_any_other() -> None:
    """When it is acknowledged before its fulfil was signed, the next connection carries it out without a release."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    claim = claim_of(pair.b.core.opened.channel_id, 1, 0)
    play(pair.b).on(DecideHtlcs([], [], [claim])).on(Learn(Acknowledged([], [], [claim.claim_id], [])))
    assert not pair.b.core.claims
    pair.reconnect()
    pair.pump()
    assert pair.balances_msat() == (5_990_000_000, 4_010_000_000)


def test_a_failure_not_sent_gives_way_to_a_preimage_and_a_signed_one_does_not() -> None:
    """A preimage is money (S15); but what is signed stays as it is."""
    pair = ready_pair()
    pair.offered(0, pending_add(1), pending_add(2))
    play(pair.b).on(DecideHtlcs([], [failure(0)], [])).on(DecideHtlcs([fulfil(0, 1)], [], []))
    assert pair.b.core.inbound[0].failure is None
    play(pair.b).on(Commit()).expect(SentCommitment, a(UpdateFulfillHtlc, id=0), fx.SendCommitmentSigned)
    pair.collect(1)
    pair.pump()
    pair.resolve(1, failure(1))
    play(pair.b).on(DecideHtlcs([fulfil(1, 2)], [], [])).expect_nothing()
    late = claim_of(pair.b.core.opened.channel_id, 2, 1)
    play(pair.b).on(DecideHtlcs([], [], [late])).on(ReleaseClaim(late.claim_id)).expect(HtlcsDecided)
    assert pair.b.core.inbound[1].preimage == b""
    pair.reconnect()
    pair.pump()
    assert pair.balances_msat() == (5_990_000_000, 4_010_000_000)


def test_decisions_are_taken_once() -> None:
    """A second decision changes nothing: the first may be on its way."""
    pair = ready_pair()
    pair.offered(0, pending_add(1), pending_add(2))
    play(pair.b).on(DecideHtlcs([fulfil(0, 1)], [failure(1)], [])).expect(HtlcsDecided)
    other = msgspec.structs.replace(failure(1), reason=b"other" * 60)
    play(pair.b).on(DecideHtlcs([fulfil(0, 1)], [failure(0), other], [])).expect_nothing()
    play(pair.b).on(DecideHtlcs([fulfil(77, 1)], [failure(78)], [])).expect_nothing()


def test_only_what_is_irrevocably_committed_is_decided() -> None:
    """A decision before that is our own bug, and stops the channel before anything leaves (S8)."""
    pair = ready_pair()
    pair.offer(0, pending_add(1))
    pair.deliver(0)
    assert not pair.b.core.inbound[0].committed
    with pytest.raises(AssertionError, match="irrevocably committed"):
        pair.b.handle(DecideHtlcs([], [failure(0)], []))


def test_updates_of_the_peer_alone_are_worth_a_signature() -> None:
    """Else what the peer added would never become irrevocable."""
    pair = ready_pair()
    pair.offer(0, pending_add(1))
    pair.deliver(0)
    assert pair.sent_kinds(1) == ["RevokeAndAck", "CommitmentSigned"]
    assert type(pair.b.records[-1]) is SentCommitment
    pair.deliver(1)
    assert pair.sent_kinds(0) == ["RevokeAndAck"]
    assert type(pair.sent(0)[0]) is RevokeAndAck


def test_room_that_the_peer_makes_is_used_in_the_same_signature() -> None:
    """The limits look at the commitment that is signed: with what the peer has removed, and with what it has added."""
    pair = ready_pair((None, ChannelLimits(max_accepted_htlcs=1)))
    pair.offered(0, pending_add(1))
    pair.give(0, QueueAdd(pending_add(2)))
    pair.resolve(1, fulfil(0, 1))
    pair.deliver(1)
    assert pair.sent_kinds(0) == ["RevokeAndAck", "UpdateAddHtlc", "CommitmentSigned"]
    pair = ready_pair((ChannelLimits(max_dust_htlc_exposure_msat=500_000), None))
    pair.offer(1, pending_add(1, 300_000))
    pair.give(0, QueueAdd(pending_add(2, 300_000)))
    pair.deliver(1)
    assert refusals(pair.a) == [(2, limits.DUST_EXPOSURE)]


def test_a_removal_that_is_queued_again_is_signed_once() -> None:
    """Reconnections and releases may queue it twice; a second removal of one HTLC would fail the channel."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    pair.resolve(1, fulfil(0, 1))
    pair.deliver(1)
    pair.deliver(0, 1)  # revoked, and not signed yet: the HTLC is still here
    apply(pair.b.state, RemovalsQueued((0, 0, 5)))
    play(pair.b).on(Commit()).expect_nothing()
    pair.pump()
    assert pair.balances_msat() == (5_990_000_000, 4_010_000_000)


def test_a_full_queue_refuses() -> None:
    """Memory for waiting HTLCs is bounded."""
    pair = ready_pair((ChannelLimits(max_queued_htlcs=2), None))
    for index in range(3):
        pair.give(0, QueueAdd(pending_add(index)))
    assert refusals(pair.a) == [(2, limits.QUEUE_FULL)]
    assert pair.a.session.queued_msat == 20_000_000


def test_a_part_of_another_channel_claims_nothing_here() -> None:
    """Ids count in each channel alone: the HTLC here that has the same id is another payment's."""
    pair = ready_pair()
    pair.offered(0, pending_add(1), pending_add(2))
    claim = claim_of(pair.b.core.opened.channel_id, 2, 1)
    assert claim.parts[-1].htlc_id == 0
    play(pair.b).on(DecideHtlcs([], [], [claim])).on(ReleaseClaim(claim.claim_id)).on(Commit()).expect(
        HtlcsDecided, a(SentCommitment, removals=[1]), a(UpdateFulfillHtlc, id=1), fx.SendCommitmentSigned
    )
    assert not pair.b.core.inbound[0].decided()
