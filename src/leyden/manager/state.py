"""What the manager knows: all of it volatile or the fold of a journal."""

from collections.abc import Callable
from enum import Enum
from typing import Any

import msgspec

from leyden.bitcoin.tx import OutPoint
from leyden.channel.opening_v1 import Opening
from leyden.channel.states import ChannelState
from leyden.journal.node_records import (
    BestBlock,
    CoreNodeRecord,
    EventsAcknowledged,
    JournalArchived,
    NodeBorn,
    PartFailed,
    PartSent,
    PaymentFailed,
    PaymentReceived,
    PaymentSent,
    PaymentsForgotten,
    PaymentStarted,
    PaymentSummary,
    PeerRemembered,
    PeerStorageKept,
)
from leyden.journal.records import FailedHtlc, ForwardedPayment
from leyden.manager.onchain.active import ActiveClaim
from leyden.manager.outbox import Tail
from leyden.monitor.closed import ClosedView
from leyden.monitor.watched import WatchedOutput
from leyden.payments.outbound import Ledger, fold_payment, fold_summary, forget
from leyden.sphinx.failures import FailureMessage
from leyden.sphinx.payload import HopPayload
from leyden.wire.features import FeatureVector


class Peeled(msgspec.Struct, frozen=True, gc=False):
    """What the onion of an inbound HTLC says. failure: instead of a payload. next_packet: empty at the last hop."""

    shared_secret: bytes
    payload: HopPayload | None
    next_packet: bytes
    failure: FailureMessage | None


class Slot(msgspec.Struct):
    """One channel: its state, the end of its journal, and what is known of its inbound onions.

    halted: why this channel does nothing more in this life (a bug of ours), else empty.
    away_since: when the peer's last connection of this life ended, in seconds.
    heard: in this life the peer has said where it stands, and that proved nothing against us.
    archived: `node` is to say that its journal goes; nothing is appended any more.
    deadline_bound: (records folded, height): with these records nothing is due below that height; see
    `onchain/deadlines.py`. due_since: height at which this life found that an HTLC needs the chain while the peer is
    not heard; 0: not so. due_position: records of the journal at the block that found the HTLC due; a close is decided
    once they are durable. negotiating_blocks: how many blocks of this life came while both sides were connected and had
    not agreed on a closing fee.
    acks: facts that may be forgotten, written with the channel's next record.
    update_timestamp: of our last `channel_update` of this life. stops: how often in a row the peer has stopped in the
    middle of a commitment, stopped_at: (local, remote) commitment numbers at the last time.
    closed_view: the chain's side of a spent channel. onchain_claims: transactions that claim its outputs.
    unconfirmed_outputs: those of the last spend of the funding output that the mempool has shown; only preimages are
    taken from what spends them.
    own_commitment: our published one, serialised, and published_height, since when; anchor_claim: what pays for it.
    """

    state: ChannelState
    tail: Tail
    peer: bytes
    peeled: dict[int, Peeled] = {}
    halted: str = ""
    heard: bool = False
    away_since: int = 0
    ack_handed_off: list[tuple[int, bytes]] = []
    ack_outcomes: list[int] = []
    ack_claims: list[bytes] = []
    ack_events: list[str] = []
    unconfirmed_since: int = 0
    deadline_bound: tuple[int, int] = (0, 0)
    due_since: int = 0
    due_position: int = 0
    negotiating_blocks: int = 0
    update_timestamp: int = 0
    stops: int = 0
    stopped_at: tuple[int, int] = (0, 0)
    archived: bool = False
    closed_view: ClosedView | None = None
    unconfirmed_outputs: dict[OutPoint, WatchedOutput] = {}
    onchain_claims: list[ActiveClaim] = []
    own_commitment: bytes = b""
    published_height: int = 0
    anchor_claim: ActiveClaim | None = None

    @property
    def channel_id(self) -> bytes:
        """The channel_id, 32 bytes."""
        return self.state.core.opened.channel_id


class Peer(msgspec.Struct):
    """A connected peer. features: what its `init` offers; None before it.

    given_up: channels that it failed before its `channel_reestablish`, and why.
    ending: it is being disconnected, nothing more of it is read. reports: lines in the log that it has caused.
    unknown_channels: answers about channels that we do not know. messages: received since it was last slowed down.
    floods, flood_seconds: how often it was slowed down without a calm minute, and when last.
    """

    node_id: bytes
    features: FeatureVector | None = None
    openings: dict[bytes, Opening] = {}
    given_up: dict[bytes, str] = {}
    pending_pongs: int = 0
    ending: bool = False
    reports: int = 0
    unknown_channels: int = 0
    messages: int = 0
    floods: int = 0
    flood_seconds: int = 0


class Verdict(msgspec.Struct):
    """Decisions on inbound HTLCs of one channel that this pass has come to; one record at its end."""

    forwarded: list[ForwardedPayment] = []
    failed: list[FailedHtlc] = []


class ClaimableStatus(Enum):
    """Where a set of HTLCs that pays us stands."""

    INCOMPLETE = "incomplete"
    SHOWN = "shown"
    CLAIMING = "claiming"


class ClaimableSet(msgspec.Struct):
    """HTLCs with one payment_hash and one payment_secret. set_id: made of these, so another payment may have it later;
    what users are told is `claim_id_of`. parts: (channel_id, htlc_id) -> amount_msat.
    """

    set_id: bytes
    payment_hash: bytes
    payment_secret: bytes
    purpose: str
    total_msat: int
    preimage: bytes
    custom_records: list[tuple[int, bytes]]
    parts: dict[tuple[bytes, int], int]
    expiry_height: int
    since_seconds: int
    status: ClaimableStatus = ClaimableStatus.INCOMPLETE

    def received_msat(self) -> int:
        """Return what all parts bring."""
        return sum(self.parts.values())


class NodeState(msgspec.Struct):
    """The fold of the `node` journal, but for the wallet's records. storage: blobs that peers asked us to keep, by
    node_id.
    """

    born: NodeBorn | None = None
    ledger: Ledger = msgspec.field(default_factory=Ledger)
    received: dict[bytes, PaymentReceived] = {}
    peers: dict[bytes, PeerRemembered] = {}
    best: BestBlock | None = None
    archived: dict[str, None] = {}
    unacknowledged: dict[str, bytes] = {}
    storage: dict[bytes, bytes] = {}


def _finished(state: NodeState, record: PaymentSent | PaymentFailed) -> None:
    fold_payment(state.ledger, record)
    _await_acknowledgement(state, record.payment_id, sent=type(record) is PaymentSent)


def _await_acknowledgement(state: NodeState, payment_id: bytes, *, sent: bool) -> None:
    state.unacknowledged[f"{'sent' if sent else 'failed'}/{payment_id.hex()}"] = payment_id


def _progress(state: NodeState, record: PaymentStarted | PartSent | PartFailed) -> None:
    fold_payment(state.ledger, record)


def _received(state: NodeState, record: PaymentReceived) -> None:
    state.received[record.claim_id] = record


def _acknowledged(state: NodeState, record: EventsAcknowledged) -> None:
    for event_id in record.event_ids:
        state.unacknowledged.pop(event_id, None)


def _forgotten(state: NodeState, record: PaymentsForgotten) -> None:
    for payment_id in record.payment_ids:
        forget(state.ledger, payment_id)
    for claim_id in record.claim_ids:
        state.received.pop(claim_id, None)


def _peer(state: NodeState, record: PeerRemembered) -> None:
    state.peers[record.node_id] = record


def _best(state: NodeState, record: BestBlock) -> None:
    state.best = record


def _archived(state: NodeState, record: JournalArchived) -> None:
    state.archived[record.journal] = None


def _born(state: NodeState, record: NodeBorn) -> None:
    state.born = record


def _storage(state: NodeState, record: PeerStorageKept) -> None:
    if record.blob:
        state.storage[record.node_id] = record.blob
    else:
        state.storage.pop(record.node_id, None)


def _summary(state: NodeState, record: PaymentSummary) -> None:
    fold_summary(state.ledger, record)
    if not record.acknowledged:
        _await_acknowledgement(state, record.payment_id, sent=bool(record.preimage))


_FOLDS: dict[type, Callable[[NodeState, Any], None]] = {
    PaymentStarted: _progress,
    PartSent: _progress,
    PartFailed: _progress,
    PaymentSent: _finished,
    PaymentFailed: _finished,
    PaymentReceived: _received,
    EventsAcknowledged: _acknowledged,
    PaymentsForgotten: _forgotten,
    PeerRemembered: _peer,
    BestBlock: _best,
    JournalArchived: _archived,
    NodeBorn: _born,
    PaymentSummary: _summary,
    PeerStorageKept: _storage,
}


def fold_node(state: NodeState, record: CoreNodeRecord) -> None:
    """Take one record of the node journal into `state`, in place."""
    _FOLDS[type(record)](state, record)
