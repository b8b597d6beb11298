"""A regtest service, a `BitcoindChainSource` that follows it, and what it reported."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

from leyden.bitcoin.address import encode_address
from leyden.bitcoin.networks import REGTEST
from leyden.bitcoin.script import p2wsh_of_script
from leyden.bitcoin.tx import txid_from_hex
from leyden.drivers.chain.bitcoind import BitcoindChainSource, BitcoindSettings
from leyden.drivers.chain.rpc import CookieFile, UserPassword
from leyden.ports.chain import BlockConnected, BlockRef, BlocksDisconnected, ChainEvent, ChainSource
from leyden.regtest.service import RegtestService

ANYBODY = p2wsh_of_script(b"\x51")
GENESIS = BlockRef(0, REGTEST.chain_hash)


def settings_for(service: RegtestService, credentials: UserPassword | CookieFile | None = None) -> BitcoindSettings:
    """Settings that reach a service, impatient ones."""
    return BitcoindSettings(
        port=service.port,
        credentials=credentials or CookieFile(service.cookie_path),
        network=REGTEST,
        poll_interval_s=0.002,
        timeout_s=20,
        retry_first_s=0.002,
        retry_last_s=0.01,
    )


class ChainWorld:
    """See the module."""

    def __init__(self, service: RegtestService) -> None:
        """Make the driver; nothing is asked yet."""
        self.service = service
        self.statuses: list[tuple[bool, str]] = []
        self.reported = asyncio.Event()
        self.source = BitcoindChainSource(settings_for(service), self.on_status)

    def on_status(self, ok: bool, why: str) -> None:
        """Note what the driver says."""
        self.statuses.append((ok, why))
        self.reported.set()

    async def rpc(self, method: str, *params: object) -> Any:
        """Call the service inside this process."""
        return await self.service.call(method, *params)

    async def mine(self, count: int, script_pubkey: bytes = ANYBODY) -> list[bytes]:
        """Mine blocks; return their hashes."""
        mined = await self.rpc("generatetoaddress", count, encode_address(script_pubkey, REGTEST))
        return [txid_from_hex(text) for text in cast("list[str]", mined)]

    async def height(self) -> int:
        """The height of the service's tip."""
        return cast("int", await self.rpc("getblockcount"))

    async def leave(self, depth: int) -> None:
        """Shut the last `depth` blocks out."""
        height = await self.height()
        await self.rpc("invalidateblock", await self.rpc("getblockhash", height + 1 - depth))

    async def close(self) -> None:
        """Close the driver."""
        await self.source.close()


class Walk:
    """A caller of `follow` that checks what every caller relies on."""

    def __init__(self, source: ChainSource, start: BlockRef = GENESIS) -> None:
        """Begin at a block."""
        self.events: AsyncIterator[ChainEvent] = source.follow(start.height, start.hash)
        self.chain = {start.height: start.hash}
        self.at = start

    async def next(self) -> ChainEvent:
        """Take one event; a connected block must continue the last one, a fork must be a known block below."""
        event = await anext(self.events)
        match event:
            case BlockConnected(block=block):
                assert (block.height, block.prev_hash) == (self.at.height + 1, self.at.hash)
                assert block.txids == tuple(tx.txid() for tx in block.transactions)
                self.at = block.ref
                self.chain[block.height] = block.hash
            case BlocksDisconnected(fork_height=height, fork_hash=block_hash):
                assert height < self.at.height
                assert self.chain.get(height, block_hash) == block_hash
                self.at = BlockRef(height, block_hash)
        return event

    async def to(self, block_hash: bytes) -> list[ChainEvent]:
        """Take events until a block is reached."""
        events: list[ChainEvent] = []
        while self.at.hash != block_hash:
            events.append(await self.next())
        return events
