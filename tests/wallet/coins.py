"""Coins without a chain."""

from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut
from leyden.wallet.keys import CHANGE_P2WPKH, RECEIVE_P2WPKH, Keychain, Keyring
from leyden.wallet.state import Coin
from tests.wallet.wallet_world import wallet_signer

KEYRING = Keyring(wallet_signer())
CHANGE_PATH = CHANGE_P2WPKH.path(0)
CHANGE_SCRIPT = KEYRING.script_pubkey(CHANGE_PATH)


def coin(number: int, value_sat: int, chain: Keychain = RECEIVE_P2WPKH, height: int = 1) -> Coin:
    """A coin that is told from others by its number."""
    path = chain.path(number % 20)
    script_pubkey = KEYRING.script_pubkey(path)
    return Coin(number.to_bytes(32, "big"), 0, value_sat, script_pubkey, path, False, height, 0)


def spending(prevouts: list[OutPoint], outputs: list[TxOut]) -> Transaction:
    """A transaction without witnesses."""
    return Transaction(2, tuple([TxIn(prevout, b"", 0) for prevout in prevouts]), tuple(outputs), 0)
