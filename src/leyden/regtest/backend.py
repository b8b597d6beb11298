"""Chain and mempool together: what the RPC methods call. Belongs to one thread."""

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import final

from msgspec import Struct

from leyden.base.errors import CommandRejected
from leyden.bitcoin.tx import Transaction
from leyden.regtest.acceptance import Acceptance, Accepted
from leyden.regtest.chainstate import ChainChange, Chainstate, ParsedBlock
from leyden.regtest.kernel import BlockOutcome, Verdict
from leyden.regtest.mempool import Mempool, PoolEntry
from leyden.regtest.package import PackageAcceptance, PackageOutcome
from leyden.regtest.policy import PolicySettings, TransactionRejected
from leyden.regtest.template import build_block, choose_transactions, next_block_time


class MinedBlock(Struct, frozen=True):
    """A block that this service made: `hash` 32 bytes in internal order."""

    hash: bytes
    raw: bytes


@final
class Backend:
    """A regtest chain with its mempool.

    Args of the constructor: directory: the data directory; clock: seconds since 1970.
    Raises what `Chainstate` raises.
    """

    def __init__(self, directory: Path, settings: PolicySettings, clock: Callable[[], int]) -> None:
        self._system_clock = clock
        self.mock_time = 0
        """When not 0, the time that stands still, as `setmocktime` sets it."""
        self.settings = settings
        self.chain = Chainstate(directory)
        self.pool = Mempool(settings)
        self.acceptance = Acceptance(self.chain, self.pool)
        self.packages = PackageAcceptance(self.chain, self.pool, self.acceptance)
        self.started = self.clock()
        self.fee_estimates: dict[int, int] = {}
        """Feerate in sat/kvB by confirmation target, as set by `setfeeestimate`; target 0 is for all."""

    def clock(self) -> int:
        """Return the seconds since 1970 that pool and block times go by."""
        return self.mock_time or self._system_clock()

    def close(self) -> None:
        """Release the chain. May be called twice."""
        self.chain.close()

    def send(self, tx: Transaction, feerate_max: int) -> Accepted:
        """Put a transaction into the pool (`feerate_max`: sat/kvB, 0 for any). Raises TransactionRejected."""
        return self.acceptance.accept(tx, self.clock(), feerate_max)

    def test(self, tx: Transaction) -> Accepted:
        """Say whether a transaction would be taken. Raises TransactionRejected."""
        return self.acceptance.check(tx, self.clock())

    def test_many(self, transactions: Sequence[Transaction]) -> list[PoolEntry | TransactionRejected | None]:
        """Say which of several transactions would be taken. Raises TransactionRejected for a list of wrong shape."""
        return self.packages.test(transactions, self.clock())

    def send_package(self, transactions: Sequence[Transaction], feerate_max: int) -> PackageOutcome:
        """Put a child and its parents into the pool. Raises TransactionRejected when the package has a wrong shape."""
        return self.packages.submit(transactions, self.clock(), feerate_max)

    def submit_block(self, raw: bytes) -> BlockOutcome:
        """Take a serialised block; an accepted one is durable on return."""
        outcome = self._submit(raw)
        self.chain.sync()
        return outcome

    def _submit(self, raw: bytes) -> BlockOutcome:
        outcome, change = self.chain.submit(raw)
        self._update_pool(change)
        return outcome

    def mine(self, script_pubkey: bytes, count: int) -> list[MinedBlock]:
        """Mine blocks that pay to a script, with what the pool offers; durable on return."""
        mined = [self._mine_one(script_pubkey) for _ in range(count)]
        self.chain.sync()
        return mined

    def _mine_one(self, script_pubkey: bytes) -> MinedBlock:
        entries = choose_transactions(self.pool)
        fee_sat = sum(entry.fee_sat for entry in entries)
        raw = self._assemble(script_pubkey, fee_sat, [entry.tx for entry in entries])
        outcome = self._submit(raw)
        if outcome.verdict is not Verdict.VALID:
            raise AssertionError(f"a block of our own was not accepted: {outcome.verdict.value} {outcome.reason}")
        return MinedBlock(self.chain.tree.tip.hash, raw)

    def _assemble(self, script_pubkey: bytes, fee_sat: int, transactions: Sequence[Transaction]) -> bytes:
        tip = self.chain.tree.tip
        time = next_block_time(tip, self.clock())
        return build_block(tip, time, script_pubkey, fee_sat, transactions, secrets.token_bytes(8))

    def make_block(self, script_pubkey: bytes, transactions: Sequence[Transaction]) -> bytes:
        """Return a worked block with exactly these transactions, in this order, whose fees nobody takes."""
        return self._assemble(script_pubkey, 0, transactions)

    def invalidate(self, block_hash: bytes) -> None:
        """Shut a block and its descendants out. Raises CommandRejected (`block_not_found`)."""
        if block_hash == self.chain.tree.at(0).hash:
            raise CommandRejected("The genesis block cannot be invalidated", code="genesis_block")
        self._update_pool(self.chain.invalidate(block_hash))

    def reconsider(self, block_hash: bytes) -> None:
        """Take an invalidation back. Raises CommandRejected (`block_not_found`)."""
        self._update_pool(self.chain.reconsider(block_hash))

    def _update_pool(self, change: ChainChange) -> None:
        now = self.clock()
        for parsed in change.connected:
            self.pool.on_block_connected(parsed, now)
        if not change.disconnected:
            return
        # Blocks are left tip first; their transactions come back oldest first, so parents come before children.
        for parsed in reversed(change.disconnected):
            self._readmit(parsed, now)
        self._drop_what_the_reorganisation_broke()
        self.pool.trim(now)

    def _readmit(self, parsed: ParsedBlock, now: int) -> None:
        for tx, txid in list(zip(parsed.block.transactions, parsed.txids, strict=True))[1:]:
            if self.chain.find_transaction(txid) is not None:
                continue
            try:
                self.acceptance.readmit(tx, now)
            except TransactionRejected:
                continue

    def _drop_what_the_reorganisation_broke(self) -> None:
        for entry in self.pool:
            if entry.txid in self.pool and not self.acceptance.still_valid(entry):
                self.pool.remove_with_descendants([entry])
