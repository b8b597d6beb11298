"""What the chain decides, and when: preimages at once, failures when they are deep, by the id of each HTLC."""

import msgspec
import pytest

from leyden.channel.fold import fold
from leyden.channel.inputs import Commit, QueueAdd, Withdraw
from leyden.journal.records import OnchainResolved
from leyden.monitor.classify import SpendKind
from leyden.monitor.commitments import CommitmentSource
from leyden.monitor.resolution import Depths, is_resolved, preimages_of, resolve, unlock_height, withdrawn_preimages
from leyden.monitor.watched import WatchedKind
from tests.channel.pair import Pair, failure, fulfil, pending_add, preimage_of, ready_pair
from tests.monitor.history import Witness
from tests.monitor.spends import HEIGHT, ClosedChannel, commitment_of, spending_of
from tests.monitor.test_balances import with_htlcs

DEPTHS = Depths(6, 6, 6)
NOT_TOLD = Depths(6, 6, 1000)
SIGNATURE = b"s" * 71
SOURCES = [CommitmentSource.LOCAL, CommitmentSource.REMOTE]


def resolved(channel: ClosedChannel, height: int, depths: Depths = DEPTHS) -> OnchainResolved:
    """What is decided at a height and recorded; an empty record when nothing is."""
    found = resolve(channel.core, channel.keys, channel.view, height, depths)
    if found is None:
        return OnchainResolved([], [], [])
    fold(channel.core, found)
    return found


def closed(source: CommitmentSource, pair: Pair | None = None) -> ClosedChannel:
    """Two HTLCs each way and a trimmed one (htlc_id 2), closed by a commitment."""
    known = pair or with_htlcs()
    return ClosedChannel(known, commitment_of(known, source))


@pytest.mark.parametrize("source", SOURCES)
def test_a_preimage_counts_at_once(source: CommitmentSource) -> None:
    """BOLT 5: as soon as it is seen; it is its own proof, and told once."""
    channel = closed(source)
    output = channel.htlc(1, offered=True)
    channel.spend(output, HEIGHT + 1, b"", SIGNATURE, preimage_of(2), output.witness_script)
    assert resolved(channel, HEIGHT + 1).fulfilled == [(1, preimage_of(2))]
    assert channel.core.outcomes[1].removal.preimage == preimage_of(2)
    assert resolved(channel, HEIGHT + 2).fulfilled == []


def test_a_preimage_in_the_mempool_is_found() -> None:
    """The same witness, before any block has it."""
    channel = closed(CommitmentSource.LOCAL)
    output = channel.htlc(1, offered=True)
    waiting = spending_of(output.outpoint, SIGNATURE, preimage_of(2), output.witness_script)
    assert dict(preimages_of(channel.core, output, waiting.inputs[0])) == {1: preimage_of(2)}
    other = spending_of(output.outpoint, SIGNATURE, preimage_of(1), output.witness_script)
    assert dict(preimages_of(channel.core, output, other.inputs[0])) == {}


@pytest.mark.parametrize("source", SOURCES)
def test_a_timeout_fails_when_it_is_deep(source: CommitmentSource) -> None:
    """BOLT 5: not before; a fulfil of what is not deep may still come."""
    channel = closed(source)
    channel.spend(channel.htlc(0, offered=True), 470, SIGNATURE, b"", b"script")
    assert resolved(channel, 474, NOT_TOLD).failed == [2]  # the trimmed one went with the commitment
    assert resolved(channel, 475, NOT_TOLD).failed == [0]
    removal = channel.core.outcomes[0].removal
    assert (removal.preimage, removal.reason, removal.failure_code) == (b"", b"", 0)
    assert resolved(channel, 476, NOT_TOLD).failed == []


@pytest.mark.parametrize("source", SOURCES)
def test_a_trimmed_htlc_fails_with_the_commitment(source: CommitmentSource) -> None:
    """BOLT 5: once the commitment is deep; those with an output wait for it."""
    channel = closed(source)
    assert resolved(channel, HEIGHT + 4, NOT_TOLD).failed == []
    assert resolved(channel, HEIGHT + 5, NOT_TOLD).failed == [2]


def test_an_htlc_that_is_in_no_output_of_the_confirmed_commitment_fails() -> None:
    """Signed for the peer and not yet for us: our commitment does not have it (H36)."""
    pair = with_htlcs()
    pair.offer(0, pending_add(9, 60_000_000))  # signed, and no answer yet
    channel = closed(CommitmentSource.LOCAL, pair)
    assert 3 in channel.core.outbound
    assert resolved(channel, HEIGHT + 5, NOT_TOLD).failed == [2, 3]
    with_it = closed(CommitmentSource.REMOTE, pair)
    assert resolved(with_it, HEIGHT + 5, NOT_TOLD).failed == [2]


def test_a_payment_of_ours_fails_only_when_it_is_irrevocable() -> None:
    """Retried at 6 and then reorganised, it would be made twice (DESIGN section 7, reading 17)."""
    pair = with_htlcs()
    channel = closed(CommitmentSource.LOCAL, pair)
    htlc = channel.core.outbound[0]
    source = htlc.add.source
    assert source is not None
    htlc.add = msgspec.structs.replace(htlc.add, source=msgspec.structs.replace(source, forwarded=False))
    channel.spend(channel.htlc(0, offered=True), 470, SIGNATURE, b"", b"script")
    assert 0 not in resolved(channel, 568, Depths()).failed
    assert 0 in resolved(channel, 569, Depths()).failed


def test_a_preimage_wins_over_a_failure_that_was_recorded() -> None:
    """A reorganisation deeper than asked: what is gone here is asked for upstream while that is possible."""
    channel = closed(CommitmentSource.LOCAL)
    output = channel.htlc(0, offered=True)
    channel.spend(output, 461, SIGNATURE, b"", b"script")
    assert 0 in resolved(channel, 470).failed
    channel.disconnect(460)
    channel.spend(output, 461, SIGNATURE, preimage_of(1), output.witness_script)
    assert resolved(channel, 471).fulfilled == [(0, preimage_of(1))]
    assert channel.core.outcomes[0].removal.preimage == preimage_of(1)


def test_twins_are_told_apart_by_their_outputs() -> None:
    """H90: equal hash and amount; the one whose output shows the preimage is fulfilled, the other is not."""
    pair = ready_pair()
    pair.offered(0, pending_add(1, 20_000_000, 460), pending_add(1, 20_000_000, 460))
    channel = closed(CommitmentSource.LOCAL, pair)
    first, second = channel.htlc(0, offered=True), channel.htlc(1, offered=True)
    assert first.outpoint != second.outpoint
    channel.spend(second, 452, SIGNATURE, preimage_of(1), second.witness_script)
    assert resolved(channel, 452).fulfilled == [(1, preimage_of(1))]
    channel.spend(first, 465, SIGNATURE, b"", first.witness_script)
    assert resolved(channel, 480).failed == [0]


def test_a_fulfilled_htlc_never_fails() -> None:
    """H34: fulfilled off chain, and in no output of the commitment that confirms."""
    pair = with_htlcs()
    pair.resolve(1, fulfil(0, 1))
    pair.pump()
    channel = closed(CommitmentSource.REMOTE, pair)
    assert 0 not in resolved(channel, HEIGHT + 200).failed


def test_a_failure_that_was_not_over_is_decided_by_the_chain() -> None:
    """The peer failed it and our commitment says so, its own not yet: whichever confirms decides."""
    pair = with_htlcs()
    pair.resolve(1, failure(0))
    pair.deliver(1)
    pair.finish_pass(0)
    channel = closed(CommitmentSource.REMOTE_PRIOR, pair)
    assert channel.core.outbound[0].removal is not None
    assert 0 not in resolved(channel, HEIGHT + 20).failed
    channel.spend(channel.htlc(0, offered=True), 470, SIGNATURE, b"", b"script")
    assert 0 in resolved(channel, 475).failed


def test_outputs_are_ours_alone_after_their_delay_and_depth() -> None:
    """`SpendableOutputs`: once, behind lock and depth, unless it was spent."""
    channel = closed(CommitmentSource.LOCAL)
    ours = channel.of_kind(WatchedKind.TO_LOCAL)
    free = unlock_height(channel.core, channel.keys, ours)
    assert free == HEIGHT + channel.keys.local_parameters.to_self_delay
    assert resolved(channel, free - 2).spendable == []
    (told,) = resolved(channel, free - 1).spendable
    assert (told.txid, told.output_index, told.kind) == (ours.outpoint.txid, ours.outpoint.vout, "to_local")
    assert resolved(channel, free).spendable == []
    remote = closed(CommitmentSource.REMOTE)
    assert resolved(remote, HEIGHT + 4).spendable == []
    (told,) = resolved(remote, HEIGHT + 5).spendable
    assert told.kind == "to_remote"


def test_the_channel_is_over_when_everything_is_irrevocable() -> None:
    """BOLT 5: 100 blocks over the last spend of what matters; an undecided HTLC of the peer ends by its expiry."""
    pair = with_htlcs()
    channel = closed(CommitmentSource.REMOTE, pair)
    resolved(channel, HEIGHT + 5)
    spent = [channel.htlc(0, offered=True), channel.htlc(1, offered=True), channel.htlc(0, offered=False)]
    for output in (*spent, channel.of_kind(WatchedKind.TO_REMOTE)):
        assert not is_resolved(channel.core, channel.view, 2_000)
        channel.spend(output, 510, SIGNATURE, b"", b"script")
    resolved(channel, 609)
    assert not is_resolved(channel.core, channel.view, 608)
    assert is_resolved(channel.core, channel.view, 609)
    assert channel.htlc(1, offered=False).outpoint not in channel.view.spenders


def test_htlcs_of_a_revoked_commitment_are_decided_too() -> None:
    """Its outputs are taken by us; a preimage that the cheater shows first goes upstream."""
    pair = ready_pair()
    witness = Witness(pair.a)
    pair.offered(0, pending_add(1, 20_000_000, 460), pending_add(2, 30_000_000, 460))
    old = witness.remote[max(witness.remote)].transaction()
    pair.offered(1, pending_add(3, 40_000_000, 460))
    channel = ClosedChannel(pair, old, 0, witness.journal.penalty_log)
    first, second = channel.htlc(0, offered=True), channel.htlc(1, offered=True)
    channel.spend(first, 451, b"", SIGNATURE, SIGNATURE, preimage_of(1), first.witness_script)
    channel.spend(second, 452, SIGNATURE, b"\x02" * 33, second.witness_script)
    assert resolved(channel, 457).fulfilled == [(0, preimage_of(1))]
    assert channel.core.onchain_failed == {1: None}


def test_a_preimage_that_a_cheater_shows_for_an_old_htlc_serves_the_one_that_took_its_place() -> None:
    """The first try of a part has failed and left the state; its hash is that of the second, whose payer waits."""
    pair = ready_pair()
    witness = Witness(pair.a)
    pair.offered(0, pending_add(1, 20_000_000, 460))
    old = witness.remote[max(witness.remote)].transaction()
    pair.resolve(1, failure(0))
    pair.pump()
    pair.offered(0, pending_add(1, 20_000_000, 480))
    witness.journal.compact()
    assert list(pair.a.core.outbound) == [1]
    channel = ClosedChannel(pair, old, 0, witness.journal.penalty_log)
    forfeited = channel.of_kind(WatchedKind.REVOKED_HTLC)
    assert forfeited.htlc is not None
    assert forfeited.htlc.htlc_id is None, "only the penalty log names it"
    channel.spend(forfeited, 451, b"", SIGNATURE, SIGNATURE, preimage_of(1), forfeited.witness_script)
    assert resolved(channel, 452).fulfilled == [(1, preimage_of(1))]


def test_a_preimage_of_an_unknown_commitment_is_matched_by_its_hash() -> None:
    """Data were lost; whoever offered us the HTLC must hear of the preimage before it is too late."""
    pair = ready_pair()
    pair.offered(0, pending_add(1, 20_000_000, 460))
    kept = len(pair.a.journal)
    pair.offered(0, pending_add(2, 20_000_000, 460))
    channel = ClosedChannel(pair, commitment_of(pair, CommitmentSource.REMOTE), 0, records=kept)
    assert resolved(channel, HEIGHT + 50).failed == []
    unknown = [one for one in channel.view.outputs.values() if one.kind is WatchedKind.UNKNOWN]
    channel.spend(unknown[0], 451, b"", SIGNATURE, SIGNATURE, preimage_of(1), b"script")
    assert resolved(channel, 452).fulfilled == [(0, preimage_of(1))]


def test_a_preimage_of_a_commitment_that_was_taken_back_is_told_by_its_source() -> None:
    """Its HTLC was offered elsewhere, and another one has its id now: the preimage belongs to neither of these."""
    pair = ready_pair()
    pair.give(0, QueueAdd(pending_add(2, 20_000_000)))
    pair.give(0, Commit())
    number = pair.a.core.remote.number
    withdrawn = commitment_of(pair, CommitmentSource.REMOTE)
    pair.disconnect()
    pair.give(0, Withdraw(number))
    pair.reconnect()
    pair.give(0, QueueAdd(pending_add(3, 30_000_000)))
    pair.give(0, Commit())
    channel = ClosedChannel(pair, withdrawn)
    assert channel.view.spend.kind is SpendKind.REMOTE_WITHDRAWN
    assert list(withdrawn_preimages(channel.core, channel.view)) == []
    output = channel.htlc(0, offered=True)
    channel.spend(output, 451, b"", SIGNATURE, SIGNATURE, preimage_of(2), output.witness_script)
    ((add, preimage),) = withdrawn_preimages(channel.core, channel.view)
    assert (add.payment_hash, preimage) == (pending_add(2).payment_hash, preimage_of(2))
    assert resolved(channel, 452).fulfilled == []


def test_what_costs_more_than_it_holds_ends_too() -> None:
    """Nobody will spend it: 100 blocks after its expiry it is as over as an HTLC without an output."""
    pair = ready_pair()
    pair.offered(0, pending_add(1, 600_000, 460), pending_add(2, 700_000, 460))
    channel = closed(CommitmentSource.LOCAL, pair)
    assert resolved(channel, 559).failed == []
    assert resolved(channel, 560).failed == [0]
    assert not is_resolved(channel.core, channel.view, 900)
    for output in (channel.htlc(1, offered=True), channel.of_kind(WatchedKind.TO_LOCAL)):
        channel.spend(output, 700, SIGNATURE, b"", b"script")
    resolved(channel, 800)
    assert is_resolved(channel.core, channel.view, 800)
