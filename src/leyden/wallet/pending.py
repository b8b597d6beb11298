"""Transactions on their way: made by the wallet, or given to it (fundings of channels, claims from closed ones).

Volatile. What the wallet made comes back from its own records, what belongs to a channel from that channel's journal.
A transaction that settled stays for a while, so that a reorganisation puts it on its way again.
"""

from collections.abc import Iterator, Mapping
from typing import final

import msgspec

from leyden.bitcoin.tx import OutPoint, Transaction
from leyden.wallet.state import Coin

MAX_UNCONFIRMED_ANCESTORS = 20
"""Mempools limit chains of unconfirmed transactions (to 25 of old, 64 in a cluster now); stay clear of it."""


class PendingTransaction(msgspec.Struct):
    """A transaction on its way.

    own_inputs: those of its inputs that spend coins of ours. coins: what it pays to us.
    settled_height: of the block that holds or excludes it, 0 before.
    owner, fee_sat: whom its coins were chosen for, and what it pays; empty and 0 when this life did not choose them.
    change_end: one above the highest index of a change key that it pays to, 0 without one.
    """

    txid: bytes
    transaction: Transaction
    own_inputs: list[OutPoint]
    coins: list[Coin]
    settled_height: int
    owner: bytes = b""
    fee_sat: int = 0
    change_end: int = 0


@final
class PendingTransactions:
    """See the module. Kept in the order of arrival, so parents come before children."""

    __slots__ = ("_entries", "_owned", "_spenders")

    def __init__(self) -> None:
        self._entries: dict[bytes, PendingTransaction] = {}
        self._spenders: dict[OutPoint, dict[bytes, None]] = {}
        self._owned: dict[bytes, dict[bytes, None]] = {}

    def add(self, entry: PendingTransaction) -> None:
        """Take a transaction in; one that is known already is left alone."""
        if entry.txid in self._entries:
            return
        self._entries[entry.txid] = entry
        if entry.owner:
            self._owned.setdefault(entry.owner, {})[entry.txid] = None
        for tx_in in entry.transaction.inputs:
            self._spenders.setdefault(tx_in.prevout, {})[entry.txid] = None

    def remove(self, txid: bytes) -> None:
        """Forget a transaction (32-byte txid); unknown ones are ignored."""
        entry = self._entries.pop(txid, None)
        if entry is None:
            return
        for tx_in in entry.transaction.inputs:
            spenders = self._spenders[tx_in.prevout]
            del spenders[txid]
            if not spenders:
                del self._spenders[tx_in.prevout]
        if entry.owner:
            owned = self._owned[entry.owner]
            del owned[txid]
            if not owned:
                del self._owned[entry.owner]

    def is_known(self, txid: bytes) -> bool:
        """Tell whether a transaction is kept, settled or not."""
        return txid in self._entries

    def get(self, txid: bytes) -> PendingTransaction | None:
        """Return a transaction that has not settled, or None."""
        entry = self._entries.get(txid)
        return entry if entry is not None and not entry.settled_height else None

    def live(self) -> Iterator[PendingTransaction]:
        """Yield what has not settled, parents before children."""
        return (entry for entry in self._entries.values() if not entry.settled_height)

    def count(self) -> int:
        """Return how many transactions are kept, settled ones included."""
        return len(self._entries)

    def spenders(self, outpoint: OutPoint) -> list[bytes]:
        """Return the txids of those on their way that spend an output."""
        return [txid for txid in self._spenders.get(outpoint, ()) if not self._entries[txid].settled_height]

    def owned_by(self, owner: bytes) -> list[bytes]:
        """Return the txids of those on their way whose coins were chosen for `owner`."""
        return [txid for txid in self._owned.get(owner, ()) if not self._entries[txid].settled_height]

    def pays_us(self, outpoint: OutPoint) -> bool:
        """Tell whether an output of a transaction on its way is ours."""
        entry = self.get(outpoint.txid)
        return entry is not None and any(coin.vout == outpoint.vout for coin in entry.coins)

    def is_spent(self, outpoint: OutPoint) -> bool:
        """Tell whether a transaction on its way spends an output."""
        return outpoint in self._spenders and bool(self.spenders(outpoint))

    def descendants(self, txid: bytes) -> list[bytes]:
        """Return the txids on their way that spend from `txid`, at any distance."""
        found: dict[bytes, None] = {}
        waiting = [txid]
        while waiting:
            parent = waiting.pop()
            for vout in range(len(self._entries[parent].transaction.outputs)):
                fresh = [child for child in self.spenders(OutPoint(parent, vout)) if child not in found]
                found.update(dict.fromkeys(fresh))
                waiting.extend(fresh)
        return list(found)

    def ancestors(self, txid: bytes) -> int:
        """Count the transactions on their way that `txid` rests on, itself included; stops above the limit."""
        found: dict[bytes, None] = {txid: None}
        waiting = [txid]
        while waiting and len(found) <= MAX_UNCONFIRMED_ANCESTORS:
            entry = self.get(waiting.pop())
            if entry is None:
                continue
            for tx_in in entry.transaction.inputs:
                parent = tx_in.prevout.txid
                if parent not in found and self.get(parent) is not None:
                    found[parent] = None
                    waiting.append(parent)
        return len(found)

    def orphans(self, confirmed: Mapping[OutPoint, Coin]) -> dict[bytes, None]:
        """Return the txids that spend a coin of ours that is neither in a block nor on its way, and what rests on them.

        After a reorganisation a transaction may wait for one that was not mined again, for ever if that was a coinbase.
        """
        found: dict[bytes, None] = {}
        for entry in self.live():
            if any(i not in confirmed and self.get(i.txid) is None for i in entry.own_inputs):
                found[entry.txid] = None
                found.update(dict.fromkeys(self.descendants(entry.txid)))
        return found

    def coins(self, confirmed: Mapping[OutPoint, Coin]) -> list[Coin]:
        """Return what those on their way pay to us and none of them spends; nothing of orphans."""
        orphans = self.orphans(confirmed)
        return [
            coin
            for entry in self.live()
            if entry.txid not in orphans
            for coin in entry.coins
            if not self.is_spent(coin.outpoint)
        ]

    def certain(self) -> dict[bytes, None]:
        """Return the txids that nobody but us can replace: all inputs are ours, and so is what they rest on."""
        found: dict[bytes, None] = {}
        for entry in self.live():
            ours = len(entry.own_inputs) == len(entry.transaction.inputs)
            if ours and all(self.get(i.txid) is None or i.txid in found for i in entry.own_inputs):
                found[entry.txid] = None
        return found

    def settle(self, txid: bytes, height: int) -> None:
        """Note that a block at `height` holds or excludes a transaction; unknown ones are ignored."""
        entry = self._entries.get(txid)
        if entry is not None:
            entry.settled_height = height

    def undo_above(self, fork_height: int) -> None:
        """Put what settled above `fork_height` on its way again."""
        for entry in self._entries.values():
            if entry.settled_height > fork_height:
                entry.settled_height = 0

    def forget(self, height: int) -> None:
        """Let go of what settled at `height` or below."""
        for txid in [e.txid for e in self._entries.values() if 0 < e.settled_height <= height]:
            self.remove(txid)
