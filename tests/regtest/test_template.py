"""Blocks that we mine: order, fees, times, work."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.base.errors import CommandRejected
from leyden.bitcoin.block import Block, check_merkle_root, find_witness_commitment, witness_commitment
from leyden.regtest.chain import BlockTree
from leyden.regtest.mempool import Mempool
from leyden.regtest.policy import PolicySettings
from leyden.regtest.template import build_block, choose_transactions, in_block_order, next_block_time, subsidy_sat
from tests.regtest.test_mempool import diamond, entry
from tests.regtest.world import ANYONE, NOW, World, outputs_of, spend


def test_best_feerate_comes_first_with_its_ancestors() -> None:
    """A child that pays pulls its parent in front of others."""
    pool = Mempool(PolicySettings())
    plain = entry(1, [(bytes(32), 1)], fee_sat=2_000)
    poor_parent = entry(2, [(bytes(32), 2)], fee_sat=0)
    rich_child = entry(3, [(poor_parent.txid, 0)], fee_sat=9_000)
    free = entry(4, [(bytes(32), 4)], fee_sat=0)
    for one in (free, plain, poor_parent, rich_child):
        pool.add(one)
    assert [one.tx.locktime for one in choose_transactions(pool)] == [2, 3, 1, 4]


def test_parents_come_before_children() -> None:
    """A block in another order is invalid."""
    pool, entries = diamond()
    order = [one.tx.locktime for one in choose_transactions(pool)]
    assert (order[0], order[-1]) == (0, 3)
    assert in_block_order(entries[::-1])[0] == entries[0]


@given(st.lists(st.tuples(st.integers(0, 5_000), st.lists(st.integers(0, 30), max_size=2)), max_size=12))
def test_any_pool_gives_a_valid_order_with_everything(plan: list[tuple[int, list[int]]]) -> None:
    """Whatever the graph and the fees: all fits, so all is there, once, after its parents."""
    pool = Mempool(PolicySettings())
    made = []
    free: list[tuple[bytes, int]] = []
    for number, (fee_sat, picks) in enumerate(plan):
        spends = [free.pop(pick % len(free)) for pick in picks if free] or [(number.to_bytes(32, "big"), 0)]
        made.append(entry(number, spends, fee_sat))
        free += [(made[-1].txid, 0), (made[-1].txid, 1)]
        pool.add(made[-1])
    chosen = choose_transactions(pool)
    assert sorted(one.txid for one in chosen) == sorted(one.txid for one in made)
    seen: dict[bytes, None] = {}
    for one in chosen:
        assert all(parent.txid in seen for parent in pool.parents(one.tx))
        seen[one.txid] = None


def test_block_weight_is_bounded() -> None:
    """What does not fit waits."""
    pool = Mempool(PolicySettings())
    for number in range(12):
        pool.add(entry(number, [(bytes(32), number)], fee_sat=1_000 * number, vsize=99_000))
    assert [one.tx.locktime for one in choose_transactions(pool)] == list(range(11, 1, -1))


def test_block_is_complete() -> None:
    """Height, merkle root, witness commitment and work, as consensus wants them."""
    tree = BlockTree()
    block = Block.parse(build_block(tree.tip, NOW, ANYONE, 7, [], b"nonce"))
    coinbase = block.transactions[0]
    assert check_merkle_root(block)
    assert block.header.meets_target()
    assert find_witness_commitment(coinbase) == witness_commitment(block.transactions, bytes(32))
    assert coinbase.outputs[0].value_sat == subsidy_sat(1) + 7
    assert build_block(tree.tip, NOW, ANYONE, 7, [], b"other") != block.serialize()


def test_fees_go_to_the_miner(world: World) -> None:
    """The library would refuse one satoshi more."""
    world.send(spend([world.coinbase(1)], fee_sat=12_345))
    world.mine(1)
    assert world.coinbase(world.backend.chain.tree.height).value_sat == subsidy_sat(104) + 12_345


def test_subsidy_halves() -> None:
    """Every 150 blocks on regtest, until nothing is left."""
    assert [subsidy_sat(h) for h in (149, 150, 450)] == [50 * 10**8, 25 * 10**8, 625 * 10**6]
    assert subsidy_sat(150 * 64) == 0


def test_times_go_up_and_stay_near_the_clock(world: World) -> None:
    """Thousands of blocks in one moment: consensus wants rising medians, lnd wants times within two hours."""
    world.mine(2_000)
    tree = world.backend.chain.tree
    times = [tree.at(height).header.time for height in range(1, tree.height + 1)]
    assert times == sorted(times)
    assert times[-1] - NOW < 7_200


def test_clock_that_stands_still_too_long() -> None:
    """Past two hours ahead consensus says no, so we say why."""
    tip = BlockTree().tip
    header = msgspec.structs.replace(tip.header, time=NOW + 7_300)
    ahead = msgspec.structs.replace(tip, header=header, median_time=NOW + 10)
    assert next_block_time(ahead, NOW) == NOW + 11
    with pytest.raises(CommandRejected, match="two hours"):
        next_block_time(msgspec.structs.replace(ahead, median_time=NOW + 7_200), NOW)
    assert next_block_time(tip, NOW) == NOW


def test_long_chains_are_mined_in_one_block(world: World) -> None:
    """Order survives the way from pool to library."""
    tx = world.send(spend([world.coinbase(1)]))
    for fee in range(300, 330):
        tx = world.send(spend(outputs_of(tx), fee_sat=fee))
    world.mine(1)
    assert world.pool_ids() == []
