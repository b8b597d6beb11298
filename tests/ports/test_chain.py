"""Values of the chain port."""

import pytest

from leyden.base.errors import DecodeError
from leyden.bitcoin.block import Block
from leyden.bitcoin.networks import REGTEST
from leyden.bitcoin.script import p2wsh_of_script
from leyden.drivers.chain.bitcoind import BitcoindChainSource
from leyden.drivers.chain.memory import MemoryChain, MemoryChainSource
from leyden.ports.chain import BlockData, ChainSource

FIRST, SECOND = MemoryChain(REGTEST).mine(2, p2wsh_of_script(b"\x51"))


def test_a_block_is_parsed_once_with_everything_its_readers_need() -> None:
    """Every channel reads every block: txids computed by each of them would cost seconds a block."""
    data = BlockData.parse(2, SECOND.hash, SECOND.block.serialize())
    assert data == SECOND
    assert data.ref.height == 2
    assert data.prev_hash == FIRST.hash
    assert data.header == SECOND.block.header
    assert data.txids == tuple(tx.txid() for tx in data.transactions)


@pytest.mark.parametrize(
    ("block_hash", "raw", "why"),
    [
        (FIRST.hash, SECOND.block.serialize(), "another block"),
        (FIRST.hash, FIRST.block.serialize()[:-1], "ends inside"),
        (FIRST.hash, FIRST.block.serialize() + b"\x00", "follow"),
        (FIRST.hash, Block(FIRST.header, SECOND.transactions).serialize(), "does not commit"),
        (FIRST.hash, b"", "ends inside"),
    ],
)
def test_another_or_a_damaged_block_is_refused(block_hash: bytes, raw: bytes, why: str) -> None:
    """A transaction that the header does not commit to is not in the chain."""
    with pytest.raises(DecodeError, match=why):
        BlockData.parse(1, block_hash, raw)


def test_every_driver_is_a_chain_source() -> None:
    """Checked by the type checkers: a driver that lacks a method fails there."""
    kinds: list[type[ChainSource]] = [BitcoindChainSource, MemoryChainSource]
    assert len(kinds) == 2
