"""What a block means to the wallet: found by scripts and outpoints, told as one record."""

from collections.abc import Sequence

from leyden.bitcoin.tx import OutPoint, Transaction
from leyden.journal.wallet_records import CoinsChanged, CreatedCoin, SettledTransaction, SpentCoin
from leyden.wallet.keys import GAP_LIMIT, Keyring, keychain_of
from leyden.wallet.pending import PendingTransactions
from leyden.wallet.state import WalletState


def changes_of_block(
    state: WalletState,
    pending: PendingTransactions,
    keyring: Keyring,
    height: int,
    block_hash: bytes,
    transactions: Sequence[Transaction],
    txids: Sequence[bytes],
) -> CoinsChanged | None:
    """Return the record of a block (32-byte hash, transactions and their txids), or None when it does not touch us."""
    created = find_outputs(keyring, transactions, txids)
    own = {OutPoint(coin.txid, coin.vout): None for coin in created}

    def is_own(outpoint: OutPoint) -> bool:
        if outpoint in own:
            return True
        coin = state.coins.get(outpoint)
        # What another block at this height or above gave is undone by the record.
        return coin is not None and coin.height < height

    spent = [
        SpentCoin(tx_in.prevout.txid, tx_in.prevout.vout)
        for tx in transactions
        for tx_in in tx.inputs
        if is_own(tx_in.prevout)
    ]
    settled = _settled(pending, transactions, txids)
    if not (created or spent or settled):
        return None
    return CoinsChanged(height, block_hash, created, spent, settled)


def find_outputs(keyring: Keyring, transactions: Sequence[Transaction], txids: Sequence[bytes]) -> list[CreatedCoin]:
    """Return the outputs that pay to watched keys, watching further keys as these are used."""
    while True:
        created = [
            CreatedCoin(txid, vout, out.value_sat, out.script_pubkey, path, _is_coinbase(tx))
            for tx, txid in zip(transactions, txids, strict=True)
            for vout, out in enumerate(tx.outputs)
            if (path := keyring.find(out.script_pubkey)) is not None
        ]
        # An output may pay to a key that comes into view only with another output of the same block.
        fresh = [keyring.watch(keychain_of(coin.path), coin.path.index + 1 + GAP_LIMIT) for coin in created]
        if not any(fresh):
            return created


def _is_coinbase(tx: Transaction) -> bool:
    return tx.inputs[0].prevout.txid == bytes(32)


def _settled(
    pending: PendingTransactions, transactions: Sequence[Transaction], txids: Sequence[bytes]
) -> list[SettledTransaction]:
    """Return those on their way that the block holds, and those that it excludes with what rests on them."""
    held = {txid: None for txid in txids if pending.get(txid) is not None}
    excluded: dict[bytes, None] = {}
    for tx, txid in zip(transactions, txids, strict=True):
        for tx_in in tx.inputs:
            for rival in pending.spenders(tx_in.prevout):
                if rival != txid:
                    excluded[rival] = None
                    excluded.update(dict.fromkeys(pending.descendants(rival)))
    result = [SettledTransaction(txid, confirmed=True) for txid in held]
    return result + [SettledTransaction(txid, confirmed=False) for txid in excluded if txid not in held]
