"""Claims of this life: which outputs are claimed by which transaction, at what fee, until a block has settled it.

Nothing here waits for a record (invariant S3), and nothing is stored: the next life makes the same claims of the same
state and chain. A transaction is replaced when it must pay more, when an output of it was taken, or when its deadline
asks for smaller ones.

Spec: BOLT 5, "HTLC Output Handling", "Penalty Transactions Weight Calculation", "On-chain Transactions".
"""

from collections.abc import Sequence
from operator import itemgetter

from leyden.bitcoin.script import p2wsh_of_script
from leyden.bitcoin.tx import OutPoint, Transaction, TxOut
from leyden.channel.htlc import InboundHtlc
from leyden.manager import fees
from leyden.manager.actions import ForgetTransaction, FundClaim
from leyden.manager.manager import Manager
from leyden.manager.onchain import bumping, signing, sweeping
from leyden.manager.onchain.active import COINS_WEIGHT, ActiveClaim, Version, claim_id_of, describe, note_result
from leyden.manager.onchain.views import upstream_deadline, view_of
from leyden.manager.state import Slot
from leyden.monitor import feerates
from leyden.monitor.claimable import ClaimTerms, OutputClaim, claims_now
from leyden.monitor.closed import ClosedView
from leyden.monitor.packages import PackageLimits, group_claims
from leyden.transactions.claim_inputs import ClaimKind
from leyden.transactions.claims import HOLDER_KINDS, build_claim, claim_weight
from leyden.transactions.fees import DUST_LIMIT_P2WSH_SAT, MIN_DUST_LIMIT_SAT, whole_vbytes

LIMITS = PackageLimits()
MERGED_LIMITS = PackageLimits(near_blocks=0, single_blocks=0)
"""Where there are fewer coins than transactions: late in one of many is better than not at all in one of its own."""
_NEVER = 1 << 32
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
    kept: list[ActiveClaim] = []
    split: list[ActiveClaim] = []
    penniless: list[ActiveClaim] = []
    for active in slot.onchain_claims:
        fresh = [wanted.get(claim.input.outpoint) for claim in active.claims]
        left = [claim for claim in fresh if claim is not None]
        if len(left) < len(fresh):
            _drop(m, slot, active)
        elif _is_penniless(active):
            penniless.append(active)
        elif _must_split(m, active, left):
            split.append(active)
        else:
            active.claims = tuple(left)  # deadlines change with what is decided elsewhere
            kept.append(active)
            for claim in left:
                del wanted[claim.input.outpoint]
    slot.onchain_claims = kept
    for active in kept:
        _refresh(m, slot, active)
    _merge(m, slot, penniless, wanted)
    for active in split:
        _split(m, slot, active, [wanted.pop(claim.input.outpoint) for claim in active.claims])
    for group in group_claims(list(wanted.values()), m.env.block_height, LIMITS):
        _begin(m, slot, group, None)


def _wanted(m: Manager, slot: Slot) -> dict[OutPoint, OutputClaim]:
    view = view_of(m, slot)
    if view is None:
        return {}
    found = claims_of(m, slot, view)
    return {claim.input.outpoint: claim for claim in found if claim.unlock_height <= m.env.block_height + 1}


def claims_of(m: Manager, slot: Slot, view: ClosedView) -> list[OutputClaim]:
    """Return what there is to claim of a closed channel, locks that still run included."""
    return claims_now(slot.state.core, slot.state.keys, view, m.env.block_height, _terms(m, slot))


def _terms(m: Manager, slot: Slot) -> ClaimTerms:
    core = slot.state.core

    def preimage_of(htlc_id: int) -> bytes:
        htlc = core.inbound[htlc_id]
        return b"" if _is_held_back(m, htlc) else htlc.preimage

    return ClaimTerms(preimage_of, lambda htlc_id: upstream_deadline(m, core, htlc_id))


def _is_held_back(m: Manager, htlc: InboundHtlc) -> bool:
    """Until every part of a claim is durable its preimage is in no transaction either (invariant P11)."""
    return bool(htlc.claim_id) and (not m.is_started or htlc.claim_id in m.claim_blockers)


def _must_split(m: Manager, active: ActiveClaim, fresh: list[OutputClaim]) -> bool:
    """Return whether a claim may not stay together so near to its deadline, and its parts can pay for its place."""
    if len(fresh) == 1:
        return False
    groups = _parts(m, active, fresh)
    return len(groups) > 1 and (not _is_out(active) or _heir(m, active, groups) is not None)


def _is_penniless(active: ActiveClaim) -> bool:
    """Return whether a claim was never published, for the wallet had no coins for it."""
    return active.without_coins and not active.transaction and active.making is None


def _merge(m: Manager, slot: Slot, penniless: list[ActiveClaim], wanted: dict[OutPoint, OutputClaim]) -> None:
    """Claim together what had no coins apart: one coin pays for one transaction a block, however large that is.

    What the other side may take would go alone near its deadline; but a claim without a coin is no claim.
    """
    known = {active.claim_id: active for active in penniless}
    claims = [wanted.pop(claim.input.outpoint) for active in penniless for claim in active.claims]
    for group in group_claims(claims, m.env.block_height, MERGED_LIMITS):
        active = known.get(claim_id_of([claim.input.outpoint for claim in group]))
        if active is None:
            _begin(m, slot, group, None, merged=True)
        else:
            active.claims = group
            slot.onchain_claims.append(active)
            _refresh(m, slot, active)


def _parts(m: Manager, active: ActiveClaim, claims: list[OutputClaim]) -> tuple[tuple[OutputClaim, ...], ...]:
    """Return what may stay together of a claim.

    Whoever takes one output in mempools is not to hold the others: those are apart from it in the next block, or in few
    more when they are many and have time.
    """
    if active.outbid and any(claim.contested for claim in claims):
        size = -(-len(claims) // 4)
        left = (active.deadline_height or _NEVER) - m.env.block_height
        if len(claims) <= LIMITS.near_inputs or left <= LIMITS.near_blocks:
            size = 1
        return tuple([tuple(claims[first : first + size]) for first in range(0, len(claims), size)])
    return group_claims(claims, m.env.block_height, MERGED_LIMITS if active.merged else LIMITS)


def _is_out(active: ActiveClaim) -> bool:
    """Return whether a version of it waits in mempools, as far as we know."""
    return bool(active.transaction) and not active.refused


def _heir(m: Manager, active: ActiveClaim, groups: Sequence[tuple[OutputClaim, ...]]) -> tuple[OutputClaim, ...] | None:
    """Return the part that takes the place of the whole, and pays for that (BIP 125); None when none of them can.

    Of those that can the most urgent one: it has to pay nearly as much anyhow.
    """
    urgent: list[tuple[int, int, tuple[OutputClaim, ...]]] = []
    for group in groups:
        one = _made_of(group)
        weight = _first_weight(m, one)
        wanted = wanted_feerate(m, one, weight, m.env.block_height)
        fee_sat = feerates.replacement_fee_sat(active.fee_sat, weight, wanted, old_weight=active.weight)
        if fee_sat <= _budget_sat(m, one):
            urgent.append((one.deadline_height or _NEVER, -one.value_sat, group))
    return min(urgent, key=itemgetter(0, 1))[2] if urgent else None


def _split(m: Manager, slot: Slot, active: ActiveClaim, claims: list[OutputClaim]) -> None:
    """Claim in smaller transactions. The first of them pays more than the one that it replaces; then that is gone."""
    groups = _parts(m, active, claims)
    heir = _heir(m, active, groups) if _is_out(active) else None
    _drop(m, slot, active)
    for group in sorted(groups, key=lambda group: group is not heir):
        _begin(m, slot, group, active if group is heir else None)


def _drop(m: Manager, slot: Slot, active: ActiveClaim) -> None:
    """An output was taken, by this claim or by another transaction, or it is split; what is left is claimed anew."""
    view = slot.closed_view
    confirmed = view is not None and any(
        (seen := view.spenders.get(claim.input.outpoint)) is not None and seen.txid == active.txid
        for claim in active.claims
    )
    active.dropped = True
    if active.txid and not confirmed:
        m.actions.append(ForgetTransaction(active.txid))
    if active.making is not None and active.making.txid:
        m.actions.append(ForgetTransaction(active.making.txid))


def _made_of(group: tuple[OutputClaim, ...]) -> ActiveClaim:
    first = group[0].input
    holder = first.kind in HOLDER_KINDS
    return ActiveClaim(
        claim_id_of([claim.input.outpoint for claim in group]),
        group,
        with_coins=holder and first.anchors,
        fixed=holder and not first.anchors,
    )


def _begin(
    m: Manager, slot: Slot, group: tuple[OutputClaim, ...], older: ActiveClaim | None, *, merged: bool = False
) -> None:
    """older: a larger claim that is in mempools, and whose place this one takes. merged: there were no coins for its
    parts, which was told.
    """
    active = _made_of(group)
    active.merged = active.without_coins = merged
    slot.onchain_claims.append(active)
    m.claiming[slot.channel_id] = slot
    if active.fixed:
        _make_fixed(m, slot, active)
    else:
        _make(m, slot, active, wanted_feerate(m, active, _first_weight(m, active), m.env.block_height), older)


def _refresh(m: Manager, slot: Slot, active: ActiveClaim) -> None:
    """Pay more when the deadline comes nearer, and publish again what mempools may have forgotten."""
    if active.making is not None:
        return
    if active.fixed and not active.transaction:
        _make_fixed(m, slot, active)
        return
    made = False
    if not active.fixed and (not active.transaction or m.env.block_height > active.made_height):
        weight = active.weight or _first_weight(m, active)
        wanted = wanted_feerate(m, active, weight, m.env.block_height)
        if active.refused:
            # The chain service asks for more; how much it does not say.
            affordable = min(_budget_sat(m, active) * 1000 // whole_vbytes(weight), m.config.feerate_max_per_kw)
            wanted = max(wanted, min(active.feerate_per_kw * 5 // 4, affordable))
        made = wanted > active.feerate_per_kw and _make(m, slot, active, wanted, active if active.transaction else None)
    if active.transaction and not made and active.sent_height != m.env.block_height:
        signing.publish(m, active)


def _own_weight(m: Manager, active: ActiveClaim) -> int:
    scripts = [m.signer.shutdown_script_pubkey()]
    if active.with_coins:
        scripts = [one.script_pubkey for one in _paired(active)]
    return claim_weight([claim.input for claim in active.claims], scripts)


def _first_weight(m: Manager, active: ActiveClaim) -> int:
    """Of a claim that was not made yet; of its coins one is foreseen, and a change output."""
    return _own_weight(m, active) + (COINS_WEIGHT if active.with_coins else 0)


def _paired(active: ActiveClaim) -> list[TxOut]:
    return [claim.input.paired_output for claim in active.claims if claim.input.paired_output is not None]


def is_penalty(active: ActiveClaim) -> bool:
    """Return whether a claim takes what the peer has forfeited."""
    return active.claims[0].input.kind in REVOKED


def _budget_sat(m: Manager, active: ActiveClaim) -> int:
    return feerates.budget_sat(active.value_sat, m.env.block_height, active.deadline_height, penalty=is_penalty(active))


def wanted_feerate(m: Manager, active: ActiveClaim, weight: int, height: int) -> int:
    """Return the feerate (sat/kw) that a claim should have at a height, by the estimates of now.

    For each deadline it spends what is due by then, so that a small output whose deadline is near does not spend what a
    large one is worth.
    """
    wanted = max(
        [
            feerates.claim_feerate_per_kw(
                due_sat,
                weight,
                height,
                active.start_height,
                deadline_height,
                lambda blocks: fees.feerate_for(m, blocks),
                m.config.feerate_min_per_kw,
                m.config.feerate_max_per_kw,
                penalty=is_penalty(active),
            )
            for deadline_height, due_sat in active.due_sat()
        ]
    )
    # Near its deadline a budget may leave less than an output can hold: what is left then is better than nothing.
    affordable = (active.value_sat - MIN_DUST_LIMIT_SAT) * 1000 // whole_vbytes(weight)
    return min(wanted, max(affordable, fees.feerate_for(m, 1)))


def _make(m: Manager, slot: Slot, active: ActiveClaim, feerate_per_kw: int, older: ActiveClaim | None) -> bool:
    """Make a version of a claim that pays this feerate, and at least what replaces `older` (BIP 125); return False when
    it is not worth that.
    """
    weight = active.weight or _first_weight(m, active)
    fee_sat = feerates.fee_sat(weight, feerate_per_kw)
    if older is not None:
        fee_sat = feerates.replacement_fee_sat(older.fee_sat, weight, feerate_per_kw, old_weight=older.weight)
        if fee_sat > _budget_sat(m, active):
            return False  # the older version stays: what is left to win is not worth more
        feerate_per_kw = max(feerate_per_kw, -(-fee_sat * 1000 // whole_vbytes(weight)))
    if not feerates.is_worth(active.value_sat, weight, feerate_per_kw):
        _leave(m, slot, active, feerate_per_kw)
        return False
    active.making = Version(feerate_per_kw, fee_sat)
    if active.with_coins:
        _ask_for_coins(m, active, feerate_per_kw)
    else:
        output = TxOut(active.value_sat - fee_sat, m.signer.shutdown_script_pubkey())
        signing.sign(m, slot, active, _unsigned(active, [output]))
    return True


def _make_fixed(m: Manager, slot: Slot, active: ActiveClaim) -> None:
    paired = _paired(active)
    active.making = Version(0, active.value_sat - sum([output.value_sat for output in paired]))
    signing.sign(m, slot, active, _unsigned(active, paired))


def _leave(m: Manager, slot: Slot, active: ActiveClaim, feerate_per_kw: int) -> None:
    """It costs more than it brings at this feerate; it is looked at again at each block."""
    if active.claim_id not in m.told_uneconomic:
        m.told_uneconomic[active.claim_id] = None
        m.report(
            "chain",
            "warning",
            f"channel {slot.channel_id.hex()[:16]}: {describe(active)} of {active.value_sat} sat is not worth its fee "
            f"at {feerate_per_kw} sat/kw",
        )


def _unsigned(active: ActiveClaim, outputs: list[TxOut]) -> Transaction:
    inputs = [claim.input for claim in active.claims]
    return build_claim(inputs, outputs)


def _ask_for_coins(m: Manager, active: ActiveClaim, feerate_per_kw: int) -> None:
    """An HTLC transaction with anchors pays no fee of its own: coins of the wallet do."""
    spent = [TxOut(claim.input.value_sat, p2wsh_of_script(claim.input.witness_script)) for claim in active.claims]
    template = _unsigned(active, _paired(active))
    weight = _own_weight(m, active)
    fee_max_sat = _budget_sat(m, active)
    if feerates.fee_sat(active.weight or _first_weight(m, active), feerate_per_kw) > fee_max_sat:
        # The budget is below what relays; it goes out while it brings anything.
        fee_max_sat = active.value_sat - DUST_LIMIT_P2WSH_SAT
    m.actions.append(FundClaim(active.claim_id, template, tuple(spent), weight, feerate_per_kw, fee_max_sat, 0, 0))


def _find(m: Manager, claim_id: bytes) -> tuple[Slot, ActiveClaim] | None:
    for slot in m.claiming.values():
        for active in slot.onchain_claims:
            if active.claim_id == claim_id:
                return slot, active
        if slot.anchor_claim is not None and slot.anchor_claim.claim_id == claim_id:
            return slot, slot.anchor_claim
    return None


def claim_funded(m: Manager, claim_id: bytes, transaction: Transaction, fee_sat: int) -> bool:
    """The wallet has added coins (behind the claim's inputs) and change, and signed its inputs.

    Return False when that is not wanted any more, so that the coins are free.

    Args: fee_sat: of the transaction.
    """
    found = _find(m, claim_id)
    version = None if found is None else found[1].making
    if found is None or version is None or version.txid:
        return False  # an output of it was taken meanwhile
    slot, active = found
    version.fee_sat = fee_sat
    active.without_coins, active.told = False, ""
    if active is slot.anchor_claim:
        bumping.on_funded(m, slot, active, transaction)
    else:
        signing.sign(m, slot, active, transaction)
    return True


def claim_not_funded(m: Manager, claim_id: bytes, reason: str, *, too_dear: bool = False, in_use: bool = False) -> None:
    """The wallet has no coins for a claim: it is tried again at each block, and told once until there are some.

    The version before is offered again meanwhile.

    Args:
        too_dear: there are coins, but it would cost more than it may; nobody has to do anything about that.
        in_use: there are coins, in transactions that wait for a block; that is told when there are none in the next
            one either.
    """
    found = _find(m, claim_id)
    if found is None or found[1].making is None:
        return
    slot, active = found
    active.making = None
    level = "warning" if too_dear or in_use else "error"
    is_first, active.without_coins = not active.without_coins, True
    if not (in_use and is_first) and active.told not in (level, "error"):
        active.told = level
        what = f"no coins are spent on the {describe(active)}: {reason}"
        m.report("chain", level, f"channel {slot.channel_id.hex()[:16]}: {what}")
    if active.transaction and active is slot.anchor_claim:
        bumping.publish(m, slot, active)
    elif active.transaction:
        signing.publish(m, active)


def on_block(m: Manager) -> None:
    """Let go of what is not out any more."""
    m.published = {key: one for key, one in m.published.items() if one.txid == key and not one.dropped}
    m.claiming = {key: slot for key, slot in m.claiming.items() if slot.onchain_claims or slot.anchor_claim}


def on_broadcast_result(m: Manager, txid: bytes, accepted: bool, reason: str) -> None:
    """The chain service took a transaction, or did not: a claim that it refused pays more in the next block."""
    active = m.published.get(txid)
    if active is not None and active.txid == txid and not active.dropped:
        note_result(active, accepted, reason)
    for slot in m.claiming.values():
        if slot.anchor_claim is not None:
            bumping.on_result(slot.anchor_claim, txid, accepted, reason)
    sweeping.on_broadcast_result(m, txid, accepted)
