"""The chain: consensus library, block journal, block tree, unspent outputs and transaction index, moved together.

Order of things for a new block: the library judges it, the journal takes it, the journal is made durable, and only
then is it told to anybody. A crash in between loses only what nobody heard of.

The library cannot take a block back on request. `invalidate` therefore writes the wish to the journal, starts the
library anew and feeds it the journal without that block and its descendants; the index follows by its own undo data.
A start does the same with the whole journal: 0.15 ms a block for some hundred blocks; on regtest the library checks its
whole block index after every block, so 5,000 blocks take some four seconds.
"""

import fcntl
import os
from collections import OrderedDict
from pathlib import Path
from typing import Final, final

from msgspec import Struct

from leyden.base.errors import CommandRejected, DecodeError, StorageBroken
from leyden.bitcoin.block import HEADER_LENGTH, Block, BlockHeader
from leyden.bitcoin.tx import read_compact_size
from leyden.crypto.hashes import sha256d
from leyden.regtest.block_journal import BlockJournal, RecordKind
from leyden.regtest.chain import GENESIS_BLOCK, NO_OFFSET, BlockEntry, BlockTree
from leyden.regtest.coins import CoinIndex, Undo
from leyden.regtest.kernel import BlockOutcome, Kernel, Verdict

_PARSED_BLOCKS_MAX: Final = 64
MANUALLY_INVALIDATED: Final = "manually-invalidated"


class ParsedBlock(Struct, frozen=True):
    """A block with the ids of its transactions (32 bytes each, internal order)."""

    entry: BlockEntry
    block: Block
    txids: tuple[bytes, ...]


class ChainChange(Struct, frozen=True):
    """How the active branch moved: blocks left (tip first) and blocks entered (oldest first)."""

    disconnected: tuple[ParsedBlock, ...]
    connected: tuple[ParsedBlock, ...]


@final
class Chainstate:
    """All chain data of one data directory; belongs to the thread that opened it.

    Args of the constructor: directory: made when absent; two processes cannot share it.
    Raises CommandRejected (`directory_in_use`), StorageUnavailable, StorageBroken, ChainUnavailable.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._lock_fd = _lock(directory)
        self.tree = BlockTree()
        self.coins = CoinIndex()
        self._undo: dict[bytes, Undo] = {}
        self._transactions: dict[bytes, tuple[bytes, int]] = {}
        self._parsed: OrderedDict[bytes, ParsedBlock] = OrderedDict()
        self._journal = BlockJournal(directory / "blocks.journal")
        self._kernel: Kernel | None = None
        self._invalidated: dict[bytes, None] = {}
        try:
            self._load()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Release everything; nothing needs to be written. May be called twice."""
        if self._kernel is not None:
            self._kernel.close()
        self._journal.close()
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    @property
    def kernel(self) -> Kernel:
        """The consensus library."""
        assert self._kernel is not None, "the chain is closed"
        return self._kernel

    def _load(self) -> None:
        for kind, payload, offset in self._journal.replay():
            if kind is RecordKind.BLOCK:
                self._remember(payload, offset)
            elif kind is RecordKind.INVALIDATED:
                self._invalidated[payload] = None
            else:
                self._forget_invalidation(payload)
        self._restart_kernel()
        self._follow_kernel()

    def _remember(self, raw: bytes, offset: int) -> BlockEntry:
        header_bytes = raw[:HEADER_LENGTH]
        count, _ = read_compact_size(raw, HEADER_LENGTH)
        header = BlockHeader.parse(header_bytes)
        if self.tree.get(header.previous_hash) is None:
            raise StorageBroken("the block journal has a block without its parent")
        return self.tree.add(sha256d(header_bytes), header, count, offset, len(raw))

    def _restart_kernel(self) -> None:
        """Start the library anew and feed it every block but the invalidated ones and their descendants."""
        if self._kernel is not None:
            self._kernel.close()
        self._kernel = Kernel(self._directory / "kernel")
        self.tree.invalid = dict.fromkeys(self._invalidated, MANUALLY_INVALIDATED)
        shut_out = dict(self._invalidated)
        for entry in self.tree.entries():
            if entry.offset == NO_OFFSET:
                continue
            if entry.hash in shut_out or entry.header.previous_hash in shut_out:
                shut_out[entry.hash] = None
                continue
            outcome = self._kernel.process_block(self.read_block(entry))
            self.tree.invalid.update(outcome.invalid)
            if entry.hash in self.tree.invalid:
                shut_out[entry.hash] = None

    def submit(self, raw: bytes) -> tuple[BlockOutcome, ChainChange]:
        """Give a serialised block to the library; durable only after `sync`.

        Returns what became of it and how the active branch moved.
        Raises ChainUnavailable, StorageUnavailable, StorageBroken: then the block may be in the library but not in
        the journal, and the service must stop.
        """
        nothing = ChainChange((), ())
        try:
            Block.parse(raw)
        except DecodeError:
            return BlockOutcome(Verdict.UNDECODABLE, "", ()), nothing
        block_hash = sha256d(raw[:HEADER_LENGTH])
        header = BlockHeader.parse(raw[:HEADER_LENGTH])
        shut_out = self._shut_out_reason(block_hash, header)
        if shut_out is not None:
            return BlockOutcome(Verdict.INVALID, shut_out, ()), nothing
        outcome = self.kernel.process_block(raw)
        # The block itself is left out: a tampered copy has the hash of the honest block.
        earlier = {bad: why for bad, why in outcome.invalid if bad != block_hash and self.tree.get(bad) is not None}
        self.tree.invalid.update(earlier)
        if outcome.verdict not in {Verdict.VALID, Verdict.SIDE}:
            return outcome, nothing
        if self.tree.get(block_hash) is None:
            self._remember(raw, self._journal.append(RecordKind.BLOCK, raw))
        return outcome, self._follow_kernel()

    def _shut_out_reason(self, block_hash: bytes, header: BlockHeader) -> str | None:
        """Say no to what the library was not told of: invalidated blocks and their descendants."""
        known = self.tree.get(block_hash)
        if known is not None and self.tree.invalid_cause(known) is not None:
            return "duplicate-invalid"
        parent = self.tree.get(header.previous_hash)
        if parent is not None and self.tree.invalid_cause(parent) is not None:
            return "bad-prevblk"
        return None

    def sync(self) -> None:
        """Make every block so far durable. Call before telling anybody. Raises StorageBroken."""
        self._journal.sync()

    def _follow_kernel(self) -> ChainChange:
        _, tip = self.kernel.tip()
        leave, enter = self.tree.path_to(tip)
        disconnected = tuple(self._leave(entry) for entry in leave)
        connected = tuple(self._enter(entry) for entry in enter)
        return ChainChange(disconnected, connected)

    def _leave(self, entry: BlockEntry) -> ParsedBlock:
        parsed = self.parsed_block(entry)
        self.coins.disconnect(parsed.block, parsed.txids, self._undo.pop(entry.hash))
        for txid in parsed.txids:
            self._transactions.pop(txid, None)
        self.tree.leave_tip()
        return parsed

    def _enter(self, entry: BlockEntry) -> ParsedBlock:
        parsed = self.parsed_block(entry)
        self._undo[entry.hash] = self.coins.connect(parsed.block, parsed.txids, entry.height)
        for index, txid in enumerate(parsed.txids):
            self._transactions[txid] = (entry.hash, index)
        self.tree.enter(entry)
        return parsed

    def invalidate(self, block_hash: bytes) -> ChainChange:
        """Shut a known block and its descendants out, as if they were invalid. Durable when it returns."""
        if self.tree.get(block_hash) is None:
            raise CommandRejected("Block not found", code="block_not_found")
        self._journal.append(RecordKind.INVALIDATED, block_hash)
        self._invalidated[block_hash] = None
        self.sync()
        self._restart_kernel()
        return self._follow_kernel()

    def reconsider(self, block_hash: bytes) -> ChainChange:
        """Take back the invalidation of a block, its ancestors and its descendants. Durable when it returns."""
        if self.tree.get(block_hash) is None:
            raise CommandRejected("Block not found", code="block_not_found")
        self._journal.append(RecordKind.RECONSIDERED, block_hash)
        self._forget_invalidation(block_hash)
        self.sync()
        self._restart_kernel()
        return self._follow_kernel()

    def _forget_invalidation(self, block_hash: bytes) -> None:
        entry = self.tree.get(block_hash)
        for other in list(self._invalidated):
            shut = self.tree.get(other)
            if entry is None or shut is None:
                continue
            if self._is_ancestor(shut, entry) or self._is_ancestor(entry, shut):
                del self._invalidated[other]

    def _is_ancestor(self, older: BlockEntry, younger: BlockEntry) -> bool:
        current: BlockEntry | None = younger
        while current is not None and current.height > older.height:
            current = self.tree.parent(current)
        return current is not None and current.hash == older.hash

    def read_block(self, entry: BlockEntry) -> bytes:
        """Return a serialised block, with witnesses."""
        if entry.offset == NO_OFFSET:
            return GENESIS_BLOCK
        return self._journal.read(entry.offset, entry.length)

    def parsed_block(self, entry: BlockEntry) -> ParsedBlock:
        """Return a parsed block; the most recent ones are kept."""
        known = self._parsed.get(entry.hash)
        if known is not None:
            self._parsed.move_to_end(entry.hash)
            return known
        block = Block.parse(self.read_block(entry))
        parsed = ParsedBlock(entry, block, tuple(tx.txid() for tx in block.transactions))
        self._parsed[entry.hash] = parsed
        if len(self._parsed) > _PARSED_BLOCKS_MAX:
            self._parsed.popitem(last=False)
        return parsed

    def undo_of(self, entry: BlockEntry) -> Undo:
        """Return the coins that an active block spent, in input order."""
        return self._undo.get(entry.hash, [])

    def find_transaction(self, txid: bytes) -> tuple[ParsedBlock, int] | None:
        """Return the active block that holds a transaction, and its index there."""
        place = self._transactions.get(txid)
        if place is None:
            return None
        entry = self.tree.get(place[0])
        assert entry is not None, "an indexed transaction has a known block"
        return self.parsed_block(entry), place[1]


def _lock(directory: Path) -> int:
    path = directory / ".lock"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise CommandRejected(
            f"the data directory {directory} is in use by another process: stop it, or choose another directory",
            code="directory_in_use",
        ) from None
    return fd
