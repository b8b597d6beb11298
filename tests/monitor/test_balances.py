"""What of a spend is ours and from which block on, against figures worked out by hand."""

from typing import Any

from leyden.channel.inputs import DecideHtlcs
from leyden.monitor.classify import classify
from leyden.monitor.commitments import CommitmentSource, possible_commitments
from leyden.transactions.fees import commitment_fee_sat
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from tests.channel.pair import Pair, failure, fulfil, pending_add, ready_pair
from tests.monitor.balances import OnchainBalance, OnchainKind, onchain_balance
from tests.monitor.history import Witness

STATIC = ChannelType(CommitmentFormat.STATIC_REMOTEKEY)
HEIGHT = 450
BALANCE, REFUND, CLAIM = OnchainKind.BALANCE, OnchainKind.HTLC_REFUND, OnchainKind.HTLC_CLAIM
UNDECIDED, PENALTY, ANCHOR = OnchainKind.HTLC_UNDECIDED, OnchainKind.PENALTY, OnchainKind.ANCHOR


def with_htlcs(**request: Any) -> Pair:
    """Two HTLCs each way, expiring at 460 and 500; the opener has the preimage of the first that it received."""
    pair = ready_pair(**request)
    pair.offered(0, pending_add(1, 20_000_000, 460), pending_add(2, 30_000_999, 500), pending_add(5, 1_001))
    pair.offered(1, pending_add(3, 40_000_000, 460), pending_add(4, 50_000_000, 500))
    pair.give(0, DecideHtlcs([fulfil(0, 3)], [], []))
    return pair


def balance_of(pair: Pair, source: CommitmentSource, height: int | None = HEIGHT, who: int = 0) -> OnchainBalance:
    """What a commitment leaves to a party when it confirms."""
    party = pair.parties[who]
    points = party.signer.per_commitment_point
    found = {one.source: one for one in possible_commitments(party.core, party.state.keys, points)}
    transaction = found[source].commitment.transaction()
    spend = classify(party.core, party.state.keys, transaction, b"", points)
    return onchain_balance(party.core, party.state.keys, spend, height)


def lines(balance: OnchainBalance) -> dict[tuple[OnchainKind, int], tuple[int | None, int | None, int | None]]:
    """(kind, satoshi) -> (spendable, deadline, htlc_id)."""
    return {
        (one.kind, one.amount_sat): (one.spendable_height, one.deadline_height, one.htlc_id) for one in balance.outputs
    }


def test_our_own_commitment_keeps_everything_for_our_delay() -> None:
    """to_self_delay after the commitment for the balance, after the second stage for HTLCs; CSV 1 with anchors."""
    pair = with_htlcs()
    delay = pair.a.core.opened.remote.to_self_delay
    balance = balance_of(pair, CommitmentSource.LOCAL)
    fee_sat = commitment_fee_sat(1_000, 4, True) + 660
    left_sat = (6_000_000_000 - 20_000_000 - 30_000_999 - 1_001) // 1000 - fee_sat
    assert lines(balance) == {
        (BALANCE, left_sat): (HEIGHT + delay, None, None),
        (ANCHOR, 330): (HEIGHT, HEIGHT + 16, None),
        (REFUND, 20_000): (461 + delay, None, 0),
        (REFUND, 30_000): (501 + delay, None, 1),
        (CLAIM, 40_000): (HEIGHT + 1 + delay, 461, 0),
        (UNDECIDED, 50_000): (HEIGHT + 1 + delay, 501, 1),
    }
    assert balance.fee_sat == fee_sat
    assert balance.lost_msat == 1_001 + 999
    assert balance.certain_sat == left_sat + 40_000


def test_the_peers_commitment_pays_us_without_second_stages() -> None:
    """Only the CSV of one block with anchors, and the expiry of what we offered."""
    pair = with_htlcs()
    found = lines(balance_of(pair, CommitmentSource.REMOTE))
    assert found[(REFUND, 20_000)] == (461, None, 0)
    assert found[(CLAIM, 40_000)] == (HEIGHT + 1, 461, 0)
    assert found[(ANCHOR, 330)] == (HEIGHT, HEIGHT + 16, None)
    ((_, balance),) = [item for item in found.items() if item[0][0] is BALANCE]
    assert balance == (HEIGHT + 1, None, None)


def test_a_late_commitment_makes_refunds_wait_for_itself_alone() -> None:
    """Past the expiry only the relative locks are left."""
    pair = with_htlcs()
    assert lines(balance_of(pair, CommitmentSource.REMOTE, 470))[(REFUND, 20_000)] == (471, None, 0)


def test_without_anchors_the_peers_commitment_pays_at_once() -> None:
    """A plain key, no anchor, HTLC outputs without relative locks."""
    pair = with_htlcs(channel_type=STATIC)
    found = lines(balance_of(pair, CommitmentSource.REMOTE))
    assert [key for key in found if key[0] is ANCHOR] == []
    assert found[(CLAIM, 40_000)] == (HEIGHT, 461, 0)
    ((_, balance),) = [item for item in found.items() if item[0][0] is BALANCE]
    assert balance == (HEIGHT, None, None)


def test_what_is_in_no_block_has_no_heights_but_its_amounts() -> None:
    """A close that waits for its first block: relative locks have no beginning yet."""
    pair = with_htlcs()
    balance = balance_of(pair, CommitmentSource.LOCAL, None)
    assert {one.spendable_height for one in balance.outputs} == {None}
    assert balance.certain_sat == balance_of(pair, CommitmentSource.LOCAL).certain_sat


def test_the_accepter_pays_no_fee() -> None:
    """Fees and anchors are the opener's."""
    pair = with_htlcs()
    balance = balance_of(pair, CommitmentSource.LOCAL, who=1)
    assert balance.fee_sat == 0
    assert balance.sum_sat(BALANCE) == 4_000_000 - 90_000


def test_a_revoked_commitment_is_ours_altogether() -> None:
    """All but the peer's anchor, as long as its delay runs."""
    pair = with_htlcs()
    witness = Witness(pair.a)
    theft = witness.remote[pair.a.core.remote.number]
    pair.resolve(1, failure(0), failure(1), failure(2))
    pair.pump()
    spend = witness.classify(theft.transaction())
    balance = onchain_balance(pair.a.core, pair.a.state.keys, spend, HEIGHT)
    delay = pair.a.core.opened.local.to_self_delay
    found = lines(balance)
    for amount_sat in (20_000, 30_000, 40_000, 50_000, 4_000_000 - 90_000):
        assert found[(PENALTY, amount_sat)][:2] == (HEIGHT, HEIGHT + delay)
    assert len(balance.outputs) == len(theft.transaction().outputs) - 1
    assert balance.certain_sat == sum(one.value_sat for one in theft.transaction().outputs) - 660


def test_an_own_revoked_commitment_leaves_us_nothing_to_count_on() -> None:
    """The peer may take all of it; telling the user a figure would be a lie."""
    pair = ready_pair()
    witness = Witness(pair.a)
    pair.offered(0, pending_add(1))
    spend = witness.classify(witness.local[0].transaction())
    assert onchain_balance(pair.a.core, pair.a.state.keys, spend, HEIGHT).outputs == ()
