"""The wallet as the node uses it.

Every method that changes something durable returns the record that says so and changes nothing yet: append the record
to the `node` journal and give it to `fold`, before anything else is asked of the wallet. Volatile are the height, the
locks, and transactions of others (`pending_transaction`), which their owners bring again after a restart.
"""

from collections.abc import Container, Iterable, Iterator, Sequence
from enum import Enum
from itertools import chain as one_after_another
from typing import final

import msgspec

from leyden.base.errors import CommandRejected
from leyden.bitcoin.address import encode_address
from leyden.bitcoin.networks import Network
from leyden.bitcoin.tx import OutPoint, Transaction, TxOut
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
from leyden.wallet import state as durable
from leyden.wallet.blocks import changes_of_block, find_outputs
from leyden.wallet.building import Draft, SpendTerms, build, build_all, sign, sign_coins
from leyden.wallet.checks import check_feerate, check_output
from leyden.wallet.claims import ClaimDraft, ClaimTemplate, ClaimTerms, fund
from leyden.wallet.free_coins import FreeCoins, Lock, lock_of, place_of
from leyden.wallet.keys import (
    CHANGE_P2WPKH,
    GAP_LIMIT,
    KEYCHAINS,
    RECEIVE_P2TR,
    RECEIVE_P2WPKH,
    Keychain,
    Keyring,
    WalletSigner,
    keychain_of,
)
from leyden.wallet.pending import MAX_UNCONFIRMED_ANCESTORS, PendingTransaction, PendingTransactions
from leyden.wallet.state import Coin, WalletState

COINBASE_MATURITY = 100
ANCHOR_RESERVE_SAT = 10_000
"""Kept for each channel with anchors: closing one needs a coin that pays for its commitment's confirmation."""


class AddressKind(Enum):
    """What a new address is: P2WPKH (BIP 84) or P2TR (BIP 86)."""

    P2WPKH = "p2wpkh"
    P2TR = "p2tr"


_RECEIVE = {AddressKind.P2WPKH: RECEIVE_P2WPKH, AddressKind.P2TR: RECEIVE_P2TR}


class IssuedAddress(msgspec.Struct, frozen=True):
    """An address for the user; `record` is None when an older one, which nobody has paid to yet, is given again."""

    address: str
    script_pubkey: bytes
    record: AddressIssued | None


class Balance(msgspec.Struct, frozen=True):
    """What the wallet holds, in satoshi. Outputs spent by transactions on their way count nowhere.

    confirmed: in blocks and mature. unconfirmed: on its way. immature: coinbase outputs that are too young.
    locked: the part of the first two that is set aside for fundings and claims in the making.
    reserved: the part that is kept for channels with anchors; less than `reserve_target` when there is not enough.
    spendable: what is left to spend, fees included, without what is on its way in transactions that others or a higher
    fee may replace: claims and closes of channels.
    """

    confirmed_sat: int
    unconfirmed_sat: int
    immature_sat: int
    locked_sat: int
    reserved_sat: int
    reserve_target_sat: int
    spendable_sat: int


def creation_record(network: Network, signer: WalletSigner, birth_height: int, restored: bool) -> WalletCreated:
    """Return the first record of a new wallet.

    Args:
        birth_height: the height of the chain now.
        restored: the seed may have been paid to before; every block is then to be fed once (`Wallet.rescan_from`).
    """
    return WalletCreated(network.name, _account_keys(Keyring(signer)), birth_height, restored)


def _account_keys(keyring: Keyring) -> list[bytes]:
    return [key.public_key for key in keyring.account_keys.values()]


@final
class Wallet:
    """See the module.

    Args of the constructor:
        state: the fold of the records, `WalletCreated` first; belongs to the wallet from now on.
        height: of the node's best block. What the state knows above is undone by `disconnect_blocks(height)`.

    Raises:
        CommandRejected: the journal belongs to another seed (code `wrong_seed`) or network (`wrong_network`).
    """

    def __init__(self, network: Network, signer: WalletSigner, state: WalletState, height: int) -> None:
        created = state.created
        assert created is not None, "the first record is WalletCreated"
        if created.network != network.name:
            what = f"this wallet was made on {created.network}, and the node runs on {network.name}"
            raise CommandRejected(what, code="wrong_network")
        self.network = network
        self.state = state
        self.height = height
        self.anchor_channels = 0
        """How many channels with anchors there are; set by whoever counts them."""
        self._signer = signer
        self._keyring = Keyring(signer)
        self._pending = PendingTransactions()
        self._locks: dict[bytes, Lock] = {}
        self._ordered: FreeCoins | None = None
        if created.account_keys != _account_keys(self._keyring):
            raise CommandRejected("this data directory belongs to another seed", code="wrong_seed")
        self._watch()
        for sent in state.sent.values():
            self._add_sent(Transaction.parse(sent.transaction), sent.settled_height)

    # ---------------------------------------------------------------------------------------------- durable changes

    def fold(self, record: WalletRecord) -> None:
        """Take in a record that this wallet returned (or that the journal replays)."""
        undoes = isinstance(record, CoinsChanged) and self.state.last_height() >= record.height
        self._ordered = None
        durable.fold(self.state, record)
        match record:
            case CoinsChanged():
                if undoes:
                    self._pending.undo_above(record.height - 1)
                for entry in record.settled:
                    self._pending.settle(entry.txid, record.height)
                self._pending.forget(record.height - durable.FORGET_DEPTH)
            case WalletDisconnected(fork_height=fork_height):
                self._pending.undo_above(fork_height)
            case TransactionSent(transaction=raw):
                self._add_sent(Transaction.parse(raw), 0)
            case TransactionAbandoned(txids=txids) | RescanFinished(lost=txids):
                for txid in txids:
                    self._pending.remove(txid)
            case WalletCreated() | AddressIssued():
                pass
        self._watch()

    def snapshot(self) -> bytes:
        """Encode the durable state."""
        return durable.to_snapshot(self.state)

    def _watch(self) -> None:
        ahead = GAP_LIMIT + self._pending.count() + len(self._locks)
        for chain in KEYCHAINS:
            use = self.state.chain(chain)
            self._keyring.watch(chain, max(use.used_end, use.issued_end) + ahead)

    # ------------------------------------------------------------------------------------------------------- blocks

    def connect_block(
        self, height: int, block_hash: bytes, transactions: Sequence[Transaction], txids: Sequence[bytes]
    ) -> CoinsChanged | WalletDisconnected | None:
        """Take the next block of the best chain; None when it does not touch the wallet or was seen before.

        After `WalletDisconnected` look at `rescan_from`. The wallet's height is that of this block from now on.
        """
        self.height, self._ordered = height, None
        state = self.state
        known = state.blocks.get(height)
        if known is not None and known.block_hash == block_hash:
            return None
        changes = changes_of_block(state, self._pending, self._keyring, height, block_hash, transactions, txids)
        if changes is not None and height > state.forgotten_height:
            return changes
        return WalletDisconnected(height - 1) if known is not None or changes is not None else None

    def disconnect_blocks(self, fork_height: int) -> WalletDisconnected | None:
        """Undo every block above `fork_height`; None when none of them touched the wallet. Then see `rescan_from`."""
        self.height, self._ordered = min(self.height, fork_height), None
        self._pending.undo_above(fork_height)
        if max(self.state.last_height(), self.state.forgotten_height) <= fork_height:
            return None
        return WalletDisconnected(fork_height)

    @property
    def rescan_from(self) -> int | None:
        """The height from which every block up to the best one must be fed again, before new ones; None normally."""
        return None if self.state.rescan_from == durable.NO_RESCAN else self.state.rescan_from

    def rescan_finished(self) -> RescanFinished:
        """Say that every block from `rescan_from` to the wallet's height was fed."""
        return RescanFinished(self.height, [t for t in self._pending.orphans(self.state.coins) if t in self.state.sent])

    # ---------------------------------------------------------------------------------------------------- addresses

    def new_address(self, kind: AddressKind) -> IssuedAddress:
        """Return an address to receive with.

        When as many as the gap limit are unpaid, the oldest of those is given again: a wallet restored from the seed
        would not look further.
        """
        chain = _RECEIVE[kind]
        use = self.state.chain(chain)
        again = len(use.unused) >= GAP_LIMIT
        path = chain.path(use.unused[0] if again else max(use.issued_end, use.used_end))
        script_pubkey = self._keyring.script_pubkey(path)
        record = None if again else AddressIssued(path)
        return IssuedAddress(self.address_of(script_pubkey), script_pubkey, record)

    def address_of(self, script_pubkey: bytes) -> str:
        """Return the address of one of the wallet's scripts."""
        address = encode_address(script_pubkey, self.network)
        assert address is not None, "scripts of the wallet have addresses"
        return address

    def descriptors(self) -> list[str]:
        """Return the output descriptors of the wallet's keys, public ones, for other wallets to watch (BIP 380)."""
        return self._keyring.descriptors(self.network)

    def is_own_script(self, script_pubkey: bytes) -> bool:
        """Tell whether a script pays to a watched key."""
        return self._keyring.find(script_pubkey) is not None

    def _next_change(self) -> tuple[Keychain, int]:
        taken = [self.state.chain(CHANGE_P2WPKH).used_end]
        taken += [entry.change_end for entry in self._pending.live()]
        taken += [lock.change_index + 1 for lock in self._locks.values()]
        return CHANGE_P2WPKH, max(taken)

    # --------------------------------------------------------------------------------------------- coins and balance

    def _is_mature(self, coin: Coin) -> bool:
        return not coin.is_coinbase or self.height + 1 - coin.height >= COINBASE_MATURITY

    def _confirmed(self) -> list[Coin]:
        return [
            coin
            for outpoint, coin in self.state.coins.items()
            if not coin.spent_height and not self._pending.is_spent(outpoint)
        ]

    def coins(self) -> list[Coin]:
        """Return every unspent coin, confirmed ones first; height 0 means unconfirmed."""
        return [*self._confirmed(), *self._pending.coins(self.state.coins)]

    def _locked(self) -> dict[OutPoint, None]:
        return {outpoint: None for lock in self._locks.values() for outpoint in lock.outpoints}

    def balance(self) -> Balance:
        """Return what the wallet holds."""
        confirmed = self._confirmed()
        mature_sat = sum(coin.value_sat for coin in confirmed if self._is_mature(coin))
        immature_sat = sum(coin.value_sat for coin in confirmed) - mature_sat
        unconfirmed = self._pending.coins(self.state.coins)
        unconfirmed_sat = sum(coin.value_sat for coin in unconfirmed)
        certain = self._pending.certain()
        certain_sat = sum(coin.value_sat for coin in unconfirmed if coin.txid in certain)
        locked = self._locked()
        locked_sat = sum(coin.value_sat for coin in [*confirmed, *unconfirmed] if coin.outpoint in locked)
        target_sat = self.anchor_channels * ANCHOR_RESERVE_SAT
        free_sat = mature_sat + certain_sat - locked_sat
        reserved_sat = min(target_sat, free_sat)
        return Balance(
            mature_sat, unconfirmed_sat, immature_sat, locked_sat, reserved_sat, target_sat, free_sat - reserved_sat
        )

    def _is_free(self, coin: Coin, locked: Container[OutPoint]) -> bool:
        outpoint = coin.outpoint
        is_taken = coin.spent_height or outpoint in locked or self._pending.is_spent(outpoint)
        return not is_taken and self._is_mature(coin)

    def _note(self, outpoints: Iterable[OutPoint]) -> None:
        """Coins may have been taken, or given back."""
        if self._ordered is not None:
            locked = self._locked()
            for coin in [coin for outpoint in outpoints if (coin := self.state.coins.get(outpoint)) is not None]:
                self._ordered.note(coin, is_free=self._is_free(coin, locked))

    def _free_confirmed(self) -> Sequence[Coin]:
        """Return the coins in blocks that may be spent now, ascending."""
        if self._ordered is None:
            locked = self._locked()
            self._ordered = FreeCoins([coin for coin in self.state.coins.values() if self._is_free(coin, locked)])
        return self._ordered.coins

    def _free_change(self) -> list[Coin]:
        """Return own change on its way that may be spent now, ascending."""
        certain, locked = self._pending.certain(), self._locked()
        found = [
            coin
            for coin in self._pending.coins(self.state.coins)
            if coin.txid in certain
            and coin.outpoint not in locked
            and self._pending.ancestors(coin.txid) < MAX_UNCONFIRMED_ANCESTORS
        ]
        return sorted(found, key=place_of)

    def _free(self) -> Iterator[Sequence[Coin]]:
        """Yield the coins that may be spent now: confirmed ones, then own change on its way."""
        yield self._free_confirmed()
        yield self._free_change()

    # ----------------------------------------------------------------------------------------------------- spending

    def build_funding(
        self, owner: bytes, outputs: Sequence[TxOut], feerate_per_kw: int, new_anchor_channels: int, entropy: bytes
    ) -> Draft:
        """Choose coins for a transaction with these outputs and lock them for `owner` (32 bytes, chosen by the caller).

        The lock lasts until `release`, until the signed transaction is given to `pending_transaction`, or until the
        process ends. A second call for the same owner replaces the first.

        Args:
            new_anchor_channels: how many of the outputs fund channels with anchors, whose reserve is kept as well.
            entropy: 32 random bytes.

        Raises:
            CommandRejected: an output or the feerate is out of range (codes of `checks`), or the wallet does not reach
                (`insufficient_funds`).
        """
        self.release(owner)
        draft = self._build(outputs, feerate_per_kw, self.anchor_channels + new_anchor_channels, entropy)
        self._lock(owner, draft)
        return draft

    def fund_claim(self, owner: bytes, template: ClaimTemplate, feerate_per_kw: int, fee_max_sat: int) -> ClaimDraft:
        """Choose coins for the fee of a claim and lock them for `owner` (32 bytes, chosen by the caller).

        Coins in blocks come first, those of the reserve for anchors too: this is what it is for. What the template's
        inputs bring above its outputs counts; when that pays enough no coin is added. The lock lasts as that of
        `build_funding`.

        A second call for the same owner replaces the first: coins of the older version, and of every transaction on its
        way that spends an input of the template, are free and preferred, and the fee is higher than all of theirs
        (BIP 125).

        Args:
            feerate_per_kw: what claim and parent pay together, at least; the claim alone pays enough to relay.
            fee_max_sat: what the claim may pay. A feerate that would cost more is not reached.

        Raises:
            CommandRejected: the feerate is out of range (codes of `checks`), the coins do not reach
                (`insufficient_funds`; `coins_in_use` when those would that wait for a block with a transaction of
                ours, or to us), or what replaces the older versions costs too much (`fee_too_high`).
        """
        self.release(owner)
        check_feerate(feerate_per_kw)
        rivals = self._rivals(owner, template.transaction)
        freed = [coin for entry in rivals for i in entry.own_inputs if (coin := self._coin(i)) is not None]
        freed.sort(key=place_of)
        change_path = self._change_path(rivals)
        terms = ClaimTerms(
            feerate_per_kw,
            sum(entry.fee_sat for entry in rivals),
            fee_max_sat,
            change_path,
            self._keyring.script_pubkey(change_path),
        )
        draft = fund(template, one_after_another((freed,), self._free()), terms)
        if isinstance(draft, int):
            raise self._insufficient_for_claim(draft)
        self._lock(owner, draft)
        return draft

    def _rivals(self, owner: bytes, transaction: Transaction) -> list[PendingTransaction]:
        taken = [txid for tx_in in transaction.inputs for txid in self._pending.spenders(tx_in.prevout)]
        txids = dict.fromkeys([*self._pending.owned_by(owner), *taken])
        return [entry for txid in txids if (entry := self._pending.get(txid)) is not None]

    def _coin(self, outpoint: OutPoint) -> Coin | None:
        """Return what a transaction on its way spends of ours; None when a reorganisation took it away."""
        coin = self.state.coins.get(outpoint)
        if coin is not None:
            return coin
        entry = self._pending.get(outpoint.txid)
        return None if entry is None else next((c for c in entry.coins if c.vout == outpoint.vout), None)

    def _change_path(self, rivals: Sequence[PendingTransaction]) -> KeyPath:
        """Return the key for the change, that of a rival again: only one of them pays to it."""
        chain, index = self._next_change()
        used = [coin.path for entry in rivals for coin in entry.coins if keychain_of(coin.path) == chain]
        return used[0] if used else chain.path(index)

    def _insufficient_for_claim(self, short_sat: int) -> CommandRejected:
        balance = self.balance()
        free_sat = sum(coin.value_sat for group in self._free() for coin in group)
        parts = [f"{balance.confirmed_sat + balance.unconfirmed_sat} sat in the wallet"]
        parts += [f"{balance.locked_sat} sat of them locked for fundings and claims"] if balance.locked_sat else []
        parts += [f"{balance.immature_sat} sat immature"] if balance.immature_sat else []
        what = f"the fee of a claim is {short_sat} sat more than the coins that can be spent now ({', '.join(parts)})"
        if balance.confirmed_sat + balance.unconfirmed_sat - free_sat >= short_sat:
            return CommandRejected(f"{what}: the others wait for a block", code="coins_in_use")
        return CommandRejected(f"{what}: send at least that to an address of the wallet", code="insufficient_funds")

    def _lock(self, owner: bytes, draft: Draft | ClaimDraft) -> None:
        lock = self._locks[owner] = lock_of(draft)
        self._note(lock.outpoints)

    def release(self, owner: bytes) -> None:
        """Give the coins back that were locked for `owner`; an unknown owner has none."""
        lock = self._locks.pop(owner, None)
        if lock is not None:
            self._note(lock.outpoints)

    def sign(self, draft: Draft | ClaimDraft) -> Transaction:
        """Return the draft's transaction, signed; of a claim the inputs that spend coins of the wallet."""
        if isinstance(draft, ClaimDraft):
            return sign_coins(draft.transaction, draft.coins, draft.spent, self._keyring, self._signer)
        return sign(draft, self._keyring, self._signer)

    def send(self, script_pubkey: bytes, amount_sat: int, feerate_per_kw: int, entropy: bytes) -> Draft:
        """Choose coins to pay an amount to a script. Nothing is locked: `sign` and `sent` follow.

        Raises:
            CommandRejected: as `build_funding`.
        """
        return self._build([TxOut(amount_sat, script_pubkey)], feerate_per_kw, self.anchor_channels, entropy)

    def send_all(self, script_pubkey: bytes, feerate_per_kw: int, entropy: bytes) -> Draft:
        """Choose all coins to pay all but fee and reserve to a script; its amount is that of the first output index.

        Raises:
            CommandRejected: the feerate is out of range (codes of `checks`), or nothing worth sending is left
                (`insufficient_funds`).
        """
        check_feerate(feerate_per_kw)
        confirmed, own = self._free()
        draft = build_all([*confirmed, *own], script_pubkey, self._terms(feerate_per_kw, self.anchor_channels, entropy))
        if draft is None:
            raise self._insufficient("there is nothing to send after the fee", 0)
        return draft

    def sent(self, transaction: Transaction) -> TransactionSent:
        """Say that this signed transaction is ours to broadcast, behind its record."""
        return TransactionSent(transaction.serialize())

    def _terms(self, feerate_per_kw: int, anchor_channels: int, entropy: bytes) -> SpendTerms:
        chain, index = self._next_change()
        path = chain.path(index)
        return SpendTerms(
            feerate_per_kw, path, self._keyring.script_pubkey(path), anchor_channels * ANCHOR_RESERVE_SAT, entropy
        )

    def _build(self, outputs: Sequence[TxOut], feerate_per_kw: int, anchor_channels: int, entropy: bytes) -> Draft:
        check_feerate(feerate_per_kw)
        for out in outputs:
            check_output(out.value_sat, out.script_pubkey)
        terms = self._terms(feerate_per_kw, anchor_channels, entropy)
        confirmed, own = self._free()
        draft = build(confirmed, outputs, terms)
        if draft is None and own:
            draft = build([*confirmed, *own], outputs, terms)
        if draft is None:
            amount_sat = sum(out.value_sat for out in outputs)
            raise self._insufficient(f"{amount_sat} sat and the fee are more than can be spent", anchor_channels)
        return draft

    def _insufficient(self, what: str, anchor_channels: int) -> CommandRejected:
        balance = self.balance()
        reserve_sat = max(anchor_channels, self.anchor_channels) * ANCHOR_RESERVE_SAT
        spendable_sat = max(balance.spendable_sat + balance.reserved_sat - reserve_sat, 0)
        parts = [f"{spendable_sat} sat spendable", f"{reserve_sat} sat reserved for channels with anchors"]
        if balance.immature_sat:
            parts.append(f"{balance.immature_sat} sat immature")
        if balance.locked_sat:
            parts.append(f"{balance.locked_sat} sat locked for fundings and claims")
        return CommandRejected(f"{what}: {', '.join(parts)}", code="insufficient_funds")

    # --------------------------------------------------------------------------------------- transactions on their way

    def pending_transaction(self, transaction: Transaction) -> None:
        """Take in a signed transaction of others that spends our coins or pays to us: a funding, a close, a claim.

        Its coins are spent and its change is ours from now on, until it settles or `forget_pending`. Volatile: whoever
        keeps it durable gives it again after a restart, until it is confirmed. Locks on its inputs end. One that has
        nothing to do with the wallet is ignored.

        It replaces what is on its way and spends the same output, with what rests on that: of such rivals the youngest
        is the one that mempools hold. What the wallet sent itself stays known until a block decides.
        """
        txid = transaction.txid()
        if self._pending.is_known(txid):
            return
        spent = {tx_in.prevout: None for tx_in in transaction.inputs}
        owner, fee = b"", 0
        for one, lock in list(self._locks.items()):
            if lock.txid == txid:
                owner, fee = one, lock.fee_sat
            if lock.txid == txid or any(outpoint in spent for outpoint in lock.outpoints):
                self.release(one)
        heights = [coin.spent_height for outpoint in spent if (coin := self.state.coins.get(outpoint)) is not None]
        for vout in range(len(transaction.outputs)):
            coin = self.state.coins.get(OutPoint(txid, vout))
            heights.append(coin.height if coin is not None else 0)
        settled_height = max(heights, default=0)
        if not settled_height:
            self._drop_rivals(spent)
        known = [i for i in spent if i in self.state.coins or self._pending.pays_us(i)]
        if known or find_outputs(self._keyring, [transaction], [txid]):
            self._add_pending(txid, transaction, known, settled_height, owner, fee)

    def _drop_rivals(self, spent: Iterable[OutPoint]) -> None:
        for rival in [txid for outpoint in spent for txid in self._pending.spenders(outpoint)]:
            if rival in self.state.sent or not self._pending.is_known(rival):
                continue
            for txid in [*self._pending.descendants(rival), rival]:
                # What the wallet sent is an orphan without its parent, until it is abandoned or a block decides.
                if txid not in self.state.sent:
                    self._forget(txid)

    def forget_pending(self, txid: bytes) -> None:
        """Let go of a transaction of others (32-byte txid) that will never confirm, published or not yet; its coins are
        free again.
        """
        for owner in [owner for owner, lock in self._locks.items() if lock.txid == txid]:
            self.release(owner)
        if txid not in self.state.sent:
            self._forget(txid)

    def _forget(self, txid: bytes) -> None:
        entry = self._pending.get(txid)
        self._pending.remove(txid)
        if entry is not None:
            self._note(entry.own_inputs)

    def _add_sent(self, transaction: Transaction, settled_height: int) -> None:
        self._add_pending(
            transaction.txid(), transaction, [tx_in.prevout for tx_in in transaction.inputs], settled_height
        )

    def _add_pending(
        self,
        txid: bytes,
        transaction: Transaction,
        own_inputs: list[OutPoint],
        settled_height: int,
        owner: bytes = b"",
        fee: int = 0,
    ) -> None:
        ahead = self.state.chain(CHANGE_P2WPKH).used_end + GAP_LIMIT + self._pending.count() + len(self._locks) + 1
        self._keyring.watch(CHANGE_P2WPKH, ahead)
        coins = [
            Coin(
                txid, new.vout, new.value_sat, new.script_pubkey, new.path, is_coinbase=False, height=0, spent_height=0
            )
            for new in find_outputs(self._keyring, [transaction], [txid])
        ]
        change = [coin.path.index + 1 for coin in coins if keychain_of(coin.path) == CHANGE_P2WPKH]
        self._pending.add(
            PendingTransaction(txid, transaction, own_inputs, coins, settled_height, owner, fee, max(change, default=0))
        )
        self._note(own_inputs)

    def abandon(self, txid: bytes) -> TransactionAbandoned:
        """Give up a transaction of ours (32-byte txid) that is not in a block, with those of ours that rest on it.

        Raises:
            CommandRejected: it is not ours to give up, or settled (code `unknown_transaction`).
        """
        sent = self.state.sent.get(txid)
        if sent is None or sent.settled_height:
            raise CommandRejected("the wallet has no such transaction on its way", code="unknown_transaction")
        return TransactionAbandoned([txid, *self._pending.descendants(txid)])

    def unconfirmed_transactions(self) -> list[bytes]:
        """Return what the wallet made and no block holds yet, serialised, parents first.

        To be broadcast at each start, after a reorganisation, and now and then: mempools forget. Those that spend what
        a reorganisation took away are left out until it comes back; `abandon` them when it does not.
        """
        orphans = self._pending.orphans(self.state.coins)
        return [
            sent.transaction
            for txid, sent in self.state.sent.items()
            if not sent.settled_height and txid not in orphans
        ]
