"""The BOLT 1 session of each peer, and the way of a message to the machine it is for."""

from collections.abc import Callable
from typing import Any

from leyden.base.errors import DecodeError, PeerViolation
from leyden.channel.inputs import Connected, Disconnected
from leyden.channel.states import Closed, ForceClosing, Spent, Stale
from leyden.crypto import ec
from leyden.crypto.hashes import sha256d
from leyden.journal.records import FundingAbandoned, PeerPolicy
from leyden.manager import batches, onions, opening, peer_storage, watchtowers
from leyden.manager.actions import Disconnect
from leyden.manager.channel_updates import DIRECTION_FLAG, DISABLED_FLAG, channel_update
from leyden.manager.config import CloseCause
from leyden.manager.manager import Manager
from leyden.manager.state import Peer, Slot
from leyden.wire.features import Context, Feature, FeatureVector
from leyden.wire.messages import (
    AcceptChannel,
    ChannelReady,
    ChannelReestablish,
    ChannelUpdate,
    ClosingSigned,
    CommitmentSigned,
    ErrorMessage,
    FundingCreated,
    FundingSigned,
    Init,
    OpenChannel,
    PeerStorage,
    Ping,
    Pong,
    RevokeAndAck,
    Shutdown,
    UnknownMessage,
    UpdateAddHtlc,
    UpdateFailHtlc,
    UpdateFailMalformedHtlc,
    UpdateFee,
    UpdateFulfillHtlc,
    WarningMessage,
    decode,
    encode,
)

PONG_BYTES_MAX = 65531
ALL_CHANNELS = bytes(32)
REPORTS_MAX = 20
"""Lines in the log that what a peer says may cause on one connection."""
UNKNOWN_CHANNELS_ANSWERED_MAX = 64
"""Answers about unknown channels on one connection; an honest peer needs one a channel."""
BITS_NAMED_MAX = 8
FEATURES_KEPT_MASK = (1 << 1024) - 1
DEAD = (ForceClosing, Stale, Spent, Closed)
LND_STOPS = "internal error"
"""All that LND says of a channel when it stops, or loses the connection, in the middle of a commitment (ADR 0014)."""
STOPS_MAX = 3
"""So often in a row, with no commitment in between, it means the channel."""
LINK_ERRORS = ("link failed", "sync error", LND_STOPS)

CHANNEL_MESSAGES = frozenset(
    {
        ChannelReestablish,
        ChannelReady,
        UpdateAddHtlc,
        UpdateFulfillHtlc,
        UpdateFailHtlc,
        UpdateFailMalformedHtlc,
        UpdateFee,
        CommitmentSigned,
        RevokeAndAck,
        Shutdown,
        ClosingSigned,
    }
)
"""What a channel's own machine takes in."""

NODE_FEATURES = FeatureVector.of(
    mandatory=(
        Feature.OPTION_DATA_LOSS_PROTECT,
        Feature.VAR_ONION_OPTIN,
        Feature.OPTION_STATIC_REMOTEKEY,
        Feature.PAYMENT_SECRET,
        Feature.OPTION_CHANNEL_TYPE,
    ),
    optional=(
        Feature.OPTION_UPFRONT_SHUTDOWN_SCRIPT,
        Feature.BASIC_MPP,
        Feature.OPTION_SUPPORT_LARGE_CHANNEL,
        Feature.OPTION_ANCHORS,
        Feature.OPTION_SHUTDOWN_ANYSEGWIT,
        Feature.OPTION_PROVIDE_STORAGE,
        Feature.OPTION_SCID_ALIAS,
        Feature.OPTION_ZEROCONF,
    ),
)
"""What this node offers. A feature is here when its code and tests are."""

INVOICE_FEATURES = FeatureVector.of(
    mandatory=(Feature.VAR_ONION_OPTIN, Feature.PAYMENT_SECRET), optional=(Feature.BASIC_MPP,)
)
INIT_FEATURES = NODE_FEATURES.restricted_to(Context.INIT).encode()


def on_connected(m: Manager, node_id: bytes) -> None:
    """A transport is up: say `init` (BOLT 1, "The `init` Message")."""
    if node_id in m.peers:
        on_disconnected(m, node_id)
    m.peers[node_id] = Peer(node_id)
    m.outbox.open_line(node_id)
    m.outbox.send_free(node_id, encode(Init(b"", INIT_FEATURES, (m.config.network.chain_hash,))))


def on_disconnected(m: Manager, node_id: bytes) -> None:
    """The transport is gone: messages die with it, channels forget what is volatile, openings end."""
    peer = m.peers.pop(node_id, None)
    m.outbox.close_line(node_id)
    if peer is None:
        return
    for pending in list(peer.openings.values()):
        opening.end(m, peer, pending, "the peer disconnected")
    for slot in m.channels_with(node_id):
        committed = slot.state.core.inbound
        slot.away_since = m.now_seconds
        m.guarded(slot, Disconnected())
        slot.peeled = {htlc_id: one for htlc_id, one in slot.peeled.items() if htlc_id in committed}


def on_message(m: Manager, node_id: bytes, raw: bytes) -> None:
    """Take in one whole message of a peer. Whatever the peer does wrong ends here, in one place.

    A bug of ours costs this channel, or this connection when it is in none, and nobody else.
    """
    peer = m.peers.get(node_id)
    if peer is None or peer.ending:
        return
    slot: Slot | None = None
    message: object = raw
    try:
        message = decode(raw)
        channel_id = getattr(message, "channel_id", None)
        slot = None if channel_id is None else m.channels.get(channel_id)
        if slot is not None and slot.peer != node_id:
            slot = None
        _dispatch(m, peer, slot, message)
    except DecodeError as error:
        m.report("peer", "warning", f"peer {node_id.hex()[:16]}: undecodable message: {error}")
        m.warn_peer(node_id, slot, f"undecodable message: {error}", disconnect=True)
    except PeerViolation as violation:
        m.on_violation(slot, node_id, violation)
    except Exception as bug:  # noqa: BLE001 - the one place where a message meets our bugs
        if slot is not None:
            m.halt(slot, message, bug)
        else:
            m.fault(bug)
            m.warn_peer(node_id, None, "internal error", disconnect=True)


def _dispatch(m: Manager, peer: Peer, slot: Slot | None, message: Any) -> None:
    kind: type[Any] = message.__class__
    if peer.features is None and kind not in (Init, ErrorMessage, WarningMessage):
        raise PeerViolation("a message before init")
    if slot is not None and kind in CHANNEL_MESSAGES:
        if kind is RevokeAndAck:
            watchtowers.on_revoke_and_ack(m, slot, message)
            m.moved[slot.channel_id] = slot
            return
        m.apply(slot, message)
        if kind is ChannelReestablish and peer.given_up:
            _close_given_up(m, peer, slot)
        if kind is UpdateAddHtlc and slot.state.session.has_received(message.id):
            # Peeled while the signature is still under way (the payer's clock runs).
            slot.peeled[message.id] = onions.peel(m, message.onion_routing_packet, message.payment_hash)
        return
    handler = _SESSION.get(kind)
    if handler is not None:
        handler(m, peer, message)
    elif kind in CHANNEL_MESSAGES:
        if kind is ChannelReady and opening.keep_ready(peer, message):
            return
        _unknown_channel(m, peer, message)
    elif kind is UnknownMessage:
        if not m.config.custom_messages(peer.node_id, message.type, message.payload) and message.is_even:
            raise PeerViolation(f"unknown even message {message.type}")
    elif not kind.TYPE & 1:
        # We can read it, but it belongs to a feature that we do not offer: as good as unknown.
        raise PeerViolation(f"{kind.__name__} without the feature it belongs to")


def _tell(m: Manager, peer: Peer, text: str) -> None:
    """Report what a peer says; one that says too much is not quoted any more on this connection."""
    peer.reports += 1
    if peer.reports < REPORTS_MAX:
        m.report("peer", "warning", f"peer {peer.node_id.hex()[:16]} {text}")
    elif peer.reports == REPORTS_MAX:
        m.report("peer", "warning", f"peer {peer.node_id.hex()[:16]} talks a lot; what else it says is not logged")


def _unknown_channel(m: Manager, peer: Peer, message: Any) -> None:
    """A channel that we do not know: the peer may have one that we forgot (BOLT 2, "Message Retransmission")."""
    if message.channel_id in m.unreadable:
        return  # an `error` would close a channel that a repaired journal can still save
    peer.unknown_channels += 1
    if peer.unknown_channels <= UNKNOWN_CHANNELS_ANSWERED_MAX:
        m.outbox.send_free(peer.node_id, encode(ErrorMessage(message.channel_id, b"unknown channel")))


def _on_init(m: Manager, peer: Peer, message: Init) -> None:
    """Compare features and networks, then bring the channels back (BOLT 1, "The `init` Message")."""
    if peer.features is not None:
        raise PeerViolation("a second init")
    features = FeatureVector.parse(message.globalfeatures).union(FeatureVector.parse(message.features))
    unsupported = features.unsupported_even_bits(NODE_FEATURES)
    if unsupported:
        more = f" and {len(unsupported) - BITS_NAMED_MAX} more" if len(unsupported) > BITS_NAMED_MAX else ""
        named = ", ".join(map(str, unsupported[:BITS_NAMED_MAX]))
        raise PeerViolation(f"init requires feature bits that we do not have: {named}{more}")
    missing = features.missing_dependencies()
    if missing:
        raise PeerViolation(f"init offers {missing[0][0].bolt_name} without {missing[0][1].bolt_name}")
    if message.networks and m.config.network.chain_hash not in message.networks:
        raise PeerViolation("init names other networks than ours")
    # A vector may fill a whole message; bits that high mean nothing to us, and there may be many peers.
    peer.features = FeatureVector(features.bitmap & FEATURES_KEPT_MASK)
    peer_storage.send_back(m, peer)
    for slot in m.channels_with(peer.node_id):
        m.guarded(slot, Connected())


def _on_error(m: Manager, peer: Peer, message: ErrorMessage) -> None:
    """The peer gives up a channel, or all that it has with us (BOLT 1, "The `error` and `warning` Messages")."""
    text = printable(message.data)
    _tell(m, peer, f"sent an error: {text}")
    if message.channel_id == ALL_CHANNELS:
        failed = m.channels_with(peer.node_id)
        for pending in list(peer.openings.values()):
            opening.end(m, peer, pending, f"the peer refused: {text}")
    else:
        slot = m.channels.get(message.channel_id)
        failed = [slot] if slot is not None and slot.peer == peer.node_id else []
        pending_opening = peer.openings.get(message.channel_id)
        if pending_opening is not None:
            opening.end(m, peer, pending_opening, f"the peer refused: {text}")
    for slot in failed:
        _fail_channel(m, peer, slot, text)


def _fail_channel(m: Manager, peer: Peer, slot: Slot, text: str) -> None:
    """Close a channel that the peer has given up, but not before its `channel_reestablish` of this connection: our
    store may be an old one, and then that message proves it (DESIGN section 6, "Restored stores").
    """
    core, reestablished = slot.state.core, slot.state.session.reestablished
    reason = f"the peer failed the channel: {text}"[:160]
    if isinstance(slot.state, DEAD):
        return
    if _is_about_the_link(slot, text):
        m.warn_peer(peer.node_id, slot, "try again", disconnect=True)
    elif not core.opened.is_opener and core.funding is None and not core.local_ready:
        # The opener has forgotten it, so it was never published: there is nothing to close.
        m.learn(slot, FundingAbandoned(f"the peer gave the channel up: {text}"[:160]))
    elif core.opened.funding_txid in m.unpublished:
        batches.abandon_unpublished(m, core.opened.funding_txid, reason)
    elif reestablished:
        m.force_close(slot, reason, CloseCause.PEER)
    elif peer.features is not None:
        peer.given_up[slot.channel_id] = reason
        name = slot.channel_id.hex()[:16]
        m.report("channel", "warning", f"channel {name} waits for channel_reestablish before it closes: {reason}")
        m.warn_peer(peer.node_id, slot, "closing needs your channel_reestablish first", disconnect=False)


def _is_about_the_link(slot: Slot, text: str) -> bool:
    """Return whether an error says that a connection goes wrong: a new one heals that, and deadlines guard the HTLCs
    until then.
    """
    core = slot.state.core
    if not slot.state.session.reestablished:
        return text.startswith(LINK_ERRORS)
    if text != LND_STOPS:
        return False
    numbers = (core.local.number, core.remote.number)
    slot.stops = slot.stops + 1 if numbers == slot.stopped_at else 1
    slot.stopped_at = numbers
    return slot.stops < STOPS_MAX


def _close_given_up(m: Manager, peer: Peer, slot: Slot) -> None:
    """The peer gave this channel up and has said where it stands: if that proves nothing against us, close."""
    reason = peer.given_up.pop(slot.channel_id, "")
    if reason and not isinstance(slot.state, DEAD):
        m.force_close(slot, reason, CloseCause.PEER)


def printable(data: bytes) -> str:
    """Return a peer's text with everything that is not printable ASCII replaced, cut to what a log line bears."""
    return "".join([chr(byte) if 32 <= byte < 127 else "?" for byte in data[:200]])


def _on_warning(m: Manager, peer: Peer, message: WarningMessage) -> None:
    _tell(m, peer, f"sent a warning: {printable(message.data)}")


def _on_ping(m: Manager, peer: Peer, message: Ping) -> None:
    if message.num_pong_bytes <= PONG_BYTES_MAX:
        m.outbox.send_free(peer.node_id, encode(Pong(bytes(message.num_pong_bytes))))


def _on_pong(_m: Manager, peer: Peer, _message: Pong) -> None:
    peer.pending_pongs = 0


def ping(m: Manager, node_id: bytes) -> None:
    """Ask a quiet peer for a sign of life; one that left the last two unanswered, or never said `init`, has to go."""
    peer = m.peers.get(node_id)
    if peer is None:
        return
    peer.pending_pongs += 1
    if peer.pending_pongs > 2:
        peer.ending = True
        m.actions.append(Disconnect(node_id, "it sends no init" if peer.features is None else "it answers no pings"))
    elif peer.features is not None:
        m.outbox.send_free(node_id, encode(Ping(1, b"")))


def _channel_named(m: Manager, peer: Peer, short_channel_id: int) -> Slot | None:
    """Return our channel with this peer that it names; by the real name also where others have to use an alias."""
    slot = m.channels.get(m.by_short_channel_id.get(short_channel_id, b""))
    if slot is not None and slot.peer == peer.node_id:
        return slot
    for one in m.channels_with(peer.node_id):
        funding = one.state.core.funding
        if funding is not None and funding.short_channel_id == short_channel_id:
            return one
    return None


def _on_channel_update(m: Manager, peer: Peer, message: ChannelUpdate) -> None:
    """The peer's policy for forwarding to us, for invoices' route hints (BOLT 7, "The `channel_update` Message")."""
    slot = _channel_named(m, peer, message.short_channel_id)
    if slot is None or message.chain_hash != m.config.network.chain_hash:
        return
    if message.channel_flags & DIRECTION_FLAG != (0 if peer.node_id < m.node_id else DIRECTION_FLAG):
        return
    known = slot.state.core.peer_policy
    if known is not None and message.timestamp <= known.timestamp:
        return
    signed = encode(message)
    if not ec.verify_ecdsa(peer.node_id, sha256d(signed[66:]), message.signature):
        raise PeerViolation("channel_update with a wrong signature")
    policy = PeerPolicy(
        message.short_channel_id,
        message.fee_base_msat,
        message.fee_proportional_millionths,
        message.cltv_expiry_delta,
        message.htlc_minimum_msat,
        message.htlc_maximum_msat,
        message.timestamp,
        bool(message.channel_flags & DISABLED_FLAG),
    )
    if known is None:
        # Ours may have come before the peer had the channel in its graph, and LND forgets such a one: its invoices
        # would not name us. Its own shows that it has the channel by now. Once in a channel's life: no echo.
        m.outbox.send(slot.peer, channel_update(m, slot), slot.tail)
    if known is None or _differs(known, policy):
        m.learn(slot, policy)


def _differs(one: PeerPolicy, other: PeerPolicy) -> bool:
    """Return whether anything but the time has changed; a repetition is no record."""
    return any(getattr(one, name) != getattr(other, name) for name in one.__struct_fields__ if name != "timestamp")


_SESSION: dict[type, Callable[[Manager, Peer, Any], None]] = {
    Init: _on_init,
    ErrorMessage: _on_error,
    WarningMessage: _on_warning,
    Ping: _on_ping,
    Pong: _on_pong,
    ChannelUpdate: _on_channel_update,
    PeerStorage: peer_storage.on_peer_storage,
    OpenChannel: opening.on_open_channel,
    AcceptChannel: opening.on_accept_channel,
    FundingCreated: opening.on_funding_created,
    FundingSigned: opening.on_funding_signed,
}
