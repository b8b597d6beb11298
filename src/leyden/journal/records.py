"""Records of a channel's journal: facts, in the past tense, that carry results.

A kind of record keeps its tag and its meaning for ever; a changed meaning is a new tag. Fields may be added at the end
with a default. `evolve` reads nothing but the record and the state, so a record holds all that was decided.

Amounts are msat or sat as named, points 33 bytes, hashes and txids 32 bytes in internal order, signatures 64 bytes
compact.
"""

from typing import TypeAlias

import msgspec


class HtlcSource(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """Why we offered an HTLC: the one thing that names its owner.

    origin: the channel_id of the inbound channel (forward) or the payment_id (own payment), 32 bytes.
    index: the htlc_id of the inbound HTLC, or the number of the part within the payment.
    forwarded: whether `origin` is a channel.
    """

    origin: bytes
    index: int
    forwarded: bool


class AddedHtlc(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """An `update_add_htlc`, in either direction. `source` is None for HTLCs that the peer offered.

    onion_routing_packet: 1366 bytes. `fee_msat` is what a forward earns, or what a part of
    an own payment pays to others.
    """

    htlc_id: int
    amount_msat: int
    payment_hash: bytes
    cltv_expiry: int
    onion_routing_packet: bytes
    source: HtlcSource | None
    fee_msat: int


class RemovedHtlc(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """How the peer removed one of our HTLCs: with its preimage, or a failure packet, or as malformed (failure_code not
    0).

    reason: the failure onion, or for a malformed one the sha256_of_onion. attribution_data: 920 bytes or empty.
    """

    htlc_id: int
    preimage: bytes
    reason: bytes
    failure_code: int
    attribution_data: bytes


class SideParameters(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What one side asked for in `open_channel` or `accept_channel`. Fields as in BOLT 2."""

    funding_pubkey: bytes
    revocation_basepoint: bytes
    payment_basepoint: bytes
    delayed_payment_basepoint: bytes
    htlc_basepoint: bytes
    dust_limit_satoshis: int
    max_htlc_value_in_flight_msat: int
    channel_reserve_satoshis: int
    htlc_minimum_msat: int
    to_self_delay: int
    max_accepted_htlcs: int
    upfront_shutdown_script: bytes


class ForwardingPolicy(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What we ask for forwarding out of a channel (BOLT 7, "HTLC Fees")."""

    fee_base_msat: int
    fee_proportional_millionths: int
    cltv_expiry_delta: int
    htlc_minimum_msat: int


class ChannelOpened(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=1):
    """Birth: we hold the peer's signature on our first commitment.

    The fundee's journal begins before `funding_signed` leaves, the funder's before the funding transaction is
    broadcast. funding_transaction: serialised and complete for the funder, empty for the fundee. batch: the funding
    outpoints' channel_ids that share this transaction, without this one.
    """

    channel_id: bytes
    channel_keys_id: bytes
    counterparty_node_id: bytes
    is_opener: bool
    anchors: bool
    scid_alias: bool
    zero_conf: bool
    announce_channel: bool
    funding_txid: bytes
    funding_output_index: int
    funding_satoshis: int
    push_msat: int
    feerate_per_kw: int
    minimum_depth: int
    local: SideParameters
    remote: SideParameters
    remote_first_point: bytes
    remote_signature: bytes
    funding_transaction: bytes
    batch: list[bytes]
    policy: ForwardingPolicy
    birth_height: int
    user_channel_id: bytes


class FundingConfirmed(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=2):
    """The funding output is in a block. short_channel_id as in BOLT 7."""

    height: int
    block_hash: bytes
    short_channel_id: int


class FundingDisconnected(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=3):
    """The block that held the funding transaction left the best chain."""

    fork_height: int


class LocalReady(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=4):
    """We consider the channel usable and say so with `channel_ready` and this alias."""

    alias: int


class RemoteReady(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=5):
    """The peer's `channel_ready`: its point for commitment 1, and the alias it gave (0: none)."""

    second_per_commitment_point: bytes
    alias: int


class SentCommitment(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=6):
    """We signed the peer's commitment `number`: all that it adds to the one before from our side, in the order of
    sending.

    adds: HTLCs we offer. removals: htlc_ids that we remove as decided. feerate_per_kw: 0 when unchanged.
    The peer's updates that enter this commitment follow from earlier records.
    """

    number: int
    adds: list[AddedHtlc]
    removals: list[int]
    feerate_per_kw: int


class ReceivedCommitment(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=7):
    """The peer signed our commitment `number`, and we revoke the one before.

    updates: the peer's updates that it covers, in the order received. htlc_signatures: 64 bytes each, joined, in output
    order.
    """

    number: int
    signature: bytes
    htlc_signatures: bytes
    adds: list[AddedHtlc]
    removals: list[RemovedHtlc]
    feerate_per_kw: int


class ReceivedRevocation(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=8):
    """The peer revoked its commitment `number` (BOLT 2, "Completing the Transition to the Updated State")."""

    number: int
    per_commitment_secret: bytes
    next_per_commitment_point: bytes


class ClaimPart(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """One HTLC of a payment that is being claimed."""

    channel_id: bytes
    htlc_id: int
    amount_msat: int


class Claim(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A payment that is being claimed: everything needed to claim all parts and to tell the user (DESIGN section 2,
    "Claim").

    claim_id: 32 bytes, made of the parts, so that equal hashes stay different payments.
    custom_records: TLV records of the payer for the payee. purpose: `invoice` or `keysend`.
    """

    claim_id: bytes
    payment_hash: bytes
    preimage: bytes
    payment_secret: bytes
    purpose: str
    amount_msat: int
    parts: list[ClaimPart]
    custom_records: list[tuple[int, bytes]]


class FailedHtlc(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """The decision to fail an inbound HTLC, byte for byte as it will be sent, at every connection.

    failure_code not 0: `update_fail_malformed_htlc` with `reason` as sha256_of_onion.
    """

    htlc_id: int
    reason: bytes
    failure_code: int
    attribution_data: bytes


class ForwardedPayment(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """An inbound HTLC to be claimed because the HTLC it was forwarded to was fulfilled."""

    htlc_id: int
    preimage: bytes
    outbound_channel_id: bytes
    outbound_htlc_id: int
    outbound_amount_msat: int
    attribution_data: bytes


class HtlcsDecided(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=9):
    """What becomes of inbound HTLCs that are irrevocably committed: promises, though no signature covers them yet."""

    forwarded: list[ForwardedPayment]
    failed: list[FailedHtlc]
    claims: list[Claim]


class HtlcsShown(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=10):
    """The verdict that these HTLCs are parts of a payment that the user is asked about; never judged again.

    set_id: 32 bytes, names the set. deadline_height: at this height the set fails unless it was claimed.
    """

    set_id: bytes
    htlc_ids: list[int]
    payment_hash: bytes
    payment_secret: bytes
    purpose: str
    total_msat: int
    deadline_height: int
    preimage: bytes
    custom_records: list[tuple[int, bytes]]


class Acknowledged(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=11):
    """Facts that others have acted on, durably; each may be forgotten here.

    handed_off: (htlc_id, shared secret) of inbound HTLCs that another journal owns now.
    outcomes: htlc_ids of outbound HTLCs whose outcome was handled. claims: claim_ids whose parts are all durable and
    told. events: ids of events that the user has acknowledged.
    """

    handed_off: list[tuple[int, bytes]]
    outcomes: list[int]
    claims: list[bytes]
    events: list[str]


class ShutdownStarted(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=12):
    """We send `shutdown` with this script, at every connection until the channel is closed."""

    scriptpubkey: bytes
    feerate_per_kw: int


class ShutdownReceived(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=13):
    """The peer's `shutdown`, and our script if we answer with one (empty when we had started)."""

    scriptpubkey: bytes
    local_scriptpubkey: bytes
    feerate_per_kw: int


class CloseAgreed(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=14):
    """Both signatures on a cooperative closing transaction are in our hands. fee_satoshis is what the opener pays."""

    transaction: bytes
    fee_satoshis: int


class Closing(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=15):
    """We publish our own commitment `number`; after this no secret of this channel is revealed (invariant S1).

    reason: short sentence for the user.
    """

    number: int
    reason: str


class FundingSpent(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=16):
    """A transaction in a block spends the funding output."""

    transaction: bytes
    height: int
    block_hash: bytes


class SpendDisconnected(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=17):
    """The block of the spending transaction left the best chain."""

    fork_height: int


class ChannelClosed(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=18):
    """The spend of the funding output is as deep as asked: the channel's off-chain life is over.

    reason: how it ended, a short sentence for the user; empty when that was not looked at.
    """

    height: int
    reason: str = ""


class ProvenStale(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=19):
    """There was a newer state of ours than this journal holds: the peer proved it (its number of our commitment), or
    the second place did (0). Never publish a commitment of our own from here.
    """

    peer_commitment_number: int


class PeerPolicy(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=20):
    """The peer's `channel_update` for forwarding towards us: what an invoice's route hint says."""

    short_channel_id: int
    fee_base_msat: int
    fee_proportional_millionths: int
    cltv_expiry_delta: int
    htlc_minimum_msat: int
    htlc_maximum_msat: int
    timestamp: int
    disabled: bool


class PolicyChanged(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=21):
    """Our policy for forwarding out of this channel."""

    policy: ForwardingPolicy
    timestamp: int


class ForwardingSwitched(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=28):
    """As `PolicyChanged`, and whether anything is forwarded out of this channel from now on."""

    policy: ForwardingPolicy
    timestamp: int
    is_disabled: bool


class ClaimAbandoned(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=22):
    """A claim whose parts did not all become durable before a deadline; nothing of it has left the node."""

    claim_id: bytes


class FundingAbandoned(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=23):
    """The funding transaction can no longer confirm, or never showed up in time; nothing was ever at stake."""

    reason: str


class Withdrawn(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=24):
    """Our signature on the peer's commitment `number` is taken back: it was made in this life and never reached the
    transport (invariant P18). What its `SentCommitment` changed is undone; its HTLCs go elsewhere behind this record.
    """

    number: int


class OutputSpent(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=25):
    """A transaction in a block spends outputs that a closed channel looks at: of the commitment that closed it, or of
    transactions that spend those. transaction: serialised, with its witnesses.
    """

    transaction: bytes
    height: int
    block_hash: bytes


class OutputsDisconnected(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=26):
    """Blocks above `fork_height` left the best chain, and with them spends of outputs (`OutputSpent`); the spend of the
    funding output stayed.
    """

    fork_height: int


class SpendableOutput(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """An output that nobody else can have any more. txid: 32 bytes, internal order. kind: `ClaimKind` by its value."""

    txid: bytes
    output_index: int
    value_sat: int
    kind: str


class OnchainResolved(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=27):
    """What the chain, as deep as asked, has decided about HTLCs that we offered and about outputs of ours.

    fulfilled: (htlc_id, preimage) as the peer revealed it, in a block or in the mempool. failed: htlc_ids that can no
    longer be fulfilled. spendable: outputs that are ours alone now; the user is told once.
    """

    fulfilled: list[tuple[int, bytes]]
    failed: list[int]
    spendable: list[SpendableOutput]


ChannelRecord: TypeAlias = (
    ChannelOpened
    | FundingConfirmed
    | FundingDisconnected
    | LocalReady
    | RemoteReady
    | SentCommitment
    | ReceivedCommitment
    | ReceivedRevocation
    | HtlcsDecided
    | HtlcsShown
    | Acknowledged
    | ShutdownStarted
    | ShutdownReceived
    | CloseAgreed
    | Closing
    | FundingSpent
    | SpendDisconnected
    | ChannelClosed
    | ProvenStale
    | PeerPolicy
    | PolicyChanged
    | ClaimAbandoned
    | FundingAbandoned
    | Withdrawn
    | OutputSpent
    | OutputsDisconnected
    | OnchainResolved
    | ForwardingSwitched
)
