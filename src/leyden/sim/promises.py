"""Durable before visible: whatever a node says, a copy that starts from its disk at that moment can stand by it.

At each message and event that leaves, the sender's durable journals are folded, and asked what a peer or a user would
ask after a crash: the answer to the peer's next `channel_reestablish` must be neither a close nor a confession, what an
update says must be decided, what an event tells must be known. And a preimage that once was durable for an HTLC stays
durable somewhere in the node until that HTLC is gone.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from leyden.base.errors import PeerViolation
from leyden.base.ids import NODE_JOURNAL
from leyden.channel.core import ChannelCore
from leyden.channel.dispatch import decide
from leyden.channel.effects import FailPeer
from leyden.channel.states import AwaitingReady, ChannelState, Negotiating, Normal, ShuttingDown
from leyden.crypto.hashes import sha256
from leyden.crypto.shachain import index_of_commitment
from leyden.journal.batch import StoredJournal
from leyden.journal.records import Claim
from leyden.manager import events as ev
from leyden.manager import rebuild
from leyden.manager.state import NodeState
from leyden.sim.fingerprint import core_digest, digest, in_memory, node_state_digest
from leyden.sim.network import SimConnection
from leyden.sim.node import SimNode
from leyden.sim.oracles import Violation
from leyden.sim.world import Action, World
from leyden.wire.messages import (
    ChannelReestablish,
    CommitmentSigned,
    Message,
    RevokeAndAck,
    UnknownMessage,
    UpdateAddHtlc,
    UpdateFailHtlc,
    UpdateFailMalformedHtlc,
    UpdateFulfillHtlc,
    decode,
)

FOLDS_MAX = 3_000
Htlc = tuple[bytes, int]
_TALKING = (AwaitingReady, Normal, ShuttingDown, Negotiating)


class Durable(msgspec.Struct):
    """What the journals of a node fold to. name: stands for their content."""

    name: bytes
    channels: dict[bytes, ChannelState]
    node: NodeState

    def cores(self) -> Iterator[ChannelCore]:
        """Yield every channel."""
        for state in self.channels.values():
            yield state.core

    def claims(self) -> Iterator[Claim]:
        """Yield every claim that some journal holds."""
        for core in self.cores():
            yield from core.claims.values()

    def promised(self) -> dict[Htlc, bytes]:
        """Return the inbound HTLCs, as (channel_id, htlc_id), whose preimage some journal knows, each with the claim_id
        of the claim that lists it.
        """
        found: dict[Htlc, bytes] = {}
        for core in self.cores():
            channel_id = core.opened.channel_id
            found |= {(channel_id, htlc_id): b"" for htlc_id, htlc in core.inbound.items() if htlc.preimage}
            found |= {
                (one.source.origin, one.source.index): b""
                for one in core.outcomes.values()
                if one.removal.preimage and one.source.forwarded
            }
        found |= {(part.channel_id, part.htlc_id): claim.claim_id for claim in self.claims() for part in claim.parts}
        return found

    def has_given_up(self, claim_id: bytes) -> bool:
        """Return whether some journal says that a claim was given up, and owes the event of it."""
        return any(f"claim_abandoned/{claim_id.hex()}" in core.events for core in self.cores())

    def undecided(self) -> dict[Htlc, None]:
        """Return the inbound HTLCs that are there and that no record fails."""
        return {
            (core.opened.channel_id, htlc_id): None
            for core in self.cores()
            for htlc_id, htlc in core.inbound.items()
            if htlc.failure is None
        }


class Mark(msgspec.Struct, frozen=True):
    """A moment: how many messages were on their way to each end, events shown, and what each moving node promised."""

    arrived: Mapping[tuple[str, str], int]
    shown: Mapping[str, int]
    promised: Mapping[str, Mapping[Htlc, bytes]]


class Promises:
    """Looks at a world before and after something happens. What was checked once is not checked again."""

    def __init__(self) -> None:
        self._folds: dict[bytes, ChannelState | NodeState] = {}
        self._written: dict[bytes, bytes] = {}
        self._checked: dict[bytes, None] = {}

    def durable(self, node: SimNode) -> Durable:
        """Fold what is durable."""
        names: list[bytes] = []
        channels: dict[bytes, ChannelState] = {}
        state = NodeState()
        for stored in node.disk.journals():
            name = digest(stored)
            names.append(name)
            folded = self._folds.get(name)
            if folded is None:
                if len(self._folds) > FOLDS_MAX:
                    self._folds.clear()
                folded = self._folds[name] = _fold(stored)
            if isinstance(folded, NodeState):
                state = folded
            else:
                channels[folded.core.opened.channel_id] = folded
        return Durable(digest(names), channels, state)

    def mark(self, world: World, writing: Sequence[str] = ()) -> Mark:
        """Note where things stand. writing: nodes whose durable state may change."""
        return Mark(
            {pair: len(end.arrived) for pair, end in _ends(world)},
            {name: len(node.shown) for name, node in world.nodes.items()},
            {name: self.durable(world.nodes[name]).promised() for name in writing},
        )

    def check(self, world: World, mark: Mark) -> None:
        """Check what has been said since. Raises: Violation."""
        wrong: list[str] = []
        for (name, sender), end in _ends(world):
            first = mark.arrived.get((name, sender), 0)
            for index in range(first, len(end.arrived)):
                wrong += self._message(world.nodes[sender], world.nodes[name], list(end.arrived)[: index + 1])
        for name, node in world.nodes.items():
            for shown in node.shown[mark.shown.get(name, 0) :]:
                durable = self.durable(node)
                if self._is_new(durable.name, shown.event.event_id):
                    wrong += [
                        f"{name} told {shown.event.event_id}: {what}" for what in event_rests(durable, shown.event)
                    ]
        for name, promised in mark.promised.items():
            durable = self.durable(world.nodes[name])
            wrong += [f"{name}: {what}" for what in preimages_lost(promised, durable)]
        if wrong:
            raise Violation("\n".join(wrong))

    def check_folds(self, node: SimNode, held: Mapping[str, bytes] | None = None) -> None:
        """Compare what a node holds in memory with the fold of all that it has written. Raises: Violation.

        held: digests of the former, when they are known (`fingerprint.in_memory`).
        """
        if not node.is_up or node.runtime.broken is not None or vars(node.runtime)["_refused"]:
            return  # what a store has refused is in memory alone
        held = in_memory(node.manager) if held is None else held
        for stored in node.disk.journals_after(node.disk.under_way()):
            if stored.journal in node.manager.node.archived:
                continue  # it only waits to be removed
            name = digest(stored)
            folded = self._written.get(name)
            if folded is None:
                if len(self._written) > FOLDS_MAX:
                    self._written.clear()
                folded = self._written[name] = _state_digest(_fold(stored))
            if folded != held.get(stored.journal):
                raise Violation(f"{node.name}: {stored.journal} folds to another state than the one in memory")

    def _is_new(self, *what: object) -> bool:
        key = digest(what)
        if key in self._checked:
            return False
        self._checked[key] = None
        return True

    def _message(self, sender: SimNode, receiver: SimNode, sent: list[bytes | None]) -> Iterator[str]:
        raw = sent[-1]
        if raw is None or not sender.is_up:
            return
        durable = self.durable(sender)
        message = decode(raw)
        channel_id = getattr(message, "channel_id", b"")
        if isinstance(message, UnknownMessage) or channel_id not in sender.manager.channels:
            return
        what = f"{sender.name} sent {receiver.name} {type(message).__name__}"
        state = durable.channels.get(channel_id)
        if state is None:
            yield f"{what}, and the channel's birth is not durable"
        elif isinstance(message, CommitmentSigned | RevokeAndAck) and receiver.is_up:
            slot = receiver.manager.channels.get(channel_id)
            if slot is None or not isinstance(state, _TALKING):
                return
            asked = reestablish_after(slot.state.core, sent)
            if self._is_new(durable.name, channel_id, asked.next_commitment_number, asked.next_revocation_number):
                yield from (f"{what}: {wrong}" for wrong in answer_to(sender, state, asked))
        elif self._is_new(durable.name, raw):
            yield from (f"{what}: {wrong}" for wrong in update_rests(durable, state.core, message))


def _fold(stored: StoredJournal) -> ChannelState | NodeState:
    folded = rebuild.fold_journals([stored])
    return folded.node if stored.journal == NODE_JOURNAL else folded.channels[0]


def _state_digest(state: ChannelState | NodeState) -> bytes:
    return node_state_digest(state) if isinstance(state, NodeState) else core_digest(state.core)


def _ends(world: World) -> Iterator[tuple[tuple[str, str], SimConnection]]:
    """Yield the end of each connection at a node, as ((node, peer), end)."""
    for (one, other), near in world.connections.items():
        yield (one, other), near
        yield (other, one), near.peer


def reestablish_after(core: ChannelCore, sent: Sequence[bytes | None]) -> ChannelReestablish:
    """Return what a node with this channel would say on its next connection, once all of `sent` has arrived."""
    number, revoked = core.local.number, core.remote.number if core.remote_prior is None else core.remote_prior.number
    secret = core.secrets.get(index_of_commitment(revoked - 1)) if revoked else bytes(32)
    for raw in sent:
        message = None if raw is None else decode(raw)
        if isinstance(message, CommitmentSigned) and message.channel_id == core.opened.channel_id:
            number += 1
        elif isinstance(message, RevokeAndAck) and message.channel_id == core.opened.channel_id:
            revoked += 1
            secret = message.per_commitment_secret
    return ChannelReestablish(core.opened.channel_id, number + 1, revoked, secret, core.remote_point)


def answer_to(sender: SimNode, state: ChannelState, asked: ChannelReestablish) -> Iterator[str]:
    """Let a copy that knows only what is durable answer a peer that knows what was sent."""
    try:
        decision = decide(state, asked, sender.manager.env)
    except PeerViolation as violation:
        yield f"after a crash it would not know what it sent: {violation.what}"
        return
    if decision.records:
        yield f"after a crash it would be behind: {decision.records}"
    yield from (f"after a crash it would fail: {one.reason}" for one in decision.effects if isinstance(one, FailPeer))


def update_rests(durable: Durable, core: ChannelCore, message: Message) -> Iterator[str]:
    """What an update says is decided durably, in every journal that it rests on."""
    channel_id = core.opened.channel_id
    match message:
        case UpdateAddHtlc(id=htlc_id):
            yield from _add_rests(durable, core, htlc_id)
        case UpdateFulfillHtlc(id=htlc_id):
            htlc = core.inbound.get(htlc_id)
            if htlc is not None and not htlc.preimage:
                yield "no record says that it is fulfilled"
            for claim in core.claims.values():
                if any((part.channel_id, part.htlc_id) == (channel_id, htlc_id) for part in claim.parts):
                    yield from _claim_is_whole(durable, claim)
        case UpdateFailHtlc(id=htlc_id) | UpdateFailMalformedHtlc(id=htlc_id):
            htlc = core.inbound.get(htlc_id)
            if htlc is not None and htlc.failure is None:
                yield "no record says that it fails"
        case _:
            pass


def _add_rests(durable: Durable, core: ChannelCore, htlc_id: int) -> Iterator[str]:
    htlc = core.outbound.get(htlc_id)
    if htlc is None:
        if htlc_id >= core.next_outbound_id:
            yield "no record holds the HTLC"
        return
    source = htlc.add.source
    assert source is not None, "what we offer has a source"
    if not source.forwarded:
        if source.origin not in durable.node.ledger.payments:
            yield "the payment is not recorded"
        return
    inbound = durable.channels.get(source.origin)
    if inbound is None:
        return  # archived
    came = inbound.core.inbound.get(source.index)
    if came is None and source.index >= inbound.core.next_inbound_id:
        yield "the HTLC that it forwards is not recorded"
    elif came is not None and not came.committed:
        yield "the HTLC that it forwards is not irrevocable"


def _claim_is_whole(durable: Durable, claim: Claim) -> Iterator[str]:
    if claim.claim_id in durable.node.received:
        return
    for part in claim.parts:
        state = durable.channels.get(part.channel_id)
        if state is not None and claim.claim_id not in state.core.claims:
            yield f"its claim is not durable in channel {part.channel_id.hex()[:8]}"


def event_rests(durable: Durable, event: ev.Event) -> Iterator[str]:
    """What an event tells would be known after a crash."""
    payments, cores = durable.node.ledger.payments, durable.channels
    known = True
    match event:
        case ev.PaymentSent(payment_id=payment_id):
            known = payment_id in payments and payments[payment_id].sent is not None
        case ev.PaymentFailed(payment_id=payment_id):
            known = payment_id in payments and payments[payment_id].failed is not None
        case ev.PaymentClaimed(claim_id=claim_id):
            known = claim_id in durable.node.received
        case ev.PaymentClaimable(set_id=set_id):
            known = set_id in _shown_sets(durable)
        case ev.PaymentForwarded(inbound_channel_id=channel_id, event_id=event_id):
            known = channel_id in cores and event_id in cores[channel_id].core.forward_events
        case (
            ev.ChannelReady(channel_id=channel_id, event_id=event_id)
            | ev.ChannelClosed(channel_id=channel_id, event_id=event_id)
        ):
            known = channel_id in cores and event_id in cores[channel_id].core.events
        case _:
            pass
    if not known:
        yield "no durable record says so"


def _shown_sets(durable: Durable) -> list[bytes]:
    """Return the names that questions about all sets of HTLCs have whose verdicts are durable: a missing part shows."""
    parts: dict[bytes, list[Htlc]] = {}
    for core in durable.cores():
        for shown in core.shown.values():
            held = parts.setdefault(shown.set_id, [])
            held += [(core.opened.channel_id, htlc_id) for htlc_id in shown.htlc_ids if htlc_id in core.inbound]
    names = [
        [channel_id + htlc_id.to_bytes(8, "big") for channel_id, htlc_id in sorted(held)] for held in parts.values()
    ]
    return [sha256(b"".join(name)) for name in names]


def preimages_lost(promised: Mapping[Htlc, bytes], durable: Durable) -> Iterator[str]:
    """A preimage that was durable for an HTLC stays so while the HTLC is there, or its claim was given up."""
    still = durable.promised()
    for htlc in durable.undecided():
        if htlc in promised and htlc not in still and not durable.has_given_up(promised[htlc]):
            yield f"no journal knows the preimage of HTLC {htlc[1]} of channel {htlc[0].hex()[:8]} any more"


class Watcher:
    """An `Observer` that looks for broken promises at every action."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._promises = Promises()
        self._mark = self._promises.mark(world)

    def before(self, action: Action) -> None:
        """Note where things stand."""
        self._mark = self._promises.mark(self._world, [action.node] if action.kind == "commit" else [])

    def after(self, action: Action) -> None:
        """Check what has been said, and what was written. Raises: Violation."""
        self._promises.check(self._world, self._mark)
        for name in [action.node] if action.node else list(self._world.nodes):
            self._promises.check_folds(self._world.nodes[name])
