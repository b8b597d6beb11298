"""How much is done, and how long it may take."""

import pytest

from interop.scenario import Extent


@pytest.mark.parametrize(
    ("extent", "factor"),
    [(Extent(), 1), (Extent(rounds=1, payments=10), 1), (Extent(rounds=50), 10), (Extent(payments=10_000), 20)],
)
def test_time_grows_with_the_extent(extent: Extent, factor: float) -> None:
    """A long run is no failure for being long; a short one is given no less than the usual time."""
    assert extent.factor() == factor


@pytest.mark.parametrize(
    ("extent", "is_long"),
    [(Extent(), False), (Extent(rounds=49), False), (Extent(rounds=50), True), (Extent(payments=10_000), True)],
)
def test_either_of_what_long_asks_for_is_long(extent: Extent, *, is_long: bool) -> None:
    """A part of the long lane may be run alone, and its rows are those of the long lane."""
    assert extent.is_long == is_long
