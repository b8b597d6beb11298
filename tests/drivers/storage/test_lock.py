"""`FileLock`."""

from pathlib import Path

import pytest

from leyden.base.errors import StorageFenced
from leyden.drivers.storage.lock import FileLock


def test_lock_excludes_a_second_owner_until_it_is_released(tmp_path: Path) -> None:
    """Also inside one process, where SQLite's own lock excludes nobody."""
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    first.take()
    with pytest.raises(StorageFenced, match="stop it first"):
        second.take()
    first.release()
    second.take()
    second.release()
    second.release()
