"""Fixtures of the wallet."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wallet.wallet_world import WalletWorld


@pytest.fixture
def world(tmp_path: Path) -> Iterator[WalletWorld]:
    """A new wallet on an empty chain."""
    made = WalletWorld(tmp_path / "chain")
    yield made
    made.close()
