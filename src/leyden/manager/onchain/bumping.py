"""Our own commitment waits for a block: its anchor lets a child pay for both (CPFP), and more when it must be soon.

Spec: BOLT 3, "to_local_anchor and to_remote_anchor Output (option_anchors)"; BOLT 5, "Failing a Channel".
"""

from typing import NamedTuple

from leyden.bitcoin.script import p2wsh_of_script
from leyden.bitcoin.tx import OutPoint, Transaction, TxOut
from leyden.manager import fees
from leyden.manager.actions import BroadcastPackage, ForgetTransaction, FundClaim
from leyden.manager.manager import Manager
from leyden.manager.onchain import signing
from leyden.manager.onchain.active import COINS_WEIGHT, ActiveClaim, Version, claim_id_of, note_result
from leyden.manager.onchain.views import upstream_deadline
from leyden.manager.state import Slot
from leyden.monitor import feerates
from leyden.monitor.claimable import OutputClaim
from leyden.monitor.commitments import PossibleCommitment, local_possible
from leyden.monitor.feerates import Due
from leyden.transactions.claim_inputs import SEQUENCE_REPLACEABLE, ClaimInput, ClaimKind
from leyden.transactions.claims import build_claim, claim_weight
from leyden.transactions.commitment import OutputKind
from leyden.transactions.fees import whole_vbytes

PACKAGE = "force-close, paid for by its anchor"
STAGE_BLOCKS = 6
"""What an HTLC transaction needs to confirm behind the commitment, before the other side may take the HTLC."""


def on_published(m: Manager, slot: Slot, commitment: Transaction) -> None:
    """Our commitment was published in this life: from now on it may be paid for."""
    slot.own_commitment = commitment.serialize()
    slot.published_height = slot.published_height or m.env.block_height
    update(m, slot)


def update(m: Manager, slot: Slot) -> None:
    """Pay for our commitment while it waits for a block; let go of the child when another commitment was first."""
    if slot.state.core.spent is not None:
        _settle(m, slot)
        return
    if not slot.own_commitment or not slot.state.core.opened.anchors or slot.state.core.stale:
        return
    possible = local_possible(slot.state.core, slot.state.keys, m.signer.per_commitment_point)
    index = possible.commitment.output_index(OutputKind.BROADCASTER_ANCHOR)
    if index is None:
        return
    active = slot.anchor_claim
    if active is None:
        active = slot.anchor_claim = _active(slot, possible, index)
        m.claiming[slot.channel_id] = slot
    if active.making is None and not _pay_more(m, slot, active, possible) and active.transaction:
        publish(m, slot, active)


def _settle(m: Manager, slot: Slot) -> None:
    """A commitment is in a block. A child of ours is kept, for a reorganisation may take the parent away again; it may
    still wait for a block of its own.
    """
    active, view = slot.anchor_claim, slot.closed_view
    if active is None or view is None:
        return
    anchor = active.claims[0].input.outpoint
    confirmed = view.spend.txid == anchor.txid
    if active.making is not None:
        if active.making.txid:
            m.actions.append(ForgetTransaction(active.making.txid))
        active.making = None
    seen = view.spenders.get(anchor)
    if not confirmed or (seen is not None and seen.txid != active.txid):
        active.dropped = True
        slot.anchor_claim = None
        if active.txid:
            m.actions.append(ForgetTransaction(active.txid))
    elif seen is None and active.transaction:
        signing.publish(m, active)


def _active(slot: Slot, possible: PossibleCommitment, index: int) -> ActiveClaim:
    commitment = possible.commitment
    made = ClaimInput(
        kind=ClaimKind.ANCHOR,
        keys_id=slot.state.core.opened.channel_keys_id,
        outpoint=OutPoint(commitment.txid, index),
        value_sat=commitment.output_value_sat(index),
        witness_script=commitment.witness_script(index),
        sequence=SEQUENCE_REPLACEABLE,
        locktime=0,
        per_commitment=b"",
        preimage=b"",
        paired_output=None,
        paired_signature=b"",
        anchors=True,
    )
    claim = OutputClaim(made, None, 0, None, contested=False)
    return ActiveClaim(claim_id_of([made.outpoint]), (claim,), with_coins=True, fixed=False)


def _pay_more(m: Manager, slot: Slot, active: ActiveClaim, possible: PossibleCommitment) -> bool:
    """Make a child, or one that pays more; return False when what is out pays enough, or more is not worth it."""
    bid = _bid(m, slot, active, possible, m.env.block_height)
    if bid is None:
        return False
    active.making = Version(bid.feerate_per_kw, 0)
    inputs = [claim.input for claim in active.claims]
    spent = tuple([TxOut(one.value_sat, p2wsh_of_script(one.witness_script)) for one in inputs])
    parent_weight, parent_fee_sat = Transaction.parse(slot.own_commitment).weight(), possible.commitment.fee_sat
    m.actions.append(
        FundClaim(
            active.claim_id,
            build_claim(inputs, []),
            spent,
            claim_weight(inputs, []),
            bid.feerate_per_kw,
            bid.package_max_sat - parent_fee_sat,
            parent_weight,
            parent_fee_sat,
        )
    )
    return True


class _Bid(NamedTuple):
    """What commitment and child are to pay together: at least by the feerate, and at most."""

    feerate_per_kw: int
    package_max_sat: int


def _bid(m: Manager, slot: Slot, active: ActiveClaim, possible: PossibleCommitment, height: int) -> _Bid | None:
    """Return what a child that is made at a height would pay; None when there is to be none."""
    stake = _stake(m, slot, possible)
    if active.outbid and height < feerates.patience_height(stake.dues, slot.published_height):
        # The peer's commitment waits for a block: it resolves the same HTLCs, and pays us sooner.
        return None
    parent_weight = Transaction.parse(slot.own_commitment).weight()
    parent_fee_sat = possible.commitment.fee_sat
    paid_per_kw = max(parent_fee_sat * 1000 // whole_vbytes(parent_weight), active.feerate_per_kw)
    child_weight = active.weight or claim_weight([claim.input for claim in active.claims], []) + COINS_WEIGHT
    weight = whole_vbytes(parent_weight) + whole_vbytes(child_weight)
    wanted = feerates.cpfp_feerate_per_kw(
        stake.dues,
        stake.balance_sat,
        weight,
        height,
        slot.published_height,
        lambda blocks: fees.feerate_for(m, blocks),
        m.config.feerate_min_per_kw,
        m.config.feerate_max_per_kw,
    )
    budget_sat = stake.budget_sat(feerates.BALANCE_PERMILLE)
    if active.refused and not active.outbid:
        # Mempools ask for more than estimates say; how much they do not tell.
        budget_sat = stake.budget_sat(feerates.REACH_PERMILLE)
        affordable = min(budget_sat * 1000 // weight, m.config.feerate_max_per_kw)
        wanted = max(wanted, min(paid_per_kw * 5 // 4, affordable))
    if wanted <= paid_per_kw:
        return None
    budget_sat = max(budget_sat, feerates.fee_sat(weight, wanted))
    if active.transaction:
        # A replacement pays for its own way too (BIP 125).
        least_sat = feerates.replacement_fee_sat(active.fee_sat, child_weight, 0, old_weight=active.weight)
        fee_sat = max(feerates.fee_sat(weight, wanted), least_sat + parent_fee_sat)
        if fee_sat > budget_sat or height <= active.made_height:
            return None
        wanted = max(wanted, -(-fee_sat * 1000 // weight))
    return _Bid(wanted, budget_sat)


def bump_height(m: Manager, slot: Slot, ahead_blocks: int) -> int | None:
    """Return the height at which the child that is out will pay more, if estimates stay as they are; None: at none of
    the next `ahead_blocks`.
    """
    active = slot.anchor_claim
    if active is None or not active.transaction or active.making is not None or slot.state.core.spent is not None:
        return None
    possible = local_possible(slot.state.core, slot.state.keys, m.signer.per_commitment_point)
    first = m.env.block_height + 1
    heights = range(first, first + ahead_blocks)
    return next((height for height in heights if _bid(m, slot, active, possible, height) is not None), None)


def deadline_height(m: Manager, slot: Slot) -> int | None:
    """Return the first height at which something is lost if our commitment is in no block; None: only time is."""
    possible = local_possible(slot.state.core, slot.state.keys, m.signer.per_commitment_point)
    return min([due.deadline_height for due in _stake(m, slot, possible).dues], default=None)


class _Stake(NamedTuple):
    """What is lost while the commitment does not confirm: HTLCs from a height on, and our balance, which is late."""

    dues: tuple[Due, ...]
    balance_sat: int

    def budget_sat(self, balance_permille: int) -> int:
        """What commitment and child may pay together, with this share of our balance."""
        htlcs_sat = feerates.budget_sat(sum([due.value_sat for due in self.dues]), 0, None)
        return htlcs_sat + self.balance_sat * balance_permille // 1000


def _stake(m: Manager, slot: Slot, possible: PossibleCommitment) -> _Stake:
    dues: list[Due] = []
    balance_sat = possible.local_msat // 1000
    for htlc in possible.htlcs:
        if htlc.output_index is None or not (htlc.offered or htlc.preimage):
            continue
        if htlc.offered:
            deadline = upstream_deadline(m, slot.state.core, htlc.htlc_id)
            start = htlc.cltv_expiry + m.config.deadline_grace_blocks
        else:
            # With the commitment in a block our HTLC transaction needs one of its own.
            deadline = htlc.cltv_expiry - STAGE_BLOCKS
            start = htlc.cltv_expiry - m.config.claim_deadline_blocks
        if deadline is None:
            balance_sat += htlc.amount_msat // 1000
        else:
            dues.append(Due(deadline, start, htlc.amount_msat // 1000))
    return _Stake(tuple(dues), balance_sat)


def on_funded(m: Manager, slot: Slot, active: ActiveClaim, transaction: Transaction) -> None:
    """The wallet has added coins to the child: sign the anchor and publish both together."""
    signing.ask(m, slot, active, transaction, lambda: publish(m, slot, active))


def on_result(active: ActiveClaim, txid: bytes, accepted: bool, reason: str) -> None:
    """The chain service took a child, or the commitment alone while there is none, or did not."""
    if txid == (active.txid if active.transaction else active.claims[0].input.outpoint.txid):
        note_result(active, accepted, reason)


def publish(m: Manager, slot: Slot, active: ActiveClaim) -> None:
    """Offer commitment and child to the chain service."""
    active.sent_height = m.env.block_height
    m.actions.append(BroadcastPackage((slot.own_commitment, active.transaction), PACKAGE))
