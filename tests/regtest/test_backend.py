"""Chain and pool together: what a reorganisation does to unconfirmed transactions."""

import pytest

from leyden.base.errors import CommandRejected
from leyden.regtest.kernel import Verdict
from tests.regtest.world import SCRIPT, World, outputs_of, spend


def tip(world: World) -> bytes:
    """Return the hash of the tip."""
    return world.backend.chain.tree.tip.hash


def test_transactions_come_back_after_a_reorganisation(world: World) -> None:
    """Parents of earlier blocks, children of later ones and children in the pool: all back, in order."""
    first_hash = world.backend.chain.tree.at(103).hash
    first = world.send(spend([world.coinbase(1)]))
    world.mine(1)
    second = world.send(spend(outputs_of(first)))
    world.mine(1)
    third = world.send(spend(outputs_of(second)))
    world.backend.invalidate(world.backend.chain.tree.at(104).hash)
    assert tip(world) == first_hash
    assert sorted(world.pool_ids()) == sorted([first.txid(), second.txid(), third.txid()])
    world.mine(1)
    assert world.pool_ids() == []
    assert world.backend.chain.find_transaction(third.txid()) is not None


def test_conflict_of_the_new_branch_wins(world: World) -> None:
    """A double spend in the new branch: the old transaction and its children are gone."""
    fork = world.backend.chain.tree.tip
    first = world.send(spend([world.coinbase(1)]))
    world.mine(1)
    child = world.send(spend(outputs_of(first)))
    old_tip = tip(world)
    world.backend.invalidate(old_tip)
    rival = spend([world.coinbase(1)], fee_sat=9_999)
    assert world.backend.submit_block(world.backend.make_block(SCRIPT, [rival])).verdict is Verdict.VALID
    assert world.backend.chain.tree.parent(world.backend.chain.tree.tip) == fork
    assert world.pool_ids() == []
    assert child.txid() not in world.backend.pool
    world.backend.reconsider(old_tip)
    assert world.backend.chain.find_transaction(first.txid()) is not None
    assert rival.txid() not in world.backend.pool


def test_same_transaction_in_both_branches_does_not_come_back(world: World) -> None:
    """It is confirmed either way."""
    first = world.send(spend([world.coinbase(1)]))
    world.mine(1)
    old_tip = tip(world)
    world.backend.invalidate(old_tip)
    world.mine(2)
    assert world.backend.chain.find_transaction(first.txid()) is not None
    assert world.pool_ids() == []


def test_what_became_premature_leaves_the_pool(world: World) -> None:
    """After a reorganisation coinbases are younger and locks hold again."""
    height = world.backend.chain.tree.height
    world.mine(1)
    mature = world.send(spend([world.coinbase(height - 98)]))
    child = world.send(spend(outputs_of(mature)))
    locked = world.send(spend([world.coinbase(2)], locktime=height + 1))
    kept = world.send(spend([world.coinbase(3)]))
    world.backend.invalidate(tip(world))
    assert world.pool_ids() == [kept.txid()]
    assert child.txid() not in world.backend.pool
    assert locked.txid() not in world.backend.pool


def test_spend_of_a_lost_coinbase_leaves_with_it(world: World) -> None:
    """The coinbase of a left block never existed."""
    world.mine(101)
    lost = world.coinbase(104)
    tx = world.send(spend([lost]))
    world.backend.invalidate(world.backend.chain.tree.at(104).hash)
    assert tx.txid() not in world.backend.pool


def test_chosen_transactions_only(world: World) -> None:
    """`generateblock` ignores the pool and takes no fees."""
    pooled = world.send(spend([world.coinbase(1)]))
    chosen = spend([world.coinbase(2)], fee_sat=0)
    outcome = world.backend.submit_block(world.backend.make_block(SCRIPT, [chosen]))
    assert outcome.verdict is Verdict.VALID
    assert world.pool_ids() == [pooled.txid()]


def test_genesis_block_stays(world: World) -> None:
    """There is nothing to go back to."""
    with pytest.raises(CommandRejected):
        world.backend.invalidate(world.backend.chain.tree.at(0).hash)


def test_invalidating_everything_and_coming_back(world: World) -> None:
    """The deepest reorganisation there is."""
    before = tip(world)
    first = world.backend.chain.tree.at(1).hash
    world.backend.invalidate(first)
    assert world.backend.chain.tree.height == 0
    assert len(world.backend.chain.coins) == 0
    world.backend.reconsider(first)
    assert tip(world) == before
