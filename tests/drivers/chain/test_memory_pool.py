"""What replaces what in the mempool of the chain in memory, what is evicted, and what a miner takes."""

import pytest

from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut
from leyden.drivers.chain.memory_pool import MemoryPool, PoolEntry, Refused, is_above


def entry(name: int, *prevouts: OutPoint, fee_sat: int = 1000, weight: int = 400, granted: bool = False) -> PoolEntry:
    """Return an entry with one output; `name` makes it differ from others."""
    tx = Transaction(2, tuple(TxIn(one, b"", 0) for one in prevouts), (TxOut(name, b""), TxOut(name, b"")), 0)
    return PoolEntry(tx, tx.txid(), fee_sat, weight, granted)


def coin(number: int) -> OutPoint:
    """Return an output of a block."""
    return OutPoint(number.to_bytes(32, "big"), 0)


def of(parent: PoolEntry, vout: int = 0) -> OutPoint:
    """Return an output of an entry."""
    return OutPoint(parent.txid, vout)


def pool_of(*entries: PoolEntry) -> MemoryPool:
    """Return a pool with these entries."""
    pool = MemoryPool()
    for one in entries:
        pool.add(one)
    return pool


def test_a_copy_is_independent() -> None:
    """The explorer tries many futures of one world: none may leak into another."""
    one = entry(1, coin(1))
    pool = pool_of(one)
    other = pool.copy()
    other.remove([one.txid])
    assert list(pool) == [one.txid]
    assert pool.spender(coin(1)) == one
    assert not other
    assert other.spender(coin(1)) is None


def test_families_are_found_over_generations() -> None:
    """A grandchild leaves with its grandparent, and its ancestors are what a miner must take along."""
    parent = entry(1, coin(1))
    child = entry(2, of(parent))
    grandchild = entry(3, of(child), coin(2))
    stranger = entry(4, coin(3))
    pool = pool_of(parent, child, grandchild, stranger)
    assert list(pool.with_descendants([parent.txid])) == [parent.txid, child.txid, grandchild.txid]
    assert sorted(pool.ancestors(grandchild.tx)) == sorted([parent.txid, child.txid])
    pool.remove_with_descendants([child.txid])
    assert list(pool) == [parent.txid, stranger.txid]
    assert pool.spender(of(parent)) is None
    pool.clear()
    assert not pool
    assert pool.spender(coin(3)) is None


@pytest.mark.parametrize(
    ("fee_sat", "why"),
    [(1000, "feerate"), (1001, "not enough additional fees"), (1099, "not enough additional fees"), (1100, "")],
)
def test_a_replacement_pays_for_what_it_replaces_and_for_its_own_relay(fee_sat: int, why: str) -> None:
    """One satoshi too little, and the bump that a deadline hangs on is never seen by a miner."""
    pool = pool_of(entry(1, coin(1)))
    new = entry(2, coin(1), coin(2), fee_sat=fee_sat)
    if why:
        with pytest.raises(Refused, match=f"insufficient fee, rejecting replacement .*{why}") as caught:
            pool.check_replacement([new])
        assert caught.value.too_cheap
    else:
        assert len(pool.check_replacement([new])) == 1


def test_descendants_of_what_is_replaced_are_paid_for() -> None:
    """A peer that hangs a large child on its claim makes ours dearer: this is pinning."""
    old = entry(1, coin(1), fee_sat=500)
    child = entry(2, of(old), fee_sat=90_000, weight=40_000)
    pool = pool_of(old, child)
    with pytest.raises(Refused, match="less fees than conflicting txs; 90000 < 90500"):
        pool.check_replacement([entry(3, coin(1), fee_sat=90_000)])
    assert list(pool.check_replacement([entry(3, coin(1), fee_sat=90_600)])) == [old.txid, child.txid]


def test_a_larger_replacement_needs_the_higher_feerate_too() -> None:
    """More satoshis for many more bytes are no better for a miner."""
    pool = pool_of(entry(1, coin(1), fee_sat=1000, weight=400))
    with pytest.raises(Refused, match="new feerate is not above"):
        pool.check_replacement([entry(2, coin(1), fee_sat=3000, weight=1200)])


def test_nothing_replaces_what_it_builds_on() -> None:
    """It would be left without its inputs."""
    parent = entry(1, coin(1))
    pool = pool_of(parent)
    with pytest.raises(Refused, match="bad-txns-spends-conflicting-tx"):
        pool.check_replacement([entry(2, of(parent), coin(1), fee_sat=50_000)])


def test_at_most_a_hundred_are_replaced() -> None:
    """The network bounds the work of one replacement, so a claim may not count on more."""
    chain = [entry(0, coin(1), fee_sat=1)]
    for number in range(1, 101):
        chain.append(entry(number, of(chain[-1]), fee_sat=1))
    with pytest.raises(Refused, match="too many potential replacements"):
        pool_of(*chain).check_replacement([entry(500, coin(1), fee_sat=50_000)])
    assert len(pool_of(*chain[:-1]).check_replacement([entry(500, coin(1), fee_sat=50_000)])) == 100


def test_the_floor_counts_whole_virtual_bytes() -> None:
    """Relay counts virtual bytes, rounded up: a claim at the estimate by weight may be a satoshi short."""
    assert is_above([entry(1, coin(1), fee_sat=100, weight=400)], 250)
    assert not is_above([entry(1, coin(1), fee_sat=100, weight=401)], 250)
    assert is_above([entry(1, coin(1), fee_sat=0), entry(2, coin(2), fee_sat=200)], 250)


def test_the_cheapest_are_evicted_but_for_those_a_child_pays_for() -> None:
    """A commitment with its CPFP child must outlive the spike that evicts others."""
    cheap, helped, granted = (
        entry(1, coin(1), fee_sat=100),
        entry(2, coin(2), fee_sat=0),
        entry(3, coin(3), fee_sat=0, granted=True),
    )
    child = entry(4, of(helped), fee_sat=2000)
    on_cheap = entry(5, of(cheap), fee_sat=100)
    pool = pool_of(cheap, helped, granted, child, on_cheap)
    pool.trim(1000)
    assert list(pool) == [helped.txid, granted.txid, child.txid]


def test_a_block_takes_the_best_that_fit_with_their_ancestors() -> None:
    """A child that pays for its parent pulls it in; what pays less waits, and comes before nothing it depends on."""
    cheap, parent = entry(1, coin(1), fee_sat=900), entry(2, coin(2), fee_sat=0)
    child, dear = entry(3, of(parent), fee_sat=4000), entry(4, coin(4), fee_sat=3000)
    pool = pool_of(cheap, parent, child, dear)
    assert pool.template(1600, 0, None) == [cheap, parent, child, dear], "all fit"
    assert pool.template(1200, 0, None) == [parent, child, dear]
    assert pool.template(400, 0, None) == [dear], "the pair does not fit"
    assert pool.template(1600, 4000, None) == [parent, child, dear]
    assert pool.template(1600, 6000, None) == [dear]


def test_what_a_miner_leaves_out_takes_its_children_along() -> None:
    """A block with a child but not its parent would be none."""
    parent, stranger = entry(1, coin(1)), entry(3, coin(3))
    child = entry(2, of(parent), fee_sat=100_000)
    pool = pool_of(parent, child, stranger)
    assert pool.template(10_000, 0, lambda one: one.txid == parent.txid) == [stranger]


def test_grants_are_mined_whatever_they_pay() -> None:
    """Worlds give coins away in transactions that pay nothing."""
    granted = entry(1, coin(1), fee_sat=0, granted=True)
    assert pool_of(granted, entry(2, coin(2), fee_sat=10)).template(10_000, 5000, None) == [granted]
