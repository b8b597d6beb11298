"""Opening channels (v1): the volatile part before a journal exists, and the birth itself."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from leyden.base.errors import CommandRejected, PeerViolation
from leyden.bitcoin.script import p2wsh_of_script
from leyden.bitcoin.tx import Transaction
from leyden.channel import open_checks, opening_v1
from leyden.channel.build import channel_keys, remote_commitment
from leyden.channel.core import new_core
from leyden.channel.dispatch import apply
from leyden.channel.errors import InvalidOpen
from leyden.channel.inputs import BecomeReady
from leyden.channel.opening_v1 import (
    AcceptRequest,
    AwaitingAccept,
    AwaitingCreated,
    AwaitingFunding,
    AwaitingOthers,
    AwaitingSigned,
    Opening,
    OpenRequest,
    OwnOpening,
)
from leyden.channel.session import ConnectionOpened, ReestablishPassed
from leyden.journal.codec import encode_record
from leyden.journal.records import ChannelOpened
from leyden.manager import batches
from leyden.manager import events as ev
from leyden.manager.actions import FundChannels, ReleaseFunding, ShowEvent
from leyden.manager.config import InboundOpen
from leyden.manager.manager import Manager
from leyden.manager.state import Peer, Slot
from leyden.signer import requests
from leyden.signer.requests import Answer
from leyden.wire.channel_type import channel_type_from_bytes
from leyden.wire.features import Feature
from leyden.wire.messages import (
    AcceptChannel,
    ChannelReady,
    ErrorMessage,
    FundingCreated,
    FundingSigned,
    OpenChannel,
    encode,
)

REFUSAL_LENGTH_MAX = 200
UNFUNDED_CHANNELS_MAX = 200
"""Inbound channels of all peers together that wait for their funding."""
STATIC_REMOTEKEY_BITS = b"\x10\x00"
"""channel_type of a channel without anchors."""


def open_channel(m: Manager, request: OpenRequest) -> None:
    """Begin to open a channel to a connected peer. Raises: as `open_channels`."""
    open_channels(m, [request])


def open_channels(m: Manager, wanted: Sequence[OpenRequest]) -> None:
    """Begin to open channels that one transaction funds, all or none; more than one share a `batch_id`.

    Raises: CommandRejected: not connected, a peer cannot have this type, amounts that make no sense, too many at once.
    """
    if not 1 <= len(wanted) <= batches.MEMBERS_MAX:
        raise CommandRejected(f"one transaction funds 1 to {batches.MEMBERS_MAX} channels", code="bad_batch")
    begun: list[tuple[Peer, AwaitingAccept]] = []
    for request in wanted:
        try:
            begun.append(_begin(m, request))
        except CommandRejected as error:
            who = f"channel with {request.counterparty_node_id.hex()[:16]}: " if len(wanted) > 1 else ""
            raise CommandRejected(f"{who}{error.what}", code=error.code) from None
    for peer, state in begun:
        peer.openings[state.request.temporary_channel_id] = state
        m.outbox.send(peer.node_id, encode(state.sent), m.node_tail)


def _begin(m: Manager, request: OpenRequest) -> tuple[Peer, AwaitingAccept]:
    peer = m.peers.get(request.counterparty_node_id)
    if peer is None or peer.features is None:
        raise CommandRejected("not connected to this peer; connect first", code="not_connected")
    limits = m.config.limits
    if not limits.funding_satoshis_min <= request.funding_satoshis <= limits.funding_satoshis_max:
        raise CommandRejected(
            f"a channel holds {limits.funding_satoshis_min} to {limits.funding_satoshis_max} sat", code="bad_amount"
        )
    large = request.funding_satoshis > open_checks.FUNDING_SATOSHIS_WITHOUT_LARGE_CHANNEL_MAX
    if large and not peer.features.supports(Feature.OPTION_SUPPORT_LARGE_CHANNEL):
        raise CommandRejected("the peer does not take channels this large", code="peer_lacks_feature")
    if not request.channel_type.is_supported_by(peer.features):
        raise CommandRejected("the peer does not know this channel type", code="peer_lacks_feature")
    if not 0 <= request.push_msat <= request.funding_satoshis * 1000:
        raise CommandRejected("push_msat is more than the channel holds", code="bad_amount")
    points = m.signer.channel_basepoints(request.channel_keys_id)
    return peer, opening_v1.start_opening(request, points, m.env)


class Member(NamedTuple):
    """An opening of ours. channel_id: the one it has now, for the peer."""

    peer: Peer
    channel_id: bytes
    opening: OwnOpening


def members(peers: Iterable[Peer], funding_id: bytes) -> list[Member]:
    """Return the openings that one transaction is to fund."""
    found: list[Member] = []
    for peer in peers:
        for channel_id, pending in peer.openings.items():
            if not isinstance(pending, AwaitingCreated) and funding_id_of(pending) == funding_id:
                found.append(Member(peer, channel_id, pending))
    return found


def funding_id_of(pending: OwnOpening) -> bytes:
    """Return the name of the funding transaction of an opening."""
    match pending:
        case AwaitingAccept() | AwaitingFunding():
            return pending.request.funding_id
        case AwaitingSigned() | AwaitingOthers():
            return pending.funding_id


def on_accept_channel(m: Manager, peer: Peer, message: AcceptChannel) -> None:
    """The peer accepts: ask the wallet for the funding transaction."""
    state = peer.openings.get(message.temporary_channel_id)
    if not isinstance(state, AwaitingAccept):
        raise PeerViolation("accept_channel for no open_channel of ours")
    try:
        accepted = opening_v1.on_accept_channel(state, message, m.env)
    except InvalidOpen as refused:
        _refuse(m, peer, message.temporary_channel_id, refused.what)
        return
    peer.openings[message.temporary_channel_id] = accepted
    funding_id = state.request.funding_id
    batch = [one.opening for one in members(m.peers.values(), funding_id)]
    ready = [one for one in batch if isinstance(one, AwaitingFunding)]
    if len(ready) < len(batch):
        return
    m.actions.append(
        FundChannels(
            funding_id,
            tuple([(p2wsh_of_script(one.funding_script()), one.request.funding_satoshis) for one in ready]),
            len([one for one in ready if one.sent.channel_type != STATIC_REMOTEKEY_BITS]),
        )
    )


def funding_ready(m: Manager, funding_id: bytes, transaction: Transaction, output_indices: Sequence[int]) -> bool:
    """The wallet made the funding transaction: sign the first commitment of each peer. False when the opening is gone.

    output_indices: of the outputs that were asked for, in their order.
    """
    batch = members(m.peers.values(), funding_id)
    waiting = [one.opening for one in batch if isinstance(one.opening, AwaitingFunding)]
    if len(waiting) != len(output_indices):
        return False
    signed = opening_v1.list_members(
        [
            opening_v1.on_funding_transaction(state, transaction, output_index, m.env.block_height)
            for state, output_index in zip(waiting, output_indices, strict=True)
        ]
    )
    for (peer, temporary_channel_id, _), state in zip(batch, signed, strict=True):
        del peer.openings[temporary_channel_id]
        peer.openings[state.birth.channel_id] = state
        _send_created(m, peer, temporary_channel_id, state.birth)
    return True


def _send_created(m: Manager, peer: Peer, temporary_channel_id: bytes, birth: ChannelOpened) -> None:
    def complete(answer: Answer) -> bytes | None:
        if not isinstance(answer, requests.CounterpartyCommitmentSigned):
            return None
        return encode(
            FundingCreated(temporary_channel_id, birth.funding_txid, birth.funding_output_index, answer.signature)
        )

    m.outbox.send_signed(peer.node_id, m.node_tail, _sign_first(m, birth), complete)


def funding_failed(m: Manager, funding_id: bytes, reason: str) -> None:
    """The wallet could not make the transaction."""
    batch = members(m.peers.values(), funding_id)
    _tell(m, batch, reason)
    _forget(m, batch, reason)


def _sign_first(m: Manager, birth: ChannelOpened) -> requests.SignCounterpartyCommitment:
    core = new_core(birth)
    commitment = remote_commitment(channel_keys(birth), core.remote, core.remote_point)
    return requests.SignCounterpartyCommitment(m.outbox.next_request_id(), birth.channel_keys_id, commitment)


def on_funding_signed(m: Manager, peer: Peer, message: FundingSigned) -> None:
    """The peer's signature makes our money safe: with the last of its batch the channel is born, then published."""
    state = peer.openings.get(message.channel_id)
    if not isinstance(state, AwaitingSigned):
        raise PeerViolation("funding_signed for no funding_created of ours")
    try:
        opened = opening_v1.on_funding_signed(state, message, m.env)
    except InvalidOpen as refused:
        _refuse(m, peer, message.channel_id, refused.what)
        return
    peer.openings[message.channel_id] = AwaitingOthers(opened, state.funding_id, None)
    batch = members(m.peers.values(), state.funding_id)
    signed = [one.opening for one in batch if isinstance(one.opening, AwaitingOthers)]
    if len(signed) < len(batch):
        return
    for one in batch:
        del one.peer.openings[one.channel_id]
    slots = [_born(m, one.birth) for one in signed]
    batches.publish_when_durable(m, slots)
    for slot, waiting in zip(slots, signed, strict=True):
        if waiting.ready is not None:
            m.guarded(slot, waiting.ready)


def keep_ready(peer: Peer, message: ChannelReady) -> bool:
    """Keep a `channel_ready` until the channel is born; return whether it is one that waits for its batch."""
    waiting = peer.openings.get(message.channel_id)
    if not isinstance(waiting, AwaitingOthers):
        return False
    peer.openings[message.channel_id] = AwaitingOthers(waiting.birth, waiting.funding_id, message)
    return True


def on_open_channel(m: Manager, peer: Peer, message: OpenChannel) -> None:
    """A peer wants to open a channel: check, ask the hook, accept."""
    temporary_id = message.temporary_channel_id
    if message.chain_hash != m.config.network.chain_hash:
        _refuse(m, peer, temporary_id, "unknown chain")
        return
    if temporary_id in peer.openings:
        _refuse(m, peer, temporary_id, "this temporary_channel_id is in use")
        return
    unfunded = [one for one in peer.openings.values() if isinstance(one, AwaitingCreated)]
    waiting = [one.peer for one in m.channels.values() if waits_for_funding(one)]
    if len(unfunded) + waiting.count(peer.node_id) >= m.config.limits.unfunded_channels_per_peer:
        _refuse(m, peer, temporary_id, "too many channels of yours wait for their funding")
        return
    known = m.node.peers.get(peer.node_id)
    trusted = known is not None and known.trusted
    refusal = m.config.accept_hook(InboundOpen(peer.node_id, message, trusted))
    # Each costs a journal until its funding confirms, and node ids cost nothing.
    is_full = len(waiting) >= UNFUNDED_CHANNELS_MAX and not trusted
    if refusal or is_full or len(m.events) >= m.config.unacknowledged_events_max:
        _refuse(m, peer, temporary_id, refusal or "this node takes no new channels now")
        return
    try:
        state = _accept(m, peer, message, trusted=trusted)
    except InvalidOpen as invalid:
        _refuse(m, peer, temporary_id, invalid.what)
        return
    peer.openings[temporary_id] = state
    m.outbox.send(peer.node_id, encode(state.sent), m.node_tail)


def waits_for_funding(slot: Slot) -> bool:
    """Return whether a peer's channel has cost it nothing yet."""
    core = slot.state.core
    return core.funding is None and not (core.opened.is_opener or core.abandoned or core.spent or core.closed_height)


def _accept(m: Manager, peer: Peer, message: OpenChannel, *, trusted: bool) -> AwaitingCreated:
    assert peer.features is not None
    channel_type = channel_type_from_bytes(message.channel_type or b"")
    if channel_type is not None and not channel_type.is_supported_by(peer.features):
        raise InvalidOpen("channel_type needs features that your init does not offer")
    large = message.funding_satoshis > open_checks.FUNDING_SATOSHIS_WITHOUT_LARGE_CHANNEL_MAX
    if large and not peer.features.supports(Feature.OPTION_SUPPORT_LARGE_CHANNEL):
        raise InvalidOpen("funding_satoshis needs option_support_large_channel")
    keys_id = m.random32()
    zero_conf = trusted and channel_type is not None and channel_type.zeroconf
    request = AcceptRequest(
        minimum_depth=0 if zero_conf else m.config.limits.minimum_depth,
        channel_keys_id=keys_id,
        user_channel_id=keys_id[:16],
        upfront_shutdown_script=m.signer.shutdown_script_pubkey() if m.config.upfront_shutdown else b"",
        policy=m.config.policy,
    )
    return opening_v1.accept_opening(peer.node_id, message, request, m.signer.channel_basepoints(keys_id), m.env)


def on_funding_created(m: Manager, peer: Peer, message: FundingCreated) -> None:
    """The opener names the funding output and signs our first commitment: the channel is born before we answer."""
    state = peer.openings.get(message.temporary_channel_id)
    if not isinstance(state, AwaitingCreated):
        raise PeerViolation("funding_created for no accept_channel of ours")
    try:
        opened = opening_v1.on_funding_created(state, message, m.env.block_height, m.env)
    except InvalidOpen as refused:
        _refuse(m, peer, message.temporary_channel_id, refused.what)
        return
    del peer.openings[message.temporary_channel_id]
    if (
        opened.channel_id in m.channels
        or opened.channel_id in m.unreadable
        or f"channel/{opened.channel_id.hex()}" in m.node.archived
    ):
        raise PeerViolation("funding_created names the funding output of another channel")
    slot = _born(m, opened)

    def complete(answer: Answer) -> bytes | None:
        if not isinstance(answer, requests.CounterpartyCommitmentSigned):
            return None
        return encode(FundingSigned(opened.channel_id, answer.signature))

    m.outbox.send_signed(peer.node_id, slot.tail, _sign_first(m, opened), complete)


def _born(m: Manager, opened: ChannelOpened) -> Slot:
    """The first record of a journal."""
    state = opening_v1.born(opened)
    slot = m.add_channel(state, 0)
    slot.heard = True  # born in this life: there is no older copy of it
    apply(state, ConnectionOpened())
    apply(state, ReestablishPassed())
    m.outbox.append(slot.tail, encode_record(opened))
    if opened.minimum_depth == 0 and not opened.batch:
        m.after_verdicts.append(lambda: m.guarded(slot, BecomeReady(m.new_alias())))
    return slot


def _refuse(m: Manager, peer: Peer, channel_id: bytes, reason: str) -> None:
    """Tell the peer why with `error`, which ends this opening only, and the log."""
    m.report("channel", "info", f"opening with {peer.node_id.hex()[:16]} refused: {reason}")
    data = reason[:REFUSAL_LENGTH_MAX].encode("ascii", "replace")
    m.outbox.send_free(peer.node_id, encode(ErrorMessage(channel_id, data)))
    pending = peer.openings.get(channel_id)
    if pending is not None:
        end(m, peer, pending, reason)


def give_up(m: Manager, node_id: bytes, user_channel_id: bytes, reason: str) -> None:
    """The user waits no longer for an opening of ours; nothing is at stake before the funding is published."""
    peer = m.peers.get(node_id)
    for channel_id, pending in [] if peer is None else list(peer.openings.items()):
        match pending:
            case AwaitingAccept() | AwaitingFunding():
                named = pending.request.user_channel_id
            case AwaitingSigned() | AwaitingOthers():
                named = pending.birth.user_channel_id
            case AwaitingCreated():
                continue
        if peer is not None and named == user_channel_id:
            _refuse(m, peer, channel_id, reason)


def end(m: Manager, peer: Peer, pending: Opening, reason: str) -> None:
    """Forget an opening that came to nothing, with its batch; nothing was at stake. If it was ours, tell the user.

    The peers of the others are told, behind what they were sent: they may hold a channel that is never funded.
    """
    if isinstance(pending, AwaitingCreated):
        peer.openings = {key: value for key, value in peer.openings.items() if value is not pending}
        return
    others = [one for one in m.peers.values() if one is not peer]
    batch = members([peer, *others], funding_id_of(pending))
    if len(batch) > 1:
        # The others need not know who it was.
        _tell(m, [one for one in batch if one.opening is not pending], "another channel of its batch came to nothing")
        reason = f"the channel with {peer.node_id.hex()[:16]} came to nothing, and with it its batch: {reason}"
    _forget(m, batch, reason)


def _tell(m: Manager, batch: Iterable[Member], reason: str) -> None:
    data = reason[:REFUSAL_LENGTH_MAX].encode("ascii", "replace")
    for one in batch:
        m.outbox.send(one.peer.node_id, encode(ErrorMessage(one.channel_id, data)), m.node_tail)


def _forget(m: Manager, batch: Iterable[Member], reason: str) -> None:
    transaction = b""
    for one in batch:
        del one.peer.openings[one.channel_id]
        match one.opening:
            case AwaitingAccept() | AwaitingFunding():
                user_channel_id = one.opening.request.user_channel_id
            case AwaitingSigned() | AwaitingOthers():
                user_channel_id = one.opening.birth.user_channel_id
                transaction = one.opening.birth.funding_transaction
        m.actions.append(ShowEvent(ev.OpenRefused(f"refused/{user_channel_id.hex()}", user_channel_id, reason)))
    if transaction:
        m.actions.append(ReleaseFunding(transaction))
