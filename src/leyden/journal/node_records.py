"""Records of the `node` journal: what belongs to no channel. Style and rules as in `records.py`; tags from 30.

The wallet's records (`wallet_records.py`, tags from 60) are in the same journal.
"""

from typing import TypeAlias

import msgspec


class NodeBorn(msgspec.Struct, frozen=True, array_like=True, tag=30, forbid_unknown_fields=True):
    """First record: which network (chain_hash, 32 bytes) and node (node_id, 33 bytes) this store belongs to, and since
    which block.
    """

    chain_hash: bytes
    node_id: bytes
    birth_height: int
    birth_hash: bytes


class PaymentStarted(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=31, forbid_unknown_fields=True):
    """A payment was accepted from the caller; durable before its first HTLC is signed.

    session_seed: 32 random bytes from which the session keys of its parts derive. deadline_seconds: no new part after
    it. invoice: BOLT 11 text, or empty. payee: 33 bytes. routes: given by `send_to_route`, else empty.
    keysend_preimage: 32 bytes, or empty.
    """

    payment_id: bytes
    payment_hash: bytes
    amount_msat: int
    fee_msat_max: int
    parts_max: int
    created_seconds: int
    deadline_seconds: int
    session_seed: bytes
    payee: bytes
    invoice: str
    keysend_preimage: bytes
    custom_records: list[tuple[int, bytes]]
    routes: list["FixedRoute"]


class FixedHop(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """One channel of a given route: its short_channel_id, the node it leads to, and the HTLC on it."""

    short_channel_id: int
    node_id: bytes
    amount_msat: int
    cltv_expiry: int


class FixedRoute(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """A route that the caller gave; the first hop is one of our channels (channel_id, 32 bytes)."""

    channel_id: bytes
    hops: list[FixedHop]
    payment_secret: bytes
    final_cltv_expiry_delta: int


class PartSent(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=32, forbid_unknown_fields=True):
    """Over which nodes a part of a payment goes, to read its failure after a restart. Not written for direct parts."""

    payment_id: bytes
    part: int
    hops: list[bytes]


class PartFailed(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=33, forbid_unknown_fields=True):
    """The failure of a part was handled. code: failure_code, 0 when unknown. hop: who failed it, -1 when unknown."""

    payment_id: bytes
    part: int
    channel_id: bytes
    htlc_id: int
    code: int
    hop: int


class PaymentSent(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=34, forbid_unknown_fields=True):
    """A payment succeeded: its preimage is the proof."""

    payment_id: bytes
    preimage: bytes
    fee_msat: int
    seconds: int


class PaymentFailed(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=35, forbid_unknown_fields=True):
    """A payment failed for good; none of its parts is in flight. reason: a stable name (payments/outcome.py)."""

    payment_id: bytes
    reason: str
    code: int
    hop: int
    seconds: int


class PaymentReceived(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=36, forbid_unknown_fields=True):
    """A payment was claimed, durably in all its parts: for the list of payments."""

    claim_id: bytes
    payment_hash: bytes
    amount_msat: int
    seconds: int


class EventsAcknowledged(msgspec.Struct, frozen=True, array_like=True, tag=37, forbid_unknown_fields=True):
    """The user has acknowledged events of this journal."""

    event_ids: list[str]


class PaymentsForgotten(msgspec.Struct, frozen=True, array_like=True, tag=38, forbid_unknown_fields=True):
    """Payments whose stated time is over; their ids may be used again."""

    payment_ids: list[bytes]
    claim_ids: list[bytes]


class PeerRemembered(msgspec.Struct, frozen=True, array_like=True, tag=39, forbid_unknown_fields=True):
    """Where a peer can be reached: `host:port`. trusted: its zero-conf channels are accepted."""

    node_id: bytes
    address: str
    trusted: bool


class BestBlock(msgspec.Struct, frozen=True, array_like=True, tag=40, forbid_unknown_fields=True):
    """All chain records up to this block are durable."""

    height: int
    block_hash: bytes


class JournalArchived(msgspec.Struct, frozen=True, array_like=True, tag=41, forbid_unknown_fields=True):
    """A channel's journal is no longer needed by anything."""

    journal: str


class PaymentSummary(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=42, forbid_unknown_fields=True):
    """A finished payment as a snapshot keeps it. preimage: empty when it failed. acknowledged: its event was."""

    payment_id: bytes
    payment_hash: bytes
    amount_msat: int
    created_seconds: int
    payee: bytes
    preimage: bytes
    fee_msat: int
    reason: str
    code: int
    hop: int
    seconds: int
    acknowledged: bool


class PeerStorageKept(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=43, forbid_unknown_fields=True):
    """What a peer asked us to keep, at most 65531 bytes; it replaces what was kept before. blob: empty when erased."""

    node_id: bytes
    blob: bytes


CoreNodeRecord: TypeAlias = (
    NodeBorn
    | PaymentStarted
    | PartSent
    | PartFailed
    | PaymentSent
    | PaymentFailed
    | PaymentReceived
    | EventsAcknowledged
    | PaymentsForgotten
    | PeerRemembered
    | BestBlock
    | JournalArchived
    | PaymentSummary
    | PeerStorageKept
)
