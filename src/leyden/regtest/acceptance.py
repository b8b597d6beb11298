"""Whether a transaction may enter the pool: bitcoind's checks in bitcoind's order, so the first reason is the same."""

from collections.abc import Mapping, Sequence
from typing import final

from msgspec import Struct

from leyden.bitcoin.tx import OutPoint, Transaction
from leyden.regtest.chainstate import Chainstate
from leyden.regtest.coins import COINBASE_MATURITY, Coin
from leyden.regtest.mempool import Mempool, PoolEntry
from leyden.regtest.policy import (
    TransactionRejected,
    check_amounts,
    check_inputs_standard,
    check_size,
    check_standard,
    check_transaction,
    is_final,
    relative_lock,
    virtual_size,
)
from leyden.regtest.replacement import check_replacement, direct_conflicts
from leyden.regtest.script_policy import PolicyTransaction
from leyden.regtest.topology import check_cluster, check_dust_is_free, check_dust_is_spent, check_truc

_BIP68_VERSION = 2


class Accepted(Struct, frozen=True):
    """A transaction that passed, and what it pushes out."""

    entry: PoolEntry
    replaced: tuple[PoolEntry, ...]


def check_not_absurd(entry: PoolEntry, feerate_max: int) -> None:
    """Refuse a fee above what the caller allows: `feerate_max` in sat/kvB, 0 for any. Raises TransactionRejected."""
    if feerate_max and entry.fee_sat > feerate_max * entry.vsize // 1000:
        raise TransactionRejected("max-fee-exceeded")


@final
class Acceptance:
    """The checks over one chain and one pool. One thread."""

    def __init__(self, chain: Chainstate, pool: Mempool) -> None:
        self._chain = chain
        self._pool = pool

    def accept(self, tx: Transaction, now: int, feerate_max: int) -> Accepted:
        """Put a transaction into the pool, unless it pays more than `feerate_max` sat/kvB (0: any).

        Raises TransactionRejected; the pool is unchanged then.
        """
        accepted = self.check(tx, now)
        check_not_absurd(accepted.entry, feerate_max)
        self.admit([accepted.entry], accepted.replaced)
        self.trim(now, accepted.entry)
        return accepted

    def admit(self, entries: Sequence[PoolEntry], replaced: Sequence[PoolEntry]) -> None:
        """Take out what is replaced and put checked entries in, parents first."""
        self._pool.remove_with_descendants(replaced)
        for entry in entries:
            self._pool.add(entry)

    def trim(self, now: int, newest: PoolEntry) -> None:
        """Keep the pool within its size. Raises TransactionRejected when the newest entry is what had to go."""
        self._pool.trim(now)
        if newest.txid not in self._pool:
            raise TransactionRejected("mempool full")

    def check(self, tx: Transaction, now: int) -> Accepted:
        """Run every check on a transaction, without changing the pool. Raises TransactionRejected."""
        entry = self.prepare(tx, now, {})
        self.check_fee(entry.fee_sat, entry.vsize, now)
        parents = self._pool.parents(tx)
        conflicts = direct_conflicts(self._pool, entry)
        sibling = check_truc(self._pool, entry, parents, conflicts)
        if sibling is not None:
            conflicts.append(sibling)
        check_dust_is_spent(entry, parents, self._pool.settings.dust_feerate)
        replaced = check_replacement(self._pool, [entry], conflicts)
        check_cluster(self._pool, entry, replaced)
        self.check_scripts(entry)
        return Accepted(entry, tuple(replaced))

    def check_fee(self, fee_sat: int, vsize: int, now: int) -> None:
        """Hold a transaction or a package to the fee floor. Raises TransactionRejected."""
        least = self._pool.min_fee(vsize, now)
        if fee_sat < least:
            floor = self._pool.min_feerate(now) == self._pool.settings.min_relay_feerate
            reason = "min relay fee not met" if floor else "mempool min fee not met"
            raise TransactionRejected(reason, f"{fee_sat} < {least}", too_cheap=True)

    def check_scripts(self, entry: PoolEntry) -> None:
        """Run the scripts of a prepared entry. Raises TransactionRejected."""
        PolicyTransaction(entry.raw, entry.tx, entry.spent).check_scripts(self._chain.kernel)

    def prepare(self, tx: Transaction, now: int, package_outputs: Mapping[OutPoint, Coin]) -> PoolEntry:
        """Run the checks that come before fees, topology and scripts.

        Args: package_outputs: outputs of package members that are not in the pool yet.
        Raises TransactionRejected.
        """
        entry = self._measure(tx, now, package_outputs)
        check_dust_is_free(tx, entry.fee_sat, self._pool.settings.dust_feerate)
        return entry

    def _measure(self, tx: Transaction, now: int, package_outputs: Mapping[OutPoint, Coin]) -> PoolEntry:
        check_transaction(tx)
        check_standard(tx, self._pool.settings)
        check_size(tx)
        self._check_lock_time(tx)
        txid = tx.txid()
        self._check_novelty(tx, txid)
        spent = self._find_coins(tx, txid, package_outputs)
        self._check_relative_locks(tx, spent)
        self._check_maturity(spent)
        fee_sat = check_amounts(tx, spent)
        check_inputs_standard(tx, spent)
        raw = tx.serialize()
        sigop_cost = PolicyTransaction(raw, tx, spent).sigop_cost()
        weight = tx.weight()
        return PoolEntry(
            tx=tx,
            raw=raw,
            txid=txid,
            wtxid=tx.wtxid(),
            fee_sat=fee_sat,
            weight=weight,
            vsize=virtual_size(weight, sigop_cost),
            sigop_cost=sigop_cost,
            spent=spent,
            time=now,
            height=self._chain.tree.height,
        )

    def readmit(self, tx: Transaction, now: int) -> None:
        """Put a transaction of a disconnected block back, whatever it pays. Raises TransactionRejected."""
        entry = self._measure(tx, now, {})
        if direct_conflicts(self._pool, entry):
            raise TransactionRejected("txn-mempool-conflict")
        self.check_scripts(entry)
        self._pool.add(entry)

    def still_valid(self, entry: PoolEntry) -> bool:
        """Tell whether an entry could be in the next block after a reorganisation: coins, maturity, locks."""
        try:
            self._check_lock_time(entry.tx)
            spent = self._find_coins(entry.tx, entry.txid, {})
            self._check_relative_locks(entry.tx, spent)
            self._check_maturity(spent)
        except TransactionRejected:
            return False
        return True

    def _check_lock_time(self, tx: Transaction) -> None:
        tree = self._chain.tree
        if not is_final(tx, tree.height + 1, tree.tip.median_time):
            raise TransactionRejected("non-final")

    def _check_novelty(self, tx: Transaction, txid: bytes) -> None:
        if self._pool.has_wtxid(tx.wtxid()):
            raise TransactionRejected("txn-already-in-mempool")
        if txid in self._pool:
            raise TransactionRejected("txn-same-nonwitness-data-in-mempool")

    def _find_coins(self, tx: Transaction, txid: bytes, package_outputs: Mapping[OutPoint, Coin]) -> tuple[Coin, ...]:
        return tuple(self._find_coin(tx, txid, tx_in.prevout, package_outputs) for tx_in in tx.inputs)

    def _find_coin(
        self, tx: Transaction, txid: bytes, outpoint: OutPoint, package_outputs: Mapping[OutPoint, Coin]
    ) -> Coin:
        coin = (
            self._chain.coins.get(outpoint)
            or package_outputs.get(outpoint)
            or self._pool.output(outpoint, self._chain.tree.height + 1)
        )
        if coin is not None:
            return coin
        if self.is_confirmed_unspent(tx, txid):
            raise TransactionRejected("txn-already-known")
        raise TransactionRejected("bad-txns-inputs-missingorspent", missing_inputs=True)

    def is_confirmed_unspent(self, tx: Transaction, txid: bytes) -> bool:
        """Tell whether an output of `tx` is a coin already: the transaction is in a block."""
        return any(self._chain.coins.get(OutPoint(txid, vout)) for vout in range(len(tx.outputs)))

    def _check_relative_locks(self, tx: Transaction, spent: Sequence[Coin]) -> None:
        if tx.version < _BIP68_VERSION:
            return
        tree = self._chain.tree
        for tx_in, coin in zip(tx.inputs, spent, strict=True):
            before = tree.at(max(coin.height - 1, 0)).median_time
            height, time = relative_lock(tx_in, coin.height, before)
            if height >= tree.height + 1 or time >= tree.tip.median_time:
                raise TransactionRejected("non-BIP68-final")

    def _check_maturity(self, spent: Sequence[Coin]) -> None:
        next_height = self._chain.tree.height + 1
        for coin in spent:
            depth = next_height - coin.height
            if coin.is_coinbase and depth < COINBASE_MATURITY:
                raise TransactionRejected(
                    "bad-txns-premature-spend-of-coinbase", f"tried to spend coinbase at depth {depth}"
                )
