"""A chain in memory: a `ChainSource` without a service, for tests and simulations.

It refuses what the network would refuse by inputs, amounts, lock times, fees and conflicts (`memory_pool`), in Bitcoin
Core's words; scripts and proof of work are not checked. What needs consensus rules uses the regtest service.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Container, Iterator, Sequence
from typing import Final, TypeAlias, final

from leyden.base.errors import ChainUnavailable, CommandRejected, DecodeError
from leyden.bitcoin.block import Block, BlockHeader, merkle_root
from leyden.bitcoin.networks import Network
from leyden.bitcoin.script import push_int
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut
from leyden.drivers.chain.memory_pool import MemoryPool, PoolEntry, Refused, is_above
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
from leyden.regtest.policy import is_final, relative_lock

SUBSIDY_SAT: Final = 5_000_000_000
COINBASE_MATURITY: Final = 100
BLOCK_WEIGHT_MAX: Final = 3_992_000
"""What a miner leaves for transactions beside the coinbase."""
PACKAGE_COUNT_MAX: Final = 25
_NO_TXID: Final = bytes(32)
_COINBASE_VOUT: Final = 0xFFFFFFFF
_SECONDS_PER_BLOCK: Final = 600
_MEDIAN_OF_BLOCKS: Final = 11
_BIP68_VERSION: Final = 2
_ACCEPTED: Final = BroadcastResult(accepted=True, already_known=False, reject_reason="")
_KNOWN: Final = BroadcastResult(accepted=True, already_known=True, reject_reason="")

LeftOut: TypeAlias = Callable[[Transaction], bool] | Container[bytes | OutPoint]
"""What a miner does not take: transactions of which this is true, or their txids (32 bytes), or what they spend."""


class InvalidBlock(ValueError):
    """Transactions that no block may hold. The text is Core's reason."""


class _Coin(UnspentOutput, frozen=True, gc=False):
    height: int


@final
class MemoryChain:
    """The chain, its unspent outputs and its mempool; any number of `MemoryChainSource` look at one.

    Attributes:
        pool: transactions that wait for a block, by txid, parents first.
        feerate_per_kw: what `estimate_fee` answers.
        relay_feerate_per_kw: below it nothing is relayed (`min relay fee not met`).
        mempool_feerate_per_kw: the mempool is full of what pays this; set it with `set_mempool_feerate`.
        miners_feerate_per_kw: miners take nothing that pays less.
        block_weight_max: what a block holds beside its coinbase.
        available: False makes every call fail and `follow` wait, as a service that is away.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.pool = MemoryPool()
        self.feerate_per_kw = FEERATE_FLOOR_PER_KW
        self.relay_feerate_per_kw = 0
        self.mempool_feerate_per_kw = 0
        self.miners_feerate_per_kw = 0
        self.block_weight_max = BLOCK_WEIGHT_MAX
        self.available = True
        self._granted: dict[bytes, None] = {}
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
        """Return an independent chain that begins with the same blocks, mempool and conditions."""
        other = MemoryChain(self.network)
        other.pool = self.pool.copy()
        other.feerate_per_kw = self.feerate_per_kw
        other.relay_feerate_per_kw = self.relay_feerate_per_kw
        other.mempool_feerate_per_kw = self.mempool_feerate_per_kw
        other.miners_feerate_per_kw = self.miners_feerate_per_kw
        other.block_weight_max = self.block_weight_max
        other._granted = dict(self._granted)
        other._by_hash = dict(self._by_hash)
        other._active = list(self._active)
        other._coins = dict(self._coins)
        other._branches = self._branches
        return other

    def conditions(self) -> tuple[int, ...]:
        """Return what decides, beside blocks and mempool, what is taken and mined."""
        return (
            self.feerate_per_kw,
            self.relay_feerate_per_kw,
            self.mempool_feerate_per_kw,
            self.miners_feerate_per_kw,
            self.block_weight_max,
        )

    def coins(self) -> Iterator[UnspentOutput]:
        """Yield every unspent output, as if all that waits in the mempool were mined."""
        pool = self.pool
        yield from [coin for outpoint, coin in self._coins.items() if pool.spender(outpoint) is None]
        for txid, tx in pool.items():
            for vout, out in enumerate(tx.outputs):
                if pool.spender(OutPoint(txid, vout)) is None:
                    yield UnspentOutput(out.value_sat, out.script_pubkey, 0, is_coinbase=False)

    def mined_coins(self) -> Iterator[tuple[OutPoint, UnspentOutput]]:
        """Yield every unspent output of the best chain; what waits in the mempool does not count."""
        yield from self._coins.items()

    # --------------------------------------------------------------------------------------------------------- mining

    def mine(self, count: int, script_pubkey: bytes, *, drop: LeftOut | None = None) -> list[BlockData]:
        """Mine blocks that pay to a script; they take from the mempool by feerate what fits, and nothing of `drop`."""
        return [self._mine_one(script_pubkey, drop) for _ in range(count)]

    def _mine_one(self, script_pubkey: bytes, drop: LeftOut | None) -> BlockData:
        leaves_out = None if drop is None else _predicate(drop)
        return self._add_block(
            script_pubkey, self.pool.template(self.block_weight_max, self.miners_feerate_per_kw, leaves_out)
        )

    def mine_block_with(self, transactions: Sequence[Transaction], script_pubkey: bytes) -> BlockData:
        """Mine a block of these transactions alone, parents first; the mempool need not have seen them, nor take them.

        What conflicts with them leaves the mempool. Raises: InvalidBlock.
        """
        entries: dict[bytes, PoolEntry] = {}
        spent: dict[OutPoint, None] = {}
        for tx in transactions:
            waiting = self.pool.entry(tx.txid())
            if waiting is not None and waiting.granted:
                entries[waiting.txid] = waiting
                continue
            try:
                entry = self._check(tx, tx.txid(), entries, with_pool=False)
            except Refused as refused:
                raise InvalidBlock(refused.reason) from None
            if any(tx_in.prevout in spent for tx_in in tx.inputs):
                raise InvalidBlock("bad-txns-inputs-missingorspent")
            spent.update(dict.fromkeys([tx_in.prevout for tx_in in tx.inputs]))
            entries[entry.txid] = entry
        return self._add_block(script_pubkey, list(entries.values()))

    def _add_block(self, script_pubkey: bytes, entries: Sequence[PoolEntry]) -> BlockData:
        height = len(self._active)
        # The branch number makes the coinbases of two branches differ.
        script_sig = push_int(height) + push_int(self._branches + 1000)
        coinbase = Transaction(
            2,
            (TxIn(OutPoint(_NO_TXID, _COINBASE_VOUT), script_sig, 0xFFFFFFFF),),
            (TxOut(SUBSIDY_SAT, script_pubkey),),
            0,
        )
        transactions = (coinbase, *[entry.tx for entry in entries])
        txids = (coinbase.txid(), *[entry.txid for entry in entries])
        previous = self._by_hash[self._active[-1]].header
        header = BlockHeader(
            0x20000000, self._active[-1], merkle_root(txids), previous.time + _SECONDS_PER_BLOCK, previous.bits, 0
        )
        data = BlockData(height, header.hash(), Block(header, transactions), txids)
        self._by_hash[data.hash] = data
        self._active.append(data.hash)
        self.pool.remove(txids)
        self.pool.remove_with_descendants(self.pool.conflicts(transactions))
        self._apply(data)
        self._wake()
        return data

    def reorganise(
        self, depth: int, count: int, script_pubkey: bytes, *, without: LeftOut | None = None
    ) -> list[BlockData]:
        """Replace the last `depth` blocks by `count` new ones.

        What the lost ones held is mined again, each as soon as its locks allow; what is not, as all of `without`, waits
        in the mempool if it may.
        """
        assert 0 < depth < len(self._active), "the genesis block stays"
        lost = [self._by_hash[block_hash] for block_hash in self._active[-depth:]]
        del self._active[-depth:]
        self._branches += 1
        self._coins.clear()
        for block_hash in self._active[1:]:
            self._apply(self._by_hash[block_hash])
        waiting = [tx for block in lost for tx in block.transactions[1:]] + list(self.pool.values())
        self.pool = MemoryPool()
        mined: list[BlockData] = []
        for _ in range(count):
            waiting = [tx for tx in waiting if not self._offer_again(tx)]
            mined.append(self._mine_one(script_pubkey, without))
        for tx in waiting:
            self._offer_again(tx)
        self.pool.trim(self.mempool_feerate_per_kw)
        return mined

    def _offer_again(self, tx: Transaction) -> bool:
        if tx.txid() in self._granted:
            self.grant(tx)
            return True
        try:
            self._admit([self._check(tx, tx.txid(), {})])
        except Refused:
            return False
        return True

    def _apply(self, data: BlockData) -> None:
        for tx, txid in zip(data.transactions, data.txids, strict=True):
            is_coinbase = tx.inputs[0].prevout.txid == _NO_TXID
            for tx_in in () if is_coinbase else tx.inputs:
                self._coins.pop(tx_in.prevout, None)
            for vout, out in enumerate(tx.outputs):
                self._coins[OutPoint(txid, vout)] = _Coin(out.value_sat, out.script_pubkey, 0, is_coinbase, data.height)

    # -------------------------------------------------------------------------------------------------------- mempool

    def grant(self, tx: Transaction) -> None:
        """Put in a transaction whose inputs come from nowhere; every miner takes it."""
        txid = tx.txid()
        self._granted[txid] = None
        self.pool.add(PoolEntry(tx, txid, 0, tx.weight(), granted=True))

    def offer(self, tx: Transaction) -> BroadcastResult:
        """Take a transaction into the mempool, in the place of what it replaces, or say in Core's words why not."""
        txid = tx.txid()
        if self._is_known(tx, txid):
            return _KNOWN
        try:
            self._try_alone(tx, txid)
        except Refused as refused:
            return _refusal(refused)
        return _ACCEPTED

    def offer_package(self, transactions: Sequence[Transaction]) -> BroadcastResult:
        """Take parents and their child (last): what pays too little alone is judged by the feerate of all that do.

        Parents that are good alone stay when the others are refused. Source: Bitcoin Core, doc/policy/packages.md.
        """
        try:
            _check_shape(transactions)
            left: list[tuple[Transaction, bytes]] = []
            known = True
            for tx in transactions:
                txid = tx.txid()
                if self._is_known(tx, txid):
                    continue
                known = False
                try:
                    self._try_alone(tx, txid)
                except Refused as refused:
                    if len(transactions) == 1 or not (refused.too_cheap or refused.missing_inputs):
                        raise
                    left.append((tx, txid))
            if left:
                self._try_together(left)
        except Refused as refused:
            return _refusal(refused)
        return _KNOWN if known else _ACCEPTED

    def _is_known(self, tx: Transaction, txid: bytes) -> bool:
        return txid in self.pool or any(OutPoint(txid, vout) in self._coins for vout in range(len(tx.outputs)))

    def _try_alone(self, tx: Transaction, txid: bytes) -> None:
        entry = self._check(tx, txid, {})
        self._check_floors([entry])
        self._admit([entry])

    def _try_together(self, left: Sequence[tuple[Transaction, bytes]]) -> None:
        entries: dict[bytes, PoolEntry] = {}
        for tx, txid in left:
            entries[txid] = self._check(tx, txid, entries)
        new = list(entries.values())
        self._check_floors(new)
        if self.pool.conflicts([entry.tx for entry in new]) and len(new) > 1:
            if len(new) != 2:
                raise Refused("package RBF failed: package must be 1-parent-1-child")
            if any(self.pool.ancestors(entry.tx) for entry in new):
                raise Refused("package RBF failed: new transaction cannot have mempool ancestors")
        self._admit(new)

    def _admit(self, entries: Sequence[PoolEntry]) -> None:
        self.pool.remove(self.pool.check_replacement(entries))
        for entry in entries:
            self.pool.add(entry)

    def _check_floors(self, entries: Sequence[PoolEntry]) -> None:
        if not is_above(entries, self.mempool_feerate_per_kw):
            raise Refused("mempool min fee not met", too_cheap=True)
        if not is_above(entries, self.relay_feerate_per_kw):
            raise Refused("min relay fee not met", too_cheap=True)

    def _check(
        self, tx: Transaction, txid: bytes, before: dict[bytes, PoolEntry], *, with_pool: bool = True
    ) -> PoolEntry:
        """Return what would enter the mempool, or a block when not `with_pool`. before: that it may build on."""
        next_height, median_time = len(self._active), self._median_time(len(self._active) - 1)
        if not is_final(tx, next_height, median_time):
            raise Refused("non-final")
        coins = [self._coin(tx_in.prevout, before, with_pool=with_pool) for tx_in in tx.inputs]
        for tx_in, coin in zip(tx.inputs, coins, strict=True):
            if tx.version >= _BIP68_VERSION:
                height, time = relative_lock(tx_in, coin.height, self._median_time(max(0, coin.height - 1)))
                if height >= next_height or time >= median_time:
                    raise Refused("non-BIP68-final")
            if coin.is_coinbase and next_height - coin.height < COINBASE_MATURITY:
                raise Refused("bad-txns-premature-spend-of-coinbase")
        fee_sat = sum([coin.value_sat for coin in coins]) - sum([output.value_sat for output in tx.outputs])
        if fee_sat < 0:
            raise Refused("bad-txns-in-belowout")
        return PoolEntry(tx, txid, fee_sat, tx.weight())

    def _coin(self, outpoint: OutPoint, before: dict[bytes, PoolEntry], *, with_pool: bool) -> _Coin:
        coin = self._coins.get(outpoint)
        if coin is not None:
            return coin
        parent = before.get(outpoint.txid) or (self.pool.entry(outpoint.txid) if with_pool else None)
        if parent is None or outpoint.vout >= len(parent.tx.outputs):
            raise Refused("bad-txns-inputs-missingorspent", missing_inputs=True)
        output = parent.tx.outputs[outpoint.vout]
        return _Coin(output.value_sat, output.script_pubkey, 0, is_coinbase=False, height=len(self._active))

    def _median_time(self, height: int) -> int:
        """Return the median time (BIP 113) of the block at a height of the best chain."""
        hashes = self._active[max(0, height + 1 - _MEDIAN_OF_BLOCKS) : height + 1]
        times = sorted([self._by_hash[block_hash].header.time for block_hash in hashes])
        return times[len(times) // 2]

    def evict(self, txid: bytes) -> bool:
        """Throw a transaction (32-byte txid) out of the mempool, with what depends on it; False if it is not there."""
        is_there = txid in self.pool
        self.pool.remove_with_descendants([txid])
        return is_there

    def set_mempool_feerate(self, feerate_per_kw: int) -> None:
        """Set what the mempool is full of: what pays less is evicted, and refused (`mempool min fee not met`)."""
        self.mempool_feerate_per_kw = feerate_per_kw
        self.pool.trim(feerate_per_kw)

    def pool_spends(self, outpoint: OutPoint) -> Transaction | None:
        """Return the transaction of the mempool that spends an output, or None."""
        entry = self.pool.spender(outpoint)
        return None if entry is None else entry.tx

    def unspent(self, outpoint: OutPoint, *, include_mempool: bool) -> UnspentOutput | None:
        """Return an unspent output as `ChainSource.get_txout` does."""
        coin = self._coins.get(outpoint)
        if include_mempool:
            if self.pool.spender(outpoint) is not None:
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


def _refusal(refused: Refused) -> BroadcastResult:
    return BroadcastResult(accepted=False, already_known=False, reject_reason=refused.reason)


def _check_shape(transactions: Sequence[Transaction]) -> None:
    if not 1 <= len(transactions) <= PACKAGE_COUNT_MAX:
        raise Refused(f"Array must contain between 1 and {PACKAGE_COUNT_MAX} transactions.")
    parents = [tx.txid() for tx in transactions[:-1]]
    spent = [tx_in.prevout.txid for tx_in in transactions[-1].inputs]
    apart = all(tx_in.prevout.txid not in parents for tx in transactions[:-1] for tx_in in tx.inputs)
    if not apart or any(txid not in spent for txid in parents):
        raise Refused("package topology disallowed. not child-with-parents or parents depend on each other.")


def _predicate(drop: LeftOut) -> Callable[[PoolEntry], bool]:
    if isinstance(drop, Container):
        return lambda entry: entry.txid in drop or any(tx_in.prevout in drop for tx_in in entry.tx.inputs)
    return lambda entry: drop(entry.tx)


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
        """Return the chain's feerate for any target, or what its mempool asks for if that is more."""
        chain = self._available()
        least = max(chain.mempool_feerate_per_kw, chain.relay_feerate_per_kw)
        if chain.feerate_per_kw < least:
            return FeeEstimate(least, FeeSource.RAISED_TO_FLOOR, "the estimate is below the minimum of the mempool")
        return FeeEstimate(chain.feerate_per_kw, FeeSource.ESTIMATE, "")

    async def mempool_spends(self, outpoints: Sequence[OutPoint]) -> list[Transaction]:
        """Return what in the mempool spends any of these outputs, each once."""
        chain = self._available()
        spends = [chain.pool_spends(outpoint) for outpoint in outpoints]
        return list({tx.txid(): tx for tx in spends if tx is not None}.values())

    async def broadcast(self, raw_tx: bytes) -> BroadcastResult:
        """Offer a serialised transaction to the mempool."""
        chain = self._available()
        try:
            tx = Transaction.parse(raw_tx)
        except DecodeError as error:
            return BroadcastResult(accepted=False, already_known=False, reject_reason=f"TX decode failed: {error}")
        return chain.offer(tx)

    async def broadcast_package(self, raw_transactions: Sequence[bytes]) -> BroadcastResult:
        """Offer parents and their child (last) together."""
        chain = self._available()
        try:
            transactions = [Transaction.parse(raw) for raw in raw_transactions]
        except DecodeError as error:
            return BroadcastResult(accepted=False, already_known=False, reject_reason=f"TX decode failed: {error}")
        return chain.offer_package(transactions)

    async def close(self) -> None:
        """Do nothing."""
