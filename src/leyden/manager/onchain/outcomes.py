"""What the chain has decided becomes a record; then it is handed on like every outcome (manager/handoff.py)."""

from functools import partial

from leyden.channel.core import Outcome
from leyden.journal.records import OnchainResolved, RemovedHtlc
from leyden.manager import handoff
from leyden.manager.manager import Manager
from leyden.manager.onchain.views import view_of
from leyden.manager.state import Slot
from leyden.monitor.resolution import Depths, is_resolved, resolve, withdrawn_preimages


def depths_of(m: Manager) -> Depths:
    """Return how deep the chain must be for what: see `ManagerConfig`."""
    return Depths(failure=m.config.onchain_failure_depth, spendable=m.config.closed_depth)


def resolve_now(m: Manager, slot: Slot) -> OnchainResolved | None:
    """Return what the chain has decided and no record says yet."""
    view = view_of(m, slot)
    if view is None:
        return None
    return resolve(slot.state.core, slot.state.keys, view, m.env.block_height, depths_of(m))


def resolve_and_tell(m: Manager, slot: Slot) -> None:
    """Record what the chain has decided, and tell whoever waits for it."""
    decided = resolve_now(m, slot)
    if decided is not None:
        _record(m, slot, decided)
    view = view_of(m, slot)
    if view is None:
        return
    for add, preimage in withdrawn_preimages(slot.state.core, view):
        source = add.source
        assert source is not None, "what we offer has a source"
        removal = RemovedHtlc(add.htlc_id, preimage, b"", 0, b"")
        # Derived at every block, and acting twice is acting once.
        outcome = Outcome(add.htlc_id, source, add.amount_msat, add.fee_msat, add.payment_hash, removal)
        handoff.on_onchain_preimage(m, slot, outcome)


def learn_preimages(m: Manager, slot: Slot, found: dict[int, bytes]) -> None:
    """Record preimages that the mempool shows: the spend may never confirm, and they are true all the same."""
    known = slot.state.core.onchain_preimages
    fresh = [(htlc_id, preimage) for htlc_id, preimage in found.items() if htlc_id not in known]
    if fresh:
        _record(m, slot, OnchainResolved(fresh, [], []))


def _record(m: Manager, slot: Slot, decided: OnchainResolved) -> None:
    # An acknowledgement that waits is of what the chain had said before: it must not take the preimage with it.
    said_anew = [htlc_id for htlc_id, _preimage in decided.fulfilled]
    slot.ack_outcomes = [htlc_id for htlc_id in slot.ack_outcomes if htlc_id not in said_anew]
    m.learn(slot, decided)
    core = slot.state.core
    for htlc_id, preimage in decided.fulfilled:
        # Its own proof: it need not wait for this journal (DESIGN section 2, the one exception).
        if core.onchain_preimages.get(htlc_id) == preimage:
            handoff.on_onchain_preimage(m, slot, core.outcomes[htlc_id])
    htlc_ids = (*[htlc_id for htlc_id, _preimage in decided.fulfilled], *decided.failed)
    if htlc_ids:
        m.outbox.when_durable(slot.tail, partial(handoff.on_outcomes, m, slot, htlc_ids))


def is_finished(m: Manager, slot: Slot) -> bool:
    """Return whether nothing of a closed channel is left on the chain, irrevocably."""
    view = view_of(m, slot)
    return view is not None and is_resolved(slot.state.core, view, m.env.block_height)
