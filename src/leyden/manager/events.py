"""Events for the user: each outcome at least once, in order of cause, with an id that a repetition keeps.

An event is derived from the journal that holds its fact and is repeated in every life until it is acknowledged.
"""

from typing import TypeAlias

import msgspec


class PaymentClaimable(msgspec.Struct, frozen=True, gc=False, tag=True):
    """A question: claim (`claim_payment(set_id)`) or fail it before `deadline_height`. Asked again until answered."""

    event_id: str
    set_id: bytes
    payment_hash: bytes
    amount_msat: int
    purpose: str
    custom_records: tuple[tuple[int, bytes], ...]
    deadline_height: int


class PaymentClaimed(msgspec.Struct, frozen=True, gc=False, tag=True):
    """A payment is ours: every part of it is durable."""

    event_id: str
    claim_id: bytes
    payment_hash: bytes
    preimage: bytes
    amount_msat: int
    purpose: str
    parts: int
    custom_records: tuple[tuple[int, bytes], ...]


class PaymentClaimAbandoned(msgspec.Struct, frozen=True, gc=False, tag=True):
    """A claim could not be made durable in time; nothing of it has left the node and nothing was received."""

    event_id: str
    claim_id: bytes
    payment_hash: bytes


class PaymentSent(msgspec.Struct, frozen=True, gc=False, tag=True):
    """An outbound payment succeeded. preimage: the proof."""

    event_id: str
    payment_id: bytes
    payment_hash: bytes
    preimage: bytes
    amount_msat: int
    fee_msat: int


class PaymentFailed(msgspec.Struct, frozen=True, gc=False, tag=True):
    """An outbound payment failed for good. reason: `payments/outcome.py`; code and hop of the last failure (0 and -1:
    unknown).
    """

    event_id: str
    payment_id: bytes
    payment_hash: bytes
    reason: str
    code: int
    hop: int


class PaymentForwarded(msgspec.Struct, frozen=True, gc=False, tag=True):
    """A forwarded payment was fulfilled; fee_msat is what it earned."""

    event_id: str
    inbound_channel_id: bytes
    outbound_channel_id: bytes
    inbound_amount_msat: int
    outbound_amount_msat: int
    fee_msat: int


class ChannelReady(msgspec.Struct, frozen=True, gc=False, tag=True):
    """A channel can be used."""

    event_id: str
    channel_id: bytes
    counterparty_node_id: bytes
    user_channel_id: bytes


class ChannelClosed(msgspec.Struct, frozen=True, gc=False, tag=True):
    """A channel is closed; reason: short sentence."""

    event_id: str
    channel_id: bytes
    counterparty_node_id: bytes
    reason: str


class SpendableOutputs(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Outputs of a closed channel are ours alone now, deep enough; the node sweeps them to its wallet.

    outputs: as `txid:index`. amount_sat: their sum, fees not taken off.
    """

    event_id: str
    channel_id: bytes
    outputs: tuple[str, ...]
    amount_sat: int


class ChannelDataLoss(msgspec.Struct, frozen=True, gc=False, tag=True):
    """This node has lost data of a channel: the peer proved it, or the second place knows of more. It never publishes
    its own commitment; the peer is asked to close.
    """

    event_id: str
    channel_id: bytes
    counterparty_node_id: bytes


class OpenRefused(msgspec.Struct, frozen=True, gc=False, tag=True):
    """An opening that the user asked for came to nothing; it was never durable, so this is told once, in this life
    only.
    """

    event_id: str
    user_channel_id: bytes
    reason: str


class StoreBehind(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Records wait for the store longer than `store.warn_after_seconds`: look at the disk. reason: what the store said.

    It is no fact of a journal: told once in this life, gone with it.
    """

    event_id: str
    records_waiting: int
    bytes_waiting: int
    oldest_waiting_seconds: int
    reason: str


class StoreRecovered(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The store has caught up. behind_seconds: how long what `StoreBehind` told of lasted."""

    event_id: str
    behind_seconds: int


Event: TypeAlias = (
    PaymentClaimable
    | PaymentClaimed
    | PaymentClaimAbandoned
    | PaymentSent
    | PaymentFailed
    | PaymentForwarded
    | ChannelReady
    | ChannelClosed
    | SpendableOutputs
    | ChannelDataLoss
    | OpenRefused
    | StoreBehind
    | StoreRecovered
)
