"""AwaitingReady: the channel is born, its funding waits to be deep enough.

Means: the journal holds the peer's signature on our first commitment.
Guaranteed: whatever happens to the funding transaction, our money can come back; nothing has been paid over it.
Leaves by: both `channel_ready` (Normal), shutdown, force-close, or a funding that can no longer confirm (Closed).
"""

from leyden.base.transition import Decision
from leyden.channel.core import ChannelCore
from leyden.channel.effects import Effect, EventsRaised, Ready, SendChannelReady, SendChannelUpdate
from leyden.channel.env import ChannelEnv
from leyden.channel.errors import InvalidOpen
from leyden.channel.inputs import BecomeReady
from leyden.channel.states import NOTHING, ChannelDecision, LiveState
from leyden.crypto import ec
from leyden.journal.records import LocalReady, RemoteReady
from leyden.wire.messages import ChannelReady


def depth(core: ChannelCore, block_height: int) -> int:
    """Return the confirmations of the funding transaction at this height (0: unconfirmed)."""
    return 0 if core.funding is None else block_height - core.funding.height + 1


def on_become_ready(state: LiveState, event: BecomeReady, env: ChannelEnv) -> ChannelDecision:
    """Say `channel_ready` once the funding is deep enough, or at once for zero-conf (BOLT 2, "The `channel_ready`
    Message").
    """
    core = state.core
    if core.local_ready or (depth(core, env.block_height) < core.opened.minimum_depth):
        return NOTHING
    effects: list[Effect] = [SendChannelReady()] if state.session.reestablished else []
    if core.remote_ready:
        effects += [Ready(), EventsRaised()]
        if state.session.reestablished:
            effects.append(SendChannelUpdate())
    return Decision((LocalReady(event.alias),), (), tuple(effects))


def on_channel_ready(state: LiveState, msg: ChannelReady, _env: ChannelEnv) -> ChannelDecision:
    """Take the peer's point for commitment 1 and its alias; a repetition may bring another alias.

    Raises: InvalidOpen when the point is none, or differs from the one given before.
    Spec:   BOLT 2, "The `channel_ready` Message".
    """
    core = state.core
    alias = msg.short_channel_id or 0
    if core.remote_ready:
        if core.remote.number == 0 and msg.second_per_commitment_point != core.remote_next_point:
            raise InvalidOpen("channel_ready with another second_per_commitment_point")
        if not alias or alias == core.remote_alias:
            return NOTHING
        return Decision((RemoteReady(msg.second_per_commitment_point, alias),))
    if not ec.is_valid_point(msg.second_per_commitment_point):
        raise InvalidOpen("second_per_commitment_point is not a point")
    effects: tuple[Effect, ...] = (Ready(), EventsRaised(), SendChannelUpdate()) if core.local_ready else ()
    return Decision((RemoteReady(msg.second_per_commitment_point, alias),), (), effects)
