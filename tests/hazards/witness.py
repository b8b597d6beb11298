"""A witness who looks at everything that leaves a node, and asks its disk whether it can be kept (invariant P1).

It reads messages on the way, events, and broadcasts, and compares them with the fold of what is durable at that moment:
what a crash right now would leave.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

from leyden.channel.core import ChannelCore
from leyden.crypto import ec
from leyden.journal.batch import StoredJournal
from leyden.manager import events as ev
from leyden.manager import rebuild
from leyden.manager.state import NodeState
from leyden.sim.node import SimNode
from leyden.sim.world import World
from leyden.wire.messages import (
    ChannelReady,
    ChannelReestablish,
    ClosingSigned,
    CommitmentSigned,
    FundingSigned,
    Message,
    RevokeAndAck,
    Shutdown,
    UpdateAddHtlc,
    UpdateFailHtlc,
    UpdateFulfillHtlc,
    decode,
)

MessageT = TypeVar("MessageT", bound=Message)


@lru_cache(maxsize=8192)
def _core(journal: str, position: int, state: bytes, records: tuple[bytes, ...]) -> ChannelCore:
    return rebuild.fold_channel(StoredJournal(journal, position, state, list(records)))


def durable_cores(node: SimNode) -> dict[bytes, ChannelCore]:
    """The channels of a node as a crash right now would leave them, by channel_id. Not to be changed."""
    cores = [
        _core(stored.journal, stored.position, stored.state, tuple(stored.records))
        for stored in node.disk.journals()
        if stored.journal != "node"
    ]
    return {core.opened.channel_id: core for core in cores}


def durable_node(node: SimNode) -> NodeState:
    """The node journal as a crash right now would leave it."""
    return rebuild.fold_journals([one for one in node.disk.journals() if one.journal == "node"]).node


def on_the_way(world: World, sender: str, receiver: str, kind: type[MessageT]) -> list[MessageT]:
    """Messages of a kind that have left and not arrived."""
    if not any(pair in world.connections for pair in ((sender, receiver), (receiver, sender))):
        return []
    waiting = [decode(raw) for raw in world.end_of(receiver, sender).arrived if raw is not None]
    return [message for message in waiting if isinstance(message, kind)]


class Witness:
    """Follows one world; `look` before every step. Raises AssertionError for what rests on nothing durable."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._shown = {name: len(node.shown) for name, node in world.nodes.items()}
        self._broadcasts = len(world.broadcasts)
        self.messages_seen = 0
        self._last: dict[tuple[str, str], bytes] = {}

    def look(self) -> None:
        """Check what has left since the last look."""
        for one, other in self.world.connections:
            self._look_at_line(one, other)
            self._look_at_line(other, one)
        for name, node in self.world.nodes.items():
            for shown in node.shown[self._shown[name] :]:
                self._check_event(node, shown.event)
            self._shown[name] = len(node.shown)
        for txid, what in self.world.broadcasts[self._broadcasts :]:
            self._check_broadcast(txid, what)
        self._broadcasts = len(self.world.broadcasts)

    def _look_at_line(self, sender: str, receiver: str) -> None:
        node = self.world.nodes[sender]
        waiting = self.world.end_of(receiver, sender).arrived
        if not waiting or not node.is_up or waiting[-1] is self._last.get((sender, receiver)):
            return
        cores = durable_cores(node)
        for raw in waiting:
            if raw is not None:
                self.messages_seen += 1
                self._last[(sender, receiver)] = raw
                self._check_message(node, cores, decode(raw))

    def _check_message(self, node: SimNode, cores: dict[bytes, ChannelCore], message: object) -> None:
        check = _CHECKS.get(type(message))
        if check is None:
            return
        core = cores.get(getattr(message, "channel_id"))  # noqa: B009 - each of those in the table has one
        what = f"{node.name} sent {type(message).__name__}"
        if core is None:
            raise AssertionError(f"{what} for a channel that is not durable")
        check(node, cores, core, message, what)

    def _check_event(self, node: SimNode, event: ev.Event) -> None:
        what, cores = f"{node.name} was told {event.event_id}", durable_cores(node)
        match event:
            case ev.PaymentClaimed():
                assert event.claim_id in durable_node(node).received, what
                holders = [core for core in cores.values() if event.claim_id in core.claims]
                for part in [part for core in holders for part in core.claims[event.claim_id].parts]:
                    htlc = cores[part.channel_id].inbound.get(part.htlc_id)
                    assert htlc is None or htlc.preimage, f"{what} before every part had it"
            case ev.PaymentSent():
                assert durable_node(node).ledger.payments[event.payment_id].sent is not None, what
            case ev.PaymentFailed():
                assert durable_node(node).ledger.payments[event.payment_id].failed is not None, what
            case ev.PaymentForwarded():
                assert event.event_id in cores[event.inbound_channel_id].forward_events, what
            case ev.PaymentClaimable():
                shown = [
                    core.inbound[htlc_id].add.amount_msat
                    for core in cores.values()
                    for one in core.shown.values()
                    if one.payment_hash == event.payment_hash
                    for htlc_id in one.htlc_ids
                ]
                assert sum(shown) == event.amount_msat, f"{what} before the verdict of every part was durable"
            case ev.ChannelReady() | ev.ChannelClosed() | ev.ChannelDataLoss() | ev.SpendableOutputs():
                assert event.event_id in cores[event.channel_id].events, what
            case _:
                pass

    def _check_broadcast(self, txid: bytes, what: str) -> None:
        cores = [core for node in self.world.nodes.values() for core in durable_cores(node).values()]
        match what:
            case "funding":
                born = [core for core in cores if core.opened.funding_txid == txid and core.opened.is_opener]
                assert born, what
                known = {core.opened.channel_id for core in born}
                assert all(known.issuperset(core.opened.batch) for core in born), f"{what} before all were durable"
                assert not any(core.abandoned for core in born), f"{what} of an abandoned batch"
            case "force-close":
                assert any(core.closing is not None for core in cores), what
            case "cooperative close":
                assert any(core.close_agreed is not None for core in cores), what
            case _:
                pass


def _fulfil(
    node: SimNode, cores: dict[bytes, ChannelCore], core: ChannelCore, message: UpdateFulfillHtlc, what: str
) -> None:
    del node
    htlc = core.inbound.get(message.id)
    assert htlc is not None, what
    assert htlc.preimage == message.payment_preimage, f"{what} before the preimage was durable"
    claim = core.claims.get(htlc.claim_id)
    for part in claim.parts if claim is not None else ():
        other = cores[part.channel_id].inbound.get(part.htlc_id)
        assert other is None or other.preimage, f"{what} before all parts of the claim were durable"


def _fail(
    node: SimNode, cores: dict[bytes, ChannelCore], core: ChannelCore, message: UpdateFailHtlc, what: str
) -> None:
    del node
    htlc = core.inbound.get(message.id)
    assert htlc is not None, what
    assert htlc.failure is not None, f"{what} before the failure was durable"
    carried = [
        one.add.source
        for other in cores.values()
        for one in other.outbound.values()
        if one.add.source is not None
        and one.add.source.origin == core.opened.channel_id
        # What the chain has decided stays in the state of the closed channel.
        and one.add.htlc_id not in other.onchain_failed
    ]
    assert message.id not in [source.index for source in carried if source.forwarded], (
        f"{what} while it may still be claimed where it went on, as far as is durable"
    )
    assert htlc.failure.reason == message.reason, f"{what} with other bytes than those that are durable"


def _add(node: SimNode, cores: dict[bytes, ChannelCore], core: ChannelCore, message: UpdateAddHtlc, what: str) -> None:
    htlc = core.outbound.get(message.id)
    assert htlc is not None, f"{what} before its signature was durable"
    assert htlc.add.payment_hash == message.payment_hash, what
    source = htlc.add.source
    assert source is not None
    if source.forwarded:
        inbound = cores[source.origin].inbound.get(source.index)
        assert inbound is not None, what
        assert inbound.committed, f"{what} before the inbound HTLC was irrevocable, durably"
    else:
        assert source.origin in durable_node(node).ledger.payments, f"{what} before the payment was durable"


def _commitment(
    node: SimNode, cores: dict[bytes, ChannelCore], core: ChannelCore, message: CommitmentSigned, what: str
) -> None:
    del node, cores, message
    assert core.awaiting_revocation, f"{what} before the record of it was durable"


def _revocation(
    node: SimNode, cores: dict[bytes, ChannelCore], core: ChannelCore, message: RevokeAndAck, what: str
) -> None:
    del cores
    revoked = ec.public_key(message.per_commitment_secret)
    assert revoked == node.signer.per_commitment_point(core.opened.channel_keys_id, core.local.number - 1), (
        f"{what} for another commitment than the one before the newest durable one"
    )


def _reestablish(
    node: SimNode, cores: dict[bytes, ChannelCore], core: ChannelCore, message: ChannelReestablish, what: str
) -> None:
    del node, cores
    assert message.next_commitment_number == core.local.number + 1, f"{what} with a number that is not durable"


def _ready(node: SimNode, cores: dict[bytes, ChannelCore], core: ChannelCore, message: ChannelReady, what: str) -> None:
    del node, cores, message
    assert core.local_ready, f"{what} before its record was durable"


def _funding_signed(
    node: SimNode, cores: dict[bytes, ChannelCore], core: ChannelCore, message: FundingSigned, what: str
) -> None:
    del node, cores, core, message, what  # that the channel is durable was looked at


def _shutdown(node: SimNode, cores: dict[bytes, ChannelCore], core: ChannelCore, message: Shutdown, what: str) -> None:
    del node, cores
    assert core.local_shutdown_script == message.scriptpubkey, f"{what} with a script that is not durable"


def _closing(
    node: SimNode, cores: dict[bytes, ChannelCore], core: ChannelCore, message: ClosingSigned, what: str
) -> None:
    del node, cores, message
    assert core.local_shutdown_script, what
    assert core.remote_shutdown_script, what
    assert not core.has_pending_htlcs(), f"{what} before the last change of a commitment was durable"


_CHECKS: dict[type, Callable[..., None]] = {
    UpdateFulfillHtlc: _fulfil,
    UpdateFailHtlc: _fail,
    UpdateAddHtlc: _add,
    CommitmentSigned: _commitment,
    RevokeAndAck: _revocation,
    ChannelReestablish: _reestablish,
    ChannelReady: _ready,
    FundingSigned: _funding_signed,
    Shutdown: _shutdown,
    ClosingSigned: _closing,
}
