"""What ended a channel, as the monitor sees it: for the log, the user's event and the views."""

from leyden.base.errors import CommandRejected
from leyden.bitcoin.tx import txid_to_hex
from leyden.journal.records import ChannelClosed
from leyden.manager.config import CloseCause
from leyden.manager.manager import Manager
from leyden.manager.onchain.views import view_of
from leyden.manager.state import Slot
from leyden.monitor.classify import Spend, classify
from leyden.monitor.reasons import close_reason, is_alarming


def spend_of(m: Manager, slot: Slot) -> Spend | None:
    """Return what spent the funding output of a channel, or None while nothing has."""
    view = view_of(m, slot)
    if view is None or view.spend.possible is None:
        return None if view is None else view.spend
    # Preimages may have come since the view was made.
    transaction = view.spend.transaction
    return classify(slot.state.core, slot.state.keys, transaction, b"", m.signer.per_commitment_point)


def report_spend(m: Manager, slot: Slot) -> None:
    """Say in the log what has just spent the funding output."""
    spend = spend_of(m, slot)
    if spend is not None:
        number = "" if spend.number is None else f" (commitment {spend.number})"
        reason = close_reason(slot.state.core, spend)
        level = "error" if is_alarming(spend) else "info"
        m.report("channel", level, f"channel {slot.channel_id.hex()[:16]}: {txid_to_hex(spend.txid)}: {reason}{number}")


def force_by_user(m: Manager, slot: Slot, *, without_peer: bool) -> None:
    """Publish our commitment because the user wants it (DESIGN section 6, "Restored stores").

    without_peer: the user vouches that this is no old copy of the data, though the peer has not been heard.
    Raises: CommandRejected (`peer_not_heard`, `data_loss`).
    """
    if not (slot.heard or without_peer or slot.state.core.stale):
        raise CommandRejected(
            "the peer has not said since this node started where the channel stands. If the data directory was ever "
            "put back from a copy, publishing our commitment may cost all that we have in the channel: connect to the "
            "peer and try again. If it is gone for good and these data are no copy, say so (`--without-peer`)",
            code="peer_not_heard",
        )
    m.force_close(slot, "closed by the user", CloseCause.USER)


def close(m: Manager, slot: Slot, height: int) -> None:
    """The spend is deep enough: record that the channel is closed, and how."""
    spend = spend_of(m, slot)
    assert spend is not None, "a channel closes when its funding output is spent"
    m.learn(slot, ChannelClosed(height, close_reason(slot.state.core, spend)))
