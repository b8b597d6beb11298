"""HTLC transactions one at a time; their bytes are checked with the commitments of BOLT 3's appendices."""

import pytest

from leyden.bitcoin.sighash import SIGHASH_ALL
from leyden.crypto.ec import sign_ecdsa, signature_to_der
from leyden.transactions.commitment import build_commitment
from leyden.transactions.htlc_tx import HtlcTransaction
from tests.transactions.bolt03_vectors import KEYS, LOCAL_HTLC_SECRET, htlc, parameters, preimage


def transactions(*, anchors: bool) -> tuple[HtlcTransaction, HtlcTransaction]:
    """Return (HTLC-success of HTLC 4, HTLC-timeout of HTLC 3)."""
    commitment = build_commitment(
        parameters(anchors=anchors, dust_limit_sat=546), KEYS, 42, 1000, 6_988_000_000, 3_000_000_000,
        [htlc(3), htlc(4)],
    )  # fmt: skip
    by_id = {h.htlc_id: commitment.htlc_transaction(n) for n, (_, h) in enumerate(commitment.htlcs)}
    return by_id[4], by_id[3]


def test_timeout_waits_for_the_expiry_and_success_does_not() -> None:
    """A timeout that could be published early would take the peer's money."""
    success, timeout = transactions(anchors=False)
    assert success.transaction.locktime == 0
    assert timeout.transaction.locktime == timeout.htlc.cltv_expiry


def test_fee_is_zero_and_sequence_one_with_anchors() -> None:
    """With anchors the fee is added by whoever publishes, and the output needs one confirmation first."""
    for anchors, fees, sequence in ((False, (703, 663), 0), (True, (0, 0), 1)):
        for transaction, fee_sat in zip(transactions(anchors=anchors), fees, strict=True):
            assert transaction.value_sat - transaction.transaction.outputs[0].value_sat == fee_sat
            assert transaction.transaction.inputs[0].sequence == sequence


def test_witness_marks_how_each_side_signed() -> None:
    """The peer's signature leaves room for fee inputs with anchors; ours covers everything."""
    for anchors, peer_type in ((False, b"\x01"), (True, b"\x83")):
        success, timeout = transactions(anchors=anchors)
        mine = sign_ecdsa(LOCAL_HTLC_SECRET, success.digest(SIGHASH_ALL))
        peers = sign_ecdsa(bytes(31) + b"\x05", success.digest(SIGHASH_ALL))
        both = (b"", signature_to_der(peers) + peer_type, signature_to_der(mine) + b"\x01")
        assert success.witness(mine, peers, preimage(4)) == (*both, preimage(4), success.witness_script)
        assert timeout.witness(mine, peers, None) == (*both, b"", timeout.witness_script)
        signed = success.signed_transaction(mine, peers, preimage(4))
        assert signed.txid() == success.transaction.txid()


def test_preimage_is_for_success_only() -> None:
    """Publishing a timeout with a preimage would give the preimage away and still be invalid."""
    success, timeout = transactions(anchors=True)
    signature = sign_ecdsa(bytes(31) + b"\x05", bytes(32))
    with pytest.raises(ValueError, match="preimage"):
        success.witness(signature, signature, None)
    with pytest.raises(ValueError, match="preimage"):
        timeout.witness(signature, signature, preimage(3))
