"""Records of the on-chain wallet, kept in the `node` journal: facts, in the past tense, that carry results.

The rules are those of `journal.records`. Tags 60 to 79 belong to the wallet. Txids and block hashes are 32 bytes in
internal order, amounts satoshis.
"""

from typing import TypeAlias

import msgspec


class KeyPath(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """Which key of the wallet: `m/purpose'/coin'/account'/branch/index` (BIP 44); the coin is the network's."""

    purpose: int
    account: int
    branch: int
    index: int


class CreatedCoin(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """An output that pays to the wallet."""

    txid: bytes
    vout: int
    value_sat: int
    script_pubkey: bytes
    path: KeyPath
    is_coinbase: bool


class SpentCoin(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """An output of the wallet that a transaction in a block spends."""

    txid: bytes
    vout: int


class SettledTransaction(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """A transaction of ours is in a block (`confirmed`), or one in a block excludes it for good."""

    txid: bytes
    confirmed: bool


class WalletCreated(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=60):
    """Birth of the wallet.

    account_keys: the 33-byte public key of each account, by which a wrong seed is noticed.
    restored: the seed is older than this journal, so every block is looked at once, from the first.
    """

    network: str
    account_keys: list[bytes]
    birth_height: int
    restored: bool


class AddressIssued(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=61):
    """An address was given to the user, who may give it to anybody."""

    path: KeyPath


class CoinsChanged(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=62):
    """A block that touches the wallet. What the wallet knew of other blocks at this height or above is undone first.

    A coin that is created and spent in this very block is in both lists.
    """

    height: int
    block_hash: bytes
    created: list[CreatedCoin]
    spent: list[SpentCoin]
    settled: list[SettledTransaction]


class WalletDisconnected(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=63):
    """Every block above `fork_height` left the best chain."""

    fork_height: int


class TransactionSent(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=64):
    """The wallet made this transaction (serialised and complete); it is broadcast at each start until it settles."""

    transaction: bytes


class TransactionAbandoned(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=65):
    """Transactions of ours are given up: nobody will take them, and their coins are free again."""

    txids: list[bytes]


class RescanFinished(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=66):
    """Every block from the first to this height was looked at anew.

    lost: txids of ours that spend what no block holds any more; they are given up.
    """

    height: int
    lost: list[bytes]


WalletRecord: TypeAlias = (
    WalletCreated
    | AddressIssued
    | CoinsChanged
    | WalletDisconnected
    | TransactionSent
    | TransactionAbandoned
    | RescanFinished
)
