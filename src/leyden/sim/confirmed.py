"""What a world notes of commitments that blocks hold, while the channels that they have closed are still there."""

from leyden.manager.state import Slot
from leyden.monitor.classify import SpendKind
from leyden.monitor.resolution import is_uneconomic
from leyden.monitor.watched import WatchedKind

_REVOKED = (SpendKind.REMOTE_REVOKED, SpendKind.LOCAL_REVOKED)


def revoked_txid(slot: Slot) -> bytes:
    """Return the txid of the commitment that has closed a channel, if this end takes it for a revoked one; else b""."""
    view = slot.closed_view
    return view.spend.txid if view is not None and view.spend.kind in _REVOKED else b""


def dust_msat(slot: Slot) -> dict[bytes, int]:
    """Return, by payment_hash, what the HTLCs are worth together that nobody takes from the commitment that has closed
    a channel, whoever knows the preimage: it has no output of them, or one that costs what it holds at any feerate.

    Of a revoked commitment, which the fold does not know whole, those are meant that live and are small enough.
    """
    view = slot.closed_view
    found: list[tuple[bytes, int]] = []
    if view is not None and view.spend.possible is not None:
        found = [(one.payment_hash, one.amount_msat) for one in view.spend.possible.trimmed()]
        for output in view.unspent():
            if output.kind is WatchedKind.HTLC and output.htlc is not None and is_uneconomic(output):
                found.append((output.htlc.payment_hash, 1000 * output.value_sat + 999))
    elif view is not None and view.spend.revoked is not None:
        core = slot.state.core
        small = [one.add for one in core.outbound.values() if one.add.amount_msat < core.remote.offered_threshold_msat]
        small += [one.add for one in core.inbound.values() if one.add.amount_msat < core.remote.received_threshold_msat]
        found = [(add.payment_hash, add.amount_msat) for add in small]
    summed: dict[bytes, int] = {}
    for payment_hash, amount_msat in found:
        summed[payment_hash] = summed.get(payment_hash, 0) + amount_msat
    return summed
