"""Transactions that claim outputs of a published commitment: their weight, their form, their witnesses.

An HTLC transaction comes first, so that its input and output keep the same index when inputs are added for its fee.

Spec: BOLT 3, "Commitment Transaction Outputs", "HTLC-Timeout and HTLC-Success Transactions"; BOLT 5, "Unilateral Close
Handling", "Penalty Transactions Weight Calculation".
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from msgspec.structs import replace

from leyden.bitcoin.sighash import SIGHASH_ALL, SIGHASH_ANYONECANPAY, SIGHASH_SINGLE
from leyden.bitcoin.tx import WITNESS_SCALE_FACTOR, Transaction, TxIn, TxOut, compact_size
from leyden.crypto.ec import signature_to_der
from leyden.transactions.claim_inputs import ClaimInput, ClaimKey, ClaimKind, InputToSign

SIGNATURE_LENGTH = 71
"""Of ours in DER with its sighash byte: low S and low R; about one in 128 is a byte or more shorter."""
PUBLIC_KEY_LENGTH = 33
_INPUT_BYTES = 41
_MARKER_AND_FLAG = 2
_VERSION_AND_LOCKTIME = 8
_VERSION = 2

HOLDER_KINDS = (ClaimKind.HOLDER_TIMEOUT, ClaimKind.HOLDER_SUCCESS)
"""Spent by the HTLC transactions that the peer has signed."""

_KEYS = {
    ClaimKind.TO_LOCAL: ClaimKey.DELAYED_PAYMENT,
    ClaimKind.SECOND_STAGE: ClaimKey.DELAYED_PAYMENT,
    ClaimKind.TO_REMOTE: ClaimKey.PAYMENT,
    ClaimKind.HOLDER_TIMEOUT: ClaimKey.HTLC,
    ClaimKind.HOLDER_SUCCESS: ClaimKey.HTLC,
    ClaimKind.COUNTERPARTY_TIMEOUT: ClaimKey.HTLC,
    ClaimKind.COUNTERPARTY_PREIMAGE: ClaimKey.HTLC,
    ClaimKind.REVOKED_TO_LOCAL: ClaimKey.REVOCATION,
    ClaimKind.REVOKED_OFFERED: ClaimKey.REVOCATION,
    ClaimKind.REVOKED_RECEIVED: ClaimKey.REVOCATION,
    ClaimKind.REVOKED_SECOND_STAGE: ClaimKey.REVOCATION,
    ClaimKind.ANCHOR: ClaimKey.FUNDING,
}
"""Whose key signs; an anchor that anyone may take is not signed."""
WEIGHTS_KEPT = 2_048
"""A claim that waits is weighed several times at each block."""


@lru_cache(maxsize=WEIGHTS_KEPT)
def input_weight(claim: ClaimInput) -> int:
    """Return what an input adds to a signed transaction's weight: exact, but for a signature that is shorter."""
    items = _witness(claim, bytes(SIGNATURE_LENGTH))
    size = len(compact_size(len(items))) + sum([len(compact_size(len(item))) + len(item) for item in items])
    return WITNESS_SCALE_FACTOR * _INPUT_BYTES + size


def claim_weight(inputs: Sequence[ClaimInput], output_scripts: Sequence[bytes]) -> int:
    """Return the weight of a signed transaction with these inputs and outputs (their scripts)."""
    counts = len(compact_size(len(inputs))) + len(compact_size(len(output_scripts)))
    outputs = sum([8 + len(compact_size(len(script))) + len(script) for script in output_scripts])
    base = WITNESS_SCALE_FACTOR * (_VERSION_AND_LOCKTIME + counts + outputs) + _MARKER_AND_FLAG
    return base + sum([input_weight(one) for one in inputs])


def build_claim(inputs: Sequence[ClaimInput], outputs: Sequence[TxOut]) -> Transaction:
    """Return the unsigned transaction; its nLockTime is the highest that an input asks for.

    Args:   inputs: HTLC transactions first. outputs: the paired ones first, at the indices of their inputs.
    Raises: AssertionError when HTLC transactions do not stand as the peer has signed them.
    """
    locktime = max([one.locktime for one in inputs])
    paired = sum([one.kind in HOLDER_KINDS for one in inputs])
    for index, one in enumerate(inputs[:paired]):
        assert one.kind in HOLDER_KINDS, "HTLC transactions come before other inputs"
        assert one.locktime == locktime, "the peer's signature covers the locktime"
        assert one.anchors or len(inputs) == len(outputs) == 1, "without anchors an HTLC transaction is signed whole"
        assert list(outputs[index : index + 1]) == [one.paired_output], "a paired output is at the index of its input"
    made = tuple([TxIn(one.outpoint, b"", one.sequence) for one in inputs])
    return Transaction(_VERSION, made, tuple(outputs), locktime)


def to_sign(inputs: Iterable[ClaimInput]) -> tuple[InputToSign, ...]:
    """Return what the signer is to sign, in input order; anchors that anyone may take are left out."""
    return tuple(
        [
            InputToSign(index, _KEYS[one.kind], one.per_commitment, one.witness_script, one.value_sat)
            for index, one in enumerate(inputs)
            if one.kind in _KEYS
        ]
    )


def signed_claim(transaction: Transaction, inputs: Sequence[ClaimInput], signatures: Sequence[bytes]) -> Transaction:
    """Return the transaction with the witnesses of its first inputs; those behind keep theirs (coins of the wallet).

    Args: signatures: 64 bytes each, for `to_sign(inputs)` in its order.
    """
    given = dict(zip([one.index for one in to_sign(inputs)], signatures, strict=True))
    made = [
        replace(tx_in, witness=_witness(one, _der(given[index], SIGHASH_ALL) if index in given else b""))
        for index, (tx_in, one) in enumerate(zip(transaction.inputs, inputs, strict=False))
    ]
    return replace(transaction, inputs=(*made, *transaction.inputs[len(inputs) :]))


def _der(signature: bytes, sighash_type: int) -> bytes:
    return signature_to_der(signature) + bytes((sighash_type,))


def _witness(claim: ClaimInput, signature: bytes) -> tuple[bytes, ...]:
    """signature: in DER with its sighash byte."""
    script = claim.witness_script
    match claim.kind:
        case ClaimKind.TO_LOCAL | ClaimKind.SECOND_STAGE | ClaimKind.COUNTERPARTY_TIMEOUT:
            return signature, b"", script
        case ClaimKind.REVOKED_TO_LOCAL | ClaimKind.REVOKED_SECOND_STAGE:
            return signature, b"\x01", script
        case ClaimKind.REVOKED_OFFERED | ClaimKind.REVOKED_RECEIVED:
            return signature, claim.public_key, script
        case ClaimKind.COUNTERPARTY_PREIMAGE:
            return signature, claim.preimage, script
        case ClaimKind.HOLDER_TIMEOUT | ClaimKind.HOLDER_SUCCESS:
            peers = _der(
                claim.paired_signature, SIGHASH_SINGLE | SIGHASH_ANYONECANPAY if claim.anchors else SIGHASH_ALL
            )
            return b"", peers, signature, claim.preimage, script
        case ClaimKind.TO_REMOTE:
            return (signature, script) if script else (signature, claim.public_key)
        case ClaimKind.ANCHOR:
            return signature, script
        case ClaimKind.ANCHOR_OF_ANYONE:
            return b"", script
