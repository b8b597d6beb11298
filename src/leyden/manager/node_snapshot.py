"""The encoded fold of the `node` journal: a version byte and a list of records that rebuild it, and the wallet's own
snapshot.
"""

import msgspec

from leyden.base.errors import DecodeError
from leyden.journal.node_codec import NodeRecord
from leyden.journal.node_records import JournalArchived, PartFailed, PartSent, PeerStorageKept
from leyden.manager.state import NodeState
from leyden.payments.outbound import summary_of

NODE_SNAPSHOT_VERSION = 1


class _NodeSnapshot(msgspec.Struct, frozen=True, array_like=True, tag=1):
    records: list[NodeRecord]
    wallet: bytes


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_NodeSnapshot)


def encode_node_snapshot(node: NodeState, wallet: bytes) -> bytes:
    """Encode what `node` keeps. wallet: the wallet's snapshot."""
    records: list[NodeRecord] = []
    if node.born is not None:
        records.append(node.born)
    if node.best is not None:
        records.append(node.best)
    records.extend(node.peers.values())
    records.extend([JournalArchived(journal) for journal in node.archived])
    records.extend(node.received.values())
    records.extend([PeerStorageKept(node_id, blob) for node_id, blob in node.storage.items()])
    for payment_id, payment in node.ledger.payments.items():
        if payment.is_live:
            records.append(payment.started)
            records.extend([PartSent(payment_id, part, hops) for part, hops in payment.hops.items()])
            records.extend([PartFailed(payment_id, part, b"", 0, 0, -1) for part in payment.failed_parts])
            continue
        kind = "sent" if payment.sent is not None else "failed"
        records.append(summary_of(payment, acknowledged=f"{kind}/{payment_id.hex()}" not in node.unacknowledged))
    return bytes((NODE_SNAPSHOT_VERSION,)) + _encoder.encode(_NodeSnapshot(records, wallet))


def decode_node_snapshot(encoded: bytes) -> tuple[list[NodeRecord], bytes]:
    """Return the records and the wallet's snapshot.

    Raises: DecodeError for a newer version or damaged bytes.
    """
    if encoded[:1] != bytes((NODE_SNAPSHOT_VERSION,)):
        raise DecodeError("node snapshot of a version that this program does not read", offset=0, field="version")
    try:
        snapshot = _decoder.decode(encoded[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DecodeError(f"damaged node snapshot: {error}") from error
    return snapshot.records, snapshot.wallet
