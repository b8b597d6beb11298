"""The run loop: input -> decide -> records to the store -> effects that are free. It fits on two screens and never
waits.

Time and concurrency enter through `Scheduler` alone, so a simulator runs this very code with its own.
"""

import bisect
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import Protocol

import msgspec

from leyden.base.errors import StorageBroken, StorageFailed, StorageFenced, StorageUnavailable
from leyden.base.ids import NODE_JOURNAL, JournalId
from leyden.bitcoin.tx import Transaction
from leyden.channel.snapshot import encode_core
from leyden.journal.batch import Append, Snapshot
from leyden.journal.node_codec import encode_node_record
from leyden.journal.wallet_records import WalletDisconnected, WalletRecord
from leyden.manager import chain, claiming, forwarding, opening, peer_storage, peers, sending, withdrawing
from leyden.manager.actions import (
    Action,
    Broadcast,
    BroadcastPackage,
    Disconnect,
    DropJournal,
    ForgetTransaction,
    FundClaim,
    Report,
)
from leyden.manager.manager import Manager
from leyden.manager.node_snapshot import encode_node_snapshot
from leyden.manager.state import Peer
from leyden.node.store_watch import StoreWatch
from leyden.ports.store import KeepsReserve, Store
from leyden.ports.transport import Connection
from leyden.ports.wallet import OnchainWallet


class Scheduler(Protocol):
    """Time and turns."""

    def now_seconds(self) -> int:
        """Return seconds since 1970."""
        ...

    def monotonic_us(self) -> int:
        """Return microseconds since some moment; they never step."""
        ...

    def post(self, callback: Callable[[], None]) -> None:
        """Run `callback` in a later turn."""
        ...

    def after(self, delay_seconds: float, callback: Callable[[], None]) -> None:
        """Run `callback` once, later."""
        ...


class RuntimeLimits:
    """Bounds of the run loop. Bytes are those of records that the store has not made durable yet."""

    HOLD_BYTES = 64 * 1024 * 1024
    PAUSE_BYTES = 256 * 1024 * 1024
    CROSSING_SECONDS = 5
    RETRY_FIRST_SECONDS = 0.2
    RETRY_LAST_SECONDS = 10.0
    GIVE_AGAIN_BYTES = 1 << 20
    STALL_SECONDS_MIN = 2
    STALL_SECONDS_MAX = 60
    SNAPSHOT_TAIL_BYTES_MIN = 4 << 20
    FORGET_EVERY_SECONDS = 600
    STRANGER_MESSAGES = 1000
    STRANGER_PAUSE_SECONDS = 0.2
    STRANGER_CALM_SECONDS = 60
    STRANGER_FLOODS = 10


class Refused(msgspec.Struct):
    """What the store refused of one journal for now, and what came behind, in order. tries: in vain, one by one."""

    appends: list[Append] = []
    tries: int = 0


ON_CHAIN_ACTIONS = (Broadcast, BroadcastPackage, FundClaim, ForgetTransaction, Report)
"""What goes on without a store. A commitment of our own is among the broadcasts only behind a durable `Closing`."""
_first = attrgetter("first")
_journal = attrgetter("journal")


class Runtime:
    """Drives one manager. Implements `ConnectionHandler`.

    on_action: carries out what leaves the node (broadcasts, events, ...). store_status: empty while the store works.
    """

    def __init__(
        self,
        manager: Manager,
        wallet: OnchainWallet,
        store: Store,
        epoch: int,
        scheduler: Scheduler,
        on_action: Callable[[Action], None],
    ) -> None:
        self.manager = manager
        self.wallet = wallet
        self.store = store
        self.epoch = epoch
        self.scheduler = scheduler
        self.on_action = on_action
        self.outbox = manager.outbox
        self.connections: dict[bytes, Connection] = {}
        self._since: dict[bytes, int] = {}
        self.broken: StorageFailed | None = None
        self.store_status = ""
        self.on_broken: Callable[[StorageFailed], None] = lambda _error: None
        self._turn_posted = False
        self._prepare_posted = False
        self._paused = False
        self._given: dict[str, int] = {}
        self._refused: dict[str, Refused] = {}
        self._told_tries = 0
        self.watch = StoreWatch(epoch)
        self._tail_bytes: dict[str, int] = {}
        self._snapshot_bytes: dict[str, int] = {}
        self._snapshotting: dict[str, None] = {}
        manager.signer.on_answer(self._on_late_answer)
        manager.penalty_log = self._penalty_rows

    def _penalty_rows(self, journal: str) -> bytes:
        """What the store has of old commitments; without a store justice takes what the state itself still knows."""
        try:
            return self.store.penalty_rows(JournalId(journal))
        except StorageFailed as error:
            self.on_action(Report("store", "error", f"the penalty log of {journal} cannot be read: {error}"))
            return b""

    # --- connections ---------------------------------------------------------------------------------------------

    def on_connected(self, connection: Connection) -> None:
        """A handshake is complete; a newer connection replaces an older one."""
        node_id = bytes(connection.node_id)
        older = self.connections.get(node_id)
        if older is not None:
            if self._crosses(older, connection):
                connection.close("both sides dialled; the other connection is kept")
                return
            self.connections.pop(node_id)
            peers.on_disconnected(self.manager, node_id)
            older.close("a newer connection replaces this one")
        if self.broken is not None:
            connection.close("this node is stopping")
            return
        self.connections[node_id] = connection
        self._since[node_id] = self.scheduler.now_seconds()
        if self._paused:
            connection.pause()
        self._begin()
        peers.on_connected(self.manager, node_id)
        self.turn()

    def _crosses(self, older: Connection, newer: Connection) -> bool:
        """Return whether both sides dialled at once and the older connection is the one that both must keep.

        Without a rule each may keep the one that the other gives up. It is the one that the smaller node_id made; an
        older connection than a few seconds is no crossing, but one whose end we have not heard of.
        """
        node_id = bytes(newer.node_id)
        if self.scheduler.now_seconds() > self._since[node_id] + RuntimeLimits.CROSSING_SECONDS:
            return False
        return older.inbound != newer.inbound and older.inbound == (node_id < self.manager.node_id)

    def on_messages(self, connection: Connection, messages: list[bytes]) -> None:
        """Take all whole messages of one read in one synchronous pass."""
        node_id = bytes(connection.node_id)
        if self.connections.get(node_id) is not connection or self.broken is not None:
            return
        if self._paused:
            connection.pause()  # until the next second
        self._begin()
        manager = self.manager
        on_message = peers.on_message
        for raw in messages:
            on_message(manager, node_id, raw)
        peer = manager.peers.get(node_id)
        if peer is not None:
            peer.messages += len(messages)
            if peer.messages > RuntimeLimits.STRANGER_MESSAGES:
                self._slow_down(peer, connection)
        self.turn()

    def _slow_down(self, peer: Peer, connection: Connection) -> None:
        """A peer without a channel has little to say: its flood waits in its own socket, and ends it if it goes on."""
        peer.messages = 0
        if any(
            slot.peer == peer.node_id and not opening.waits_for_funding(slot) for slot in self.manager.channels.values()
        ):
            return
        now = self.manager.now_seconds
        peer.floods = peer.floods + 1 if now - peer.flood_seconds < RuntimeLimits.STRANGER_CALM_SECONDS else 1
        peer.flood_seconds = now
        if peer.floods > RuntimeLimits.STRANGER_FLOODS:
            peer.ending = True
            connection.close("it floods us with messages and has no channel")
            return
        connection.pause()
        self.scheduler.after(RuntimeLimits.STRANGER_PAUSE_SECONDS, partial(self._read_on, connection))

    def _read_on(self, connection: Connection) -> None:
        if not self._paused:
            connection.resume()

    def on_disconnected(self, connection: Connection, reason: str) -> None:
        """The connection is over."""
        node_id = bytes(connection.node_id)
        if self.connections.get(node_id) is not connection:
            return
        del self.connections[node_id]
        self._since.pop(node_id, None)
        self._begin()
        peers.on_disconnected(self.manager, node_id)
        self.on_action(Report("peer", "info", f"peer {node_id.hex()[:16]} disconnected: {reason}"))
        self.turn()

    def on_writable(self, connection: Connection) -> None:
        """Nothing waits for that: what is queued is bounded by the transport."""

    # --- one turn ------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self.manager.now_seconds = self.scheduler.now_seconds()

    def run(self, command: Callable[[Manager], None]) -> None:
        """Run a command of the user; the pass is finished soon, once for all commands of this turn. Raises what it
        raises, and StorageBroken once the store is lost.
        """
        if self.broken is not None:
            raise self.broken
        self._begin()
        try:
            command(self.manager)
        finally:
            self._post_turn()

    def turn(self) -> None:
        """Finish a pass: records to the store, requests to the signer while it writes, messages and actions that are
        free.
        """
        manager, outbox = self.manager, self.outbox
        while True:
            manager.flush()
            if outbox.has_batch():
                batch = outbox.take_batch(self.scheduler.monotonic_us())
                if self.broken is None:
                    self._append(batch)
            if not self._ask_signer():
                break
        if self.broken is not None:
            self._act_without_store()
            return
        for node_id, messages in outbox.take_messages():
            connection = self.connections.get(node_id)
            if connection is not None:
                connection.send(messages)
        if manager.moved and not self._prepare_posted:
            self._prepare_posted = True
            self.scheduler.post(self._prepare)
        if manager.actions:
            self._act()
        self._apply_back_pressure()

    def _ask_signer(self) -> bool:
        """Put what waits to the signer; return whether anything did."""
        manager, outbox = self.manager, self.outbox
        requests = outbox.take_requests()
        for signing in requests:
            try:
                answer = manager.signer.answer(signing.request)
            except AssertionError as refusal:
                manager.on_signer_refused(signing.request, refusal)
                continue
            if answer is None:
                outbox.wait_for_signer(signing)
            else:
                outbox.on_answer(signing, answer)
        return bool(requests)

    @property
    def is_fenced(self) -> bool:
        """Whether another life has taken the store over: from then on nothing of this one reaches the chain."""
        return isinstance(self.broken, StorageFenced)

    def _act_without_store(self) -> None:
        """The store is lost: what spends outputs of published commitments goes on (invariant S3), and nothing else.

        With the fence that ends as well. The life that has it makes the same claims of the same journals; two would bid
        against each other for every output, each with what it takes for free coins of the one wallet.
        """
        for action in self.manager.take_actions():
            if isinstance(action, Report if self.is_fenced else ON_CHAIN_ACTIONS):
                self.on_action(action)

    def run_on_chain(self, command: Callable[[Manager], None]) -> None:
        """Run something that only claims (coins for a claim, what became of a broadcast): also when the store is
        lost.
        """
        self._begin()
        command(self.manager)
        self._post_turn()

    def _act(self) -> None:
        for action in self.manager.take_actions():
            if type(action) is Disconnect:
                connection = self.connections.get(action.node_id)
                if connection is not None:
                    connection.close(action.reason)
            elif type(action) is DropJournal:
                self._drop(action.journal)
            else:
                self.on_action(action)

    def _drop(self, journal: str) -> None:
        """Remove an archived journal; what fails now is done at the next start."""
        for figures in (self._tail_bytes, self._snapshot_bytes, self._given):
            figures.pop(journal, None)
        self.store.drop(self.epoch, JournalId(journal), partial(self._on_dropped, journal))

    def _on_dropped(self, journal: str, error: StorageFailed | None) -> None:
        if error is not None and self.broken is None:
            self.on_action(Report("store", "warning", f"{journal} is archived and could not be dropped yet: {error}"))
            if isinstance(error, StorageBroken):
                self._break(error)

    def _prepare(self) -> None:
        """While store and peers are at work: derive what the next commitments will need."""
        self._prepare_posted = False
        self.manager.prepare_moved()

    def _post_turn(self) -> None:
        if not self._turn_posted:
            self._turn_posted = True
            self.scheduler.post(self._posted_turn)

    def _posted_turn(self) -> None:
        self._turn_posted = False
        self._begin()
        self.turn()

    def _on_late_answer(self, request_id: int, answer: object) -> None:
        self.outbox.on_late_answer(request_id, answer)  # type: ignore[arg-type]
        self._post_turn()

    # --- the store -----------------------------------------------------------------------------------------------

    def _append(self, batch: Sequence[Append]) -> None:
        records = total = 0
        for append in batch:
            size = sum(map(len, append.records))
            self._tail_bytes[append.journal] = self._tail_bytes.get(append.journal, 0) + size
            records += len(append.records)
            total += size
        self.watch.on_batch(records, total)
        if self._refused:
            # Within a journal nothing may overtake what was refused; other journals go on.
            for append in batch:
                refused = self._refused.get(append.journal)
                if refused is not None:
                    refused.appends.append(append)
            batch = [append for append in batch if append.journal not in self._refused]
        if batch:
            self._give(batch)

    def _give(self, batch: Sequence[Append]) -> None:
        given = self._given
        for append in batch:
            given[append.journal] = given.get(append.journal, 0) + 1
        self.store.append(self.epoch, batch, self._on_appended)

    def _on_appended(self, appends: Sequence[Append], error: StorageFailed | None) -> None:
        if self.broken is not None:
            return
        for append in appends:
            self._given[append.journal] -= 1
        if error is None:
            given = self.outbox.tails[appends[0].journal].given
            if given:
                # One sample for each answer: from when its first records were ready until it came.
                self.watch.commit_us.add(self.scheduler.monotonic_us() - given[0][1])
            self.outbox.on_durable(appends)
            self._compact(appends)
            if self._refused:
                self._give_rest(appends)
            self._post_turn()
        elif isinstance(error, StorageUnavailable):
            self._on_refused(appends, error)
        else:
            self._break(error)

    def _on_refused(self, appends: Sequence[Append], error: StorageUnavailable) -> None:
        """Keep what was refused, and give it again later, but for journals of which more is still under way."""
        self.watch.refusals += 1
        for append in appends:
            bisect.insort(self._refused.setdefault(append.journal, Refused()).appends, append, key=_first)
        journals = [journal for journal in dict.fromkeys(map(_journal, appends)) if not self._given[journal]]
        if not journals:
            return
        tries = 0
        for journal in journals:
            refused = self._refused[journal]
            refused.tries += 1
            tries = max(tries, refused.tries)
        self.store_status = str(error)
        if tries > self._told_tries:
            self._told_tries = tries
            self.on_action(Report("store", "error", f"the store does not take records, trying again: {error}"))
        delay = min(RuntimeLimits.RETRY_FIRST_SECONDS * 2 ** min(tries, 10), RuntimeLimits.RETRY_LAST_SECONDS)
        self.scheduler.after(delay, partial(self._give_again, journals))

    def _give_again(self, journals: Sequence[str]) -> None:
        """Try again with the oldest records of each journal alone: on a full disk little may fit."""
        if self.broken is None:
            self._use_reserve()
            self._give([self._refused[journal].appends.pop(0) for journal in journals])

    def _give_rest(self, appends: Sequence[Append]) -> None:
        """The store took something: what waits behind it goes next, in order; with the last the trouble is over."""
        batch: list[Append] = []
        for journal in dict.fromkeys(map(_journal, appends)):
            refused = self._refused.get(journal)
            if refused is None or self._given[journal]:
                continue
            if not refused.appends:
                del self._refused[journal]
                continue
            refused.tries = 0
            size = 0
            while refused.appends and size < RuntimeLimits.GIVE_AGAIN_BYTES:
                append = refused.appends.pop(0)
                size += sum(map(len, append.records))
                batch.append(append)
        if batch:
            self._give(batch)
        if not self._refused:
            self._told_tries = 0
            self.store_status = ""
            self.on_action(Report("store", "info", "the store works again"))
            if isinstance(self.store, KeepsReserve):
                self.store.refill_reserve()

    def _use_reserve(self) -> None:
        """A full disk can still close a channel and keep a preimage (DESIGN section 2, "Broadcast rule")."""
        if (
            isinstance(self.store, KeepsReserve)
            and self.manager.holds_urgent_records()
            and self.store.release_reserve()
        ):
            self.on_action(
                Report("store", "warning", "the disk is full: a close or a claim takes the room kept for it")
            )

    def _break(self, error: StorageFailed) -> None:
        """The store refuses for good: stop before another message goes out (DESIGN section 6)."""
        self.broken = error if isinstance(error, StorageBroken) else StorageBroken(str(error))
        self.store_status = str(error)
        self.on_action(Report("store", "error", f"the store is lost, the node stops talking to peers: {error}"))
        for connection in list(self.connections.values()):
            connection.close("this node is stopping")
        self.on_broken(self.broken)

    def _apply_back_pressure(self) -> None:
        """A store slower than the traffic: first nothing new is taken, then each peer is read once a second.

        So pings are answered and fulfils are taken however long it lasts, and claims are never held back. What a peer
        can add meanwhile is bounded: it cannot sign again before our `revoke_and_ack`, which waits for the store.
        """
        queued = self.outbox.queued_bytes
        self.manager.forward_hold = queued > RuntimeLimits.HOLD_BYTES
        if queued > RuntimeLimits.PAUSE_BYTES and not self._paused:
            self._paused = True
            for connection in self.connections.values():
                connection.pause()
        elif self._paused and queued < RuntimeLimits.HOLD_BYTES:
            self._paused = False
            for connection in self.connections.values():
                connection.resume()

    # --- snapshots -----------------------------------------------------------------------------------------------

    def _compact(self, batch: Sequence[Append]) -> None:
        """Replace records by a snapshot when a tail has grown past a bound at least as large as the snapshot."""
        for append in batch:
            journal = append.journal
            bound = max(RuntimeLimits.SNAPSHOT_TAIL_BYTES_MIN, 2 * self._snapshot_bytes.get(journal, 0))
            if self._tail_bytes.get(journal, 0) > bound and journal not in self._snapshotting:
                self.manager.shielded(partial(self.snapshot, journal))

    def snapshot(self, journal: str) -> None:
        """Write a snapshot of one journal. It covers what the store was given; whatever is in memory only waits for the
        next.
        """
        tail = self.outbox.tails[journal]
        if tail.records or journal in self._refused:
            return
        manager = self.manager
        if journal == NODE_JOURNAL:
            state, rows = encode_node_snapshot(manager.node, self.wallet.snapshot()), b""
            penalty: list[bytes] = []
        else:
            slot = manager.channels[bytes.fromhex(journal.removeprefix("channel/"))]
            if slot.halted:
                # What a bug has left in memory must not replace the records.
                return
            core = slot.state.core
            state, rows, penalty = encode_core(core), b"".join(core.penalty_rows), core.penalty_rows
        written = len(penalty)
        self._snapshotting[journal] = None

        def done(error: StorageFailed | None) -> None:
            self._snapshotting.pop(journal, None)
            if error is None:
                # Younger rows are still in the tail; writing one twice is writing it once.
                del penalty[:written]
            elif isinstance(error, StorageBroken) and self.broken is None:
                # Fenced, or lost: it may be the only write for long, and no message must go out behind it.
                self._break(error)
            elif self.broken is None:
                self.on_action(Report("store", "warning", f"a snapshot of {journal} was refused: {error}"))

        self._snapshot_bytes[journal] = len(state)
        self._tail_bytes[journal] = 0
        self.store.snapshot(self.epoch, [Snapshot(journal, tail.position, state, rows)], done)

    # --- blocks and time -------------------------------------------------------------------------------------------

    def record_wallet(self, record: WalletRecord | None) -> None:
        """Append a record of the wallet to the node journal and fold it."""
        if record is not None:
            self.wallet.fold(record)
            self.outbox.append(self.manager.node_tail, encode_node_record(record))

    def on_block(
        self,
        height: int,
        block_hash: bytes,
        transactions: Sequence[Transaction],
        txids: Sequence[bytes],
        *,
        is_tip: bool,
    ) -> None:
        """The best chain grew by this block. At the tip the best block is noted."""
        self._begin()
        record = self.wallet.connect_block(height, block_hash, transactions, txids)
        self.record_wallet(record)
        if isinstance(record, WalletDisconnected):
            self.record_wallet(self.wallet.connect_block(height, block_hash, transactions, txids))
        chain.on_block(self.manager, height, block_hash, transactions, txids, is_tip=is_tip)
        if is_tip:
            chain.note_best_block(self.manager, height, block_hash)
        self.turn()

    def on_blocks_disconnected(self, fork_height: int, fork_hash: bytes) -> None:
        """All blocks above the fork left the best chain."""
        self._begin()
        self.record_wallet(self.wallet.disconnect_blocks(fork_height))
        chain.on_blocks_disconnected(self.manager, fork_height)
        chain.note_best_block(self.manager, fork_height, fork_hash)
        self.turn()

    def on_second(self) -> None:
        """Once a second: deadlines, timeouts, acknowledgements that still wait."""
        if self.broken is not None:
            return
        self._begin()
        manager = self.manager
        waited_seconds = self.watch.on_second(manager, self.scheduler.monotonic_us(), self.store_status)
        if RuntimeLimits.STALL_SECONDS_MIN <= waited_seconds < RuntimeLimits.STALL_SECONDS_MAX:
            claiming.wait_longer(manager)
        if self._paused:
            for connection in self.connections.values():
                connection.resume()
        manager.shielded(lambda: claiming.on_time(manager))
        manager.shielded(lambda: sending.on_time(manager))
        manager.shielded(lambda: withdrawing.on_time(manager))
        manager.shielded(lambda: forwarding.offer_held(manager))
        manager.shielded(lambda: peer_storage.on_time(manager))
        if manager.now_seconds % RuntimeLimits.FORGET_EVERY_SECONDS == 0:
            manager.shielded(lambda: sending.forget_old(manager))
        self.manager.flush()
        self.manager.write_acknowledgements()
        self.turn()

    def ping_all(self) -> None:
        """Ask every peer for a sign of life."""
        for node_id in list(self.connections):
            peers.ping(self.manager, node_id)
        self.turn()
