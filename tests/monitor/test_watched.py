"""Every output of a commitment is watched as what it is to us."""

import pytest

from leyden.bitcoin.script import p2wsh_of_script
from leyden.bitcoin.tx import TxOut
from leyden.monitor.commitments import CommitmentSource
from leyden.monitor.watched import WatchedKind, second_stage_script
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from tests.channel.pair import fulfil, pending_add, ready_pair
from tests.monitor.history import Witness
from tests.monitor.spends import ClosedChannel, commitment_of
from tests.monitor.test_balances import with_htlcs

STATIC = ChannelType(CommitmentFormat.STATIC_REMOTEKEY)


def kinds(channel: ClosedChannel) -> list[str]:
    """The kinds of all outputs, sorted."""
    return sorted([one.kind.value for one in channel.view.outputs.values()])


@pytest.mark.parametrize("anchors", [True, False])
@pytest.mark.parametrize("who", [0, 1])
def test_each_side_watches_all_of_either_commitment(who: int, *, anchors: bool) -> None:
    """BOLT 5: our balance, both anchors, and each HTLC that has an output; scripts and values as in the transaction."""
    pair = with_htlcs() if anchors else with_htlcs(channel_type=STATIC)
    more = ["other_anchor", "own_anchor"] if anchors else []
    for source, ours in ((CommitmentSource.LOCAL, "to_local"), (CommitmentSource.REMOTE, "to_remote")):
        transaction = commitment_of(pair, source, who)
        channel = ClosedChannel(pair, transaction, who)
        assert kinds(channel) == sorted(["htlc"] * 4 + [ours, *more])
        for one in channel.view.outputs.values():
            output = transaction.outputs[one.outpoint.vout]
            assert (one.value_sat, one.outpoint.txid) == (output.value_sat, transaction.txid())
            if one.witness_script:
                assert p2wsh_of_script(one.witness_script) == output.script_pubkey
        for htlc_id, amount_sat in ((0, 20_000), (1, 30_000)):
            assert channel.htlc(htlc_id, offered=who == 0).value_sat == amount_sat


def test_a_revoked_commitment_is_forfeited_whole() -> None:
    """to_local and every HTLC, those of old states from the penalty log; our own balance is not a penalty."""
    pair = ready_pair()
    witness = Witness(pair.a)
    pair.offered(0, pending_add(1, 20_000_000, 460))
    pair.offered(1, pending_add(3, 40_000_000, 460))
    old = witness.remote[max(witness.remote)].transaction()
    pair.resolve(0, fulfil(0, 3))
    pair.pump()
    pair.resolve(1, fulfil(0, 1))
    pair.pump()
    witness.journal.compact()
    channel = ClosedChannel(pair, old, 0, witness.journal.penalty_log)
    assert kinds(channel) == [
        "other_anchor", "own_anchor", "revoked_htlc", "revoked_htlc", "revoked_to_local", "to_remote",
    ]  # fmt: skip
    assert sorted([one.htlc.offered for one in channel.view.outputs.values() if one.htlc is not None]) == [False, True]


@pytest.mark.parametrize("anchors", [True, False])
def test_of_a_commitment_that_is_not_known_our_balance_is(*, anchors: bool) -> None:
    """Data were lost: to_remote is told by its script; what else there is may reveal preimages."""
    pair = ready_pair() if anchors else ready_pair(channel_type=STATIC)
    kept = len(pair.a.journal)
    for index in range(3):
        pair.offered(0, pending_add(index, 10_000_000))
    channel = ClosedChannel(pair, commitment_of(pair, CommitmentSource.REMOTE), 0, records=kept)
    more = ["other_anchor", "own_anchor"] if anchors else []
    assert kinds(channel) == [*more, "to_remote", *["unknown"] * 4]


@pytest.mark.parametrize("anchors", [True, False])
def test_an_own_newer_commitment_pays_us_after_the_delay(*, anchors: bool) -> None:
    """An old copy sees what its successor published: to_local can be rebuilt from the number alone."""
    pair = ready_pair() if anchors else ready_pair(channel_type=STATIC)
    kept = len(pair.a.journal)
    for index in range(3):
        pair.offered(0, pending_add(index, 10_000_000))
    channel = ClosedChannel(pair, commitment_of(pair, CommitmentSource.LOCAL), 0, records=kept)
    assert channel.of_kind(WatchedKind.TO_LOCAL).witness_script
    more = ["other_anchor", "own_anchor"] if anchors else []
    assert kinds(channel) == [*more, "to_local", *["unknown"] * 3], "HTLCs; the peer's balance is its own"


def test_outputs_of_htlc_transactions_are_watched_too() -> None:
    """Ours waits for the delay; the cheater's is forfeited as well, also from a transaction that joins several."""
    pair = with_htlcs()
    channel = ClosedChannel(pair, commitment_of(pair, CommitmentSource.LOCAL), 0)
    script = second_stage_script(channel.keys, channel.view.spend)
    ours, other = TxOut(19_000, p2wsh_of_script(script)), TxOut(5, b"\x00\x14" + bytes(20))
    txid = channel.spend(channel.htlc(0, offered=True), 461, outputs=(ours, other))
    stage = channel.of_kind(WatchedKind.SECOND_STAGE)
    assert (stage.outpoint.txid, stage.outpoint.vout, stage.value_sat, stage.height) == (txid, 0, 19_000, 461)
    assert stage.htlc is not None
    assert stage.htlc.htlc_id == 0
