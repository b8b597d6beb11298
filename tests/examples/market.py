"""A chain, a customer with money, and a channel from the customer to whoever sells."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import leyden

CHANNEL_SAT = 1_000_000


def free_port() -> int:
    """A port that nobody uses, below those that outgoing connections take."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def config(directory: Path, chain: leyden.EmbeddedChain, **settings: object) -> leyden.NodeConfig:
    """A node at a port of its own."""
    return leyden.NodeConfig(
        data_dir=str(directory),
        listen=(f"127.0.0.1:{free_port()}",),
        bitcoind=chain.bitcoind,
        **settings,  # type: ignore[arg-type]
    )


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again; a test that waits in vain is ended by its time limit."""
    while True:
        if await holds():
            return
        await asyncio.sleep(0.01)


async def listening(node: leyden.Node) -> tuple[str, int]:
    """Wait until a node takes connections; return where."""

    async def listens() -> bool:
        return bool((await node.info()).listening)

    await until(listens)
    host, _, port = (await node.info()).listening[0].rpartition(":")
    return host, int(port)


async def usable(node: leyden.Node) -> None:
    """Wait until a node has a channel that can be used."""

    async def has_one() -> bool:
        channels = await node.channels()
        return any(channel.is_usable for channel in channels)

    await until(has_one)


async def open_channel(chain: leyden.EmbeddedChain, customer: leyden.Node, seller: leyden.Node) -> None:
    """Open a channel and wait until both ends can use it."""
    host, port = await listening(seller)
    await listening(customer)
    seller_id = (await seller.info()).node_id
    await customer.connect(seller_id, host, port)
    opening = await customer.open_channel(seller_id, CHANNEL_SAT)
    assert opening.funding_txid
    await chain.mine(6)
    await usable(customer)
    await usable(seller)


@asynccontextmanager
async def market(directory: Path) -> AsyncIterator[tuple[leyden.EmbeddedChain, leyden.Node]]:
    """Start a chain and a customer who has money."""
    async with (
        leyden.EmbeddedChain(directory / "chain") as chain,
        leyden.Node(config(directory / "customer", chain)) as customer,
    ):
        await chain.fund(customer)
        yield chain, customer
