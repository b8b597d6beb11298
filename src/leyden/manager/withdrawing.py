"""Signatures that never left: a peer that stays away does not hold HTLCs that it has never heard of (invariant P18).

A signature is made while the store is at work and dies with its connection. If none of its bytes was given to the
transport in this life, it may be taken back by a record; behind that its HTLCs go elsewhere. After a restart nobody
knows any more what has left, so nothing is taken back. Nor is anything while upstream has yet to act on an outcome.
"""

from leyden.channel import effects as fx
from leyden.channel import limits
from leyden.channel.inputs import PendingAdd, Withdraw
from leyden.journal.records import AddedHtlc
from leyden.manager import forwarding, sending
from leyden.manager.manager import Manager
from leyden.manager.state import Slot

WITHDRAW_SECONDS = 10
"""How long a peer may be away before it loses what it was about to be offered."""


def on_time(m: Manager) -> None:
    """Take back what peers that stay away have never heard of."""
    for slot in m.channels.values():
        if slot.tail.unsent and stays_away(m, slot) and not _has_outcomes(slot):
            m.guarded(slot, Withdraw(slot.tail.unsent))
            slot.tail.unsent = 0


def _has_outcomes(slot: Slot) -> bool:
    """Return whether the chain has said something of an HTLC whose id would be given again, and upstream has not acted
    on it durably yet: outcomes are kept by id.
    """
    core = slot.state.core
    return any(htlc.add.htlc_id in core.outcomes for htlc in core.own_signed.adds)


def stays_away(m: Manager, slot: Slot) -> bool:
    """Return whether the peer has been gone for longer than a connection takes to come back."""
    return slot.peer not in m.peers and m.now_seconds >= slot.away_since + WITHDRAW_SECONDS


def return_sources(m: Manager, slot: Slot, adds: tuple[AddedHtlc, ...]) -> None:
    """The withdrawal is durable: each HTLC goes on as one that was never signed."""
    for add in adds:
        source = add.source
        assert source is not None, "what we offer has a source"
        pending = PendingAdd(
            add.amount_msat, add.payment_hash, add.cltv_expiry, add.onion_routing_packet, source, add.fee_msat
        )
        refused = fx.AddRefused(pending, limits.DISCONNECTED)
        if source.forwarded:
            forwarding.on_refused(m, slot, refused)
        else:
            sending.on_refused(m, slot, refused)
