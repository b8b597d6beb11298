"""What a chain service says about fees, made safe to use: bounded below and above, and always with its reason."""

from decimal import ROUND_CEILING, Decimal
from typing import Final

from leyden.bitcoin.networks import REGTEST, Network
from leyden.ports.chain import FEERATE_FLOOR_PER_KW, FeeEstimate, FeeSource

FEERATE_CEILING_PER_KW: Final = 250_000
"""1000 sat/vB: an estimate above it is a fault of the estimator, not a market."""
FALLBACK_PER_KW: Final = 6_250
"""25 sat/vB, for networks where blocks may be full."""

_SAT_PER_BTC: Final = 100_000_000
_PER_KVB_TO_PER_KW: Final = 4


def fallback_feerate_per_kw(network: Network) -> int:
    """Return what to use without an estimate: the floor on regtest, 25 sat/vB elsewhere."""
    return FEERATE_FLOOR_PER_KW if network == REGTEST else FALLBACK_PER_KW


def feerate_per_kw(btc_per_kvb: object) -> int | None:
    """Return sat per 1000 weight units, rounded up, of an RPC feerate; None when it is no positive finite number."""
    if isinstance(btc_per_kvb, bool) or not isinstance(btc_per_kvb, int | Decimal):
        return None
    value = Decimal(btc_per_kvb)
    # The second bound keeps an absurd exponent from becoming a number of a million digits.
    if not value.is_finite() or value <= 0 or value.adjusted() > 18:
        return None
    sat_per_kvb = int((value * _SAT_PER_BTC).to_integral_value(ROUND_CEILING))
    return -(-sat_per_kvb // _PER_KVB_TO_PER_KW)


def bounded_estimate(estimate: object, mempool_minimum: object, network: Network) -> FeeEstimate:
    """Return a usable feerate.

    Args:
        estimate: `feerate` of estimatesmartfee in BTC/kvB, None when there is none.
        mempool_minimum: `mempoolminfee` of getmempoolinfo in BTC/kvB.
    """
    minimum = min(feerate_per_kw(mempool_minimum) or 0, FEERATE_CEILING_PER_KW)
    floor = max(FEERATE_FLOOR_PER_KW, minimum)
    feerate = feerate_per_kw(estimate)
    if feerate is None:
        used = max(fallback_feerate_per_kw(network), floor)
        why = "no estimate yet" if estimate is None else f"the estimate {str(estimate)[:40]} is not a feerate"
        return FeeEstimate(used, FeeSource.FALLBACK, f"{why}: {used} sat/kw are used instead")
    if feerate > FEERATE_CEILING_PER_KW:
        why = f"the estimate of {feerate} sat/kw is absurd: {FEERATE_CEILING_PER_KW} are used instead"
        return FeeEstimate(FEERATE_CEILING_PER_KW, FeeSource.CUT_TO_CEILING, why)
    if feerate < floor:
        why = f"the estimate of {feerate} sat/kw is below what relays: {floor} are used instead"
        return FeeEstimate(floor, FeeSource.RAISED_TO_FLOOR, why)
    return FeeEstimate(feerate, FeeSource.ESTIMATE, "")
