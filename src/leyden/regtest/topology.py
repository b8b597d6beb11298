"""Rules about how unconfirmed transactions may hang together: clusters, version 3 (TRUC), ephemeral dust.

BIP 431 for version 3; the figures are Core's.
"""

from collections.abc import Sequence
from typing import Final

from leyden.bitcoin.tx import Transaction, txid_to_hex
from leyden.regtest.mempool import CLUSTER_COUNT_MAX, CLUSTER_VSIZE_MAX, Mempool, PoolEntry
from leyden.regtest.policy import TRUC_VERSION, TransactionRejected, dust_outputs

TRUC_VSIZE_MAX: Final = 10_000
TRUC_CHILD_VSIZE_MAX: Final = 1_000


def _names(entry: PoolEntry) -> str:
    return f"{txid_to_hex(entry.txid)} (wtxid={txid_to_hex(entry.wtxid)})"


def check_cluster(pool: Mempool, candidate: PoolEntry, leaving: Sequence[PoolEntry]) -> None:
    """Bound the number and size of connected transactions (`leaving`: what is replaced). Raises TransactionRejected."""
    gone = {entry.txid: None for entry in leaving}
    cluster = [entry for entry in pool.cluster(candidate.tx) if entry.txid not in gone]
    count = len(cluster) + 1
    if count > CLUSTER_COUNT_MAX or sum(entry.vsize for entry in cluster) + candidate.vsize > CLUSTER_VSIZE_MAX:
        raise TransactionRejected("too-large-cluster")


def check_truc(
    pool: Mempool, candidate: PoolEntry, parents: Sequence[PoolEntry], direct_conflicts: Sequence[PoolEntry]
) -> PoolEntry | None:
    """Hold a candidate to the topology of version 3.

    Args: parents: its unconfirmed parents, in the pool or in its package; direct_conflicts: what it double-spends.
    Returns: a sibling to evict, when the only objection is that the parent already has another child.
    Raises TransactionRejected.
    """
    is_truc = candidate.tx.version == TRUC_VERSION
    for parent in parents:
        if (parent.tx.version == TRUC_VERSION) is not is_truc:
            mine, other = ("version=3", "non-version=3") if is_truc else ("non-version=3", "version=3")
            raise _violation(f"{mine} tx {_names(candidate)} cannot spend from {other} tx {_names(parent)}")
    if not is_truc:
        return None
    if candidate.vsize > TRUC_VSIZE_MAX:
        raise _violation(_too_big("version=3 tx", candidate, TRUC_VSIZE_MAX))
    if not parents:
        return None
    if len(parents) > 1 or pool.parents(parents[0].tx):
        raise _violation(f"tx {_names(candidate)} would have too many ancestors")
    if candidate.vsize > TRUC_CHILD_VSIZE_MAX:
        raise _violation(_too_big("version=3 child tx", candidate, TRUC_CHILD_VSIZE_MAX))
    return _sibling_in_the_way(pool, parents[0], direct_conflicts)


def _sibling_in_the_way(pool: Mempool, parent: PoolEntry, direct_conflicts: Sequence[PoolEntry]) -> PoolEntry | None:
    leaving = {entry.txid: None for entry in direct_conflicts}
    siblings = [entry for entry in pool.children(parent) if entry.txid not in leaving]
    if not siblings:
        return None
    if len(siblings) > 1 or len(pool.descendants(parent)) > 2:
        raise _violation(f"tx {_names(parent)} would exceed descendant count limit")
    return siblings[0]


def _violation(detail: str) -> TransactionRejected:
    return TransactionRejected("TRUC-violation", detail)


def _too_big(what: str, candidate: PoolEntry, limit: int) -> str:
    return f"{what} {_names(candidate)} is too big: {candidate.vsize} > {limit} virtual bytes"


def check_dust_is_free(tx: Transaction, fee_sat: int, dust_feerate: int) -> None:
    """Refuse dust in a transaction that pays a fee: nobody need spend it then. Raises TransactionRejected."""
    if fee_sat and dust_outputs(tx, dust_feerate):
        raise TransactionRejected("dust", "tx with dust output must be 0-fee")


def check_dust_is_spent(candidate: PoolEntry, parents: Sequence[PoolEntry], dust_feerate: int) -> None:
    """Require that a child spends every dust output of its unconfirmed parents. Raises TransactionRejected."""
    spent = {(tx_in.prevout.txid, tx_in.prevout.vout): None for tx_in in candidate.tx.inputs}
    for parent in parents:
        for vout in dust_outputs(parent.tx, dust_feerate):
            if (parent.txid, vout) not in spent:
                raise TransactionRejected(
                    "missing-ephemeral-spends", f"tx {_names(candidate)} did not spend parent's ephemeral dust"
                )
