"""Feerates from a service: whatever it says, what is used relays and is not absurd."""

from decimal import Decimal

import pytest

from leyden.bitcoin.networks import MAINNET, REGTEST
from leyden.drivers.chain.fees import FEERATE_CEILING_PER_KW, bounded_estimate, feerate_per_kw
from leyden.ports.chain import FeeSource


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Decimal("0.00001"), 250), (Decimal("0.00001001"), 251), (Decimal("0.0001"), 2_500), (1, 25_000_000),
        (Decimal("1e-12"), 1), (Decimal("1e-30"), 1),
        (0, None), (Decimal(0), None), (-1, None), (Decimal("-0.1"), None), (None, None), (True, None), ("1", None),
        (Decimal("NaN"), None), (Decimal("Infinity"), None), (Decimal("1e999999"), None), ({}, None),
    ],
)  # fmt: skip
def test_feerates_are_converted_and_rounded_up(value: object, expected: int | None) -> None:
    """Rounded down a feerate at the floor would not relay."""
    assert feerate_per_kw(value) == expected


@pytest.mark.parametrize(
    ("estimate", "minimum", "network", "feerate", "source"),
    [
        (Decimal("0.0002"), Decimal("0.00001"), MAINNET, 5_000, FeeSource.ESTIMATE),
        (Decimal("0.00001"), Decimal("0.00001"), MAINNET, 253, FeeSource.RAISED_TO_FLOOR),
        (Decimal("0.0002"), Decimal("0.0004"), MAINNET, 10_000, FeeSource.RAISED_TO_FLOOR),
        (None, Decimal("0.00001"), MAINNET, 6_250, FeeSource.FALLBACK),
        (None, Decimal("0.001"), MAINNET, 25_000, FeeSource.FALLBACK),
        (None, None, REGTEST, 253, FeeSource.FALLBACK),
        ("nonsense", "nonsense", REGTEST, 253, FeeSource.FALLBACK),
        (Decimal(-1), 5, MAINNET, FEERATE_CEILING_PER_KW, FeeSource.FALLBACK),
        (Decimal("0.02"), None, MAINNET, FEERATE_CEILING_PER_KW, FeeSource.CUT_TO_CEILING),
        (Decimal("0.01"), None, MAINNET, FEERATE_CEILING_PER_KW, FeeSource.ESTIMATE),
    ],
)
def test_estimates_are_bounded_on_both_sides(
    estimate: object, minimum: object, network: object, feerate: int, source: FeeSource
) -> None:
    """Too low strands a commitment, too high burns a channel; and the user must know that it was not the market."""
    result = bounded_estimate(estimate, minimum, network)  # type: ignore[arg-type]
    assert (result.feerate_per_kw, result.source) == (feerate, source)
    assert bool(result.why) == (source is not FeeSource.ESTIMATE)
