"""Library, journal and index together: restarts, reorganisations, invalidation."""

from pathlib import Path

import msgspec
import pytest

from leyden.base.errors import CommandRejected, StorageBroken
from leyden.bitcoin.block import Block
from leyden.bitcoin.tx import Transaction
from leyden.regtest.chainstate import MANUALLY_INVALIDATED, Chainstate
from leyden.regtest.kernel import Verdict
from leyden.regtest.template import build_block
from tests.regtest.world import ANYONE, NOW, SCRIPT, World, spend


def snapshot(world: World) -> tuple[bytes, dict[object, object]]:
    """Return tip and coins."""
    chain = world.backend.chain
    return chain.tree.tip.hash, dict(chain.coins.items())


def rival_branch(world: World, fork_height: int, length: int) -> list[bytes]:
    """Return the raw blocks of a branch that leaves the active one after `fork_height`."""
    tree = world.backend.chain.tree
    parent = tree.at(fork_height)
    raws: list[bytes] = []
    for number in range(length):
        time = max(NOW, parent.median_time + 1)
        raw = build_block(parent, time, ANYONE, 0, [], b"rival" + bytes((number,)))
        header = Block.parse(raw).header
        parent = msgspec.structs.replace(
            parent, hash=header.hash(), header=header, height=parent.height + 1, median_time=parent.median_time + 1
        )
        raws.append(raw)
    return raws


def test_restart_finds_the_same_state(world: World) -> None:
    """The library forgets everything; the journal brings it back."""
    world.send(spend([world.coinbase(1)]))
    world.mine(3)
    before = snapshot(world)
    world.restart()
    assert snapshot(world) == before


def test_longer_branch_takes_over_and_coins_follow(world: World) -> None:
    """A deep reorganisation: coins of the left branch go, those of the new one come."""
    spent = world.send(spend([world.coinbase(1)]))
    world.mine(1)
    before = world.backend.chain.tree.height
    for raw in rival_branch(world, before - 30, 31):
        outcome = world.backend.submit_block(raw)
    assert outcome.verdict is Verdict.VALID
    chain = world.backend.chain
    assert chain.tree.height == before + 1
    assert chain.find_transaction(spent.txid()) is None
    assert chain.coins.get(world.coinbase(1).outpoint) is not None
    state = snapshot(world)
    world.restart()
    assert snapshot(world) == state


def test_equal_branch_waits(world: World) -> None:
    """The first of two equal branches stays active, also after a restart."""
    tip = world.backend.chain.tree.tip.hash
    (raw,) = rival_branch(world, world.backend.chain.tree.height - 1, 1)
    assert world.backend.submit_block(raw).verdict is Verdict.SIDE
    world.restart()
    assert world.backend.chain.tree.tip.hash == tip


def test_invalidated_block_stays_out_until_reconsidered(world: World) -> None:
    """`invalidateblock` survives a restart, and so does taking it back."""
    tree = world.backend.chain.tree
    before = snapshot(world)
    target = tree.at(50)
    world.backend.invalidate(target.hash)
    assert world.backend.chain.tree.height == 49
    assert world.backend.chain.tree.invalid_cause(tree.at(49)) is None
    world.restart()
    assert world.backend.chain.tree.height == 49
    assert world.backend.chain.tree.invalid[target.hash] == MANUALLY_INVALIDATED
    world.mine(2)
    world.backend.reconsider(target.hash)
    assert snapshot(world) == before
    world.restart()
    assert snapshot(world) == before


@pytest.mark.parametrize("named", [40, 50, 60], ids=["ancestor", "itself", "descendant"])
def test_reconsidering_a_relative_is_enough(world: World, named: int) -> None:
    """bitcoind clears ancestors and descendants of the block that is named."""
    hashes = [world.backend.chain.tree.at(height).hash for height in range(104)]
    world.backend.invalidate(hashes[50])
    world.backend.reconsider(hashes[named])
    assert world.backend.chain.tree.height == 103


def test_children_of_an_invalidated_block_are_refused(world: World) -> None:
    """The library does not know of our invalidation, so we must say no ourselves."""
    tree = world.backend.chain.tree
    tip = tree.tip
    raw = world.backend.make_block(SCRIPT, [])
    world.backend.invalidate(tip.hash)
    assert world.backend.submit_block(raw).reason == "bad-prevblk"
    again = world.backend.submit_block(world.backend.chain.read_block(tip))
    assert (again.verdict, again.reason) == (Verdict.INVALID, "duplicate-invalid")


def test_tampered_copy_does_not_poison_the_honest_block(world: World) -> None:
    """A copy with other transactions has the same hash; its rejection says nothing about the original."""
    chain = world.backend.chain
    tip = chain.tree.tip
    block = Block.parse(chain.read_block(tip))
    coinbase = block.transactions[0]
    twisted = Transaction(coinbase.version, coinbase.inputs, coinbase.outputs, 1)
    outcome = world.backend.submit_block(Block(block.header, (twisted,)).serialize())
    assert outcome.verdict is Verdict.INVALID
    assert not chain.tree.invalid
    world.mine(1)
    world.restart()
    assert world.backend.chain.tree.height == tip.height + 1


def test_invalid_branch_is_left_again_and_remembered(world: World) -> None:
    """A branch that turns out bad halfway: back to the old tip, and its end is known as invalid."""
    tree = world.backend.chain.tree
    tip = tree.tip
    parent = tree.at(tree.height - 1)
    greedy = build_block(parent, tip.header.time, ANYONE, 1, [], b"greedy")
    assert world.backend.submit_block(greedy).verdict is Verdict.SIDE
    bad = tree.get(Block.parse(greedy).header.hash())
    assert bad is not None
    child = build_block(bad, tip.header.time + 1, ANYONE, 0, [], b"child")
    assert world.backend.submit_block(child).verdict is not Verdict.VALID
    assert world.backend.chain.tree.tip.hash == tip.hash
    assert "bad-cb-amount" in (tree.invalid_cause(bad) or "")
    world.restart()
    assert world.backend.chain.tree.tip.hash == tip.hash


def test_second_owner_of_the_directory_is_refused(world: World) -> None:
    """Two processes on one journal would destroy it."""
    with pytest.raises(CommandRejected, match="in use") as caught:
        Chainstate(world.directory)
    assert caught.value.code == "directory_in_use"


def test_unknown_block_cannot_be_invalidated(world: World) -> None:
    """A typo must not reach the journal."""
    with pytest.raises(CommandRejected):
        world.backend.chain.invalidate(bytes(32))
    with pytest.raises(CommandRejected):
        world.backend.chain.reconsider(bytes(32))


def test_journal_without_a_parent_is_refused(world: World, tmp_path: Path) -> None:
    """A journal that lost its head is damaged, and the directory is free again afterwards."""
    data = (world.directory / "blocks.journal").read_bytes()
    second = data.index(b"LYb1", 1)
    other = tmp_path / "other"
    other.mkdir()
    (other / "blocks.journal").write_bytes(data[second:])
    for _ in range(2):
        with pytest.raises(StorageBroken, match="without its parent"):
            Chainstate(other)


def test_old_blocks_are_parsed_again(world: World) -> None:
    """Only the latest blocks are kept parsed; older ones come from the journal."""
    chain = world.backend.chain
    assert chain.parsed_block(chain.tree.at(1)).entry.height == 1
    assert chain.undo_of(chain.tree.at(1)) == []
    assert chain.parsed_block(chain.tree.at(0)).entry.height == 0
