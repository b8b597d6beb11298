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


class FundChannel(msgspec.Struct, frozen=True, gc=False):
    """The peer accepts: make a transaction with this output (not broadcast) and call `funding_ready` or
    `funding_failed`.
    """

    node_id: bytes
    temporary_channel_id: bytes
    script_pubkey: bytes
    funding_satoshis: int
    anchors: bool


class ChannelBorn(msgspec.Struct, frozen=True, gc=False):
    """An opening that the user asked for has become a channel, durably."""

    user_channel_id: bytes
    channel_id: bytes


class ReleaseFunding(msgspec.Struct, frozen=True, gc=False):
    """An opening came to nothing: the coins of its funding transaction are free."""

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
    Broadcast | Disconnect | FundChannel | ChannelBorn | ReleaseFunding | DropJournal | ShowEvent | Report
)
