"""Which coins to spend: Bitcoin Core's branch-and-bound and single random draw, by btclib-wallet.

The library only proposes; `building` computes the exact weight and fee, so a library that errs costs satoshis, not
validity. It is imported on first use and none of its types leave this module.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast, final

from leyden.bitcoin.tx import TxOut
from leyden.crypto.hashes import sha256
from leyden.wallet.state import Coin
from leyden.wallet.weights import (
    INPUT_WEIGHT_P2WPKH,
    fee_sat,
    input_fee_sat,
    input_weight,
    output_weight,
    overhead_weight,
)

MAX_INPUTS = 1000
"""Stays below the standard weight of 400,000; the most valuable coins are looked at."""
BRANCH_AND_BOUND_COINS = 14
"""With more coins the search for an exact match may cost 100,000 steps; among this many it ends at once."""
LONG_TERM_FEERATE_PER_KW = 2500
"""What a coin is expected to cost when it is spent some other time."""

_SAT_PER_KW_TO_PER_KVB = 4


@final
class _Shuffler:
    """The part of `random.Random` that single random draw uses, from 32 bytes of entropy: it replays."""

    def __init__(self, entropy: bytes) -> None:
        self._state = entropy

    def _below(self, bound: int) -> int:
        self._state = sha256(self._state)
        return int.from_bytes(self._state, "big") % bound

    def shuffle(self, items: list[object]) -> None:
        """Put `items` into a random order, in place."""
        for i in range(len(items) - 1, 0, -1):
            j = self._below(i + 1)
            items[i], items[j] = items[j], items[i]


def choose_coins(
    coins: Sequence[Coin], outputs: Sequence[TxOut], feerate_per_kw: int, change_script: bytes, entropy: bytes
) -> list[Coin] | None:
    """Return coins that pay for the outputs and their fee, or None when there are not enough.

    Args:
        coins: what may be spent. Those that cost more than they hold are left out.
        change_script: where a remainder would go, which decides when a match without change is good enough.
        entropy: 32 bytes for the random draw.
    """
    worth = [coin for coin in coins if coin.value_sat > input_fee_sat(coin, feerate_per_kw)]
    worth.sort(key=lambda coin: (-coin.value_sat, coin.txid, coin.vout))
    pool = worth[:MAX_INPUTS]
    return _propose(pool, outputs, feerate_per_kw, change_script, entropy) or _largest_first(
        pool, outputs, feerate_per_kw
    )


def _propose(
    pool: list[Coin], outputs: Sequence[TxOut], feerate_per_kw: int, change_script: bytes, entropy: bytes
) -> list[Coin] | None:
    from btclib.exceptions import BTClibValueError
    from btclib.fee import FeeRate
    from btclib.tx import OutPoint as LibraryOutPoint
    from btclib.tx import TxOut as LibraryTxOut
    from btclib_wallet import coin_selection as library

    def candidate(coin: Coin) -> library.Candidate:
        # The library takes txids in display order.
        outpoint = LibraryOutPoint(coin.txid[::-1], coin.vout, check_validity=False)
        return library.Candidate(
            outpoint,
            LibraryTxOut(coin.value_sat, coin.script_pubkey, check_validity=False),
            input_weight(coin),
            check_validity=False,
        )

    wanted = [LibraryTxOut(out.value_sat, out.script_pubkey, check_validity=False) for out in outputs]
    rate = FeeRate(sats_per_kvbyte=feerate_per_kw * _SAT_PER_KW_TO_PER_KVB)
    long_term = FeeRate(sats_per_kvbyte=LONG_TERM_FEERATE_PER_KW * _SAT_PER_KW_TO_PER_KVB)
    by_outpoint = {(coin.txid[::-1], coin.vout): coin for coin in pool}

    def run(coins: list[Coin], search: Callable[..., library.SelectionResult], **extra: Any) -> Any:
        try:
            return search(
                [candidate(coin) for coin in coins],
                wanted,
                rate,
                long_term,
                change_script,
                INPUT_WEIGHT_P2WPKH,
                **extra,
            )
        except BTClibValueError:
            return None

    exact = run(_near(pool, outputs), library.branch_and_bound)
    drawn = run(pool, library.single_random_draw, rng=cast("Any", _Shuffler(entropy)))
    results = [result for result in (exact, drawn) if result is not None]
    if not results:
        return None
    best = min(results, key=lambda result: result.waste)
    return [by_outpoint[c.outpoint.tx_id, c.outpoint.vout] for c in best.selected]


def _near(pool: list[Coin], outputs: Sequence[TxOut]) -> list[Coin]:
    """Return the few largest coins that are not far above what is wanted."""
    wanted = sum(out.value_sat for out in outputs)
    return [coin for coin in pool if coin.value_sat <= 2 * wanted][:BRANCH_AND_BOUND_COINS]


def _largest_first(pool: list[Coin], outputs: Sequence[TxOut], feerate_per_kw: int) -> list[Coin] | None:
    """Find coins whenever there are any: the random draw wants room for change of a useful size."""
    chosen: list[Coin] = []
    missing_sat = sum(out.value_sat for out in outputs)
    weight = overhead_weight(len(outputs), len(pool)) + sum(output_weight(out.script_pubkey) for out in outputs)
    for coin in pool:
        chosen.append(coin)
        missing_sat -= coin.value_sat
        weight += input_weight(coin)
        if missing_sat + fee_sat(weight, feerate_per_kw) <= 0:
            return chosen
    return None
