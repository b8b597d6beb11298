"""Looking into the journals of a node that has run, and changing nothing."""

import json
import shutil
from pathlib import Path

import apsw
import pytest

from leyden.base.errors import CommandRejected
from leyden.drivers.storage.lock import FileLock
from leyden.node import journals
from tests.node.pair import live_and_stop


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A data directory and the channel in it; read only."""
    directory = tmp_path_factory.mktemp("lived")
    return directory / "alice", live_and_stop(directory)


def test_journals_are_listed(lived: tuple[Path, str]) -> None:
    """What is there, and in which state it ends."""
    directory, channel_id = lived
    channel, node = journals.list_journals(directory)
    assert (channel.journal, channel.state) == (f"channel/{channel_id}", "Normal")
    assert channel.node_id is not None
    assert (node.journal, node.node_id) == ("node", None)
    assert channel.records > 5
    assert channel.snapshot == 0


def test_records_are_shown_with_their_positions(lived: tuple[Path, str]) -> None:
    """From the birth to the last record, every kind by its name."""
    directory, channel_id = lived
    lines = journals.show(directory, channel_id[:8], 1, None, "hide")
    assert [line.position for line in lines] == list(range(1, len(lines) + 1))
    assert lines[0].kind == "ChannelOpened"
    assert lines[0].fields["funding_satoshis"] == 1_000_000
    assert {"LocalReady", "SentCommitment", "ReceivedRevocation"} <= {line.kind for line in lines}
    part = journals.show(directory, channel_id, 2, 3, "hide")
    assert [line.position for line in part] == [2, 3]
    assert json.dumps([line.fields for line in lines])
    assert "NodeBorn" in {line.kind for line in journals.show(directory, "node", 1, None, "hide")}


def test_secrets_are_shown_on_request_only(lived: tuple[Path, str]) -> None:
    """The output of a debugging session is pasted into bug reports."""
    directory, channel_id = lived
    for name, kind, field in (
        (channel_id, "ReceivedRevocation", "per_commitment_secret"),
        ("node", "PaymentStarted", "session_seed"),
    ):
        hidden = next(line for line in journals.show(directory, name, 1, None, "hide") if line.kind == kind)
        shown = next(line for line in journals.show(directory, name, 1, None, "show") if line.kind == kind)
        assert hidden.fields[field] == journals.HIDDEN
        assert len(shown.fields[field]) == 64


def test_time_travel_gives_the_state_after_any_record(lived: tuple[Path, str]) -> None:
    """Which record made it wrong is the first question of whoever debugs."""
    directory, channel_id = lived
    assert journals.fold_at(directory, channel_id, 1, "hide")["state"] == "AwaitingReady"
    last = journals.fold_at(directory, channel_id, None, "hide")
    assert last["state"] == "Normal"
    assert last["fold"]["local"]["local_msat"] == 675_000_000
    numbers = [
        journals.fold_at(directory, channel_id, at, "hide")["fold"]["remote"]["number"]
        for at in range(1, last["position"] + 1)
    ]
    assert numbers == sorted(numbers)
    assert numbers[-1] >= 2
    node = journals.fold_at(directory, "node", None, "hide")
    assert json.dumps(node)
    assert len(node["fold"]["ledger"]["payments"]) == 1


@pytest.mark.parametrize("at", [0, -1, 10_000])
def test_record_that_was_never_written_is_refused(lived: tuple[Path, str], at: int) -> None:
    """The sentence says what there is."""
    directory, channel_id = lived
    with pytest.raises(CommandRejected, match=r"can be folded at 1 to \d+") as refused:
        journals.fold_at(directory, channel_id, at, "hide")
    assert refused.value.code == "no_such_record"


def test_whole_journals_are_found_whole(lived: tuple[Path, str]) -> None:
    """And looking at them changes no byte of the store."""
    directory, _ = lived
    before = {path.name: path.read_bytes() for path in directory.glob("journals.sqlite*") if path.suffix != ".lock"}
    assert [verdict.problem for verdict in journals.verify(directory)] == ["", ""]
    after = {path.name: path.read_bytes() for path in directory.glob("journals.sqlite*") if path.suffix != ".lock"}
    assert before == after


def test_running_node_keeps_its_journals_to_itself(lived: tuple[Path, str]) -> None:
    """Two readers of one write-ahead log would be one too many."""
    directory, _ = lived
    lock = FileLock(directory / "journals.sqlite.lock")
    lock.take()
    try:
        with pytest.raises(CommandRejected, match=r"a node is running in .* \(pid \d+\)") as refused:
            journals.list_journals(directory)
    finally:
        lock.release()
    assert refused.value.code == "node_running"


@pytest.mark.parametrize("name", ["zz", "channel/zz", "nodes"])
def test_unknown_journal_is_refused(lived: tuple[Path, str], name: str) -> None:
    """The sentence says how to find the right name."""
    with pytest.raises(CommandRejected, match="journal list") as refused:
        journals.show(lived[0], name, 1, None, "hide")
    assert refused.value.code == "unknown_journal"


def test_directory_without_journals_is_refused(tmp_path: Path) -> None:
    """It must not be made by looking at it."""
    with pytest.raises(CommandRejected, match="does not exist") as refused:
        journals.verify(tmp_path)
    assert refused.value.code == "bad_journal"
    assert list(tmp_path.iterdir()) == []


def test_damage_is_found_and_placed(lived: tuple[Path, str], tmp_path: Path) -> None:
    """One flipped bit anywhere in a row is seen, and the sentence says which row."""
    copy = tmp_path / "copy"
    shutil.copytree(lived[0], copy)
    connection = apsw.Connection(str(copy / "journals.sqlite"))
    (seq, blob) = next(iter(connection.execute("select seq, blob from log order by seq limit 1")))
    assert isinstance(blob, bytes)
    flipped = blob[:-1] + bytes([blob[-1] ^ 1])
    connection.execute("update log set blob = ? where seq = ?", (flipped, seq))
    connection.close()
    with pytest.raises(CommandRejected, match=f"log row {seq}") as refused:
        journals.verify(copy)
    assert refused.value.code == "bad_journal"
