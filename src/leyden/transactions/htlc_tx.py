"""HTLC-timeout and HTLC-success transactions, one at a time: for publishing, not for the signing loop.

Spec: BOLT 3, "HTLC-Timeout and HTLC-Success Transactions".
"""

import msgspec

from leyden.bitcoin.script import p2wsh_of_script
from leyden.bitcoin.sighash import SIGHASH_ALL, SIGHASH_ANYONECANPAY, SIGHASH_SINGLE, Bip143Midstate, sighash_v0
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut
from leyden.crypto.ec import signature_to_der
from leyden.transactions.fees import htlc_fee_sat
from leyden.transactions.types import CommitmentHtlc


class HtlcTransaction(msgspec.Struct, frozen=True, gc=False):
    """The transaction by which the broadcaster of a commitment spends one of its HTLC outputs.

    Attributes:
        transaction: without witness; HTLC-timeout if the HTLC was offered, HTLC-success if it was received.
        htlc: what it resolves.
        value_sat: satoshi of the spent output.
        witness_script: of the spent output.
        output_script: witness script of its own output (`scripts.to_local_script`).
        anchors: the countersignatory signs with SINGLE|ANYONECANPAY, so inputs and outputs may be added for fees.
    """

    transaction: Transaction
    htlc: CommitmentHtlc
    value_sat: int
    witness_script: bytes
    output_script: bytes
    anchors: bool

    def digest(self, sighash_type: int) -> bytes:
        """Return the 32-byte BIP 143 digest of the only input."""
        transaction = self.transaction
        return sighash_v0(
            transaction, 0, self.witness_script, self.value_sat, sighash_type, Bip143Midstate(transaction)
        )

    def witness(
        self, broadcaster_signature: bytes, countersignatory_signature: bytes, payment_preimage: bytes | None
    ) -> tuple[bytes, ...]:
        """Return the witness of the HTLC input, also when other inputs were added to the transaction.

        Args:   signatures: 64 bytes compact, the broadcaster's over SIGHASH_ALL of the final transaction;
                payment_preimage: 32 bytes for an HTLC that was received, None for one that was offered.
        Raises: ValueError when the preimage is missing or not wanted.
        """
        if (payment_preimage is None) != self.htlc.offered:
            raise ValueError("HTLC-success needs the preimage, HTLC-timeout must not have it")
        counter_type = SIGHASH_SINGLE | SIGHASH_ANYONECANPAY if self.anchors else SIGHASH_ALL
        return (
            b"",
            signature_to_der(countersignatory_signature) + bytes((counter_type,)),
            signature_to_der(broadcaster_signature) + bytes((SIGHASH_ALL,)),
            payment_preimage if payment_preimage is not None else b"",
            self.witness_script,
        )

    def signed_transaction(
        self, broadcaster_signature: bytes, countersignatory_signature: bytes, payment_preimage: bytes | None
    ) -> Transaction:
        """Return the transaction with its witness and no other inputs. Arguments and errors as `witness`."""
        unsigned = self.transaction
        witness = self.witness(broadcaster_signature, countersignatory_signature, payment_preimage)
        spend = TxIn(unsigned.inputs[0].prevout, b"", unsigned.inputs[0].sequence, witness)
        return Transaction(unsigned.version, (spend,), unsigned.outputs, unsigned.locktime)


def build_htlc_transaction(
    *,
    commitment_txid: bytes,
    output_index: int,
    htlc: CommitmentHtlc,
    witness_script: bytes,
    output_script: bytes,
    feerate_per_kw: int,
    anchors: bool,
) -> HtlcTransaction:
    """Build the HTLC-timeout (offered) or HTLC-success (received) transaction of one commitment output.

    Args:
        commitment_txid: 32 bytes in internal order; output_index: of the HTLC output.
        witness_script: of that output; output_script: witness script of the new output.
        feerate_per_kw: of the commitment; ignored with anchors, where the fee is zero.
    """
    value_sat = htlc.amount_msat // 1000
    spend = TxIn(OutPoint(commitment_txid, output_index), b"", 1 if anchors else 0, ())
    output = TxOut(value_sat - htlc_fee_sat(htlc.offered, feerate_per_kw, anchors), p2wsh_of_script(output_script))
    locktime = htlc.cltv_expiry if htlc.offered else 0
    return HtlcTransaction(
        Transaction(2, (spend,), (output,), locktime), htlc, value_sat, witness_script, output_script, anchors
    )
