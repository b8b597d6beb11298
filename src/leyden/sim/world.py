"""The world: nodes, the links between them, one chain, one clock, and a list of what may happen next.

Everything that the outside could delay is an `Action`: a message arrives, a journal becomes durable, a block is seen,
peers connect. A schedule picks one after the other; the same picks give the same world.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from leyden.bitcoin.networks import REGTEST
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut
from leyden.crypto.hashes import sha256
from leyden.drivers.chain.memory import MemoryChain
from leyden.manager.config import ManagerConfig
from leyden.manager.state import ClaimableStatus
from leyden.payments.outbound import OutboundPayment
from leyden.ports.chain import BroadcastResult
from leyden.sim import confirmed
from leyden.sim.commands import IN_TURN, WHEN_IDLE
from leyden.sim.life import SimClock
from leyden.sim.network import SimConnection, connect
from leyden.sim.node import SimNode
from leyden.wallet.wallet import AddressKind

START_SECONDS = 1_700_000_000
ALL_MESSAGES = 1_000_000
MINER_SCRIPT = b"\x00\x14" + bytes(20)


class Action(NamedTuple):
    """Something that may happen now.

    kind: `deliver` (to node, from subject; `read`: only the first message), `commit` (of journal subject), `block`
    (node sees one), `mempool` (node sees there what it looks for), `connect` (to subject), `sign` (its signer answers),
    `act` (the next thing that users do).
    """

    kind: str
    node: str
    subject: str


class Act(NamedTuple):
    """Something that users do. nodes: which must be up and in sync. when: IN_TURN, WHEN_IDLE, AT_REST."""

    name: str
    nodes: Sequence[str]
    run: Callable[[], None]
    when: int


class Observer(Protocol):
    """Sees every action before and after it happens."""

    def before(self, action: Action) -> None:
        """Look at the world before an action."""
        ...

    def after(self, action: Action) -> None:
        """Look at what has become of it."""
        ...


class Observers:
    """Several observers as one, in order."""

    def __init__(self, *observers: Observer) -> None:
        self.all = list(observers)

    def before(self, action: Action) -> None:
        """See `Observer`."""
        for one in self.all:
            one.before(action)

    def after(self, action: Action) -> None:
        """See `Observer`."""
        for one in self.all:
            one.after(action)


class Schedule(Protocol):
    """Chooses what happens next."""

    def choose(self, world: "World", enabled: Sequence[Action]) -> Action:
        """Return one of `enabled`, which is not empty and stands in the order in which it became possible."""
        ...


def _trust(_chain: MemoryChain, _transaction: Transaction) -> None:
    """The light chain looks at inputs and values, not at scripts; `sim.consensus` does."""


class World:
    """See the module. seed: makes keys and draws. links: who connects to whom, and whether the link is open.

    validate: sees each transaction before the mempool does.
    acts: what users will do, in order. closes_asked: channels (channel_id) that somebody asked to close; True when the
    call has returned, so that they must. quiet_seconds: how far the clock has moved since something happened.
    restored: nodes that were started from an old copy. operated: by txid, whose operator published that commitment.
    cheats: by channel_id, whose operator published one that a block held when it was revoked, and then the other end:
    both are right to be alarmed. dust: by node and channel_id, of the commitment that closed it, see
    `confirmed.dust_msat`.
    feerate_per_kw: what nodes are told when they start; 0 when they stay with their own.
    quick_height: up to here nodes see blocks without a stop between them.
    stalled: how many messages still arrive at a node from another one, where not all do.
    disliked: nodes of which miners take nothing. left_out: by txid, what miners take from nobody, and whose it is.
    """

    def __init__(self, seed: bytes = b"") -> None:
        self.seed = seed
        self.clock = SimClock(START_SECONDS)
        self.chain = MemoryChain(REGTEST)
        self.nodes: dict[str, SimNode] = {}
        self.links: dict[tuple[str, str], bool] = {}
        self.connections: dict[tuple[str, str], SimConnection] = {}
        self.broadcasts: list[tuple[bytes, str]] = []
        self.granted_sat = 0
        self.steps = 0
        self.quiet_seconds = 0
        self.trace: list[str] = []
        self.deliver_count = ALL_MESSAGES
        self.acts: deque[Act] = deque()
        self.closes_asked: dict[bytes, bool] = {}
        self.restored: dict[str, None] = {}
        self.operated: dict[bytes, str] = {}
        self.cheats: dict[bytes, tuple[str, ...]] = {}
        self.dust: dict[tuple[str, bytes], dict[bytes, int]] = {}
        self.feerate_per_kw = 0
        self.quick_height = 0
        self.stalled: dict[tuple[str, str], int] = {}
        self.disliked: dict[str, None] = {}
        self.left_out: dict[bytes, str] = {}
        self.observer: Observer | None = None
        self.validate: Callable[[MemoryChain, Transaction], None] = _trust
        self._since: dict[Action, int] = {}
        self._became = 0
        self._by_id: dict[bytes, SimNode] = {}

    # --- making it -------------------------------------------------------------------------------------------------

    def add_node(self, name: str, config: ManagerConfig | None = None, *, signs_late: bool = False) -> SimNode:
        """Add a node and start it."""
        node = SimNode(self, name, config or ManagerConfig(REGTEST), signs_late=signs_late)
        self.nodes[name] = node
        self._by_id[node.node_id] = node
        node.start()
        return node

    def link(self, one: str, other: str) -> None:
        """Let `one` connect to `other` whenever both are up and not connected."""
        self.links[(one, other)] = True

    def grant(self, name: str, amount_sat: int) -> None:
        """Give a node a coin that comes from nowhere, in the next block."""
        node = self.nodes[name]
        issued = node.runtime.wallet.new_address(AddressKind.P2WPKH)
        node.runtime.record_wallet(issued.record)
        node.runtime.turn()
        self.granted_sat += amount_sat
        source = OutPoint(sha256(b"grant" + self.seed + self.granted_sat.to_bytes(8, "big")), 0)
        coin = Transaction(2, (TxIn(source, b"", 0xFFFFFFFF),), (TxOut(amount_sat, issued.script_pubkey),), 0)
        self.chain.grant(coin)

    def copy(self) -> "World":
        """Return a new world that begins with what is durable here: every node starts anew, no connection is up."""
        other = World(self.seed)
        other.clock.now_seconds = self.clock.now_seconds
        other.chain = self.chain.copy()
        other.granted_sat = self.granted_sat
        other.links = dict(self.links)
        other.feerate_per_kw = self.feerate_per_kw
        other.quick_height = self.quick_height
        other.disliked = dict(self.disliked)
        other.left_out = dict(self.left_out)
        for name, node in self.nodes.items():
            twin = other.nodes[name] = SimNode(other, name, node.config, signs_late=node.signs_late)
            twin.disk = node.disk.copy()
            twin.mark = node.mark
            twin.lives = node.lives
            other._by_id[twin.node_id] = twin
            twin.start()
        return other

    # --- what may happen -------------------------------------------------------------------------------------------

    def enabled(self) -> list[Action]:
        """Return what may happen now, what has been possible for longest first."""
        found = [*self._deliveries(), *self._writes(), *self._blocks(), *self._looks(), *self._connects()]
        found += self._signs()
        if self.acts and self._may_act(self.acts[0], idle=not found):
            found.append(Action("act", "", self.acts[0].name))
        since, self._since = self._since, {}
        for action in found:
            at = since.get(action)
            if at is None:
                at = self._became
                self._became += 1
            self._since[action] = at
        return sorted(found, key=lambda action: self._since[action])

    def _deliveries(self) -> list[Action]:
        found: list[Action] = []
        for (one, other), near in self.connections.items():
            if near.peer.is_deliverable() and self.stalled.get((other, one), 1):
                found.append(Action("deliver", other, one))
            if near.is_deliverable() and self.stalled.get((one, other), 1):
                found.append(Action("deliver", one, other))
        return found

    def _writes(self) -> list[Action]:
        return [
            Action("commit", node.name, journal)
            for node in self.nodes.values()
            if node.is_up
            for journal in node.disk.ready()
        ]

    def _blocks(self) -> list[Action]:
        return [
            Action("block", node.name, "")
            for node in self.nodes.values()
            if node.is_up and (node.best != self.chain.tip or not node.synced)
        ]

    def _looks(self) -> list[Action]:
        return [
            Action("mempool", node.name, "")
            for node in self.nodes.values()
            if node.is_up and node.meets_peers and node.pool_news()
        ]

    def _signs(self) -> list[Action]:
        return [
            Action("sign", node.name, "") for node in self.nodes.values() if node.late is not None and node.late.waiting
        ]

    def _connects(self) -> list[Action]:
        return [
            Action("connect", one, other)
            for (one, other), is_open in self.links.items()
            if is_open
            and self.nodes[one].meets_peers
            and self.nodes[other].meets_peers
            and not self._is_connected(one, other)
        ]

    def _may_act(self, act: Act, *, idle: bool) -> bool:
        if not all(self.nodes[name].synced for name in act.nodes):
            return False
        return act.when == IN_TURN or (idle and (act.when == WHEN_IDLE or not self.waits_for_time()))

    def _is_connected(self, one: str, other: str) -> bool:
        near = self.connections.get((one, other))
        return near is not None and not (near.ended and near.peer.ended)

    def perform(self, action: Action) -> None:
        """Let it happen, and whatever follows from it inside the nodes."""
        self.steps += 1
        self.quiet_seconds = 0
        self.trace.append(" ".join(action))
        self._since.pop(action, None)
        if self.observer is not None:
            self.observer.before(action)
        match action.kind:
            case "deliver":
                self._deliver(action.node, action.subject, self.deliver_count)
            case "read":
                self._deliver(action.node, action.subject, 1)
            case "commit":
                self.nodes[action.node].disk.commit(action.subject)
            case "block":
                self._see_blocks(self.nodes[action.node])
            case "mempool":
                self.nodes[action.node].see_mempool()
            case "connect":
                self._connect(action.node, action.subject)
            case "sign":
                late = self.nodes[action.node].late
                assert late is not None, "it has something to sign"
                late.deliver_next()
            case "act":
                self.acts.popleft().run()
            case _:
                raise AssertionError(f"no action {action.kind}")
        self.settle()
        if self.observer is not None:
            self.observer.after(action)

    def _deliver(self, name: str, peer: str, count: int) -> None:
        left = self.stalled.get((name, peer))
        if left is not None:
            end = self.end_of(name, peer)
            count = min(count, left, len(end.arrived))
            self.stalled[(name, peer)] = left - count
        self.end_of(name, peer).deliver(count)

    def _see_blocks(self, node: SimNode) -> None:
        """A node takes a step along the chain, and more while it is behind what was mined quickly."""
        node.see_block()
        while node.best != self.chain.tip and node.best.height < self.quick_height:
            self.settle()
            node.see_block()
        self._note_commitments(node)

    def _note_commitments(self, node: SimNode) -> None:
        """Note what a node has seen closing its channels; a reorganisation may bring another commitment."""
        for slot in node.manager.channels.values():
            key = (node.name, slot.channel_id)
            found = confirmed.dust_msat(slot)
            if found:
                self.dust[key] = found
            else:
                self.dust.pop(key, None)
            operator = self.operated.get(confirmed.revoked_txid(slot))
            if operator is not None:
                ends = (node.name, self.node_of(slot.peer).name)
                self.cheats[slot.channel_id] = (operator, *[name for name in ends if name != operator])

    def reads(self) -> list[Action]:
        """Return where several messages wait that may also arrive one by one; `enabled` does not list these."""
        return [
            Action("read", action.node, action.subject)
            for action in self._deliveries()
            if len(self.end_of(action.node, action.subject).arrived) > 1
        ]

    def settle(self) -> None:
        """Run what the nodes have posted to themselves."""
        for node in self.nodes.values():
            node.life.run_posted()

    def end_of(self, name: str, peer: str) -> SimConnection:
        """Return the end at `name` of its connection with `peer`."""
        near = self.connections.get((name, peer))
        return near if near is not None else self.connections[(peer, name)].peer

    def _connect(self, one: str, other: str) -> None:
        near, far = self.nodes[one], self.nodes[other]
        end = connect((near.life, near.runtime, near.node_id), (far.life, far.runtime, far.node_id))
        self.connections[(one, other)] = end
        end.peer.announce()
        end.announce()

    # --- what the world does to them -------------------------------------------------------------------------------

    def cut(self, one: str, other: str) -> None:
        """Lose a connection, with what is on its way."""
        self.quiet_seconds = 0
        for pair in ((one, other), (other, one)):
            near = self.connections.pop(pair, None)
            self.stalled.pop(pair, None)
            if near is not None:
                near.cut()
        self.settle()

    def stall(self, one: str, other: str, after: int) -> None:
        """Let only so many messages more arrive on a connection, at each end, until it is cut."""
        if self._is_connected(one, other) or self._is_connected(other, one):
            self.stalled |= {(one, other): after, (other, one): after}

    def cut_all(self, node: SimNode) -> None:
        """Lose all connections of a node."""
        for one, other in list(self.connections):
            if node.name in (one, other):
                self.cut(one, other)

    def crash(self, name: str, kept: Mapping[str, int] | None = None) -> None:
        """Kill a node; each journal keeps that many of the records under way (none when not named)."""
        self.quiet_seconds = 0
        self.trace.append(f"crash {name} {dict(kept or {})}")
        self.nodes[name].crash(kept or {})
        self.settle()

    def restart(self, name: str, kept: Mapping[str, int] | None = None) -> None:
        """Kill a node and start it again."""
        self.crash(name, kept)
        self.nodes[name].start()
        self.settle()

    def broadcast(self, transaction: Transaction, what: str, name: str = "") -> BroadcastResult:
        """Offer a transaction, of a node, to the mempool."""
        return self.broadcast_package([transaction], what, name)

    def broadcast_package(self, transactions: Sequence[Transaction], what: str, name: str = "") -> BroadcastResult:
        """Offer parents and their child (last), of a node, to the mempool together."""
        chain = self.chain
        seen = chain
        if len(transactions) > 1:
            # The child is looked at over its parents, which may be too cheap to be in the mempool alone.
            seen = chain.copy()
            seen.set_mempool_feerate(0)
        for transaction in transactions:
            self.validate(seen, transaction)
            if seen is not chain:
                seen.offer(transaction)
            txid = transaction.txid()
            self.broadcasts.append((txid, what))
            if name not in self.disliked:
                self.left_out.pop(txid, None)
            elif txid not in chain.pool:
                self.left_out[txid] = name
        return chain.offer(transactions[0]) if len(transactions) == 1 else chain.offer_package(transactions)

    def mine(self, count: int = 1, *, quick: bool = False) -> None:
        """Mine blocks with all that miners take of what waits; each node sees them by an action of its own, or all of
        them by one (`quick`).
        """
        self.chain.mine(count, MINER_SCRIPT, drop=self.left_out)
        if quick:
            self.quick_height = self.chain.tip.height

    def reorganise(self, depth: int, *, without: bool = False) -> None:
        """Replace the last `depth` blocks by one more; their transactions are mined again, or wait (`without`)."""
        lost = [self.chain.block_at(self.chain.tip.height - back) for back in range(depth)]
        undone = [txid for block in lost if block is not None for txid in block.txids] if without else []
        self.chain.reorganise(depth, depth + 1, MINER_SCRIPT, without={*self.left_out, *undone})

    def evict(self) -> None:
        """The mempool loses all that waits there, but for coins that were granted."""
        for entry in self.chain.pool.entries():
            if not entry.granted:
                self.chain.evict(entry.txid)

    def set_fees(self, feerate_per_kw: int, minimum_per_kw: int) -> None:
        """All fees change: every node hears of the feerate; below the minimum the mempool evicts and refuses."""
        self.feerate_per_kw = self.chain.feerate_per_kw = feerate_per_kw
        self.chain.set_mempool_feerate(minimum_per_kw)
        for node in self.nodes.values():
            if node.is_up:
                node.hear_feerate()
        self.settle()

    def dislike(self, name: str, *, dislikes: bool) -> None:
        """Miners take nothing that a node publishes from now on; or they take all of it, also what they left out."""
        if dislikes:
            self.disliked[name] = None
            return
        self.disliked.pop(name, None)
        for txid in [txid for txid, whose in self.left_out.items() if whose == name]:
            del self.left_out[txid]

    def dust_msat(self, payment_hash: bytes) -> int:
        """Return what HTLCs of a hash are worth together that nobody takes of the commitments that have closed their
        channels; both ends of a channel know the same ones, if they know any.
        """
        by_channel: dict[bytes, int] = {}
        for (_name, channel_id), dust in self.dust.items():
            by_channel[channel_id] = max(by_channel.get(channel_id, 0), dust.get(payment_hash, 0))
        return sum(by_channel.values())

    def tick(self, seconds: int = 1) -> None:
        """Move the clock; every node's timers run each second."""
        for _ in range(seconds):
            self.clock.now_seconds += 1
            self.quiet_seconds += 1
            for node in self.nodes.values():
                if node.is_up:
                    node.life.run_timers()
                    node.runtime.on_second()
                    node.write_mark()
            self.settle()

    def waits_for_time(self) -> bool:
        """Return whether a timer will do something: a payment ends by its deadline, or its parts are given up."""
        for node in self.nodes.values():
            if not node.is_up:
                continue
            m = node.manager
            if any(one.status is ClaimableStatus.INCOMPLETE for one in m.claimables.values()) or node.life.has_timers():
                return True
            if any(self._is_timed(payment) for payment in m.node.ledger.payments.values()):
                return True
        return False

    def _is_timed(self, payment: OutboundPayment) -> bool:
        """Return whether the deadline of a payment is still to come; afterwards only its HTLCs can end it."""
        return payment.is_live and (not payment.parts or self.clock.now_seconds <= payment.started.deadline_seconds)

    def node_of(self, node_id: bytes) -> SimNode:
        """Return a node by its public key."""
        return self._by_id[node_id]
