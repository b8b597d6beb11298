"""Weights, fees, dust and trimming: the arithmetic that decides which outputs a commitment has.

Spec: BOLT 3, "Fees", "Trimmed Outputs" and "Dust Limits"; BOLT 2, "Bounding exposure to trimmed in-flight HTLCs:
max_dust_htlc_exposure_msat".
"""

import msgspec

from leyden.bitcoin.script import ScriptType, classify
from leyden.bitcoin.tx import WITNESS_SCALE_FACTOR
from leyden.transactions.types import CommitmentHtlc

COMMITMENT_WEIGHT = 724
COMMITMENT_WEIGHT_ANCHORS = 1124
HTLC_OUTPUT_WEIGHT = 172
HTLC_TIMEOUT_WEIGHT = 663
HTLC_TIMEOUT_WEIGHT_ANCHORS = 666
HTLC_SUCCESS_WEIGHT = 703
HTLC_SUCCESS_WEIGHT_ANCHORS = 706

ANCHOR_VALUE_SAT = 330
"""Value of each of the two anchor outputs, paid by the opener."""

DUST_LIMIT_P2PKH_SAT = 546
DUST_LIMIT_P2SH_SAT = 540
DUST_LIMIT_P2WPKH_SAT = 294
DUST_LIMIT_P2WSH_SAT = 330
DUST_LIMIT_P2A_SAT = 240
DUST_LIMIT_UNKNOWN_WITNESS_SAT = 354

MIN_DUST_LIMIT_SAT = DUST_LIMIT_UNKNOWN_WITNESS_SAT
"""The lowest dust_limit_satoshis a channel may have: above it every kind of closing output relays."""

_DUST_LIMITS_SAT = {
    ScriptType.P2WPKH: DUST_LIMIT_P2WPKH_SAT,
    ScriptType.P2WSH: DUST_LIMIT_P2WSH_SAT,
    ScriptType.P2SH: DUST_LIMIT_P2SH_SAT,
    ScriptType.P2A: DUST_LIMIT_P2A_SAT,
    ScriptType.P2TR: DUST_LIMIT_P2WSH_SAT,
    ScriptType.UNKNOWN_WITNESS: DUST_LIMIT_UNKNOWN_WITNESS_SAT,
    ScriptType.NULL_DATA: 0,
}


def whole_vbytes(weight: int) -> int:
    """Return the weight of a transaction as mempools count it: that of its virtual size, rounded up (BIP 141)."""
    return WITNESS_SCALE_FACTOR * -(-weight // WITNESS_SCALE_FACTOR)


def dust_limit_for_script_sat(script_pubkey: bytes) -> int:
    """Return the smallest value in satoshi with which an output of this script relays (0 for OP_RETURN).

    Spec: BOLT 3, "Dust Limits".
    """
    return _DUST_LIMITS_SAT.get(classify(script_pubkey), DUST_LIMIT_P2PKH_SAT)


def commitment_weight(untrimmed_htlcs: int, anchors: bool) -> int:
    """Return the expected weight of a commitment transaction with so many HTLC outputs.

    Spec: BOLT 3, "Fee Calculation".
    """
    return (COMMITMENT_WEIGHT_ANCHORS if anchors else COMMITMENT_WEIGHT) + HTLC_OUTPUT_WEIGHT * untrimmed_htlcs


def commitment_fee_sat(feerate_per_kw: int, untrimmed_htlcs: int, anchors: bool) -> int:
    """Return the base fee in satoshi of a commitment transaction; anchors are not part of it.

    Spec: BOLT 3, "Fee Calculation".
    """
    return feerate_per_kw * commitment_weight(untrimmed_htlcs, anchors) // 1000


def commitment_cost_sat(feerate_per_kw: int, untrimmed_htlcs: int, anchors: bool) -> int:
    """Return all that the opener pays for a commitment in satoshi: the base fee and both anchors.

    Spec: BOLT 3, "Fee Payment".
    """
    fee_sat = commitment_fee_sat(feerate_per_kw, untrimmed_htlcs, anchors)
    return fee_sat + 2 * ANCHOR_VALUE_SAT if anchors else fee_sat


def htlc_timeout_fee_sat(feerate_per_kw: int, anchors: bool) -> int:
    """Return the fee in satoshi of an HTLC-timeout transaction: zero with anchors.

    Spec: BOLT 3, "Fee Calculation".
    """
    return 0 if anchors else feerate_per_kw * HTLC_TIMEOUT_WEIGHT // 1000


def htlc_success_fee_sat(feerate_per_kw: int, anchors: bool) -> int:
    """Return the fee in satoshi of an HTLC-success transaction: zero with anchors.

    Spec: BOLT 3, "Fee Calculation".
    """
    return 0 if anchors else feerate_per_kw * HTLC_SUCCESS_WEIGHT // 1000


def htlc_fee_sat(offered: bool, feerate_per_kw: int, anchors: bool) -> int:
    """Return the fee in satoshi of the transaction by which the broadcaster spends its HTLC output."""
    if offered:
        return htlc_timeout_fee_sat(feerate_per_kw, anchors)
    return htlc_success_fee_sat(feerate_per_kw, anchors)


class TrimThresholds(msgspec.Struct, frozen=True, gc=False):
    """An HTLC of fewer millisatoshi than this has no output on the commitment; its value goes to the fee."""

    offered_msat: int
    received_msat: int

    def trims(self, htlc: CommitmentHtlc) -> bool:
        """Say whether the HTLC has no output."""
        return htlc.amount_msat < (self.offered_msat if htlc.offered else self.received_msat)


def trim_thresholds(dust_limit_sat: int, feerate_per_kw: int, anchors: bool) -> TrimThresholds:
    """Return the thresholds of a commitment whose broadcaster has this dust limit (satoshi).

    `amount_msat // 1000 - fee < dust` and `amount_msat < (dust + fee) * 1000` are the same condition.

    Spec: BOLT 3, "Trimmed Outputs".
    """
    return TrimThresholds(
        offered_msat=(dust_limit_sat + htlc_timeout_fee_sat(feerate_per_kw, anchors)) * 1000,
        received_msat=(dust_limit_sat + htlc_success_fee_sat(feerate_per_kw, anchors)) * 1000,
    )


def dust_buffer_feerate_per_kw(feerate_per_kw: int) -> int:
    """Return the feerate at which exposure is judged, so that a rise of the feerate cannot trim much more at once.

    Policy, not specification: a quarter more, at least 2,530 more (10 sat/vB), as LDK has it. It matters without
    anchors only, where the feerate moves the thresholds.
    """
    return max(feerate_per_kw + 2530, feerate_per_kw * 5 // 4)
