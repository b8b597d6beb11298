"""Packages: parents that pay too little alone enter with the child that pays for them."""

from collections.abc import Sequence
from typing import Final, final

from msgspec import Struct

from leyden.bitcoin.tx import OutPoint, Transaction
from leyden.regtest.acceptance import Acceptance, check_not_absurd
from leyden.regtest.chainstate import Chainstate
from leyden.regtest.coins import Coin
from leyden.regtest.mempool import Mempool, PoolEntry, package_feerate
from leyden.regtest.policy import TransactionRejected
from leyden.regtest.replacement import check_replacement, direct_conflicts
from leyden.regtest.topology import check_cluster, check_dust_is_spent, check_truc

PACKAGE_COUNT_MAX: Final = 25
PACKAGE_WEIGHT_MAX: Final = 404_000


class PackageMember(Struct, frozen=True):
    """What became of one transaction of a package.

    Attributes:
        txid, wtxid: 32 bytes each; other_wtxid: of the same transaction with another witness, already in the pool.
        entry: what is in the pool now, None when it was rejected (`rejection` says why).
        feerate: common feerate in sat/kvB, and the wtxids it was judged with, when judged as a package.
    """

    txid: bytes
    wtxid: bytes
    entry: PoolEntry | None
    rejection: TransactionRejected | None
    other_wtxid: bytes | None = None
    feerate: int | None = None
    judged_with: tuple[bytes, ...] = ()


class PackageOutcome(Struct, frozen=True):
    """`message` is `success` or why the package as a whole failed."""

    message: str
    members: tuple[PackageMember, ...]
    replaced: tuple[PoolEntry, ...]


def check_package_shape(transactions: Sequence[Transaction]) -> None:
    """Hold a package to the rules about count, weight, order and conflicts. Raises TransactionRejected."""
    if len(transactions) > PACKAGE_COUNT_MAX:
        raise TransactionRejected("package-too-many-transactions")
    if len(transactions) > 1 and sum(tx.weight() for tx in transactions) > PACKAGE_WEIGHT_MAX:
        raise TransactionRejected("package-too-large")
    ids = [tx.txid() for tx in transactions]
    if len(dict.fromkeys(ids)) != len(ids):
        raise TransactionRejected("package-contains-duplicates")
    later = dict.fromkeys(ids)
    spent: dict[OutPoint, None] = {}
    for tx, txid in zip(transactions, ids, strict=True):
        if any(tx_in.prevout.txid in later for tx_in in tx.inputs):
            raise TransactionRejected("package-not-sorted")
        del later[txid]
        if any(tx_in.prevout in spent for tx_in in tx.inputs):
            raise TransactionRejected("conflict-in-package")
        spent.update(dict.fromkeys(tx_in.prevout for tx_in in tx.inputs))


def is_child_with_parents(transactions: Sequence[Transaction]) -> bool:
    """Tell whether the last transaction spends every other one."""
    needed = dict.fromkeys(tx_in.prevout.txid for tx_in in transactions[-1].inputs)
    return all(tx.txid() in needed for tx in transactions[:-1])


@final
class PackageAcceptance:
    """Takes packages into a pool. One thread."""

    def __init__(self, chain: Chainstate, pool: Mempool, acceptance: Acceptance) -> None:
        self._chain = chain
        self._pool = pool
        self._acceptance = acceptance

    def submit(self, transactions: Sequence[Transaction], now: int, feerate_max: int) -> PackageOutcome:
        """Put a child and its unconfirmed parents into the pool (`feerate_max`: sat/kvB for each, 0 for any).

        Each is tried alone first; those that fail only by their fee, or for want of such a parent, are judged together.
        Raises TransactionRejected when the package has the wrong shape.
        """
        check_package_shape(transactions)
        if len(transactions) > 1 and not is_child_with_parents(transactions):
            raise TransactionRejected("package-not-child-with-parents")
        members: dict[bytes, PackageMember] = {}
        waiting: list[Transaction] = []
        replaced: list[PoolEntry] = []
        for tx in transactions:
            member = self._try_alone(tx, now, feerate_max, replaced)
            members[tx.txid()] = member
            if member.rejection is None:
                continue
            if len(transactions) == 1 or not (member.rejection.too_cheap or member.rejection.missing_inputs):
                return PackageOutcome("transaction failed", _fill(transactions, members), tuple(replaced))
            waiting.append(tx)
        message = "success"
        if waiting:
            message = self._try_together(waiting, now, feerate_max, members, replaced)
        return PackageOutcome(message, _fill(transactions, members), tuple(replaced))

    def test(self, transactions: Sequence[Transaction], now: int) -> list[PoolEntry | TransactionRejected | None]:
        """Say which transactions, parents before children, would be taken, changing nothing.

        Returns one verdict each; None for those after the first that fails. Conflicts with the pool are not allowed.
        Raises TransactionRejected when the list has the wrong shape.
        """
        check_package_shape(transactions)
        outputs: dict[OutPoint, Coin] = {}
        verdicts: list[PoolEntry | TransactionRejected | None] = []
        for tx in transactions:
            try:
                entry = self._acceptance.prepare(tx, now, outputs)
                self._acceptance.check_fee(entry.fee_sat, entry.vsize, now)
                if direct_conflicts(self._pool, entry):
                    raise TransactionRejected("bip125-replacement-disallowed")
                self._acceptance.check_scripts(entry)
            except TransactionRejected as rejection:
                verdicts.append(rejection)
                break
            verdicts.append(entry)
            outputs.update(self._outputs(entry))
        verdicts.extend([None] * (len(transactions) - len(verdicts)))
        return verdicts

    def _try_alone(self, tx: Transaction, now: int, feerate_max: int, replaced: list[PoolEntry]) -> PackageMember:
        txid, wtxid = tx.txid(), tx.wtxid()
        known = self._pool.get(txid)
        if known is not None:
            other = known.wtxid if known.wtxid != wtxid else None
            return PackageMember(txid, wtxid, known, None, other)
        try:
            accepted = self._acceptance.accept(tx, now, feerate_max)
        except TransactionRejected as rejection:
            return PackageMember(txid, wtxid, None, rejection)
        replaced.extend(accepted.replaced)
        return PackageMember(txid, wtxid, accepted.entry, None)

    def _try_together(
        self,
        transactions: Sequence[Transaction],
        now: int,
        feerate_max: int,
        members: dict[bytes, PackageMember],
        replaced: list[PoolEntry],
    ) -> str:
        entries: list[PoolEntry] = []
        current = transactions[0]
        try:
            outputs: dict[OutPoint, Coin] = {}
            for tx in transactions:
                current = tx
                entry = self._acceptance.prepare(tx, now, outputs)
                check_not_absurd(entry, feerate_max)
                entries.append(entry)
                outputs.update(self._outputs(entry))
            leaving = self._check_together(entries, now)
            for entry in entries:
                current = entry.tx
                self._acceptance.check_scripts(entry)
            self._acceptance.admit(entries, leaving)
            self._acceptance.trim(now, entries[-1])
        except TransactionRejected as rejection:
            members[current.txid()] = PackageMember(current.txid(), current.wtxid(), None, rejection)
            return "transaction failed"
        replaced.extend(leaving)
        feerate, judged_with = package_feerate(entries), tuple(entry.wtxid for entry in entries)
        for entry in entries:
            members[entry.txid] = PackageMember(entry.txid, entry.wtxid, entry, None, None, feerate, judged_with)
        return "success"

    def _outputs(self, entry: PoolEntry) -> dict[OutPoint, Coin]:
        height = self._chain.tree.height + 1
        return {
            OutPoint(entry.txid, vout): Coin(output.value_sat, output.script_pubkey, height, False)
            for vout, output in enumerate(entry.tx.outputs)
        }

    def _check_together(self, entries: Sequence[PoolEntry], now: int) -> list[PoolEntry]:
        self._acceptance.check_fee(sum(entry.fee_sat for entry in entries), sum(entry.vsize for entry in entries), now)
        conflicts: dict[bytes, PoolEntry] = {}
        by_id: dict[bytes, PoolEntry] = {}
        for entry in entries:
            direct = direct_conflicts(self._pool, entry)
            in_package = [by_id[txid] for txid in dict.fromkeys(_spent_ids(entry)) if txid in by_id]
            parents = self._pool.parents(entry.tx) + in_package
            sibling = check_truc(self._pool, entry, parents, direct)
            check_dust_is_spent(entry, parents, self._pool.settings.dust_feerate)
            for rival in [*direct, *([sibling] if sibling else [])]:
                conflicts[rival.txid] = rival
            by_id[entry.txid] = entry
        leaving = check_replacement(self._pool, entries, list(conflicts.values()))
        for entry in entries:
            check_cluster(self._pool, entry, leaving)
        return leaving


def _spent_ids(entry: PoolEntry) -> list[bytes]:
    return [tx_in.prevout.txid for tx_in in entry.tx.inputs]


def _fill(transactions: Sequence[Transaction], members: dict[bytes, PackageMember]) -> tuple[PackageMember, ...]:
    """Return one member per transaction; those that were never looked at say so, as bitcoind does."""
    unknown = TransactionRejected("package-not-validated")
    return tuple(members.get(tx.txid()) or PackageMember(tx.txid(), tx.wtxid(), None, unknown) for tx in transactions)
