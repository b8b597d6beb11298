"""Bitcoin Core's judgement for tests of what is published."""

from collections.abc import Iterator

import pytest

from leyden.sim.consensus import Consensus


@pytest.fixture(scope="module")
def consensus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consensus]:
    """Bitcoin Core's consensus code."""
    found = Consensus(tmp_path_factory.mktemp("kernel") / "chain")
    yield found
    found.close()
