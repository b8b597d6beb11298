"""The tree of known blocks and the branch that is active: headers, heights, work, median times.

Nothing here validates: the tree holds what the consensus library accepted, and follows the tip that it chose.
"""

from collections.abc import Iterator, Sequence
from typing import Final, final

from msgspec import Struct

from leyden.bitcoin.block import BlockHeader
from leyden.bitcoin.networks import REGTEST

_MEDIAN_SPAN: Final = 11

GENESIS_COINBASE: Final = bytes.fromhex(
    "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d0104455468652054"
    "696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e64206261696c6f757420"
    "666f722062616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61"
    "deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000"
)
GENESIS_BLOCK: Final = REGTEST.genesis_header + b"\x01" + GENESIS_COINBASE
NO_OFFSET: Final = -1


class BlockEntry(Struct, frozen=True, gc=False):
    """A known block.

    Attributes:
        hash: 32 bytes in internal order.
        header: parsed.
        height: 0 for the genesis block.
        work: expected number of hashes of the whole branch up to here.
        median_time: median of the times of this block and the 10 before it, in seconds: what BIP 113 compares
            lock times of the *next* block with.
        transaction_count: number of transactions.
        transactions_total: number of transactions of the branch up to here.
        offset, length: where the serialised block lies in the journal, in bytes; NO_OFFSET for the genesis block.
    """

    hash: bytes
    header: BlockHeader
    height: int
    work: int
    median_time: int
    transaction_count: int
    transactions_total: int
    offset: int
    length: int


@final
class BlockTree:
    """All known blocks, and the active branch by height."""

    def __init__(self) -> None:
        header = BlockHeader.parse(REGTEST.genesis_header)
        genesis = BlockEntry(header.hash(), header, 0, header.work(), header.time, 1, 1, NO_OFFSET, len(GENESIS_BLOCK))
        self._entries: dict[bytes, BlockEntry] = {genesis.hash: genesis}
        self._children: dict[bytes, list[bytes]] = {}
        self._active: list[BlockEntry] = [genesis]
        self._was_active: dict[bytes, None] = {}
        self.size = genesis.length
        """Bytes of all known blocks."""
        self.invalid: dict[bytes, str] = {}
        """Blocks found or declared invalid, with the reason; their descendants are invalid too but not listed."""

    @property
    def tip(self) -> BlockEntry:
        """The block at the end of the active branch."""
        return self._active[-1]

    @property
    def height(self) -> int:
        """Height of the tip."""
        return len(self._active) - 1

    def add(
        self, block_hash: bytes, header: BlockHeader, transaction_count: int, offset: int, length: int
    ) -> BlockEntry:
        """Add a block whose parent is known, or return the entry it has already."""
        known = self._entries.get(block_hash)
        if known is not None:
            return known
        parent = self._entries[header.previous_hash]
        times = [header.time, *self._recent_times(parent, _MEDIAN_SPAN - 1)]
        times.sort()
        entry = BlockEntry(
            block_hash,
            header,
            parent.height + 1,
            parent.work + header.work(),
            times[len(times) // 2],
            transaction_count,
            parent.transactions_total + transaction_count,
            offset,
            length,
        )
        self._entries[block_hash] = entry
        self.size += length
        self._children.setdefault(parent.hash, []).append(block_hash)
        return entry

    def _recent_times(self, entry: BlockEntry, count: int) -> Iterator[int]:
        current: BlockEntry | None = entry
        while current is not None and count > 0:
            yield current.header.time
            current = self._entries.get(current.header.previous_hash)
            count -= 1

    def get(self, block_hash: bytes) -> BlockEntry | None:
        """Return a block by hash (32 bytes), or None."""
        return self._entries.get(block_hash)

    def at(self, height: int) -> BlockEntry:
        """Return the active block at a height. Raises IndexError beyond the tip or below 0."""
        if height < 0:
            raise IndexError("negative height")
        return self._active[height]

    def parent(self, entry: BlockEntry) -> BlockEntry | None:
        """Return the block before, None for the genesis block."""
        return self._entries.get(entry.header.previous_hash)

    def is_active(self, entry: BlockEntry) -> bool:
        """Tell whether the block lies on the active branch."""
        return entry.height < len(self._active) and self._active[entry.height].hash == entry.hash

    def was_active(self, entry: BlockEntry) -> bool:
        """Tell whether the block has been on the active branch in this life of the service."""
        return entry.hash in self._was_active

    def entries(self) -> Iterator[BlockEntry]:
        """Yield every known block, parents before children."""
        yield from self._entries.values()

    def leaves(self) -> Iterator[BlockEntry]:
        """Yield every block without a known successor, and the tip even when an invalid block follows it."""
        for entry in self._entries.values():
            if not self._children.get(entry.hash) or entry.hash == self.tip.hash:
                yield entry

    def invalid_cause(self, entry: BlockEntry) -> str | None:
        """Return why a block or one of its ancestors is invalid, or None when nothing says so."""
        current: BlockEntry | None = entry
        while current is not None and not self.is_active(current):
            reason = self.invalid.get(current.hash)
            if reason is not None:
                return reason
            current = self.parent(current)
        return None

    def fork_point(self, entry: BlockEntry) -> BlockEntry:
        """Return the last active block on the branch that leads to `entry`."""
        current = entry
        while not self.is_active(current):
            current = self._entries[current.header.previous_hash]
        return current

    def path_to(self, block_hash: bytes) -> tuple[Sequence[BlockEntry], Sequence[BlockEntry]]:
        """Return the active blocks to leave (tip first) and the blocks to enter (oldest first) to reach a block."""
        enter: list[BlockEntry] = []
        current = self._entries[block_hash]
        while not self.is_active(current):
            enter.append(current)
            current = self._entries[current.header.previous_hash]
        enter.reverse()
        return self._active[current.height + 1 :][::-1], enter

    def leave_tip(self) -> None:
        """Step back from the tip to its parent."""
        assert len(self._active) > 1, "the genesis block stays"
        self._active.pop()

    def enter(self, entry: BlockEntry) -> None:
        """Step from the tip to one of its children."""
        assert entry.header.previous_hash == self.tip.hash, "a block is entered from its parent"
        self._active.append(entry)
        self._was_active[entry.hash] = None
