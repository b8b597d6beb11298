"""RPC methods about unconfirmed transactions and fees."""

from collections.abc import Mapping, Sequence
from typing import Final, cast

from leyden.base.errors import DecodeError
from leyden.bitcoin.tx import OutPoint, Transaction, txid_to_hex
from leyden.regtest.acceptance import Accepted, check_not_absurd
from leyden.regtest.backend import Backend
from leyden.regtest.coins import is_unspendable
from leyden.regtest.mempool import CLUSTER_COUNT_MAX, CLUSTER_VSIZE_MAX, PoolEntry
from leyden.regtest.package import PACKAGE_COUNT_MAX, PackageMember, is_child_with_parents
from leyden.regtest.policy import TransactionRejected
from leyden.regtest.rpc_errors import (
    ALREADY_IN_UTXO_SET,
    DESERIALIZATION_ERROR,
    INVALID_ADDRESS_OR_KEY,
    INVALID_PARAMETER,
    VERIFY_ERROR,
    VERIFY_REJECTED,
    RpcError,
)
from leyden.regtest.rpc_params import Method, Params, parse_hash
from leyden.regtest.views import Json, amount, pool_entry_view, transaction_view

_FEERATE_MAX_DEFAULT: Final = 10_000_000
_HINT: Final = "Make sure the tx has at least one input."
_TARGET_MAX: Final = 1008
_MODES: Final = ("UNSET", "ECONOMICAL", "CONSERVATIVE")


def decode_transaction(text: str) -> Transaction | None:
    """Return the transaction in a hex string, None when it does not decode."""
    try:
        return Transaction.parse(bytes.fromhex(text)) if text.isalnum() else None
    except (DecodeError, ValueError):
        return None


def _decoded(texts: Sequence[str]) -> list[Transaction]:
    if not 1 <= len(texts) <= PACKAGE_COUNT_MAX:
        raise RpcError(INVALID_PARAMETER, f"Array must contain between 1 and {PACKAGE_COUNT_MAX} transactions.")
    transactions: list[Transaction] = []
    for text in texts:
        tx = decode_transaction(text)
        if tx is None:
            raise RpcError(DESERIALIZATION_ERROR, f"TX decode failed: {text[:200]} {_HINT}")
        transactions.append(tx)
    return transactions


def _check_burn(transactions: Sequence[Transaction], burn_max_sat: int) -> None:
    for tx in transactions:
        for output in tx.outputs:
            if is_unspendable(output.script_pubkey) and output.value_sat > burn_max_sat:
                raise RpcError(VERIFY_ERROR, "Unspendable output exceeds maximum configured by user (maxburnamount)")


def send_raw_transaction(backend: Backend, params: Params) -> object:
    """Put a transaction into the pool; one that is there already is a success."""
    tx = decode_transaction(params.text(0))
    if tx is None:
        raise RpcError(DESERIALIZATION_ERROR, f"TX decode failed. {_HINT}")
    _check_burn([tx], params.amount(2, 0))
    feerate_max = params.feerate(1, _FEERATE_MAX_DEFAULT)
    txid = tx.txid()
    if backend.acceptance.is_confirmed_unspent(tx, txid):
        raise RpcError(ALREADY_IN_UTXO_SET, "Transaction outputs already in utxo set")
    if txid not in backend.pool:
        try:
            backend.send(tx, feerate_max)
        except TransactionRejected as rejection:
            raise _send_error(rejection) from None
    return txid_to_hex(txid)


def _send_error(rejection: TransactionRejected) -> RpcError:
    if rejection.reason == "max-fee-exceeded":
        return RpcError(VERIFY_ERROR, "Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate)")
    return RpcError(VERIFY_ERROR if rejection.missing_inputs else VERIFY_REJECTED, str(rejection))


def test_mempool_accept(backend: Backend, params: Params) -> object:
    """Say whether transactions would be taken, changing nothing."""
    transactions = _decoded(params.texts(0))
    feerate_max = params.feerate(1, _FEERATE_MAX_DEFAULT)
    if len(transactions) > 1:
        return _test_many(backend, transactions, feerate_max)
    tx = transactions[0]
    try:
        accepted: Accepted = backend.test(tx)
        return [_verdict_view(tx, accepted.entry, feerate_max)]
    except TransactionRejected as rejection:
        return [_verdict_view(tx, rejection, feerate_max)]


def _test_many(backend: Backend, transactions: Sequence[Transaction], feerate_max: int) -> object:
    try:
        verdicts = backend.test_many(transactions)
    except TransactionRejected as rejection:
        return [_ids(tx) | {"package-error": rejection.reason} for tx in transactions]
    return [_verdict_view(tx, verdict, feerate_max) for tx, verdict in zip(transactions, verdicts, strict=True)]


def _ids(tx: Transaction) -> Json:
    return {"txid": txid_to_hex(tx.txid()), "wtxid": txid_to_hex(tx.wtxid())}


def _verdict_view(tx: Transaction, verdict: PoolEntry | TransactionRejected | None, feerate_max: int) -> Json:
    view = _ids(tx)
    if verdict is None:
        return view
    if isinstance(verdict, PoolEntry):
        try:
            check_not_absurd(verdict, feerate_max)
        except TransactionRejected as rejection:
            return view | {"allowed": False, "reject-reason": rejection.reason}
        return view | {"allowed": True, "vsize": verdict.vsize, "fees": _fees(verdict, None, ())}
    reason = "missing-inputs" if verdict.missing_inputs else verdict.reason
    return view | {"allowed": False, "reject-reason": reason, "reject-details": str(verdict)}


def _fees(entry: PoolEntry, feerate: int | None, judged_with: Sequence[bytes]) -> Json:
    own = entry.fee_sat * 1000 // entry.vsize
    return {
        "base": amount(entry.fee_sat),
        "effective-feerate": amount(own if feerate is None else feerate),
        "effective-includes": [txid_to_hex(wtxid) for wtxid in judged_with or (entry.wtxid,)],
    }


def submit_package(backend: Backend, params: Params) -> object:
    """Put a child and its unconfirmed parents into the pool."""
    transactions = _decoded(params.texts(0))
    feerate_max = params.feerate(1, _FEERATE_MAX_DEFAULT)
    _check_burn(transactions, params.amount(2, 0))
    if len(transactions) > 1 and not is_child_with_parents(transactions):
        raise RpcError(
            VERIFY_ERROR,
            "package topology disallowed. not child-with-parents or parents depend on each other.",
        )
    try:
        outcome = backend.send_package(transactions, feerate_max)
    except TransactionRejected as rejection:
        raise RpcError(VERIFY_ERROR, rejection.reason) from None
    return {
        "package_msg": outcome.message,
        "tx-results": {txid_to_hex(member.wtxid): _member_view(member) for member in outcome.members},
        "replaced-transactions": [txid_to_hex(entry.txid) for entry in outcome.replaced],
    }


def _member_view(member: PackageMember) -> Json:
    view: Json = {"txid": txid_to_hex(member.txid)}
    if member.other_wtxid is not None:
        return view | {"other-wtxid": txid_to_hex(member.other_wtxid)}
    if member.entry is not None:
        fees = _fees(member.entry, member.feerate, member.judged_with)
        return view | {"vsize": member.entry.vsize, "fees": fees}
    return view | {"error": str(member.rejection)}


def get_raw_mempool(backend: Backend, params: Params) -> object:
    """Txids of the pool, or every entry by txid."""
    if params.boolean(0, False):
        return {txid_to_hex(entry.txid): pool_entry_view(backend.pool, entry) for entry in backend.pool}
    ids = [txid_to_hex(entry.txid) for entry in backend.pool]
    if params.boolean(1, False):
        return {"txids": ids, "mempool_sequence": backend.pool.sequence + 1}
    return ids


def _pool_entry(backend: Backend, params: Params) -> PoolEntry:
    entry = backend.pool.get(params.hash(0))
    if entry is None:
        raise RpcError(INVALID_ADDRESS_OR_KEY, "Transaction not in mempool")
    return entry


def get_mempool_entry(backend: Backend, params: Params) -> object:
    """One entry of the pool."""
    return pool_entry_view(backend.pool, _pool_entry(backend, params))


def get_mempool_ancestors(backend: Backend, params: Params) -> object:
    """What an entry depends on."""
    return _related(backend, params, backend.pool.ancestors(_pool_entry(backend, params).tx))


def get_mempool_descendants(backend: Backend, params: Params) -> object:
    """What depends on an entry."""
    entry = _pool_entry(backend, params)
    return _related(backend, params, [other for other in backend.pool.descendants(entry) if other is not entry])


def _related(backend: Backend, params: Params, entries: Sequence[PoolEntry]) -> object:
    if params.boolean(1, False):
        return {txid_to_hex(entry.txid): pool_entry_view(backend.pool, entry) for entry in entries}
    return [txid_to_hex(entry.txid) for entry in entries]


def get_mempool_info(backend: Backend, _: Params) -> object:
    """Size and limits of the pool."""
    pool, settings = backend.pool, backend.settings
    return {
        "loaded": True,
        "size": len(pool),
        "bytes": pool.vsize,
        "usage": pool.vsize,
        "total_fee": amount(pool.fee_sat),
        "maxmempool": settings.pool_vsize_max,
        "mempoolminfee": amount(pool.min_feerate(backend.clock())),
        "minrelaytxfee": amount(settings.min_relay_feerate),
        "incrementalrelayfee": amount(settings.incremental_feerate),
        "unbroadcastcount": 0,
        "fullrbf": True,
        "permitbaremultisig": True,
        "maxdatacarriersize": settings.datacarrier_size_max,
        "limitclustercount": CLUSTER_COUNT_MAX,
        "limitclustersize": CLUSTER_VSIZE_MAX,
        "optimal": True,
    }


def get_tx_spending_prevout(backend: Backend, params: Params) -> object:
    """Which pool transactions spend given outputs."""
    wanted = params.array(0)
    if not wanted:
        raise RpcError(INVALID_PARAMETER, "Invalid parameter, outputs are missing")
    return [_spending(backend, item) for item in wanted]


def _spending(backend: Backend, item: object) -> Json:
    if not isinstance(item, dict):
        raise RpcError(INVALID_PARAMETER, "Invalid parameter, expected object with txid and vout")
    fields = cast("Mapping[str, object]", item)
    txid, vout = fields.get("txid"), fields.get("vout")
    if not isinstance(txid, str) or not isinstance(vout, int) or isinstance(vout, bool):
        raise RpcError(INVALID_PARAMETER, "Invalid parameter, missing txid or vout")
    if not 0 <= vout < 1 << 32:
        raise RpcError(INVALID_PARAMETER, "Invalid parameter, vout cannot be negative")
    view: Json = {"txid": txid, "vout": vout}
    spender = backend.pool.spender(OutPoint(parse_hash(txid, "txid"), vout))
    if spender is not None:
        view["spendingtxid"] = txid_to_hex(spender.txid)
    return view


def decode_raw_transaction(_: Backend, params: Params) -> object:
    """A transaction in JSON."""
    tx = decode_transaction(params.text(0))
    if tx is None:
        raise RpcError(DESERIALIZATION_ERROR, f"TX decode failed. {_HINT}")
    view = transaction_view(tx, None, False)
    del view["hex"]
    return view


def estimate_smart_fee(backend: Backend, params: Params) -> object:
    """The feerate set by `setfeeestimate` for the target, else the fallback of the settings."""
    target = params.integer(0)
    if not 1 <= target <= _TARGET_MAX:
        raise RpcError(INVALID_PARAMETER, f"Invalid conf_target, must be between 1 and {_TARGET_MAX}")
    if params.optional_text(1, "ECONOMICAL").upper() not in _MODES:
        raise RpcError(INVALID_PARAMETER, "Invalid estimate_mode parameter, must be one of: " + ", ".join(_MODES))
    feerate = _estimate(backend, target)
    if feerate == 0:
        return {"errors": ["Insufficient data or no feerate found"], "blocks": target}
    floor = max(backend.pool.min_feerate(backend.clock()), backend.settings.min_relay_feerate)
    return {"feerate": amount(max(feerate, floor)), "blocks": target}


def _estimate(backend: Backend, target: int) -> int:
    """Return the estimate for the nearest lower target that has one, then of the nearest higher, then the fallback."""
    estimates = backend.fee_estimates
    lower = [known for known in estimates if known <= target]
    if lower:
        return estimates[max(lower)]
    return estimates[min(estimates)] if estimates else backend.settings.fallback_feerate


def set_fee_estimate(backend: Backend, params: Params) -> object:
    """Set what `estimatesmartfee` answers: feerate in BTC/kvB, for a target and those after it (default: all).

    A feerate of 0 says that there is no estimate; null takes the estimate back. Not a method of bitcoind.
    """
    target = params.optional_integer(1, 1)
    if not 1 <= target <= _TARGET_MAX:
        raise RpcError(INVALID_PARAMETER, f"Invalid conf_target, must be between 1 and {_TARGET_MAX}")
    if not params.has(1):
        backend.fee_estimates.clear()
    if params.has(0):
        backend.fee_estimates[target] = params.amount(0, 0)
    else:
        backend.fee_estimates.pop(target, None)
    return None


METHODS: Final = {
    "sendrawtransaction": Method(("hexstring", "maxfeerate", "maxburnamount"), 1, send_raw_transaction),
    "testmempoolaccept": Method(("rawtxs", "maxfeerate"), 1, test_mempool_accept),
    "submitpackage": Method(("package", "maxfeerate", "maxburnamount"), 1, submit_package),
    "getrawmempool": Method(("verbose", "mempool_sequence"), 0, get_raw_mempool),
    "getmempoolentry": Method(("txid",), 1, get_mempool_entry),
    "getmempoolancestors": Method(("txid", "verbose"), 1, get_mempool_ancestors),
    "getmempooldescendants": Method(("txid", "verbose"), 1, get_mempool_descendants),
    "getmempoolinfo": Method((), 0, get_mempool_info),
    "gettxspendingprevout": Method(("outputs",), 1, get_tx_spending_prevout),
    "decoderawtransaction": Method(("hexstring", "iswitness"), 1, decode_raw_transaction),
    "estimatesmartfee": Method(("conf_target", "estimate_mode"), 1, estimate_smart_fee),
    "setfeeestimate": Method(("feerate", "conf_target"), 0, set_fee_estimate),
}
