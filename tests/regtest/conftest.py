"""Fixtures of the chain service."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.regtest.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A chain of 103 blocks: the coinbases of heights 1 to 4 are mature for the next block."""
    made = World(tmp_path / "chain")
    made.mine(103)
    yield made
    made.backend.close()
