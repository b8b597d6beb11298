"""Channels that close, for users: why, by which transaction, and what of it is theirs."""

from typing import NamedTuple

from leyden.bitcoin.tx import Transaction, txid_to_hex
from leyden.manager.closes import spend_of
from leyden.manager.manager import Manager
from leyden.manager.state import Slot
from leyden.monitor.balances import OnchainBalance, OnchainKind, onchain_balance, possible_balance
from leyden.monitor.classify import SpendKind
from leyden.monitor.commitments import PossibleCommitment, local_possible
from leyden.monitor.reasons import close_reason


class ClosingFunds(NamedTuple):
    """What is ours of a channel that closes, beside what the wallet counts.

    closing_sat: what nobody can take. outbound_msat, inbound_msat: HTLC outputs that are not resolved.
    """

    closing_sat: int = 0
    outbound_msat: int = 0
    inbound_msat: int = 0


def reason_of(manager: Manager, slot: Slot) -> str | None:
    """Say why a channel closes or is closed; None while it is open."""
    channel = slot.state.core
    spend = spend_of(manager, slot)
    if spend is not None:
        return close_reason(channel, spend)
    if channel.abandoned:
        return channel.abandoned
    if channel.stale:
        return "this node lost data of the channel; the peer has to close it"
    if channel.closing is not None:
        return channel.closing.reason
    return "cooperative close" if channel.close_agreed is not None else None


def txid_of(manager: Manager, slot: Slot) -> str | None:
    """Return the txid of what spent the funding output, else of what we have published to spend it."""
    channel = slot.state.core
    if channel.spent is not None:
        return txid_to_hex(Transaction.parse(channel.spent.transaction).txid())
    if channel.closing is not None and not channel.stale:
        return txid_to_hex(_own(manager, slot).commitment.txid)
    if channel.close_agreed is not None:
        return txid_to_hex(Transaction.parse(channel.close_agreed.transaction).txid())
    return None


def _own(manager: Manager, slot: Slot) -> PossibleCommitment:
    return local_possible(slot.state.core, slot.state.keys, manager.signer.per_commitment_point)


def is_closing(slot: Slot) -> bool:
    """Return whether the money of a channel is on its way to the chain, or there."""
    channel = slot.state.core
    return channel.spent is not None or channel.closing is not None or channel.close_agreed is not None


def funds_of(manager: Manager, slot: Slot) -> ClosingFunds:
    """Return what comes back from a channel that closes. Figures of a channel that is closed are those of its balance:
    what became of its HTLCs is not followed yet.
    """
    channel, keys = slot.state.core, slot.state.keys
    spend = spend_of(manager, slot)
    if spend is None and channel.closing is not None:
        return _funds(possible_balance(channel, keys, _own(manager, slot), None))
    if spend is None or spend.kind is SpendKind.MUTUAL_CLOSE:
        return ClosingFunds()  # the wallet counts what a closing transaction pays to it from the moment it is published
    assert channel.spent is not None, "classified from it"
    balance = onchain_balance(channel, keys, spend, channel.spent.height)
    if channel.closed_height:
        return ClosingFunds(balance.sum_sat(OnchainKind.BALANCE))
    return _funds(balance)


def _funds(balance: OnchainBalance) -> ClosingFunds:
    return ClosingFunds(
        balance.certain_sat,
        balance.sum_sat(OnchainKind.HTLC_REFUND) * 1000,
        balance.sum_sat(OnchainKind.HTLC_UNDECIDED) * 1000,
    )
