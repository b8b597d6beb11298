"""Transactions on their way, without a chain."""

from msgspec.structs import replace

from leyden.bitcoin.tx import OutPoint, Transaction, TxOut
from leyden.wallet.pending import MAX_UNCONFIRMED_ANCESTORS, PendingTransaction, PendingTransactions
from leyden.wallet.state import Coin
from tests.wallet.coins import CHANGE_SCRIPT, coin, spending
from tests.wallet.wallet_world import ELSEWHERE

SOURCE = coin(1, 1_000_000)
FOREIGN = OutPoint(b"\x99" * 32, 3)


def entry_of(tx: Transaction) -> PendingTransaction:
    """A transaction whose inputs are all ours, and which pays us with each output to the change script."""
    txid = tx.txid()
    paid = [
        replace(coin(2, out.value_sat, height=0), txid=txid, vout=vout)
        for vout, out in enumerate(tx.outputs)
        if out.script_pubkey == CHANGE_SCRIPT
    ]
    return PendingTransaction(txid, tx, [i.prevout for i in tx.inputs if i.prevout != FOREIGN], paid, 0)


def chain_of(length: int) -> list[Transaction]:
    """Transactions that each spend the first output of the one before."""
    made: list[Transaction] = []
    prevout = SOURCE.outpoint
    for n in range(length):
        made.append(spending([prevout], [TxOut(500_000 - n, CHANGE_SCRIPT), TxOut(1_000, ELSEWHERE)]))
        prevout = OutPoint(made[-1].txid(), 0)
    return made


def pending_of(transactions: list[Transaction]) -> PendingTransactions:
    """All of them on their way."""
    pending = PendingTransactions()
    for tx in transactions:
        pending.add(entry_of(tx))
    return pending


CONFIRMED: dict[OutPoint, Coin] = {SOURCE.outpoint: SOURCE}


def test_a_chain_pays_us_with_its_last_change_only() -> None:
    """Change that is spent again must not be counted twice."""
    transactions = chain_of(4)
    pending = pending_of(transactions)
    ids = [tx.txid() for tx in transactions]
    assert [c.txid for c in pending.coins(CONFIRMED)] == ids[-1:]
    assert pending.descendants(ids[0]) == ids[1:]
    assert [pending.ancestors(txid) for txid in ids] == [1, 2, 3, 4]
    assert pending.is_spent(SOURCE.outpoint)
    assert pending.pays_us(OutPoint(ids[3], 0))
    assert not pending.pays_us(OutPoint(ids[3], 1))
    assert not pending.pays_us(OutPoint(b"\x00" * 32, 0))


def test_ancestors_are_counted_up_to_the_limit() -> None:
    """The answer is needed for each payment: a long chain must not make it slow."""
    transactions = chain_of(60)
    pending = pending_of(transactions)
    assert pending.ancestors(transactions[-1].txid()) == MAX_UNCONFIRMED_ANCESTORS + 1


def test_what_settled_is_on_its_way_again_after_a_reorganisation() -> None:
    """A reorganisation gives back what the lost block held, and nothing else."""
    transactions = chain_of(3)
    pending = pending_of(transactions)
    ids = [tx.txid() for tx in transactions]
    for height, txid in enumerate(ids, 10):
        pending.settle(txid, height)
    pending.settle(b"\x00" * 32, 11)
    assert list(pending.live()) == []
    assert not pending.is_spent(SOURCE.outpoint)
    pending.undo_above(10)
    assert [entry.txid for entry in pending.live()] == ids[1:]
    assert pending.get(ids[0]) is None
    pending.forget(10)
    assert pending.count() == 2


def test_removal_leaves_no_trace() -> None:
    """A leftover would keep a coin from being spent for ever."""
    transactions = chain_of(3)
    pending = pending_of(transactions)
    pending.add(entry_of(transactions[0]))
    assert pending.count() == 3
    for tx in transactions:
        pending.remove(tx.txid())
        pending.remove(tx.txid())
    assert pending.count() == 0
    assert pending.coins(CONFIRMED) == []
    assert not pending.is_spent(SOURCE.outpoint)


def test_rivals_are_told_apart() -> None:
    """Two versions of a transaction spend the same coin until one of them is mined."""
    first = spending([SOURCE.outpoint], [TxOut(5_000, CHANGE_SCRIPT)])
    second = spending([SOURCE.outpoint], [TxOut(4_000, CHANGE_SCRIPT)])
    pending = pending_of([first, second])
    assert pending.spenders(SOURCE.outpoint) == [first.txid(), second.txid()]
    pending.remove(first.txid())
    assert pending.spenders(SOURCE.outpoint) == [second.txid()]


def test_orphans_and_what_rests_on_them_are_no_money() -> None:
    """Their coin is in no block and on no way; foreign inputs say nothing about it."""
    transactions = chain_of(3)
    pending = pending_of(transactions)
    assert pending.orphans(CONFIRMED) == {}
    assert list(pending.orphans({})) == [tx.txid() for tx in transactions]
    assert pending.coins({}) == []
    pending.add(entry_of(spending([FOREIGN], [TxOut(7_000, CHANGE_SCRIPT)])))
    assert [c.value_sat for c in pending.coins({})] == [7_000]


def test_only_what_nobody_else_can_replace_is_certain() -> None:
    """A foreign input makes a transaction, and all that rests on it, a promise of others."""
    certain = chain_of(2)
    shared = spending([OutPoint(b"\x05" * 32, 0), FOREIGN], [TxOut(7_000, CHANGE_SCRIPT)])
    child = spending([OutPoint(shared.txid(), 0)], [TxOut(6_000, CHANGE_SCRIPT)])
    pending = pending_of([*certain, shared, child])
    assert list(pending.certain()) == [tx.txid() for tx in certain]
    assert pending.is_known(shared.txid())
    pending.settle(shared.txid(), 9)
    assert pending.is_known(shared.txid())
    assert child.txid() in pending.certain()
