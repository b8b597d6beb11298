"""The pool of unconfirmed transactions: what is in it, how it hangs together, and what leaves it.

What may enter is decided in `acceptance` (one transaction) and `package` (a child that pays for its parent).
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, final

from msgspec import Struct

from leyden.bitcoin.tx import OutPoint, Transaction
from leyden.regtest.chainstate import ParsedBlock
from leyden.regtest.coins import Coin
from leyden.regtest.policy import PolicySettings, fee_at

CLUSTER_COUNT_MAX: Final = 64
CLUSTER_VSIZE_MAX: Final = 101_000
_ROLLING_HALF_LIFE_SECONDS: Final = 12 * 3600


class PoolEntry(Struct, frozen=True):
    """An unconfirmed transaction.

    Attributes:
        tx, raw: parsed, and serialised with witness; txid, wtxid: 32 bytes in internal order.
        fee_sat, weight, vsize, sigop_cost: as policy measures them (vsize may exceed weight / 4).
        spent: the coins of the inputs when it entered.
        time: seconds since 1970 when it entered; height: that of the tip then.
    """

    tx: Transaction
    raw: bytes
    txid: bytes
    wtxid: bytes
    fee_sat: int
    weight: int
    vsize: int
    sigop_cost: int
    spent: tuple[Coin, ...]
    time: int
    height: int


@final
class Mempool:
    """The pool. One thread. Iterates in the order of entering."""

    def __init__(self, settings: PolicySettings) -> None:
        self.settings = settings
        self._entries: dict[bytes, PoolEntry] = {}
        self._by_wtxid: dict[bytes, bytes] = {}
        self._spenders: dict[OutPoint, bytes] = {}
        self._vsize = 0
        self._fee_sat = 0
        self._rolling_feerate = 0
        self._rolling_since = 0
        self.sequence = 0
        """Counts entries and departures; `getrawmempool` with `mempool_sequence` shows it."""

    def __len__(self) -> int:
        """Return the number of transactions."""
        return len(self._entries)

    def __iter__(self) -> Iterator[PoolEntry]:
        """Yield the entries in the order of entering."""
        return iter(list(self._entries.values()))

    def __contains__(self, txid: bytes) -> bool:
        """Tell whether a transaction (32-byte txid) is in the pool."""
        return txid in self._entries

    @property
    def vsize(self) -> int:
        """Virtual bytes of all entries."""
        return self._vsize

    @property
    def fee_sat(self) -> int:
        """Fees of all entries in satoshi."""
        return self._fee_sat

    def get(self, txid: bytes) -> PoolEntry | None:
        """Return the entry of a transaction (32-byte txid), or None."""
        return self._entries.get(txid)

    def has_wtxid(self, wtxid: bytes) -> bool:
        """Tell whether exactly this transaction, witness included, is in the pool."""
        return wtxid in self._by_wtxid

    def spender(self, outpoint: OutPoint) -> PoolEntry | None:
        """Return the entry that spends an output, or None."""
        txid = self._spenders.get(outpoint)
        return None if txid is None else self._entries[txid]

    def output(self, outpoint: OutPoint, height: int) -> Coin | None:
        """Return an output of a pool entry as a coin of the block to come (at `height`), spent or not, or None."""
        entry = self._entries.get(outpoint.txid)
        if entry is None or outpoint.vout >= len(entry.tx.outputs):
            return None
        output = entry.tx.outputs[outpoint.vout]
        return Coin(output.value_sat, output.script_pubkey, height, False)

    def parents(self, tx: Transaction) -> list[PoolEntry]:
        """Return the pool entries whose outputs `tx` spends, each once."""
        ids = dict.fromkeys(tx_in.prevout.txid for tx_in in tx.inputs)
        return [self._entries[txid] for txid in ids if txid in self._entries]

    def children(self, entry: PoolEntry) -> list[PoolEntry]:
        """Return the pool entries that spend an output of `entry`, each once."""
        spenders = (self._spenders.get(OutPoint(entry.txid, vout)) for vout in range(len(entry.tx.outputs)))
        return [self._entries[txid] for txid in dict.fromkeys(spenders) if txid is not None]

    def ancestors(self, tx: Transaction) -> list[PoolEntry]:
        """Return all entries that `tx` depends on, parents before grandparents."""
        found: dict[bytes, PoolEntry] = {}
        queue = self.parents(tx)
        while queue:
            entry = queue.pop()
            if entry.txid not in found:
                found[entry.txid] = entry
                queue.extend(self.parents(entry.tx))
        return list(found.values())

    def descendants(self, entry: PoolEntry) -> list[PoolEntry]:
        """Return the entry and all that depend on it."""
        found: dict[bytes, PoolEntry] = {}
        queue = [entry]
        while queue:
            current = queue.pop()
            if current.txid not in found:
                found[current.txid] = current
                queue.extend(self.children(current))
        return list(found.values())

    def cluster(self, tx: Transaction) -> list[PoolEntry]:
        """Return all entries that `tx` is connected with in any direction, without `tx` itself."""
        own = tx.txid()
        found: dict[bytes, PoolEntry] = {}
        queue = self.parents(tx)
        if own in self._entries:
            queue.extend(self.children(self._entries[own]))
        while queue and len(found) <= CLUSTER_COUNT_MAX:
            entry = queue.pop()
            if entry.txid not in found and entry.txid != own:
                found[entry.txid] = entry
                queue.extend(self.parents(entry.tx))
                queue.extend(self.children(entry))
        return list(found.values())

    def add(self, entry: PoolEntry) -> None:
        """Put a checked transaction in."""
        assert entry.txid not in self._entries, "a transaction enters once"
        self._entries[entry.txid] = entry
        self._by_wtxid[entry.wtxid] = entry.txid
        for tx_in in entry.tx.inputs:
            assert tx_in.prevout not in self._spenders, "conflicts leave before a replacement enters"
            self._spenders[tx_in.prevout] = entry.txid
        self._vsize += entry.vsize
        self._fee_sat += entry.fee_sat
        self.sequence += 1

    def remove(self, entry: PoolEntry) -> None:
        """Take one entry out and leave its children (it was confirmed)."""
        if self._entries.pop(entry.txid, None) is None:
            return
        del self._by_wtxid[entry.wtxid]
        for tx_in in entry.tx.inputs:
            del self._spenders[tx_in.prevout]
        self._vsize -= entry.vsize
        self._fee_sat -= entry.fee_sat
        self.sequence += 1

    def remove_with_descendants(self, entries: Iterable[PoolEntry]) -> list[PoolEntry]:
        """Take entries out with all that depends on them; return what left."""
        gone: dict[bytes, PoolEntry] = {}
        for entry in entries:
            if entry.txid in self._entries:
                gone.update({other.txid: other for other in self.descendants(entry)})
        for entry in gone.values():
            self.remove(entry)
        return list(gone.values())

    def on_block_connected(self, parsed: ParsedBlock, now: int) -> list[PoolEntry]:
        """Drop what a block confirmed and what conflicts with it; return the confirmed entries.

        Args: now: seconds since 1970; the eviction floor starts to decay at the next block.
        """
        confirmed: list[PoolEntry] = []
        for tx, txid in zip(parsed.block.transactions, parsed.txids, strict=True):
            entry = self._entries.get(txid)
            if entry is not None:
                confirmed.append(entry)
                self.remove(entry)
            rivals = [self.spender(tx_in.prevout) for tx_in in tx.inputs]
            self.remove_with_descendants([rival for rival in rivals if rival is not None])
        if self._rolling_feerate and not self._rolling_since:
            self._rolling_since = now
        return confirmed

    def trim(self, now: int) -> list[PoolEntry]:
        """Evict the cheapest transactions with their descendants until the pool fits; return what left."""
        gone: list[PoolEntry] = []
        while self._vsize > self.settings.pool_vsize_max:
            cheapest = min(self._entries.values(), key=self._descendant_score)
            package = self.descendants(cheapest)
            feerate = package_feerate(package)
            gone += self.remove_with_descendants([cheapest])
            self._rolling_feerate = max(self.min_feerate(now), feerate + self.settings.incremental_feerate)
            self._rolling_since = 0
        return gone

    def _descendant_score(self, entry: PoolEntry) -> int:
        return max(entry.fee_sat * 1_000_000 // entry.vsize, package_feerate(self.descendants(entry)) * 1000)

    def min_feerate(self, now: int) -> int:
        """Return the floor in sat/kvB: the relay minimum, or more for a while after evictions."""
        rolling = self._rolling_feerate
        if rolling and self._rolling_since:
            halvings = (now - self._rolling_since) // _ROLLING_HALF_LIFE_SECONDS
            rolling >>= min(halvings, 64)
            if rolling < self.settings.incremental_feerate // 2:
                self._rolling_feerate = rolling = 0
        return max(rolling, self.settings.min_relay_feerate)

    def min_fee(self, vsize: int, now: int) -> int:
        """Return the least fee in satoshi for a transaction or package of `vsize` virtual bytes."""
        return fee_at(self.min_feerate(now), vsize)


def package_feerate(entries: Sequence[PoolEntry]) -> int:
    """Return the common feerate of entries in sat/kvB, rounded down."""
    return sum(entry.fee_sat for entry in entries) * 1000 // sum(entry.vsize for entry in entries)
