"""The chain in memory: the same promises as a service, without one."""

import asyncio

import pytest

from leyden.base.errors import ChainUnavailable, CommandRejected
from leyden.bitcoin.block import check_merkle_root
from leyden.bitcoin.networks import MAINNET, REGTEST
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut
from leyden.drivers.chain.memory import SUBSIDY_SAT, InvalidBlock, MemoryChain, MemoryChainSource
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
    chain.mine(99, ANYBODY)
    tx = spend(OutPoint(first.txids[0], 0), 1_000)
    assert chain.offer(tx).accepted
    blocks = chain.mine(depth, ANYBODY)
    await walk.to(blocks[-1].hash)
    branch = chain.reorganise(depth, depth + 1, ANYBODY)
    events = await walk.to(branch[-1].hash)
    assert events[0] == BlocksDisconnected(100, blocks[0].prev_hash)
    assert branch[0].txids[1] == tx.txid()
    assert await source.get_txout(OutPoint(blocks[0].txids[0], 0), include_mempool=True) is None
    assert branch[0].txids[0] != blocks[0].txids[0]


async def test_unspent_outputs_and_verdicts() -> None:
    """The node acts on these answers alike wherever they come from."""
    chain = MemoryChain(REGTEST)
    source = MemoryChainSource(chain)
    first = chain.mine(100, ANYBODY)[0]
    outpoint = OutPoint(first.txids[0], 0)
    coin = await source.get_txout(outpoint, include_mempool=True)
    assert coin is not None
    assert (coin.value_sat, coin.confirmations, coin.is_coinbase) == (SUBSIDY_SAT, 100, True)
    parent = spend(outpoint, 5_000)
    child = spend(OutPoint(parent.txid(), 0), 4_000)
    assert (await source.broadcast(child.serialize())).reject_reason == "bad-txns-inputs-missingorspent"
    assert (await source.broadcast_package([parent.serialize(), child.serialize()])).accepted
    assert (await source.broadcast(parent.serialize())).already_known
    assert (await source.broadcast(spend(outpoint, 6_000).serialize())).reject_reason.startswith("insufficient fee")
    assert await source.mempool_spends([outpoint, OutPoint(child.txid(), 0), outpoint]) == [parent]
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


# --- what the network would refuse ---------------------------------------------------------------------------------


def grown(blocks: int = 120) -> tuple[MemoryChain, list[OutPoint]]:
    """Return a chain and those of its coins that may be spent."""
    chain = MemoryChain(REGTEST)
    mined = chain.mine(blocks, ANYBODY)
    return chain, [OutPoint(block.txids[0], 0) for block in mined[:-99]]


def pay(
    *prevouts: OutPoint, fee_sat: int = 1_000, sequence: int = 0xFFFFFFFD, locktime: int = 0, version: int = 2,
    value_sat: int = SUBSIDY_SAT, outputs: int = 2,
) -> Transaction:  # fmt: skip
    """Return a transaction that spends outputs of `value_sat` each and pays a fee."""
    share_sat, rest_sat = divmod(value_sat * len(prevouts) - fee_sat, outputs)
    outs = [TxOut(share_sat, ANYBODY)] * (outputs - 1) + [TxOut(share_sat + rest_sat, ANYBODY)]
    return Transaction(version, tuple(TxIn(one, b"", sequence, (b"\x51",)) for one in prevouts), tuple(outs), locktime)


def first_of(tx: Transaction) -> tuple[OutPoint, int]:
    """Return the first output of a transaction, and its value."""
    return OutPoint(tx.txid(), 0), tx.outputs[0].value_sat


def child_of(*parents: Transaction, fee_sat: int) -> Transaction:
    """Return a child of the first outputs of parents."""
    spent = [first_of(tx) for tx in parents]
    value_sat = sum(value for _, value in spent)
    inputs = tuple(TxIn(outpoint, b"", 0xFFFFFFFD, (b"\x51",)) for outpoint, _ in spent)
    return Transaction(2, inputs, (TxOut(value_sat - fee_sat, ANYBODY),), 0)


def why(chain: MemoryChain, tx: Transaction) -> str:
    """Return the reason for which a transaction is refused; empty when it is taken."""
    return chain.offer(tx).reject_reason


def test_a_lock_time_is_final_from_the_block_after_its_height() -> None:
    """An HTLC-timeout that the simulator took one block too early would prove nothing about deadlines."""
    chain, (coin, *_) = grown()
    assert chain.tip.height == 120
    assert why(chain, pay(coin, locktime=121)) == "non-final"
    with pytest.raises(InvalidBlock, match="non-final"):
        chain.mine_block_with([pay(coin, locktime=121)], ANYBODY)
    assert why(chain, pay(coin, locktime=121, sequence=0xFFFFFFFF)) == "", "every input opts out"
    chain, (coin, *_) = grown()
    assert why(chain, pay(coin, locktime=120)) == ""


def test_lock_times_in_seconds_count_by_the_median() -> None:
    """A commitment's obscured number stands in such a lock time (BOLT 3), long past; a later one waits (BIP 113)."""
    chain, (coin, *_) = grown()
    block = chain.block_at(115)
    assert block is not None
    assert why(chain, pay(coin, locktime=block.header.time)) == "non-final"
    assert why(chain, pay(coin, locktime=block.header.time - 1)) == ""
    assert why(MemoryChain(REGTEST), pay(coin, locktime=0x20FFFFFF)) == "bad-txns-inputs-missingorspent"


@pytest.mark.parametrize("waits_in_pool", [False, True])
def test_relative_locks_count_from_the_block_of_the_coin(waits_in_pool: bool) -> None:
    """A `to_local` taken before its delay is the claim that no node of the network would relay (BIP 68)."""
    chain, (coin, *_) = grown()
    parent = pay(coin)
    assert chain.offer(parent).accepted
    outpoint, value_sat = first_of(parent)
    if not waits_in_pool:
        chain.mine(1, ANYBODY)
    assert why(chain, pay(outpoint, value_sat=value_sat, sequence=1)) == ("non-BIP68-final" if waits_in_pool else "")
    later = pay(outpoint, value_sat=value_sat, sequence=3, fee_sat=9_000)
    assert why(chain, later) == "non-BIP68-final"
    assert why(chain, pay(outpoint, value_sat=value_sat, sequence=1 << 31 | 3, fee_sat=11_000)) == "", "switched off"
    chain.evict(chain.pool_spends(outpoint).txid())  # type: ignore[union-attr]
    assert why(chain, pay(outpoint, value_sat=value_sat, sequence=3, version=1)) == "", "version 1 has none"
    chain.evict(chain.pool_spends(outpoint).txid())  # type: ignore[union-attr]
    chain.mine(1, ANYBODY)
    assert why(chain, later) == "non-BIP68-final"
    chain.mine(2 if waits_in_pool else 1, ANYBODY)
    assert why(chain, later) == ""


def test_relative_locks_in_seconds_count_by_the_median() -> None:
    """No Lightning script has them; a transaction that carries one is held to it all the same (BIP 68)."""
    chain, (coin, *_) = grown()
    parent = pay(coin)
    assert chain.offer(parent).accepted
    chain.mine(1, ANYBODY)
    outpoint, value_sat = first_of(parent)
    in_units_of_512_s = pay(outpoint, value_sat=value_sat, sequence=1 << 22 | 3)
    assert why(chain, in_units_of_512_s) == "non-BIP68-final"
    chain.mine(1, ANYBODY)
    assert why(chain, in_units_of_512_s) == "non-BIP68-final"
    chain.mine(1, ANYBODY)
    assert why(chain, in_units_of_512_s) == ""


def test_what_a_reorganisation_brings_back_may_be_too_cheap_by_now() -> None:
    """It must be offered again with a child that pays."""
    chain, (coin, *_) = grown()
    assert chain.offer(pay(coin, fee_sat=300)).accepted
    chain.mine(1, ANYBODY)
    chain.set_mempool_feerate(5_000)
    chain.reorganise(1, 2, ANYBODY, without={coin})
    assert not chain.pool


def test_no_money_is_made_and_coinbases_mature() -> None:
    """The light chain is the judge of amounts where no consensus library looks on."""
    chain, (coin, *_) = grown()
    assert why(chain, pay(coin, fee_sat=-1)) == "bad-txns-in-belowout"
    young = chain.block_at(22)
    assert young is not None
    assert why(chain, pay(OutPoint(young.txids[0], 0))) == "bad-txns-premature-spend-of-coinbase"
    assert why(chain, pay(OutPoint(coin.txid, 1))) == "bad-txns-inputs-missingorspent"


def test_a_bump_takes_the_place_of_what_it_replaces() -> None:
    """Claims are bumped by replacing them; what hung on the old one is gone."""
    chain, (coin, *_) = grown()
    old = pay(coin)
    child = child_of(old, fee_sat=500)
    assert chain.offer(old).accepted
    assert chain.offer(child).accepted
    assert why(chain, pay(coin, fee_sat=1_100)).startswith("insufficient fee, rejecting replacement")
    new = pay(coin, fee_sat=5_000)
    assert why(chain, new) == ""
    assert list(chain.pool) == [new.txid()]
    assert chain.pool_spends(coin) == new
    assert chain.unspent(first_of(old)[0], include_mempool=True) is None


def test_a_full_mempool_evicts_and_refuses_what_pays_less() -> None:
    """In a fee spike a transaction that had waited is gone, and offering it again does not help."""
    chain, (coin, other, *_) = grown()
    cheap, dear = pay(coin, fee_sat=300), pay(other, fee_sat=100_000)
    assert chain.offer(cheap).accepted
    assert chain.offer(dear).accepted
    chain.set_mempool_feerate(5_000)
    assert list(chain.pool) == [dear.txid()]
    assert why(chain, cheap) == "mempool min fee not met"
    chain.set_mempool_feerate(0)
    chain.relay_feerate_per_kw = 5_000
    assert why(chain, cheap) == "min relay fee not met"
    chain.relay_feerate_per_kw = 0
    assert why(chain, cheap) == ""
    assert chain.evict(cheap.txid())
    assert not chain.evict(cheap.txid())


async def test_estimates_are_not_below_the_minimum() -> None:
    """A claim at an estimate that the mempool refuses would never leave."""
    chain = MemoryChain(REGTEST)
    source = MemoryChainSource(chain)
    chain.set_mempool_feerate(9_000)
    estimate = await source.estimate_fee(6)
    assert (estimate.feerate_per_kw, estimate.source) == (9_000, FeeSource.RAISED_TO_FLOOR)
    chain.feerate_per_kw = 10_000
    assert (await source.estimate_fee(6)).source is FeeSource.ESTIMATE


# --- packages ------------------------------------------------------------------------------------------------------


def test_a_child_pays_for_a_parent_that_pays_too_little() -> None:
    """Commitments with anchors are published that way; alone they are refused."""
    chain, (coin, *_) = grown()
    chain.set_mempool_feerate(1_000)
    parent = pay(coin, fee_sat=0)
    poor, rich = child_of(parent, fee_sat=500), child_of(parent, fee_sat=5_000)
    assert why(chain, parent) == "mempool min fee not met"
    assert chain.offer_package([parent, poor]).reject_reason == "mempool min fee not met"
    assert not chain.pool
    assert chain.offer_package([parent, rich]).accepted
    assert list(chain.pool) == [parent.txid(), rich.txid()]
    assert chain.offer_package([parent, rich]).already_known
    richer = child_of(parent, fee_sat=9_000)
    assert chain.offer_package([parent, richer]).accepted, "the parent is there already"
    assert list(chain.pool) == [parent.txid(), richer.txid()]


def test_parents_that_are_good_alone_do_not_pay_for_others() -> None:
    """What is judged together is what failed alone, as the network does it."""
    chain, (coin, other, *_) = grown()
    chain.set_mempool_feerate(1_000)
    good, bad = pay(coin, fee_sat=500_000), pay(other, fee_sat=0)
    child = child_of(good, bad, fee_sat=400)
    assert chain.offer_package([good, bad, child]).reject_reason == "mempool min fee not met"
    assert list(chain.pool) == [good.txid()]


def test_packages_have_a_shape() -> None:
    """Another shape is refused by the network, so it must not be proven here."""
    chain, (coin, other, *_) = grown()
    parent, stranger = pay(coin), pay(other)
    child = child_of(parent, fee_sat=1_000)
    grandchild = child_of(child, parent, fee_sat=1_000)
    topology = "package topology disallowed. not child-with-parents or parents depend on each other."
    assert chain.offer_package([parent, stranger, child]).reject_reason == topology
    assert chain.offer_package([parent, child, grandchild]).reject_reason == topology
    many = "Array must contain between 1 and 25 transactions."
    assert chain.offer_package([parent] * 26).reject_reason == many
    assert chain.offer_package([]).reject_reason == many
    locked = pay(coin, locktime=900)
    assert chain.offer_package([locked, child_of(locked, fee_sat=1_000)]).reject_reason == "non-final"


def test_a_pair_replaces_a_pair() -> None:
    """Two commitments of a channel compete, each with its child; larger families may not (package RBF)."""
    chain, (coin, other, more, *_) = grown()
    chain.set_mempool_feerate(500)
    old = pay(coin, fee_sat=0, outputs=3)
    assert chain.offer_package([old, child_of(old, fee_sat=2_000)]).accepted
    new, second = pay(coin, fee_sat=0), pay(other, fee_sat=0)
    weak = chain.offer_package([new, child_of(new, fee_sat=2_100)])
    assert weak.reject_reason.startswith("insufficient fee, rejecting replacement")
    three = chain.offer_package([new, second, child_of(new, second, fee_sat=9_000)])
    assert three.reject_reason == "package RBF failed: package must be 1-parent-1-child"
    waiting = pay(more)
    assert chain.offer(waiting).accepted
    mixed = chain.offer_package([new, child_of(new, waiting, fee_sat=9_000)])
    assert mixed.reject_reason == "package RBF failed: new transaction cannot have mempool ancestors"
    assert chain.offer_package([new, child_of(new, fee_sat=9_000)]).accepted
    assert old.txid() not in chain.pool


# --- miners --------------------------------------------------------------------------------------------------------


def test_miners_choose() -> None:
    """A claim may wait for want of fee, or because a miner does not like it."""
    chain, (coin, other, third, *_) = grown()
    low, high, disliked = pay(coin, fee_sat=300), pay(other, fee_sat=90_000), pay(third, fee_sat=50_000)
    for tx in (low, high, disliked):
        assert chain.offer(tx).accepted
    chain.miners_feerate_per_kw = 1_000
    assert chain.mine(1, ANYBODY, drop={third})[0].txids[1:] == (high.txid(),)
    assert chain.mine(1, ANYBODY, drop={disliked.txid()})[0].txids[1:] == ()
    assert chain.mine(1, ANYBODY, drop=lambda tx: tx == disliked)[0].txids[1:] == ()
    assert chain.mine(1, ANYBODY)[0].txids[1:] == (disliked.txid(),)
    chain.miners_feerate_per_kw = 0
    chain.block_weight_max = low.weight() - 1
    assert chain.mine(1, ANYBODY)[0].txids[1:] == ()
    chain.block_weight_max += 1
    assert chain.mine(1, ANYBODY)[0].txids[1:] == (low.txid(),)


def test_a_block_may_hold_what_no_mempool_saw() -> None:
    """The other side's transaction can be mined without a warning; ours in the mempool is then no more."""
    chain, (coin, other, *_) = grown()
    ours = pay(coin)
    child = child_of(ours, fee_sat=1_000)
    assert chain.offer(ours).accepted
    assert chain.offer(child).accepted
    theirs = pay(coin, fee_sat=0, outputs=3)
    grandchild = child_of(theirs, fee_sat=10)
    assert chain.mine_block_with([theirs, grandchild], ANYBODY).txids[1:] == (theirs.txid(), grandchild.txid())
    assert not chain.pool
    for wrong in ([ours], [pay(other), pay(other, fee_sat=7)], [child_of(pay(other), fee_sat=1)]):
        with pytest.raises(InvalidBlock, match="bad-txns-inputs-missingorspent"):
            chain.mine_block_with(wrong, ANYBODY)
    parent = pay(other)
    assert chain.offer(parent).accepted
    with pytest.raises(InvalidBlock):
        chain.mine_block_with([child_of(parent, fee_sat=1)], ANYBODY)


def test_a_new_branch_mines_again_what_its_heights_allow() -> None:
    """After a reorganisation a timeout is final later, and what was left out waits in the mempool again."""
    chain, (coin, other, *_) = grown()
    chain.mine(3, ANYBODY)
    late, plain = pay(coin, locktime=123), pay(other)
    assert chain.offer(late).accepted
    assert chain.offer(plain).accepted
    chain.mine(1, ANYBODY)
    first = chain.reorganise(4, 5, ANYBODY)
    assert [block.txids[1:] for block in first] == [(plain.txid(),), (), (), (late.txid(),), ()]
    assert all(block.txids[1:] == () for block in chain.reorganise(5, 6, ANYBODY, without={plain.txid(), coin}))
    assert sorted(chain.pool) == sorted([plain.txid(), late.txid()])
    chain.reorganise(1, 1, ANYBODY)
    assert not chain.pool
    chain.reorganise(6, 2, ANYBODY)
    assert list(chain.pool) == [], "not final at the new tip"
    assert chain.unspent(coin, include_mempool=True) is not None


def test_grants_survive_reorganisations() -> None:
    """Worlds count the coins that they have given away."""
    chain, _ = grown(3)
    coin = pay(OutPoint(b"\x07" * 32, 0))
    chain.grant(coin)
    chain.miners_feerate_per_kw = 5_000
    assert chain.mine(1, ANYBODY)[0].txids[1:] == (coin.txid(),)
    chain.set_mempool_feerate(1_000)
    assert chain.copy().reorganise(2, 3, ANYBODY)[0].txids[1:] == (coin.txid(),)


def test_a_copy_goes_its_own_way_under_the_same_conditions() -> None:
    """The explorer copies the chain for every crash that it tries."""
    chain, (coin, *_) = grown()
    chain.set_mempool_feerate(300)
    chain.feerate_per_kw, chain.relay_feerate_per_kw, chain.miners_feerate_per_kw, chain.block_weight_max = (
        4,
        3,
        2,
        9_000,
    )
    other = chain.copy()
    assert other.conditions() == chain.conditions() == (4, 3, 300, 2, 9_000)
    assert other.offer(pay(coin, fee_sat=900)).accepted
    other.mine(2, ANYBODY)
    assert not chain.pool
    assert chain.tip.height == other.tip.height - 2
