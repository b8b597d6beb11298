"""What may confirm now: up to three commitments, and where each HTLC is in them."""

from typing import Any

import pytest

from leyden.channel.inputs import ChangeFeerate, Commit, DecideHtlcs, QueueAdd, Withdraw
from leyden.journal.records import Claim, ClaimPart
from leyden.monitor.commitments import (
    CommitmentSource,
    PossibleCommitment,
    has_output,
    possible_commitments,
    without_output,
)
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from tests.channel.pair import Pair, failure, fulfil, pending_add, preimage_of, ready_pair

OURS, THEIRS = True, False


def possible(pair: Pair, who: int = 0) -> dict[CommitmentSource, PossibleCommitment]:
    """What may confirm, as one party sees it."""
    party = pair.parties[who]
    found = possible_commitments(party.core, party.state.keys, party.signer.per_commitment_point)
    return {one.source: one for one in found}


def keys_of(one: PossibleCommitment) -> list[tuple[bool, int]]:
    """Which HTLCs a commitment has."""
    return sorted(htlc.key for htlc in one.htlcs)


def test_a_quiet_channel_has_two_commitments_that_the_peer_knows_too() -> None:
    """Both sides rebuild the same transactions, each from its own journal."""
    pair = ready_pair()
    pair.offered(0, pending_add(1), pending_add(2, 5_000_000))
    pair.offered(1, pending_add(3))
    a, b = possible(pair, 0), possible(pair, 1)
    assert list(a) == [CommitmentSource.LOCAL, CommitmentSource.REMOTE]
    assert a[CommitmentSource.LOCAL].commitment.txid == b[CommitmentSource.REMOTE].commitment.txid
    assert a[CommitmentSource.REMOTE].commitment.txid == b[CommitmentSource.LOCAL].commitment.txid
    for one in a.values():
        assert keys_of(one) == [(THEIRS, 0), (OURS, 0), (OURS, 1)]
        outputs = [htlc.output_index for htlc in one.htlcs]
        assert outputs == [index for index, _ in one.commitment.htlcs]
        for htlc in one.htlcs:
            assert htlc.output_index is not None
            assert one.commitment.output_value_sat(htlc.output_index) == htlc.amount_msat // 1000
        assert without_output(one, tuple(a.values())) == ()


def test_while_a_signature_is_under_way_htlcs_are_in_one_and_not_in_another() -> None:
    """Whichever confirms decides: what it has no output for comes back, or was never there."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    pair.offer(0, pending_add(2))  # signed by us alone
    found = possible(pair)
    local, remote, prior = found.values()
    assert [keys_of(one) for one in (local, remote, prior)] == [[(OURS, 0)], [(OURS, 0), (OURS, 1)], [(OURS, 0)]]
    assert prior.number == remote.number - 1
    everything = (local, remote, prior)
    assert [htlc.key for htlc in without_output(local, everything)] == [(OURS, 1)]
    assert without_output(remote, everything) == ()
    pair.pump()
    pair.resolve(1, failure(0))
    pair.deliver(1)
    found = possible(pair)
    # The peer failed it on ours, and we have signed that for the peer's; its prior one has the HTLC still.
    assert [keys_of(one) for one in found.values()] == [[(OURS, 1)], [(OURS, 1)], [(OURS, 0), (OURS, 1)]]
    missing = without_output(found[CommitmentSource.LOCAL], tuple(found.values()))
    assert [htlc.key for htlc in missing] == [(OURS, 0)]


def test_preimages_are_known_by_htlc_and_never_by_hash() -> None:
    """Two payments with one hash: the decision for one of them is no licence for the other (S4)."""
    pair = ready_pair()
    alike: dict[str, Any] = {"payment_hash": pending_add(1).payment_hash}
    pair.offered(1, pending_add(1), pending_add(2, **alike))
    pair.give(0, DecideHtlcs([fulfil(1, 1)], [], []))
    for one in possible(pair).values():
        known = {htlc.key: htlc.preimage for htlc in one.htlcs}
        assert known == {(THEIRS, 0): b"", (THEIRS, 1): preimage_of(1)}
        assert preimage_of(1).hex() not in repr(one)
        assert repr(preimage_of(1)) not in repr(one)


def test_a_preimage_that_belongs_to_a_claim_names_the_claim() -> None:
    """Until all parts of it are durable the preimage may be in no transaction (P11)."""
    pair = ready_pair()
    pair.offered(1, pending_add(1))
    channel_id = pair.a.core.opened.channel_id
    add = pending_add(1)
    parts = [ClaimPart(channel_id, 0, add.amount_msat), ClaimPart(b"z" * 32, 5, 1)]
    claim = Claim(b"c" * 32, add.payment_hash, preimage_of(1), b"", "invoice", add.amount_msat + 1, parts, [])
    pair.give(0, DecideHtlcs([], [], [claim]))
    (htlc,) = possible(pair)[CommitmentSource.LOCAL].htlcs
    assert (htlc.preimage, htlc.claim_id) == (preimage_of(1), b"c" * 32)


def test_the_peers_preimage_is_known_as_soon_as_it_is_signed() -> None:
    """The peer has it then, and may use it on whichever commitment confirms."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    pair.resolve(1, fulfil(0, 1))
    pair.deliver(1)
    found = possible(pair)
    assert keys_of(found[CommitmentSource.LOCAL]) == []
    (htlc,) = found[CommitmentSource.REMOTE_PRIOR].htlcs
    assert (htlc.key, htlc.preimage, htlc.claim_id) == ((OURS, 0), preimage_of(1), b"")


def test_trimmed_htlcs_are_named_on_the_side_that_trims_them() -> None:
    """Dust limits differ between the sides, and without anchors the feerate moves them."""
    pair = ready_pair(channel_type=ChannelType(CommitmentFormat.STATIC_REMOTEKEY))
    # With 703 WU of an HTLC-success at 1,000 sat/kw this one has an output, at 3,000 it has none.
    pair.offered(0, pending_add(1, 1_800_000), pending_add(2))
    found = possible(pair)
    assert [one.trimmed() for one in found.values()] == [(), ()]
    pair.give(0, ChangeFeerate(3_000))
    pair.finish_pass(0)
    pair.pump()
    for one in possible(pair).values():
        assert [htlc.key for htlc in one.trimmed()] == [(OURS, 0)]
        assert [htlc.key for htlc in one.htlcs] == [(OURS, 1), (OURS, 0)], "the trimmed ones come last"
        assert [htlc.key for htlc in without_output(one, tuple(possible(pair).values()))] == [(OURS, 0)]


def outputs_agree(pair: Pair) -> tuple[int, int]:
    """Check `has_output` against the transactions; return how many HTLCs have an output somewhere, and how many not."""
    counts = [0, 0]
    for who, party in enumerate(pair.parties):
        core = party.core
        found = possible_commitments(core, party.state.keys, party.signer.per_commitment_point)
        htlcs = [(OURS, one.add) for one in core.outbound.values()] + [
            (THEIRS, one.add) for one in core.inbound.values()
        ]
        for offered, add in htlcs:
            wanted = any(
                (htlc.key, htlc.payment_hash) == ((offered, add.htlc_id), add.payment_hash)
                and htlc.output_index is not None
                for one in found
                for htlc in one.htlcs
            )
            assert has_output(core, offered, add.htlc_id, add.amount_msat) is wanted, (who, offered, add.htlc_id)
            counts[not wanted] += 1
    return counts[0], counts[1]


@pytest.mark.parametrize("kind", list(CommitmentFormat))
def test_whether_an_htlc_has_an_output_is_known_without_its_transactions(kind: CommitmentFormat) -> None:
    """At every stage of a change, on both sides, and when the feerate moves what is trimmed."""
    pair = ready_pair(channel_type=ChannelType(kind))
    for number in range(4):
        pair.offered(0, pending_add(number, 1_800_000), pending_add(number + 10, 200_000), pending_add(number + 20))
        pair.offered(1, pending_add(number + 30, 1_690_000), pending_add(number + 40))
        outputs_agree(pair)
        pair.give(0, ChangeFeerate(1_000 * (number + 2)))
        pair.finish_pass(0)
        outputs_agree(pair)
        pair.pump()
        with_output, without = outputs_agree(pair)
        assert with_output
        assert without


def test_a_commitment_that_was_taken_back_counts_for_the_htlcs_that_it_had() -> None:
    """Not for another HTLC that has the id of one now; and once its number is revoked, not at all."""
    pair = ready_pair(channel_type=ChannelType(CommitmentFormat.STATIC_REMOTEKEY))
    pair.offered(0, pending_add(1, 1_800_000))
    pair.give(0, QueueAdd(pending_add(2)))
    pair.give(0, ChangeFeerate(300))
    pair.give(0, Commit())
    number = pair.a.core.remote.number
    pair.disconnect()
    pair.give(0, Withdraw(number))
    assert outputs_agree(pair) == (2, 0)
    pair.reconnect()
    pair.deliver(0)
    pair.deliver(1)
    pair.give(0, QueueAdd(pending_add(3, 1_000)))
    pair.give(0, Commit())
    assert pair.a.core.outbound[1].add.amount_msat == 1_000
    assert not has_output(pair.a.core, OURS, 1, 1_000)
    outputs_agree(pair)


def test_an_htlc_that_only_a_commitment_that_was_taken_back_gives_an_output_counts() -> None:
    """The feerate on it was lower: nobody should have its signature, and the output would be real."""
    pair = ready_pair(channel_type=ChannelType(CommitmentFormat.STATIC_REMOTEKEY), feerate_per_kw=3_000)
    pair.offered(0, pending_add(1, 1_800_000))
    assert outputs_agree(pair) == (0, 2)
    pair.give(0, ChangeFeerate(1_000))
    pair.give(0, Commit())
    number = pair.a.core.remote.number
    pair.disconnect()
    pair.give(0, Withdraw(number))
    assert has_output(pair.a.core, OURS, 0, 1_800_000)
    assert outputs_agree(pair) == (1, 1)
