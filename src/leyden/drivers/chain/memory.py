"""A chain in memory: a `ChainSource` without a service, for tests and simulations.

Blocks are well formed and linked, their transactions are taken as they come: no script, amount or proof of work is
checked, only that inputs exist and are spent once. What needs consensus rules uses the regtest service.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final, final

from leyden.base.errors import ChainUnavailable, CommandRejected, DecodeError
from leyden.bitcoin.block import Block, BlockHeader, merkle_root
from leyden.bitcoin.networks import Network
from leyden.bitcoin.script import push_int
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut
from leyden.ports.chain import (
    FEERATE_FLOOR_PER_KW,
    BlockConnected,
    BlockData,
    BlockRef,
    BlocksDisconnected,
    BroadcastResult,
    ChainEvent,
    FeeEstimate,
    FeeSource,
    UnspentOutput,
)

SUBSIDY_SAT: Final = 5_000_000_000
_NO_TXID: Final = bytes(32)
_COINBASE_VOUT: Final = 0xFFFFFFFF
_SECONDS_PER_BLOCK: Final = 600


class _Coin(UnspentOutput, frozen=True, gc=False):
    height: int


@final
class MemoryChain:
    """The chain, its unspent outputs and its mempool; any number of `MemoryChainSource` look at one.

    Attributes:
        pool: transactions that wait for a block, by txid, parents first.
        feerate_per_kw: what `estimate_fee` answers.
        available: False makes every call fail and `follow` wait, as a service that is away.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.pool: dict[bytes, Transaction] = {}
        self.feerate_per_kw = FEERATE_FLOOR_PER_KW
        self.available = True
        self._by_hash: dict[bytes, BlockData] = {}
        self._active: list[bytes] = []
        self._coins: dict[OutPoint, _Coin] = {}
        self._branches = 0
        self._changed = asyncio.Event()
        header = BlockHeader.parse(network.genesis_header)
        self._by_hash[network.chain_hash] = BlockData(0, network.chain_hash, Block(header, ()), ())
        self._active.append(network.chain_hash)

    @property
    def tip(self) -> BlockRef:
        """The last block of the best chain."""
        return BlockRef(len(self._active) - 1, self._active[-1])

    def block_at(self, height: int) -> BlockData | None:
        """Return the block of the best chain at a height, None above the tip."""
        return self._by_hash[self._active[height]] if 0 <= height < len(self._active) else None

    def block(self, block_hash: bytes) -> BlockData | None:
        """Return a block of any branch."""
        return self._by_hash.get(block_hash)

    def is_active(self, ref: BlockRef) -> bool:
        """Tell whether a block is in the best chain."""
        return ref.height < len(self._active) and self._active[ref.height] == ref.hash

    def copy(self) -> "MemoryChain":
        """Return an independent chain that begins with the same blocks and mempool."""
        other = MemoryChain(self.network)
        other.pool = dict(self.pool)
        other.feerate_per_kw = self.feerate_per_kw
        other._by_hash = dict(self._by_hash)
        other._active = list(self._active)
        other._coins = dict(self._coins)
        other._branches = self._branches
        return other

    def coins(self) -> Iterator[UnspentOutput]:
        """Yield every unspent output, as if all that waits in the mempool were mined."""
        spent = self._pool_spends()
        yield from [coin for outpoint, coin in self._coins.items() if outpoint not in spent]
        for txid, tx in self.pool.items():
            for vout, out in enumerate(tx.outputs):
                if OutPoint(txid, vout) not in spent:
                    yield UnspentOutput(out.value_sat, out.script_pubkey, 0, is_coinbase=False)

    # --------------------------------------------------------------------------------------------------------- mining

    def mine(self, count: int, script_pubkey: bytes) -> list[BlockData]:
        """Mine blocks that pay to a script; the first holds all of the mempool."""
        return [self._mine_one(script_pubkey) for _ in range(count)]

    def _mine_one(self, script_pubkey: bytes) -> BlockData:
        height = len(self._active)
        # The branch number makes the coinbases of two branches differ.
        script_sig = push_int(height) + push_int(self._branches + 1000)
        coinbase = Transaction(
            2,
            (TxIn(OutPoint(_NO_TXID, _COINBASE_VOUT), script_sig, 0xFFFFFFFF),),
            (TxOut(SUBSIDY_SAT, script_pubkey),),
            0,
        )
        transactions = (coinbase, *self.pool.values())
        txids = (coinbase.txid(), *self.pool)
        previous = self._by_hash[self._active[-1]].header
        header = BlockHeader(
            0x20000000, self._active[-1], merkle_root(txids), previous.time + _SECONDS_PER_BLOCK, previous.bits, 0
        )
        data = BlockData(height, header.hash(), Block(header, transactions), txids)
        self._by_hash[data.hash] = data
        self._active.append(data.hash)
        self.pool.clear()
        self._apply(data)
        self._wake()
        return data

    def reorganise(self, depth: int, count: int, script_pubkey: bytes) -> list[BlockData]:
        """Replace the last `depth` blocks by `count` new ones; what the lost ones held is mined again if it can be."""
        assert 0 < depth < len(self._active), "the genesis block stays"
        lost = [self._by_hash[block_hash] for block_hash in self._active[-depth:]]
        del self._active[-depth:]
        self._branches += 1
        self._coins.clear()
        for block_hash in self._active[1:]:
            self._apply(self._by_hash[block_hash])
        waiting = [tx for block in lost for tx in block.transactions[1:]] + list(self.pool.values())
        self.pool.clear()
        for tx in waiting:
            self.offer(tx)
        return self.mine(count, script_pubkey)

    def _apply(self, data: BlockData) -> None:
        for tx, txid in zip(data.transactions, data.txids, strict=True):
            is_coinbase = tx.inputs[0].prevout.txid == _NO_TXID
            for tx_in in () if is_coinbase else tx.inputs:
                self._coins.pop(tx_in.prevout, None)
            for vout, out in enumerate(tx.outputs):
                self._coins[OutPoint(txid, vout)] = _Coin(out.value_sat, out.script_pubkey, 0, is_coinbase, data.height)

    # -------------------------------------------------------------------------------------------------------- mempool

    def offer(self, tx: Transaction) -> BroadcastResult:
        """Take a transaction into the mempool when its inputs exist and nothing there spends them."""
        txid = tx.txid()
        if txid in self.pool or any(OutPoint(txid, vout) in self._coins for vout in range(len(tx.outputs))):
            return BroadcastResult(accepted=True, already_known=True, reject_reason="")
        spent = self._pool_spends()
        for tx_in in tx.inputs:
            if tx_in.prevout in spent:
                return BroadcastResult(accepted=False, already_known=False, reject_reason="txn-mempool-conflict")
            if self.unspent(tx_in.prevout, include_mempool=True) is None:
                reason = "bad-txns-inputs-missingorspent"
                return BroadcastResult(accepted=False, already_known=False, reject_reason=reason)
        self.pool[txid] = tx
        return BroadcastResult(accepted=True, already_known=False, reject_reason="")

    def _pool_spends(self) -> dict[OutPoint, None]:
        return {tx_in.prevout: None for tx in self.pool.values() for tx_in in tx.inputs}

    def unspent(self, outpoint: OutPoint, *, include_mempool: bool) -> UnspentOutput | None:
        """Return an unspent output as `ChainSource.get_txout` does."""
        coin = self._coins.get(outpoint)
        if include_mempool:
            if outpoint in self._pool_spends():
                return None
            parent = self.pool.get(outpoint.txid)
            if coin is None and parent is not None and outpoint.vout < len(parent.outputs):
                out = parent.outputs[outpoint.vout]
                return UnspentOutput(out.value_sat, out.script_pubkey, 0, is_coinbase=False)
        if coin is None:
            return None
        return UnspentOutput(coin.value_sat, coin.script_pubkey, len(self._active) - coin.height, coin.is_coinbase)

    # --------------------------------------------------------------------------------------------------------- waiting

    def set_available(self, available: bool) -> None:
        """Let the chain go away, or come back."""
        self.available = available
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self) -> None:
        """Wait for the next block or change of availability."""
        await self._changed.wait()


@final
class MemoryChainSource:
    """A `ChainSource` over a `MemoryChain`; see the port for the methods."""

    def __init__(self, chain: MemoryChain) -> None:
        self.chain = chain

    def _available(self) -> MemoryChain:
        if not self.chain.available:
            raise ChainUnavailable("the chain is away")
        return self.chain

    async def check_network(self, network: Network) -> None:
        """Compare networks. Raises CommandRejected (code `wrong_network`)."""
        found = self._available().network
        if found != network:
            what = f"the chain service is on {found.name}, this node on {network.name}"
            raise CommandRejected(what, code="wrong_network")

    async def tip(self) -> BlockRef:
        """Return the last block of the best chain."""
        return self._available().tip

    async def follow(self, from_height: int, from_hash: bytes) -> AsyncIterator[ChainEvent]:
        """Yield what happens to the best chain from a block on, for ever."""
        at = BlockRef(from_height, from_hash)
        while True:
            if not self.chain.available or self.chain.tip == at:
                await self.chain.changed()
                continue
            event = next(self._steps(at))
            at = event.block.ref if isinstance(event, BlockConnected) else BlockRef(event.fork_height, event.fork_hash)
            yield event

    def _steps(self, at: BlockRef) -> Iterator[ChainEvent]:
        fork = at
        while not self.chain.is_active(fork):
            block = self.chain.block(fork.hash)
            if block is None:
                raise ChainUnavailable(f"the chain does not know block {fork.height}")
            fork = BlockRef(fork.height - 1, block.prev_hash)
        if fork != at:
            yield BlocksDisconnected(fork.height, fork.hash)
        following = self.chain.block_at(fork.height + 1)
        if following is not None:
            yield BlockConnected(following)

    async def get_block_by_height(self, height: int) -> BlockData | None:
        """Return the block at `height` of the best chain, or None above the tip."""
        return self._available().block_at(height)

    async def get_txout(self, outpoint: OutPoint, include_mempool: bool) -> UnspentOutput | None:
        """Return an unspent output, or None when it is spent or unknown."""
        return self._available().unspent(outpoint, include_mempool=include_mempool)

    async def estimate_fee(self, target_blocks: int) -> FeeEstimate:
        """Return the chain's feerate for any target."""
        return FeeEstimate(self._available().feerate_per_kw, FeeSource.ESTIMATE, "")

    async def broadcast(self, raw_tx: bytes) -> BroadcastResult:
        """Offer a serialised transaction to the mempool."""
        chain = self._available()
        try:
            tx = Transaction.parse(raw_tx)
        except DecodeError as error:
            return BroadcastResult(accepted=False, already_known=False, reject_reason=f"TX decode failed: {error}")
        return chain.offer(tx)

    async def broadcast_package(self, raw_transactions: Sequence[bytes]) -> BroadcastResult:
        """Offer several transactions in order; the first refusal is the result."""
        result = BroadcastResult(accepted=True, already_known=False, reject_reason="")
        for raw in raw_transactions:
            result = await self.broadcast(raw)
            if not result.accepted:
                break
        return result

    async def close(self) -> None:
        """Do nothing."""
