"""A node of a simulated world: the shipped core and run loop, started from its disk and killed at any moment."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

import msgspec

from leyden.base.errors import CommandRejected
from leyden.bitcoin.bip32 import ExtendedPublicKey
from leyden.bitcoin.networks import REGTEST
from leyden.bitcoin.tx import Transaction, TxOut
from leyden.crypto.hashes import sha256
from leyden.drivers.markfile import Mark
from leyden.journal.node_codec import encode_node_record
from leyden.journal.node_records import NodeBorn
from leyden.manager import batches, fees, opening, rebuild
from leyden.manager.actions import (
    Action,
    Broadcast,
    BroadcastPackage,
    ChannelBorn,
    ForgetTransaction,
    FundChannels,
    FundClaim,
    ReleaseFunding,
    Report,
    ShowEvent,
)
from leyden.manager.config import ManagerConfig, NodeSigner
from leyden.manager.events import Event
from leyden.manager.manager import Manager
from leyden.manager.onchain import blocks as onchain_blocks
from leyden.manager.onchain import claims
from leyden.node import boot
from leyden.node.claim_coins import fund_claim
from leyden.node.recovery import OldCopy, compare, recover
from leyden.node.runtime import Runtime
from leyden.ports.chain import BlockRef, BroadcastResult
from leyden.signer.in_memory import InMemorySigner
from leyden.signer.later import LateSigner
from leyden.sim.disk import SimDisk, SimStore
from leyden.sim.handler import Application, HandlerFailed, Prompt
from leyden.sim.life import Life
from leyden.sim.signing import LateNodeSigner
from leyden.wallet.keys import AccountSigner, SignRequest
from leyden.wallet.state import fold as fold_wallet_record
from leyden.wallet.wallet import Wallet, creation_record

if TYPE_CHECKING:
    from leyden.sim.world import World

HANDLER_RETRY_SECONDS = 1


class Shown(msgspec.Struct, frozen=True):
    """An event that was shown, and in which life."""

    life: int
    event: Event


class Backup(NamedTuple):
    """What a user has put aside of a node: its store, and the second place as it was then."""

    disk: SimDisk
    mark: Mark | None


class _Accounts:
    """A `WalletSigner` for all lives of a node: deriving its account keys would be half the cost of a restart."""

    def __init__(self, signer: InMemorySigner) -> None:
        self._signer = AccountSigner(signer.wallet_account)
        self._known: dict[tuple[int, int], ExtendedPublicKey] = {}

    def account_public_key(self, purpose: int, account: int) -> ExtendedPublicKey:
        """See `WalletSigner`."""
        key = self._known.get((purpose, account))
        if key is None:
            key = self._known[purpose, account] = self._signer.account_public_key(purpose, account)
        return key

    def sign(self, requests: Sequence[SignRequest]) -> list[bytes]:
        """See `WalletSigner`."""
        return self._signer.sign(requests)


class SimNode:
    """One node. Between `start` and `crash` it has a `runtime`; what outlives a crash is the disk, what was shown, and
    the mark: the second place, as old as the last second (`drivers/markfile.py`).

    synced: this life has followed the chain to its tip, so it decides and meets peers. best: the block it stands at.
    signer: one for all lives, a witness that no life may make reveal or publish what another one must not.
    seen_in_pool: txids that this life has seen in the mempool, and that are still there.
    signs_late: it answers when the world says so. late: what waits for that in this life.
    """

    def __init__(self, world: "World", name: str, config: ManagerConfig, *, signs_late: bool = False) -> None:
        self.world = world
        self.name = name
        self.config = config
        self.signs_late = signs_late
        self.late: LateSigner | None = None
        self.seed = sha256(b"node " + name.encode() + world.seed)
        self.disk = SimDisk()
        self.mark: Mark | None = None
        self.application: Application = Prompt()
        self.lives = 0
        self.life = Life(world.clock)
        self.life.end()
        self.shown: list[Shown] = []
        self.reports: list[Report] = []
        self.synced = False
        self.best = BlockRef(0, b"")
        self.signer = InMemorySigner(self.seed, REGTEST)
        self.node_id = self.signer.node_id
        self._accounts = _Accounts(self.signer)
        self._runtime: Runtime | None = None
        self._drawn = 0
        self._lost: dict[str, int] | None = None
        self.seen_in_pool: dict[bytes, None] = {}

    # --- life ------------------------------------------------------------------------------------------------------

    @property
    def is_up(self) -> bool:
        """Whether the process runs."""
        return self._runtime is not None

    @property
    def meets_peers(self) -> bool:
        """Whether it connects to peers now: in sync, and its store works."""
        return self.synced and self.runtime.broken is None

    @property
    def runtime(self) -> Runtime:
        """The run loop of this life."""
        assert self._runtime is not None, f"{self.name} is down"
        return self._runtime

    @property
    def manager(self) -> Manager:
        """The manager of this life."""
        return self.runtime.manager

    @property
    def wallet(self) -> Wallet:
        """The wallet of this life: the one that Leyden ships."""
        return cast(Wallet, self.runtime.wallet)

    def random32(self) -> bytes:
        """Return the next 32 bytes; other ones in each life, the same ones in each run."""
        self._drawn += 1
        return sha256(self.seed + self.lives.to_bytes(4, "big") + self._drawn.to_bytes(8, "big"))

    def start(self, *, sync: bool = True) -> None:
        """Start from the disk; with `sync` follow the chain to its tip at once, else when the world says so."""
        assert not self.is_up
        self.lives += 1
        self._drawn = 0
        life = self.life = Life(self.world.clock)
        signer = self._signer_of_life()
        store = SimStore(self.disk)
        epoch = self.disk.take_fence()
        folded = boot.fold_store(store, signer, REGTEST)
        old = compare(self.mark, folded, epoch, "the mark")
        manager = boot.make_manager(self.config, signer, folded, self.random32)
        manager.now_seconds = self.world.clock.now_seconds
        wallet_signer = self._accounts
        wallet_state = boot.fold_wallet(folded)
        if folded.node.born is None:
            tip = self.world.chain.tip
            manager.record(NodeBorn(REGTEST.chain_hash, signer.node_id, tip.height, tip.hash))
            manager.set_env(block_height=tip.height)
        born = manager.node.born
        assert born is not None
        if wallet_state.created is None:
            created = creation_record(REGTEST, wallet_signer, born.birth_height, restored=False)
            fold_wallet_record(wallet_state, created)
            manager.outbox.append(manager.node_tail, encode_node_record(created))
        wallet = Wallet(REGTEST, wallet_signer, wallet_state, manager.env.block_height)
        self._runtime = Runtime(manager, wallet, store, epoch, life, self._on_action)
        self.runtime.record_wallet(wallet.disconnect_blocks(manager.env.block_height))
        self.reports += [Report("store", "error", line) for line in old.sentences()]
        self.runtime.run(lambda m: recover(m, old))
        self._lost = None
        manager.outbox.when_all_durable(lambda: self._begin_marks(old))
        self.runtime.turn()
        for slot in batches.fundings_on_their_way(manager).values():
            wallet.pending_transaction(Transaction.parse(slot.state.core.opened.funding_transaction))
        best = manager.node.best
        self.best = (
            BlockRef(born.birth_height, born.birth_hash) if best is None else BlockRef(best.height, best.block_hash)
        )
        self.synced = False
        self.seen_in_pool = {}
        if sync:
            self.sync()
        life.run_posted()

    def _signer_of_life(self) -> NodeSigner:
        if not self.signs_late:
            return self.signer
        signer = LateNodeSigner(self.signer)
        self.late = signer.late
        return cast(NodeSigner, signer)

    def sync(self) -> None:
        """Follow the chain to its tip; the first time in a life, begin to decide."""
        while self.best != self.world.chain.tip:
            self.follow()
        if not self.synced:
            self.synced = True
            self.hear_feerate()
            self.runtime.run(rebuild.start)
        self.life.run_posted()

    def hear_feerate(self) -> None:
        """Learn the feerate of the world, when it has one."""
        feerate_per_kw = self.world.feerate_per_kw
        if feerate_per_kw:
            self.run(lambda m: fees.set_feerates(m, feerate_per_kw, feerate_per_kw))

    def pool_news(self) -> dict[bytes, Transaction]:
        """Return, by txid, what waits in the mempool that this life looks for there and has not seen."""
        pool = self.world.chain.pool
        if not pool:
            return {}
        spenders = [pool.spender(outpoint) for outpoint in onchain_blocks.mempool_watch_list(self.manager)]
        return {one.txid: one.tx for one in spenders if one is not None and one.txid not in self.seen_in_pool}

    def see_mempool(self) -> None:
        """Look into the mempool."""
        news, pool = self.pool_news(), self.world.chain.pool
        self.seen_in_pool = {txid: None for txid in (*self.seen_in_pool, *news) if txid in pool}
        self.run(lambda m: onchain_blocks.on_mempool_transactions(m, list(news.values())))

    def see_block(self) -> None:
        """Take one step along the chain; at its tip, begin to decide."""
        if self.best == self.world.chain.tip:
            self.sync()
        else:
            self.follow()

    def blocks_behind(self) -> int:
        """Return how many blocks of the chain it has not seen."""
        return self.world.chain.tip.height - self._fork().height

    def _fork(self) -> BlockRef:
        """Return the last block that it has seen and that is still of the chain."""
        fork = self.best
        while not self.world.chain.is_active(fork):
            block = self.world.chain.block(fork.hash)
            assert block is not None, "a block that was followed is known"
            fork = BlockRef(fork.height - 1, block.prev_hash)
        return fork

    def follow(self) -> None:
        """Take one step along the chain: back to the fork, or one block on. What left the mempool was never seen."""
        chain, fork = self.world.chain, self._fork()
        self.seen_in_pool = {txid: None for txid in self.seen_in_pool if txid in chain.pool}
        if fork != self.best:
            self.best = fork
            self.runtime.on_blocks_disconnected(fork.height, fork.hash)
            return
        block = chain.block_at(fork.height + 1)
        assert block is not None
        self.best = block.ref
        self.runtime.on_block(block.height, block.hash, block.transactions, block.txids, is_tip=block.ref == chain.tip)

    def crash(self, kept: Mapping[str, int]) -> None:
        """Kill the process; each journal keeps that many of the records under way."""
        self.world.cut_all(self)
        self.life.end()
        self._runtime = None
        self.late = None
        self.synced = False
        self.disk.crash(kept)

    # --- the second place --------------------------------------------------------------------------------------------

    def _begin_marks(self, old: OldCopy) -> None:
        """What the old mark proved is durable now, so that a new one may replace it."""
        self._lost = old.lost()

    def write_mark(self) -> None:
        """Note how far the journals have come, as the shipped node does now and then."""
        if self._lost is None:
            return
        tails = self.runtime.outbox.tails
        self.mark = Mark(self.runtime.epoch, {**self._lost, **{name: tail.durable for name, tail in tails.items()}})

    def backup(self) -> Backup:
        """Put aside what is durable now."""
        return Backup(self.disk.copy(), self.mark)

    def restore(self, backup: Backup, *, with_mark: bool) -> None:
        """Replace the store of a node that is down by an older copy.

        with_mark: the second place is put back too, so that only peers can tell.
        """
        assert not self.is_up
        self.disk = backup.disk.copy()
        if with_mark:
            self.mark = backup.mark

    def compact(self) -> None:
        """Replace the records of every journal by a snapshot, as soon as the world lets it become durable."""
        for journal in list(self.runtime.outbox.tails):
            self.runtime.snapshot(journal)

    # --- what the user does ------------------------------------------------------------------------------------------

    def run(self, command: Callable[[Manager], object]) -> None:
        """Run a command of the user."""
        self.runtime.run(lambda manager: _discard(command(manager)))
        self.life.run_posted()

    # --- what leaves -------------------------------------------------------------------------------------------------

    def _on_action(self, action: Action) -> None:
        match action:
            case Report():
                self.reports.append(action)
            case Broadcast():
                transaction = Transaction.parse(action.transaction)
                self.runtime.wallet.pending_transaction(transaction)
                self._hear(transaction, self.world.broadcast(transaction, action.what, self.name))
            case ShowEvent(event=event):
                self.shown.append(Shown(self.lives, event))
                if self.application.delay_seconds:
                    self.life.after(self.application.delay_seconds, lambda: self._handle(event))
                else:
                    self.life.post(lambda: self._handle(event))
            case FundChannels():
                self.life.post(lambda: self._fund(action))
            case ReleaseFunding(transaction=raw):
                self.runtime.wallet.forget_pending(Transaction.parse(raw).txid())
            case FundClaim():
                self.life.post(lambda: fund_claim(self.runtime, action))
            case ForgetTransaction(txid=txid):
                self.runtime.wallet.forget_pending(txid)
            case BroadcastPackage(transactions=raws, what=what):
                together = [Transaction.parse(raw) for raw in raws]
                for transaction in together:
                    self.runtime.wallet.pending_transaction(transaction)
                self._hear(together[-1], self.world.broadcast_package(together, what, self.name))
            case ChannelBorn():
                pass
            case _:
                raise AssertionError(f"the run loop carries out {type(action).__name__}")

    def _hear(self, transaction: Transaction, result: BroadcastResult) -> None:
        claims.on_broadcast_result(self.manager, transaction.txid(), result.accepted, result.reject_reason)

    def _handle(self, event: Event) -> None:
        if self.runtime.broken is not None:
            return
        try:
            self.runtime.run(lambda manager: self.application.on_event(manager, event))
        except HandlerFailed:
            self.life.after(HANDLER_RETRY_SECONDS, lambda: self._handle(event))
        except CommandRejected:
            pass  # a slow answer may come too late

    def _fund(self, action: FundChannels) -> None:
        owner, wallet = action.funding_id, self.runtime.wallet
        outputs = [TxOut(satoshis, script_pubkey) for script_pubkey, satoshis in action.outputs]
        try:
            draft = wallet.build_funding(owner, outputs, self.manager.env.feerate_per_kw, 0, self.random32())
        except CommandRejected as error:
            reason = error.what
            self.runtime.run(lambda m: opening.funding_failed(m, owner, reason))
            return
        transaction, indices = wallet.sign(draft), draft.output_indices
        known: list[bool] = []
        self.runtime.run(lambda m: known.append(opening.funding_ready(m, owner, transaction, indices)))
        if not known[0]:
            wallet.release(owner)


def _discard(_value: object) -> None:
    """Commands may return something; the run loop takes none."""
