"""The journal: nothing reported is lost, a torn tail is no damage, damage is no torn tail."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leyden.base.errors import StorageBroken, StorageUnavailable
from leyden.regtest.block_journal import BlockJournal, RecordKind

RECORDS = [(RecordKind.BLOCK, b"block one"), (RecordKind.INVALIDATED, bytes(32)), (RecordKind.BLOCK, b"x" * 300)]


def write(path: Path, records: list[tuple[RecordKind, bytes]]) -> list[int]:
    """Write records durably; return the size of the file after each."""
    journal = BlockJournal(path)
    list(journal.replay())
    sizes: list[int] = []
    for kind, payload in records:
        journal.append(kind, payload)
        journal.sync()
        sizes.append(path.stat().st_size)
    journal.close()
    return sizes


def read(path: Path) -> list[tuple[RecordKind, bytes]]:
    """Return what a fresh start finds."""
    journal = BlockJournal(path)
    found = [(kind, payload) for kind, payload, _ in journal.replay()]
    journal.close()
    return found


def test_records_come_back_in_order(tmp_path: Path) -> None:
    """The whole point."""
    write(tmp_path / "j", RECORDS)
    assert read(tmp_path / "j") == RECORDS


def test_payloads_can_be_read_at_their_offset(tmp_path: Path) -> None:
    """Blocks are served from the journal, in the life that wrote them and in the next."""
    journal = BlockJournal(tmp_path / "j")
    list(journal.replay())
    offsets = [journal.append(kind, payload) for kind, payload in RECORDS]
    assert [journal.read(o, len(p)) for o, (_, p) in zip(offsets, RECORDS, strict=True)] == [p for _, p in RECORDS]
    journal.close()
    again = BlockJournal(tmp_path / "j")
    assert [offset for _, _, offset in again.replay()] == offsets
    with pytest.raises(StorageBroken):
        again.read(10_000, 1)
    again.close()


def test_every_torn_tail_leaves_a_prefix(tmp_path: Path) -> None:
    """A crash can cut the file anywhere: what was whole before stays, and the journal goes on from there."""
    sizes = write(tmp_path / "whole", RECORDS)
    data = (tmp_path / "whole").read_bytes()
    for cut in range(len(data)):
        path = tmp_path / "torn"
        path.write_bytes(data[:cut])
        kept = sum(size <= cut for size in sizes)
        assert read(path) == RECORDS[:kept]
        write(path, [(RecordKind.BLOCK, b"after")])
        assert read(path) == [*RECORDS[:kept], (RecordKind.BLOCK, b"after")]


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_garbage_after_the_end_is_cut_off(tmp_path: Path, garbage: bytes) -> None:
    """Blocks of a file system may hold anything after a crash."""
    path = tmp_path / "j"
    path.unlink(missing_ok=True)
    write(path, RECORDS)
    with path.open("ab") as file:
        file.write(garbage)
    assert read(path) == RECORDS


@pytest.mark.parametrize("flip", [0, 4, 8, 9, 12, 17, 20])
def test_damage_before_whole_records_is_refused(tmp_path: Path, flip: int) -> None:
    """Cutting there would silently drop blocks that were reported."""
    write(tmp_path / "j", RECORDS)
    data = bytearray((tmp_path / "j").read_bytes())
    data[flip] ^= 1
    (tmp_path / "j").write_bytes(data)
    with pytest.raises(StorageBroken, match="damaged at offset 0"):
        read(tmp_path / "j")


def test_unwritable_disk_takes_the_record_back(tmp_path: Path) -> None:
    """A full disk must not leave half a record before the next whole one."""
    write(tmp_path / "j", RECORDS[:1])
    journal = BlockJournal(tmp_path / "j")
    list(journal.replay())
    limited = os.open(tmp_path / "j", os.O_RDONLY)
    os.dup2(limited, journal._fd)
    os.close(limited)
    with pytest.raises(StorageBroken):
        journal.append(RecordKind.BLOCK, b"more")
    with pytest.raises(StorageBroken):
        journal.sync()
    journal.close()
    assert read(tmp_path / "j") == RECORDS[:1]


def test_unopenable_file(tmp_path: Path) -> None:
    """The caller is told which file and why."""
    with pytest.raises(StorageUnavailable, match="cannot be opened"):
        BlockJournal(tmp_path / "absent" / "j")


def test_closed_journal_takes_nothing(tmp_path: Path) -> None:
    """A late write must fail loudly, not go to a reused file descriptor."""
    journal = BlockJournal(tmp_path / "j")
    journal.close()
    journal.close()
    with pytest.raises(StorageBroken):
        journal.append(RecordKind.BLOCK, b"")
