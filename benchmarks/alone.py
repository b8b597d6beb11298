"""The shipped node over a real store, with nobody around: no peers, and a chain service that takes what it is given."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from leyden.bitcoin.networks import REGTEST
from leyden.bitcoin.tx import Transaction
from leyden.crypto.hashes import sha256
from leyden.drivers.storage.sqlite import SqliteStore
from leyden.journal.node_codec import encode_node_record
from leyden.manager import rebuild
from leyden.manager.actions import Action
from leyden.manager.config import ManagerConfig
from leyden.manager.manager import Manager
from leyden.node import actions, boot
from leyden.node.clock import LoopScheduler, random32
from leyden.node.core import NodeCore
from leyden.node.runtime import Runtime
from leyden.node.settings import NodeConfig
from leyden.ports.chain import BroadcastResult, ChainSource
from leyden.signer.in_memory import InMemorySigner
from leyden.wallet.keys import AccountSigner
from leyden.wallet.state import fold as fold_wallet_record
from leyden.wallet.wallet import Wallet, creation_record

TURNS = 8
"""More than it takes from a claim that asks for coins to its answer."""


class TakesAll:
    """The part of a chain service that takes transactions. taken: serialised, with the time at which each one came."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, float]] = []

    async def broadcast(self, raw_tx: bytes) -> BroadcastResult:
        """Take a transaction."""
        return await self.broadcast_package([raw_tx])

    async def broadcast_package(self, raw_transactions: Sequence[bytes]) -> BroadcastResult:
        """Take a package."""
        self.taken += [(raw, time.perf_counter()) for raw in raw_transactions]
        return BroadcastResult(accepted=True, already_known=False, reject_reason="")


class Alone:
    """A node that has just started from the journals at `path`, at a height of the chain."""

    def __init__(self, path: Path, signer: InMemorySigner) -> None:
        logging.getLogger("leyden").addHandler(logging.NullHandler())
        self.chain = TakesAll()
        self.store = SqliteStore(path)
        self._signer = signer

    async def start(self, height: int, prepare: Callable[[Manager], object] = lambda _manager: None) -> None:
        """Open the store, fold it, and begin to decide. prepare: what the manager learns first."""
        signer, config = self._signer, NodeConfig(data_dir="")
        epoch = await self.store.open()
        folded = boot.fold_store(self.store, signer, REGTEST)
        manager = boot.make_manager(ManagerConfig(REGTEST), signer, folded, random32)
        manager.set_env(block_height=height)
        wallet_state, wallet_signer = boot.fold_wallet(folded), AccountSigner(signer.wallet_account)
        created = None
        if wallet_state.created is None:
            created = creation_record(REGTEST, wallet_signer, height, restored=False)
            fold_wallet_record(wallet_state, created)
            manager.outbox.append(manager.node_tail, encode_node_record(created))
        wallet = Wallet(REGTEST, wallet_signer, wallet_state, height)
        self.runtime = Runtime(manager, wallet, self.store, epoch, LoopScheduler(), self._on_action)
        self.core = NodeCore(config, self.runtime, wallet, cast("ChainSource", self.chain), random32)
        prepare(manager)
        self.runtime.run(rebuild.start)
        await self.core.all_durable()
        await self.rest()

    def _on_action(self, action: Action) -> None:
        actions.carry_out(self.core, action)

    async def see_block(self, height: int, transactions: Sequence[Transaction] = ()) -> float:
        """Take in a block, and do all that follows; return when it began, by `time.perf_counter`."""
        txids = [one.txid() for one in transactions]
        begun = time.perf_counter()
        self.runtime.on_block(height, sha256(b"block %d" % height), transactions, txids, is_tip=True)
        await self.rest()
        return begun

    async def rest(self) -> None:
        """Let everything run that can run now."""
        still = 0
        while still < TURNS:
            seen = len(self.chain.taken)
            await asyncio.sleep(0)
            still = still + 1 if len(self.chain.taken) == seen else 0

    async def stop(self) -> None:
        """Close the store."""
        manager = self.runtime.manager
        assert not manager.faults, manager.faults
        assert self.runtime.broken is None, self.runtime.broken
        await self.core.all_durable()
        await self.rest()
        await self.core.cancel_tasks()
        await self.store.close()
