"""From the state of a channel to the transactions of BOLT 3: both ends build the same ones."""

from itertools import pairwise

import msgspec
import pytest

from leyden.bitcoin.tx import Transaction, TxOut
from leyden.channel.build import (
    KEYS_KEPT,
    basepoints,
    channel_keys,
    closing_parameters,
    local_commitment,
    pays_funding,
    prepare,
    remote_commitment,
)
from leyden.transactions.commitment import Commitment
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from tests.channel.pair import Pair, failure, fulfil, pending_add, ready_pair
from tests.channel.test_negotiating import negotiating


def commitment_of(pair: Pair, who: int, *, seen_by: int) -> Commitment:
    """The commitment of one party as that party or its peer builds it."""
    party = pair.parties[seen_by]
    if who == seen_by:
        number = party.core.local.number
        point = party.signer.per_commitment_point(party.keys_id, number)
        return local_commitment(party.state.keys, party.core.local, point, number)
    return remote_commitment(party.state.keys, party.core.remote, party.core.remote_point)


@pytest.mark.parametrize("kind", list(CommitmentFormat))
@pytest.mark.parametrize("who", [0, 1])
def test_both_ends_build_the_same_commitments(kind: CommitmentFormat, who: int) -> None:
    """Else no signature would hold: obscured number, keys, delays, reserve of the right side, fee of the opener."""
    pair = ready_pair(channel_type=ChannelType(kind))
    pair.offered(0, pending_add(1), pending_add(2, 353_999), pending_add(3, 10_000_999))
    pair.offered(1, pending_add(4), pending_add(5, 5_000_001))
    pair.resolve(1, failure(1), fulfil(2, 3))
    pair.pump()
    own, peers = commitment_of(pair, who, seen_by=who), commitment_of(pair, who, seen_by=1 - who)
    assert own.txid == peers.txid
    assert own.digest() == peers.digest()
    assert own.htlc_digests(own.htlc_sighash_type) == peers.htlc_digests(peers.htlc_sighash_type)
    other = commitment_of(pair, 1 - who, seen_by=who)
    assert other.txid != own.txid


def test_htlc_signatures_follow_the_outputs() -> None:
    """Outputs by amount, then script; equal outputs by cltv_expiry: both sides must agree on the order."""
    pair = ready_pair()
    expiries = [700, 500, 600, 650, 550]
    pair.offered(0, *[pending_add(1, 5_000_000, cltv_expiry=expiry) for expiry in expiries])
    pair.offered(1, pending_add(9, 4_000_000), pending_add(9, 6_000_000))
    commitment = commitment_of(pair, 1, seen_by=1)
    htlcs = [htlc for _output_index, htlc in commitment.htlcs]
    assert [htlc.amount_msat for htlc in htlcs] == [4_000_000, *[5_000_000] * 5, 6_000_000]
    twins = [htlc.cltv_expiry for htlc in htlcs if htlc.amount_msat == 5_000_000]
    assert sorted(twins) == sorted(expiries)
    assert [index for index, _htlc in commitment.htlcs] == sorted(index for index, _htlc in commitment.htlcs)
    # An HTLC that the peer offers has an expiry in its script, one that we receive has it too: different scripts, so
    # the order of these is by script; among HTLCs with one script it is by expiry (offered ones have none in it).
    offered = commitment_of(pair, 0, seen_by=0)
    twins = [htlc.cltv_expiry for _output_index, htlc in offered.htlcs if htlc.amount_msat == 5_000_000]
    assert all(one <= two for one, two in pairwise(twins))


def test_constants_are_those_of_the_right_side() -> None:
    """Our outputs are delayed as the peer asks, and trimmed by our own dust limit."""
    opened = ready_pair().a.core.opened
    keys = channel_keys(opened)
    assert keys.local == basepoints(opened.local)
    assert keys.local_parameters.to_self_delay == opened.remote.to_self_delay
    assert keys.local_parameters.opener_is_broadcaster
    assert not keys.remote_parameters.opener_is_broadcaster
    assert keys.local_parameters.obscuring_factor == keys.remote_parameters.obscuring_factor


def test_a_peer_that_names_our_point_gets_its_own_keys() -> None:
    """Keys are made once for each commitment; mixed up, our balance would be paid to the peer's key."""
    pair = ready_pair()
    opened = pair.a.core.opened
    point = pair.a.signer.per_commitment_point(pair.a.keys_id, 1)
    keys, again = channel_keys(opened), channel_keys(opened)
    both = [keys.local_keys(point), keys.remote_keys(point)]
    swapped = [again.remote_keys(point), again.local_keys(point)]
    assert both == swapped[::-1]
    assert both[0].broadcaster_funding_public_key == opened.local.funding_pubkey
    assert both[1].broadcaster_funding_public_key == opened.remote.funding_pubkey


def test_only_the_output_that_was_agreed_funds_a_channel() -> None:
    """An opener could name a transaction that pays less, or elsewhere: whatever was paid over it would be worthless."""
    pair = ready_pair()
    transaction = Transaction.parse(pair.a.core.opened.funding_transaction)
    (output,) = transaction.outputs
    for party in pair.parties:
        assert pays_funding(party.core, party.state.keys, transaction)
        for outputs in (
            (),
            (msgspec.structs.replace(output, value_sat=output.value_sat - 1),),
            (msgspec.structs.replace(output, value_sat=output.value_sat + 1),),
            (msgspec.structs.replace(output, script_pubkey=b"\x00\x20" + bytes(32)),),
            (TxOut(1_000, b""), output),
        ):
            wrong = msgspec.structs.replace(transaction, outputs=outputs)
            assert not pays_funding(party.core, party.state.keys, wrong)


def test_keys_made_ahead_are_those_made_in_need() -> None:
    """And only a few are kept."""
    pair = ready_pair()
    for index in range(8):
        prepare(pair.a.core, pair.a.state.keys, pair.a.env.point_of)
        pair.offered(0, pending_add(index))
        assert len(pair.a.state.keys.made) <= KEYS_KEPT
    core = pair.a.core
    fresh = channel_keys(core.opened)
    kept = pair.a.state.keys.remote_keys(core.remote_point)
    assert kept == fresh.remote_keys(core.remote_point)


def test_closing_parameters_are_the_same_at_both_ends() -> None:
    """Funder and fundee, not local and remote."""
    pair = negotiating()
    one, two = (closing_parameters(party.core, party.state.keys) for party in pair.parties)
    assert one == two
    assert (one.funder_msat, one.fundee_msat) == (6_000_000_000, 4_000_000_000)
    assert one.funder_script_pubkey == pair.a.core.local_shutdown_script
