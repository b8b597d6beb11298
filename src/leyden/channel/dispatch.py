"""`decide` and `evolve` for a born channel: tables only, the work is in the state modules."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from leyden.base.transition import Decision
from leyden.channel import closing, negotiating, normal, ready, receive, reestablish, shutdown
from leyden.channel.commit import on_commit, on_withdraw
from leyden.channel.effects import SendChannelUpdate
from leyden.channel.env import ChannelEnv
from leyden.channel.fold import fold
from leyden.channel.inputs import (
    BecomeReady,
    ChangeFeerate,
    ClosingSignature,
    Commit,
    Connected,
    DecideHtlcs,
    Disconnected,
    ForceClose,
    Learn,
    QueueAdd,
    ReleaseClaim,
    SetPolicy,
    Show,
    StartShutdown,
    Withdraw,
)
from leyden.channel.session import Fact, apply_fact
from leyden.channel.states import (
    NOTHING,
    AwaitingReady,
    ChannelDecision,
    ChannelState,
    Closed,
    ForceClosing,
    LiveState,
    MutualClose,
    Negotiating,
    Normal,
    ShuttingDown,
    Spent,
    Stale,
    state_of,
)
from leyden.journal.records import ChannelRecord, ForwardingSwitched, PolicyChanged, ReceivedCommitment, SentCommitment
from leyden.wire.messages import (
    ChannelReady,
    ChannelReestablish,
    ClosingSigned,
    CommitmentSigned,
    RevokeAndAck,
    Shutdown,
    UpdateAddHtlc,
    UpdateFailHtlc,
    UpdateFailMalformedHtlc,
    UpdateFee,
    UpdateFulfillHtlc,
)

Handler: TypeAlias = Callable[[Any, Any, ChannelEnv], ChannelDecision]


def _ignore(_state: LiveState, _event: object, _env: ChannelEnv) -> ChannelDecision:
    """Not for this state, and no harm."""
    return NOTHING


def _on_set_policy(state: LiveState, event: SetPolicy, _env: ChannelEnv) -> ChannelDecision:
    """A connected peer is told at once, another one at the next connection; a later update has a later timestamp."""
    core = state.core
    timestamp = max(event.timestamp, core.policy_timestamp + 1)
    usable = state.session.reestablished and core.local_ready and core.remote_ready
    record: ChannelRecord = PolicyChanged(event.policy, timestamp)
    if event.is_disabled != core.forwarding_disabled:
        record = ForwardingSwitched(event.policy, timestamp, event.is_disabled)
    return Decision((record,), (), (SendChannelUpdate(),) if usable else ())


_EVERYWHERE: dict[type, Handler] = {
    Learn: closing.on_learn,
    Disconnected: reestablish.on_disconnected,
    Commit: _ignore,
    QueueAdd: normal.refuse_add,
    DecideHtlcs: normal.on_decide_htlcs,
    ReleaseClaim: _ignore,
    Withdraw: _ignore,
    Show: _ignore,
    ChangeFeerate: _ignore,
    BecomeReady: _ignore,
    ClosingSignature: _ignore,
    SetPolicy: _ignore,
    StartShutdown: closing.already_closing,
    ForceClose: closing.already_closing,
}

_OFF_CHAIN: dict[type, Handler] = {
    **_EVERYWHERE,
    Connected: reestablish.on_connected,
    ChannelReestablish: reestablish.on_channel_reestablish,
    ChannelReady: ready.on_channel_ready,
    ForceClose: closing.on_force_close,
    SetPolicy: _on_set_policy,
    Shutdown: shutdown.on_shutdown,
}

_UPDATES: dict[type, Handler] = {
    UpdateAddHtlc: receive.on_update_add_htlc,
    UpdateFulfillHtlc: receive.on_update_fulfill_htlc,
    UpdateFailHtlc: receive.on_update_fail_htlc,
    UpdateFailMalformedHtlc: receive.on_update_fail_malformed_htlc,
    UpdateFee: receive.on_update_fee,
    CommitmentSigned: normal.on_commitment_signed,
    RevokeAndAck: normal.on_revoke_and_ack,
    Commit: on_commit,
    Withdraw: on_withdraw,
    ReleaseClaim: normal.on_release_claim,
    Show: normal.on_show,
    ChangeFeerate: normal.on_change_feerate,
}

_MESSAGES: dict[type, Handler] = dict.fromkeys(
    (
        ChannelReady,
        UpdateAddHtlc,
        UpdateFulfillHtlc,
        UpdateFailHtlc,
        UpdateFailMalformedHtlc,
        UpdateFee,
        CommitmentSigned,
        RevokeAndAck,
        Shutdown,
        ClosingSigned,
    ),
    _ignore,
)

_DEAD: dict[type, Handler] = {
    **_EVERYWHERE,
    **_MESSAGES,
    Connected: reestablish.connect_when_dead,
    ChannelReestablish: reestablish.ignore_reestablish_when_dead,
}

_HANDLERS: Mapping[type, dict[type, Handler]] = {
    AwaitingReady: {**_OFF_CHAIN, BecomeReady: ready.on_become_ready, StartShutdown: shutdown.on_start_shutdown},
    Normal: {
        **_OFF_CHAIN,
        **_UPDATES,
        QueueAdd: normal.on_queue_add,
        StartShutdown: shutdown.on_start_shutdown,
    },
    ShuttingDown: {**_OFF_CHAIN, **_UPDATES},
    Negotiating: {
        **_OFF_CHAIN,
        Commit: negotiating.on_commit,
        ClosingSigned: negotiating.on_closing_signed,
        ClosingSignature: negotiating.on_closing_signature,
    },
    MutualClose: {
        **_OFF_CHAIN,
        Commit: closing.on_commit_after_agreement,
        ClosingSigned: closing.on_closing_signed_after_agreement,
        ClosingSignature: closing.on_closing_signature_after_agreement,
    },
    ForceClosing: _DEAD,
    Stale: {
        **_DEAD,
        Connected: reestablish.on_connected,
        ChannelReestablish: reestablish.ask_to_close,
        ForceClose: closing.refuse_close,
        StartShutdown: closing.refuse_close,
    },
    Spent: _DEAD,
    Closed: _DEAD,
}


def decide(state: ChannelState, event: object, env: ChannelEnv) -> ChannelDecision:
    """Say what one input or message causes. Nothing has happened yet.

    Raises: PeerViolation (the peer broke the protocol), CommandRejected (the caller asked the impossible).
    """
    handler = _HANDLERS[type(state)].get(type(event), normal.unexpected)
    return handler(state, event, env)


_KEEPS_STATE = frozenset({SentCommitment, ReceivedCommitment})


def evolve(state: ChannelState, record: ChannelRecord) -> ChannelState:
    """Fold one record; the only way durable state changes."""
    fold(state.core, record)
    if type(state) is Normal and type(record) in _KEEPS_STATE:
        return state
    return state_of(state)


def apply(state: ChannelState, fact: Fact) -> None:
    """Take one volatile fact into the session."""
    apply_fact(state.core, state.session, fact)
