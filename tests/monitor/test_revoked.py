"""Revoked commitments of the peer: all of each is recognised, from its number and little that is stored."""

import pytest

from leyden.channel.snapshot import decode_core, encode_core
from leyden.crypto.hashes import sha256
from leyden.monitor.classify import SpendKind, classify
from leyden.monitor.recognise import OutputRole
from leyden.monitor.revoked import revoked_commitment, sequence_blocks
from leyden.transactions.commitment import Commitment
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from tests.monitor.history import check_revoked
from tests.monitor.ledger import Ledger

KINDS = pytest.mark.parametrize("kind", CommitmentFormat, ids=lambda kind: kind.name.lower())


def check(ledger: Ledger, commitment: Commitment) -> None:
    """Assert that a commitment is known as revoked, with every output."""
    spend = classify(
        ledger.core, ledger.keys, commitment.transaction(), ledger.penalty_log, ledger.signer.per_commitment_point
    )
    assert (spend.kind, spend.number) == (SpendKind.REMOTE_REVOKED, commitment.commitment_number)
    check_revoked(spend.revoked, commitment)


@KINDS
def test_thousands_of_states_are_all_recognised(kind: CommitmentFormat) -> None:
    """The peer may publish any of them, years later; HTLCs stay for many states, feerates move dust in and out."""
    ledger = Ledger(channel_type=ChannelType(kind))
    core = ledger.core
    for state in range(3_000):
        amount_msat = (354_000, 1_000_000, 1_500_000, 10_000_000, 20_000_321)[state % 5]
        old_inbound = [key for key, htlc in core.inbound.items() if htlc.committed and not htlc.removing]
        failed = [key for key in core.outbound if core.outbound[key].removal is None and key < state - 10]
        feerate = (1_000, 2_500)[state // 50 % 2] if state % 50 == 0 else 0
        ledger.receive([ledger.add(state, amount_msat)], failed[:2])
        # Every seventh HTLC of the peer is kept for hundreds of states.
        done = [key for key in old_inbound if key < state - (400 if key % 7 == 0 else 5)]
        ledger.send([ledger.add(state, amount_msat + 1_000)], done, feerate)
        ledger.keep()
        if state % 500 == 499:
            ledger.cut()
    assert core.remote.number == 3_000
    assert len(core.remote.htlcs) > 50
    numbers = [*range(60), *range(60, 3_000, 41), *range(2_950, 3_000)]
    for number in numbers:
        check(ledger, ledger.remote[number])
    # What is stored of an old state: the rows of the HTLCs that left with it, 49 bytes each, and no secret.
    rows = len(ledger.penalty_log + b"".join(core.penalty_rows))
    assert rows <= 3_000 * 2 * 49
    assert len(core.secrets.to_list()) <= 49
    assert len(encode_core(core)) < 100_000


@KINDS
def test_a_commitment_full_of_htlcs_is_recognised(kind: CommitmentFormat) -> None:
    """483 HTLCs each way, many of them alike: the worst that can be published."""
    ledger = Ledger(channel_type=ChannelType(kind))
    alike = {"payment_hash": sha256(b"one"), "cltv_expiry": 600}
    both = [[ledger.add(n, 5_000_000 + 1_000 * n, **(alike if n % 3 == 0 else {})) for n in range(483)] for _ in "ab"]
    ledger.receive(both[0], [])
    ledger.send(both[1], [])
    ledger.keep()
    ledger.receive([], [])
    ledger.send([], list(range(0, 483, 2)))
    ledger.receive([], list(range(1, 483, 2)))
    ledger.send([], [])
    full = ledger.remote[1]
    assert len(full.htlcs) == 966
    check(ledger, full)
    ledger.cut()
    check(ledger, full)


def test_without_its_rows_an_htlc_is_named_as_unknown() -> None:
    """An incomplete log is said, not guessed over."""
    ledger = Ledger()
    ledger.send([ledger.add(0, 10_000_000)], [])
    commitment = ledger.keep()
    ledger.receive([], [])
    ledger.receive([], [0])
    ledger.send([], [])
    (row,) = ledger.core.penalty_rows
    ledger.core.penalty_rows.clear()
    transaction = commitment.transaction()
    revoked = revoked_commitment(ledger.core, ledger.keys, transaction, 1, b"")
    assert revoked.unknown == (commitment.htlcs[0][0],)
    revoked = revoked_commitment(ledger.core, ledger.keys, transaction, 1, row + row)
    assert revoked.unknown == ()
    assert [output.role for output in revoked.penalised()] == [OutputRole.RECEIVED_HTLC, OutputRole.TO_LOCAL]


def test_among_htlcs_with_one_script_the_amount_tells_which_it_is() -> None:
    """Offered HTLCs of equal hash share their script; the id decides whom the money is for."""
    ledger = Ledger()
    alike = {"payment_hash": sha256(b"one"), "cltv_expiry": 600}
    ledger.receive(
        [ledger.add(n, amount, **alike) for n, amount in enumerate((30_000_000, 10_000_000, 20_000_000))], []
    )
    ledger.send([], [])
    commitment = ledger.keep()
    ledger.send([], [])
    revoked = revoked_commitment(ledger.core, ledger.keys, commitment.transaction(), 1, b"")
    named = [(one.value_sat, one.htlc.htlc_id) for one in revoked.outputs if one.htlc is not None]
    assert named == [(10_000, 1), (20_000, 2), (30_000, 0)]


def test_htlcs_that_are_alike_in_everything_are_named_once_each() -> None:
    """Two payments of one amount and hash: each output is one of them, neither is forgotten."""
    ledger = Ledger()
    alike = {"payment_hash": sha256(b"one"), "cltv_expiry": 600}
    ledger.send([ledger.add(n, 10_000_000, **alike) for n in range(3)], [])
    commitment = ledger.keep()
    ledger.send([], [])
    revoked = revoked_commitment(ledger.core, ledger.keys, commitment.transaction(), 1, b"")
    named = [one.htlc.htlc_id for one in revoked.outputs if one.htlc is not None]
    assert set(named) == {0, 1, 2}
    assert len(named) == 3


@KINDS
@pytest.mark.parametrize("push_msat", [0, 4_000_000_000])
def test_a_peer_with_our_payment_point_cannot_hide_whose_commitment_it_is(
    kind: CommitmentFormat, push_msat: int
) -> None:
    """Nothing stops it from naming our key as its payment_basepoint: to_remote then looks alike on both sides."""
    ledger = Ledger(same_payment_point=True, channel_type=ChannelType(kind), push_msat=push_msat)
    old = decode_core(encode_core(ledger.core))
    ledger.send([ledger.add(0, 10_000_000)], [])
    ledger.keep()
    ledger.receive([], [])
    ledger.receive([], [0])
    ledger.send([], [])
    for number in (0, 1):
        check(ledger, ledger.remote[number])
    future = ledger.remote[1].transaction()
    spend = classify(old, ledger.keys, future, b"", ledger.signer.per_commitment_point)
    assert spend.kind is SpendKind.REMOTE_UNKNOWN


def test_relative_locks_of_our_own_spends() -> None:
    """A spend with a lower sequence is invalid; with a higher one it comes too late."""
    assert [sequence_blocks(role, anchors=True) for role in OutputRole] == [0, 1, 16, 0, 0, 0]
    assert sequence_blocks(OutputRole.TO_REMOTE, anchors=False) == 0
