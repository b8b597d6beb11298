"""Channels that close, for users: why, by which transaction, and what of it is theirs now."""

from enum import Enum
from typing import NamedTuple

from leyden.bitcoin.tx import OutPoint, Transaction, txid_to_hex
from leyden.journal.records import FundingSpent
from leyden.manager.closes import spend_of
from leyden.manager.manager import Manager
from leyden.manager.onchain import forecast
from leyden.manager.onchain.claims import claims_of
from leyden.manager.onchain.views import view_of
from leyden.manager.state import Slot
from leyden.monitor.claimable import OutputClaim, swept_now
from leyden.monitor.classify import SpendKind
from leyden.monitor.closed import ClosedView
from leyden.monitor.commitments import PossibleCommitment, local_possible
from leyden.monitor.reasons import close_reason
from leyden.monitor.resolution import IRREVOCABLE_BLOCKS
from leyden.monitor.watched import WatchedKind, WatchedOutput


class ClosingFunds(NamedTuple):
    """What is ours of a channel that closes, beside what the wallet counts.

    closing_sat: what nobody can take if we act in time; of that timelocked (height -> satoshi) cannot be moved before a
    height, and uneconomic_sat is not worth its fee. outbound_msat, inbound_msat: HTLC outputs that are not resolved.
    """

    closing_sat: int
    outbound_msat: int
    inbound_msat: int
    timelocked: dict[int, int]
    uneconomic_sat: int

    @property
    def until_height(self) -> int | None:
        """The first block in which the last of it can be moved."""
        return max(self.timelocked, default=None)


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


def expected_view(manager: Manager, slot: Slot) -> ClosedView | None:
    """Return what a close that we have published will be like if it is in the next block; None when there is none."""
    core, height = slot.state.core, manager.env.block_height + 1
    if core.spent is not None or core.stale:
        return None
    if core.close_agreed is not None:
        raw = core.close_agreed.transaction
    elif core.closing is not None:
        raw = slot.own_commitment or _own(manager, slot).commitment.unsigned
    else:
        return None
    record = FundingSpent(raw, height, b"")
    return ClosedView(core, slot.state.keys, record, b"", manager.signer.per_commitment_point)


def funds_of(manager: Manager, slot: Slot) -> ClosingFunds:
    """Return what comes back from a channel that closes. What a transaction of ours on its way pays to the wallet is
    not here: the wallet counts it from the moment at which it is published.
    """
    view = view_of(manager, slot) or expected_view(manager, slot)
    closing_sat = outbound_sat = inbound_sat = uneconomic_sat = 0
    timelocked: dict[int, int] = {}
    if view is None:
        return ClosingFunds(0, 0, 0, timelocked, 0)
    paying = _on_their_way(manager, slot)
    claims = _claims(manager, slot, view)
    for one in view.unspent():
        if one.outpoint in paying:
            continue
        claim = claims.get(one.outpoint)
        match _share(manager, slot, view, one):
            case Share.OURS:
                closing_sat += one.value_sat
                until = 0 if claim is None else _free_height(slot, view, claim)
                if until > manager.env.block_height + 1:
                    timelocked[until] = timelocked.get(until, 0) + one.value_sat
                elif claim is not None and forecast.is_unswept(manager, slot, claim):
                    uneconomic_sat += one.value_sat
            case Share.OUTBOUND:
                outbound_sat += one.value_sat
            case Share.INBOUND:
                inbound_sat += one.value_sat
            case Share.NOTHING:
                pass
    return ClosingFunds(
        closing_sat, outbound_sat * 1000, inbound_sat * 1000, dict(sorted(timelocked.items())), uneconomic_sat
    )


class Share(Enum):
    """Whose an output is, for sums. OUTBOUND, INBOUND: an HTLC of which nobody knows yet who will have it."""

    OURS = "ours"
    OUTBOUND = "outbound"
    INBOUND = "inbound"
    NOTHING = "nothing"


_OURS = (
    *forecast.OWN_KINDS,
    WatchedKind.REVOKED_TO_LOCAL,
    WatchedKind.REVOKED_HTLC,
    WatchedKind.REVOKED_SECOND_STAGE,
)


def _share(manager: Manager, slot: Slot, view: ClosedView, output: WatchedOutput) -> Share:
    core = slot.state.core
    if output.kind in _OURS:
        # The peer may take what an old commitment of ours pays to us.
        return Share.NOTHING if view.spend.kind is SpendKind.LOCAL_REVOKED else Share.OURS
    htlc = output.htlc
    if output.kind is not WatchedKind.HTLC or htlc is None or htlc.htlc_id is None:
        return Share.NOTHING
    if htlc.offered:
        return Share.NOTHING if htlc.htlc_id in core.onchain_preimages else Share.OUTBOUND
    inbound = core.inbound.get(htlc.htlc_id)
    if inbound is not None and inbound.preimage:
        return Share.OURS
    is_lost = manager.env.block_height >= htlc.cltv_expiry + IRREVOCABLE_BLOCKS
    return Share.NOTHING if is_lost else Share.INBOUND


def _claims(manager: Manager, slot: Slot, view: ClosedView) -> dict[OutPoint, OutputClaim]:
    core, keys = slot.state.core, slot.state.keys
    found = [*swept_now(core, keys, view, manager.signer.per_commitment_point), *claims_of(manager, slot, view)]
    return {claim.input.outpoint: claim for claim in found}


def _free_height(slot: Slot, view: ClosedView, claim: OutputClaim) -> int:
    """The first block in which the money can move; behind an HTLC of our own commitment a second stage waits again."""
    if claim.htlc is not None and view.spend.kind is SpendKind.LOCAL:
        return claim.unlock_height + slot.state.keys.local_parameters.to_self_delay
    return claim.unlock_height


def _on_their_way(manager: Manager, slot: Slot) -> dict[OutPoint, None]:
    """What transactions of ours in mempools spend to the wallet; HTLC transactions pay to a second stage."""
    found: dict[OutPoint, None] = {}
    for active in slot.onchain_claims:
        if active.transaction and not active.fixed and not active.with_coins:
            found.update(dict.fromkeys([claim.input.outpoint for claim in active.claims]))
    if manager.sweep is not None and manager.sweep.transaction:
        found.update(dict.fromkeys(manager.sweep.outpoints()))
    return found
