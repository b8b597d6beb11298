"""What a block means to the wallet, without a chain."""

from msgspec.structs import replace

from leyden.bitcoin.tx import OutPoint, Transaction, TxOut
from leyden.journal.wallet_records import CoinsChanged, SettledTransaction, SpentCoin
from leyden.wallet.blocks import changes_of_block, find_outputs
from leyden.wallet.keys import GAP_LIMIT, RECEIVE_P2TR, RECEIVE_P2WPKH, Keyring
from leyden.wallet.pending import PendingTransaction, PendingTransactions
from leyden.wallet.state import WalletState
from tests.wallet.coins import CHANGE_SCRIPT, KEYRING, coin, spending
from tests.wallet.wallet_world import ELSEWHERE, wallet_signer

NOWHERE = OutPoint(bytes(32), 0xFFFFFFFF)
OTHERS = OutPoint(b"\x77" * 32, 0)
HASH = b"\xbb" * 32


def look(
    transactions: list[Transaction], state: WalletState, pending: PendingTransactions | None = None
) -> CoinsChanged | None:
    """Look at a block of height 100."""
    ids = [tx.txid() for tx in transactions]
    return changes_of_block(state, pending or PendingTransactions(), KEYRING, 100, HASH, transactions, ids)


def test_a_block_that_does_not_touch_us_says_nothing() -> None:
    """Nearly every block: a record for each would fill the journal."""
    coinbase = spending([NOWHERE], [TxOut(1, ELSEWHERE)])
    assert look([coinbase, spending([OTHERS], [TxOut(5, ELSEWHERE)])], WalletState()) is None


def test_outputs_inputs_and_coinbases_are_told_apart() -> None:
    """A coinbase output taken for an ordinary one would be spent too early."""
    known = coin(1, 5_000)
    state = WalletState(coins={known.outpoint: known})
    coinbase = spending([NOWHERE], [TxOut(1, ELSEWHERE), TxOut(700, CHANGE_SCRIPT)])
    first = spending([known.outpoint, OTHERS], [TxOut(600, CHANGE_SCRIPT)])
    second = spending([OutPoint(first.txid(), 0)], [TxOut(5, ELSEWHERE)])
    changes = look([coinbase, first, second], state)
    assert changes is not None
    assert [(c.txid, c.vout, c.is_coinbase) for c in changes.created] == [
        (coinbase.txid(), 1, True),
        (first.txid(), 0, False),
    ]
    assert changes.spent == [SpentCoin(known.txid, 0), SpentCoin(first.txid(), 0)]
    assert (changes.height, changes.block_hash, changes.settled) == (100, HASH, [])


def test_coins_of_a_branch_that_is_being_left_are_not_spent() -> None:
    """The record undoes them first, so it must not name them."""
    stale = coin(1, 5_000, height=100)
    changes = look([spending([stale.outpoint], [TxOut(1, CHANGE_SCRIPT)])], WalletState(coins={stale.outpoint: stale}))
    assert changes is not None
    assert changes.spent == []


def test_what_was_on_its_way_settles_with_what_rests_on_it() -> None:
    """A rival in a block takes the loser's children along, and nothing that the block holds itself."""
    source = coin(1, 5_000)
    loser = spending([source.outpoint], [TxOut(4_000, CHANGE_SCRIPT)])
    child = spending([OutPoint(loser.txid(), 0)], [TxOut(3_000, CHANGE_SCRIPT)])
    rival = spending([source.outpoint, OTHERS], [TxOut(1, ELSEWHERE)])
    winner = spending([OutPoint(b"\x55" * 32, 0)], [TxOut(9, ELSEWHERE)])
    pending = PendingTransactions()
    for tx in (loser, child, winner):
        pending.add(PendingTransaction(tx.txid(), tx, [i.prevout for i in tx.inputs], [], 0))
    changes = look([rival, winner], WalletState(coins={source.outpoint: source}), pending)
    assert changes is not None
    assert changes.settled == [
        SettledTransaction(winner.txid(), confirmed=True),
        SettledTransaction(loser.txid(), confirmed=False),
        SettledTransaction(child.txid(), confirmed=False),
    ]
    held = look([loser, child], WalletState(coins={source.outpoint: source}), pending)
    assert held is not None
    assert [entry.confirmed for entry in held.settled] == [True, True]


def test_keys_beyond_the_window_are_found_when_the_block_opens_it() -> None:
    """The order of outputs in a block is not that of the keys."""
    keyring = Keyring(wallet_signer())
    paths = [chain.path(index) for chain in (RECEIVE_P2WPKH, RECEIVE_P2TR) for index in (55, 38, 19)]
    tx = spending([OTHERS], [TxOut(1_000, keyring.script_pubkey(path)) for path in paths])
    assert [c.path for c in find_outputs(keyring, [tx], [tx.txid()])] == paths
    lost = replace(tx, outputs=tx.outputs[:1])
    fresh = Keyring(wallet_signer())
    assert find_outputs(fresh, [lost], [lost.txid()]) == []
    assert paths[0].index > 2 * GAP_LIMIT
