"""Reorganisations and restarts: coins come and go with their blocks, and the wallet always equals the UTXO set."""

from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from leyden.base.errors import CommandRejected
from leyden.bitcoin.networks import REGTEST, TESTNET
from leyden.wallet import state as durable
from leyden.wallet.state import WalletState, fold, from_snapshot
from leyden.wallet.wallet import COINBASE_MATURITY, AddressKind, Wallet, creation_record
from tests.wallet.wallet_world import ELSEWHERE, SEED, WalletWorld, wallet_signer

COIN = 5_000_000_000


@pytest.mark.parametrize("depth", [1, 6, 50])
@pytest.mark.parametrize("pool_is_lost", [False, True])
def test_coins_go_and_come_back(world: WalletWorld, depth: int, pool_is_lost: bool) -> None:
    """What a lost block paid or spent is undone, and what was ours to broadcast is on its way again."""
    world.fund(3)
    world.mine(1)
    base = world.wallet.balance()
    for step in range(depth):
        if step % 5 == 0:
            world.send(1_000_000 + step)
        world.mine(1, world.address() if step % 3 == 0 else ELSEWHERE)
    sent = [tx for tx in world.wallet.state.sent.values() if tx.settled_height]
    world.leave(depth)
    if pool_is_lost:
        world.drop_pool()
    world.backend.mine(ELSEWHERE, 1)
    tree = world.backend.chain.tree
    assert tree.height == len(world.seen) - depth
    if not pool_is_lost:
        # The pool took the transactions back, and the first new block holds them again.
        world.sync()
        assert world.wallet.balance().immature_sat == base.immature_sat
        assert world.wallet.unconfirmed_transactions() == []
    else:
        world.record(world.wallet.disconnect_blocks(tree.height - 1))
        del world.seen[tree.height :]
        assert world.wallet.unconfirmed_transactions() == [entry.transaction for entry in sent]
        for raw in world.wallet.unconfirmed_transactions():
            world.broadcast(world.transaction(raw))
        world.sync()
    world.mine(depth + 5)
    assert all(entry.confirmed for entry in world.wallet.state.sent.values())
    world.restart()
    world.check()


def test_a_reorganisation_deeper_than_what_is_kept_looks_at_every_block_again(
    world: WalletWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spent coins are forgotten after a while; a deeper reorganisation must not make them vanish for good."""
    monkeypatch.setattr(durable, "FORGET_DEPTH", 30)
    world.fund(4)
    for _ in range(12):
        world.send(1_000_000)
        world.mine(4)
    assert len(world.wallet.state.blocks) <= 30
    assert world.wallet.state.forgotten_height > 100
    world.leave(60)
    world.backend.mine(ELSEWHERE, 61)
    world.sync()
    assert world.wallet.rescan_from is None
    world.mine(1)
    assert world.wallet.balance().confirmed_sat > 3 * COIN
    world.restart()
    world.check()


def test_what_is_kept_is_bounded(world: WalletWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that runs for years must not remember every coin it ever had."""
    monkeypatch.setattr(durable, "FORGET_DEPTH", 20)
    world.fund(2)
    for _ in range(60):
        world.send(100_000)
        world.mine(1)
    state = world.wallet.state
    assert len(state.blocks) <= 20
    assert len(state.sent) <= 20
    assert len(state.coins) <= 2 * 20 + 2
    assert world.wallet._pending.count() <= 20
    assert len(world.wallet.snapshot()) < 40_000


def test_a_seed_with_history_is_found_from_the_first_block_on(tmp_path: Path) -> None:
    """Whoever restores from the words must see all coins, also beyond the first window of keys."""
    world = WalletWorld(tmp_path / "chain")
    world.fund(2)
    for _ in range(45):
        world.mine(1, world.address())
        world.address(AddressKind.P2TR)
    world.send(1_000_000)
    world.mine(1, world.address(AddressKind.P2TR))
    state = WalletState()
    fold(state, creation_record(REGTEST, wallet_signer(), world.wallet.height, restored=True))
    restored = Wallet(REGTEST, wallet_signer(), state, world.wallet.height)
    assert restored.rescan_from == 1
    for height in range(1, len(world.seen)):
        parsed = world.backend.chain.parsed_block(world.backend.chain.tree.at(height))
        record = restored.connect_block(height, world.seen[height], parsed.block.transactions, parsed.txids)
        if record is not None:
            restored.fold(record)
    restored.fold(restored.rescan_finished())
    assert restored.rescan_from is None
    assert restored.balance() == world.wallet.balance()
    assert {c.outpoint for c in restored.coins()} == {c.outpoint for c in world.wallet.coins()}
    world.close()


@pytest.mark.parametrize("lag", [1, 3, 10])
def test_blocks_seen_before_the_crash_change_nothing_when_they_come_again(world: WalletWorld, lag: int) -> None:
    """The node's best block is written late: after a crash the wallet has seen more than the node says."""
    world.fund(1)
    for _ in range(lag):
        world.send(100_000)
        world.mine(1, world.address())
    before = world.wallet.balance()
    world.restart(height=world.wallet.height - lag)
    assert world.wallet.balance().confirmed_sat != before.confirmed_sat
    world.sync()
    assert world.wallet.balance() == before
    top = world.backend.chain.tree.at(world.wallet.height)
    parsed = world.backend.chain.parsed_block(top)
    assert world.wallet.connect_block(top.height, top.hash, parsed.block.transactions, parsed.txids) is None


def test_another_block_at_a_known_height_replaces_what_was_known_there(world: WalletWorld) -> None:
    """A source that forgets to say that a block was disconnected must not leave its coins behind."""
    world.fund(1)
    world.mine(3, world.address())
    height = world.wallet.height
    world.leave(3)
    world.backend.mine(ELSEWHERE, 1)
    world.backend.mine(world.address(), 2)
    for at in range(height - 2, height + 1):
        entry = world.backend.chain.tree.at(at)
        parsed = world.backend.chain.parsed_block(entry)
        record = world.wallet.connect_block(at, entry.hash, parsed.block.transactions, parsed.txids)
        assert record is not None
        world.record(record)
        world.seen[at] = entry.hash
    world.check()


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_the_wallet_is_the_utxo_set(world: WalletWorld, seed: int) -> None:
    """Payments, mining, reorganisations and restarts in any order: the sum is compared after every step."""
    random = Random(seed)
    world.fund(3)
    for _ in range(40):
        match random.randrange(6):
            case 0 | 1:
                world.mine(random.randint(1, 3), world.address(random.choice(list(AddressKind))))
            case 2 | 3:
                script = random.choice([ELSEWHERE, world.address(random.choice(list(AddressKind)))])
                # What is refused is refused for want of money: the other checks cannot fail here.
                with suppress(CommandRejected):
                    world.send(random.randint(1_000, COIN), script, random.choice([250, 1_000, 20_000]))
                world.check()
            case 4:
                depth = random.randint(1, 8)
                world.leave(depth)
                world.mine(depth + random.randint(1, 2), ELSEWHERE)
            case _:
                world.restart(max(world.wallet.height - random.randint(0, 3), 0))
                world.sync()
    world.mine(COINBASE_MATURITY)
    assert world.wallet.balance().unconfirmed_sat == 0


@pytest.mark.parametrize(
    ("network", "seed", "code"),
    [(REGTEST, bytes(32), "wrong_seed"), (TESTNET, SEED, "wrong_network")],
)
def test_a_wallet_of_another_seed_or_network_does_not_open(network: object, seed: bytes, code: str) -> None:
    """Coins that the signer cannot sign for must not be shown as ours."""
    state = WalletState()
    fold(state, creation_record(REGTEST, wallet_signer(), 0, restored=False))
    with pytest.raises(CommandRejected) as refused:
        Wallet(network, wallet_signer(seed), from_snapshot(durable.to_snapshot(state)), 0)  # type: ignore[arg-type]
    assert refused.value.code == code


def test_a_payment_from_a_coinbase_that_is_gone_for_good_can_be_given_up(world: WalletWorld) -> None:
    """A transaction that can never confirm must neither count as money on its way nor keep other coins for ever."""
    world.mine(1, world.address())
    world.fund(1)
    height = world.wallet.height
    lost = world.send(COIN + 1_000_000)
    child = world.send(1_000)
    world.leave(height)
    world.backend.mine(ELSEWHERE, height + 1)
    world.sync()
    assert world.wallet.balance().unconfirmed_sat == 0
    assert world.wallet.unconfirmed_transactions() == []
    world.record(world.wallet.abandon(lost.txid()))
    assert child.txid() not in world.wallet.state.sent
    world.restart()
    world.fund(1)
    world.send(COIN // 2)
