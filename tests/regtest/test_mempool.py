"""The pool as a whole: graph, block arrival, eviction. Rules of entry have their own tests."""

from pathlib import Path

import pytest

from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut
from leyden.regtest.mempool import Mempool, PoolEntry, package_feerate
from leyden.regtest.policy import PolicySettings, TransactionRejected
from tests.regtest.world import SCRIPT, World, outputs_of, spend


def entry(number: int, spends: list[tuple[bytes, int]], fee_sat: int = 1_000, vsize: int = 100) -> PoolEntry:
    """Return an entry that no check has seen."""
    inputs = tuple(TxIn(OutPoint(txid, vout), b"", number) for txid, vout in spends)
    tx = Transaction(2, inputs, (TxOut(1, b"\x51"), TxOut(2, b"\x51")), number)
    return PoolEntry(tx, tx.serialize(), tx.txid(), tx.wtxid(), fee_sat, vsize * 4, vsize, 0, (), 0, 0)


def diamond() -> tuple[Mempool, list[PoolEntry]]:
    """Return a pool of one parent, two children of it and a grandchild of both."""
    pool = Mempool(PolicySettings())
    top = entry(0, [(bytes(32), 0)])
    left, right = entry(1, [(top.txid, 0)]), entry(2, [(top.txid, 1)])
    bottom = entry(3, [(left.txid, 0), (right.txid, 0)])
    entries = [top, left, right, bottom]
    for one in entries:
        pool.add(one)
    return pool, entries


def numbers(entries: list[PoolEntry]) -> list[int]:
    """Return the numbers of entries, sorted."""
    return sorted(one.tx.locktime for one in entries)


def test_relatives_are_found_once() -> None:
    """A diamond has two ways down; nobody is counted twice."""
    pool, (top, left, right, bottom) = diamond()
    assert numbers(pool.children(top)) == [1, 2]
    assert numbers(pool.parents(bottom.tx)) == [1, 2]
    assert numbers(pool.ancestors(bottom.tx)) == [0, 1, 2]
    assert numbers(pool.descendants(top)) == [0, 1, 2, 3]
    assert numbers(pool.cluster(left.tx)) == [0, 2, 3]
    assert pool.spender(OutPoint(right.txid, 0)) == bottom
    assert pool.spender(OutPoint(right.txid, 1)) is None


def test_removal_takes_descendants_and_forgets_everything() -> None:
    """Counters and indexes must come back to nothing, or later entries are refused as conflicts."""
    pool, (top, left, _, bottom) = diamond()
    assert numbers(pool.remove_with_descendants([left, bottom])) == [1, 3]
    assert (len(pool), pool.vsize, pool.fee_sat) == (2, 200, 2_000)
    assert not pool.has_wtxid(left.wtxid)
    pool.remove(left)
    pool.add(left)
    pool.remove_with_descendants([top])
    assert (len(pool), pool.vsize, pool.fee_sat) == (0, 0, 0)
    assert pool.spender(OutPoint(bytes(32), 0)) is None


def test_double_entry_is_our_bug() -> None:
    """The checks come before; a second spender would corrupt the index."""
    pool, (top, *_) = diamond()
    with pytest.raises(AssertionError):
        pool.add(top)
    with pytest.raises(AssertionError):
        pool.add(entry(9, [(top.txid, 0)]))


def test_block_takes_its_transactions_and_their_rivals(world: World) -> None:
    """What a block spends otherwise cannot be spent by the pool any more."""
    mine = world.send(spend([world.coinbase(1)]))
    rival_parent = world.send(spend([world.coinbase(2)]))
    rival_child = world.send(spend(outputs_of(rival_parent)))
    kept = world.send(spend([world.coinbase(3)]))
    child_of_mine = world.send(spend(outputs_of(mine)))
    other = spend([world.coinbase(2)], fee_sat=7_777)
    assert world.backend.submit_block(world.backend.make_block(SCRIPT, [mine, other])).reason == ""
    assert world.pool_ids() == [kept.txid(), child_of_mine.txid()]
    assert rival_child.txid() not in world.backend.pool


def test_full_pool_evicts_the_cheapest_and_raises_the_floor(tmp_path: Path) -> None:
    """Bounded memory: the floor rises above what was evicted, and falls again with time after a block."""
    size = spend_size(tmp_path)
    world = World(tmp_path / "small", PolicySettings(pool_vsize_max=3 * size))
    world.mine(110)
    cheap = world.send(spend([world.coinbase(1)], fee_sat=200))
    for height in (2, 3, 4):
        world.send(spend([world.coinbase(height)], fee_sat=5_000))
    assert cheap.txid() not in world.backend.pool
    floor = world.backend.pool.min_feerate(world.clock.now)
    assert floor == 200 * 1_000 // size + world.settings.incremental_feerate
    with pytest.raises(TransactionRejected, match="mempool min fee not met"):
        world.send(spend([world.coinbase(5)], fee_sat=200))
    with pytest.raises(TransactionRejected, match="mempool full"):
        world.send(spend([world.coinbase(5)], fee_sat=1_000))
    world.mine(1)
    world.clock.now += 3 * 12 * 3_600
    assert world.backend.pool.min_feerate(world.clock.now) < floor
    world.clock.now += 10 * 12 * 3_600
    assert world.backend.pool.min_feerate(world.clock.now) == world.settings.min_relay_feerate
    world.backend.close()


def spend_size(tmp_path: Path) -> int:
    """Return the virtual size of the transactions of this test."""
    world = World(tmp_path / "measure")
    world.mine(1)
    size = spend([world.coinbase(1)]).vsize()
    world.backend.close()
    return size


def test_common_feerate() -> None:
    """Rounded down, in sat/kvB."""
    assert package_feerate([entry(1, [], 100, 150), entry(2, [], 0, 150)]) == 333


def test_outputs_of_entries() -> None:
    """An unconfirmed output counts as one of the block to come."""
    pool, (top, *_) = diamond()
    coin = pool.output(OutPoint(top.txid, 1), 7)
    assert coin is not None
    assert (coin.value_sat, coin.height, coin.is_coinbase) == (2, 7, False)
    assert pool.output(OutPoint(top.txid, 2), 7) is None
    assert pool.output(OutPoint(bytes(32), 0), 7) is None
