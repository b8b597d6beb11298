"""The volatile half of a channel: what BOLT 2 forgets at a disconnection, so a crash may forget it too."""

from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from leyden.channel.core import ChannelCore
from leyden.channel.htlc import Changes, OutboundHtlc, inbound_htlc
from leyden.channel.inputs import PendingAdd
from leyden.channel.view import CommitmentView
from leyden.journal.records import AddedHtlc, RemovedHtlc


class Session(msgspec.Struct):
    """Updates that no signature covers, and where the connection stands.

    next_local: our next commitment as far as it is known: `core.local` with all acked changes of ours and received ones
    applied. received_*: the peer's updates since its last signature. queued_*: ours, to be sent with the next
    signature. removing: outbound htlc_ids that the peer removes in `received_removals`. released: inbound htlc_ids of
    claims whose parts are all durable: their fulfils may leave with the next signature (invariant P11). closing_*: the
    fee we want signed, the fee we offered with its signature, and the peer's, on this connection.

    Nothing is queued or released unless `reestablished`: what is decided before is queued from the journal by
    `channel_reestablish`, and a channel that is over promises nothing to its peer any more.
    """

    connected: bool = False
    reestablished: bool = False
    next_local: CommitmentView | None = None
    received_adds: list[AddedHtlc] = []
    received_removals: list[RemovedHtlc] = []
    received_feerate_per_kw: int = 0
    removing: set[int] = set()
    queued_adds: deque[PendingAdd] = msgspec.field(default_factory=deque)
    queued_msat: int = 0
    queued_removals: list[int] = []
    released: set[int] = set()
    queued_feerate_per_kw: int = 0
    shutdown_sent: bool = False
    closing_wanted_satoshis: int | None = None
    closing_fee_satoshis: int | None = None
    closing_signature: bytes = b""
    peer_closing: "ClosingFeeReceived | None" = None
    events_shown: set[str] = set()

    def has_received(self, htlc_id: int) -> bool:
        """Return whether the newest HTLC that the peer has offered, and not signed yet, is this one."""
        return bool(self.received_adds) and self.received_adds[-1].htlc_id == htlc_id


class AddReceived(msgspec.Struct, frozen=True, gc=False):
    """An `update_add_htlc` that passed its checks."""

    add: AddedHtlc


class RemovalReceived(msgspec.Struct, frozen=True, gc=False):
    """An update that removes an HTLC of ours, checked."""

    removal: RemovedHtlc


class FeerateReceived(msgspec.Struct, frozen=True, gc=False):
    """An `update_fee`, checked."""

    feerate_per_kw: int


class CommitmentReceived(msgspec.Struct, frozen=True, gc=False):
    """The peer's signature covers everything it had sent."""


class RevocationReceived(msgspec.Struct, frozen=True, gc=False):
    """Changes of ours that the peer has revoked for: its next signature covers them."""

    acked: Changes


class AddQueued(msgspec.Struct, frozen=True, gc=False):
    """An HTLC waits to be offered."""

    add: PendingAdd


class RemovalsQueued(msgspec.Struct, frozen=True, gc=False):
    """Decided inbound HTLCs wait to be removed."""

    htlc_ids: tuple[int, ...]


class ClaimReleased(msgspec.Struct, frozen=True, gc=False):
    """Claimed inbound HTLCs may be fulfilled now."""

    htlc_ids: tuple[int, ...]


class FeerateQueued(msgspec.Struct, frozen=True, gc=False):
    """An `update_fee` waits to be sent."""

    feerate_per_kw: int


class QueueTaken(msgspec.Struct, frozen=True, gc=False):
    """The first `adds` of the queued HTLCs, and all queued removals and fees, are signed or refused now."""

    adds: int


class AddsRefused(msgspec.Struct, frozen=True, gc=False):
    """No HTLC is offered any more; removals and a fee that wait go on."""


class ConnectionOpened(msgspec.Struct, frozen=True, gc=False):
    """A connection on which nothing has been said for this channel."""


class ConnectionLost(msgspec.Struct, frozen=True, gc=False):
    """Everything volatile is forgotten."""


class ReestablishPassed(msgspec.Struct, frozen=True, gc=False):
    """Both sides know where they stand: updates may flow."""


class ShutdownSent(msgspec.Struct, frozen=True, gc=False):
    """`shutdown` was sent on this connection."""


class ClosingWanted(msgspec.Struct, frozen=True, gc=False):
    """The fee that the signer is asked to sign."""

    fee_satoshis: int


class ClosingOffered(msgspec.Struct, frozen=True, gc=False):
    """Our closing fee on this connection."""

    fee_satoshis: int
    signature: bytes


class ClosingFeeReceived(msgspec.Struct, frozen=True, gc=False):
    """The peer's last closing fee on this connection, its signature (64 bytes), and the form it signed
    (`closing_form`).
    """

    fee_satoshis: int
    signature: bytes
    form: int


Fact: TypeAlias = (
    AddReceived
    | RemovalReceived
    | FeerateReceived
    | CommitmentReceived
    | RevocationReceived
    | AddQueued
    | RemovalsQueued
    | ClaimReleased
    | FeerateQueued
    | QueueTaken
    | AddsRefused
    | ConnectionOpened
    | ConnectionLost
    | ReestablishPassed
    | ShutdownSent
    | ClosingWanted
    | ClosingOffered
    | ClosingFeeReceived
)


def next_local(core: ChannelCore, session: Session) -> CommitmentView:
    """Return our next commitment as far as it is known; made on first use after each signature of the peer."""
    view = session.next_local
    if view is None:
        view = core.local.copy()
        view.apply(core.own_acked)
        session.next_local = view
    return view


def apply_fact(core: ChannelCore, session: Session, fact: Fact) -> None:
    """Take a fact into the session, in place."""
    _FACTS[type(fact)](core, session, fact)


def _add_received(core: ChannelCore, session: Session, fact: AddReceived) -> None:
    next_local(core, session).add(inbound_htlc(fact.add))
    session.received_adds.append(fact.add)


def _removal_received(core: ChannelCore, session: Session, fact: RemovalReceived) -> None:
    removal = fact.removal
    next_local(core, session).remove(core.outbound[removal.htlc_id], bool(removal.preimage))
    session.received_removals.append(removal)
    session.removing.add(removal.htlc_id)


def _feerate_received(core: ChannelCore, session: Session, fact: FeerateReceived) -> None:
    next_local(core, session).set_feerate(fact.feerate_per_kw)
    session.received_feerate_per_kw = fact.feerate_per_kw


def _commitment_received(_core: ChannelCore, session: Session, _fact: CommitmentReceived) -> None:
    forget_received(session)


def _revocation_received(_core: ChannelCore, session: Session, fact: RevocationReceived) -> None:
    if session.next_local is not None:
        session.next_local.apply(fact.acked)


def _add_queued(_core: ChannelCore, session: Session, fact: AddQueued) -> None:
    session.queued_adds.append(fact.add)
    session.queued_msat += fact.add.amount_msat


def _removals_queued(_core: ChannelCore, session: Session, fact: RemovalsQueued) -> None:
    session.queued_removals.extend(fact.htlc_ids)


def _claim_released(_core: ChannelCore, session: Session, fact: ClaimReleased) -> None:
    session.released.update(fact.htlc_ids)
    session.queued_removals.extend(fact.htlc_ids)


def _feerate_queued(_core: ChannelCore, session: Session, fact: FeerateQueued) -> None:
    session.queued_feerate_per_kw = fact.feerate_per_kw


def _queue_taken(_core: ChannelCore, session: Session, fact: QueueTaken) -> None:
    for _ in range(fact.adds):
        session.queued_msat -= session.queued_adds.popleft().amount_msat
    session.released.difference_update(session.queued_removals)
    session.queued_removals = []
    session.queued_feerate_per_kw = 0


def _adds_refused(_core: ChannelCore, session: Session, _fact: AddsRefused) -> None:
    session.queued_adds.clear()
    session.queued_msat = 0


def forget_received(session: Session) -> None:
    """The peer's signature covers what was received, or the connection is lost."""
    session.next_local = None
    session.received_adds = []
    session.received_removals = []
    session.received_feerate_per_kw = 0
    session.removing = set()


def _connection_lost(_core: ChannelCore, session: Session, _fact: ConnectionLost) -> None:
    forget_received(session)
    session.connected = session.reestablished = session.shutdown_sent = False
    session.queued_adds.clear()
    session.queued_msat = 0
    session.queued_removals = []
    session.released = set()
    session.queued_feerate_per_kw = 0
    session.closing_wanted_satoshis = session.closing_fee_satoshis = None
    session.closing_signature = b""
    session.peer_closing = None


def _connection_opened(_core: ChannelCore, session: Session, _fact: ConnectionOpened) -> None:
    session.connected = True


def _reestablish_passed(_core: ChannelCore, session: Session, _fact: ReestablishPassed) -> None:
    session.reestablished = True


def _shutdown_sent(_core: ChannelCore, session: Session, _fact: ShutdownSent) -> None:
    session.shutdown_sent = True


def _closing_wanted(_core: ChannelCore, session: Session, fact: ClosingWanted) -> None:
    session.closing_wanted_satoshis = fact.fee_satoshis


def _closing_offered(_core: ChannelCore, session: Session, fact: ClosingOffered) -> None:
    session.closing_fee_satoshis = fact.fee_satoshis
    session.closing_signature = fact.signature


def _closing_fee_received(_core: ChannelCore, session: Session, fact: ClosingFeeReceived) -> None:
    session.peer_closing = fact


_FACTS: dict[type, Callable[[ChannelCore, Session, Any], None]] = {
    AddReceived: _add_received,
    RemovalReceived: _removal_received,
    FeerateReceived: _feerate_received,
    CommitmentReceived: _commitment_received,
    RevocationReceived: _revocation_received,
    AddQueued: _add_queued,
    RemovalsQueued: _removals_queued,
    ClaimReleased: _claim_released,
    FeerateQueued: _feerate_queued,
    QueueTaken: _queue_taken,
    AddsRefused: _adds_refused,
    ConnectionOpened: _connection_opened,
    ConnectionLost: _connection_lost,
    ReestablishPassed: _reestablish_passed,
    ShutdownSent: _shutdown_sent,
    ClosingWanted: _closing_wanted,
    ClosingOffered: _closing_offered,
    ClosingFeeReceived: _closing_fee_received,
}


def is_removing(session: Session, htlc: OutboundHtlc) -> bool:
    """Return whether the peer has already removed this HTLC."""
    return htlc.removal is not None or htlc.add.htlc_id in session.removing
