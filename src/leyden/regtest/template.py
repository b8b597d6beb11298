"""Blocks to mine: which transactions, in which order, under which coinbase, and the little work that regtest asks."""

import heapq
from collections.abc import Sequence
from typing import Final

from leyden.base.errors import CommandRejected
from leyden.bitcoin.block import Block, BlockHeader, merkle_root, witness_commitment, witness_commitment_script
from leyden.bitcoin.script import push_data, push_int
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut
from leyden.regtest.chain import BlockEntry
from leyden.regtest.mempool import Mempool, PoolEntry
from leyden.regtest.policy import BLOCK_WEIGHT_MAX

SUBSIDY_SAT: Final = 50 * 100_000_000
HALVING_BLOCKS: Final = 150
REGTEST_BITS: Final = 0x207FFFFF
BLOCK_VERSION: Final = 0x20000000
BLOCK_SIGOP_COST_MAX: Final = 80_000
RESERVED_WEIGHT: Final = 8_000
RESERVED_SIGOP_COST: Final = 400
FUTURE_SECONDS_MAX: Final = 7_200
_WITNESS_RESERVED: Final = bytes(32)
_NULL_OUTPOINT: Final = OutPoint(bytes(32), 0xFFFFFFFF)


def subsidy_sat(height: int) -> int:
    """Return the new satoshis of the block at a height."""
    halvings = height // HALVING_BLOCKS
    return SUBSIDY_SAT >> halvings if halvings < 64 else 0


def next_block_time(tip: BlockEntry, now: int) -> int:
    """Return the time for the block after `tip`: now, but after its median and never before the tip's own time.

    Many blocks in one second push their times ahead by about a second for every six.
    Raises CommandRejected when that would be more than two hours ahead of `now`, which consensus refuses.
    """
    time = max(now, tip.header.time, tip.median_time + 1)
    if time > now + FUTURE_SECONDS_MAX:
        # The tip may be ahead, its median not: then time may stand still, or even go back as far as the median.
        time = max(now, tip.median_time + 1)
    if time > now + FUTURE_SECONDS_MAX:
        raise CommandRejected("block times are two hours ahead of the clock: mine slower", code="time_too_new")
    return time


def choose_transactions(pool: Mempool) -> list[PoolEntry]:
    """Return what a block takes from the pool: best common feerate of a transaction and its ancestors first."""
    chosen: dict[bytes, PoolEntry] = {}
    weight, sigop_cost = RESERVED_WEIGHT, RESERVED_SIGOP_COST
    heap = [_scored(pool, entry, chosen, order) for order, entry in enumerate(pool)]
    heapq.heapify(heap)
    while heap:
        score, order, missing_count, entry = heapq.heappop(heap)
        if entry.txid in chosen:
            continue
        missing = _missing(pool, entry, chosen)
        if len(missing) != missing_count:
            heapq.heappush(heap, _scored(pool, entry, chosen, order))
            continue
        assert score <= 0, "a feerate is not negative"
        more_weight = sum(other.weight for other in missing)
        more_sigops = sum(other.sigop_cost for other in missing)
        if weight + more_weight > BLOCK_WEIGHT_MAX or sigop_cost + more_sigops > BLOCK_SIGOP_COST_MAX:
            continue
        weight += more_weight
        sigop_cost += more_sigops
        chosen.update({other.txid: other for other in missing})
    return list(chosen.values())


def _missing(pool: Mempool, entry: PoolEntry, chosen: dict[bytes, PoolEntry]) -> list[PoolEntry]:
    """Return the entry and its ancestors that are not chosen yet, in an order that a block may hold."""
    missing = [other for other in pool.ancestors(entry.tx) if other.txid not in chosen]
    missing.append(entry)
    return in_block_order(missing)


def _scored(
    pool: Mempool, entry: PoolEntry, chosen: dict[bytes, PoolEntry], order: int
) -> tuple[int, int, int, PoolEntry]:
    missing = _missing(pool, entry, chosen)
    fee = sum(other.fee_sat for other in missing)
    return -(fee * 1_000_000 // sum(other.vsize for other in missing)), order, len(missing), entry


def in_block_order(entries: Sequence[PoolEntry]) -> list[PoolEntry]:
    """Return entries with parents before children, otherwise in the order given."""
    waiting = {entry.txid: entry for entry in entries}
    ordered: list[PoolEntry] = []
    for first in entries:
        stack = [first]
        while stack:
            entry = stack[-1]
            if entry.txid not in waiting:
                stack.pop()
                continue
            parents = [waiting[i.prevout.txid] for i in entry.tx.inputs if i.prevout.txid in waiting]
            if parents:
                stack.extend(parents)
            else:
                ordered.append(waiting.pop(entry.txid))
                stack.pop()
    return ordered


def coinbase(height: int, script_pubkey: bytes, value_sat: int, extra_nonce: bytes) -> Transaction:
    """Return a coinbase without its witness commitment (`extra_nonce`: makes two otherwise equal blocks differ)."""
    script_sig = push_int(height) + push_data(extra_nonce)
    tx_in = TxIn(_NULL_OUTPOINT, script_sig, 0xFFFFFFFF, (_WITNESS_RESERVED,))
    return Transaction(2, (tx_in,), (TxOut(value_sat, script_pubkey),), 0)


def build_block(
    tip: BlockEntry, time: int, script_pubkey: bytes, fee_sat: int, transactions: Sequence[Transaction], nonce: bytes
) -> bytes:
    """Return the serialised, worked block after `tip` (`nonce`: for the coinbase)."""
    height = tip.height + 1
    bare = coinbase(height, script_pubkey, subsidy_sat(height) + fee_sat, nonce)
    commitment = witness_commitment([bare, *transactions], _WITNESS_RESERVED)
    outputs = (*bare.outputs, TxOut(0, witness_commitment_script(commitment)))
    first = Transaction(bare.version, bare.inputs, outputs, bare.locktime)
    everything = (first, *transactions)
    root = merkle_root([tx.txid() for tx in everything])
    header = BlockHeader(BLOCK_VERSION, tip.hash, root, time, REGTEST_BITS, 0)
    return Block(find_work(header), everything).serialize()


def find_work(header: BlockHeader) -> BlockHeader:
    """Return the header with the first nonce that meets its target: two tries on average."""
    nonce = 0
    while True:
        worked = BlockHeader(header.version, header.previous_hash, header.merkle_root, header.time, header.bits, nonce)
        if worked.meets_target():
            return worked
        nonce += 1
