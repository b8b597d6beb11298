"""What ended a channel, as the monitor sees it: for the log, the user's event and the views."""

from leyden.bitcoin.tx import Transaction, txid_to_hex
from leyden.journal.records import ChannelClosed
from leyden.manager.manager import Manager
from leyden.manager.state import Slot
from leyden.monitor.classify import Spend, classify
from leyden.monitor.reasons import close_reason, is_alarming


def spend_of(m: Manager, slot: Slot) -> Spend | None:
    """Return what spent the funding output of a channel, or None while nothing has. The penalty log is not needed."""
    core = slot.state.core
    if core.spent is None:
        return None
    transaction = Transaction.parse(core.spent.transaction)
    return classify(core, slot.state.keys, transaction, b"", m.signer.per_commitment_point)


def report_spend(m: Manager, slot: Slot) -> None:
    """Say in the log what has just spent the funding output."""
    spend = spend_of(m, slot)
    if spend is not None:
        number = "" if spend.number is None else f" (commitment {spend.number})"
        reason = close_reason(slot.state.core, spend)
        level = "error" if is_alarming(spend) else "info"
        m.report("channel", level, f"channel {slot.channel_id.hex()[:16]}: {txid_to_hex(spend.txid)}: {reason}{number}")


def close(m: Manager, slot: Slot, height: int) -> None:
    """The spend is deep enough: record that the channel is closed, and how."""
    spend = spend_of(m, slot)
    assert spend is not None, "a channel closes when its funding output is spent"
    m.learn(slot, ChannelClosed(height, close_reason(slot.state.core, spend)))
