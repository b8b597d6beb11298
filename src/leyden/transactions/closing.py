"""Cooperative closing transactions of `closing_signed`.

The fee comes out of the funder's output; outputs that are dust are left out. Each side may also leave out its own
output and signs what it then has, so whoever receives a signature tries `closing_candidates`.

Spec: BOLT 3, "Legacy Closing Transaction".
"""

from enum import Enum
from typing import final

import msgspec

from leyden.bitcoin.sighash import SIGHASH_ALL, Bip143Midstate, sighash_v0
from leyden.bitcoin.tx import SEQUENCE_FINAL, OutPoint, Transaction, TxIn, TxOut
from leyden.transactions.fees import dust_limit_for_script_sat
from leyden.transactions.funding import funding_witness

# 4 * (version 4, counts 2, input 41, locktime 4) + marker and flag 2 + witness 222.
_WEIGHT_WITHOUT_OUTPUTS = 4 * 51 + 2 + 222


class ClosingParty(Enum):
    """Who owns an output of a closing transaction."""

    FUNDER = "funder"
    FUNDEE = "fundee"


class ClosingParameters(msgspec.Struct, frozen=True, gc=False):
    """Both sides' final balances and where they go.

    Attributes:
        funding_outpoint, funding_value_sat, funding_script: the output that is spent.
        funder_msat, fundee_msat: balances in millisatoshi, before the fee.
        funder_script_pubkey, fundee_script_pubkey: from their `shutdown` messages.
        dust_limit_sat: dust_limit_satoshis of the node that builds the transaction.
    """

    funding_outpoint: OutPoint
    funding_value_sat: int
    funding_script: bytes
    funder_msat: int
    fundee_msat: int
    funder_script_pubkey: bytes
    fundee_script_pubkey: bytes
    dust_limit_sat: int


@final
class ClosingTransaction(msgspec.Struct, frozen=True, gc=False):
    """A closing transaction without signatures.

    Attributes:
        parameters: what it was built from.
        fee_sat: fee_satoshis of the negotiation; what miners get is more when an output was left out.
        transaction: without witness; may have no outputs when everything is dust, then it is of no use.
        parties: whose each output is, in output order.
    """

    parameters: ClosingParameters
    fee_sat: int
    transaction: Transaction
    parties: tuple[ClosingParty, ...]

    def digest(self) -> bytes:
        """Return the 32 bytes that both sides sign (SIGHASH_ALL)."""
        parameters, transaction = self.parameters, self.transaction
        return sighash_v0(
            transaction,
            0,
            parameters.funding_script,
            parameters.funding_value_sat,
            SIGHASH_ALL,
            Bip143Midstate(transaction),
        )

    def signed_transaction(self, signed_a: tuple[bytes, bytes], signed_b: tuple[bytes, bytes]) -> Transaction:
        """Return the transaction that can be published.

        Args: signed_a, signed_b: (funding key 33 bytes, signature 64 bytes compact), in any order.
        """
        unsigned = self.transaction
        witness = funding_witness(self.parameters.funding_script, signed_a, signed_b)
        spend = TxIn(unsigned.inputs[0].prevout, b"", SEQUENCE_FINAL, witness)
        return Transaction(unsigned.version, (spend,), unsigned.outputs, unsigned.locktime)


def closing_weight(funder_script_pubkey: bytes, fundee_script_pubkey: bytes) -> int:
    """Return the weight of a closing transaction with both outputs and signatures of 73 bytes."""
    outputs = 2 * 9 + len(funder_script_pubkey) + len(fundee_script_pubkey)
    return _WEIGHT_WITHOUT_OUTPUTS + 4 * outputs


def _build(parameters: ClosingParameters, fee_sat: int, owners: tuple[ClosingParty, ...]) -> ClosingTransaction:
    outputs: list[tuple[int, bytes, ClosingParty]] = []
    for owner in owners:
        if owner is ClosingParty.FUNDER:
            outputs.append((funder_output_sat(parameters, fee_sat), parameters.funder_script_pubkey, owner))
        else:
            outputs.append((parameters.fundee_msat // 1000, parameters.fundee_script_pubkey, owner))
    # A dust limit of the channel may be below what a P2PKH or P2SH output needs to be relayed.
    kept = sorted(
        [
            output
            for output in outputs
            if output[0] >= max(parameters.dust_limit_sat, dust_limit_for_script_sat(output[1]))
        ],
        key=lambda output: (output[0], output[1]),
    )
    transaction = Transaction(
        2,
        (TxIn(parameters.funding_outpoint, b"", SEQUENCE_FINAL, ()),),
        tuple([TxOut(value_sat, script_pubkey) for value_sat, script_pubkey, _ in kept]),
        0,
    )
    return ClosingTransaction(parameters, fee_sat, transaction, tuple([owner for _, _, owner in kept]))


def funder_output_sat(parameters: ClosingParameters, fee_sat: int) -> int:
    """Return what the funder has left after the fee, in satoshi; negative when it cannot pay it."""
    return parameters.funder_msat // 1000 - fee_sat


def build_closing(parameters: ClosingParameters, fee_sat: int) -> ClosingTransaction:
    """Build the closing transaction with the fee (satoshi) of a `closing_signed`.

    Outputs below the node's own dust limit, or below what their script needs, are left out; both are sorted as BOLT 3,
    "Transaction Output Ordering" says.

    Spec: BOLT 3, "Legacy Closing Transaction".
    """
    return _build(parameters, fee_sat, (ClosingParty.FUNDER, ClosingParty.FUNDEE))


def closing_candidates(
    parameters: ClosingParameters, fee_sat: int, sender: ClosingParty, sender_dust_limit_sat: int
) -> tuple[ClosingTransaction, ...]:
    """Return the transactions that a `closing_signed` of `sender` may have signed, the likely one first.

    Others leave out the sender's own output, which it MAY do, or go by the sender's dust limit, as it MUST: one above
    ours takes an output of ours that we would have kept. What makes no difference is missing.

    Args: sender_dust_limit_sat: its dust_limit_satoshis; the channel's acceptance has bounded it.
    Spec: BOLT 3, "Legacy Closing Transaction"; BOLT 2, "Legacy Closing Negotiation: closing_signed".
    """
    candidates = [build_closing(parameters, fee_sat)]
    if sender in candidates[0].parties:
        other = ClosingParty.FUNDEE if sender is ClosingParty.FUNDER else ClosingParty.FUNDER
        candidates.append(_build(parameters, fee_sat, (other,)))
    if sender_dust_limit_sat != parameters.dust_limit_sat:
        theirs = msgspec.structs.replace(parameters, dust_limit_sat=sender_dust_limit_sat)
        candidates.append(build_closing(theirs, fee_sat))
    return tuple(candidates)
