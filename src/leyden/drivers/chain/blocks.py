"""Reading the block chain of a JSON-RPC service: headers, blocks, forks. No answer is believed unchecked."""

import asyncio
from typing import Final, final

from leyden.base.errors import ChainUnavailable, CommandRejected, DecodeError
from leyden.bitcoin.block import BlockHeader
from leyden.bitcoin.tx import txid_from_hex, txid_to_hex
from leyden.drivers.chain.rpc import MISC_ERROR, NOT_FOUND, OUT_OF_RANGE, RpcClient, RpcRefused, member
from leyden.ports.chain import BlockData, BlockRef

_PARSE_IN_THREAD_BYTES: Final = 200_000
"""Above this, parsing takes milliseconds that the event loop should not lose."""


def parse_hash(value: object) -> bytes:
    """Return the 32 bytes (internal order) of a hash in an answer. Raises ChainUnavailable."""
    if isinstance(value, str):
        try:
            return txid_from_hex(value)
        except DecodeError:
            pass
    raise ChainUnavailable(f"chain service: {str(value)[:80]!r} is not a hash")


def parse_hex(value: object) -> bytes:
    """Return the bytes of hex in an answer. Raises ChainUnavailable."""
    if isinstance(value, str):
        try:
            return bytes.fromhex(value)
        except ValueError:
            pass
    raise ChainUnavailable("chain service: an answer is not hexadecimal")


@final
class BlockReader:
    """Blocks and headers of the service behind `rpc`."""

    def __init__(self, rpc: RpcClient) -> None:
        self._rpc = rpc

    async def best_hash(self) -> bytes:
        """Return the 32-byte hash of the tip."""
        return parse_hash(await self._rpc.call("getbestblockhash"))

    async def height_of(self, block_hash: bytes) -> int:
        """Return the height of a block that the service knows, on whatever branch."""
        height = member(await self._rpc.call("getblockheader", txid_to_hex(block_hash), True), "height")
        if not isinstance(height, int) or isinstance(height, bool) or not 0 <= height < 1 << 31:
            raise ChainUnavailable("chain service: a block header without a height")
        return height

    async def tip(self) -> BlockRef:
        """Return the tip: one that was it a moment ago."""
        block_hash = await self.best_hash()
        return BlockRef(await self.height_of(block_hash), block_hash)

    async def hash_at(self, height: int) -> bytes | None:
        """Return the hash of the block at a height of the best chain, None above the tip."""
        try:
            return parse_hash(await self._rpc.call("getblockhash", height))
        except RpcRefused as error:
            if error.code == OUT_OF_RANGE:
                return None
            raise

    async def hashes(self, first: int, last: int) -> list[bytes]:
        """Return the hashes at heights `first` to `last` of the best chain, in one round trip."""
        found = await self._rpc.batch("getblockhash", [[height] for height in range(first, last + 1)])
        return [parse_hash(value) for value in found]

    async def previous_hash(self, block_hash: bytes) -> bytes | None:
        """Return the hash before a block, on whatever branch; None when the service does not know the block."""
        try:
            raw = parse_hex(await self._rpc.call("getblockheader", txid_to_hex(block_hash), False))
            header = BlockHeader.parse(raw)
        except RpcRefused as error:
            if error.code == NOT_FOUND:
                return None
            raise
        except DecodeError as error:
            raise ChainUnavailable(f"chain service: header of {txid_to_hex(block_hash)}: {error}") from None
        if header.hash() != block_hash:
            raise ChainUnavailable(f"chain service: another header than that of {txid_to_hex(block_hash)}")
        return header.previous_hash

    async def block(self, height: int, block_hash: bytes) -> BlockData:
        """Return a whole block, checked against its hash and its merkle root.

        Raises:
            CommandRejected: the service has pruned it (code `block_pruned`).
            ChainUnavailable: as every call, and for a block that is damaged.
        """
        try:
            raw = parse_hex(await self._rpc.call("getblock", txid_to_hex(block_hash), 0))
        except RpcRefused as error:
            if error.code == MISC_ERROR and "pruned" in error.message.lower():
                what = (
                    f"the chain service has pruned block {height} away, which this node still has to read: "
                    "connect to one that keeps it (prune=0)"
                )
                raise CommandRejected(what, code="block_pruned") from None
            raise
        try:
            if len(raw) > _PARSE_IN_THREAD_BYTES:
                return await asyncio.to_thread(BlockData.parse, height, block_hash, raw)
            return BlockData.parse(height, block_hash, raw)
        except DecodeError as error:
            raise ChainUnavailable(f"chain service: block {height} is damaged: {error}") from None
