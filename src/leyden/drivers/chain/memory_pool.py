"""The mempool of the chain in memory: what waits, what may replace what, what a miner would take.

The rules by feerate and fee are those of Bitcoin Core as `leyden.regtest` has them; limits of shape (clusters, TRUC,
dust) are left to the regtest service.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, final

import msgspec

from leyden.bitcoin.tx import WITNESS_SCALE_FACTOR, OutPoint, Transaction, txid_to_hex

INCREMENTAL_SAT_PER_VBYTE: Final = 1
REPLACED_MAX: Final = 100


class Refused(Exception):
    """A transaction that the mempool does not take. The text is Core's reason.

    too_cheap: it fails by its fee alone. missing_inputs: an input is unknown or spent. A child may help both.
    """

    def __init__(self, reason: str, *, too_cheap: bool = False, missing_inputs: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.too_cheap = too_cheap
        self.missing_inputs = missing_inputs


class PoolEntry(msgspec.Struct, frozen=True, gc=False):
    """A transaction that waits. granted: its inputs come from nowhere, and every miner takes it."""

    tx: Transaction
    txid: bytes
    fee_sat: int
    weight: int
    granted: bool = False

    @property
    def vsize(self) -> int:
        """Virtual bytes, rounded up."""
        return (self.weight + 3) // WITNESS_SCALE_FACTOR


def is_above(entries: Sequence[PoolEntry], feerate_per_kw: int) -> bool:
    """Tell whether these transactions together pay at least a feerate, by their virtual sizes as relay counts."""
    vsize = sum([entry.vsize for entry in entries])
    return sum([entry.fee_sat for entry in entries]) * 1000 >= feerate_per_kw * WITNESS_SCALE_FACTOR * vsize


@final
class MemoryPool(Mapping[bytes, Transaction]):
    """Transactions by txid in the order in which they came, parents first."""

    def __init__(self) -> None:
        self._entries: dict[bytes, PoolEntry] = {}
        self._spenders: dict[OutPoint, bytes] = {}

    def __getitem__(self, txid: bytes) -> Transaction:
        """Return a transaction. Raises: KeyError."""
        return self._entries[txid].tx

    def __iter__(self) -> Iterator[bytes]:
        """Yield the txids."""
        return iter(self._entries)

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._entries)

    def copy(self) -> "MemoryPool":
        """Return an independent pool with the same entries."""
        other = MemoryPool()
        other._entries = dict(self._entries)
        other._spenders = dict(self._spenders)
        return other

    def entry(self, txid: bytes) -> PoolEntry | None:
        """Return an entry, or None."""
        return self._entries.get(txid)

    def entries(self) -> list[PoolEntry]:
        """Return all entries, in order."""
        return list(self._entries.values())

    def spender(self, outpoint: OutPoint) -> PoolEntry | None:
        """Return the entry that spends an output, or None."""
        txid = self._spenders.get(outpoint)
        return None if txid is None else self._entries[txid]

    # --- what hangs together ---------------------------------------------------------------------------------------

    def ancestors(self, tx: Transaction) -> dict[bytes, PoolEntry]:
        """Return all entries that a transaction depends on, by txid."""
        found: dict[bytes, PoolEntry] = {}
        waiting = [tx]
        while waiting:
            for tx_in in waiting.pop().inputs:
                parent = self._entries.get(tx_in.prevout.txid)
                if parent is not None and parent.txid not in found:
                    found[parent.txid] = parent
                    waiting.append(parent.tx)
        return found

    def with_descendants(self, txids: Iterable[bytes]) -> dict[bytes, PoolEntry]:
        """Return entries and all that depends on them, by txid; txids that are not there do not count."""
        found: dict[bytes, PoolEntry] = {}
        waiting = list(txids)
        while waiting:
            entry = self._entries.get(waiting.pop())
            if entry is None or entry.txid in found:
                continue
            found[entry.txid] = entry
            spenders = [self._spenders.get(OutPoint(entry.txid, vout)) for vout in range(len(entry.tx.outputs))]
            waiting += [txid for txid in spenders if txid is not None]
        return found

    def conflicts(self, transactions: Iterable[Transaction]) -> dict[bytes, PoolEntry]:
        """Return the entries that spend an input of one of these, but are none of them."""
        transactions = list(transactions)
        own = {tx.txid(): None for tx in transactions}
        spenders = [self.spender(tx_in.prevout) for tx in transactions for tx_in in tx.inputs]
        return {entry.txid: entry for entry in spenders if entry is not None and entry.txid not in own}

    # --- in and out ------------------------------------------------------------------------------------------------

    def add(self, entry: PoolEntry) -> None:
        """Put in what was checked."""
        self._entries[entry.txid] = entry
        for tx_in in entry.tx.inputs:
            assert tx_in.prevout not in self._spenders, "what conflicts has left before"
            self._spenders[tx_in.prevout] = entry.txid

    def remove(self, txids: Iterable[bytes]) -> None:
        """Take out entries, and leave what depends on them: they were mined."""
        for txid in list(txids):
            entry = self._entries.pop(txid, None)
            for tx_in in () if entry is None else entry.tx.inputs:
                del self._spenders[tx_in.prevout]

    def remove_with_descendants(self, txids: Iterable[bytes]) -> None:
        """Take out entries with all that depends on them."""
        self.remove(self.with_descendants(txids))

    def clear(self) -> None:
        """Take out everything."""
        self._entries.clear()
        self._spenders.clear()

    def check_replacement(self, entries: Sequence[PoolEntry]) -> dict[bytes, PoolEntry]:
        """Return what leaves for new entries (one, or several judged together), by txid; nothing if none conflicts.

        Raises: Refused. Source: Bitcoin Core, doc/policy/mempool-replacements.md (full replace-by-fee).
        """
        direct = self.conflicts([entry.tx for entry in entries])
        if not direct:
            return {}
        leaving = self.with_descendants(direct)
        if any(txid in leaving for entry in entries for txid in self.ancestors(entry.tx)):
            raise Refused("bad-txns-spends-conflicting-tx")
        if len(leaving) > REPLACED_MAX:
            raise Refused("too many potential replacements")
        name = txid_to_hex(entries[-1].txid)
        fee_sat, vsize = sum([entry.fee_sat for entry in entries]), sum([entry.vsize for entry in entries])
        for old in direct.values():
            if fee_sat * old.vsize <= old.fee_sat * vsize:
                raise _too_little(name, "new feerate is not above that of what it replaces")
        replaced_sat = sum([entry.fee_sat for entry in leaving.values()])
        if fee_sat < replaced_sat:
            raise _too_little(name, f"less fees than conflicting txs; {fee_sat} < {replaced_sat}")
        if fee_sat < replaced_sat + INCREMENTAL_SAT_PER_VBYTE * vsize:
            added_sat = fee_sat - replaced_sat
            raise _too_little(
                name, f"not enough additional fees to relay; {added_sat} < {INCREMENTAL_SAT_PER_VBYTE * vsize}"
            )
        return leaving

    def trim(self, feerate_per_kw: int) -> None:
        """Evict what pays less than a feerate, with what depends on it; what a child pays for stays."""
        for entry in self.entries():
            if entry.txid not in self._entries or entry.granted or is_above([entry], feerate_per_kw):
                continue
            if not is_above(list(self.with_descendants([entry.txid]).values()), feerate_per_kw):
                self.remove_with_descendants([entry.txid])

    # --- mining ----------------------------------------------------------------------------------------------------

    def template(
        self, weight_max: int, feerate_per_kw: int, drop: Callable[[PoolEntry], bool] | None
    ) -> list[PoolEntry]:
        """Return what a block takes: by the feerate of a transaction with its ancestors, in the order of the pool.

        weight_max: for all together. feerate_per_kw: nothing that pays less. drop: what the miner leaves out, with what
        depends on it.
        """
        left_out = {} if drop is None else self.with_descendants([one.txid for one in self.entries() if drop(one)])
        wanted = {txid: entry for txid, entry in self._entries.items() if txid not in left_out}
        if feerate_per_kw == 0 and sum([entry.weight for entry in wanted.values()]) <= weight_max:
            return list(wanted.values())
        chosen = {txid: entry for txid, entry in wanted.items() if entry.granted}
        weight = sum([entry.weight for entry in chosen.values()])
        while True:
            best = self._best(wanted, chosen, weight_max - weight, feerate_per_kw)
            if best is None:
                return [entry for txid, entry in wanted.items() if txid in chosen]
            chosen |= {entry.txid: entry for entry in best}
            weight += sum([entry.weight for entry in best])

    def _best(
        self, wanted: Mapping[bytes, PoolEntry], chosen: Mapping[bytes, PoolEntry], room: int, feerate_per_kw: int
    ) -> list[PoolEntry] | None:
        best: list[PoolEntry] | None = None
        best_fee_sat, best_weight = 0, 1
        for entry in wanted.values():
            if entry.txid in chosen:
                continue
            package = [one for one in (*self.ancestors(entry.tx).values(), entry) if one.txid not in chosen]
            weight = sum([one.weight for one in package])
            if weight > room or not is_above(package, feerate_per_kw):
                continue
            fee_sat = sum([one.fee_sat for one in package])
            if best is None or fee_sat * best_weight > best_fee_sat * weight:
                best, best_fee_sat, best_weight = package, fee_sat, weight
        return best


def _too_little(name: str, detail: str) -> Refused:
    return Refused(f"insufficient fee, rejecting replacement {name}, {detail}", too_cheap=True)
