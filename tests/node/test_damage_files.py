"""Data directories that are damaged, foreign, or in use: the node does not start, says which file and what to do."""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from leyden.base.errors import CommandRejected, LeydenError, StorageBroken, StorageFenced
from leyden.base.ids import JournalId
from leyden.bitcoin.networks import MAINNET
from leyden.drivers.chain.memory import MemoryChain, MemoryChainSource
from leyden.drivers.markfile import MarkFile
from leyden.drivers.storage.sqlite import SqliteStore
from leyden.drivers.storage.sqlite_reader import SqliteReader
from leyden.journal.batch import Append, StoredJournal
from leyden.node import files
from leyden.node import node as node_module
from leyden.node.node import Node
from tests.drivers.storage.contract.suite import written
from tests.node.pair import event_of
from tests.node.real_world import World, fingerprint, pay, until, world

KEPT = (files.STORE_FILE, files.KEY_FILE, files.MARK_FILE)


class Scene(msgspec.Struct):
    """alice had a channel with bob and made a payment; she is stopped, her data directory is `directory`."""

    world: World
    directory: Path
    channel_id: str

    def copy(self, name: str) -> Path:
        """A copy of the data directory, under the name of another node."""
        target = self.directory.parent / name
        shutil.copytree(self.directory, target)
        return target

    async def refused(self, directory: Path, *words: str, **options: Any) -> LeydenError:
        """A node on `directory` does not start: it names what is wrong, and no byte of the directory has changed."""
        before = content(directory)
        node = self.world.make(directory.name, disk=True, **options)
        with pytest.raises((CommandRejected, StorageBroken)) as caught:
            await node.start()
        await node.aclose()
        sentence = str(caught.value)
        for word in words:
            assert word in sentence, sentence
        assert content(directory) == before, "touched"
        assert len(sentence) > 40, "it says what to do"
        return caught.value


def read_journals(path: Path) -> list[StoredJournal]:
    """Everything that the store says, without opening it for writing."""
    with SqliteReader(path) as reader:
        return list(reader.journals())


def content(directory: Path) -> dict[str, bytes]:
    """Every file but the lock, the reserve, and a write-ahead log with nothing in it."""
    return {
        path.name: path.read_bytes()
        for path in sorted(directory.iterdir())
        if path.is_file() and not path.name.endswith((".lock", ".reserve"))
        if path.stat().st_size or not path.name.endswith("-wal")
    }


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """See `Scene`."""
    async with world(tmp_path) as made:
        alice, bob = await made.start("alice", disk=True), await made.start("bob")
        channel_id = await made.channel(alice, bob)
        assert (await pay(alice, bob)).status == "succeeded"
        await made.stop("alice")
        yield Scene(made, tmp_path / "alice", channel_id)


# --- the file of the journals ---------------------------------------------------------------------------------------


def flip(place: bytes) -> Callable[[Path], None]:
    """One wrong bit 40 bytes behind the last occurrence of `place`."""

    def damage(path: Path) -> None:
        raw = bytearray(path.read_bytes())
        at = raw.rindex(place) + 40
        raw[at] ^= 1
        path.write_bytes(bytes(raw))

    return damage


def cut(share: float) -> Callable[[Path], None]:
    """The beginning of the file only."""

    def damage(path: Path) -> None:
        raw = path.read_bytes()
        path.write_bytes(raw[: int(len(raw) * share)])

    return damage


def pragma(sql: str) -> Callable[[Path], None]:
    """Another number in the file's header."""

    def damage(path: Path) -> None:
        connection = apsw.Connection(str(path))
        connection.execute(sql)
        connection.close()

    return damage


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a bit of a channel's record": (flip(b"channel/"), "damaged"),
    "a bit of the node's record": (flip(b"node"), "damaged"),
    "half a file": (cut(0.5), "damaged"),
    "the first page only": (lambda path: path.write_bytes(path.read_bytes()[:4096]), "damaged"),
    "a few bytes": (lambda path: path.write_bytes(path.read_bytes()[:100]), ""),
    "something else": (lambda path: path.write_bytes(b"no database at all " * 1000), ""),
    "zeros": (lambda path: path.write_bytes(bytes(path.stat().st_size)), ""),
    "a newer layout": (pragma("pragma user_version = 2"), "newer"),
    "another program's file": (pragma("pragma application_id = 7"), ""),
}


@pytest.mark.parametrize("what", DAMAGES)
async def test_a_damaged_or_foreign_journal_file(scene: Scene, what: str) -> None:
    """A node that started with less than it knew could lose every channel: it does not start, and changes nothing."""
    damage, word = DAMAGES[what]
    directory = scene.copy("victim")
    damage(directory / files.STORE_FILE)
    await scene.refused(directory, files.STORE_FILE, word)


async def spoiled(scene: Scene, name: str, record: bytes) -> Path:
    """A copy of alice's directory whose channel's journal ends with this record."""
    directory = scene.copy(name)
    store = SqliteStore(directory / files.STORE_FILE)
    epoch = await store.open()
    journal = f"channel/{scene.channel_id}"
    (stored,) = [one for one in store.load() if one.journal == journal]
    append = Append(journal, stored.position + len(stored.records) + 1, [record])
    assert await written(store, epoch, append) is None
    await store.close()
    return directory


async def test_records_of_a_newer_version(scene: Scene) -> None:
    """They may mean something for every channel: which journal, and what to do; no record changes."""
    directory = await spoiled(scene, "victim", b"\x91\xcc\xfa")
    before = read_journals(directory / files.STORE_FILE)
    others = {name: raw for name, raw in content(directory).items() if not name.startswith(files.STORE_FILE)}
    with pytest.raises(CommandRejected) as caught:
        await scene.world.make(directory.name, disk=True).start()
    assert caught.value.code == "bad_journal"
    for word in (f"channel/{scene.channel_id}", "Nothing was changed", "newer version"):
        assert word in caught.value.what
    assert read_journals(directory / files.STORE_FILE) == before
    now = {name: raw for name, raw in content(directory).items() if not name.startswith(files.STORE_FILE)}
    assert now == others


@pytest.mark.parametrize("record", [b"", b"\xff" * 20, b"\x63\x90", bytes(100)])
async def test_records_that_nobody_can_read_cost_their_channel(scene: Scene, record: bytes) -> None:
    """Nonsense came from somewhere: the channel is not started, an alarm names it, everything else goes on."""
    directory, journal = await spoiled(scene, "victim", record), f"channel/{scene.channel_id}"
    before = [one for one in read_journals(directory / files.STORE_FILE) if one.journal == journal]
    node = await scene.world.start(directory.name, disk=True)
    assert any(journal in alarm and "not started" in alarm for alarm in (await node.info()).alarms)
    assert await node.channels() == []
    await node.new_address()
    await scene.world.stop(directory.name)
    assert [one for one in read_journals(directory / files.STORE_FILE) if one.journal == journal] == before


async def test_a_journal_that_another_one_names_is_missing(tmp_path: Path) -> None:
    """bob forwards between two channels; one of the journals is gone while the other still needs it."""
    async with world(tmp_path) as made:
        alice, bob, carol = await made.start("alice"), await made.start("bob", disk=True), await made.start("carol")
        first = await made.channel(alice, bob)
        await made.channel(bob, carol)
        held = await carol.create_invoice(1_000_000, "", payment_hash="ab" * 32)
        await alice.pay(held.invoice)
        await until(lambda: [one for one in carol.core.manager.claimables.values() if one.parts])
        await made.stop("bob")
        store = SqliteStore(tmp_path / "bob" / files.STORE_FILE)
        epoch = await store.open()
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        store.drop(epoch, JournalId(f"channel/{first}"), done.set_result)
        assert await done is None
        await store.close()
        with pytest.raises(CommandRejected, match="restore the whole data directory") as caught:
            await made.make("bob", disk=True).start()
        assert caught.value.code == "bad_journal"
        assert first in caught.value.what


# --- keys, marks, networks ------------------------------------------------------------------------------------------


async def test_the_key_file_is_missing_or_another_ones(scene: Scene) -> None:
    """Journals and seed belong together."""
    directory = scene.copy("no key")
    (directory / files.KEY_FILE).unlink()
    error = await scene.refused(directory, files.KEY_FILE, "restore")
    assert isinstance(error, CommandRejected)
    assert error.code == "key_file_missing"
    other = await scene.world.start("other", disk=True)
    await scene.world.stop("other")
    del other
    directory = scene.copy("wrong key")
    shutil.copy(scene.directory.parent / "other" / files.KEY_FILE, directory / files.KEY_FILE)
    journals = read_journals(directory / files.STORE_FILE)
    with pytest.raises(CommandRejected, match="key file") as caught:
        await scene.world.make("wrong key", disk=True).start()
    assert caught.value.code == "wrong_seed"
    assert read_journals(directory / files.STORE_FILE) == journals


async def test_a_damaged_mark_file(scene: Scene) -> None:
    """The second place guards against old copies: without it a start could cost money, so somebody has to look."""
    directory = scene.copy("bad mark")
    (directory / files.MARK_FILE).write_bytes(b'{"epoch": 3} 0011223344556677')
    with pytest.raises(StorageBroken, match="old copy") as caught:
        await scene.world.make("bad mark", disk=True).start()
    assert files.MARK_FILE in str(caught.value)


async def test_a_lost_store_is_not_a_new_node(scene: Scene) -> None:
    """A start from nothing would forget the channels, and with the next mark nobody would ever know."""
    directory = scene.copy("lost")
    mark = directory / files.MARK_FILE
    MarkFile(mark).write(3, {"node": 9, "channel/" + "ab" * 32: 7})
    marked = mark.read_bytes()
    for path in directory.glob(files.STORE_FILE + "*"):
        path.unlink()
    for _ in range(2):
        node = scene.world.make("lost", disk=True)
        with pytest.raises(StorageBroken, match="1 channel") as caught:
            await node.start()
        await node.aclose()
        assert "--restore" in str(caught.value)
        assert mark.read_bytes() == marked


async def test_a_channel_lost_with_an_old_copy_stays_known(scene: Scene) -> None:
    """The mark is written anew at once: what it alone knows must not be forgotten by that."""
    directory = scene.copy("older")
    lost = "channel/" + "ab" * 32
    mark = MarkFile(directory / files.MARK_FILE)
    mark.write(3, {lost: 7})
    for _ in range(2):
        node = scene.world.make("older", disk=True)
        await node.start()
        assert [one for one in (await node.info()).alarms if one.startswith(lost)]
        await node.aclose()
        kept = mark.read()
        assert kept is not None
        assert kept.positions[lost] == 7


async def test_another_network(scene: Scene) -> None:
    """A data directory belongs to one network, and so must the chain service."""
    directory = scene.copy("elsewhere")
    journals = read_journals(directory / files.STORE_FILE)
    chain = MemoryChainSource(MemoryChain(MAINNET))
    for options in ({"settings": {"network": "mainnet"}, "chain": chain}, {"chain": chain}):
        with pytest.raises(CommandRejected) as caught:
            await scene.world.make("elsewhere", disk=True, **options).start()
        assert caught.value.code in ("wrong_network", "wrong_seed", "key_file_of_another_network")
        assert len(caught.value.what) > 40
        assert read_journals(directory / files.STORE_FILE) == journals


# --- who else is there ----------------------------------------------------------------------------------------------


async def test_a_second_node_on_the_data_directory(scene: Scene) -> None:
    """Two live copies of one node lose money; the first one notices nothing."""
    alice = await scene.world.start("alice", disk=True)
    before, epoch = fingerprint(alice), alice.core.runtime.epoch
    with pytest.raises(StorageFenced, match="in use by another process") as caught:
        await scene.world.make("alice", disk=True).start()
    assert str(scene.directory) in str(caught.value)
    assert "stop it first" in str(caught.value)
    assert (fingerprint(alice), alice.core.runtime.epoch) == (before, epoch)
    await alice.new_address()


async def test_the_port_is_taken_at_the_start(scene: Scene) -> None:
    """Nothing is begun, and the sentence says which setting to change."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        before = read_journals(scene.directory / files.STORE_FILE)
        node = scene.world.make("alice", disk=True, settings={"listen": (f"127.0.0.1:{port}",)})
        with pytest.raises(CommandRejected, match=f"127.0.0.1:{port}") as caught:
            await node.start()
        assert caught.value.code == "cannot_listen"
        assert "listen" in caught.value.what
        assert read_journals(scene.directory / files.STORE_FILE) == before


async def test_the_port_is_taken_by_the_time_it_is_needed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node lives, says so, goes on without it, and takes the port when it is free again."""

    async def unchecked(_host: str, _port: int) -> None:
        pass

    monkeypatch.setattr(node_module, "check_can_listen", unchecked)
    monkeypatch.setattr(node_module, "LISTEN_RETRY_SECONDS", 0.05)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        node = scene.world.make("alice", disk=True, settings={"listen": (f"127.0.0.1:{port}", "127.0.0.1:0")})
        scene.world.nodes["alice"] = node
        await node.start()
        await until(lambda: node.core.listening and node.core.alarms)
        (alarm,) = (await node.info()).alarms
        assert str(port) in alarm
    await until(lambda: len(node.core.listening) == 2)
    assert not (await node.info()).alarms


# --- old copies -----------------------------------------------------------------------------------------------------


class Aged(msgspec.Struct):
    """alice's directory is the copy of an earlier hour; bob has gone on."""

    world: World
    directory: Path
    channel_id: str
    bob: Node


@pytest.fixture
async def aged(tmp_path: Path) -> AsyncIterator[Aged]:
    """See `Aged`. The mark is as young as the newest state."""
    async with world(tmp_path) as made:
        alice, bob = await made.start("alice", disk=True), await made.start("bob")
        channel_id = await made.channel(alice, bob, push_msat=300_000_000)
        await made.stop("alice")
        shutil.copytree(tmp_path / "alice", tmp_path / "old")
        alice = await made.start("alice", disk=True)
        await until(lambda: alice.core.manager.channels[bytes.fromhex(channel_id)].state.session.reestablished)
        for _ in range(3):
            assert (await pay(alice, bob)).status == "succeeded"
        positions = {name: tail.durable for name, tail in alice.core.runtime.outbox.tails.items()}
        await made.stop("alice")
        MarkFile(tmp_path / "alice" / files.MARK_FILE).write(9, positions)
        shutil.copy(tmp_path / "old" / files.STORE_FILE, tmp_path / "alice" / files.STORE_FILE)
        yield Aged(made, tmp_path / "alice", channel_id, bob)


async def _recovers(aged: Aged, alice: Node) -> None:
    """alice asks bob to close and never publishes what would cost her everything."""
    slot = alice.core.manager.channels[bytes.fromhex(aged.channel_id)]
    await until(lambda: slot.state.core.stale)
    with pytest.raises(CommandRejected) as caught:
        await alice.close(aged.channel_id, force=True)
    assert caught.value.code == "data_loss"
    mine = slot.state.core.opened.funding_txid
    published = await until(lambda: [tx for tx in aged.world.chain.pool.values() if tx.inputs[0].prevout.txid == mine])
    theirs = aged.bob.core.manager.channels[bytes.fromhex(aged.channel_id)]
    assert theirs.state.core.closing is not None, "bob closed it"
    assert len(published) == 1
    assert slot.state.core.closing is None, "alice did not"


async def test_an_old_copy_is_known_by_the_mark(aged: Aged) -> None:
    """The second place knows better, before anybody is met: alarms, and recovery instead of business."""
    alice = await aged.world.start("alice", disk=True)
    alarms = (await alice.info()).alarms
    assert [one for one in alarms if f"channel/{aged.channel_id}" in one]
    assert all("old copy" in one for one in alarms)
    assert [view.state for view in await alice.channels()] == ["stale"]
    await _recovers(aged, alice)


async def test_an_old_copy_is_known_by_the_peer(aged: Aged) -> None:
    """Both places restored: only the peer can tell, and it proves it with a secret of ours."""
    shutil.copy(aged.directory.parent / "old" / files.MARK_FILE, aged.directory / files.MARK_FILE)
    alice = await aged.world.start("alice", disk=True)
    await _recovers(aged, alice)
    assert (await event_of(alice, "channel_data_loss")).fields["channel_id"] == aged.channel_id


async def test_a_mark_that_cannot_be_written_is_told_and_stops_nothing(scene: Scene) -> None:
    """It guards against old copies alone; without it the node still works."""
    directory = scene.copy("unmarked")
    (directory / (files.MARK_FILE + ".new")).mkdir()
    node = scene.world.make("unmarked", disk=True)
    await node.start()
    while not (alarms := [one for one in (await node.info()).alarms if files.MARK_FILE in one]):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert "check the disk" in alarms[0]
    await node.aclose()
