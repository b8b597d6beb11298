"""`fold`: what each record does to the durable state, and what it never does."""

import pytest

from leyden.channel.core import new_core
from leyden.channel.fold import fold, received_changes
from leyden.channel.inputs import DecideHtlcs, Learn
from leyden.channel.snapshot import snapshot_of
from leyden.journal import penalty
from leyden.journal.records import (
    Acknowledged,
    ChannelOpened,
    FailedHtlc,
    ForwardedPayment,
    HtlcsShown,
    OnchainResolved,
    PeerPolicy,
    ReceivedRevocation,
    SentCommitment,
    ShutdownReceived,
    ShutdownStarted,
)
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from tests.channel.pair import failure, fulfil, pending_add, preimage_of, ready_pair
from tests.channel.play import play

STATIC = ChannelType(CommitmentFormat.STATIC_REMOTEKEY)


def test_the_fold_reads_nothing_but_records() -> None:
    """Two folds of the same journal are the same state, whatever the world looks like meanwhile (P3)."""
    pair = ready_pair()
    pair.offered(0, pending_add(1), pending_add(2, 100))
    pair.resolve(1, fulfil(0, 1), failure(1))
    pair.pump()
    for party in pair.parties:
        opened, *rest = party.records
        assert isinstance(opened, ChannelOpened)
        core = new_core(opened)
        for record in rest:
            fold(core, record)
        assert snapshot_of(core) == snapshot_of(party.core)
        assert core.position == len(party.journal)


def test_records_out_of_order_are_our_bug() -> None:
    """A gap in commitment numbers means a damaged journal: stop, fold nothing."""
    pair = ready_pair()
    core = pair.a.core
    with pytest.raises(AssertionError, match="no gaps"):
        fold(core, SentCommitment(2, [], [], 0))
    with pytest.raises(AssertionError, match="answers a commitment"):
        fold(core, ReceivedRevocation(0, bytes(32), bytes(33)))
    with pytest.raises(AssertionError, match="born once"):
        fold(core, core.opened)
    pair = ready_pair()
    pair.offer(0, pending_add(1))
    with pytest.raises(AssertionError, match="one unrevoked"):
        fold(pair.a.core, SentCommitment(2, [], [], 0))
    with pytest.raises(AssertionError, match="in order"):
        fold(pair.a.core, ReceivedRevocation(5, bytes(32), bytes(33)))


def test_an_outcome_stays_until_it_was_handled() -> None:
    """Whoever owns the source must act durably before this journal forgets (P8); unknown ids mean done (P9)."""
    pair = ready_pair()
    pair.offered(0, pending_add(1), pending_add(2))
    pair.resolve(1, fulfil(0, 1), failure(1))
    pair.pump()
    outcome = pair.a.core.outcomes[0]
    assert (outcome.source, outcome.amount_msat) == (pending_add(1).source, 10_000_000)
    assert outcome.removal.preimage == preimage_of(1)
    pair.crash(0)
    assert sorted(pair.a.core.outcomes) == [0, 1]
    record = Acknowledged([], [0, 77], [], ["unknown"])
    play(pair.a).on(Learn(record)).on(Learn(record))
    assert sorted(pair.a.core.outcomes) == [1]


def test_a_fulfilled_htlc_acknowledged_early_leaves_no_second_outcome() -> None:
    """The preimage settles it at once; that it becomes irrevocable later is no news."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    pair.resolve(1, fulfil(0, 1))
    pair.deliver(1)
    pair.give(0, Learn(Acknowledged([], [0], [], [])))
    pair.pump()
    assert not pair.a.core.outcomes
    assert not pair.a.core.outbound


@pytest.mark.parametrize("acknowledged", [False, True])
@pytest.mark.parametrize("answer", [fulfil(0, 1), failure(0)])
def test_a_preimage_of_the_mempool_outlives_what_the_peer_says_later(
    answer: ForwardedPayment | FailedHtlc, acknowledged: bool
) -> None:
    """It went upstream, so a failure is no outcome; when the HTLC is gone nothing of it is kept but what waits."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    pair.give(0, Learn(OnchainResolved([(0, preimage_of(1))], [], [])))
    if acknowledged:
        pair.give(0, Learn(Acknowledged([], [0], [], [])))
    pair.resolve(1, answer)
    pair.pump()
    core = pair.a.core
    assert not any((core.outbound, core.onchain_preimages))
    again = isinstance(answer, ForwardedPayment)
    assert [one.removal.preimage for one in core.outcomes.values()] == [preimage_of(1)] * (again or not acknowledged)


def test_a_hand_off_keeps_the_shared_secret() -> None:
    """With it a failure can still be encrypted for the payer when the onion is forgotten."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    pair.give(1, Learn(Acknowledged([(0, b"s" * 32), (5, b"t" * 32)], [], [], [])))
    htlc = pair.b.core.inbound[0]
    assert (htlc.handed_off, htlc.shared_secret) == (True, b"s" * 32)


def test_a_forward_that_was_paid_is_an_event_until_acknowledged() -> None:
    """What the user earned is told once, and again after a restart, by a stable name (P20)."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    paid = ForwardedPayment(0, preimage_of(1), b"o" * 32, 7, 9_990_000, b"")
    pair.give(1, DecideHtlcs([paid], [], []))
    (event,) = pair.b.core.forward_events.values()
    assert event.event_id == f"forwarded/{pair.b.core.opened.channel_id.hex()}/0"
    assert (event.inbound_amount_msat, event.outbound_amount_msat) == (10_000_000, 9_990_000)
    pair.crash(1)
    assert list(pair.b.core.forward_events) == [event.event_id]
    pair.give(1, Learn(Acknowledged([], [], [], [event.event_id])))
    assert not pair.b.core.forward_events


def test_an_answered_question_is_not_asked_again() -> None:
    """A decision on a shown HTLC ends its set; an undecided set outlives restarts (P10)."""
    pair = ready_pair()
    pair.offered(0, pending_add(1), pending_add(2))
    sets = [HtlcsShown(bytes([n]) * 32, [n], b"h" * 32, b"s" * 32, "invoice", 1, 480, b"", []) for n in (0, 1)]
    for shown in sets:
        pair.give(1, Learn(shown))
    pair.give(1, DecideHtlcs([], [failure(0)], []))
    pair.crash(1)
    assert list(pair.b.core.shown) == [sets[1].set_id]


def test_the_penalty_log_gets_each_htlc_of_old_commitments_once() -> None:
    """A row when an HTLC leaves the peer's commitments: its hash, expiry, direction and the numbers it was in (P25)."""
    pair = ready_pair()
    pair.offered(0, pending_add(1, cltv_expiry=501), pending_add(2, 353_999))
    pair.offered(1, pending_add(3, cltv_expiry=503))
    assert not pair.a.core.penalty_rows
    first = {key: htlc.first_remote_number for key, htlc in pair.a.core.outbound.items()}
    inbound_first = pair.a.core.inbound[0].first_remote_number
    assert (first, inbound_first) == ({0: 1, 1: 1}, 2)
    pair.resolve(1, fulfil(0, 1), failure(1))
    pair.pump()
    pair.resolve(0, failure(0))
    pair.pump()
    rows = [row for encoded in pair.a.core.penalty_rows for row in penalty.rows_of_commitment(encoded, 2)]
    assert [(row.cltv_expiry, row.offered, row.first_number, row.last_number) for row in rows] == [
        (501, True, 1, 2),
        (503, False, 2, 3),
    ]
    assert all(len(row.payment_hash) == 32 for row in rows)
    assert not list(penalty.rows_of_commitment(b"".join(pair.a.core.penalty_rows), 0))


def test_without_anchors_trimmed_htlcs_are_in_the_penalty_log_too() -> None:
    """At an earlier feerate they may have had an output."""
    pair = ready_pair(channel_type=STATIC)
    pair.offered(0, pending_add(2, 353_999))
    pair.resolve(1, failure(0))
    pair.pump()
    assert len(pair.a.core.penalty_rows) == 1


def test_every_row_names_a_commitment_that_had_the_htlc() -> None:
    """Against the truth: which HTLCs each commitment of the peer contained, noted at every signature."""
    pair = ready_pair()
    truth: dict[int, set[bytes]] = {}
    for round_ in range(6):
        for index in range(3):
            pair.offer(round_ % 2, pending_add(10 * round_ + index))
            truth[pair.a.core.remote.number] = {h.payment_hash for h in pair.a.core.remote.htlcs.values()}
            pair.deliver(0)
            truth[pair.a.core.remote.number] = {h.payment_hash for h in pair.a.core.remote.htlcs.values()}
            pair.deliver(1)
            truth[pair.a.core.remote.number] = {h.payment_hash for h in pair.a.core.remote.htlcs.values()}
        pair.pump()
        truth[pair.a.core.remote.number] = {h.payment_hash for h in pair.a.core.remote.htlcs.values()}
        for who in (0, 1):
            pair.resolve(who, *[failure(key) for key, one in pair.parties[who].core.inbound.items() if one.committed])
            pair.pump()
        truth[pair.a.core.remote.number] = {h.payment_hash for h in pair.a.core.remote.htlcs.values()}
    log = b"".join(pair.a.core.penalty_rows)
    assert not pair.a.core.remote.htlcs
    for number, hashes in truth.items():
        assert {row.payment_hash for row in penalty.rows_of_commitment(log, number)} == hashes


def test_closing_scripts_and_fees_come_from_whoever_started() -> None:
    """Our script is set once; the answer to a `shutdown` brings ours only when we had not started."""
    pair = ready_pair()
    fold(pair.a.core, ShutdownStarted(b"ours", 11))
    fold(pair.a.core, ShutdownReceived(b"theirs", b"", 0))
    core = pair.a.core
    assert (core.local_shutdown_script, core.remote_shutdown_script, core.closing_feerate_per_kw) == (
        b"ours",
        b"theirs",
        11,
    )
    fold(pair.b.core, ShutdownReceived(b"theirs", b"answer", 12))
    assert (pair.b.core.local_shutdown_script, pair.b.core.closing_feerate_per_kw) == (b"answer", 12)


def test_the_peer_s_policy_is_kept_for_route_hints() -> None:
    """The newest one replaces the others."""
    pair = ready_pair()
    for fee in (1, 2):
        pair.give(0, Learn(PeerPolicy(77, fee, 2, 40, 1, 1_000, 5, disabled=False)))
    assert pair.a.core.peer_policy is not None
    assert pair.a.core.peer_policy.fee_base_msat == 2


def test_received_changes_name_the_htlcs_of_the_state() -> None:
    """Removals point at what we offered, adds are new."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    pair.resolve(1, fulfil(0, 1))
    record = pair.b.core
    assert record.own_signed.removals
    changes = received_changes(pair.a.core, [], [], 1_234)
    assert (changes.adds, changes.removals, changes.feerate_per_kw) == ([], [], 1_234)
