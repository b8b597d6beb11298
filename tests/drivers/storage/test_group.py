"""`Group`: the judge of positions."""

import pytest

from leyden.base.errors import StorageBroken
from leyden.drivers.storage.group import Group
from leyden.ports.store import Append, Snapshot


def _group() -> Group:
    return Group({"a": 2}, {"a": 1}, lambda journal: {2: b"two"})


def test_refused_batch_leaves_nothing_behind() -> None:
    """Half a batch in a commit would be reported as refused and become durable all the same."""
    group = _group()
    with pytest.raises(StorageBroken, match="b ends at record 0, record 2 was offered next"):
        group.add_batch([Append("a", 3, [b"three"]), Append("b", 2, [b"x"])])
    assert (group.appends, group.ends) == ([], {})
    with pytest.raises(StorageBroken):
        group.add_snapshots([Snapshot("a", 2, b"", b""), Snapshot("a", 1, b"", b"")])
    assert group.snapshots == []


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
