"""What peers ask us to keep for them: one blob each, sent back at every connection (BOLT 1, "The `peer_storage` and
`peer_storage_retrieval` Messages").

A peer that has lost everything finds its blob here, and with it perhaps its channels. The blob is a record of `node`;
records are written at most once a minute and peer after a few at once, and the newest blob wins.
"""

from leyden.journal.node_records import PeerStorageKept
from leyden.manager.manager import Manager
from leyden.manager.opening import waits_for_funding
from leyden.manager.state import Peer, Slot
from leyden.wire.messages import PeerStorage, PeerStorageRetrieval, encode

WRITE_EVERY_SECONDS = 60
WRITES_AT_ONCE = 4
KEPT_BYTES_MAX = 32 << 20
"""Of all peers together; a peer that comes later than that is not served."""
KEPT_AFTER_CLOSE_BLOCKS = 2016


def on_peer_storage(m: Manager, peer: Peer, message: PeerStorage) -> None:
    """Keep the blob of a peer that has a channel with us; what others want kept is ignored."""
    node_id = peer.node_id
    if not _is_served(m, node_id):
        return
    m.storage_waiting.pop(node_id, None)
    if m.node.storage.get(node_id, b"") == message.blob or not _has_room(m, node_id, len(message.blob)):
        return
    m.storage_waiting[node_id] = message.blob
    _write_if_due(m, node_id)


def send_back(m: Manager, peer: Peer) -> None:
    """Right after `init`, before any `channel_reestablish`: the peer may need it to know what it may say there."""
    blob = m.node.storage.get(peer.node_id)
    if blob is not None:
        m.outbox.send(peer.node_id, encode(PeerStorageRetrieval(blob)), m.node_tail)


def on_time(m: Manager) -> None:
    """Write what had to wait."""
    for node_id in list(m.storage_waiting):
        _write_if_due(m, node_id)
    for node_id in [one for one, at in m.storage_due.items() if at <= m.now_seconds]:
        del m.storage_due[node_id]


def on_block(m: Manager) -> None:
    """Erase what belongs to a peer whose last channel was closed long ago."""
    if m.unreadable:
        return  # it may be with any of them
    for node_id in list(m.node.storage):
        if not any(counts(m, slot) for slot in m.channels_with(node_id)):
            m.storage_waiting.pop(node_id, None)
            m.record(PeerStorageKept(node_id, b""))


def _write_if_due(m: Manager, node_id: bytes) -> None:
    due = m.storage_due.get(node_id, m.now_seconds)
    if due - m.now_seconds <= WRITE_EVERY_SECONDS * (WRITES_AT_ONCE - 1):
        m.storage_due[node_id] = max(due, m.now_seconds) + WRITE_EVERY_SECONDS
        m.record(PeerStorageKept(node_id, m.storage_waiting.pop(node_id)))


def _is_served(m: Manager, node_id: bytes) -> bool:
    """Return whether the peer has, or had not long ago, a channel that cost it something."""
    return any(counts(m, slot) and not waits_for_funding(slot) for slot in m.channels_with(node_id))


def _has_room(m: Manager, node_id: bytes, size: int) -> bool:
    """Return whether the blob fits beside those of all others, written or waiting."""
    kept = {one: len(blob) for one, blob in m.node.storage.items()}
    for one, blob in m.storage_waiting.items():
        kept[one] = max(len(blob), kept.get(one, 0))
    kept.pop(node_id, None)
    return sum(kept.values()) + size <= KEPT_BYTES_MAX


def counts(m: Manager, slot: Slot) -> bool:
    """Return whether a channel is open, or was closed less than two weeks ago."""
    core = slot.state.core
    if core.closed_height:
        return m.env.block_height - core.closed_height < KEPT_AFTER_CLOSE_BLOCKS
    return not core.abandoned
