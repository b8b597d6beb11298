"""Who does not hold the fence of a store acts on nothing: shown with the store and the run loop that are shipped."""

import asyncio
from pathlib import Path
from typing import NoReturn, cast

import pytest

from leyden.base.errors import StorageFenced
from leyden.bitcoin.networks import REGTEST
from leyden.bitcoin.tx import Transaction
from leyden.crypto.hashes import sha256
from leyden.drivers.storage.memory import MemoryDisk, MemoryStore
from leyden.drivers.storage.sqlite import SqliteStore
from leyden.drivers.storage.sqlite_reader import SqliteReader
from leyden.drivers.storage.switchable import SwitchableStore
from leyden.manager import rebuild
from leyden.manager.actions import Action, Broadcast, Report
from leyden.manager.config import ManagerConfig
from leyden.manager.manager import Manager
from leyden.node import boot, files, journals
from leyden.node.clock import LoopScheduler, random32
from leyden.node.node import Node
from leyden.node.runtime import Runtime
from leyden.node.settings import NodeConfig
from leyden.ports.chain import ChainSource
from leyden.ports.store import Append
from leyden.signer.in_memory import InMemorySigner
from leyden.sim.cheating import old_commitment
from leyden.sim.node import SimNode
from leyden.wallet.keys import AccountSigner
from leyden.wallet.wallet import Wallet
from tests.hazards import endings
from tests.node.pair import pair


class Life:
    """A run loop over a store that is open, without peers. actions: all that left it."""

    def __init__(self, store: SqliteStore, epoch: int, node: SimNode, height: int) -> None:
        signer = InMemorySigner(node.seed, REGTEST)
        folded = boot.fold_store(store, signer, REGTEST)
        manager = boot.make_manager(ManagerConfig(REGTEST), signer, folded, random32)
        manager.set_env(block_height=height)
        wallet = Wallet(REGTEST, AccountSigner(signer.wallet_account), boot.fold_wallet(folded), height)
        self.actions: list[Action] = []
        self.runtime = Runtime(manager, wallet, store, epoch, LoopScheduler(), self.actions.append)
        self.runtime.run(rebuild.start)

    async def see_block(self, height: int, *transactions: Transaction) -> None:
        """Take in a block, and wait for what the store says to that."""
        txids = [one.txid() for one in transactions]
        self.runtime.on_block(height, sha256(b"%d" % height), transactions, txids, is_tip=True)
        done = asyncio.get_running_loop().create_future()
        self.runtime.store.append(self.runtime.epoch, [], lambda _appends, _failure: done.set_result(None))
        await done
        await asyncio.sleep(0)

    def published(self) -> list[Transaction]:
        """What was published."""
        return [Transaction.parse(one.transaction) for one in self.actions if isinstance(one, Broadcast)]


async def cheated(path: Path) -> tuple[SimNode, Transaction, int]:
    """Write the journals of a node whose peer may cheat; return the node, the revoked commitment and the height."""
    stage = endings.held(endings.direct(), "bob")
    number = endings.core(stage, "bob", "alice").local.number
    endings.claim(stage, "bob")
    stage.seconds(3)
    alice, channel_id = stage["alice"], stage.slot("alice", "bob").channel_id
    store = SqliteStore(path)
    epoch = await store.open()
    for one in alice.disk.journals():
        assert not one.position
        store.append(epoch, [Append(one.journal, 1, one.records)], lambda _appends, _failure: None)
    await store.close()
    return alice, old_commitment(stage["bob"], channel_id, number), stage.world.chain.tip.height


async def test_life_whose_store_was_opened_again_publishes_no_claim(tmp_path: Path) -> None:
    """H88: the newer one punishes; a store that is only lost would have stopped no claim."""
    path = tmp_path / "journals.sqlite"
    alice, cheat, height = await cheated(path)
    store = SqliteStore(path)
    older = Life(store, await store.open(), alice, height)
    await older.see_block(height + 1)
    assert older.runtime.broken is None
    await store.close()
    newer = Life(store, await store.open(), alice, height)
    assert not older.runtime.is_fenced, "nobody has told it"
    await older.see_block(height + 2)
    assert isinstance(older.runtime.broken, StorageFenced)
    older.actions.clear()
    for life in (older, newer):
        await life.see_block(height + 3, cheat)
        await life.see_block(height + 4)
    assert {type(action) for action in older.actions} <= {Report}
    spent = {one.prevout.txid for transaction in newer.published() for one in transaction.inputs}
    assert spent == {cheat.txid()}
    await store.close()


# --- those who only look ----------------------------------------------------------------------------------------------


async def closing(directory: Path) -> str:
    """Leave journals in `directory/alice` whose channel closes; its commitment is in no block. Return its id."""
    async with pair(directory) as both:
        await both.fund()
        opening = await both.open()
        await both.alice.close(opening.channel_id, force=True)
    return opening.channel_id


def forbidden(*_args: object, **_named: object) -> NoReturn:
    """In the place of what must not be reached."""
    raise AssertionError("nothing is decided here")


def test_looking_into_journals_decides_nothing_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H88: no manager is made, so nothing can be published: not even the close that the journal holds."""
    channel_id = asyncio.run(closing(tmp_path))
    directory = tmp_path / "alice"
    before = (directory / files.STORE_FILE).read_bytes()
    for kind in (Manager, Runtime):
        monkeypatch.setattr(kind, "__init__", forbidden)
    assert {one.state for one in journals.list_journals(directory)} == {"", "ForceClosing"}
    assert journals.show(directory, channel_id, 1, None, "hide")
    assert [one.problem for one in journals.verify(directory)] == ["", ""]
    assert journals.fold_at(directory, channel_id, None, "hide")["state"] == "ForceClosing"
    assert (directory / files.STORE_FILE).read_bytes() == before


class Untouched:
    """A chain service that must not be asked."""

    def __getattr__(self, name: str) -> NoReturn:
        raise AssertionError(f"{name} is asked of the chain")


@pytest.mark.parametrize("whose", ["file", "given"])
async def test_node_without_the_fence_makes_no_manager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    """H88: the fence is taken before a record is read; who does not get it makes nothing and asks nobody."""
    await closing(tmp_path)
    monkeypatch.setattr(rebuild, "fold_journals", forbidden)
    monkeypatch.setattr(Manager, "__init__", forbidden)
    store = SwitchableStore(MemoryStore(MemoryDisk()))
    store.refuse(StorageFenced("another process has it"))
    config = NodeConfig(data_dir=str(tmp_path / "alice"))
    node = Node(config, chain=cast(ChainSource, Untouched()), store=store if whose == "given" else None)
    with SqliteReader(tmp_path / "alice" / files.STORE_FILE), pytest.raises(StorageFenced):
        await node.start()
