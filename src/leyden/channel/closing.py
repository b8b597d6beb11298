"""MutualClose, ForceClosing, Stale, Spent, Closed: the ends of a channel.

Guaranteed: an own commitment leaves only behind a durable `Closing` record, and after that record no secret of this
channel is revealed, in this life or another (invariant S1). A channel that was proven stale never gets such a record.
"""

from leyden.base.errors import CommandRejected
from leyden.base.transition import Decision
from leyden.channel import limits
from leyden.channel.effects import (
    AddRefused,
    Effect,
    EventsRaised,
    FailPeer,
    PublishClose,
    PublishCommitment,
    PublishFunding,
    SendMessage,
    SignClosing,
    WarnPeer,
)
from leyden.channel.env import ChannelEnv
from leyden.channel.inputs import ClosingSignature, Commit, ForceClose, Learn, StartShutdown
from leyden.channel.session import ClosingWanted, ConnectionLost
from leyden.channel.states import NOTHING, ChannelDecision, LiveState
from leyden.journal.records import (
    ChannelClosed,
    Closing,
    FundingAbandoned,
    FundingDisconnected,
    FundingSpent,
    ProvenStale,
    SpendDisconnected,
)
from leyden.wire.messages import ClosingSigned, FeeRange, encode

_ENDS = frozenset({FundingSpent, ChannelClosed, FundingAbandoned, ProvenStale})


def on_force_close(state: LiveState, event: ForceClose, _env: ChannelEnv) -> ChannelDecision:
    """Decide to publish our latest commitment: first the record, then the transaction (BOLT 5, "Failing a Channel")."""
    effects: list[Effect] = [AddRefused(add, limits.CLOSING) for add in state.session.queued_adds]
    effects += [FailPeer(event.reason), PublishCommitment()]
    return Decision((Closing(state.core.local.number, event.reason),), (ConnectionLost(),), tuple(effects))


def refuse_close(_state: LiveState, _event: ForceClose | StartShutdown, _env: ChannelEnv) -> ChannelDecision:
    """After data loss our newest commitment may be a revoked one, and what we think we own may be too little."""
    raise CommandRejected(
        "this channel has lost data: only the peer can close it safely; stay connected to it", code="data_loss"
    )


def already_closing(_state: LiveState, _event: object, _env: ChannelEnv) -> ChannelDecision:
    """The channel is on its way already."""
    return NOTHING


def on_learn(state: LiveState, event: Learn, _env: ChannelEnv) -> ChannelDecision:
    """Append a fact that was found outside: on the chain, or in another journal.

    With a fact that ends the channel the session ends too: what waits in it goes back. A spend that is undone by a
    reorganisation finds a peer that we have not listened to, so the connection is made anew.
    """
    record = event.record
    kind = type(record)
    if kind in _ENDS:
        refused = [AddRefused(add, limits.CLOSING) for add in state.session.queued_adds]
        return Decision((record,), (ConnectionLost(),), (*refused, EventsRaised()))
    if kind is SpendDisconnected and state.core.closing is None and not state.core.stale:
        return Decision((record,), (), (WarnPeer("the close was undone by a reorganisation", disconnect=True),))
    if kind is FundingDisconnected and state.core.opened.funding_transaction:
        return Decision((record,), (), (PublishFunding(), EventsRaised()))
    return Decision((record,), (), (EventsRaised(),))


def on_commit_after_agreement(state: LiveState, _event: Commit, _env: ChannelEnv) -> ChannelDecision:
    """A peer that missed our last `closing_signed` gets it again on a new connection."""
    agreed = state.core.close_agreed
    assert agreed is not None
    if not state.session.reestablished or state.session.closing_wanted_satoshis is not None:
        return NOTHING
    if not state.core.opened.is_opener:
        return NOTHING
    return Decision((), (ClosingWanted(agreed.fee_satoshis),), (SignClosing(agreed.fee_satoshis, 0),))


def on_closing_signed_after_agreement(state: LiveState, msg: ClosingSigned, _env: ChannelEnv) -> ChannelDecision:
    """The peer negotiates again after a reconnection: insist on the fee that both have signed."""
    agreed = state.core.close_agreed
    assert agreed is not None
    effects: tuple[Effect, ...] = (PublishClose(),)
    if state.session.closing_wanted_satoshis is None or msg.fee_satoshis != agreed.fee_satoshis:
        effects = (SignClosing(agreed.fee_satoshis, 0), PublishClose())
    return Decision((), (ClosingWanted(agreed.fee_satoshis),), effects)


def on_closing_signature_after_agreement(
    state: LiveState, event: ClosingSignature, _env: ChannelEnv
) -> ChannelDecision:
    """Send our signature for the agreed fee again."""
    fee = event.fee_satoshis
    message = ClosingSigned(state.core.opened.channel_id, fee, event.signature, FeeRange(fee, fee))
    return Decision((), (), (SendMessage(encode(message)),))
