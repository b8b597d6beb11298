"""Walking along a chain that changes between two calls, and one that forgets its stale blocks."""

import pytest

from leyden.base.errors import ChainUnavailable
from leyden.bitcoin.networks import REGTEST
from leyden.bitcoin.script import p2wsh_of_script
from leyden.drivers.chain.follow import BLOCKS_AT_ONCE, ChainFollower
from leyden.drivers.chain.memory import MemoryChain
from leyden.ports.chain import BlockConnected, BlockData, BlockRef, BlocksDisconnected

SCRIPT = p2wsh_of_script(b"\x51")


class MemoryReader:
    """A `BlockReader` over a chain in memory; `before_block` runs between the calls of one step."""

    def __init__(self, chain: MemoryChain) -> None:
        """Read a chain."""
        self.chain = chain
        self.forgetful = False
        self.before_block = lambda: None

    async def best_hash(self) -> bytes:
        """The tip."""
        return self.chain.tip.hash

    async def height_of(self, block_hash: bytes) -> int:
        """Of any branch."""
        block = self.chain.block(block_hash)
        assert block is not None
        return block.height

    async def hash_at(self, height: int) -> bytes | None:
        """Of the best chain."""
        block = self.chain.block_at(height)
        return None if block is None else block.hash

    async def hashes(self, first: int, last: int) -> list[bytes]:
        """Of the best chain."""
        return [block.hash for height in range(first, last + 1) if (block := self.chain.block_at(height)) is not None]

    async def previous_hash(self, block_hash: bytes) -> bytes | None:
        """Of any branch, unless stale blocks are forgotten."""
        block = self.chain.block(block_hash)
        if block is None or (self.forgetful and not self.chain.is_active(block.ref)):
            return None
        return block.prev_hash

    async def block(self, height: int, block_hash: bytes) -> BlockData:
        """Of any branch."""
        self.before_block()
        block = self.chain.block(block_hash)
        assert block is not None
        assert block.height == height
        return block


def walk_on(chain: MemoryChain) -> tuple[MemoryReader, ChainFollower]:
    """A follower at the genesis block."""
    reader = MemoryReader(chain)
    return reader, ChainFollower(reader, BlockRef(0, REGTEST.chain_hash))  # type: ignore[arg-type]


async def test_steps_are_bounded() -> None:
    """A node that was away for a year must not hold a year of blocks at once."""
    chain = MemoryChain(REGTEST)
    chain.mine(3 * BLOCKS_AT_ONCE + 1, SCRIPT)
    _, follower = walk_on(chain)
    assert [len(await follower.step()) for _ in range(5)] == [BLOCKS_AT_ONCE] * 3 + [1, 0]


async def test_a_reorganisation_in_the_middle_of_a_step() -> None:
    """The hashes were of one branch, the blocks must not be continued on another."""
    chain = MemoryChain(REGTEST)
    chain.mine(10, SCRIPT)
    reader, follower = walk_on(chain)
    while await follower.step():
        pass
    chain.mine(1, SCRIPT)

    def once() -> None:
        reader.before_block = lambda: None
        chain.reorganise(6, 7, SCRIPT)

    reader.before_block = once
    seen = []
    for _ in range(6):
        seen += await follower.step()
    assert isinstance(seen[0], BlockConnected)
    assert seen[0].block.height == 11
    fork = chain.block_at(5)
    assert fork is not None
    assert seen[1] == BlocksDisconnected(5, fork.hash)
    assert [event.block.hash for event in seen[2:] if isinstance(event, BlockConnected)] == [
        block.hash for height in range(6, 13) if (block := chain.block_at(height)) is not None
    ]


async def test_blocks_that_the_service_forgot_are_remembered() -> None:
    """A service whose index was rebuilt does not know the stale branch that we stand on."""
    chain = MemoryChain(REGTEST)
    chain.mine(10, SCRIPT)
    reader, follower = walk_on(chain)
    while await follower.step():
        pass
    reader.forgetful = True
    chain.reorganise(7, 9, SCRIPT)
    (event,) = await follower.step()
    assert isinstance(event, BlocksDisconnected)
    assert event.fork_height == 3
    assert len(follower.remembered) == 10


async def test_nothing_is_undone_on_the_word_of_a_service_that_is_behind() -> None:
    """Its tip is a block of ours: it has less, not something else."""
    chain = MemoryChain(REGTEST)
    chain.mine(10, SCRIPT)
    _, follower = walk_on(chain)
    while await follower.step():
        pass
    short = MemoryChain(REGTEST)
    short.mine(4, SCRIPT)
    assert short.tip.hash == chain.block_at(4).hash  # type: ignore[union-attr]
    follower._reader = MemoryReader(short)  # type: ignore[assignment]
    with pytest.raises(ChainUnavailable, match="behind: it is at block 4, this node has seen 10"):
        await follower.step()


async def test_another_chain_is_not_followed() -> None:
    """A service with another history from its first block on shares nothing with us but the genesis block."""
    chain = MemoryChain(REGTEST)
    reader = MemoryReader(chain)
    chain.mine(5, SCRIPT)
    follower = ChainFollower(reader, BlockRef(3, b"\x01" * 32))  # type: ignore[arg-type]
    with pytest.raises(ChainUnavailable, match="does not know block 3"):
        await follower.step()
