"""What is going to happen to closed channels, for their users; nothing here decides anything."""

from leyden.manager import fees
from leyden.manager.manager import Manager
from leyden.manager.onchain import bumping, claims, sweeping
from leyden.manager.onchain.active import ActiveClaim
from leyden.manager.onchain.views import view_of
from leyden.manager.state import Slot
from leyden.monitor import feerates
from leyden.monitor.claimable import OutputClaim
from leyden.monitor.classify import SpendKind
from leyden.monitor.resolution import IRREVOCABLE_BLOCKS, open_outputs, str_of, unlock_height
from leyden.monitor.watched import WatchedKind, WatchedOutput
from leyden.transactions.claims import input_weight

AHEAD_BLOCKS = 1008
"""How far a claim without a deadline is looked after: a week."""
OWN_KINDS = (WatchedKind.TO_LOCAL, WatchedKind.TO_REMOTE, WatchedKind.SECOND_STAGE)
"""What is ours alone, and swept."""


def bump_height(m: Manager, active: ActiveClaim) -> int | None:
    """Return the height at which a published claim will pay more if it is in no block before and estimates stay as they
    are; None: never.
    """
    height = m.env.block_height
    if active.fixed or not active.transaction:
        return None
    if active.refused:
        return height + 1
    deadline_height = active.deadline_height
    for later in range(height + 1, max(deadline_height or height + AHEAD_BLOCKS, height) + 1):
        wanted = claims.wanted_feerate(m, active, active.weight, later)
        if wanted > active.feerate_per_kw:
            fee_sat = feerates.replacement_fee_sat(active.fee_sat, active.weight, wanted, old_weight=active.weight)
            penalty = claims.is_penalty(active)
            if fee_sat <= feerates.budget_sat(active.value_sat, later, deadline_height, penalty=penalty):
                return later
    return None


def child_bump_height(m: Manager, slot: Slot) -> int | None:
    """Return the same of the child that pays for our commitment."""
    return bumping.bump_height(m, slot, AHEAD_BLOCKS)


def archive_height(m: Manager, slot: Slot) -> int | None:
    """Return the first height at which the journal of a closed channel can be archived, as far as the chain is
    concerned and if every output is spent in the next block that may hold the spend; None: not known yet.
    """
    core, keys, view = slot.state.core, slot.state.keys, view_of(m, slot)
    if view is None or view.spend.kind is SpendKind.OTHER:
        return None
    last = view.record.height
    if view.spend.kind is not SpendKind.MUTUAL_CLOSE:
        next_height = m.env.block_height + 1
        for one in open_outputs(core, view, m.env.block_height, IRREVOCABLE_BLOCKS):
            seen = view.spenders.get(one.outpoint)
            spent = max(next_height, _free_height(one)) if seen is None else seen.height
            if seen is None and one.kind in OWN_KINDS:
                spent = max(next_height, unlock_height(core, keys, one))
            last = max(last, spent)
    return last + IRREVOCABLE_BLOCKS - 1


def _free_height(output: WatchedOutput) -> int:
    """The first block that may hold a spend by whoever offered the HTLC, else 0."""
    return 0 if output.htlc is None else output.htlc.cltv_expiry + 1


def ready_height(m: Manager, output: WatchedOutput, claim: OutputClaim) -> int:
    """Return the height from which on an output of ours is swept: its lock is over, and its transaction is deep."""
    return max(claim.unlock_height - 1, output.height + m.config.closed_depth - 1)


def is_unswept(m: Manager, slot: Slot, claim: OutputClaim) -> bool:
    """Return whether an output of ours is left because it is not worth its fee at the feerate of now."""
    core, height = slot.state.core, m.env.block_height
    if str_of(claim.input.outpoint) not in core.spendable or claim.unlock_height > height + 1:
        return False
    if m.sweep is None:
        return m.is_started and m.config.sweeps
    feerate = max(fees.feerate_for(m, sweeping.TARGET_BLOCKS), m.sweep.feerate_per_kw)
    return claim.input.value_sat <= input_weight(claim.input) * feerate // 1000
