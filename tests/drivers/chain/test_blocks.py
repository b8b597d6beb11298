"""Blocks and headers from a service that lies, prunes or breaks."""

import pytest

from leyden.base.errors import ChainUnavailable, CommandRejected
from leyden.bitcoin.networks import REGTEST
from leyden.bitcoin.script import p2wsh_of_script
from leyden.bitcoin.tx import txid_to_hex
from leyden.drivers.chain.blocks import BlockReader, parse_hash, parse_hex
from leyden.drivers.chain.memory import MemoryChain
from leyden.drivers.chain.rpc import RpcClient, RpcRefused, UserPassword
from tests.drivers.chain.raw_server import RawServer, error, raw_server, result

BLOCK, OTHER = MemoryChain(REGTEST).mine(2, p2wsh_of_script(b"\x51"))
RAW = BLOCK.block.serialize()


def reader_of(server: RawServer) -> BlockReader:
    """A reader of a server."""
    return BlockReader(RpcClient(server.client(), UserPassword("a", "b")))


async def test_a_block_is_checked_against_its_hash() -> None:
    """What is credited from a block must be in it."""
    async with raw_server(result(RAW.hex())) as server:
        assert await reader_of(server).block(1, BLOCK.hash) == BLOCK
        with pytest.raises(ChainUnavailable, match="block 2 is damaged: another block than the one asked for"):
            await reader_of(server).block(2, OTHER.hash)


@pytest.mark.parametrize(
    "answer",
    [RAW.hex()[:-2], RAW.hex() + "00", RAW.hex()[:-1], "", "zz", None, 7, (RAW[:-5] + b"\x00" + RAW[-4:]).hex()],
)
async def test_damaged_blocks(answer: object) -> None:
    """A service with a failing disk must not put anything into our journals."""
    async with raw_server(result(answer)) as server:
        with pytest.raises(ChainUnavailable):
            await reader_of(server).block(1, BLOCK.hash)


async def test_a_pruned_block_is_final_and_says_what_to_do() -> None:
    """Waiting does not bring it back, so the user must hear it."""
    async with raw_server(error(-1, "Block not available (pruned data)")) as server:
        with pytest.raises(CommandRejected, match=r"pruned block 1 away.*prune=0") as refused:
            await reader_of(server).block(1, BLOCK.hash)
        assert refused.value.code == "block_pruned"
    async with raw_server(error(-5, "Block not found")) as server:
        with pytest.raises(RpcRefused):
            await reader_of(server).block(1, BLOCK.hash)


async def test_headers() -> None:
    """A fork is walked along headers: a wrong one would lead to a wrong fork."""
    header = RAW[:80].hex()
    async with raw_server(result(header)) as server:
        assert await reader_of(server).previous_hash(BLOCK.hash) == REGTEST.chain_hash
        with pytest.raises(ChainUnavailable, match="another header"):
            await reader_of(server).previous_hash(OTHER.hash)
    async with raw_server(error(-5, "Block not found")) as server:
        assert await reader_of(server).previous_hash(BLOCK.hash) is None
    async with raw_server(result(header[:-2])) as server:
        with pytest.raises(ChainUnavailable, match="80 bytes"):
            await reader_of(server).previous_hash(BLOCK.hash)


@pytest.mark.parametrize(
    "answer", [None, 7, {}, {"height": "1"}, {"height": -1}, {"height": True}, {"height": 1 << 40}]
)
async def test_heights_that_are_none(answer: object) -> None:
    """A height that is no height would end in an index error somewhere else."""
    async with raw_server(result(answer)) as server:
        with pytest.raises(ChainUnavailable, match="without a height"):
            await reader_of(server).height_of(BLOCK.hash)


async def test_hash_at() -> None:
    """Above the tip there is no block, and every other refusal is one."""
    async with raw_server(
        result(txid_to_hex(BLOCK.hash)), error(-8, "Block height out of range"), error(-28, "Loading")
    ) as server:
        reader = reader_of(server)
        assert await reader.hash_at(1) == BLOCK.hash
        assert await reader.hash_at(9) is None
        with pytest.raises(RpcRefused):
            await reader.hash_at(1)


@pytest.mark.parametrize("value", [None, 7, "", "00", "0" * 63, "0" * 65, "g" * 64, " " * 64, b"x", ["0" * 64]])
def test_hashes_that_are_none(value: object) -> None:
    """Only 64 digits are a hash."""
    with pytest.raises(ChainUnavailable):
        parse_hash(value)
    if value != "" and not (isinstance(value, str) and value.strip("0 ") == "" and len(value) % 2 == 0):
        with pytest.raises(ChainUnavailable):
            parse_hex(value)
