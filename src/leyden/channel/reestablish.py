"""Reconnection: one `channel_reestablish` each, then what is owed, in the order it was first sent.

A crash is a disconnection, so this is also how a channel goes on after a restart. Queued updates were forgotten;
decisions of the journal are queued again from here, and own adds that were never signed are offered again by the
manager alone.
"""

from leyden.base.transition import Decision
from leyden.channel import limits
from leyden.channel.commit import retransmission
from leyden.channel.core import ChannelCore
from leyden.channel.effects import (
    AddRefused,
    Effect,
    EventsRaised,
    FailPeer,
    Reestablished,
    SendChannelReady,
    SendChannelUpdate,
    SendMessage,
    SendRevokeAndAck,
)
from leyden.channel.env import ChannelEnv
from leyden.channel.errors import InvalidReestablish, UnexpectedMessage
from leyden.channel.inputs import Connected, Disconnected
from leyden.channel.session import (
    ConnectionLost,
    ConnectionOpened,
    Fact,
    ReestablishPassed,
    RemovalsQueued,
    ShutdownSent,
)
from leyden.channel.states import NOTHING, ChannelDecision, LiveState
from leyden.crypto import ec
from leyden.crypto.shachain import index_of_commitment
from leyden.journal.records import ProvenStale
from leyden.transactions.obscured import COMMITMENT_NUMBER_MAX
from leyden.wire.messages import ChannelReestablish, Shutdown, encode

LOST_DATA = "this node has lost data of this channel; please publish your commitment"
_NO_SECRET = bytes(32)


def on_connected(state: LiveState, _event: Connected, env: ChannelEnv) -> ChannelDecision:
    """Say where we stand (BOLT 2, "Message Retransmission")."""
    core = state.core
    revoked = _revoked_by_peer(core)
    secret = core.secrets.get(index_of_commitment(revoked - 1)) if revoked else _NO_SECRET
    message = ChannelReestablish(
        core.opened.channel_id,
        core.local.number + 1,
        revoked,
        secret,
        env.point_of(core.opened.channel_keys_id, core.local.number),
    )
    return Decision((), (ConnectionOpened(),), (SendMessage(encode(message)),))


def _revoked_by_peer(core: ChannelCore) -> int:
    """Return how many commitments the peer has revoked: the number of the first one that it has not."""
    return core.remote.number if core.remote_prior is None else core.remote_prior.number


def on_disconnected(state: LiveState, _event: Disconnected, _env: ChannelEnv) -> ChannelDecision:
    """Forget what no signature covers; sources of own adds return to the manager."""
    refused = tuple([AddRefused(add, limits.DISCONNECTED) for add in state.session.queued_adds])
    return Decision((), (ConnectionLost(),), refused)


def on_channel_reestablish(state: LiveState, msg: ChannelReestablish, env: ChannelEnv) -> ChannelDecision:
    """Compare numbers, then send again what the peer lacks.

    Raises: InvalidReestablish, UnexpectedMessage.
    Spec:   BOLT 2, "Message Retransmission".
    """
    core, session = state.core, state.session
    if session.reestablished:
        raise UnexpectedMessage("a second channel_reestablish on one connection")
    lost = _check_revocations(core, msg, env)
    if lost is not None:
        return lost
    owed = _owed_messages(state, msg)
    facts: list[Fact] = [ReestablishPassed()]
    promised = tuple(
        [
            htlc_id
            for htlc_id, htlc in core.inbound.items()
            if htlc.committed and htlc.decided() and not htlc.removing and not htlc.claim_id
        ]
    )
    if promised:
        facts.append(RemovalsQueued(promised))
    effects: list[Effect] = []
    if core.local_ready and msg.next_commitment_number == 1 and core.local.number == 0:
        effects.append(SendChannelReady())
    effects += owed
    if core.local_shutdown_script:
        effects.append(_shutdown_again(core))
        facts.append(ShutdownSent())
    if core.local_ready and core.remote_ready:
        effects.append(SendChannelUpdate())
    effects.append(Reestablished())
    return Decision((), tuple(facts), tuple(effects))


def _shutdown_again(core: ChannelCore) -> SendMessage:
    """Name the script of the journal: no other one may be named after it (BOLT 2, "Closing Initiation: `shutdown`")."""
    return SendMessage(encode(Shutdown(core.opened.channel_id, core.local_shutdown_script)))


def _check_revocations(core: ChannelCore, msg: ChannelReestablish, env: ChannelEnv) -> ChannelDecision | None:
    """Check what the peer knows of our revocations; a proof that we lost data becomes a record before anything else."""
    claimed, secret = msg.next_revocation_number, msg.your_last_per_commitment_secret
    if claimed > COMMITMENT_NUMBER_MAX or msg.next_commitment_number > COMMITMENT_NUMBER_MAX:
        raise InvalidReestablish("a commitment number beyond 48 bits")
    if claimed == 0:
        valid = secret == _NO_SECRET
    else:
        point = env.point_of(core.opened.channel_keys_id, claimed - 1)
        valid = ec.is_valid_secret(secret) and ec.public_key(secret) == point
    # The proof comes first: whatever else the message asks for, after it we never publish.
    if valid and claimed > core.local.number:
        return Decision((ProvenStale(claimed),), (ConnectionLost(),), (FailPeer(LOST_DATA), EventsRaised()))
    if msg.next_commitment_number == 0:
        raise InvalidReestablish("next_commitment_number is 0: the peer asks for a close")
    if not valid:
        raise InvalidReestablish("your_last_per_commitment_secret is not ours")
    return None


def _owed_messages(state: LiveState, msg: ChannelReestablish) -> list[Effect]:
    core = state.core
    revocation: list[Effect] = []
    if msg.next_revocation_number == core.local.number - 1:
        revocation.append(SendRevokeAndAck(core.local.number - 1))
    elif msg.next_revocation_number != core.local.number:
        raise InvalidReestablish(
            f"next_revocation_number is {msg.next_revocation_number}, our last commitment is {core.local.number}"
        )
    commitment: list[Effect] = []
    if core.remote_prior is not None and msg.next_commitment_number == core.remote.number:
        commitment = retransmission(state)
    elif msg.next_commitment_number != core.remote.number + 1:
        raise InvalidReestablish(
            f"next_commitment_number is {msg.next_commitment_number}, our last signature was for {core.remote.number}"
        )
    if core.revocation_is_last:
        return commitment + revocation
    return revocation + commitment


def ask_to_close(_state: LiveState, _msg: ChannelReestablish, _env: ChannelEnv) -> ChannelDecision:
    """After data loss only the peer can close: it is asked on each connection (BOLT 2, "Message Retransmission")."""
    return Decision((), (), (FailPeer(LOST_DATA),))


def ignore_reestablish_when_dead(_state: LiveState, _msg: ChannelReestablish, _env: ChannelEnv) -> ChannelDecision:
    """A channel that is over answers with `error`, so that the peer closes too (BOLT 2, "Message Retransmission")."""
    return Decision((), (), (FailPeer("this channel is closing on chain"),))


def connect_when_dead(_state: LiveState, _event: Connected, _env: ChannelEnv) -> ChannelDecision:
    """Nothing is owed on a channel that is over."""
    return NOTHING
