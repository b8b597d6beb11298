"""What the manager wants done outside: the driver carries these out after the pass. Each was released by the output
rule.
"""

from typing import Literal, TypeAlias

import msgspec

from leyden.bitcoin.tx import Transaction, TxOut
from leyden.manager.events import Event

# What a line of the log is about; `log.levels` of the configuration has these, and `api`.
Subsystem: TypeAlias = Literal["node", "peer", "channel", "chain", "store"]


class Broadcast(msgspec.Struct, frozen=True, gc=False):
    """Publish a serialised transaction. what: for the log."""

    transaction: bytes
    what: str


class BroadcastPackage(msgspec.Struct, frozen=True, gc=False):
    """Publish transactions together, parents first, so that the last one pays for the others. what: for the log."""

    transactions: tuple[bytes, ...]
    what: str


class FundClaim(msgspec.Struct, frozen=True, gc=False):
    """Coins of the wallet are to pay the fee of a claim: add inputs and a change output behind those that are there,
    sign the added inputs, and call `onchain.claim_funded` or `onchain.claim_not_funded`.

    claim_id: 32 bytes that name it, again for a version that pays more. transaction: unsigned, without the coins.
    spent: what its inputs spend, in order. weight: of the transaction as it is, signed, the coins not counted.
    feerate_per_kw: that transaction and parent together must reach, unless the transaction's own fee would be above
    fee_max_sat. parent_weight, parent_fee_sat: of an unconfirmed
    transaction that it also pays for; 0 when there is none.
    """

    claim_id: bytes
    transaction: Transaction
    spent: tuple[TxOut, ...]
    weight: int
    feerate_per_kw: int
    fee_max_sat: int
    parent_weight: int
    parent_fee_sat: int


class ForgetTransaction(msgspec.Struct, frozen=True, gc=False):
    """A transaction that was published will never confirm: the wallet lets go of it, and its coins are free. txid: 32
    bytes, internal order.
    """

    txid: bytes


class Disconnect(msgspec.Struct, frozen=True, gc=False):
    """End the connection to a peer, after what was queued has left."""

    node_id: bytes
    reason: str


class FundChannels(msgspec.Struct, frozen=True, gc=False):
    """The peers accept: make one transaction with these outputs (not broadcast) and call `funding_ready` or
    `funding_failed`.

    funding_id: 32 bytes that name it until then. outputs: (script_pubkey, satoshis). anchor_channels: how many of them
    fund channels with anchors.
    """

    funding_id: bytes
    outputs: tuple[tuple[bytes, int], ...]
    anchor_channels: int


class ChannelBorn(msgspec.Struct, frozen=True, gc=False):
    """An opening that the user asked for has become a channel, durably."""

    user_channel_id: bytes
    channel_id: bytes


class ReleaseFunding(msgspec.Struct, frozen=True, gc=False):
    """The openings of a transaction came to nothing, for good: its coins are free."""

    transaction: bytes


class DropJournal(msgspec.Struct, frozen=True, gc=False):
    """Remove a journal that `node` has recorded as archived, durably."""

    journal: str


class ShowEvent(msgspec.Struct, frozen=True, gc=False):
    """Show an event to the user."""

    event: Event


class Report(msgspec.Struct, frozen=True, gc=False):
    """Something for the log. level: `debug`, `info`, `warning`, `error`."""

    subsystem: Subsystem
    level: str
    text: str


Action: TypeAlias = (
    Broadcast
    | BroadcastPackage
    | FundClaim
    | ForgetTransaction
    | Disconnect
    | FundChannels
    | ChannelBorn
    | ReleaseFunding
    | DropJournal
    | ShowEvent
    | Report
)
