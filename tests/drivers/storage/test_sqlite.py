"""`SqliteStore` as its callers see it."""

from pathlib import Path

import pytest

from leyden.drivers.storage.sqlite import SqliteStore
from leyden.ports.store import Store
from tests.drivers.storage.contract.suite import Disk, StoreContract


class _File(Disk):
    def __init__(self, path: Path) -> None:
        self.path = path

    def store(self) -> Store:
        return SqliteStore(self.path)


class TestSqliteStoreContract(StoreContract):
    """The default store owes what every store owes."""

    @pytest.fixture
    def disk(self, tmp_path: Path) -> Disk:
        """A fresh file."""
        return _File(tmp_path / "leyden.db")
