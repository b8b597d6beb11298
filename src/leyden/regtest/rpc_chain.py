"""RPC methods about blocks and confirmed transactions."""

from typing import Final

from leyden.bitcoin.tx import OutPoint, txid_to_hex
from leyden.regtest.backend import Backend
from leyden.regtest.chain import BlockEntry
from leyden.regtest.chainstate import ParsedBlock
from leyden.regtest.coins import Coin
from leyden.regtest.rpc_errors import INVALID_ADDRESS_OR_KEY, INVALID_PARAMETER, RpcError, block_not_found
from leyden.regtest.rpc_params import Method, Params
from leyden.regtest.template import subsidy_sat
from leyden.regtest.views import (
    Json,
    amount,
    block_view,
    confirmations,
    difficulty,
    header_view,
    script_view,
    spent_by_transaction,
    transaction_view,
)

_BURIED: Final = {"bip34": 1, "bip66": 1, "bip65": 1, "csv": 1, "segwit": 0, "taproot": 0}
_SCRIPT_FLAGS: Final = (
    "CHECKLOCKTIMEVERIFY",
    "CHECKSEQUENCEVERIFY",
    "DERSIG",
    "NULLDUMMY",
    "P2SH",
    "TAPROOT",
    "WITNESS",
)


def _entry(backend: Backend, block_hash: bytes) -> BlockEntry:
    entry = backend.chain.tree.get(block_hash)
    if entry is None:
        raise block_not_found()
    return entry


def _parsed(backend: Backend, entry: BlockEntry) -> ParsedBlock:
    return backend.chain.parsed_block(entry)


def get_best_block_hash(backend: Backend, _: Params) -> object:
    """Hash of the tip."""
    return txid_to_hex(backend.chain.tree.tip.hash)


def get_block_count(backend: Backend, _: Params) -> object:
    """Height of the tip."""
    return backend.chain.tree.height


def get_difficulty(backend: Backend, _: Params) -> object:
    """Difficulty, which never changes on regtest."""
    return difficulty(backend.chain.tree.tip.header.bits)


def get_blockchain_info(backend: Backend, _: Params) -> object:
    """State of the chain. Regtest is never in initial download here: nobody would end it."""
    tree = backend.chain.tree
    tip = tree.tip
    return {
        "chain": "regtest",
        "blocks": tree.height,
        "headers": tree.height,
        "bestblockhash": txid_to_hex(tip.hash),
        "bits": f"{tip.header.bits:08x}",
        "target": f"{tip.header.target():064x}",
        "difficulty": difficulty(tip.header.bits),
        "time": tip.header.time,
        "mediantime": tip.median_time,
        "verificationprogress": 1,
        "initialblockdownload": False,
        "chainwork": f"{tip.work:064x}",
        "size_on_disk": tree.size,
        "pruned": False,
        "warnings": [],
    }


def get_deployment_info(backend: Backend, params: Params) -> object:
    """Which soft forks are active: all of them."""
    entry = _entry(backend, params.hash(0)) if params.has(0) else backend.chain.tree.tip
    return {
        "hash": txid_to_hex(entry.hash),
        "height": entry.height,
        "script_flags": list(_SCRIPT_FLAGS),
        "deployments": {
            name: {"type": "buried", "active": entry.height + 1 >= height, "height": height}
            for name, height in _BURIED.items()
        },
    }


def get_block_hash(backend: Backend, params: Params) -> object:
    """Hash of the active block at a height."""
    height = params.integer(0)
    if not 0 <= height <= backend.chain.tree.height:
        raise RpcError(INVALID_PARAMETER, "Block height out of range")
    return txid_to_hex(backend.chain.tree.at(height).hash)


def get_block_header(backend: Backend, params: Params) -> object:
    """Header of a block, as JSON or as 80 bytes of hex."""
    entry = _entry(backend, params.hash(0))
    if not params.boolean(1, True):
        return entry.header.serialize().hex()
    return header_view(backend.chain.tree, entry)


def get_block(backend: Backend, params: Params) -> object:
    """Block as hex (verbosity 0), with txids (1), transactions (2) or their prevouts too (3)."""
    entry = _entry(backend, params.hash(0))
    verbosity = params.verbosity(1, 1)
    if verbosity <= 0:
        return backend.chain.read_block(entry).hex()
    return block_view(backend.chain, _parsed(backend, entry), verbosity)


def get_chain_tips(backend: Backend, _: Params) -> object:
    """Ends of all known branches, highest first."""
    tree = backend.chain.tree
    tips: list[Json] = []
    for leaf in sorted(tree.leaves(), key=lambda entry: entry.height, reverse=True):
        if leaf.hash == tree.tip.hash:
            status = "active"
        elif tree.invalid_cause(leaf) is not None:
            status = "invalid"
        else:
            status = "valid-fork" if tree.was_active(leaf) else "valid-headers"
        branch_length = leaf.height - tree.fork_point(leaf).height
        tips.append(
            {"height": leaf.height, "hash": txid_to_hex(leaf.hash), "branchlen": branch_length, "status": status}
        )
    return tips


def get_raw_transaction(backend: Backend, params: Params) -> object:
    """A transaction of the pool or of the active chain, or of a given block."""
    txid = params.hash(0)
    verbosity = params.verbosity(1, 0)
    genesis = backend.chain.parsed_block(backend.chain.tree.at(0))
    if txid in genesis.txids:
        raise RpcError(
            INVALID_ADDRESS_OR_KEY,
            "The genesis block coinbase is not considered an ordinary transaction and cannot be retrieved",
        )
    if params.has(2):
        return _transaction_of_block(backend, params, txid, verbosity)
    entry = backend.pool.get(txid)
    if entry is not None:
        if verbosity <= 0:
            return entry.raw.hex()
        spent = entry.spent if verbosity >= 2 else None
        return transaction_view(entry.tx, spent, verbosity >= 2)
    place = backend.chain.find_transaction(txid)
    if place is None:
        raise RpcError(
            INVALID_ADDRESS_OR_KEY,
            "No such mempool or blockchain transaction. Use gettransaction for wallet transactions.",
        )
    return _confirmed_transaction(backend, place[0], place[1], verbosity)


def _transaction_of_block(backend: Backend, params: Params, txid: bytes, verbosity: int) -> object:
    entry = backend.chain.tree.get(params.hash(2))
    if entry is None:
        raise RpcError(INVALID_ADDRESS_OR_KEY, "Block hash not found")
    parsed = backend.chain.parsed_block(entry)
    if txid not in parsed.txids:
        raise RpcError(
            INVALID_ADDRESS_OR_KEY,
            "No such transaction found in the provided block. Use gettransaction for wallet transactions.",
        )
    view = _confirmed_transaction(backend, parsed, parsed.txids.index(txid), verbosity)
    if isinstance(view, dict):
        return {"in_active_chain": backend.chain.tree.is_active(entry)} | view
    return view


def _confirmed_transaction(backend: Backend, parsed: ParsedBlock, index: int, verbosity: int) -> Json | str:
    tx = parsed.block.transactions[index]
    if verbosity <= 0:
        return tx.serialize().hex()
    all_spent = spent_by_transaction(backend.chain, parsed) if verbosity >= 2 else None
    spent = all_spent[index] if all_spent is not None and index else None
    view = transaction_view(tx, spent, verbosity >= 2)
    entry = parsed.entry
    view["blockhash"] = txid_to_hex(entry.hash)
    depth = confirmations(backend.chain.tree, entry)
    view["confirmations"] = max(depth, 0)
    if depth > 0:
        view |= {"time": entry.header.time, "blocktime": entry.header.time}
    return view


def get_tx_out(backend: Backend, params: Params) -> object:
    """An unspent output; null when it is spent, also by the pool unless the third parameter is false."""
    outpoint = OutPoint(params.hash(0), _vout(params))
    tree = backend.chain.tree
    coin: Coin | None = backend.chain.coins.get(outpoint)
    depth = 0 if coin is None else tree.height - coin.height + 1
    if params.boolean(2, True):
        if backend.pool.spender(outpoint) is not None:
            return None
        if coin is None:
            coin = backend.pool.output(outpoint, tree.height + 1)
    if coin is None:
        return None
    return {
        "bestblock": txid_to_hex(tree.tip.hash),
        "confirmations": depth,
        "value": amount(coin.value_sat),
        "scriptPubKey": script_view(coin.script_pubkey),
        "coinbase": coin.is_coinbase,
    }


def _vout(params: Params) -> int:
    vout = params.integer(1)
    if not 0 <= vout < 1 << 32:
        raise RpcError(INVALID_PARAMETER, "Invalid parameter, vout must be positive")
    return vout


def get_block_stats(backend: Backend, params: Params) -> object:
    """Figures of a block, named by hash or height."""
    tree = backend.chain.tree
    if isinstance(params.value(0), str):
        entry = _entry(backend, params.hash(0))
    else:
        height = params.integer(0)
        if height < 0:
            raise RpcError(INVALID_PARAMETER, f"Target block height {height} is negative")
        if height > tree.height:
            raise RpcError(INVALID_PARAMETER, f"Target block height {height} after current tip {tree.height}")
        entry = tree.at(height)
    if not tree.is_active(entry):
        raise RpcError(INVALID_PARAMETER, "Block is not in chain regtest")
    stats = _block_stats(backend, entry)
    if not params.has(1):
        return stats
    wanted = params.texts(1)
    for name in wanted:
        if name not in stats:
            raise RpcError(INVALID_PARAMETER, f"Invalid selected statistic '{name}'")
    return {name: stats[name] for name in wanted}


def _block_stats(backend: Backend, entry: BlockEntry) -> Json:
    parsed = backend.chain.parsed_block(entry)
    spent = spent_by_transaction(backend.chain, parsed) or []
    ordinary = parsed.block.transactions[1:]
    fees: list[int] = []
    feerates: list[int] = []
    for tx, coins in zip(ordinary, spent[1:], strict=True):
        fees.append(sum(coin.value_sat for coin in coins) - sum(output.value_sat for output in tx.outputs))
        feerates.append(fees[-1] * 4 // tx.weight())
    inputs = sum(len(tx.inputs) for tx in ordinary)
    outputs = sum(len(tx.outputs) for tx in parsed.block.transactions)
    count = len(ordinary)
    size = sum(len(tx.serialize()) for tx in ordinary)
    weight = sum(tx.weight() for tx in ordinary)
    return {
        "avgfee": sum(fees) // count if count else 0,
        "avgfeerate": sum(fees) * 4 // weight if weight else 0,
        "avgtxsize": size // count if count else 0,
        "blockhash": txid_to_hex(entry.hash),
        "height": entry.height,
        "ins": inputs,
        "maxfee": max(fees, default=0),
        "maxfeerate": max(feerates, default=0),
        "mediantime": entry.median_time,
        "minfee": min(fees, default=0),
        "minfeerate": min(feerates, default=0),
        "outs": outputs,
        "subsidy": subsidy_sat(entry.height),
        "time": entry.header.time,
        "total_out": sum(output.value_sat for tx in ordinary for output in tx.outputs),
        "total_size": size,
        "total_weight": weight,
        "totalfee": sum(fees),
        "txs": len(parsed.block.transactions),
        "utxo_increase": outputs - inputs,
    }


METHODS: Final = {
    "getbestblockhash": Method((), 0, get_best_block_hash),
    "getblockcount": Method((), 0, get_block_count),
    "getdifficulty": Method((), 0, get_difficulty),
    "getblockchaininfo": Method((), 0, get_blockchain_info),
    "getdeploymentinfo": Method(("blockhash",), 0, get_deployment_info),
    "getblockhash": Method(("height",), 1, get_block_hash),
    "getblockheader": Method(("blockhash", "verbose"), 1, get_block_header),
    "getblock": Method(("blockhash", "verbosity"), 1, get_block),
    "getchaintips": Method((), 0, get_chain_tips),
    "getrawtransaction": Method(("txid", "verbosity", "blockhash"), 1, get_raw_transaction),
    "gettxout": Method(("txid", "n", "include_mempool"), 2, get_tx_out),
    "getblockstats": Method(("hash_or_height", "stats"), 1, get_block_stats),
}
