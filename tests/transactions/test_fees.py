"""Fees, dust and trimming against the example of BOLT 3 and at their edges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.bitcoin.script import null_data, p2pkh, p2sh, p2tr, p2wpkh, p2wsh
from leyden.transactions.fees import (
    ANCHOR_VALUE_SAT,
    HTLC_SUCCESS_WEIGHT_ANCHORS,
    HTLC_TIMEOUT_WEIGHT_ANCHORS,
    MIN_DUST_LIMIT_SAT,
    commitment_cost_sat,
    commitment_fee_sat,
    commitment_weight,
    dust_buffer_feerate_per_kw,
    dust_limit_for_script_sat,
    htlc_fee_sat,
    htlc_success_fee_sat,
    htlc_timeout_fee_sat,
    trim_thresholds,
)
from leyden.transactions.types import CommitmentHtlc, make_commitment_htlc
from tests.transactions.bolt03_vectors import load

EXAMPLE = load("fee-calculation-example")


def example_htlcs() -> list[CommitmentHtlc]:
    """Return the four HTLCs of the example."""
    rows = [(True, amount) for amount in EXAMPLE["offered_msat"]]
    rows += [(False, amount) for amount in EXAMPLE["received_msat"]]
    return [make_commitment_htlc(n, offered, amount, bytes(32), 500) for n, (offered, amount) in enumerate(rows)]


def test_fee_example_of_bolt_3() -> None:
    """The one worked example: which HTLCs are trimmed and what it all costs."""
    feerate, dust, anchors = EXAMPLE["feerate_per_kw"], EXAMPLE["dust_limit_satoshis"], EXAMPLE["anchors"]
    assert htlc_timeout_fee_sat(feerate, anchors) == EXAMPLE["htlc_timeout_fee"]
    assert htlc_success_fee_sat(feerate, anchors) == EXAMPLE["htlc_success_fee"]
    thresholds = trim_thresholds(dust, feerate, anchors)
    kept = [htlc for htlc in example_htlcs() if not thresholds.trims(htlc)]
    assert [h.amount_msat for h in kept if h.offered] == EXAMPLE["untrimmed_offered_msat"]
    assert [h.amount_msat for h in kept if not h.offered] == EXAMPLE["untrimmed_received_msat"]
    assert commitment_weight(len(kept), anchors) == EXAMPLE["commitment_weight"]
    fee_sat = commitment_fee_sat(feerate, len(kept), anchors)
    assert fee_sat == EXAMPLE["base_fee_satoshi"]
    trimmed_msat = sum(htlc.amount_msat for htlc in example_htlcs() if thresholds.trims(htlc))
    assert fee_sat + trimmed_msat // 1000 == EXAMPLE["actual_fee_satoshi"]


def test_anchors_cost_the_opener_two_anchors_and_htlcs_no_fee() -> None:
    """Forgetting the anchors in the balance of the opener makes a transaction that spends too much."""
    assert commitment_cost_sat(1000, 2, True) == 1124 + 344 + 2 * ANCHOR_VALUE_SAT
    assert commitment_cost_sat(1000, 2, False) == 724 + 344
    assert [htlc_fee_sat(offered, 1000, True) for offered in (True, False)] == [0, 0]
    assert [htlc_fee_sat(offered, 1000, False) for offered in (True, False)] == [663, 703]
    assert (HTLC_TIMEOUT_WEIGHT_ANCHORS, HTLC_SUCCESS_WEIGHT_ANCHORS) == (666, 706)


@given(st.integers(0, 30_000_000), st.booleans(), st.integers(0, 50_000), st.integers(354, 20_000), st.booleans())
def test_threshold_in_msat_is_the_rule_in_sat(
    amount_msat: int, offered: bool, feerate: int, dust: int, anchors: bool
) -> None:
    """One comparison of millisatoshi stands for a division and a subtraction; off by one loses a channel."""
    htlc = make_commitment_htlc(0, offered, amount_msat, bytes(32), 500)
    trimmed = amount_msat // 1000 - htlc_fee_sat(offered, feerate, anchors) < dust
    assert trim_thresholds(dust, feerate, anchors).trims(htlc) == trimmed


@pytest.mark.parametrize(
    ("script", "limit_sat"),
    [
        (p2pkh(bytes(20)), 546),
        (p2sh(bytes(20)), 540),
        (p2wpkh(bytes(20)), 294),
        (p2wsh(bytes(32)), 330),
        (p2tr(b"\x01" * 32), 330),
        (b"\x51\x02\x4e\x73", 240),
        (b"\x52\x28" + bytes(40), 354),
        (null_data(b"x"), 0),
        (b"\xac", 546),
    ],
)
def test_dust_limit_depends_on_the_script(script: bytes, limit_sat: int) -> None:
    """An output below it keeps the whole transaction from being relayed."""
    assert dust_limit_for_script_sat(script) == limit_sat
    assert MIN_DUST_LIMIT_SAT == 354


def test_buffer_feerate_is_a_quarter_more_and_at_least_ten_sat_per_vbyte() -> None:
    """Exposure is judged at a feerate that a rise does not reach at once."""
    assert dust_buffer_feerate_per_kw(253) == 2783
    assert dust_buffer_feerate_per_kw(10_120) == 12_650
    assert dust_buffer_feerate_per_kw(20_000) == 25_000
