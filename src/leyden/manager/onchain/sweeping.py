"""`Sweeper`: outputs that are ours alone go to the wallet, many in one transaction.

What there is to sweep follows from the journals (`core.spendable`) and the chain; the transaction of this life is
volatile. Spending an output twice is impossible, so a life that makes its sweep again loses nothing: the chain service
refuses the second or takes it as a replacement.

An output that costs more than it brings waits, and is said to.
"""

from collections.abc import Iterator
from functools import partial

from leyden.bitcoin.tx import OutPoint, TxOut
from leyden.manager import fees
from leyden.manager.actions import Broadcast, ForgetTransaction
from leyden.manager.manager import Manager
from leyden.manager.onchain.active import ActiveSweep
from leyden.manager.onchain.views import view_of
from leyden.manager.state import Slot
from leyden.monitor import feerates
from leyden.monitor.claimable import OutputClaim, swept_now
from leyden.monitor.resolution import str_of
from leyden.signer.requests import Answer, ClaimSigned, SignClaim
from leyden.transactions.claim_inputs import ClaimInput, ClaimKind
from leyden.transactions.claims import build_claim, claim_weight, input_weight, signed_claim, to_sign
from leyden.transactions.fees import dust_limit_for_script_sat, whole_vbytes

TARGET_BLOCKS = 144
URGENT_TARGET_BLOCKS = 2
REPLACE_AFTER_BLOCKS = 12
INPUTS_MAX = 200
WHAT = "sweep of outputs of closed channels"


def due(m: Manager) -> Iterator[tuple[Slot, OutputClaim]]:
    """Yield what may be swept now: told to the user, unlocked, unspent; anchors after their 16 blocks."""
    height = m.env.block_height
    for slot in m.channels.values():
        core = slot.state.core
        if core.spent is None or slot.archived or slot.halted:
            continue
        view = view_of(m, slot)
        if view is None:
            continue
        for claim in swept_now(core, slot.state.keys, view, m.signer.per_commitment_point):
            told = str_of(claim.input.outpoint) in core.spendable
            if claim.unlock_height <= height + 1 and (told or claim.input.kind is ClaimKind.ANCHOR_OF_ANYONE):
                yield slot, claim


def update(m: Manager, feerate_per_kw: int | None = None) -> None:
    """Sweep what has become ours; called at each block, and by a user who wants another feerate (sat/kw)."""
    begins = m.config.sweeps or feerate_per_kw is not None
    if not m.is_started or not (begins or m.sweep is not None):
        return
    wanted = {claim.input.outpoint: claim for _slot, claim in due(m)}
    active = m.sweep
    if active is not None and any(outpoint not in wanted for outpoint in active.outpoints()):
        # In a block, or undone, or taken: what is left is looked at anew.
        _let_go(m, active)
        active = m.sweep = None
    if active is None:
        if begins:
            _begin(m, wanted, feerate_per_kw, None)
        return
    waited = m.env.block_height - active.made_height
    news = [one for one in wanted.values() if one.input.outpoint not in active.outpoints()]
    news = [one for one in news if not _is_anchor(one)]
    asked = feerate_per_kw is not None or active.refused or waited >= REPLACE_AFTER_BLOCKS or (news and waited > 0)
    if asked and _begin(m, wanted, feerate_per_kw, active):
        return
    if active.transaction:
        m.actions.append(Broadcast(active.transaction, WHAT))


def _let_go(m: Manager, active: ActiveSweep) -> None:
    """A sweep that is in a block is the wallet's now; one of which another transaction took an output never will be."""
    confirmed = any(
        seen.txid == active.txid
        for slot in m.channels.values()
        if slot.closed_view is not None
        for seen in slot.closed_view.spenders.values()
    )
    if active.txid and not confirmed:
        m.actions.append(ForgetTransaction(active.txid))


def _begin(
    m: Manager, wanted: dict[OutPoint, OutputClaim], feerate_per_kw: int | None, older: ActiveSweep | None
) -> bool:
    """Make a sweep, in the place of `older` if there is one; return whether it is worth making."""
    script = m.signer.shutdown_script_pubkey()
    feerate = feerate_per_kw or fees.feerate_for(m, TARGET_BLOCKS)
    if older is not None:
        feerate = max(feerate, older.feerate_per_kw)
    shed = older is not None and older.refused and any(map(_is_anchor, older.claims))
    pays = [
        one
        for one in wanted.values()
        if one.input.value_sat > input_weight(one.input) * feerate // 1000 and _may_join(one, older)
    ]
    worth = pays[:INPUTS_MAX]
    if all(map(_is_anchor, worth)):
        worth = []
    inputs = [one.input for one in worth]
    weight = whole_vbytes(claim_weight(inputs, [script]))
    fee_sat = feerates.fee_sat(weight, feerate)
    if older is not None and older.fee_sat:
        old_weight = claim_weight([claim.input for claim in older.claims], [script])
        fee_sat = feerates.replacement_fee_sat(older.fee_sat, weight, feerate, old_weight=old_weight)
        if feerate_per_kw is None and not shed and fee_sat * 1000 > weight * _ceiling_per_kw(m):
            return False  # nobody else can take what is swept: what waits in mempools is waited for
    amount_sat = sum([one.value_sat for one in inputs]) - fee_sat
    is_worth = bool(worth) and amount_sat >= dust_limit_for_script_sat(script)
    if older is None or is_worth:
        _say_what_waits(m, wanted, pays if is_worth else [], feerate)
    if not is_worth:
        return False
    unsigned = build_claim(inputs, [TxOut(amount_sat, script)])
    m.sweep = ActiveSweep(tuple(worth), fee_sat * 1000 // weight, fee_sat, m.env.block_height, unsigned)
    _sign(m, m.sweep)
    return True


def _is_anchor(claim: OutputClaim) -> bool:
    return claim.input.kind is ClaimKind.ANCHOR_OF_ANYONE


def _may_join(claim: OutputClaim, older: ActiveSweep | None) -> bool:
    """Anybody may spend an anchor, in a transaction that costs more to replace than all that is swept. So a sweep that
    was refused goes on without any, and none joins one that is on its way.
    """
    if older is None or not _is_anchor(claim):
        return True
    return not older.refused and claim.input.outpoint in older.outpoints()


def _ceiling_per_kw(m: Manager) -> int:
    """What a sweep goes up to by itself, whatever refuses it: there is no hurry."""
    return max(2 * fees.feerate_for(m, TARGET_BLOCKS), fees.feerate_for(m, URGENT_TARGET_BLOCKS))


def _say_what_waits(m: Manager, wanted: dict[OutPoint, OutputClaim], pays: list[OutputClaim], feerate: int) -> None:
    """Sum up what costs more than it brings, anchors aside, and tell of each output once."""
    swept = dict.fromkeys([one.input.outpoint for one in pays])
    left = [one.input for outpoint, one in wanted.items() if outpoint not in swept and not _is_anchor(one)]
    m.unswept_sat = sum([one.value_sat for one in left])
    for one in left:
        name = one.outpoint.serialize()
        if name not in m.told_uneconomic:
            m.told_uneconomic[name] = None
            text = (
                f"output {str_of(one.outpoint)} of {one.value_sat} sat waits: its sweep costs more at {feerate} sat/kw"
            )
            m.report("chain", "warning", text)


def _sign(m: Manager, sweep: ActiveSweep) -> None:
    """One request for each channel; the transaction is whole when all are answered."""
    by_keys: dict[bytes, list[int]] = {}
    for index, claim in enumerate(sweep.claims):
        by_keys.setdefault(claim.input.keys_id, []).append(index)
    needs = to_sign([claim.input for claim in sweep.claims])
    for keys_id, indices in by_keys.items():
        asked = tuple([one for one in needs if one.index in indices])
        if not asked:
            continue  # an anchor that anyone may take needs no signature
        sweep.left += 1
        request = SignClaim(m.outbox.next_request_id(), keys_id, sweep.unsigned, asked)
        m.outbox.ask_signer(request, partial(_on_signed, m, sweep, [one.index for one in asked]))


def _on_signed(m: Manager, sweep: ActiveSweep, indices: list[int], answer: Answer) -> bytes | None:
    if not isinstance(answer, ClaimSigned) or m.sweep is not sweep:
        return None
    sweep.signatures.update(zip(indices, answer.signatures, strict=True))
    sweep.left -= 1
    if not sweep.left:
        inputs: list[ClaimInput] = [claim.input for claim in sweep.claims]
        ordered = [sweep.signatures[index] for index in sorted(sweep.signatures)]
        signed = signed_claim(sweep.unsigned, inputs, tuple(ordered))
        sweep.transaction, sweep.txid = signed.serialize(), signed.txid()
        m.actions.append(Broadcast(sweep.transaction, WHAT))
    return None


def on_broadcast_result(m: Manager, txid: bytes, accepted: bool) -> None:
    """Remember that the chain service did not take the sweep: at the next block it pays more."""
    if m.sweep is not None and m.sweep.txid == txid:
        m.sweep.refused = not accepted
