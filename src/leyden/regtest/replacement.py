"""Replacing what is in the pool: every transaction may be replaced by one that pays more, absolutely and by rate."""

from collections.abc import Sequence
from typing import Final

from leyden.bitcoin.tx import txid_to_hex
from leyden.regtest.mempool import Mempool, PoolEntry, package_feerate
from leyden.regtest.policy import TransactionRejected, btc, fee_at

REPLACED_MAX: Final = 100


def direct_conflicts(pool: Mempool, candidate: PoolEntry) -> list[PoolEntry]:
    """Return the entries that spend an input of the candidate, each once."""
    spenders = (pool.spender(tx_in.prevout) for tx_in in candidate.tx.inputs)
    return list({entry.txid: entry for entry in spenders if entry is not None}.values())


def check_replacement(
    pool: Mempool, candidates: Sequence[PoolEntry], conflicts: Sequence[PoolEntry]
) -> list[PoolEntry]:
    """Decide whether candidates (one, or a parent and its child) pay for replacing `conflicts`.

    Returns: everything that leaves: the conflicts and their descendants.
    Raises TransactionRejected.
    """
    if not conflicts:
        return []
    leaving = {entry.txid: entry for conflict in conflicts for entry in pool.descendants(conflict)}
    last = candidates[-1]
    name = txid_to_hex(last.txid)
    for candidate in candidates:
        for ancestor in pool.ancestors(candidate.tx):
            if ancestor.txid in leaving:
                raise TransactionRejected(
                    "bad-txns-spends-conflicting-tx",
                    f"{txid_to_hex(candidate.txid)} spends conflicting transaction {txid_to_hex(ancestor.txid)}",
                )
    if len(leaving) > REPLACED_MAX:
        raise TransactionRejected(
            "too many potential replacements",
            f"rejecting replacement {name}; too many potential replacements ({len(leaving)} > {REPLACED_MAX})",
        )
    _check_fees(pool, candidates, conflicts, list(leaving.values()), name)
    return list(leaving.values())


def _check_fees(
    pool: Mempool,
    candidates: Sequence[PoolEntry],
    conflicts: Sequence[PoolEntry],
    leaving: Sequence[PoolEntry],
    name: str,
) -> None:
    new_fee = sum(entry.fee_sat for entry in candidates)
    old_fee = sum(entry.fee_sat for entry in leaving)
    new_feerate = package_feerate(candidates)
    for conflict in conflicts:
        old_feerate = package_feerate([conflict])
        if new_feerate <= old_feerate:
            raise _too_cheap(
                f"rejecting replacement {name}; new feerate {btc(new_feerate)} BTC/kvB"
                f" <= old feerate {btc(old_feerate)} BTC/kvB"
            )
    if new_fee < old_fee:
        raise _too_cheap(
            f"rejecting replacement {name}, less fees than conflicting txs; {btc(new_fee)} < {btc(old_fee)}"
        )
    relay_fee = fee_at(pool.settings.incremental_feerate, sum(entry.vsize for entry in candidates))
    if new_fee - old_fee < relay_fee:
        raise _too_cheap(
            f"rejecting replacement {name}, not enough additional fees to relay;"
            f" {btc(new_fee - old_fee)} < {btc(relay_fee)}"
        )


def _too_cheap(detail: str) -> TransactionRejected:
    return TransactionRejected("insufficient fee", detail, too_cheap=True)
