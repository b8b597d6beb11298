"""Fingerprints of worlds by content: equal ones have the same future, and every oracle says the same of both.

What decides something is in it: what each journal holds and what is under way, what each node holds in memory and what
waits there, links, chain, what users have asked for and were told. Left out is what only counts or caches: positions of
records, lives, steps, seconds at which something was written, and the clock while nothing waits for it (`plain`).
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from leyden.base.ids import NODE_JOURNAL
from leyden.channel.core import ChannelCore
from leyden.channel.snapshot import encode_core
from leyden.journal.batch import StoredJournal
from leyden.journal.codec import decode_record
from leyden.journal.node_codec import decode_node_record
from leyden.manager import rebuild
from leyden.manager.manager import Manager
from leyden.manager.node_snapshot import decode_node_snapshot, encode_node_snapshot
from leyden.manager.state import NodeState
from leyden.node import boot
from leyden.node.runtime import Runtime
from leyden.sim.disk import SimDisk
from leyden.sim.network import SimConnection
from leyden.sim.node import SimNode
from leyden.sim.plain import Values, request_of
from leyden.sim.user import Order
from leyden.sim.world import World
from leyden.wallet.state import to_snapshot

DIGEST_BYTES = 16
CACHE_MAX = 200_000

_CHANNELS = attrgetter("_channels")


class Remembered(NamedTuple):
    """What decides nothing in a world: for it an oracle only finds more to be wrong.

    told: events, as (node, event_id), that were told in lives that still last: not to be told again there. must_close:
    channels (channel_id) that have to be closed at rest; whether they only may is part of the world. is_told_twice:
    something was told in a life, also one that is over, that had been told there; so all is lost already.
    """

    told: frozenset[tuple[str, str]]
    must_close: frozenset[bytes]
    is_told_twice: bool = False

    def without(self, node: str) -> "Remembered":
        """Return what is left of it when a node has crashed."""
        return self._replace(told=frozenset([one for one in self.told if one[0] != node]))

    def told_too(self, more: frozenset[tuple[str, str]]) -> "Remembered":
        """Return it with more that was told."""
        return self._replace(told=self.told | more, is_told_twice=self.is_told_twice or bool(self.told & more))

    def digest(self) -> bytes:
        """Return a digest."""
        return digest(sorted(self.told), sorted(self.must_close), self.is_told_twice)


def remembered(world: World) -> Remembered:
    """Return what is remembered of a world."""
    told = [(node.name, shown.life, shown.event.event_id) for node in world.nodes.values() for shown in node.shown]
    lasting = {name: node.lives for name, node in world.nodes.items() if node.is_up}
    told_there = frozenset([(name, event_id) for name, life, event_id in told if lasting.get(name) == life])
    must_close = frozenset([one for one, must in world.closes_asked.items() if must])
    return Remembered(told_there, must_close, len(set(told)) < len(told))


def digest(*parts: object) -> bytes:
    """Return the digest of plain values (numbers, strings, bytes, lists, frozen values)."""
    return blake2b(msgspec.msgpack.encode(parts), digest_size=DIGEST_BYTES).digest()


def core_digest(core: ChannelCore) -> bytes:
    """Return the digest of a channel's durable state, wherever in its journal it is."""
    position, core.position = core.position, 0
    encoded = encode_core(core)
    core.position = position
    return blake2b(encoded, digest_size=DIGEST_BYTES).digest()


def _timeless(record: Any) -> Any:
    """Return a record without the seconds at which it was made; deadlines stay."""
    times = {name: 0 for name in ("seconds", "created_seconds") if name in record.__struct_fields__}
    return msgspec.structs.replace(record, **times) if times else record


@lru_cache(maxsize=CACHE_MAX)
def _node_digest(encoded: bytes) -> bytes:
    records, _ = decode_node_snapshot(encoded)
    return digest([_timeless(record) for record in records])


def node_state_digest(state: NodeState) -> bytes:
    """Return the digest of the fold of the `node` journal, without the wallet."""
    return _node_digest(encode_node_snapshot(state, b""))


def in_memory(m: Manager) -> dict[str, bytes]:
    """Return the digests of what a manager holds of each journal."""
    held = {slot.tail.journal: core_digest(slot.state.core) for slot in m.channels.values()}
    held[NODE_JOURNAL] = node_state_digest(m.node)
    return held


class Fingerprints:
    """Makes fingerprints, and remembers those of journals and records that it has seen.

    held: what each node, when it was last looked at, had in memory of each journal.
    """

    def __init__(self) -> None:
        self.held: dict[str, dict[str, bytes]] = {}
        self._folds: dict[bytes, bytes] = {}
        self._records: dict[bytes, bytes] = {}

    # --- what is durable -------------------------------------------------------------------------------------------

    def journal(self, stored: StoredJournal, penalty_log: bytes) -> bytes:
        """Return the digest of what a journal folds to, and of the rows that justice needs, wherever they are."""
        name = digest(stored, penalty_log)
        known = self._folds.get(name)
        if known is None:
            if len(self._folds) > CACHE_MAX:
                self._folds.clear()
            known = self._folds[name] = _fold_digest(stored, penalty_log)
        return known

    def durable(self, disk: SimDisk, kept: Mapping[str, int] | None = None) -> list[tuple[str, bytes]]:
        """Return the digests of all journals after a crash that keeps that many of the records under way."""
        return [
            (stored.journal, self.journal(stored, disk.penalty_rows(stored.journal)))
            for stored in disk.journals_after(kept or {})
        ]

    def _record(self, journal: str, raw: bytes) -> bytes:
        known = self._records.get(raw)
        if known is None:
            if len(self._records) > CACHE_MAX:
                self._records.clear()
            record = decode_node_record(raw) if journal == NODE_JOURNAL else decode_record(raw)
            known = self._records[raw] = digest(_timeless(record))
        return known

    def _under_way(self, disk: SimDisk) -> list[object]:
        """Return what waits in each journal, in order; a snapshot or a removal waits among the records."""
        return [
            [
                journal,
                [] if write.append is None else [self._record(journal, raw) for raw in write.append.records],
                b"" if write.snapshot is None else write.snapshot.state,
                write.drop,
            ]
            for journal, write in disk.waiting()
        ]

    # --- a node ----------------------------------------------------------------------------------------------------

    def ledger(self, node: SimNode) -> bytes:
        """Return the digest of what outlives every crash beside the journals: what users were told, and the witness."""
        told = {shown.event.event_id: shown.event for shown in node.shown}
        reports = list(dict.fromkeys([report.text for report in node.reports if report.level == "error"]))
        witness = [
            [keys_id, keys.policy.highest_revoked, keys.policy.lowest_signed]
            for keys_id, keys in _CHANNELS(node.signer).items()
        ]
        user = [type(node.application).__name__, Values(node).of(vars(node.application))]
        events = [[event_id, type(event).__name__, event] for event_id, event in sorted(told.items())]
        return digest(events, reports, witness, user)

    def node(self, node: SimNode) -> bytes:
        """Return the digest of a node."""
        disk, values = node.disk, Values(node)
        refusing = [[journal, type(error).__name__] for journal, error in disk.refusing.items()]
        parts: list[object] = [
            node.name, self.durable(disk), self._under_way(disk), list(disk.held), refusing, self.ledger(node),
            node.best.hash, values.rest(node),
        ]  # fmt: skip
        if node.is_up:
            late = [] if node.late is None else [request_of(one) for one in node.late.waiting]
            held = self.held[node.name] = in_memory(node.manager)
            parts += [late, held, _manager(values, node.manager), _runtime(values, node.runtime)]
            parts.append(values.life(node.life))
        return digest(*parts)

    # --- the world -------------------------------------------------------------------------------------------------

    def world(self, world: World, orders: Sequence[Order], nodes: dict[str, bytes] | None = None) -> bytes:
        """Return the fingerprint of a world, with what is remembered of it."""
        return digest(self.future(world, orders, nodes), remembered(world).digest())

    def future(self, world: World, orders: Sequence[Order], nodes: dict[str, bytes] | None = None) -> bytes:
        """Return the digest of all that decides what may happen in a world, without what is only `Remembered`.

        nodes: digests that are known already; those that lack are added.
        """
        known = {} if nodes is None else nodes
        for name, node in world.nodes.items():
            if name not in known:
                known[name] = self.node(node)
        return digest(known, self.around(world, orders))

    def around(self, world: World, orders: Sequence[Order], lost: Sequence[tuple[str, str]] = ()) -> list[object]:
        """Return what is outside of the nodes. lost: connections that do not count."""
        links = [[pair, _end(near), _end(near.peer)] for pair, near in world.connections.items() if pair not in lost]
        return [
            links,
            Values(None).rest(world),
            [world.chain.tip.hash, list(world.chain.pool), world.chain.conditions()],
            [[act.name for act in world.acts], list(world.closes_asked)],
            [[order.started.payment_id, order.accepted] for order in orders],
            world.clock.now_seconds if world.waits_for_time() or _holds_forwards(world) else 0,
        ]


def _holds_forwards(world: World) -> bool:
    return any(node.is_up and bool(node.manager.held_forwards) for node in world.nodes.values())


def _fold_digest(stored: StoredJournal, penalty_log: bytes) -> bytes:
    if stored.journal != NODE_JOURNAL:
        core = rebuild.fold_channel(stored)
        return digest(core_digest(core), penalty_log + b"".join(core.penalty_rows))
    folded = rebuild.fold_journals([stored])
    return digest(node_state_digest(folded.node), to_snapshot(boot.fold_wallet(folded)))


def _end(end: SimConnection) -> list[object]:
    return [end.ended, vars(end)["_paused"], list(end.arrived)]


def _manager(values: Values, m: Manager) -> list[object]:
    return [
        values.rest(m),
        [values.slot(slot) for slot in m.channels.values()],
        [list(m.dirty), list(m.moved), list(m.acks)],
        [values.claimable(one) for one in m.claimables.values()],
        [values.payment(payment) for payment in m.node.ledger.payments.values()],
        [m.env.block_height, m.env.feerate_per_kw, m.env.closing_feerate_per_kw],
        sorted(vars(m.seen_onions)["_heights"]),
        len(m.faults),
        values.outbox(m.outbox),
    ]


def _runtime(values: Values, runtime: Runtime) -> list[object]:
    wallet = runtime.wallet
    coins = [wallet.snapshot(), wallet.unconfirmed_transactions(), list(vars(wallet)["_locks"])]
    return [values.rest(runtime), list(runtime.connections), coins]
