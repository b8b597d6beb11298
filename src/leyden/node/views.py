"""What a node says to people and programs: the results of `NodeControl`, as they appear in JSON.

Field names are stable. Amounts are integers: `*_msat` in millisatoshi, `*_sat` in satoshi on chain. Hashes, ids, keys
and secrets are lower-case hexadecimal (txids and block hashes in display order); `*_seconds` with a date are seconds
since 1970. None means that there is no such value (yet). Only msgspec is imported here: the command line loads this
module.
"""

from typing import Literal, TypeAlias

import msgspec

ChannelStateName: TypeAlias = Literal[
    "opening",
    "awaiting_ready",
    "normal",
    "shutting_down",
    "negotiating",
    "mutual_close",
    "force_closing",
    "stale",
    "spent",
    "closed",
]
"""States of `channel/states.py` in snake_case; `opening`: asked for, not yet durable."""

ChannelTypeName: TypeAlias = Literal["static_remotekey", "anchors"]
PaymentDirection: TypeAlias = Literal["outbound", "inbound"]
PaymentStatus: TypeAlias = Literal["pending", "claimable", "succeeded", "failed"]


# --- the node ---------------------------------------------------------------------------------------------------------


class JournalView(msgspec.Struct, frozen=True, kw_only=True):
    """What of one journal waits: for the store, and for others to be done with it.

    records_waiting, bytes_waiting: decided, and not durable yet: a crash would lose them, so nobody was told.
    oldest_waiting_ms: how long the oldest of them has waited. effects_waiting: messages, hand-offs, events and answers
    that are held back until they are. facts_unacknowledged: outcomes and claims that another journal, or the user, is
    not known to have dealt with. events_unacknowledged: of this channel.
    """

    records_waiting: int = 0
    bytes_waiting: int = 0
    oldest_waiting_ms: int = 0
    effects_waiting: int = 0
    facts_unacknowledged: int = 0
    events_unacknowledged: int = 0


class StoreView(msgspec.Struct, frozen=True, kw_only=True):
    """How the store keeps up; for the waiting see `JournalView`, here summed over all journals.

    journals_waiting: journals with records that wait. node: the journal of what belongs to no channel. batches,
    refusals: since the start, given to the store and refused for now. The percentiles are of the last 512 batches and
    answers; commit_ms: from when a batch was ready until the store said that it is durable.
    """

    records_waiting: int = 0
    bytes_waiting: int = 0
    oldest_waiting_ms: int = 0
    effects_waiting: int = 0
    journals_waiting: int = 0
    facts_unacknowledged: int = 0
    node: JournalView = JournalView()
    batches: int = 0
    refusals: int = 0
    batch_records_p50: int = 0
    batch_records_p99: int = 0
    batch_bytes_p50: int = 0
    batch_bytes_p99: int = 0
    commit_ms_p50: float = 0.0
    commit_ms_p99: float = 0.0


class NodeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Who the node is and how it is.

    listening: `host:port` of each socket that takes connections. chain_ok, store_ok: whether they work now;
    chain_status, store_status: why not, else empty. is_synced: every block up to the tip was looked at; blocks_behind:
    how many are still to be looked at. channels_archived: channels that are closed for good and gone. alarms: sentences
    for the operator.
    """

    node_id: str
    alias: str
    network: str
    version: str
    listening: list[str]
    block_height: int
    block_hash: str
    is_synced: bool
    chain_ok: bool
    chain_status: str
    store_ok: bool
    store_status: str
    peers: int
    channels_usable: int
    channels_pending: int
    channels_closing: int
    htlcs_pending: int
    events_unacknowledged: int
    data_dir: str
    started_seconds: int
    blocks_behind: int = 0
    channels_archived: int = 0
    store: StoreView = StoreView()
    alarms: list[str] = []


class TimelockedView(msgspec.Struct, frozen=True, kw_only=True):
    """What is ours, and cannot be moved yet. height: of the first block that may hold the spend; while the close is in
    no block, as if it were in the next.
    """

    height: int
    amount_sat: int


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """All that the node owns.

    On chain: confirmed_sat and unconfirmed_sat are coins of ours; immature_sat: coinbase outputs younger than 100
    blocks; reserved_sat: held back by openings in progress; anchor_reserve_sat: kept to pay for closing channels (in
    all, and for one channel), anchor_reserve_missing_sat: what it lacks; spendable_sat: what `send_onchain` may use.
    Lightning: lightning_msat is our side of all open channels, spendable_msat and receivable_msat what they could carry
    now, in_flight_*_msat what HTLCs hold, on chain too while it is open who gets them. closing_sat: ours, in outputs of
    channels that close, fees not taken off and in no coin above; of that timelocked waits for a height, and
    uneconomic_sat is not worth its fee at the feerate of now.
    """

    confirmed_sat: int
    unconfirmed_sat: int
    immature_sat: int
    reserved_sat: int
    anchor_reserve_sat: int
    anchor_reserve_per_channel_sat: int
    spendable_sat: int
    lightning_msat: int
    spendable_msat: int
    receivable_msat: int
    in_flight_outbound_msat: int
    in_flight_inbound_msat: int
    closing_sat: int
    anchor_reserve_missing_sat: int = 0
    timelocked: list[TimelockedView] = []
    uneconomic_sat: int = 0


class AddressView(msgspec.Struct, frozen=True, kw_only=True):
    """A new address of the on-chain wallet. kind: `p2wpkh` or `p2tr`. path: its BIP 32 path."""

    address: str
    kind: str
    path: str


class TransactionView(msgspec.Struct, frozen=True, kw_only=True):
    """An on-chain transaction of ours. amount_sat: what the recipient gets. raw: serialised."""

    txid: str
    amount_sat: int
    fee_sat: int
    feerate_per_kw: int
    raw: str


# --- peers and channels -----------------------------------------------------------------------------------------------


class PeerView(msgspec.Struct, frozen=True, kw_only=True):
    """A peer that is connected, remembered, or has a channel with us.

    address: `host:port` where it is or was last, or empty. features: hexadecimal of its `init`. is_trusted: its
    zero-conf channels are accepted.
    """

    node_id: str
    is_connected: bool
    is_inbound: bool
    address: str
    features: str
    is_trusted: bool
    channels: int


class ForwardingPolicyView(msgspec.Struct, frozen=True, kw_only=True):
    """What a channel asks for forwarding (BOLT 7, "HTLC Fees"). is_disabled: nothing is forwarded out of it."""

    fee_base_msat: int
    fee_proportional_millionths: int
    cltv_expiry_delta: int
    htlc_minimum_msat: int
    is_disabled: bool = False


class ChannelRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A channel that is to be opened; see `open_channel`."""

    node_id: str
    amount_sat: int
    push_msat: int = 0
    channel_type: ChannelTypeName = "anchors"
    announce: bool = False
    zero_conf: bool = False
    scid_alias: bool = False
    close_to: str | None = None


class ChannelOpening(msgspec.Struct, frozen=True, kw_only=True):
    """A channel whose funding is durable and broadcast (or on its way).

    user_channel_id: names it in the event `open_refused`.
    """

    channel_id: str
    user_channel_id: str
    funding_txid: str
    funding_output_index: int


class ChannelView(msgspec.Struct, frozen=True, kw_only=True):
    """One channel.

    short_channel_id: `block x transaction x output` once confirmed; alias: our own local name for it, same form.
    local_msat, remote_msat: balances, HTLCs not included. spendable_msat, receivable_msat: what one more HTLC could
    carry now. *_reserve_sat: what each side must keep. is_usable: it takes payments now. close_reason, closing_txid:
    None while it is open. closing_height: of the block that
    holds it. onchain_sat: what is ours of it and not in the wallet yet; onchain_until_height: the first block in which
    the last of it can be moved. deadline_height: at this height it is closed by force if its HTLCs stay as they are.
    halted: why this channel does nothing in this life (a fault of Leyden), else None. journal:
    what of it waits for the store; while records wait, the rest shows what is decided, not what is durable.
    """

    channel_id: str
    short_channel_id: str | None
    alias: str | None
    node_id: str
    state: ChannelStateName
    is_usable: bool
    is_connected: bool
    is_opener: bool
    channel_type: ChannelTypeName
    is_zero_conf: bool
    is_announced: bool
    capacity_sat: int
    local_msat: int
    remote_msat: int
    spendable_msat: int
    receivable_msat: int
    local_reserve_sat: int
    remote_reserve_sat: int
    htlcs_outbound: int
    htlcs_inbound: int
    feerate_per_kw: int
    funding_txid: str
    funding_output_index: int
    confirmations: int
    minimum_depth: int
    local_commitment_number: int
    remote_commitment_number: int
    policy: ForwardingPolicyView
    user_channel_id: str
    close_reason: str | None = None
    closing_txid: str | None = None
    closing_height: int | None = None
    onchain_sat: int = 0
    onchain_until_height: int | None = None
    deadline_height: int | None = None
    halted: str | None = None
    journal: JournalView = JournalView()


class ClosingView(msgspec.Struct, frozen=True, kw_only=True):
    """What `close` set off. closing_txid: the commitment that was published at a forced close, else None."""

    channel_id: str
    state: ChannelStateName
    closing_txid: str | None = None


# --- invoices and payments --------------------------------------------------------------------------------------------


class InvoiceView(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice of ours. amount_msat: None lets the payer choose."""

    invoice: str
    payment_hash: str
    amount_msat: int | None
    description: str
    created_seconds: int
    expires_seconds: int


class HintHop(msgspec.Struct, frozen=True, kw_only=True):
    """One hop of a route hint in an invoice."""

    node_id: str
    short_channel_id: str
    fee_base_msat: int
    fee_proportional_millionths: int
    cltv_expiry_delta: int


class DecodedInvoice(msgspec.Struct, frozen=True, kw_only=True):
    """What an invoice says. description and description_hash: exactly one of them. features: hexadecimal, or empty."""

    network: str
    payee: str
    payment_hash: str
    amount_msat: int | None
    description: str | None
    description_hash: str | None
    created_seconds: int
    expires_seconds: int
    is_expired: bool
    min_final_cltv_expiry_delta: int
    features: str
    payment_metadata: str | None
    fallback_addresses: list[str]
    route_hints: list[list[HintHop]]


class PaymentView(msgspec.Struct, frozen=True, kw_only=True):
    """A payment of ours or to us.

    payment_id: chosen by the caller for outbound payments; inbound ones carry their claim_id. status: `claimable` is
    inbound, held until `claim_payment(set_id)` or `fail_payment(set_id)`; from deadline_height on it is failed (both
    None unless it is held or being claimed, and created_seconds is then not before this start of the node). preimage:
    the proof, when it succeeded. fee_msat: what the parts that arrived cost; in_flight_msat: what is under way. When it
    failed: reason is a stable name (`payments/outcome.py`), advice says what to do, failure_code and failure_name are
    BOLT 4's, failing_hop counts from our peer (0), each None when unknown. parts: how many are under way, or held; none
    when it has ended.
    """

    payment_id: str
    payment_hash: str
    direction: PaymentDirection
    status: PaymentStatus
    amount_msat: int
    fee_msat: int
    in_flight_msat: int
    parts: int
    created_seconds: int
    finished_seconds: int | None = None
    payee: str | None = None
    invoice: str | None = None
    preimage: str | None = None
    reason: str | None = None
    advice: str | None = None
    failing_hop: int | None = None
    failure_code: int | None = None
    failure_name: str | None = None
    set_id: str | None = None
    deadline_height: int | None = None


class RouteHop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One channel of a route that the caller gives: where it leads, and the HTLC on it. cltv_expiry: a block height."""

    short_channel_id: str
    node_id: str
    amount_msat: int
    cltv_expiry: int


class RouteRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One part's route: out of our channel `channel_id`, then `hops` (the first is that channel itself)."""

    channel_id: str
    hops: list[RouteHop]


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened (`manager/events.py`): told again, with the same id, until `acknowledge_event`.

    type: the event's name in snake_case. fields: the rest, bytes as hexadecimal, custom_records as an object by type
    number.
    """

    event_id: str
    type: str
    fields: dict[str, object]
