"""`Group`: the judge of positions."""

import pytest

from leyden.base.errors import StorageBroken, StorageUnavailable
from leyden.drivers.storage.group import Group
from leyden.ports.store import Append, Snapshot


def _group() -> Group:
    return Group({"a": 2}, {"a": 1}, {"c": 4}, lambda journal: {2: b"two"})


def test_refused_batch_leaves_nothing_behind() -> None:
    """Half a batch in a commit would be reported as refused and become durable all the same."""
    group = _group()
    with pytest.raises(StorageBroken, match="b ends at record 0, record 2 was offered next"):
        group.add_batch([Append("a", 3, [b"three"]), Append("b", 2, [b"x"])])
    assert (group.appends, group.ends) == ([], {})
    with pytest.raises(StorageBroken):
        group.add_snapshots([Snapshot("a", 2, b"", b""), Snapshot("a", 1, b"", b"")])
    assert group.snapshots == []


def test_batch_behind_one_that_failed_waits_and_is_no_gap() -> None:
    """It was given before its caller could know; only a batch that nobody ever offered is a bug."""
    group = _group()
    with pytest.raises(StorageUnavailable, match="in order"):
        group.add_batch([Append("c", 3, [b"x"])])
    with pytest.raises(StorageUnavailable):
        group.add_snapshots([Snapshot("c", 4, b"", b"")])
    with pytest.raises(StorageBroken):
        group.add_batch([Append("c", 6, [b"x"])])
    group.add_batch([Append("c", 1, [b"1", b"2", b"3", b"4"]), Append("c", 5, [b"5"])])
    assert group.ends == {"c": 5}


def test_only_what_is_new_of_a_repeat_is_written() -> None:
    """A record at a position never changes and is never written twice."""
    group = _group()
    group.add_batch([Append("a", 2, [b"two", b"three"])])
    group.add_batch([Append("a", 2, [b"two", b"three"]), Append("a", 4, [b"four"])])
    assert group.appends == [Append("a", 3, [b"three"]), Append("a", 4, [b"four"])]
    assert group.ends == {"a": 4}


def test_repeat_behind_a_snapshot_cannot_be_compared_and_is_refused() -> None:
    """Its bytes are gone, so equality cannot be shown."""
    with pytest.raises(StorageBroken, match="record 1 of a"):
        _group().add_batch([Append("a", 1, [b"one", b"two"])])
