"""Claims of this life: which outputs are claimed by which transaction, at what fee, until a block has settled it.

Nothing here waits for a record (invariant S3), and nothing is stored: the next life makes the same claims of the same
state and chain. A transaction is replaced when it must pay more, when an output of it was taken, or when its deadline
asks for smaller ones.

Spec: BOLT 5, "HTLC Output Handling", "Penalty Transactions Weight Calculation", "On-chain Transactions".
"""

from collections.abc import Iterator

from leyden.bitcoin.script import p2wsh_of_script
from leyden.bitcoin.tx import OutPoint, Transaction, TxOut
from leyden.channel.htlc import InboundHtlc
from leyden.manager import fees
from leyden.manager.actions import Broadcast, ForgetTransaction, FundClaim
from leyden.manager.manager import Manager
from leyden.manager.onchain import bumping, signing, sweeping
from leyden.manager.onchain.active import ActiveClaim, claim_id_of, describe
from leyden.manager.onchain.views import view_of
from leyden.manager.state import Slot
from leyden.monitor import feerates
from leyden.monitor.claimable import ClaimTerms, OutputClaim, claims_now
from leyden.monitor.packages import PackageLimits, group_claims
from leyden.transactions.claim_inputs import ClaimKind
from leyden.transactions.claims import build_claim, claim_weight

LIMITS = PackageLimits()
HOLDER = (ClaimKind.HOLDER_TIMEOUT, ClaimKind.HOLDER_SUCCESS)
REVOKED = (
    ClaimKind.REVOKED_TO_LOCAL,
    ClaimKind.REVOKED_OFFERED,
    ClaimKind.REVOKED_RECEIVED,
    ClaimKind.REVOKED_SECOND_STAGE,
)


def update(m: Manager, slot: Slot) -> None:
    """Bring the claims of a channel in line with the chain; called at each block and when a preimage is decided."""
    if not m.is_started or slot.archived:
        return
    wanted = _wanted(m, slot)
    height = m.env.block_height
    kept: list[ActiveClaim] = []
    replaced: dict[OutPoint, ActiveClaim] = {}
    for active in slot.onchain_claims:
        if _holds(active, wanted, height):
            for claim in active.claims:
                del wanted[claim.input.outpoint]
            kept.append(active)
        else:
            _drop(m, slot, active)
            replaced.update({claim.input.outpoint: active for claim in active.claims})
    slot.onchain_claims = kept
    for active in kept:
        _refresh(m, slot, active)
    for group in group_claims(list(wanted.values()), height, LIMITS):
        _begin(m, slot, group, replaced)


def _wanted(m: Manager, slot: Slot) -> dict[OutPoint, OutputClaim]:
    view = view_of(m, slot)
    if view is None:
        return {}
    height = m.env.block_height
    found = claims_now(slot.state.core, slot.state.keys, view, height, _terms(m, slot))
    return {claim.input.outpoint: claim for claim in found if claim.unlock_height <= height + 1}


def _terms(m: Manager, slot: Slot) -> ClaimTerms:
    core = slot.state.core

    def preimage_of(htlc_id: int) -> bytes:
        htlc = core.inbound[htlc_id]
        return b"" if _is_held_back(m, htlc) else htlc.preimage

    def fail_back_height(htlc_id: int) -> int | None:
        htlc = core.outbound.get(htlc_id)
        source = None if htlc is None else htlc.add.source
        inbound = m.channels.get(source.origin) if source is not None and source.forwarded else None
        if inbound is None or source is None:
            return None
        upstream = inbound.state.core.inbound.get(source.index)
        return None if upstream is None or upstream.preimage else upstream.add.cltv_expiry

    return ClaimTerms(preimage_of, fail_back_height)


def _is_held_back(m: Manager, htlc: InboundHtlc) -> bool:
    """Until every part of a claim is durable its preimage is in no transaction either (invariant P11)."""
    return bool(htlc.claim_id) and (not m.is_started or htlc.claim_id in m.claim_blockers)


def _holds(active: ActiveClaim, wanted: dict[OutPoint, OutputClaim], height: int) -> bool:
    """Return whether a claim is still whole, and may stay together so near to its deadline."""
    if any(claim.input.outpoint not in wanted for claim in active.claims):
        return False
    fresh = [wanted[claim.input.outpoint] for claim in active.claims]
    return len(group_claims(fresh, height, LIMITS)) == 1


def _drop(m: Manager, slot: Slot, active: ActiveClaim) -> None:
    """An output was taken, by this claim or by another transaction; what is left is claimed anew."""
    view = slot.closed_view
    confirmed = view is not None and any(
        (seen := view.spenders.get(claim.input.outpoint)) is not None and seen.txid == active.txid
        for claim in active.claims
    )
    if active.txid and not confirmed:
        m.actions.append(ForgetTransaction(active.txid))


def _begin(m: Manager, slot: Slot, group: tuple[OutputClaim, ...], replaced: dict[OutPoint, ActiveClaim]) -> None:
    first = group[0].input
    holder = first.kind in HOLDER
    active = ActiveClaim(
        claim_id_of([claim.input.outpoint for claim in group]),
        group,
        with_coins=holder and first.anchors,
        fixed=holder and not first.anchors,
    )
    slot.onchain_claims.append(active)
    if active.fixed:
        paired = [claim.input.paired_output for claim in group if claim.input.paired_output is not None]
        active.fee_sat = active.value_sat - sum([output.value_sat for output in paired])
        signing.sign(m, slot, active, _unsigned(active, paired))
        return
    weight = _first_weight(m, active)
    older = {one.claim_id: one for claim in group if (one := replaced.get(claim.input.outpoint)) is not None}
    feerate = _wanted_feerate(m, active, weight)
    for one in older.values():
        # The first that takes the place of an older claim has to pay more than that (BIP 125); then it is gone.
        fee_sat = feerates.replacement_fee_sat(one.fee_sat, weight, feerate, old_weight=one.weight)
        feerate = max(feerate, -(-fee_sat * 1000 // weight))
        for claim in one.claims:
            replaced.pop(claim.input.outpoint, None)
    make(m, slot, active, feerate)


def _refresh(m: Manager, slot: Slot, active: ActiveClaim) -> None:
    """Pay more when the deadline comes nearer, and publish again what mempools may have forgotten."""
    if active.waiting:
        return
    wanted = 0 if active.fixed else _wanted_feerate(m, active, active.weight or _first_weight(m, active))
    if active.refused and not active.fixed:
        # The chain service asks for more; how much it does not say.
        wanted = max(wanted, active.feerate_per_kw * 5 // 4)
    if not active.transaction or (wanted > active.feerate_per_kw and m.env.block_height > active.made_height):
        make(m, slot, active, wanted)
    else:
        m.actions.append(Broadcast(active.transaction, describe(active)))


def _first_weight(m: Manager, active: ActiveClaim) -> int:
    return claim_weight([claim.input for claim in active.claims], _scripts(m, active))


def _scripts(m: Manager, active: ActiveClaim) -> list[bytes]:
    if active.with_coins or active.fixed:
        return [claim.input.paired_output.script_pubkey for claim in active.claims if claim.input.paired_output]
    return [m.signer.shutdown_script_pubkey()]


def _wanted_feerate(m: Manager, active: ActiveClaim, weight: int) -> int:
    return feerates.claim_feerate_per_kw(
        active.value_sat,
        weight,
        m.env.block_height,
        active.start_height,
        active.deadline_height,
        lambda blocks: fees.feerate_for(m, blocks),
        m.config.feerate_min_per_kw,
        m.config.feerate_max_per_kw,
        penalty=active.claims[0].input.kind in REVOKED,
    )


def make(m: Manager, slot: Slot, active: ActiveClaim, feerate_per_kw: int) -> None:
    """Make a version of a claim that pays this feerate, and at least what replaces the one before (BIP 125)."""
    weight = active.weight or _first_weight(m, active)
    if active.transaction:
        budget = feerates.budget_sat(
            active.value_sat, m.env.block_height, active.deadline_height, penalty=active.claims[0].input.kind in REVOKED
        )
        fee_sat = feerates.replacement_fee_sat(active.fee_sat, weight, feerate_per_kw, old_weight=weight)
        if fee_sat > budget:
            return  # the older version stays: what is left to win is not worth more
        feerate_per_kw = max(feerate_per_kw, -(-fee_sat * 1000 // weight))
    else:
        fee_sat = -(-feerate_per_kw * weight // 1000)
    active.feerate_per_kw = feerate_per_kw
    active.refused = False
    if active.with_coins:
        _ask_for_coins(m, active)
        return
    if not feerates.is_worth(active.value_sat, weight, feerate_per_kw):
        _leave(m, slot, active)
        return
    active.fee_sat, active.weight = fee_sat, weight
    output = TxOut(active.value_sat - fee_sat, m.signer.shutdown_script_pubkey())
    signing.sign(m, slot, active, _unsigned(active, [output]))


def _leave(m: Manager, slot: Slot, active: ActiveClaim) -> None:
    """It costs more than it brings at this feerate; it is looked at again at each block."""
    if active.claim_id not in m.told_uneconomic:
        m.told_uneconomic[active.claim_id] = None
        m.report(
            "chain",
            "warning",
            f"channel {slot.channel_id.hex()[:16]}: {describe(active)} of {active.value_sat} sat is not worth its fee "
            f"at {active.feerate_per_kw} sat/kw",
        )


def _unsigned(active: ActiveClaim, outputs: list[TxOut]) -> Transaction:
    inputs = [claim.input for claim in active.claims]
    return build_claim(inputs, outputs)


def _ask_for_coins(m: Manager, active: ActiveClaim) -> None:
    """An HTLC transaction with anchors pays no fee of its own: coins of the wallet do."""
    paired = [claim.input.paired_output for claim in active.claims if claim.input.paired_output is not None]
    spent = [TxOut(claim.input.value_sat, p2wsh_of_script(claim.input.witness_script)) for claim in active.claims]
    active.waiting = True
    own_weight = _first_weight(m, active)
    m.actions.append(
        FundClaim(active.claim_id, _unsigned(active, paired), tuple(spent), own_weight, active.feerate_per_kw, 0, 0)
    )


def _find(m: Manager, claim_id: bytes) -> tuple[Slot, ActiveClaim] | None:
    for slot, active in _all(m):
        if active.claim_id == claim_id:
            return slot, active
    return None


def _all(m: Manager) -> Iterator[tuple[Slot, ActiveClaim]]:
    for slot in m.channels.values():
        for active in slot.onchain_claims:
            yield slot, active
        if slot.anchor_claim is not None:
            yield slot, slot.anchor_claim


def claim_funded(m: Manager, claim_id: bytes, transaction: Transaction, fee_sat: int) -> None:
    """The wallet has added coins (behind the claim's inputs) and change, and signed its inputs.

    Args: fee_sat: of the transaction.
    """
    found = _find(m, claim_id)
    if found is None:
        return  # an output of it was taken meanwhile
    slot, active = found
    active.waiting = False
    active.fee_sat = fee_sat
    if active is slot.anchor_claim:
        bumping.on_funded(m, slot, active, transaction)
    else:
        signing.sign(m, slot, active, transaction)


def claim_not_funded(m: Manager, claim_id: bytes, reason: str) -> None:
    """The wallet has no coins for a claim: it is tried again at each block."""
    found = _find(m, claim_id)
    if found is None:
        return
    slot, active = found
    active.waiting = False
    m.report("chain", "error", f"channel {slot.channel_id.hex()[:16]}: no coins for the {describe(active)}: {reason}")


def on_broadcast_result(m: Manager, txid: bytes, accepted: bool, reason: str) -> None:
    """The chain service took a transaction, or did not: a claim that it refused pays more in the next block."""
    del reason
    for _slot, active in _all(m):
        if active.txid == txid:
            active.refused = not accepted
    sweeping.on_broadcast_result(m, txid, accepted)
