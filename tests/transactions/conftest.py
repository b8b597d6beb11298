"""What tests of transactions share."""

from collections.abc import Iterator

import pytest

from leyden.regtest.kernel import Kernel


@pytest.fixture(scope="package")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """Bitcoin Core's consensus code."""
    one = Kernel(tmp_path_factory.mktemp("kernel"))
    yield one
    one.close()
