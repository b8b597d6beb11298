"""Bringing home outputs that keys outside the wallet can spend, such as what a closed channel left for us."""

from collections.abc import Sequence

import msgspec

from leyden.base.errors import CommandRejected
from leyden.bitcoin.tx import WITNESS_SCALE_FACTOR, OutPoint, Transaction, TxIn, TxOut
from leyden.transactions.fees import dust_limit_for_script_sat
from leyden.wallet.checks import check_feerate
from leyden.wallet.weights import fee_sat, output_weight, overhead_weight

_VERSION = 2
_INPUT_BYTES = 41


class SweepInput(msgspec.Struct, frozen=True, gc=False):
    """An output to bring home.

    sequence: what its script asks for (a relative lock in blocks, or 0xfffffffd).
    satisfaction_weight: of the whole witness, the count of its items included; the longest it can be.
    """

    outpoint: OutPoint
    value_sat: int
    sequence: int
    satisfaction_weight: int

    def weight(self) -> int:
        """Return what it adds to a transaction."""
        return WITNESS_SCALE_FACTOR * _INPUT_BYTES + self.satisfaction_weight


def build_sweep(inputs: Sequence[SweepInput], script_pubkey: bytes, feerate_per_kw: int, locktime: int) -> Transaction:
    """Return an unsigned transaction that pays all inputs but the fee to one script, inputs in the order given.

    Inputs that cost more than they hold are left out: look at `Transaction.inputs` before signing.

    Raises:
        CommandRejected: the feerate is out of range (codes of `checks`), or dust is left (`insufficient_funds`).
    """
    check_feerate(feerate_per_kw)
    worth = [i for i in inputs if i.value_sat > -(-i.weight() * feerate_per_kw // 1000)]
    weight = overhead_weight(1, len(worth)) + output_weight(script_pubkey) + sum(i.weight() for i in worth)
    amount_sat = sum(i.value_sat for i in worth) - fee_sat(weight, feerate_per_kw)
    if amount_sat < max(dust_limit_for_script_sat(script_pubkey), 1):
        total_sat = sum(i.value_sat for i in inputs)
        what = f"{total_sat} sat in {len(inputs)} outputs are not worth the fee at {feerate_per_kw} sat/kw"
        raise CommandRejected(what, code="insufficient_funds")
    tx_inputs = tuple([TxIn(i.outpoint, b"", i.sequence) for i in worth])
    return Transaction(_VERSION, tx_inputs, (TxOut(amount_sat, script_pubkey),), locktime)
