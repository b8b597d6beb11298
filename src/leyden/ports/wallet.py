"""The `OnchainWallet` port: what the node needs of whoever keeps its coins. Default: `leyden.wallet.wallet.Wallet`.

Methods that change something durable return the record that says so; the node appends it to its journal and gives it
back to `fold`. A wallet that keeps its state elsewhere returns None and ignores `fold`.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from leyden.bitcoin.networks import Network
from leyden.bitcoin.tx import Transaction, TxOut
from leyden.journal.wallet_records import (
    CoinsChanged,
    RescanFinished,
    TransactionAbandoned,
    TransactionSent,
    WalletDisconnected,
    WalletRecord,
)
from leyden.wallet.building import Draft
from leyden.wallet.claims import ClaimDraft, ClaimTemplate
from leyden.wallet.keys import WalletSigner
from leyden.wallet.state import WalletState
from leyden.wallet.wallet import AddressKind, Balance, IssuedAddress


class OnchainWallet(Protocol):
    """See the module; each method is documented where the default implements it."""

    anchor_channels: int

    @property
    def rescan_from(self) -> int | None:
        """The height from which every block must be fed again, or None."""
        ...

    def fold(self, record: WalletRecord) -> None:
        """Take in a record that this wallet returned."""
        ...

    def snapshot(self) -> bytes:
        """Encode the durable state."""
        ...

    def connect_block(
        self, height: int, block_hash: bytes, transactions: Sequence[Transaction], txids: Sequence[bytes]
    ) -> CoinsChanged | WalletDisconnected | None:
        """Take the next block of the best chain."""
        ...

    def disconnect_blocks(self, fork_height: int) -> WalletDisconnected | None:
        """Undo every block above `fork_height`."""
        ...

    def rescan_finished(self) -> RescanFinished:
        """Say that every block from `rescan_from` was fed."""
        ...

    def new_address(self, kind: AddressKind) -> IssuedAddress:
        """Return an address to receive with."""
        ...

    def balance(self) -> Balance:
        """Return what the wallet holds."""
        ...

    def build_funding(
        self, owner: bytes, outputs: Sequence[TxOut], feerate_per_kw: int, new_anchor_channels: int, entropy: bytes
    ) -> Draft:
        """Choose and lock coins for a transaction with these outputs. Raises CommandRejected (`insufficient_funds`)."""
        ...

    def fund_claim(self, owner: bytes, template: ClaimTemplate, feerate_per_kw: int, fee_max_sat: int) -> ClaimDraft:
        """Choose and lock coins for the fee of a claim.

        Raises CommandRejected (`insufficient_funds`, `coins_in_use`, `fee_too_high`).
        """
        ...

    def release(self, owner: bytes) -> None:
        """Give locked coins back."""
        ...

    def sign(self, draft: Draft | ClaimDraft) -> Transaction:
        """Return the draft's transaction, signed; of a claim the inputs that spend coins of the wallet."""
        ...

    def send(self, script_pubkey: bytes, amount_sat: int, feerate_per_kw: int, entropy: bytes) -> Draft:
        """Choose coins to pay an amount to a script."""
        ...

    def send_all(self, script_pubkey: bytes, feerate_per_kw: int, entropy: bytes) -> Draft:
        """Choose all coins to pay all but fee and reserve to a script."""
        ...

    def sent(self, transaction: Transaction) -> TransactionSent:
        """Say that this signed transaction is ours to broadcast."""
        ...

    def abandon(self, txid: bytes) -> TransactionAbandoned:
        """Give up a transaction of ours that is in no block."""
        ...

    def pending_transaction(self, transaction: Transaction) -> None:
        """Take in a signed transaction that spends our coins or pays to us; it replaces rivals on their way."""
        ...

    def forget_pending(self, txid: bytes) -> None:
        """Let go of a transaction that will never confirm, published or only drafted."""
        ...

    def unconfirmed_transactions(self) -> list[bytes]:
        """Return what the wallet made and no block holds yet, serialised, parents first."""
        ...


MakeWallet: TypeAlias = Callable[[Network, WalletSigner, WalletState, int], OnchainWallet]
"""`(network, signer, folded state, height) -> wallet`: the constructor of the default, or another."""
