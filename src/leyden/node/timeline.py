"""The on-chain life of a channel, for users: what closed it, what became of each output, what is to come."""

from collections.abc import Iterator

import msgspec

from leyden.bitcoin.tx import OutPoint, Transaction, txid_to_hex
from leyden.manager.manager import Manager
from leyden.manager.onchain import bumping, claims, forecast, sweeping
from leyden.manager.onchain.active import ActiveClaim, ActiveSweep
from leyden.manager.onchain.deadlines import close_height
from leyden.manager.onchain.views import view_of
from leyden.manager.state import Slot
from leyden.monitor.claimable import OutputClaim, swept_now
from leyden.monitor.classify import Spend
from leyden.monitor.closed import ClosedView
from leyden.monitor.commitments import KnownHtlc
from leyden.monitor.fates import Taker, taker_of
from leyden.monitor.resolution import str_of
from leyden.monitor.watched import WatchedHtlc, WatchedKind, WatchedOutput
from leyden.node import closing, describe
from leyden.node.onchain_views import (
    ClaimStateName,
    CommitmentFateView,
    OnchainClaimView,
    OnchainHtlcView,
    OnchainOutputView,
    OnchainStateName,
    TimelineView,
)

_TAKEN: dict[Taker, OnchainStateName] = {Taker.US: "ours", Taker.PEER: "theirs", Taker.SOMEBODY: "spent"}
_ANCHORS = (WatchedKind.OWN_ANCHOR, WatchedKind.OTHER_ANCHOR)


def timeline(m: Manager, slot: Slot) -> TimelineView:
    """Return what has happened to a channel on the chain, and what will."""
    view = view_of(m, slot)
    expected = view is None
    if view is None:
        view = closing.expected_view(m, slot)
    outputs: list[OnchainOutputView] = []
    if view is not None:
        outputs = [*_outputs(m, slot, view, expected), *_trimmed(slot, view)]
    return TimelineView(
        channel_id=slot.channel_id.hex(),
        state=describe.state_name(slot),
        block_height=m.env.block_height,
        reason=closing.reason_of(m, slot),
        deadline_height=close_height(m, slot),
        commitment=None if view is None else _commitment(m, slot, view, expected),
        outputs=outputs,
        claims=[claim_view(m, active, forecast.bump_height(m, active)) for active in slot.onchain_claims],
        archive_height=forecast.archive_height(m, slot),
    )


def _commitment(m: Manager, slot: Slot, view: ClosedView, expected: bool) -> CommitmentFateView:
    spend = view.spend
    fee_sat = slot.state.core.opened.funding_satoshis - sum([one.value_sat for one in spend.transaction.outputs])
    height = None if expected else view.record.height
    child = slot.anchor_claim
    if child is not None and not child.transaction and (not expected or child.making is None):
        child = None  # it is not needed: the commitment pays enough by itself, or is in a block
    return CommitmentFateView(
        kind=spend.kind.value,
        txid=txid_to_hex(spend.txid),
        number=spend.number,
        height=height,
        confirmations=0 if height is None else m.env.block_height - height + 1,
        fee_sat=fee_sat,
        feerate_per_kw=_feerate(spend, fee_sat),
        child=None if child is None else _child(m, slot, child),
    )


def _child(m: Manager, slot: Slot, child: ActiveClaim) -> OnchainClaimView:
    """An anchor has no deadline of its own: it is there for those of the commitment, while that is in no block."""
    deadline = None if slot.state.core.spent is not None else bumping.deadline_height(m, slot)
    view = claim_view(m, child, forecast.child_bump_height(m, slot))
    return msgspec.structs.replace(view, deadline_height=deadline)


def _feerate(spend: Spend, fee_sat: int) -> int:
    if not spend.transaction.inputs[0].witness and spend.possible is not None:
        return spend.possible.commitment.feerate_per_kw  # ours, not signed here
    return fee_sat * 1000 // spend.transaction.weight()


# --- outputs ---------------------------------------------------------------------------------------------------------


def _outputs(m: Manager, slot: Slot, view: ClosedView, expected: bool) -> Iterator[OnchainOutputView]:
    core, keys = slot.state.core, slot.state.keys
    wanted = {claim.input.outpoint: claim for claim in swept_now(core, keys, view, m.signer.per_commitment_point)}
    wanted.update({claim.input.outpoint: claim for claim in claims.claims_of(m, slot, view)})
    for one in view.outputs.values():
        seen = view.spenders.get(one.outpoint)
        claim = wanted.get(one.outpoint)
        active = _active(m, slot, one.outpoint)
        state = _state(m, slot, view, one, claim, active, expected)
        shown = active if state == "claiming" else None
        is_over = seen is not None or state == "left"
        yield OnchainOutputView(
            outpoint=str_of(one.outpoint),
            kind=one.kind.value,
            amount_sat=one.value_sat,
            state=state,
            height=None if expected else one.height,
            unlock_height=None if claim is None or is_over else claim.unlock_height,
            deadline_height=None if claim is None or is_over else claim.deadline_height,
            htlc=None if one.htlc is None else _htlc(slot, view, one.htlc, one.value_sat * 1000),
            txid=txid_to_hex(seen.txid) if seen is not None else txid_to_hex(shown.txid) if shown else None,
            spent_height=None if seen is None else seen.height,
            feerate_per_kw=feerate_of(m, seen.transaction) if seen else shown.feerate_per_kw if shown else None,
        )


def _state(
    m: Manager,
    slot: Slot,
    view: ClosedView,
    output: WatchedOutput,
    claim: OutputClaim | None,
    active: "ActiveClaim | ActiveSweep | None",
    expected: bool,
) -> OnchainStateName:
    taker = taker_of(view, output)
    if taker is not None:
        return _TAKEN[taker]
    if expected:
        return "left" if output.kind in _ANCHORS else "expected"
    if active is not None and active.transaction:
        return "claiming"
    if claim is None:
        return "undecided" if output.kind is WatchedKind.HTLC else "left"
    if output.kind in _ANCHORS:
        return "left"
    if claim.unlock_height > m.env.block_height + 1:
        return "locked"
    if active is not None:
        return "uneconomic" if is_uneconomic(m, active) else "ready"
    return "uneconomic" if forecast.is_unswept(m, slot, claim) else "ready"


def _active(m: Manager, slot: Slot, outpoint: OutPoint) -> "ActiveClaim | ActiveSweep | None":
    """Return the transaction of this life that is to take an output."""
    for active in slot.onchain_claims:
        if any(claim.input.outpoint == outpoint for claim in active.claims):
            return active
    sweep = m.sweep
    return sweep if sweep is not None and outpoint in sweep.outpoints() else None


def _htlc(slot: Slot, view: ClosedView, htlc: WatchedHtlc, amount_msat: int) -> OnchainHtlcView:
    known: tuple[KnownHtlc, ...] = () if view.spend.possible is None else view.spend.possible.htlcs
    for one in known:
        if one.key == (htlc.offered, htlc.htlc_id):
            amount_msat = one.amount_msat
    return OnchainHtlcView(
        direction="outbound" if htlc.offered else "inbound",
        htlc_id=htlc.htlc_id,
        amount_msat=amount_msat,
        payment_hash=htlc.payment_hash.hex(),
        cltv_expiry=htlc.cltv_expiry,
        has_preimage=_has_preimage(slot, htlc.offered, htlc.htlc_id),
    )


def _has_preimage(slot: Slot, offered: bool, htlc_id: int | None) -> bool:
    if htlc_id is None:
        return False
    core = slot.state.core
    if not offered:
        inbound = core.inbound.get(htlc_id)
        return inbound is not None and bool(inbound.preimage)
    outbound = core.outbound.get(htlc_id)
    removed = outbound is not None and outbound.removal is not None and bool(outbound.removal.preimage)
    return removed or bool(core.onchain_preimages.get(htlc_id))


def _trimmed(slot: Slot, view: ClosedView) -> Iterator[OnchainOutputView]:
    """HTLCs that are too small for an output of this commitment."""
    if view.spend.possible is None:
        return
    for one in view.spend.possible.trimmed():
        yield OnchainOutputView(
            outpoint=None, kind="htlc", amount_sat=one.amount_msat // 1000, state="trimmed", htlc=_known(slot, one)
        )


def _known(slot: Slot, htlc: KnownHtlc) -> OnchainHtlcView:
    return OnchainHtlcView(
        direction="outbound" if htlc.offered else "inbound",
        htlc_id=htlc.htlc_id,
        amount_msat=htlc.amount_msat,
        payment_hash=htlc.payment_hash.hex(),
        cltv_expiry=htlc.cltv_expiry,
        has_preimage=_has_preimage(slot, htlc.offered, htlc.htlc_id),
    )


# --- transactions ----------------------------------------------------------------------------------------------------


def claim_view(m: Manager, active: ActiveClaim, bump_height: int | None) -> OnchainClaimView:
    """Return a claim for users. bump_height: at which it pays more, when that is known."""
    state: ClaimStateName = "refused" if active.refused else "published"
    if not active.transaction:
        state = "uneconomic" if is_uneconomic(m, active) else "making"
    return OnchainClaimView(
        txid=txid_to_hex(active.txid) if active.txid else None,
        outpoints=[str_of(claim.input.outpoint) for claim in active.claims],
        state=state,
        feerate_per_kw=active.feerate_per_kw,
        fee_sat=active.fee_sat,
        amount_sat=active.value_sat,
        since_height=active.made_height,
        bump_height=bump_height,
        deadline_height=active.deadline_height,
    )


def sweep_view(sweep: ActiveSweep) -> OnchainClaimView:
    """Return the sweep of this life for users."""
    return OnchainClaimView(
        txid=txid_to_hex(sweep.txid) if sweep.txid else None,
        outpoints=[str_of(outpoint) for outpoint in sweep.outpoints()],
        state="making" if not sweep.transaction else "refused" if sweep.refused else "published",
        feerate_per_kw=sweep.feerate_per_kw,
        fee_sat=sweep.fee_sat,
        amount_sat=sum([claim.input.value_sat for claim in sweep.claims]),
        since_height=sweep.made_height,
        bump_height=sweep.made_height + (1 if sweep.refused else sweeping.REPLACE_AFTER_BLOCKS),
    )


def is_uneconomic(m: Manager, active: "ActiveClaim | ActiveSweep") -> bool:
    """Return whether a claim waits for lower fees."""
    return isinstance(active, ActiveClaim) and not active.transaction and active.claim_id in m.told_uneconomic


def feerate_of(m: Manager, transaction: Transaction) -> int | None:
    """Return the feerate (sat/kw) of a transaction in a block whose inputs are all outputs of closed channels."""
    spent_sat = 0
    for one in transaction.inputs:
        slot = m.watched.get(one.prevout)
        view = None if slot is None else slot.closed_view
        output = None if view is None else view.outputs.get(one.prevout)
        if output is None:
            return None
        spent_sat += output.value_sat
    fee_sat = spent_sat - sum([one.value_sat for one in transaction.outputs])
    return fee_sat * 1000 // transaction.weight()
