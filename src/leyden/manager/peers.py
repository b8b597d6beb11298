"""The BOLT 1 session of each peer, and the way of a message to the machine it is for."""

from collections.abc import Callable
from typing import Any

from leyden.base.errors import DecodeError, PeerViolation
from leyden.channel.inputs import Connected, Disconnected, ForceClose
from leyden.crypto import ec
from leyden.crypto.hashes import sha256d
from leyden.journal.records import PeerPolicy
from leyden.manager import opening, receiving
from leyden.manager.actions import Disconnect
from leyden.manager.manager import Manager
from leyden.manager.state import Peer, Slot
from leyden.wire.features import Context, Feature, FeatureVector
from leyden.wire.messages import (
    AcceptChannel,
    ChannelUpdate,
    ErrorMessage,
    FundingCreated,
    FundingSigned,
    Init,
    OpenChannel,
    Ping,
    Pong,
    RevokeAndAck,
    UnknownMessage,
    UpdateAddHtlc,
    WarningMessage,
    decode,
    encode,
)

PONG_BYTES_MAX = 65531
ALL_CHANNELS = bytes(32)

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
        Feature.OPTION_SCID_ALIAS,
        Feature.OPTION_ZEROCONF,
    ),
)
"""What this node offers. A feature is here when its code and tests are."""

INVOICE_FEATURES = FeatureVector.of(
    mandatory=(Feature.VAR_ONION_OPTIN, Feature.PAYMENT_SECRET), optional=(Feature.BASIC_MPP,)
)


def on_connected(m: Manager, node_id: bytes) -> None:
    """A transport is up: say `init` (BOLT 1, "The `init` Message")."""
    if node_id in m.peers:
        on_disconnected(m, node_id)
    m.peers[node_id] = Peer(node_id)
    m.outbox.open_line(node_id)
    features = NODE_FEATURES.restricted_to(Context.INIT).encode()
    m.outbox.send_free(node_id, encode(Init(b"", features, (m.config.network.chain_hash,))))


def on_disconnected(m: Manager, node_id: bytes) -> None:
    """The transport is gone: messages die with it, channels forget what is volatile, openings end."""
    peer = m.peers.pop(node_id, None)
    m.outbox.close_line(node_id)
    if peer is None:
        return
    for pending in list(peer.openings.values()):
        opening.end(m, peer, pending, "the peer disconnected")
    for slot in list(m.channels.values()):
        if slot.peer == node_id:
            committed = slot.state.core.inbound
            m.guarded(slot, Disconnected())
            slot.peeled = {htlc_id: one for htlc_id, one in slot.peeled.items() if htlc_id in committed}


def on_message(m: Manager, node_id: bytes, raw: bytes) -> None:
    """Take in one whole message of a peer. Whatever the peer does wrong ends here, in one place."""
    peer = m.peers.get(node_id)
    if peer is None:
        return
    slot: Slot | None = None
    try:
        message = decode(raw)
        channel_id = getattr(message, "channel_id", None)
        slot = None if channel_id is None else m.channels.get(channel_id)
        if slot is not None and slot.peer != node_id:
            slot = None
        _dispatch(m, peer, slot, message)
    except DecodeError as error:
        m.report("warning", f"peer {node_id.hex()[:16]}: undecodable message: {error}")
        m.warn_peer(node_id, slot, f"undecodable message: {error}", disconnect=True)
    except PeerViolation as violation:
        m.on_violation(slot, node_id, violation)
    except AssertionError as bug:
        if slot is None:
            raise
        m.halt(slot, f"assertion failed on {type(message).__name__}: {bug}")


def _dispatch(m: Manager, peer: Peer, slot: Slot | None, message: Any) -> None:
    kind = type(message)
    if peer.features is None and kind not in (Init, ErrorMessage, WarningMessage):
        raise PeerViolation("a message before init")
    if slot is not None and kind not in _SESSION:
        m.apply(slot, message)
        if kind is RevokeAndAck:
            m.moved[slot.channel_id] = slot
        if kind is UpdateAddHtlc and not slot.halted:
            # Peeled while the signature is still under way (the payer's clock runs).
            slot.peeled[message.id] = receiving.peel(m, message.onion_routing_packet, message.payment_hash)
        return
    handler = _SESSION.get(kind)
    if handler is not None:
        handler(m, peer, message)
    elif kind is UnknownMessage and message.is_even:
        raise PeerViolation(f"unknown even message {message.type}")
    elif hasattr(message, "channel_id"):
        _unknown_channel(m, peer, message)


def _unknown_channel(m: Manager, peer: Peer, message: Any) -> None:
    """A channel that we do not know: the peer may have one that we forgot (BOLT 2, "Message Retransmission")."""
    data = b"unknown channel"
    if not isinstance(message, (ErrorMessage, WarningMessage)):
        m.outbox.send_free(peer.node_id, encode(ErrorMessage(message.channel_id, data)))


def _on_init(m: Manager, peer: Peer, message: Init) -> None:
    """Compare features and networks, then bring the channels back (BOLT 1, "The `init` Message")."""
    if peer.features is not None:
        raise PeerViolation("a second init")
    features = FeatureVector.parse(message.globalfeatures).union(FeatureVector.parse(message.features))
    unsupported = features.unsupported_even_bits(NODE_FEATURES)
    if unsupported:
        raise PeerViolation(f"init requires feature bits {sorted(unsupported)} that we do not have")
    missing = features.missing_dependencies()
    if missing:
        raise PeerViolation(f"init offers {missing[0][0].bolt_name} without {missing[0][1].bolt_name}")
    if message.networks and m.config.network.chain_hash not in message.networks:
        raise PeerViolation("init names other networks than ours")
    peer.features = features
    for slot in m.channels.values():
        if slot.peer == peer.node_id:
            m.guarded(slot, Connected())


def _on_error(m: Manager, peer: Peer, message: ErrorMessage) -> None:
    """The peer gives up a channel, or all that it has with us (BOLT 1, "The `error` and `warning` Messages")."""
    text = printable(message.data)
    m.report("warning", f"peer {peer.node_id.hex()[:16]} sent an error: {text}")
    if message.channel_id == ALL_CHANNELS:
        failed = [slot for slot in m.channels.values() if slot.peer == peer.node_id]
        for pending in list(peer.openings.values()):
            opening.end(m, peer, pending, f"the peer refused: {text}")
    else:
        slot = m.channels.get(message.channel_id)
        failed = [slot] if slot is not None and slot.peer == peer.node_id else []
        pending_opening = peer.openings.get(message.channel_id)
        if pending_opening is not None:
            opening.end(m, peer, pending_opening, f"the peer refused: {text}")
    for slot in failed:
        if not slot.state.core.stale:
            m.guarded(slot, ForceClose(f"the peer failed the channel: {text}"[:160]))


def printable(data: bytes) -> str:
    """Return a peer's text with everything that is not printable ASCII replaced, cut to what a log line bears."""
    return "".join([chr(byte) if 32 <= byte < 127 else "?" for byte in data[:200]])


def _on_warning(m: Manager, peer: Peer, message: WarningMessage) -> None:
    m.report("warning", f"peer {peer.node_id.hex()[:16]} sent a warning: {printable(message.data)}")


def _on_ping(m: Manager, peer: Peer, message: Ping) -> None:
    if message.num_pong_bytes <= PONG_BYTES_MAX:
        m.outbox.send_free(peer.node_id, encode(Pong(bytes(message.num_pong_bytes))))


def _on_pong(_m: Manager, peer: Peer, _message: Pong) -> None:
    peer.pending_pongs = 0


def ping(m: Manager, node_id: bytes) -> None:
    """Ask a quiet peer for a sign of life; one that left the last two unanswered is disconnected."""
    peer = m.peers.get(node_id)
    if peer is None or peer.features is None:
        return
    peer.pending_pongs += 1
    if peer.pending_pongs > 2:
        m.actions.append(Disconnect(node_id, "it answers no pings"))
        return
    m.outbox.send_free(node_id, encode(Ping(1, b"")))


def _on_channel_update(m: Manager, peer: Peer, message: ChannelUpdate) -> None:
    """The peer's policy for forwarding to us, for invoices' route hints (BOLT 7, "The `channel_update` Message")."""
    slot = m.channels.get(m.by_short_channel_id.get(message.short_channel_id, b""))
    if slot is None or slot.peer != peer.node_id or message.chain_hash != m.config.network.chain_hash:
        return
    if message.channel_flags & 1 != (0 if peer.node_id < m.node_id else 1):
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
        bool(message.channel_flags & 2),
    )
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
    OpenChannel: opening.on_open_channel,
    AcceptChannel: opening.on_accept_channel,
    FundingCreated: opening.on_funding_created,
    FundingSigned: opening.on_funding_signed,
}
