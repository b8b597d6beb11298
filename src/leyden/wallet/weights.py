"""Exact weights and fees of the transactions that the wallet makes (BIP 141)."""

from collections.abc import Sequence

from leyden.bitcoin.bip32 import BIP86_PURPOSE
from leyden.bitcoin.tx import WITNESS_SCALE_FACTOR, TxOut, compact_size
from leyden.transactions.fees import whole_vbytes
from leyden.wallet.state import Coin

INPUT_WEIGHT_P2WPKH = 271
"""41 bytes outside the witness; inside: count, signature of 71 bytes (low R and S, sighash byte), key of 33 bytes."""
INPUT_WEIGHT_P2TR = 230
"""41 bytes outside the witness; inside: count and a signature of 64 bytes."""

_MARKER_AND_FLAG = 2
_VERSION_AND_LOCKTIME = 8


def input_weight(coin: Coin) -> int:
    """Return the weight that spending a coin adds to a transaction.

    Exact but for about one ECDSA signature in 128, which is a byte or more shorter, so that the fee is never too low.
    """
    return INPUT_WEIGHT_P2TR if coin.path.purpose == BIP86_PURPOSE else INPUT_WEIGHT_P2WPKH


def output_weight(script_pubkey: bytes) -> int:
    """Return the weight of an output with this script."""
    return WITNESS_SCALE_FACTOR * (8 + len(compact_size(len(script_pubkey))) + len(script_pubkey))


def overhead_weight(output_count: int, input_count: int) -> int:
    """Return the weight of a segwit transaction without its inputs and outputs."""
    counts = len(compact_size(output_count)) + len(compact_size(input_count))
    return WITNESS_SCALE_FACTOR * (_VERSION_AND_LOCKTIME + counts) + _MARKER_AND_FLAG


def transaction_weight(coins: Sequence[Coin], outputs: Sequence[TxOut]) -> int:
    """Return the weight of a signed transaction that spends coins of the wallet."""
    weight = overhead_weight(len(outputs), len(coins))
    return weight + sum(input_weight(c) for c in coins) + sum(output_weight(o.script_pubkey) for o in outputs)


def fee_sat(weight: int, feerate_per_kw: int) -> int:
    """Return the fee for a weight: by whole vbytes, as mempools count, and at least 1 sat for each of them."""
    whole = whole_vbytes(weight)
    return max(-(-whole * feerate_per_kw // 1000), whole // WITNESS_SCALE_FACTOR)


def input_fee_sat(coin: Coin, feerate_per_kw: int) -> int:
    """Return what spending a coin costs at a feerate, rounded up."""
    return -(-input_weight(coin) * feerate_per_kw // 1000)
