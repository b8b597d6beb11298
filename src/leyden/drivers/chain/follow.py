"""Following the best chain of a service from any block, through reorganisations of any depth."""

from collections.abc import Mapping
from typing import Final, final

from leyden.base.errors import ChainUnavailable
from leyden.bitcoin.tx import txid_to_hex
from leyden.drivers.chain.blocks import BlockReader
from leyden.ports.chain import BlockConnected, BlockRef, BlocksDisconnected, ChainEvent

BLOCKS_AT_ONCE: Final = 8
"""Fetched before the caller sees the first: bounds memory, saves round trips."""
REMEMBERED_BLOCKS: Final = 4096


@final
class ChainFollower:
    """One walk along the chain. `step` either moves it, or changes nothing and raises."""

    def __init__(self, reader: BlockReader, start: BlockRef) -> None:
        self._reader = reader
        self._at = start
        # What this walk has seen, for services that forget their stale blocks: a hash to the one before it.
        self._seen: dict[bytes, bytes] = {}

    async def step(self) -> list[ChainEvent]:
        """Return what happened next, in order; empty at the tip.

        Raises:
            ChainUnavailable: no usable answer; or the service is behind us, or does not know our block.
            CommandRejected: a block was pruned away (code `block_pruned`).
        """
        best = await self._reader.best_hash()
        if best == self._at.hash:
            return []
        tip = BlockRef(await self._reader.height_of(best), best)
        if tip.height > self._at.height and await self._reader.hash_at(self._at.height) == self._at.hash:
            return await self._connect(tip)
        return [await self._disconnect(tip)]

    async def _connect(self, tip: BlockRef) -> list[ChainEvent]:
        first = self._at.height + 1
        hashes = await self._reader.hashes(first, min(tip.height, self._at.height + BLOCKS_AT_ONCE))
        events: list[ChainEvent] = []
        at = self._at
        for height, block_hash in enumerate(hashes, first):
            block = await self._reader.block(height, block_hash)
            if block.prev_hash != at.hash:
                # The best chain changed between two calls; the next step sees what it is now.
                break
            self._remember(block.hash, block.prev_hash)
            at = block.ref
            events.append(BlockConnected(block))
        self._at = at
        return events

    async def _disconnect(self, tip: BlockRef) -> ChainEvent:
        fork = await self._fork(tip)
        if fork == tip:
            # It may be catching up again (a rebuilt index): nothing we know is contradicted.
            raise ChainUnavailable(
                f"chain service is behind: it is at block {tip.height}, this node has seen {self._at.height}"
            )
        self._at = fork
        return BlocksDisconnected(fork.height, fork.hash)

    async def _fork(self, tip: BlockRef) -> BlockRef:
        """Return the youngest block that our chain and the best chain share."""
        at = self._at
        while at.height > tip.height or await self._reader.hash_at(at.height) != at.hash:
            previous = await self._reader.previous_hash(at.hash) or self._seen.get(at.hash)
            if previous is None:
                raise ChainUnavailable(
                    f"chain service does not know block {at.height} {txid_to_hex(at.hash)}, which this node has "
                    f"seen; it is at block {tip.height}: it is catching up, or it has another chain"
                )
            if at.height == 0:
                raise ChainUnavailable("chain service has another genesis block")
            at = BlockRef(at.height - 1, previous)
        return at

    def _remember(self, block_hash: bytes, previous_hash: bytes) -> None:
        self._seen[block_hash] = previous_hash
        if len(self._seen) > REMEMBERED_BLOCKS:
            del self._seen[next(iter(self._seen))]

    @property
    def remembered(self) -> Mapping[bytes, bytes]:
        """What the walk remembers: block hash to the hash before it."""
        return self._seen
