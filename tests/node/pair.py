"""Two real nodes in one process, over a chain and a network in memory: what the edges above a node are tested with."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from leyden.base.ids import NodeId
from leyden.bitcoin.address import decode_address
from leyden.bitcoin.networks import REGTEST
from leyden.drivers.chain.memory import MemoryChain, MemoryChainSource
from leyden.drivers.net.memory import MemoryNetwork
from leyden.drivers.storage.memory import MemoryDisk, MemoryStore
from leyden.node.control import NodeControl
from leyden.node.node import Node
from leyden.node.settings import NodeConfig
from leyden.node.views import ChannelOpening, EventView
from leyden.ports.store import Store

WAIT_SECONDS = 60
"""Never waited for: only the bound after which a test that hangs fails."""


class Pair(msgspec.Struct):
    """alice keeps her journals in a directory, bob in memory; both look at one chain."""

    alice: Node
    bob: Node
    chain: MemoryChain

    async def fund(self) -> None:
        """Give alice ten coins that she can spend."""
        script = decode_address((await self.alice.new_address()).address, REGTEST)
        self.chain.mine(10, script)
        self.chain.mine(100, bytes(22))
        await self.chain_seen()
        assert (await self.alice.balance()).spendable_sat > 0

    async def chain_seen(self) -> None:
        """Wait until both nodes know the tip."""
        async with asyncio.timeout(WAIT_SECONDS):
            for node in (self.alice, self.bob):
                while (await node.info()).block_height < self.chain.tip.height:  # noqa: ASYNC110 - no event says it
                    await asyncio.sleep(0)

    async def connect(self) -> str:
        """Connect alice to bob; return bob's node_id."""
        info = await self.bob.info()
        host, _, port = info.listening[0].rpartition(":")
        await self.alice.connect(info.node_id, host, int(port))
        return info.node_id

    async def open(self, amount_sat: int = 1_000_000, push_msat: int = 0) -> ChannelOpening:
        """Open a channel from alice to bob and wait until both can use it."""
        node_id = await self.connect()
        opening = await self.alice.open_channel(node_id, amount_sat, push_msat)
        self.chain.mine(6, bytes(22))
        for node in (self.alice, self.bob):
            await event_of(node, "channel_ready")
        return opening


async def event_of(node: NodeControl, kind: str) -> EventView:
    """Wait for an event of a node and acknowledge it."""
    last: str | None = None
    while True:
        for event in await node.events(last, WAIT_SECONDS):
            last = event.event_id
            if event.type == kind:
                await node.acknowledge_event(event.event_id)
                return event


def make_node(directory: Path, chain: MemoryChain, network: MemoryNetwork, store: Store | None) -> Node:
    """A node that is not started yet; store None: SQLite in `directory`."""
    return Node(
        NodeConfig(data_dir=str(directory), alias=directory.name, listen=("127.0.0.1:0",)),
        store=store,
        chain=MemoryChainSource(chain),
        make_transport=lambda signer, handler: network.transport(NodeId(signer.node_id), handler),
    )


@asynccontextmanager
async def pair(directory: Path) -> AsyncIterator[Pair]:
    """Start both nodes, and stop them afterwards."""
    chain, network = MemoryChain(REGTEST), MemoryNetwork()
    alice = make_node(directory / "alice", chain, network, None)
    bob = make_node(directory / "bob", chain, network, MemoryStore(MemoryDisk()))
    async with alice, bob:
        both = Pair(alice, bob, chain)
        async with asyncio.timeout(WAIT_SECONDS):
            while not all([(await node.info()).listening for node in (alice, bob)]):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0)
        yield both


async def _live(directory: Path) -> str:
    async with pair(directory) as both:
        await both.fund()
        opening = await both.open(1_000_000, push_msat=300_000_000)
        invoice = await both.bob.create_invoice(25_000_000, "coffee")
        await both.alice.wait_payment((await both.alice.pay(invoice.invoice)).payment_id)
    return opening.channel_id


def live_and_stop(directory: Path) -> str:
    """Let alice open a channel and pay once, stop her; return the channel_id. Her journals are in `directory/alice`."""
    return asyncio.run(_live(directory))
