"""Inputs of claims hold secrets and preimages: what a log may show of them."""

from leyden.bitcoin.tx import OutPoint
from leyden.transactions.claim_inputs import SEQUENCE_REPLACEABLE, ClaimInput, ClaimKind


def test_a_claim_input_shows_no_secret() -> None:
    """A per-commitment secret or a preimage in a log is money in a log (invariant S5)."""
    secret, preimage = b"s" * 32, b"p" * 32
    outpoint = OutPoint(bytes(range(32)), 3)
    claim = ClaimInput(
        ClaimKind.REVOKED_RECEIVED, b"k" * 32, outpoint, 5, b"", SEQUENCE_REPLACEABLE, 0, secret, preimage, None, b"",
        anchors=True,
    )  # fmt: skip
    assert repr(claim) == f"ClaimInput(revoked_received, {bytes(range(32))[::-1].hex()}:3, 5 sat)"
