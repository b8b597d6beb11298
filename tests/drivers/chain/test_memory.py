"""The chain in memory: the same promises as a service, without one."""

import asyncio

import pytest

from leyden.base.errors import ChainUnavailable, CommandRejected
from leyden.bitcoin.block import check_merkle_root
from leyden.bitcoin.networks import MAINNET, REGTEST
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut
from leyden.drivers.chain.memory import SUBSIDY_SAT, MemoryChain, MemoryChainSource
from leyden.ports.chain import BlockConnected, BlocksDisconnected, FeeSource
from tests.drivers.chain.chain_world import ANYBODY, GENESIS, Walk


def spend(outpoint: OutPoint, value_sat: int) -> Transaction:
    """Spend an output back to anybody."""
    return Transaction(2, (TxIn(outpoint, b"", 0, (b"\x51",)),), (TxOut(value_sat, ANYBODY),), 0)


async def test_blocks_are_linked_whole_and_told_in_order() -> None:
    """What is proven against this chain must hold against a real one."""
    chain = MemoryChain(REGTEST)
    walk = Walk(MemoryChainSource(chain))
    blocks = chain.mine(20, ANYBODY)
    events = await walk.to(blocks[-1].hash)
    assert [event.block for event in events if isinstance(event, BlockConnected)] == blocks
    assert all(check_merkle_root(data.block) for data in blocks)
    waiting = asyncio.ensure_future(walk.next())
    await asyncio.sleep(0)
    (block,) = chain.mine(1, ANYBODY)
    await waiting
    assert walk.at == block.ref


@pytest.mark.parametrize("depth", [1, 6, 50])
async def test_reorganisations(depth: int) -> None:
    """The fork is told once; transactions of the lost branch are mined again, its coinbases are gone."""
    chain = MemoryChain(REGTEST)
    source = MemoryChainSource(chain)
    walk = Walk(source)
    first = chain.mine(1, ANYBODY)[0]
    chain.mine(9, ANYBODY)
    tx = spend(OutPoint(first.txids[0], 0), 1_000)
    assert chain.offer(tx).accepted
    blocks = chain.mine(depth, ANYBODY)
    await walk.to(blocks[-1].hash)
    branch = chain.reorganise(depth, depth + 1, ANYBODY)
    events = await walk.to(branch[-1].hash)
    assert events[0] == BlocksDisconnected(10, blocks[0].prev_hash)
    assert branch[0].txids[1] == tx.txid()
    assert await source.get_txout(OutPoint(blocks[0].txids[0], 0), include_mempool=True) is None
    assert branch[0].txids[0] != blocks[0].txids[0]


async def test_unspent_outputs_and_verdicts() -> None:
    """The node acts on these answers alike wherever they come from."""
    chain = MemoryChain(REGTEST)
    source = MemoryChainSource(chain)
    first = chain.mine(2, ANYBODY)[0]
    outpoint = OutPoint(first.txids[0], 0)
    coin = await source.get_txout(outpoint, include_mempool=True)
    assert coin is not None
    assert (coin.value_sat, coin.confirmations, coin.is_coinbase) == (SUBSIDY_SAT, 2, True)
    parent = spend(outpoint, 5_000)
    child = spend(OutPoint(parent.txid(), 0), 4_000)
    assert (await source.broadcast(child.serialize())).reject_reason == "bad-txns-inputs-missingorspent"
    assert (await source.broadcast_package([parent.serialize(), child.serialize()])).accepted
    assert (await source.broadcast(parent.serialize())).already_known
    assert (await source.broadcast(spend(outpoint, 1).serialize())).reject_reason == "txn-mempool-conflict"
    assert "decode" in (await source.broadcast(b"\x00")).reject_reason
    assert not (await source.broadcast_package([b"\x00", child.serialize()])).accepted
    assert await source.get_txout(outpoint, include_mempool=True) is None
    assert await source.get_txout(outpoint, include_mempool=False) == coin
    waiting = await source.get_txout(OutPoint(child.txid(), 0), include_mempool=True)
    assert waiting is not None
    assert (waiting.value_sat, waiting.confirmations) == (4_000, 0)
    chain.mine(1, ANYBODY)
    assert (await source.broadcast(child.serialize())).already_known
    assert await source.get_txout(outpoint, include_mempool=False) is None
    assert (await source.estimate_fee(6)).source is FeeSource.ESTIMATE


async def test_a_chain_that_is_away_is_waited_for() -> None:
    """Losing the chain for a while is part of life, so it must be easy to play."""
    chain = MemoryChain(REGTEST)
    source = MemoryChainSource(chain)
    chain.set_available(False)
    chain.mine(1, ANYBODY)
    for call in (source.tip(), source.get_block_by_height(0), source.estimate_fee(1), source.broadcast(b"")):
        with pytest.raises(ChainUnavailable):
            await call
    walk = Walk(source)
    waiting = asyncio.ensure_future(walk.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    chain.set_available(True)
    await waiting
    assert await source.tip() == walk.at


async def test_network_and_heights() -> None:
    """The checks of a real service."""
    source = MemoryChainSource(MemoryChain(REGTEST))
    await source.check_network(REGTEST)
    with pytest.raises(CommandRejected):
        await source.check_network(MAINNET)
    genesis = await source.get_block_by_height(0)
    assert genesis is not None
    assert genesis.ref == GENESIS
    assert await source.get_block_by_height(1) is None
    with pytest.raises(ChainUnavailable):
        await anext(source.follow(3, bytes(32)))
    await source.close()
