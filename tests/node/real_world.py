"""Real nodes over real TCP, with a chain in memory: what hostile peers and broken stores are let loose on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from leyden.base.errors import CommandRejected
from leyden.bitcoin.address import decode_address
from leyden.bitcoin.networks import REGTEST
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut
from leyden.channel.snapshot import encode_core
from leyden.crypto.hashes import sha256
from leyden.drivers.chain.memory import MemoryChain, MemoryChainSource
from leyden.drivers.storage.memory import MemoryDisk, MemoryStore
from leyden.manager.node_snapshot import encode_node_snapshot
from leyden.node import describe
from leyden.node.node import Node
from leyden.node.settings import ChannelSettings, NodeConfig
from leyden.node.views import ChannelView, PaymentView
from leyden.ports.store import Store
from leyden.signer.in_memory import InMemorySigner

WAIT_SECONDS = 20
"""Never waited for: the bound after which a test that hangs fails."""
COIN_SAT = 100_000_000
STRANGERS: dict[Any, None] = {}
"""Peers that tests have made, so that a world leaves none of them behind."""


async def until(condition: Callable[[], Any], what: str = "") -> Any:
    """Wait until `condition` gives something true (or, if it raises AssertionError, no longer does); return it."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            found = condition()
            if isinstance(found, Awaitable):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.002)
    raise AssertionError(what)


def config(directory: Path, **changes: Any) -> NodeConfig:
    """A node that listens at any free port and takes channels after one confirmation."""
    fields: dict[str, Any] = {
        "data_dir": str(directory),
        "alias": directory.name,
        "listen": ("127.0.0.1:0",),
        "channels": ChannelSettings(minimum_depth=1),
    }
    return NodeConfig(**(fields | changes))


class World:
    """A chain, and nodes that look at it. The first coinbases belong to nobody: anybody here may spend them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.chain = MemoryChain(REGTEST)
        self.nodes: dict[str, Node] = {}
        self.disks: dict[str, MemoryDisk] = {}
        self.coins = [OutPoint(block.txids[0], 0) for block in self.chain.mine(100, b"\x51")]
        self.chain.mine(100, b"\x51")

    async def start(self, name: str, *, store: Store | None = None, disk: bool = False, **options: Any) -> Node:
        """Start a node and wait until it listens. disk: journals and key in a directory, else in memory."""
        node = self.make(name, store=store, disk=disk, **options)
        await node.start()
        self.nodes[name] = node
        await until(lambda: node.core.listening, f"{name} listens")
        return node

    def make(self, name: str, *, store: Store | None = None, disk: bool = False, **options: Any) -> Node:
        """A node that is not started. settings: changes to its configuration."""
        settings = options.pop("settings", {})
        options.setdefault("chain", MemoryChainSource(self.chain))
        if not disk:
            options.setdefault("signer", InMemorySigner(sha256(name.encode()), REGTEST))
            store = store or MemoryStore(self.disks.setdefault(name, MemoryDisk()))
        return Node(config(self.directory / name, **settings), store=store, **options)

    async def stop(self, name: str) -> None:
        """Stop a node."""
        await self.nodes.pop(name).aclose()

    async def close(self) -> None:
        """Stop all nodes."""
        for name in list(self.nodes):
            await self.stop(name)
        while STRANGERS:
            await next(iter(STRANGERS)).leave()

    def spend_coin(self, *outputs: TxOut) -> Transaction:
        """A transaction of a coin that belongs to nobody, not published."""
        return Transaction(2, (TxIn(self.coins.pop(0), b"", 0xFFFFFFFF, (b"\x01",)),), outputs, 0)

    async def fund(self, node: Node, amount_sat: int = COIN_SAT) -> None:
        """Give a node a confirmed coin."""
        script = decode_address((await node.new_address()).address, REGTEST)
        self.chain.offer(self.spend_coin(TxOut(amount_sat, script)))
        await self.mine(1)

    async def mine(self, count: int) -> None:
        """Mine blocks; return when every node that follows the chain has seen them."""
        self.chain.mine(count, b"\x51")
        await until(lambda: all(node.core.best_hash == self.chain.tip.hash for node in self.nodes.values()))
        await self.rest()

    async def rest(self) -> None:
        """Let every node write what it still has to write (the best block comes last)."""
        for _ in range(2):
            for node in self.nodes.values():
                if node.core.runtime.broken is None and not node.core.runtime.store_status:
                    await node.core.all_durable()

    async def connect(self, one: Node, other: Node) -> None:
        """Connect two nodes."""
        host, _, port = other.core.listening[0].rpartition(":")
        await one.connect(other.core.manager.node_id.hex(), host, int(port))

    async def channel(self, opener: Node, accepter: Node, amount_sat: int = 1_000_000, push_msat: int = 0) -> str:
        """Fund and open a channel, and wait until both can use it; return its channel_id."""
        await self.fund(opener)
        await self.connect(opener, accepter)
        opened = await opener.open_channel(accepter.core.manager.node_id.hex(), amount_sat, push_msat)
        await self.mine(1)
        for node in (opener, accepter):
            await until(partial(settled, node, opened.channel_id))
        await self.rest()
        return opened.channel_id


def channel_view(node: Node, channel_id: str) -> ChannelView:
    """The channel as the node shows it, without waiting for the store."""

    return describe.channel_view(node.core, node.core.manager.channels[bytes.fromhex(channel_id)], {})


def usable(node: Node, channel_id: str) -> bool:
    """Whether the node would use the channel now."""
    slot = node.core.manager.channels.get(bytes.fromhex(channel_id))
    return slot is not None and channel_view(node, channel_id).is_usable


def settled(node: Node, channel_id: str) -> bool:
    """Whether the channel is usable and the peer's policy is known: nothing more follows from opening it."""
    slot = node.core.manager.channels.get(bytes.fromhex(channel_id))
    return slot is not None and slot.state.core.peer_policy is not None and usable(node, channel_id)


async def pay(payer: Node, payee: Node, amount_msat: int = 1_000_000) -> PaymentView:
    """Pay an invoice and wait for the end."""
    invoice = await payee.create_invoice(amount_msat, "")
    started = await payer.pay(invoice.invoice)
    return await payer.wait_payment(started.payment_id, WAIT_SECONDS)


def fingerprint(node: Node) -> dict[str, Any]:
    """Everything that a node keeps: positions of its journals, states of its channels, payments, peers, wallet."""
    core = node.core
    manager = core.manager
    states = {slot.channel_id: encode_core(slot.state.core) for slot in manager.channels.values()}
    return {
        "positions": {name: tail.position for name, tail in core.runtime.outbox.tails.items()},
        "channels": states,
        "node": encode_node_snapshot(manager.node, core.wallet.snapshot()),
        "openings": {peer.node_id: len(peer.openings) for peer in manager.peers.values() if peer.openings},
        "claimables": dict(manager.claimables),
        "faults": list(manager.faults),
        "halted": {slot.channel_id: slot.halted for slot in manager.channels.values() if slot.halted},
        "events": list(manager.events),
    }


async def refused(node: Node, code: str, call: Callable[..., Awaitable[Any]], *arguments: Any, **options: Any) -> str:
    """Assert that a call is refused with this code and a sentence, and changes nothing; return the sentence."""
    before = fingerprint(node)
    with pytest.raises(CommandRejected) as caught:
        await call(*arguments, **options)
    rejected, after = caught.value, fingerprint(node)
    assert rejected.code == code, f"{rejected.code}: {rejected.what}"
    assert 15 < len(rejected.what) < 400, "a sentence, and not the whole input"
    assert "b'" not in rejected.what, "no raw bytes"
    assert after == before, [key for key, value in before.items() if after[key] != value]
    return rejected.what


@asynccontextmanager
async def world(directory: Path) -> AsyncIterator[World]:
    """A world that is torn down afterwards."""
    made = World(directory)
    try:
        yield made
    finally:
        await made.close()
