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
