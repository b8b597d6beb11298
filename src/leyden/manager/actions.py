"""What the manager wants done outside: the driver carries these out after the pass. Each was released by the output
rule.
"""

from typing import Literal, TypeAlias

import msgspec

from leyden.manager.events import Event

# What a line of the log is about; `log.levels` of the configuration has these, and `api`.
Subsystem: TypeAlias = Literal["node", "peer", "channel", "chain", "store"]


class Broadcast(msgspec.Struct, frozen=True, gc=False):
    """Publish a serialised transaction. what: for the log."""

    transaction: bytes
    what: str


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
    Broadcast | Disconnect | FundChannels | ChannelBorn | ReleaseFunding | DropJournal | ShowEvent | Report
)
