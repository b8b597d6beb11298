"""`Node`: a Lightning node to embed.

    async with leyden.Node(config) as node:
        invoice = await node.create_invoice(10_000_000, "coffee")

Every seam may be given: signer, store, chain source, transport, clock. Whatever is not given is made from the
configuration.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import final
from urllib.parse import urlsplit

from leyden.base.errors import ChainUnavailable, CommandRejected, StorageBroken, StorageFailed
from leyden.bitcoin.networks import Network
from leyden.bitcoin.tx import Transaction
from leyden.drivers.atomic_file import make_directory
from leyden.drivers.chain.bitcoind import BitcoindChainSource, BitcoindSettings
from leyden.drivers.chain.rpc import CookieFile, UserPassword
from leyden.drivers.markfile import MarkFile
from leyden.drivers.net.free_port import check_can_listen
from leyden.drivers.net.limits import TransportLimits
from leyden.drivers.net.tcp import TcpTransport
from leyden.drivers.storage.delayed import DelayedStore
from leyden.drivers.storage.sqlite import SqliteStore
from leyden.journal.node_codec import encode_node_record
from leyden.journal.node_records import NodeBorn
from leyden.manager import batches, handoff, rebuild
from leyden.manager.actions import Action, Report
from leyden.manager.config import (
    AcceptHook,
    CloseHook,
    CustomMessages,
    JusticeSink,
    NodeSigner,
    Router,
    accept_all,
    allow_close,
    no_custom_messages,
)
from leyden.manager.events import Event
from leyden.manager.rebuild import Folded
from leyden.node import actions, boot, chain_loop, justice, mempool_watch, peer_loop, second_place
from leyden.node.clock import LoopScheduler, random32, random_bytes
from leyden.node.config import network_of, split_address
from leyden.node.core import NodeCore
from leyden.node.justice import JusticeFile
from leyden.node.manager_config import manager_config
from leyden.node.methods import NodeMethods
from leyden.node.recovery import OldCopy, compare, recover
from leyden.node.runtime import Runtime, Scheduler
from leyden.node.settings import NodeConfig
from leyden.noise import StaticKey
from leyden.payments.routes import plan
from leyden.ports.chain import ChainSource
from leyden.ports.store import Store
from leyden.ports.transport import ConnectionHandler, Transport
from leyden.ports.wallet import MakeWallet
from leyden.wallet.keys import AccountSigner, WalletSigner
from leyden.wallet.state import fold as fold_wallet_record
from leyden.wallet.wallet import Wallet, creation_record

CUSTOM_PAYLOAD_MAX = 65_533
LISTEN_RETRY_SECONDS = 10.0
_chain_log = logging.getLogger("leyden.chain")
_peer_log = logging.getLogger("leyden.peer")
_store_log = logging.getLogger("leyden.store")

FIRST_TIP_SECONDS = 0.5
MakeTransport = Callable[[NodeSigner, ConnectionHandler], Transport]


def _alarm(core: NodeCore, old: OldCopy, folded: Folded) -> None:
    """Keep in sight what is wrong with the journals for as long as the node runs."""
    for journal, unreadable in folded.unreadable.items():
        core.alarms[journal] = rebuild.unreadable_alarm(journal, unreadable)
    for line in old.sentences():
        _store_log.error("%s", line)
        core.alarms[line] = line


class EventHandle:
    """An event, and the means to say that it was dealt with."""

    __slots__ = ("_core", "event")

    def __init__(self, core: NodeCore, event: Event) -> None:
        self._core = core
        self.event = event

    def acknowledge(self) -> None:
        """Say that the event was dealt with: it is never told again. Durable soon; a crash before that repeats the
        event.
        """
        event_id = self.event.event_id
        self._core.runtime.run(lambda manager: handoff.acknowledge_event(manager, event_id))


@final
class Node(NodeMethods):
    """A node. Use it as an async context manager, or call `start` and `aclose`.

    Args:
        config: see `node/settings.py`.
        signer, wallet_signer: who holds the keys; default: the key file in the data directory.
        store, chain: drivers; default: SQLite in the data directory, bitcoind's JSON-RPC.
        make_transport: makes the transport for (signer, handler); default: TCP.
        make_wallet: makes the on-chain wallet; default: descriptors BIP 84 and 86 of the seed.
        scheduler, entropy: time, and 32 random bytes at each call; default: the system's.
        accept_hook: judges inbound channels. router: finds ways for payments.
        close_hook: judges forced closes that neither the user nor a deadline wants; `channels.close_on_error = false`
            refuses them all.
        custom_messages: takes messages of types that Leyden does not know; `send_custom_message` sends them.
        justice_sink: takes what a watchtower needs, for each state that a peer revokes; default: `watchtower.file` of
        the configuration, if any.
        passphrase: of the key file.
    """

    def __init__(
        self,
        config: NodeConfig,
        *,
        signer: NodeSigner | None = None,
        wallet_signer: WalletSigner | None = None,
        store: Store | None = None,
        chain: ChainSource | None = None,
        make_transport: MakeTransport | None = None,
        make_wallet: MakeWallet = Wallet,
        scheduler: Scheduler | None = None,
        entropy: Callable[[], bytes] = random32,
        accept_hook: AcceptHook = accept_all,
        close_hook: CloseHook = allow_close,
        router: Router = plan,
        custom_messages: CustomMessages = no_custom_messages,
        justice_sink: JusticeSink | None = None,
        passphrase: str | None = None,
    ) -> None:
        self.config = config
        self._signer = signer
        self._wallet_signer = wallet_signer
        self._store = store
        self._chain = chain
        self._make_transport = make_transport
        self._make_wallet = make_wallet
        self._scheduler = scheduler
        self._entropy = entropy
        if justice_sink is None and config.watchtower.file:
            justice_sink = JusticeFile(config.directory / config.watchtower.file)
        self._justice_sink = justice_sink
        self._manager_config = manager_config(config, accept_hook, router, custom_messages, justice_sink, close_hook)
        self._passphrase = passphrase
        self._core: NodeCore | None = None
        self._mark: MarkFile | None = None
        self._stopped = asyncio.Event()
        self._early: list[Action] = []
        self.failure: StorageFailed | None = None

    @property
    def core(self) -> NodeCore:
        """The parts of the running node. Raises CommandRejected (`not_running`)."""
        if self._core is None:
            raise CommandRejected("the node is not running", code="not_running")
        return self._core

    async def __aenter__(self) -> "Node":
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop quickly."""
        await self.aclose()

    # --- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the store, rebuild the node, begin to follow the chain. Returns when the API can be used.

        Raises: CommandRejected: a wrong seed, network or journal, a store that another process uses. Nothing was
        changed.
        """
        boot.tune_interpreter()
        network = network_of(self.config)
        signer, wallet_signer = self._keys()
        store, self._mark = self._open_store()
        scheduler = self._scheduler or LoopScheduler()
        epoch = await store.open()
        try:
            # Behind the store's lock: a second process on this directory is told of that, not of its port.
            if self._make_transport is None:
                for place in self.config.listen:
                    await check_can_listen(*split_address(place, "listen"))
            folded = boot.fold_store(store, signer, network)
            mark = None if self._mark is None else self._mark.read()
            old = compare(mark, folded, epoch, "" if self._mark is None else str(self._mark.path))
            chain = self._chain or self._bitcoind()
            if folded.node.born is not None:
                await self._check_chain(chain, network)
            manager = boot.make_manager(self._manager_config, signer, folded, self._entropy)
            manager.now_seconds = scheduler.now_seconds()
            wallet_state = boot.fold_wallet(folded)
            if folded.node.born is None:
                tip = await self._first_tip(chain, network)
                manager.record(NodeBorn(network.chain_hash, signer.node_id, tip[0], tip[1]))
                manager.set_env(block_height=tip[0])
            born = manager.node.born
            assert born is not None
            if wallet_state.created is None:
                created = creation_record(network, wallet_signer, born.birth_height, restored=self.config.restored)
                fold_wallet_record(wallet_state, created)
                manager.outbox.append(manager.node_tail, encode_node_record(created))
            wallet = self._make_wallet(network, wallet_signer, wallet_state, manager.env.block_height)
            runtime = Runtime(manager, wallet, store, epoch, scheduler, self._on_action)
            core = self._core = NodeCore(self.config, runtime, wallet, chain, self._entropy)
        except BaseException:
            await store.close()
            raise
        runtime.on_broken = self._on_broken
        runtime.watch.warn_after_seconds = float(self.config.store.warn_after_seconds)
        runtime.record_wallet(wallet.disconnect_blocks(manager.env.block_height))
        runtime.run(lambda m: recover(m, old))
        _alarm(core, old, folded)
        for early in self._early:
            self._on_action(early)
        runtime.turn()
        await core.all_durable()
        best = manager.node.best
        height, block_hash = (best.height, best.block_hash) if best else (born.birth_height, born.birth_hash)
        self._give_pending_fundings(core)
        core.spawn(chain_loop.follow(core, height, block_hash, self._on_synced), "following the chain")
        for work, name in (
            (chain_loop.watch_fees, "watching fees"),
            (mempool_watch.watch_mempool, "watching the mempool"),
            (peer_loop.every_second, "timers"),
        ):
            core.spawn(work(core), name)
        self._keep_mark(core, epoch, old.lost())

    def _keys(self) -> tuple[NodeSigner, WalletSigner]:
        network = network_of(self.config)
        signer = self._signer
        if signer is None:
            make_directory(self.config.directory)
            own = boot.open_key(self.config, network, self._passphrase)
            return own, self._wallet_signer or AccountSigner(own.wallet_account)
        return signer, self._wallet_signer or AccountSigner(signer.wallet_account)

    def _open_store(self) -> tuple[Store, MarkFile | None]:
        store: Store
        mark: MarkFile | None = None
        if self._store is not None:
            store = self._store
        else:
            make_directory(self.config.directory)
            store = SqliteStore(self.config.store_path)
            mark = MarkFile(self.config.mark_path)
        if self.config.store.delay_ms:
            store = DelayedStore(store, self.config.store.delay_ms / 1000)
        return store, mark

    def _bitcoind(self) -> ChainSource:
        settings, network = self.config.bitcoind, network_of(self.config)
        url = urlsplit(settings.url or f"http://127.0.0.1:{network.default_rpc_port}")
        if settings.user:
            credentials: UserPassword | CookieFile = UserPassword(settings.user, settings.password)
        else:
            credentials = CookieFile(Path(settings.cookie_file or Path.home() / ".bitcoin" / ".cookie"))
        return BitcoindChainSource(
            BitcoindSettings(
                host=url.hostname or "127.0.0.1",
                port=url.port or network.default_rpc_port,
                credentials=credentials,
                network=network,
            ),
            self._on_chain_status,
        )

    async def _first_tip(self, chain: ChainSource, network: Network) -> tuple[int, bytes]:
        """A new node begins at the tip; it has nothing to look for in the past."""
        said = ""
        while True:
            try:
                await chain.check_network(network)
                tip = await chain.tip()
            except ChainUnavailable as error:
                if said != str(error):
                    said = str(error)
                    _chain_log.warning("waiting for the chain service: %s", said)
                await asyncio.sleep(FIRST_TIP_SECONDS)
            else:
                return tip.height, tip.hash

    async def _check_chain(self, chain: ChainSource, network: Network) -> None:
        """Refuse the chain service of another network; one that does not answer is asked again later."""
        try:
            await chain.check_network(network)
        except ChainUnavailable as error:
            _chain_log.warning("starting without the chain service: %s", error)

    def _give_pending_fundings(self, core: NodeCore) -> None:
        """The wallet's locks derive from the journals (DESIGN section 4, "Birth")."""
        for slot in batches.fundings_on_their_way(core.manager).values():
            core.wallet.pending_transaction(Transaction.parse(slot.state.core.opened.funding_transaction))

    def _on_synced(self) -> None:
        """The chain is at the tip: only now is anything decided, and peers are met (DESIGN section 3)."""
        core = self.core
        core.is_synced = True
        core.chain_status = ""
        core.runtime.run(rebuild.start)
        core.spawn(self._meet_peers(core), "meeting peers")

    async def _meet_peers(self, core: NodeCore) -> None:
        if isinstance(self._justice_sink, JusticeFile):
            core.spawn(self._justice_sink.keep_writing(partial(self._tell, justice.NAME)), justice.NAME)
        signer = core.manager.signer
        if self._make_transport is not None:
            core.transport = self._make_transport(signer, core.runtime)
        else:
            identity = StaticKey(signer.node_id, signer.ecdh)
            core.transport = TcpTransport(identity, core.runtime, TransportLimits(), random_bytes)
        for place in self.config.listen:
            host, port = split_address(place, "listen")
            core.spawn(self._listen(core, core.transport, host, port), f"listening at {place}")
        core.spawn(peer_loop.keep_connected(core), "reconnecting")
        core.spawn(peer_loop.ping_all(core), "pinging")

    async def _listen(self, core: NodeCore, transport: Transport, host: str, port: int) -> None:
        """Take connections at one place; whoever took it since the start may leave it again."""
        while True:
            try:
                chosen = await transport.listen(host, port)
            except CommandRejected as error:
                core.alarms[f"{host}:{port}"] = error.what
                _peer_log.error("%s", error.what)
                await asyncio.sleep(LISTEN_RETRY_SECONDS)
            else:
                core.alarms.pop(f"{host}:{port}", None)
                core.listening.append(f"{host}:{chosen}")
                _peer_log.info("listening at %s:%d as %s", host, chosen, core.manager.node_id.hex())
                return

    async def aclose(self) -> None:
        """Stop quickly; nothing depends on it."""
        core, self._core = self._core, None
        if core is None:
            return
        await core.cancel_tasks()
        if core.transport is not None:
            await core.transport.close()
        core.abort_waiters(
            CommandRejected("the node stops; what was accepted goes on at its next start", code="not_running")
        )
        await core.chain.close()
        await core.runtime.store.close()
        if isinstance(self._justice_sink, JusticeFile):
            with suppress(OSError):
                self._justice_sink.write()
        self._stopped.set()

    async def stopped(self) -> None:
        """Wait until the node was asked to stop, or lost its store."""
        await self._stopped.wait()

    # --- what comes from below ---------------------------------------------------------------------------------------

    def _on_action(self, action: Action) -> None:
        if self._core is None:
            if isinstance(action, Report):
                actions.report(action)
            else:
                self._early.append(action)
            return
        actions.carry_out(self._core, action)

    def _on_chain_status(self, ok: bool, why: str) -> None:
        if self._core is not None:
            self._core.chain_status = "" if ok else why
        (_chain_log.info if ok else _chain_log.warning)("chain service: %s", why or "works")

    def _on_broken(self, error: StorageFailed) -> None:
        self.failure = error
        if self._core is not None:
            self._core.abort_waiters(StorageBroken(str(error)))
        self._stopped.set()

    def _keep_mark(self, core: NodeCore, epoch: int, lost: Mapping[str, int]) -> None:
        """Keep the second place; what it knows of journals that are lost stays."""
        if self._mark is None:
            return

        def positions() -> dict[str, int]:
            return {**lost, **{name: tail.durable for name, tail in core.runtime.outbox.tails.items()}}

        tell = partial(self._tell, second_place.NAME)
        keeping = second_place.keep(self._mark, epoch, positions, lambda: not core.runtime.is_fenced, tell)
        core.spawn(keeping, second_place.NAME)

    def _tell(self, name: str, why: str) -> None:
        """Show and report an alarm once; empty: it is over."""
        core = self.core
        if not why:
            core.alarms.pop(name, None)
        elif core.alarms.get(name) != why:
            core.alarms[name] = why
            core.manager.report("node", "error", why)
            core.runtime.turn()

    # --- events
    # --------------------------------------------------------------------------------------------------------

    async def events_iterator(self) -> AsyncIterator[EventHandle]:
        """Yield events, those not acknowledged in earlier lives first. Each stays until `acknowledge` is called on
        it.
        """
        core = self.core
        queue: deque[Event] = deque(core.manager.events.values())
        wake = asyncio.Event()
        key = object()
        core.subscribers[key] = (queue, wake)
        try:
            while True:
                while queue:
                    yield EventHandle(core, queue.popleft())
                wake.clear()
                await wake.wait()
        finally:
            core.subscribers.pop(key, None)
