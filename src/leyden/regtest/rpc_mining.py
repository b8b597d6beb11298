"""RPC methods that make blocks or change which branch is active."""

from typing import Final

from leyden.base.errors import CommandRejected, DecodeError
from leyden.bitcoin.address import decode_address
from leyden.bitcoin.block import HEADER_LENGTH
from leyden.bitcoin.networks import REGTEST
from leyden.bitcoin.tx import Transaction, txid_from_hex, txid_to_hex
from leyden.crypto.hashes import sha256d
from leyden.regtest.backend import Backend
from leyden.regtest.kernel import Verdict, short_reason
from leyden.regtest.rpc_errors import (
    DESERIALIZATION_ERROR,
    INVALID_ADDRESS_OR_KEY,
    INVALID_PARAMETER,
    VERIFY_ERROR,
    RpcError,
    block_not_found,
)
from leyden.regtest.rpc_mempool import decode_transaction
from leyden.regtest.rpc_params import Method, Params

BLOCKS_PER_CALL_MAX: Final = 100_000


def parse_output(text: str) -> bytes:
    """Return the script of an address, or of a descriptor of the kinds `addr(…)` and `raw(…)`. Raises RpcError."""
    inner = text.split("#", 1)[0]
    try:
        if inner.startswith("raw(") and inner.endswith(")"):
            return bytes.fromhex(inner[4:-1])
        if inner.startswith("addr(") and inner.endswith(")"):
            inner = inner[5:-1]
        return decode_address(inner, REGTEST)
    except (DecodeError, ValueError):
        raise RpcError(INVALID_ADDRESS_OR_KEY, "Error: Invalid address or descriptor") from None


def mining_request(params: Params, count_index: int) -> tuple[bytes, int]:
    """Return script and number of blocks of `generatetoaddress` (count first) or `generatetodescriptor`."""
    count = params.integer(count_index)
    if not 0 <= count <= BLOCKS_PER_CALL_MAX:
        raise RpcError(INVALID_PARAMETER, f"Number of blocks must be between 0 and {BLOCKS_PER_CALL_MAX}")
    return parse_output(params.text(1 - count_index)), count


def mine(backend: Backend, script_pubkey: bytes, count: int) -> list[str]:
    """Mine some blocks; return their hashes. Raises RpcError when the clock stands in the way."""
    try:
        return [txid_to_hex(block.hash) for block in backend.mine(script_pubkey, count)]
    except CommandRejected as error:
        raise RpcError(VERIFY_ERROR, f"time-too-new, {error.what}") from None


def generate_block(backend: Backend, params: Params) -> object:
    """Mine one block with exactly the given transactions (txids of the pool, or hex), in the given order."""
    script_pubkey = parse_output(params.text(0))
    raw = backend.make_block(script_pubkey, [_chosen(backend, text) for text in params.texts(1)])
    if not params.boolean(2, True):
        return {"hash": txid_to_hex(_hash_of(raw)), "hex": raw.hex()}
    outcome = backend.submit_block(raw)
    if outcome.verdict is not Verdict.VALID:
        raise RpcError(VERIFY_ERROR, f"TestBlockValidity failed: {outcome.reason or outcome.verdict.value}")
    return {"hash": txid_to_hex(backend.chain.tree.tip.hash)}


def _hash_of(raw: bytes) -> bytes:
    return sha256d(raw[:HEADER_LENGTH])


def _chosen(backend: Backend, text: str) -> Transaction:
    if len(text) == 64:
        try:
            entry = backend.pool.get(txid_from_hex(text))
        except DecodeError:
            entry = None
        if entry is None:
            raise RpcError(INVALID_ADDRESS_OR_KEY, f"Transaction {text} not in mempool.")
        return entry.tx
    tx = decode_transaction(text)
    if tx is None:
        raise RpcError(
            DESERIALIZATION_ERROR,
            f"Transaction decode failed for {text[:200]}. Make sure the tx has at least one input.",
        )
    return tx


def submit_block(backend: Backend, params: Params) -> object:
    """Take a block; null when it is valid, else why not (BIP 22)."""
    try:
        raw = bytes.fromhex(params.text(0))
    except ValueError:
        raise RpcError(DESERIALIZATION_ERROR, "Block decode failed") from None
    outcome = backend.submit_block(raw)
    match outcome.verdict:
        case Verdict.VALID:
            return None
        case Verdict.SIDE:
            return "inconclusive"
        case Verdict.DUPLICATE:
            return "duplicate"
        case Verdict.INVALID:
            return short_reason(outcome.reason)
        case Verdict.UNDECODABLE:
            raise RpcError(DESERIALIZATION_ERROR, "Block decode failed")


def invalidate_block(backend: Backend, params: Params) -> object:
    """Shut a block and its descendants out of the active branch."""
    block_hash = params.hash(0)
    if backend.chain.tree.get(block_hash) is None:
        raise block_not_found()
    try:
        backend.invalidate(block_hash)
    except CommandRejected as error:
        raise RpcError(VERIFY_ERROR, error.what) from None
    return None


def reconsider_block(backend: Backend, params: Params) -> object:
    """Take `invalidateblock` back."""
    block_hash = params.hash(0)
    if backend.chain.tree.get(block_hash) is None:
        raise block_not_found()
    backend.reconsider(block_hash)
    return None


METHODS: Final = {
    "generateblock": Method(("output", "transactions", "submit"), 2, generate_block),
    "submitblock": Method(("hexdata", "dummy"), 1, submit_block),
    "invalidateblock": Method(("blockhash",), 1, invalidate_block),
    "reconsiderblock": Method(("blockhash",), 1, reconsider_block),
}
