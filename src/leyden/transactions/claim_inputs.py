"""An output of a closed channel, as an input of the transaction that claims it: what its script asks for, by kind.

Spec: BOLT 5, "Unilateral Close Handling: Local Commitment Transaction", "... Remote Commitment Transaction" and
"Revoked Transaction Close Handling"; BOLT 3, "Commitment Transaction Outputs".
"""

from enum import Enum

import msgspec

from leyden.bitcoin.tx import OutPoint, TxOut

SEQUENCE_REPLACEABLE = 0xFFFFFFFD
"""No relative lock, and replaceable by a transaction that pays more (BIP 125)."""


class ClaimKind(Enum):
    """Which output it is, and which of its ways we take.

    TO_LOCAL, SECOND_STAGE: ours after `to_self_delay`: of our own commitment, and of an HTLC transaction of ours.
    TO_REMOTE: ours on the peer's commitment. HOLDER_TIMEOUT, HOLDER_SUCCESS: an HTLC of our own commitment, by its
    HTLC transaction, whose input and output the peer's signature ties together. COUNTERPARTY_TIMEOUT: an HTLC that we
    offered, on the peer's commitment, after its expiry. COUNTERPARTY_PREIMAGE: one that the peer offered, with its
    preimage. REVOKED_*: of a revoked commitment of the peer, with the revocation key; OFFERED and RECEIVED as the peer
    sees it. ANCHOR: ours, at once. ANCHOR_OF_ANYONE: either anchor, 16 blocks later, without a signature.
    """

    TO_LOCAL = "to_local"
    SECOND_STAGE = "second_stage"
    TO_REMOTE = "to_remote"
    HOLDER_TIMEOUT = "holder_timeout"
    HOLDER_SUCCESS = "holder_success"
    COUNTERPARTY_TIMEOUT = "counterparty_timeout"
    COUNTERPARTY_PREIMAGE = "counterparty_preimage"
    REVOKED_TO_LOCAL = "revoked_to_local"
    REVOKED_OFFERED = "revoked_offered"
    REVOKED_RECEIVED = "revoked_received"
    REVOKED_SECOND_STAGE = "revoked_second_stage"
    ANCHOR = "anchor"
    ANCHOR_OF_ANYONE = "anchor_of_anyone"


class ClaimKey(Enum):
    """Whose key signs an input. REVOCATION: ours and the peer's per-commitment secret. DELAYED_PAYMENT, HTLC: derived
    with a commitment's point. PAYMENT, FUNDING: the same in every commitment.
    """

    REVOCATION = "revocation"
    DELAYED_PAYMENT = "delayed_payment"
    PAYMENT = "payment"
    HTLC = "htlc"
    FUNDING = "funding"


class InputToSign(msgspec.Struct, frozen=True, gc=False):
    """An input that a channel's keys sign, over SIGHASH_ALL.

    Attributes:
        index: of the input. key: see `ClaimKey`.
        per_commitment: for REVOCATION the peer's secret (32 bytes), for DELAYED_PAYMENT and HTLC the point (33 bytes)
            of the commitment, else empty.
        witness_script: of the spent output; empty: it is P2WPKH of the payment key. value_sat: what it holds.
    """

    index: int
    key: ClaimKey
    per_commitment: bytes
    witness_script: bytes
    value_sat: int

    def __repr__(self) -> str:
        """Name the key; a per-commitment secret is one (invariant S5)."""
        return f"InputToSign(index={self.index}, key={self.key.value}, value_sat={self.value_sat})"


class ClaimInput(msgspec.Struct, frozen=True, gc=False):
    """One output to claim.

    Attributes:
        kind: see `ClaimKind`.
        keys_id: channel_keys_id of the channel, 32 bytes: whose secrets sign it.
        outpoint, value_sat: the output.
        witness_script: of the output; empty for a to_remote that is P2WPKH.
        sequence: of the input: its relative lock in blocks, else `SEQUENCE_REPLACEABLE`; of an HTLC transaction what
            BOLT 3 says (1 with anchors, else 0).
        locktime: what the transaction's nLockTime must be at least (block height; 0: nothing). For HOLDER_TIMEOUT and
            HOLDER_SUCCESS exactly this.
        per_commitment: what the signer derives the key with: the per-commitment secret (32 bytes) for REVOKED_*, the
            commitment's point (33 bytes) for TO_LOCAL, SECOND_STAGE, HOLDER_* and COUNTERPARTY_*, else empty.
        preimage: 32 bytes for HOLDER_SUCCESS and COUNTERPARTY_PREIMAGE, else empty.
        paired_output: HOLDER_* only: the output of the HTLC transaction; at the same index as the input.
        paired_signature: HOLDER_* only: the peer's, 64 bytes compact.
        anchors: whether the channel has anchors; without them an HTLC transaction has one input and one output.
        public_key: the 33-byte key that the witness must show: our payment key for a to_remote that is P2WPKH, the
            revocation key for REVOKED_OFFERED and REVOKED_RECEIVED, else empty.
    """

    kind: ClaimKind
    keys_id: bytes
    outpoint: OutPoint
    value_sat: int
    witness_script: bytes
    sequence: int
    locktime: int
    per_commitment: bytes
    preimage: bytes
    paired_output: TxOut | None
    paired_signature: bytes
    anchors: bool
    public_key: bytes = b""

    def __repr__(self) -> str:
        """Name the output; secrets and preimages stay out of logs (invariant S5)."""
        return (
            f"ClaimInput({self.kind.value}, {self.outpoint.txid[::-1].hex()}:{self.outpoint.vout}, "
            f"{self.value_sat} sat)"
        )
