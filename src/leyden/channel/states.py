"""The states of a channel. Which one it is follows from its journal alone (`state_of`).

    (opening_v1: volatile, before the journal exists)
      AwaitingReady -> Normal -> ShuttingDown -> Negotiating -> MutualClose -> Spent -> Closed
                         any of these -> ForceClosing -> Spent -> Closed
                         any of these -> Stale (the peer proved that we lost data)

| state | what it means | file |
| --- | --- | --- |
| AwaitingReady | the funding is signed; one `channel_ready` at least is missing | ready.py |
| Normal | payments flow | normal.py |
| ShuttingDown | `shutdown` was sent or received; HTLCs are resolved, none is added | shutdown.py |
| Negotiating | both `shutdown` exchanged, no HTLC left; fees of the closing transaction | negotiating.py |
| MutualClose | the closing transaction has both signatures | closing.py |
| ForceClosing | our commitment is published; no secret is revealed any more | closing.py |
| Stale | never publish, wait for the peer to close | closing.py |
| Spent | the funding output is spent in a block | closing.py |
| Closed | deep enough: nothing off chain happens here any more | closing.py |
"""

from typing import TypeAlias

import msgspec

from leyden.base.transition import Decision
from leyden.channel.build import ChannelKeys
from leyden.channel.core import ChannelCore
from leyden.channel.effects import Effect
from leyden.channel.session import Fact, Session
from leyden.journal.records import ChannelRecord

ChannelDecision: TypeAlias = Decision[ChannelRecord, Fact, Effect]
NOTHING: ChannelDecision = Decision()


class LiveState(msgspec.Struct):
    """A born channel: its durable core, the volatile session, and the keys of its transactions."""

    core: ChannelCore
    session: Session
    keys: ChannelKeys


class AwaitingReady(LiveState):
    """See the table."""


class Normal(LiveState):
    """See the table."""


class ShuttingDown(LiveState):
    """See the table."""


class Negotiating(LiveState):
    """See the table."""


class MutualClose(LiveState):
    """See the table."""


class ForceClosing(LiveState):
    """See the table."""


class Stale(LiveState):
    """See the table."""


class Spent(LiveState):
    """See the table."""


class Closed(LiveState):
    """See the table."""


ChannelState: TypeAlias = (
    AwaitingReady | Normal | ShuttingDown | Negotiating | MutualClose | ForceClosing | Stale | Spent | Closed
)


def state_class(core: ChannelCore) -> type[ChannelState]:
    """Return the state that a core is in: the last things first."""
    if core.closed_height or core.abandoned:
        return Closed
    if core.spent is not None:
        return Spent
    if core.stale:
        return Stale
    if core.closing is not None:
        return ForceClosing
    if core.close_agreed is not None:
        return MutualClose
    if core.local_shutdown_script or core.remote_shutdown_script:
        if core.local_shutdown_script and core.remote_shutdown_script and not core.has_pending_htlcs():
            return Negotiating
        return ShuttingDown
    if core.local_ready and core.remote_ready:
        return Normal
    return AwaitingReady


def state_of(state: LiveState) -> ChannelState:
    """Return the state value for the core of `state`; the same object when nothing changed."""
    wanted = state_class(state.core)
    if type(state) is wanted:
        return state
    return wanted(state.core, state.session, state.keys)
