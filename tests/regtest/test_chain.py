"""The block tree: heights, work, median times, branches."""

import msgspec
import pytest

from leyden.bitcoin.block import Block, BlockHeader, check_merkle_root
from leyden.bitcoin.networks import REGTEST
from leyden.regtest.chain import GENESIS_BLOCK, NO_OFFSET, BlockEntry, BlockTree


def add(tree: BlockTree, parent: BlockEntry, time: int, nonce: int = 0) -> BlockEntry:
    """Add a block after another; only the tree looks at it."""
    header = BlockHeader(4, parent.hash, bytes(32), time, 0x207FFFFF, nonce)
    return tree.add(header.hash(), header, 2, 7, 9)


def branch(tree: BlockTree, parent: BlockEntry, length: int, nonce: int = 0) -> list[BlockEntry]:
    """Add a branch of blocks one second apart."""
    found: list[BlockEntry] = []
    for _ in range(length):
        parent = add(tree, parent, parent.header.time + 1, nonce)
        found.append(parent)
    return found


def test_genesis_block_is_the_known_one() -> None:
    """Every client compares this hash first."""
    tree = BlockTree()
    assert tree.tip.hash == REGTEST.chain_hash
    assert (tree.height, tree.tip.offset, tree.tip.length) == (0, NO_OFFSET, len(GENESIS_BLOCK))
    assert check_merkle_root(Block.parse(GENESIS_BLOCK))


def test_median_time_is_of_the_last_eleven() -> None:
    """Lock times are compared with it (BIP 113)."""
    tree = BlockTree()
    parent = tree.tip
    times = [100, 50, 70, 60, 90, 80, 10, 20, 40, 30, 55, 65, 75]
    for time in times:
        parent = add(tree, parent, time)
    assert parent.median_time == sorted(times[-11:])[5]


def test_work_and_transactions_add_up() -> None:
    """`chainwork` chooses the branch, and clients check it."""
    tree = BlockTree()
    last = branch(tree, tree.tip, 3)[-1]
    assert last.work == 4 * tree.tip.header.work()
    assert (last.height, last.transactions_total) == (3, 7)


def test_known_block_keeps_its_entry() -> None:
    """Adding twice must not move a block in the journal."""
    tree = BlockTree()
    entry = branch(tree, tree.tip, 1)[0]
    again = tree.add(entry.hash, entry.header, 1, 99, 99)
    assert again is entry


def test_path_between_branches() -> None:
    """A reorganisation leaves from the tip down and enters from the fork up."""
    tree = BlockTree()
    old = branch(tree, tree.tip, 3)
    for entry in old:
        tree.enter(entry)
    new = branch(tree, old[0], 3, nonce=1)
    leave, enter = tree.path_to(new[-1].hash)
    assert list(leave) == [old[2], old[1]]
    assert enter == new
    assert tree.path_to(old[-1].hash) == ([], [])
    assert tree.fork_point(new[-1]) == old[0]


def test_branch_ends_are_found() -> None:
    """`getchaintips` shows the active end even when something bad follows it."""
    tree = BlockTree()
    old = branch(tree, tree.tip, 3)
    new = branch(tree, old[0], 1, nonce=1)
    tree.enter(old[0])
    tree.enter(old[1])
    assert sorted(leaf.height for leaf in tree.leaves()) == [2, 2, 3]
    assert tree.is_active(old[1])
    assert not tree.is_active(old[2])
    assert tree.was_active(old[1])
    assert not tree.was_active(new[0])


def test_descendants_share_the_cause() -> None:
    """A child of a bad block is bad for the same reason."""
    tree = BlockTree()
    entries = branch(tree, tree.tip, 3)
    tree.invalid[entries[0].hash] = "bad-cb-amount"
    assert tree.invalid_cause(entries[2]) == "bad-cb-amount"
    assert tree.invalid_cause(tree.tip) is None


def test_steps_are_only_between_neighbours() -> None:
    """A jump would corrupt every index that follows the tree."""
    tree = BlockTree()
    entries = branch(tree, tree.tip, 2)
    with pytest.raises(AssertionError):
        tree.enter(entries[1])
    with pytest.raises(AssertionError):
        tree.leave_tip()
    with pytest.raises(IndexError):
        tree.at(-1)
    with pytest.raises(IndexError):
        tree.at(1)


def test_unknown_block() -> None:
    """Lookups say no by None."""
    tree = BlockTree()
    assert tree.get(bytes(32)) is None
    assert tree.parent(tree.tip) is None
    assert [entry.hash for entry in tree.entries()] == [tree.tip.hash]
    assert msgspec.structs.asdict(tree.tip)["height"] == 0
