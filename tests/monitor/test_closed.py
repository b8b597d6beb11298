"""The view of a closed channel follows the records, and a start makes the same."""

from leyden.bitcoin.script import p2wsh_of_script
from leyden.bitcoin.tx import TxOut
from leyden.monitor.commitments import CommitmentSource
from leyden.monitor.watched import WatchedKind, second_stage_script
from tests.monitor.spends import ClosedChannel, commitment_of
from tests.monitor.test_balances import with_htlcs


def test_a_start_sees_what_this_life_saw() -> None:
    """Spends and second stages are derived from the journal alone."""
    pair = with_htlcs()
    channel = ClosedChannel(pair, commitment_of(pair, CommitmentSource.LOCAL), 0)
    script = p2wsh_of_script(second_stage_script(channel.keys, channel.view.spend))
    channel.spend(channel.htlc(1, offered=True), 501, outputs=(TxOut(29_000, script),))
    again = channel.viewed()
    assert list(again.outputs) == list(channel.view.outputs)
    assert list(again.spenders) == list(channel.view.spenders)
    assert [one.kind for one in again.unspent()] == [one.kind for one in channel.view.unspent()]
    assert WatchedKind.SECOND_STAGE in [one.kind for one in again.unspent()]


def test_a_reorganisation_brings_outputs_back() -> None:
    """What a block spent is unspent again when the block goes; what it made is gone with it."""
    pair = with_htlcs()
    channel = ClosedChannel(pair, commitment_of(pair, CommitmentSource.LOCAL), 0)
    before = [one.outpoint for one in channel.view.unspent()]
    script = p2wsh_of_script(second_stage_script(channel.keys, channel.view.spend))
    channel.spend(channel.htlc(0, offered=True), 461, outputs=(TxOut(19_000, script),))
    assert [one.outpoint for one in channel.view.unspent()] != before
    channel.disconnect(461)
    assert channel.view.spenders
    channel.disconnect(460)
    assert [one.outpoint for one in channel.view.unspent()] == before
