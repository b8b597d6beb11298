"""Normal operation: signatures, revocations, and what becomes irrevocable when."""

from typing import Any

import msgspec
import pytest

from leyden.channel import effects as fx
from leyden.channel import limits
from leyden.channel.build import local_commitment, remote_commitment
from leyden.channel.env import ChannelLimits
from leyden.channel.errors import InvalidCommitment, InvalidRevocation
from leyden.channel.inputs import ChangeFeerate, Commit, DecideHtlcs, QueueAdd, ReleaseClaim, Show
from leyden.channel.normal import claimed_ids
from leyden.crypto import ec
from leyden.journal.records import HtlcsShown, ReceivedCommitment, ReceivedRevocation, SentCommitment
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from leyden.wire.messages import CommitmentSigned, RevokeAndAck, UpdateAddHtlc, UpdateFee, decode
from tests.channel.pair import failure, fulfil, pending_add, preimage_of, ready_pair
from tests.channel.play import a, play
from tests.channel.test_commit import claim_of
from tests.channel.test_opening_v1 import high_s

STATIC = ChannelType(CommitmentFormat.STATIC_REMOTEKEY)


def test_the_whole_dialogue_of_one_payment() -> None:
    """Every record and every message of one HTLC, from the offer to the preimage: the picture of the protocol."""
    pair = ready_pair()
    dialogue_a, dialogue_b = play(pair.a), play(pair.b)

    def next_of(who: int) -> Any:
        pair.collect(who)
        return decode(pair.wires[who].popleft())

    dialogue_a.on(QueueAdd(pending_add(1))).on(Commit()).expect(
        a(SentCommitment, number=1), a(UpdateAddHtlc, id=0), fx.SendCommitmentSigned
    )
    dialogue_b.on(next_of(0)).expect_nothing()  # update_add_htlc
    dialogue_b.on(next_of(0)).expect(a(ReceivedCommitment, number=1), fx.SendRevokeAndAck(0))
    dialogue_b.on(Commit()).expect(SentCommitment(1, [], [], 0), fx.SendCommitmentSigned)
    dialogue_a.on(next_of(1)).expect(a(ReceivedRevocation, number=0))
    dialogue_a.on(next_of(1)).expect(a(ReceivedCommitment, number=1, adds=[]), fx.SendRevokeAndAck(0))
    dialogue_b.on(next_of(0)).expect(a(ReceivedRevocation, number=0), fx.HtlcsCommitted((0,)))
    assert pair.b.core.inbound[0].committed
    pair.resolve(1, fulfil(0, 1))
    dialogue_a.on(next_of(1)).expect(a(fx.PreimageLearnt, htlc_id=0))
    dialogue_a.on(next_of(1)).expect(a(ReceivedCommitment, number=2), fx.SendRevokeAndAck(1), fx.OutcomesKnown((0,)))
    pair.finish_pass(0)
    dialogue_b.on(next_of(0)).expect(a(ReceivedRevocation, number=1))
    dialogue_b.on(next_of(0)).expect(a(ReceivedCommitment, number=2), fx.SendRevokeAndAck(1))
    pair.pump()
    assert pair.balances_msat() == (5_990_000_000, 4_010_000_000)
    assert not pair.b.core.inbound
    assert [one for one in pair.a.seen if type(one) is fx.OutcomesKnown] == [fx.OutcomesKnown((0,))]


def test_a_failure_counts_only_when_its_removal_is_irrevocable() -> None:
    """Passed on earlier, the HTLC could still be claimed from us (S8); a preimage counts at once."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    pair.resolve(1, failure(0))
    pair.deliver(1)
    assert not pair.a.core.outcomes
    assert not [one for one in pair.a.seen if type(one) is fx.OutcomesKnown]
    pair.pump()
    assert [one.htlc_ids for one in pair.a.seen if type(one) is fx.OutcomesKnown] == [(0,)]
    assert pair.a.core.outcomes[0].removal.reason == b"x" * 292


def test_an_inbound_htlc_is_told_only_when_it_is_irrevocable() -> None:
    """Forwarded earlier, the peer could take its own HTLC back and we would have paid (S8)."""
    pair = ready_pair()
    pair.offer(0, pending_add(1))
    pair.deliver(0)
    pair.deliver(1)
    assert not [one for one in pair.b.seen if type(one) is fx.HtlcsCommitted]
    pair.deliver(0)
    assert [one.htlc_ids for one in pair.b.seen if type(one) is fx.HtlcsCommitted] == [(0,)]


def spoiled(message: CommitmentSigned, **changes: Any) -> CommitmentSigned:
    """The message with something else in it."""
    return msgspec.structs.replace(message, **changes)


@pytest.mark.parametrize("kind", [CommitmentFormat.ANCHORS, CommitmentFormat.STATIC_REMOTEKEY])
def test_wrong_high_s_or_missing_signatures_fail_the_channel(kind: CommitmentFormat) -> None:
    """A commitment whose signatures do not hold cannot be published, so it must not replace one that can."""
    pair = ready_pair(channel_type=ChannelType(kind))
    pair.offer(0, *[pending_add(index) for index in range(3)])
    pair.deliver(0, 3)
    good = pair.sent(0)[0]
    assert len(good.htlc_signatures) == 3
    first, second, third = good.htlc_signatures
    dialogue = play(pair.b)
    wrong = "signature does not sign our next commitment"
    dialogue.refuses(spoiled(good, signature=high_s(good.signature)), InvalidCommitment, wrong)
    dialogue.refuses(spoiled(good, signature=bytes(64)), InvalidCommitment, wrong)
    dialogue.refuses(spoiled(good, signature=first), InvalidCommitment, wrong)
    dialogue.refuses(spoiled(good, htlc_signatures=(first, second)), InvalidCommitment, "2 HTLC signatures for 3")
    dialogue.refuses(spoiled(good, htlc_signatures=()), InvalidCommitment, "0 HTLC signatures for 3")
    dialogue.refuses(spoiled(good, htlc_signatures=(first, second, third, third)), InvalidCommitment, "4 HTLC")
    dialogue.refuses(spoiled(good, htlc_signatures=(first, third, second)), InvalidCommitment, "HTLC signature 1")
    dialogue.refuses(spoiled(good, htlc_signatures=(high_s(first), second, third)), InvalidCommitment, "signature 0")
    dialogue.refuses(spoiled(good, htlc_signatures=(first, second, bytes(64))), InvalidCommitment, "signature 2")
    dialogue.on(good).expect(ReceivedCommitment, fx.SendRevokeAndAck)


def test_trimmed_htlcs_have_no_signature() -> None:
    """One signature for each output that is there, in the order of the outputs."""
    pair = ready_pair()
    pair.offer(0, pending_add(1, 353_999), pending_add(2, 354_000), pending_add(3, 1))
    *_, signed = pair.sent(0)
    assert len(signed.htlc_signatures) == 1
    pair.pump()
    assert (pair.b.core.local.untrimmed, pair.b.core.local.dust_msat) == (1, 354_000)


def test_every_signature_that_was_accepted_can_be_published() -> None:
    """What the journal holds is enough to close at any time (P19): the stored signature signs the stored commitment."""
    pair = ready_pair()
    pair.offered(0, *[pending_add(index) for index in range(3)])
    pair.offered(1, *[pending_add(index) for index in range(3)])
    for party in pair.parties:
        core = party.core
        point = party.signer.per_commitment_point(party.keys_id, core.local.number)
        commitment = local_commitment(party.state.keys, core.local, point, core.local.number)
        assert ec.verify_ecdsa(core.opened.remote.funding_pubkey, commitment.digest(), core.local_signature)
        digests = commitment.htlc_digests(commitment.htlc_sighash_type)
        signatures = [core.local_htlc_signatures[64 * place :][:64] for place in range(len(digests))]
        assert len(digests) == 6
        key = commitment.keys.countersignatory_htlc_public_key
        assert ec.verify_ecdsa_many(key, digests, signatures) is None


def test_wrong_secrets_and_points_fail_the_channel() -> None:
    """A revocation that does not revoke would leave the peer an old commitment to cheat with."""
    pair = ready_pair()
    pair.offer(0, pending_add(1))
    pair.deliver(0)
    good = pair.sent(1)[0]
    dialogue = play(pair.a)
    replace = msgspec.structs.replace
    dialogue.refuses(replace(good, per_commitment_secret=b"\x05" * 32), InvalidRevocation, "does not match the point")
    dialogue.refuses(replace(good, per_commitment_secret=bytes(32)), InvalidRevocation, "is not a secret key")
    dialogue.refuses(replace(good, per_commitment_secret=b"\xff" * 32), InvalidRevocation, "is not a secret key")
    bad_point = replace(good, next_per_commitment_point=b"\x03" + b"\xff" * 32)
    dialogue.refuses(bad_point, InvalidRevocation, "next_per_commitment_point is not a point")
    dialogue.on(good).expect(ReceivedRevocation)
    dialogue.refuses(good, InvalidRevocation, "without a commitment_signed to answer")


def test_a_secret_that_does_not_fit_the_earlier_ones_fails_the_channel() -> None:
    """Secrets come from one seed (BOLT 3, "Per-commitment Secret Requirements"), so that 49 of them keep all."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))  # commitments 0 of both are revoked
    secret = b"\x07" * 32
    # The peer named a point of its own making: the secret matches it, and is not one that leads to the one before.
    for core in (pair.a.core, pair.a.refolded, pair.a.from_snapshot):
        core.remote_point = ec.public_key(secret)
    pair.offer(0, pending_add(2))
    message = RevokeAndAck(pair.a.core.opened.channel_id, secret, pair.b.signer.node_id)
    play(pair.a).refuses(message, InvalidRevocation, "does not belong to the chain")


def test_revoke_and_ack_that_nothing_waits_for_fails_the_channel() -> None:
    """There is nothing it could revoke."""
    pair = ready_pair()
    pair.offer(0, pending_add(1))
    pair.deliver(0)
    message = pair.sent(1)[0]
    other = ready_pair()
    play(other.a).refuses(message, InvalidRevocation, "without a commitment_signed")


def test_both_directions_at_once() -> None:
    """Updates and signatures that cross on the wire end in the same two commitments."""
    pair = ready_pair()
    pair.offer(0, *[pending_add(index) for index in range(5)])
    pair.offer(1, *[pending_add(100 + index) for index in range(4)])
    assert pair.sent_kinds(0)[-1] == pair.sent_kinds(1)[-1] == "CommitmentSigned"
    pair.pump()
    for party in pair.parties:
        assert len(party.core.local.htlcs) == len(party.core.remote.htlcs) == 9
    pair.resolve(0, *[fulfil(index, 100 + index) for index in range(4)])
    pair.resolve(1, *[fulfil(index, index) for index in range(5)])
    pair.pump()
    assert pair.balances_msat() == (5_990_000_000, 4_010_000_000)


@pytest.mark.parametrize("kind", [CommitmentFormat.ANCHORS, CommitmentFormat.STATIC_REMOTEKEY])
def test_483_htlcs_each_way(kind: CommitmentFormat) -> None:
    """966 pending HTLCs, the most that two sides can have: one signature each, every message within its size."""
    limits_ = ChannelLimits(max_accepted_htlcs=483)
    pair = ready_pair((limits_, limits_), channel_type=ChannelType(kind), funding_satoshis=100_000_000)
    for who in (0, 1):
        pair.offer(who, *[pending_add(1_000 * who + index, 3_000_000) for index in range(485)])
        assert len(pair.wires[who][-1]) < 65_535
    pair.pump()
    for party in pair.parties:
        assert len(party.core.local.htlcs) == len(party.core.remote.htlcs) == 966
        assert party.core.local.untrimmed == 966
        assert len(party.session.queued_adds) == 2
    for who in (0, 1):
        other = 1_000 * (1 - who)
        pair.resolve(who, *[fulfil(index, other + index) for index in range(483)])
    pair.pump()
    assert sorted(pair.a.core.inbound) == sorted(pair.b.core.inbound) == [483, 484]


def test_update_fee_while_htlcs_fly() -> None:
    """The new feerate reaches both commitments, and every signature holds on the way."""
    for channel_type in (STATIC, ChannelType(CommitmentFormat.ANCHORS)):
        pair = ready_pair(channel_type=channel_type)
        pair.offer(0, *[pending_add(index, 2_000_000) for index in range(4)])
        pair.offer(1, *[pending_add(100 + index, 2_000_000) for index in range(4)])
        pair.a.handle(ChangeFeerate(3_000))
        pair.deliver(1)
        pair.deliver(0)
        pair.offer(1, *[pending_add(200 + index, 2_000_000) for index in range(4)])
        pair.pump()
        for party in pair.parties:
            assert (party.core.local.feerate_per_kw, party.core.remote.feerate_per_kw) == (3_000, 3_000)
            assert len(party.core.local.htlcs) == 12
        # Without anchors 2,000 sat is below 354 + 663 (or 703) * 3: all trimmed now.
        assert pair.a.core.local.untrimmed == (0 if channel_type is STATIC else 12)


def test_a_feerate_the_funder_cannot_afford_fails_the_channel_when_it_is_signed() -> None:
    """The check waits for the signature, as it may (BOLT 2, "Updating Fees: `update_fee`")."""
    pair = ready_pair(push_msat=9_890_000_000)
    channel_id = pair.b.core.opened.channel_id
    affordable = (110_000 - 660) * 1_000 // 1_124
    for feerate, fails in ((affordable + 10, True), (affordable - 10, False)):
        pair = ready_pair(push_msat=9_890_000_000)
        pair.set_env(feerate_max_per_kw=1_000_000)
        channel_id = pair.b.core.opened.channel_id
        dialogue = play(pair.b).on(UpdateFee(channel_id, feerate)).expect_nothing()
        reason = "cannot afford its feerate_per_kw" if fails else "does not sign our next commitment"
        dialogue.refuses(CommitmentSigned(channel_id, bytes(64), ()), InvalidCommitment, reason)


def test_an_htlc_that_crosses_update_fee_may_leave_the_funder_below_its_reserve() -> None:
    """Nobody did anything wrong, so nothing fails: the fee is what the funder has (BOLT 3, "Fee Payment")."""
    pair = ready_pair(push_msat=9_888_000_000, feerate_per_kw=253)
    # 112,000 sat with the funder: enough for the fee alone, not for the outputs that cross it.
    pair.a.handle(ChangeFeerate(9_500))
    pair.offer(0)
    pair.offer(1, *[pending_add(index) for index in range(40)])
    assert pair.sent_kinds(0) == ["UpdateFee", "CommitmentSigned"]
    assert len(pair.sent(1)) == 41
    pair.pump()
    cost = 9_500 * (1_124 + 40 * 172) // 1_000 + 660
    assert pair.a.core.local.local_msat // 1_000 - 100_000 < cost
    for party in pair.parties:
        assert party.core.local.feerate_per_kw == 9_500
        assert len(party.core.local.htlcs) == 40
    pair.resolve(0, *[fulfil(index, index) for index in range(40)])
    pair.pump()
    assert pair.balances_msat() == (112_000_000 + 400_000_000, 9_888_000_000 - 400_000_000)


def test_htlcs_the_funder_did_not_know_are_not_held_against_its_feerate() -> None:
    """A funder may send `update_fee` long before it signs: what we added meanwhile it could not count."""
    pair = ready_pair(push_msat=9_888_000_000, feerate_per_kw=253)
    channel_id, feerate = pair.b.core.opened.channel_id, 20_000
    play(pair.b).on(UpdateFee(channel_id, feerate)).expect_nothing()
    pair.offer(1, *[pending_add(index) for index in range(40)])
    pair.deliver(1)
    pair.deliver(0, 1)  # revoke_and_ack; the signature that follows is made by hand, with the feerate in it
    view = pair.a.core.remote.copy()
    view.set_feerate(feerate)
    assert feerate * (1_124 + 40 * 172) // 1_000 > view.local_msat // 1_000
    commitment = remote_commitment(pair.a.state.keys, view, pair.a.core.remote_point)
    signature, htlc_signatures = pair.a.signer.sign_counterparty_commitment(pair.a.keys_id, commitment)
    message = CommitmentSigned(channel_id, signature, tuple(htlc_signatures))
    play(pair.b).on(message).expect(a(ReceivedCommitment, feerate_per_kw=feerate), fx.SendRevokeAndAck)


def test_shown_htlcs_keep_their_set_until_the_answer() -> None:
    """What the user was asked is a record (P5): once, with its set, until a decision answers it."""
    pair = ready_pair()
    pair.offered(0, pending_add(1), pending_add(2))
    shown = HtlcsShown(b"set" * 10 + b"..", [0, 1], b"h" * 32, b"s" * 32, "invoice", 20_000_000, 480, b"", [])
    play(pair.b).on(Show(shown)).expect(shown)
    play(pair.b).on(Show(shown)).expect_nothing()
    assert {htlc.set_id for htlc in pair.b.core.inbound.values()} == {shown.set_id}
    pair.resolve(1, failure(0))
    assert not pair.b.core.shown


def test_claimed_ids_are_those_of_this_channel_that_are_still_to_be_fulfilled() -> None:
    """After a restart the manager releases a claim again: what is signed already is not queued twice."""
    pair = ready_pair()
    pair.offered(0, pending_add(1), pending_add(1))
    claim = claim_of(pair.b.core.opened.channel_id, 1, 0, 1)
    assert claimed_ids(pair.b.core, claim.claim_id) == ()
    pair.give(1, DecideHtlcs([], [], [claim]))
    assert claimed_ids(pair.b.core, claim.claim_id) == (0, 1)
    pair.give(1, ReleaseClaim(claim.claim_id))
    pair.give(1, Commit())
    assert claimed_ids(pair.b.core, claim.claim_id) == ()
    assert pair.b.core.inbound[0].preimage == preimage_of(1)


def test_a_preimage_wins_over_a_failure_of_the_same_pass() -> None:
    """Both may be found while one block is looked at (invariant S15)."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    pair.give(1, DecideHtlcs([fulfil(0, 1)], [failure(0)], []))
    htlc = pair.b.core.inbound[0]
    assert htlc.preimage == preimage_of(1)
    assert htlc.failure is None


def test_an_htlc_that_is_offered_too_late_is_refused_with_its_source() -> None:
    """Its owner must learn that nothing was sent, in every state that does not send."""
    pair = ready_pair()
    add = pending_add(1)
    pair.disconnect()
    play(pair.a).on(QueueAdd(add)).expect(fx.AddRefused(add, limits.DISCONNECTED))
