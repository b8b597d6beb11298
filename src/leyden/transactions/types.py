"""Values that describe a commitment transaction, seen from the node that may broadcast it.

A commitment belongs to either side of a channel, so this package says *broadcaster* (whose commitment it is) and
*countersignatory* (who signs it for them) instead of local and remote.
"""

import msgspec

from leyden.bitcoin.tx import OutPoint
from leyden.crypto.hashes import ripemd160


class CommitmentHtlc(msgspec.Struct, frozen=True, gc=False):
    """One HTLC as a commitment transaction sees it; identity is (offered, htlc_id), never the hash.

    Attributes:
        htlc_id: the id its sender gave it.
        offered: offered by the broadcaster of this commitment (otherwise received by it).
        amount_msat: millisatoshi; the output is this divided by 1000, rounded down.
        payment_hash: 32 bytes.
        payment_hash160: 20 bytes, RIPEMD-160 of the payment hash; computed once by whoever makes the value.
        cltv_expiry: block height, below 500,000,000.
    """

    htlc_id: int
    offered: bool
    amount_msat: int
    payment_hash: bytes
    payment_hash160: bytes
    cltv_expiry: int


def make_commitment_htlc(
    htlc_id: int, offered: bool, amount_msat: int, payment_hash: bytes, cltv_expiry: int
) -> CommitmentHtlc:
    """Return the HTLC with its RIPEMD-160 filled in (`payment_hash`: 32 bytes, `amount_msat` in millisatoshi)."""
    return CommitmentHtlc(htlc_id, offered, amount_msat, payment_hash, ripemd160(payment_hash), cltv_expiry)


class CommitmentParameters(msgspec.Struct, frozen=True, gc=False):
    """What does not change between the commitments of one broadcaster on one funding output.

    Attributes:
        funding_outpoint: the output that every commitment spends.
        funding_value_sat: its value in satoshi.
        funding_script: its witness script, 71 bytes.
        obscuring_factor: 48-bit number (`obscured.obscuring_factor`).
        to_self_delay: blocks the broadcaster waits for its own money; set by the countersignatory.
        dust_limit_sat: dust_limit_satoshis of the broadcaster.
        anchors: zero-fee HTLC transactions and anchor outputs; otherwise plain static_remotekey.
        opener_is_broadcaster: the opener pays the fee and the anchors.
    """

    funding_outpoint: OutPoint
    funding_value_sat: int
    funding_script: bytes
    obscuring_factor: int
    to_self_delay: int
    dust_limit_sat: int
    anchors: bool
    opener_is_broadcaster: bool
