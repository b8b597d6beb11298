"""The durable state of the wallet: the fold of its records, and its snapshot.

Changed in place, by `fold` alone. Coins live here once a block holds them; what is on its way is in `pending`.

A spent coin is kept until its spend is `FORGET_DEPTH` deep, so a reorganisation up to there is undone exactly. A deeper
one empties the wallet and sets `rescan_from`: the node then feeds every block from there again.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from leyden.base.errors import DecodeError
from leyden.bitcoin.tx import OutPoint, Transaction
from leyden.journal.wallet_records import (
    AddressIssued,
    CoinsChanged,
    KeyPath,
    RescanFinished,
    TransactionAbandoned,
    TransactionSent,
    WalletCreated,
    WalletDisconnected,
    WalletRecord,
)
from leyden.wallet.keys import Keychain, keychain_of

FORGET_DEPTH = 2016
NO_RESCAN = -1
FIRST_HEIGHT = 1
"""The genesis block pays to nobody."""
SNAPSHOT_VERSION = 1


class Coin(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An output that pays to the wallet.

    height: of its block, 0 while unconfirmed. spent_height: of the block that spends it, 0 while unspent.
    """

    txid: bytes
    vout: int
    value_sat: int
    script_pubkey: bytes
    path: KeyPath
    is_coinbase: bool
    height: int
    spent_height: int

    @property
    def outpoint(self) -> OutPoint:
        """Its key in `WalletState.coins`."""
        return OutPoint(self.txid, self.vout)


class SentTransaction(msgspec.Struct, frozen=True, array_like=True):
    """A transaction that the wallet made. settled_height: of the block that holds or excludes it, 0 before."""

    transaction: bytes
    settled_height: int
    confirmed: bool


class TouchedBlock(msgspec.Struct, frozen=True, array_like=True):
    """What a block changed, for the day it is undone."""

    height: int
    block_hash: bytes
    created: list[tuple[bytes, int]]
    spent: list[tuple[bytes, int]]
    settled: list[bytes]


class ChainUse(msgspec.Struct, array_like=True):
    """How far a row of keys is used.

    used_end: one above the highest index that a block paid to. issued_end: one above the highest index given out.
    unused: indices given out that nobody has paid to yet, lowest first; bounded by the gap limit.
    """

    used_end: int = 0
    issued_end: int = 0
    unused: list[int] = msgspec.field(default_factory=list[int])


class WalletState(msgspec.Struct):
    """See the module. `blocks` are ascending in height and reach from `forgotten_height` (exclusive) to the last."""

    created: WalletCreated | None = None
    coins: dict[OutPoint, Coin] = msgspec.field(default_factory=dict[OutPoint, Coin])
    sent: dict[bytes, SentTransaction] = msgspec.field(default_factory=dict[bytes, SentTransaction])
    chains: dict[Keychain, ChainUse] = msgspec.field(default_factory=dict[Keychain, ChainUse])
    blocks: dict[int, TouchedBlock] = msgspec.field(default_factory=dict[int, TouchedBlock])
    forgotten_height: int = 0
    rescan_from: int = NO_RESCAN

    def last_height(self) -> int:
        """Return the height of the last block that touched the wallet, 0 when there is none."""
        return next(reversed(self.blocks), 0)

    def chain(self, chain: Keychain) -> ChainUse:
        """Return how far a row of keys is used."""
        return self.chains.get(chain) or ChainUse()


def fold(state: WalletState, record: WalletRecord) -> None:
    """Take one record into `state`, in place."""
    _FOLDS[type(record)](state, record)


def _created(state: WalletState, record: WalletCreated) -> None:
    state.created = record
    if record.restored:
        state.rescan_from = FIRST_HEIGHT


def _issued(state: WalletState, record: AddressIssued) -> None:
    use = state.chains.setdefault(keychain_of(record.path), ChainUse())
    use.issued_end = max(use.issued_end, record.path.index + 1)
    if record.path.index not in use.unused:
        use.unused.append(record.path.index)


def _coins_changed(state: WalletState, record: CoinsChanged) -> None:
    if state.last_height() >= record.height:
        _undo_above(state, record.height - 1)
    for new in record.created:
        coin = Coin(new.txid, new.vout, new.value_sat, new.script_pubkey, new.path, new.is_coinbase, record.height, 0)
        state.coins[coin.outpoint] = coin
        _note_use(state, coin.path)
    for gone in record.spent:
        outpoint = OutPoint(gone.txid, gone.vout)
        state.coins[outpoint] = replace(state.coins[outpoint], spent_height=record.height)
    settled = [entry for entry in record.settled if entry.txid in state.sent]
    for entry in settled:
        sent = state.sent[entry.txid]
        state.sent[entry.txid] = SentTransaction(sent.transaction, record.height, entry.confirmed)
    state.blocks[record.height] = TouchedBlock(
        record.height,
        record.block_hash,
        [(coin.txid, coin.vout) for coin in record.created],
        [(coin.txid, coin.vout) for coin in record.spent],
        [entry.txid for entry in settled],
    )
    _forget(state, record.height - FORGET_DEPTH)


def _note_use(state: WalletState, path: KeyPath) -> None:
    use = state.chains.setdefault(keychain_of(path), ChainUse())
    use.used_end = max(use.used_end, path.index + 1)
    if path.index in use.unused:
        use.unused.remove(path.index)


def _forget(state: WalletState, height: int) -> None:
    """Let go of what only a reorganisation deeper than `FORGET_DEPTH` could bring back."""
    while state.blocks and (block := next(iter(state.blocks.values()))).height <= height:
        for txid, vout in block.spent:
            state.coins.pop(OutPoint(txid, vout), None)
        for txid in block.settled:
            state.sent.pop(txid, None)
        del state.blocks[block.height]
        state.forgotten_height = block.height


def _disconnected(state: WalletState, record: WalletDisconnected) -> None:
    _undo_above(state, record.fork_height)


def _undo_above(state: WalletState, fork_height: int) -> None:
    if fork_height < state.forgotten_height:
        _start_again(state)
        return
    while state.blocks and (block := state.blocks[state.last_height()]).height > fork_height:
        for txid, vout in block.spent:
            outpoint = OutPoint(txid, vout)
            state.coins[outpoint] = replace(state.coins[outpoint], spent_height=0)
        for txid, vout in block.created:
            del state.coins[OutPoint(txid, vout)]
        for txid in block.settled:
            if txid in state.sent:
                state.sent[txid] = SentTransaction(state.sent[txid].transaction, 0, confirmed=False)
        del state.blocks[block.height]


def _start_again(state: WalletState) -> None:
    assert state.created is not None, "a wallet has a birth before it has coins"
    state.coins.clear()
    state.blocks.clear()
    for txid, sent in state.sent.items():
        state.sent[txid] = SentTransaction(sent.transaction, 0, confirmed=False)
    state.forgotten_height = 0
    # Below the birth nothing paid to us; but the birth itself may be on the branch that is gone.
    state.rescan_from = FIRST_HEIGHT


def _sent(state: WalletState, record: TransactionSent) -> None:
    state.sent[Transaction.parse(record.transaction).txid()] = SentTransaction(record.transaction, 0, confirmed=False)


def _abandoned(state: WalletState, record: TransactionAbandoned) -> None:
    for txid in record.txids:
        state.sent.pop(txid, None)


def _rescan_finished(state: WalletState, record: RescanFinished) -> None:
    state.rescan_from = NO_RESCAN
    for txid in record.lost:
        state.sent.pop(txid, None)


_FOLDS: dict[type, Callable[[WalletState, Any], None]] = {
    WalletCreated: _created,
    AddressIssued: _issued,
    CoinsChanged: _coins_changed,
    WalletDisconnected: _disconnected,
    TransactionSent: _sent,
    TransactionAbandoned: _abandoned,
    RescanFinished: _rescan_finished,
}


class _Snapshot(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    version: int
    created: WalletCreated | None
    coins: list[Coin]
    sent: list[SentTransaction]
    chains: list[tuple[Keychain, ChainUse]]
    blocks: list[TouchedBlock]
    forgotten_height: int
    rescan_from: int


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Snapshot)


def to_snapshot(state: WalletState) -> bytes:
    """Encode the whole durable state."""
    return _encoder.encode(
        _Snapshot(
            SNAPSHOT_VERSION,
            state.created,
            list(state.coins.values()),
            list(state.sent.values()),
            list(state.chains.items()),
            list(state.blocks.values()),
            state.forgotten_height,
            state.rescan_from,
        )
    )


def from_snapshot(raw: bytes) -> WalletState:
    """Decode what `to_snapshot` made.

    Raises:
        DecodeError: not a snapshot of a wallet, or of a newer format.
    """
    try:
        snapshot = _decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DecodeError(f"not a snapshot of a wallet: {error}", field="wallet") from None
    if snapshot.version != SNAPSHOT_VERSION:
        raise DecodeError(f"wallet snapshot of format {snapshot.version}, known is {SNAPSHOT_VERSION}", field="wallet")
    return WalletState(
        created=snapshot.created,
        coins={coin.outpoint: coin for coin in snapshot.coins},
        sent={Transaction.parse(sent.transaction).txid(): sent for sent in snapshot.sent},
        chains=dict(snapshot.chains),
        blocks={block.height: block for block in snapshot.blocks},
        forgotten_height=snapshot.forgotten_height,
        rescan_from=snapshot.rescan_from,
    )
