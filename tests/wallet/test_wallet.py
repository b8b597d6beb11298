"""The wallet on a chain with Bitcoin Core's consensus rules: the mempool must take every transaction it makes."""

import pytest

from leyden.base.errors import CommandRejected
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut
from leyden.wallet.checks import FEERATE_MAX_PER_KW, FEERATE_MIN_PER_KW
from leyden.wallet.keys import GAP_LIMIT
from leyden.wallet.wallet import ANCHOR_RESERVE_SAT, COINBASE_MATURITY, AddressKind
from tests.wallet.wallet_world import ELSEWHERE, FEERATE, WalletWorld

COIN = 5_000_000_000
KINDS = list(AddressKind)


@pytest.mark.parametrize("kind", KINDS)
def test_mined_coins_can_be_spent_once_they_are_mature(world: WalletWorld, kind: AddressKind) -> None:
    """A coin offered one block too early makes a funding that nobody relays."""
    world.mine(1, world.address(kind))
    assert world.wallet.balance().immature_sat == COIN
    world.mine(COINBASE_MATURITY - 2)
    with pytest.raises(CommandRejected, match=r"0 sat spendable.*5000000000 sat immature"):
        world.send(100_000)
    world.mine(1)
    assert world.wallet.balance().spendable_sat == COIN
    tx = world.send(100_000)
    world.mine(1)
    fee = COIN - sum(out.value_sat for out in tx.outputs)
    assert world.wallet.balance().confirmed_sat == COIN - 100_000 - fee


@pytest.mark.parametrize("feerate_per_kw", [FEERATE_MIN_PER_KW, 253, 1_000, 12_345, FEERATE_MAX_PER_KW])
@pytest.mark.parametrize("kind", KINDS)
def test_fees_are_exact(world: WalletWorld, kind: AddressKind, feerate_per_kw: int) -> None:
    """A fee below the feerate asked for does not relay at the floor; one above wastes money."""
    world.fund(3, kind)
    for _ in range(4):
        draft = world.wallet.send(ELSEWHERE, 3 * COIN // 4, feerate_per_kw, world.entropy())
        tx = world.publish(draft)
        # Signatures are shorter than usual now and then, by a byte or two each.
        assert 0 <= draft.fee_sat - max(-(-tx.weight() * feerate_per_kw // 1000), tx.vsize()) <= feerate_per_kw // 100
        world.mine(1)
        if world.wallet.balance().spendable_sat < COIN:
            break


def test_change_on_its_way_can_be_spent_up_to_a_chain_of_twenty(world: WalletWorld) -> None:
    """Change must not block the next payment, but a chain that no mempool takes must not be built either."""
    world.fund(1)
    for _ in range(20):
        world.send(100_000)
        assert world.wallet.balance().confirmed_sat == 0
    with pytest.raises(CommandRejected, match="more than can be spent"):
        world.send(100_000)
    world.mine(1)
    world.send(100_000)


@pytest.mark.parametrize("anchor_channels", [0, 1, 7])
@pytest.mark.parametrize("kind", KINDS)
def test_send_all_leaves_the_reserve_and_nothing_else(
    world: WalletWorld, kind: AddressKind, anchor_channels: int
) -> None:
    """Whoever empties the wallet must still be able to close channels, and not lose a satoshi beside."""
    world.fund(3, kind)
    world.wallet.anchor_channels = anchor_channels
    draft = world.wallet.send_all(ELSEWHERE, FEERATE, world.entropy())
    world.publish(draft)
    world.mine(1)
    balance = world.wallet.balance()
    assert balance.confirmed_sat == balance.reserved_sat == anchor_channels * ANCHOR_RESERVE_SAT
    assert balance.spendable_sat == 0
    paid = draft.transaction.outputs[draft.output_indices[0]].value_sat
    assert paid + draft.fee_sat + balance.confirmed_sat == 3 * COIN


def test_payments_leave_the_reserve(world: WalletWorld) -> None:
    """The reserve is worth nothing if a payment can eat it."""
    world.fund(2)
    world.wallet.anchor_channels = 2
    balance = world.wallet.balance()
    assert (balance.reserved_sat, balance.spendable_sat) == (20_000, 2 * COIN - 20_000)
    with pytest.raises(CommandRejected) as refused:
        world.send(2 * COIN - 20_000)
    assert refused.value.code == "insufficient_funds"
    assert f"{2 * COIN - 20_000} sat spendable, 20000 sat reserved" in refused.value.what
    world.send(2 * COIN - 21_000, feerate_per_kw=253)
    world.mine(1)
    assert world.wallet.balance().confirmed_sat >= 20_000


def test_opening_a_channel_with_anchors_keeps_its_reserve_too(world: WalletWorld) -> None:
    """The channel that is being opened needs its reserve from its first block on."""
    world.fund(1)
    funding = [TxOut(COIN - 10_000, ELSEWHERE)]
    with pytest.raises(CommandRejected, match=f"{COIN - 10_000} sat spendable, 10000 sat reserved"):
        world.wallet.build_funding(b"a", funding, 253, 1, world.entropy())
    world.wallet.build_funding(b"a", funding, 253, 0, world.entropy())


def test_coins_locked_for_a_funding_are_not_offered_again(world: WalletWorld) -> None:
    """Two openings at once must not spend the same coin: one of the channels would never exist."""
    world.fund(2)
    first = world.wallet.build_funding(b"a", [TxOut(COIN // 2, ELSEWHERE)], FEERATE, 0, world.entropy())
    second = world.wallet.build_funding(b"b", [TxOut(COIN // 2, ELSEWHERE)], FEERATE, 0, world.entropy())
    assert not {i.prevout for i in first.transaction.inputs} & {i.prevout for i in second.transaction.inputs}
    assert first.change_path != second.change_path
    assert world.wallet.balance().locked_sat == 2 * COIN
    assert world.wallet.balance().spendable_sat == 0
    with pytest.raises(CommandRejected, match=f"{2 * COIN} sat locked for fundings"):
        world.send(1_000)
    world.wallet.release(b"b")
    world.wallet.release(b"unknown")
    assert world.wallet.balance().spendable_sat == COIN
    world.wallet.build_funding(b"a", [TxOut(COIN // 2, ELSEWHERE)], FEERATE, 0, world.entropy())
    assert world.wallet.balance().locked_sat == COIN, "a second draft of the same owner replaces the first"


def test_a_funding_given_back_is_on_its_way(world: WalletWorld) -> None:
    """From the broadcast on the coins are spent and the change is ours, also in the next life, until it confirms."""
    world.fund(1)
    draft = world.wallet.build_funding(b"a", [TxOut(COIN // 2, ELSEWHERE)], FEERATE, 1, world.entropy())
    tx = world.wallet.sign(draft)
    assert [o.value_sat for o in tx.outputs][draft.output_indices[0]] == COIN // 2
    world.wallet.pending_transaction(tx)
    world.broadcast(tx)
    world.check()
    assert world.wallet.balance().locked_sat == 0
    assert world.wallet.balance().unconfirmed_sat == draft.change_sat
    world.restart()
    world.wallet.pending_transaction(tx)
    world.check()
    world.mine(1)
    assert world.wallet.balance().confirmed_sat == draft.change_sat
    world.restart()
    world.wallet.pending_transaction(tx)
    world.wallet.pending_transaction(tx)
    world.check()
    assert world.own_pending() == set()


def test_a_funding_that_is_given_up_frees_its_coins(world: WalletWorld) -> None:
    """An opening that the peer never answers must not cost the coins for ever."""
    world.fund(1)
    tx = world.wallet.sign(world.wallet.build_funding(b"a", [TxOut(10_000, ELSEWHERE)], FEERATE, 0, world.entropy()))
    world.wallet.pending_transaction(tx)
    assert world.wallet.balance().confirmed_sat == 0
    world.wallet.forget_pending(tx.txid())
    assert world.wallet.balance().spendable_sat == COIN


def test_a_funding_that_was_never_published_is_given_up_by_its_txid(world: WalletWorld) -> None:
    """Nobody remembers the name of the lock; a younger funding with the same coin is not touched."""
    world.fund(1)
    old = world.wallet.build_funding(b"a", [TxOut(10_000, ELSEWHERE)], FEERATE, 0, world.entropy())
    world.wallet.forget_pending(old.transaction.txid())
    assert world.wallet.balance().spendable_sat == COIN
    new = world.wallet.sign(world.wallet.build_funding(b"b", [TxOut(20_000, ELSEWHERE)], FEERATE, 0, world.entropy()))
    world.wallet.pending_transaction(new)
    world.wallet.forget_pending(old.transaction.txid())
    assert world.own_pending() == {new.txid()}


def test_a_rival_replaces_what_rests_on_its_loser_too(world: WalletWorld) -> None:
    """Two transactions that spend one coin are one of them; their children must not count either."""
    world.fund(2)
    first = world.wallet.sign(world.wallet.build_funding(b"a", [TxOut(10_000, ELSEWHERE)], FEERATE, 0, world.entropy()))
    world.wallet.pending_transaction(first)
    own = [c for c in world.wallet.coins() if not c.height]
    child = Transaction(2, (TxIn(own[0].outpoint, b"", 0),), (TxOut(5_000, world.address()),), 0)
    world.wallet.pending_transaction(child)
    rival = Transaction(2, first.inputs, (TxOut(7_000, world.address()),), 0)
    world.wallet.pending_transaction(rival)
    assert world.own_pending() == {rival.txid()}
    assert world.wallet.balance().unconfirmed_sat == 7_000
    assert world.wallet.balance().confirmed_sat == COIN


def test_sends_survive_a_restart_and_are_offered_again(world: WalletWorld) -> None:
    """A transaction whose record is durable and whose broadcast was lost must reach the network in the next life."""
    world.fund(1)
    first, second = world.send(1_000_000), world.send(2_000_000)
    world.drop_pool()
    world.restart()
    assert world.wallet.unconfirmed_transactions() == [first.serialize(), second.serialize()]
    assert world.wallet.balance().confirmed_sat == 0
    for tx in (first, second):
        world.broadcast(tx)
    world.mine(1)
    assert world.wallet.unconfirmed_transactions() == []
    world.restart()
    world.check()


def test_a_send_that_was_double_spent_frees_its_other_coins(world: WalletWorld) -> None:
    """When a rival is mined, what rests on the loser is gone too, and a reorganisation may bring both back."""
    world.fund(2)
    first = world.wallet.send(ELSEWHERE, COIN + 5_000, FEERATE, world.entropy())
    loser = world.publish(first)
    child = world.send(10_000)
    world.drop_pool()
    rival_draft = world.wallet.sign(first)
    assert rival_draft == loser, "signatures are deterministic"
    coin = first.coins[0]
    rival = world.wallet.sign(
        type(first)(
            transaction=type(loser)(
                2, (TxIn(coin.outpoint, b"", 0xFFFFFFFD),), (TxOut(coin.value_sat - 20_000, ELSEWHERE),), 0
            ),
            coins=(coin,),
            fee_sat=20_000,
            output_indices=(0,),
            change_path=None,
            change_sat=0,
        )
    )
    world.broadcast(rival)
    world.mine(1)
    assert world.wallet.unconfirmed_transactions() == []
    assert world.wallet.balance().confirmed_sat == COIN
    world.leave(1)
    world.drop_pool()
    world.backend.mine(ELSEWHERE, 2)
    world.broadcast(loser)
    world.broadcast(child)
    world.sync()
    assert world.wallet.unconfirmed_transactions() == [loser.serialize(), child.serialize()]


def test_a_send_that_nobody_takes_can_be_given_up(world: WalletWorld) -> None:
    """Coins in a transaction below the mempool's minimum would be locked for ever."""
    world.fund(1)
    parent, child = world.send(1_000_000), world.send(2_000_000)
    world.drop_pool()
    record = world.wallet.abandon(parent.txid())
    assert record.txids == [parent.txid(), child.txid()]
    world.record(record)
    assert world.wallet.balance().spendable_sat == COIN
    with pytest.raises(CommandRejected) as refused:
        world.wallet.abandon(parent.txid())
    assert refused.value.code == "unknown_transaction"


def test_addresses_stay_within_the_gap_limit(world: WalletWorld) -> None:
    """A wallet restored from the seed looks no further than the gap; nobody must be given an address beyond it."""
    issued = [world.address() for _ in range(GAP_LIMIT)]
    assert len(set(issued)) == GAP_LIMIT
    assert world.wallet.new_address(AddressKind.P2WPKH).record is None
    assert world.address() == issued[0]
    world.mine(1, issued[0])
    assert world.address() not in issued
    taproot = world.address(AddressKind.P2TR)
    assert taproot not in issued
    assert world.wallet.is_own_script(taproot)


def test_keys_that_come_into_view_in_the_same_block_are_found(world: WalletWorld) -> None:
    """One transaction may pay to a key beyond the window and to the key that opens it."""
    world.fund(1)
    base = world.wallet.new_address(AddressKind.P2WPKH).record
    assert base is not None
    first = base.path.index
    far = [type(base.path)(84, 0, 0, first + step) for step in (3 * GAP_LIMIT, 2 * GAP_LIMIT, GAP_LIMIT)]
    world.pay_many([world.wallet._keyring.script_pubkey(path) for path in far], 50_000)
    world.mine(1)
    own = {OutPoint(coin.txid, coin.vout): coin.path for coin in world.wallet.coins() if coin.value_sat == 50_000}
    assert sorted(path.index for path in own.values()) == sorted(path.index for path in far)


def test_transactions_that_do_not_touch_the_wallet_are_not_kept(world: WalletWorld) -> None:
    """The node shows the wallet everything that it publishes; a commitment is none of its business."""
    world.fund(1)
    foreign = Transaction(2, (TxIn(OutPoint(b"\x01" * 32, 0), b"", 0),), (TxOut(1_000, ELSEWHERE),), 0)
    world.wallet.pending_transaction(foreign)
    assert world.own_pending() == set()
    close = Transaction(2, foreign.inputs, (TxOut(7_000, world.address()),), 0)
    world.wallet.pending_transaction(close)
    assert world.wallet.balance().unconfirmed_sat == 7_000
    world.wallet.forget_pending(close.txid())
    assert world.wallet.balance().unconfirmed_sat == 0
