"""Reading a store without taking it over."""

from pathlib import Path

import pytest

from leyden.base.errors import StorageBroken, StorageFailed, StorageFenced
from leyden.drivers.storage.sqlite import SqliteStore
from leyden.drivers.storage.sqlite_reader import SqliteReader
from leyden.ports.store import Append, Snapshot
from tests.drivers.storage.contract.suite import Answers, given


def outcome(results: list[StorageFailed | None]) -> StorageFailed | None:
    """What a completion was told."""
    return results[0]


async def write(path: Path) -> int:
    """Make a store with a snapshot and a tail; return its epoch."""
    store = SqliteStore(path)
    epoch = await store.open()
    assert list(store.load()) == []
    results: list[StorageFailed | None] = []
    given(store, epoch, Answers(), Append("node", 1, [b"a", b"b"]), Append("channel/00", 1, [b"x"]))
    store.snapshot(epoch, [Snapshot("node", 1, b"state", b"rows")], results.append)
    await store.close()
    return epoch


async def test_reader_sees_what_a_load_would(tmp_path: Path) -> None:
    """Snapshots, tails and penalty rows, in the order of the names."""
    await write(tmp_path / "store")
    with SqliteReader(tmp_path / "store") as reader:
        channel, node = reader.journals()
        assert (channel.journal, channel.position, channel.records) == ("channel/00", 0, [b"x"])
        assert (node.journal, node.position, node.state, node.records) == ("node", 1, b"state", [b"b"])
        assert reader.penalty_rows("node") == b"rows"


async def test_reader_does_not_move_the_fence(tmp_path: Path) -> None:
    """A look must not make an epoch: the next start is the next one."""
    epoch = await write(tmp_path / "store")
    for _ in range(3):
        with SqliteReader(tmp_path / "store") as reader:
            assert len(list(reader.journals())) == 2
    store = SqliteStore(tmp_path / "store")
    assert await store.open() == epoch + 1
    await store.close()


def test_reader_is_no_store() -> None:
    """No node can be run on it: it takes no fence, so there is no epoch to write under (hazard H88)."""
    assert [name for name in ("open", "append", "snapshot", "drop") if hasattr(SqliteReader, name)] == []


async def test_reader_and_node_exclude_each_other(tmp_path: Path) -> None:
    """A node that starts while somebody looks is refused, not damaged."""
    await write(tmp_path / "store")
    with SqliteReader(tmp_path / "store"), pytest.raises(StorageFenced):
        await SqliteStore(tmp_path / "store").open()
    store = SqliteStore(tmp_path / "store")
    await store.open()
    with pytest.raises(StorageFenced):
        SqliteReader(tmp_path / "store")
    await store.close()


@pytest.mark.parametrize(("content", "said"), [(b"", "is empty"), (b"no database at all" * 100, "damaged")])
def test_file_that_is_no_store_is_refused_and_released(tmp_path: Path, content: bytes, said: str) -> None:
    """The lock must not stay behind, or the next try would be refused for another reason."""
    (tmp_path / "store").write_bytes(content)
    for _ in range(2):
        with pytest.raises(StorageBroken, match=said):
            SqliteReader(tmp_path / "store")
    assert (tmp_path / "store").read_bytes() == content


def test_missing_file_is_not_made(tmp_path: Path) -> None:
    """A typing mistake in a path leaves nothing behind."""
    with pytest.raises(StorageBroken, match="does not exist"):
        SqliteReader(tmp_path / "store")
    assert list(tmp_path.iterdir()) == []
