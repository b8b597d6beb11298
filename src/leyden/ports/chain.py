"""The `ChainSource` port: blocks in order, fee estimates, the UTXO set, broadcast.

A source may be away, behind, or on another branch for a while; none of that is ever a reason to close a channel. What
is wrong for good (another network, a node that has pruned what is needed) is said with `CommandRejected` at the first
call that sees it; everything else is `ChainUnavailable`, or is retried inside `follow` and told to the status callback.

Hashes and txids are 32 bytes in internal order; feerates are satoshis per 1000 weight units.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from enum import Enum
from typing import Protocol, TypeAlias

import msgspec

from leyden.base.errors import DecodeError
from leyden.bitcoin.block import Block, BlockHeader, check_merkle_root
from leyden.bitcoin.networks import Network
from leyden.bitcoin.tx import OutPoint, Transaction

FEERATE_FLOOR_PER_KW = 253
"""Just above 1 sat/vB in Bitcoin Core's rounding: nothing below it relays."""


class BlockRef(msgspec.Struct, frozen=True, gc=False):
    """Where a block stands: its height, and its 32-byte hash."""

    height: int
    hash: bytes


class BlockData(msgspec.Struct, frozen=True, gc=False):
    """A block at its height, with what every reader of it needs computed once.

    txids: of `block.transactions`, in the same order.
    """

    height: int
    hash: bytes
    block: Block
    txids: tuple[bytes, ...]

    @staticmethod
    def parse(height: int, block_hash: bytes, raw: bytes) -> "BlockData":
        """Decode a serialised block and check that it is the one asked for, whole.

        Raises:
            DecodeError: malformed, another hash than `block_hash` (32 bytes), or transactions that the header does not
                commit to.
        """
        block = Block.parse(raw)
        if block.hash() != block_hash:
            raise DecodeError("another block than the one asked for", field="header")
        if not check_merkle_root(block):
            raise DecodeError("the header does not commit to these transactions", field="merkle_root")
        return BlockData(height, block_hash, block, tuple([tx.txid() for tx in block.transactions]))

    @property
    def header(self) -> BlockHeader:
        """The block's header."""
        return self.block.header

    @property
    def prev_hash(self) -> bytes:
        """The 32-byte hash of the block before; zeros for the genesis block."""
        return self.block.header.previous_hash

    @property
    def transactions(self) -> tuple[Transaction, ...]:
        """The block's transactions, coinbase first."""
        return self.block.transactions

    @property
    def ref(self) -> BlockRef:
        """Height and hash."""
        return BlockRef(self.height, self.hash)


class BlockConnected(msgspec.Struct, frozen=True, gc=False):
    """The best chain grew by this block; its `prev_hash` is the block of the event before."""

    block: BlockData


class BlocksDisconnected(msgspec.Struct, frozen=True, gc=False):
    """Every block above `fork_height` left the best chain; the block at `fork_height` (`fork_hash`) is still in it."""

    fork_height: int
    fork_hash: bytes


ChainEvent: TypeAlias = BlockConnected | BlocksDisconnected


class FeeSource(Enum):
    """Where a feerate comes from."""

    ESTIMATE = "estimate"
    RAISED_TO_FLOOR = "raised_to_floor"
    CUT_TO_CEILING = "cut_to_ceiling"
    FALLBACK = "fallback"


class FeeEstimate(msgspec.Struct, frozen=True, gc=False):
    """A feerate that may be used as it is: at least `FEERATE_FLOOR_PER_KW` and the service's own minimum, and bounded.

    why: one sentence for people when `source` is not ESTIMATE, else empty.
    """

    feerate_per_kw: int
    source: FeeSource
    why: str


class BroadcastResult(msgspec.Struct, frozen=True, gc=False):
    """What became of a broadcast.

    accepted: the transaction is in the service's mempool or in a block now, also when it was there before.
    already_known: it was there before.
    reject_reason: the service's own words when not accepted, else empty.
    """

    accepted: bool
    already_known: bool
    reject_reason: str


class UnspentOutput(msgspec.Struct, frozen=True, gc=False):
    """An output of the UTXO set. confirmations: 0 when its transaction is in the mempool only."""

    value_sat: int
    script_pubkey: bytes
    confirmations: int
    is_coinbase: bool


OnStatus: TypeAlias = Callable[[bool, str], None]
"""Called with (ok, why) when the source becomes usable or not, and when the reason changes; never twice the same."""


class ChainSource(Protocol):
    """One view of one block chain.

    Every call but `follow` raises `ChainUnavailable` when the service does not answer within the driver's patience.
    """

    async def check_network(self, network: Network) -> None:
        """Compare the service's genesis block with that of `network`.

        Raises:
            CommandRejected: another network (code `wrong_network`), or credentials refused (`chain_auth_failed`).
        """
        ...

    async def tip(self) -> BlockRef:
        """Return the last block of the best chain."""
        ...

    def follow(self, from_height: int, from_hash: bytes) -> AsyncIterator[ChainEvent]:
        """Yield what happened to the best chain since the block that the caller knows, in order, for ever.

        From a block off the best chain the first event is a `BlocksDisconnected` to the fork, of any depth. Few blocks
        are fetched ahead, so a slow caller slows the source. While the service is away, behind the caller, or talks
        nonsense, nothing is yielded, the status callback knows why, and it goes on by itself.

        Args:
            from_height, from_hash: the caller's best block (0 and the genesis hash when it has none).

        Raises:
            CommandRejected: a block that is needed was pruned away (code `block_pruned`), or another network is served
                now (`wrong_network`).
        """
        ...

    async def get_block_by_height(self, height: int) -> BlockData | None:
        """Return the block at `height` of the best chain, or None above the tip.

        Raises:
            CommandRejected: the service has pruned it (code `block_pruned`).
        """
        ...

    async def get_txout(self, outpoint: OutPoint, include_mempool: bool) -> UnspentOutput | None:
        """Return an unspent output, or None when it is spent or unknown.

        include_mempool: count the transactions of the mempool, both what they create and what they spend.
        """
        ...

    async def estimate_fee(self, target_blocks: int) -> FeeEstimate:
        """Return a feerate to confirm within `target_blocks` (1 to 1008), bounded both ways, and where it is from."""
        ...

    async def broadcast(self, raw_tx: bytes) -> BroadcastResult:
        """Offer a serialised transaction to the network. A refusal is a result, not an error."""
        ...

    async def broadcast_package(self, raw_transactions: Sequence[bytes]) -> BroadcastResult:
        """Offer parents and their child (last) together, so that the child pays for them. A refusal is a result."""
        ...

    async def mempool_spends(self, outpoints: Sequence[OutPoint]) -> list[Transaction]:
        """Return the transactions of the service's mempool that spend any of these outputs, each once.

        An early look, never a promise: what is mined later may be another. A service that cannot tell answers with
        nothing, and the caller learns of a spend from its block.
        """
        ...

    async def close(self) -> None:
        """Release connections; nothing depends on this being called."""
        ...
