"""Which claims share a transaction: figures by hand, and properties over random sets of claims."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.bitcoin.tx import OutPoint, TxOut
from leyden.monitor.claimable import OutputClaim
from leyden.monitor.packages import PackageLimits, group_claims, is_swept
from leyden.transactions.claim_inputs import SEQUENCE_REPLACEABLE, ClaimInput, ClaimKind
from leyden.transactions.claims import claim_weight, input_weight

HEIGHT = 1_000
FAR = HEIGHT + 500
LIMITS = PackageLimits()
TXID = bytes(range(32))
OFFERED, RECEIVED = ClaimKind.REVOKED_OFFERED, ClaimKind.REVOKED_RECEIVED
HOLDER = (ClaimKind.HOLDER_TIMEOUT, ClaimKind.HOLDER_SUCCESS)
OWN = {ClaimKind.TO_LOCAL, ClaimKind.SECOND_STAGE, ClaimKind.TO_REMOTE, ClaimKind.ANCHOR_OF_ANYONE}


def claim(
    kind: ClaimKind,
    vout: int,
    deadline: int | None = FAR,
    *,
    txid: bytes = TXID,
    contested: bool = False,
    locktime: int = 0,
    unlock: int = HEIGHT,
    anchors: bool = True,
    keys_id: bytes = b"1" * 32,
    script: bytes = bytes(143),
    preimage: bytes = b"",
) -> OutputClaim:
    """Return a claim of 10,000 sat."""
    return OutputClaim(
        ClaimInput(
            kind=kind,
            keys_id=keys_id,
            outpoint=OutPoint(txid, vout),
            value_sat=10_000,
            witness_script=script,
            sequence=SEQUENCE_REPLACEABLE,
            locktime=locktime,
            per_commitment=b"",
            preimage=preimage,
            paired_output=TxOut(9_000, bytes(34)) if kind in HOLDER else None,
            paired_signature=bytes(31) + b"\1" + bytes(31) + b"\1" if kind in HOLDER else b"",
            anchors=anchors,
            public_key=b"\2" * 33,
        ),
        None,
        unlock,
        deadline,
        contested,
    )


def indexes(
    claims: list[OutputClaim], height: int = HEIGHT, limits: PackageLimits = LIMITS
) -> list[list[int]]:  # fmt: skip
    """Return the output indexes of each group."""
    return [[one.input.outpoint.vout for one in group] for group in group_claims(claims, height, limits)]


def test_the_penalties_of_a_commitment_go_together_until_a_deadline_is_near() -> None:
    """HTLCs may be taken by the peer now, its balance may not: those apart."""
    balance = claim(ClaimKind.REVOKED_TO_LOCAL, 40)
    htlcs = [claim(OFFERED if n % 2 else RECEIVED, n, contested=True) for n in range(40)]
    odd, even = list(range(1, 40, 2)), list(range(0, 40, 2))
    assert indexes([balance, *htlcs]) == [[40], odd + even]
    assert indexes([balance, *htlcs], FAR - 49) == [[40], odd + even]
    near = [
        [*odd[:8], *even[:8]],
        [*odd[8:16], *even[8:16]],
        [*odd[16:], *even[16:]],
    ]
    assert indexes([balance, *htlcs], FAR - 48) == [[40], *near]
    assert indexes([balance, *htlcs], FAR - 13) == [[40], *near]
    assert indexes([balance, *htlcs], FAR - 12) == [[40], *([n] for n in odd), *([n] for n in even)]


def test_groups_stay_from_block_to_block_and_when_one_claim_is_taken() -> None:
    """Only the group that it was in changes."""
    claims = [claim(OFFERED, n, HEIGHT + 30, contested=True) for n in range(60)]
    groups = group_claims(claims, HEIGHT, LIMITS)
    assert all(group_claims(claims, HEIGHT + n, LIMITS) == groups for n in range(18))
    less = group_claims(claims[:3] + claims[4:], HEIGHT + 1, LIMITS)
    assert less[1:] == groups[1:]
    assert less[0] == groups[0][:3] + groups[0][4:]


def test_what_is_not_contested_yet_stays_in_small_groups() -> None:
    """Nobody can take or hold it before the deadline."""
    claims = [claim(ClaimKind.COUNTERPARTY_PREIMAGE, n) for n in range(20)]
    assert indexes(claims, FAR - 1) == [list(range(16)), list(range(16, 20))]


def test_only_what_the_next_block_may_hold_is_claimed() -> None:
    """Relative locks and nLockTime, at their bounds."""
    late = claim(ClaimKind.COUNTERPARTY_TIMEOUT, 1, unlock=HEIGHT + 2, contested=True)
    early = claim(ClaimKind.COUNTERPARTY_TIMEOUT, 2, unlock=HEIGHT, locktime=HEIGHT + 1, contested=True)
    assert indexes([late, early]) == []
    assert indexes([late, early], HEIGHT + 1) == [[1, 2]]


def test_claims_of_different_locktimes_share_a_transaction_when_all_are_final() -> None:
    """Its nLockTime is the highest."""
    claims = [claim(ClaimKind.COUNTERPARTY_TIMEOUT, n, None, locktime=900 + n, contested=True) for n in range(4)]
    assert indexes(claims) == [[0, 1, 2, 3]]


def test_htlc_transactions_without_anchors_are_always_alone() -> None:
    """The peer has signed the whole transaction."""
    claims = [claim(kind, n, anchors=False) for n, kind in enumerate(HOLDER * 2)]
    assert indexes(claims) == [[0], [2], [1], [3]]


def test_htlc_transactions_with_anchors_share_one_of_their_own_nlocktime() -> None:
    """And never with what pays its fee from its own value."""
    claims = [
        *(claim(HOLDER[0], n, None, locktime=900 + n // 2, contested=True) for n in range(4)),
        *(claim(HOLDER[1], n) for n in range(4, 7)),
        claim(ClaimKind.COUNTERPARTY_PREIMAGE, 7),
    ]
    assert indexes(claims) == [[0, 1], [2, 3], [4, 5, 6], [7]]
    assert indexes([claim(HOLDER[0], 0), claim(HOLDER[1], 1)]) == [[0], [1]]


def test_second_stages_of_one_block_go_together_and_later_ones_apart() -> None:
    """Each is an output 0 of another transaction; what comes later does not change what is out."""
    first = [claim(ClaimKind.REVOKED_SECOND_STAGE, 0, FAR, txid=bytes([n]) * 32) for n in range(9)]
    later = [claim(ClaimKind.REVOKED_SECOND_STAGE, 0, FAR + 1, txid=bytes([100 + n]) * 32) for n in range(9)]
    assert group_claims(first + later, HEIGHT, LIMITS) == (tuple(first), tuple(later))
    near = group_claims(first * 2 + later, FAR - 40, msgspec.structs.replace(LIMITS, near_inputs=4))
    assert [len(group) for group in near] == [4, 4, 1, 4, 4, 1]


def test_second_stages_of_one_transaction_are_all_claimed() -> None:
    """With anchors the peer may batch its HTLC transactions."""
    claims = [claim(ClaimKind.REVOKED_SECOND_STAGE, n, txid=b"\xff" * 32) for n in range(4)]
    assert indexes(claims) == [[0, 1, 2, 3]]


def test_claims_of_two_commitments_do_not_share_a_transaction() -> None:
    """Only one of them confirms."""
    claims = [claim(OFFERED, n, txid=bytes([txid]) * 32, contested=True) for txid in (1, 2) for n in range(2)]
    assert indexes(claims) == [[0, 1], [0, 1]]


def test_groups_come_in_order_of_their_first_output() -> None:
    """Also when another group lies between two halves."""
    claims = [claim(OFFERED, 0), claim(OFFERED, 5, contested=True), claim(OFFERED, 300)]
    assert indexes(claims, limits=PackageLimits(weight_max=500)) == [[0], [5], [300]]


def test_channels_do_not_share_a_transaction() -> None:
    """A peer can hold only its own."""
    claims = [claim(OFFERED, n, keys_id=bytes([n]) * 32, contested=True) for n in range(3)]
    assert indexes(claims) == [[0], [1], [2]]


def test_all_outputs_of_the_largest_revoked_commitment_fit() -> None:
    """483 HTLCs each way, by the largest scripts that BOLT 3 has, in transactions that relay."""
    claims = [claim(OFFERED if n < 483 else RECEIVED, n, contested=True) for n in range(966)]
    groups = group_claims(claims, HEIGHT, LIMITS)
    assert [len(group) for group in groups] == [512, 454]
    assert all(claim_weight([one.input for one in group], [bytes(34)]) < 400_000 for group in groups)


def test_htlc_transactions_count_with_their_outputs() -> None:
    """Of a success with anchors, its own and that of the output that the peer has signed with it."""
    claims = [claim(HOLDER[1], n, preimage=bytes(32)) for n in range(4)]
    weight = claim_weight([claims[0].input], [bytes(34)]) - claim_weight([], [])
    assert indexes(claims, limits=PackageLimits(weight_max=4 * weight)) == [[0, 1, 2, 3]]
    assert indexes(claims, limits=PackageLimits(weight_max=4 * weight - 1)) == [[0, 1], [2, 3]]


def test_what_is_too_heavy_is_halved() -> None:
    """By weight alone; a claim that is too heavy by itself goes by itself."""
    claims = [claim(OFFERED, n, contested=True) for n in range(16)]
    fours = [list(range(n, n + 4)) for n in (0, 4, 8, 12)]
    assert indexes(claims, limits=PackageLimits(weight_max=2_000)) == fours
    assert indexes(claims, limits=PackageLimits(weight_max=1)) == [[n] for n in range(16)]


def test_an_output_is_claimed_once() -> None:
    """Even when it is asked for twice, in two ways."""
    assert indexes([claim(HOLDER[0], 3), claim(HOLDER[1], 3), claim(HOLDER[0], 3)]) == [[3]]


@pytest.mark.parametrize("kind", list(ClaimKind))
def test_every_kind_is_swept_or_claimed_or_the_anchor(kind: ClaimKind) -> None:
    """A kind that is neither would never be spent."""
    assert is_swept(kind) == (kind in OWN)
    assert bool(indexes([claim(kind, 0)])) == (kind not in OWN and kind is not ClaimKind.ANCHOR)


deadlines = st.integers(HEIGHT - 5, HEIGHT + 80)
random_claims = st.builds(
    lambda kind, vout, deadline, contested, locktime, unlock, txid, anchors: claim(
        kind, vout, deadline if kind is ClaimKind.REVOKED_SECOND_STAGE else deadline or None, contested=contested,
        locktime=locktime, unlock=unlock, txid=bytes([txid]) * 32, anchors=anchors,
    ),
    st.sampled_from(ClaimKind), st.integers(0, 40), st.one_of(deadlines, deadlines, st.just(0)), st.booleans(),
    st.sampled_from((0, HEIGHT - 1, HEIGHT, HEIGHT + 1)), st.integers(HEIGHT - 1, HEIGHT + 3), st.integers(1, 3),
    st.booleans(),
)  # fmt: skip
SMALL = PackageLimits(weight_max=3_000, inputs_max=8, near_inputs=4)


@given(st.lists(random_claims, max_size=40, unique_by=lambda one: one.input.outpoint))
def test_every_group_obeys_every_rule(claims: list[OutputClaim]) -> None:
    """Whole, disjoint, final, not too large, of one sort; and the same in whatever order they are told."""
    groups = group_claims(claims, HEIGHT, SMALL)
    used = [one for group in groups for one in group]
    expected = [
        one
        for one in claims
        if one.input.kind not in OWN | {ClaimKind.ANCHOR}
        and one.unlock_height <= HEIGHT + 1
        and one.input.locktime <= HEIGHT
    ]
    assert sorted(map(repr, used)) == sorted(map(repr, expected))
    for group in groups:
        kinds = {one.input.kind for one in group}
        assert 0 < len(group) <= 8
        assert len({one.contested for one in group}) == 1
        if len(group) == 1:
            continue
        assert sum(input_weight(one.input) for one in group) <= 3_000
        assert len(kinds) == 1 or not kinds & set(HOLDER)
        if kinds & set(HOLDER):
            assert all(one.input.anchors for one in group)
            assert len({one.input.locktime for one in group}) == 1
        for one in group:
            left = None if one.deadline_height is None else one.deadline_height - HEIGHT
            assert left is None or left > 48 or len(group) <= 4
            assert left is None or left > 12 or not one.contested
    assert group_claims(sorted(claims, key=repr), HEIGHT, SMALL) == groups


@given(st.lists(random_claims, min_size=1, max_size=40, unique_by=lambda one: one.input.outpoint), st.data())
def test_a_claim_that_goes_leaves_the_other_groups_alone(claims: list[OutputClaim], data: st.DataObject) -> None:
    """Or joins two halves that were apart for their weight or number; nothing else moves."""
    gone = data.draw(st.sampled_from(claims))
    before = group_claims(claims, HEIGHT, SMALL)
    after = group_claims([one for one in claims if one != gone], HEIGHT, SMALL)
    for group in after:
        whole = [old for old in before if set(old) & set(group)]
        assert set(group) == {one for old in whole for one in old} - {gone}
        assert group in before or any(gone in old for old in before)
