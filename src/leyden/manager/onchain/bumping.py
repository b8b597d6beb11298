"""Our own commitment waits for a block: its anchor lets a child pay for both (CPFP), and more when it must be soon.

Spec: BOLT 3, "to_local_anchor and to_remote_anchor Output (option_anchors)"; BOLT 5, "Failing a Channel".
"""

from leyden.bitcoin.script import p2wsh_of_script
from leyden.bitcoin.tx import OutPoint, Transaction, TxOut
from leyden.manager import fees
from leyden.manager.actions import BroadcastPackage, ForgetTransaction, FundClaim
from leyden.manager.manager import Manager
from leyden.manager.onchain import signing
from leyden.manager.onchain.active import ActiveClaim, claim_id_of
from leyden.manager.state import Slot
from leyden.monitor import feerates
from leyden.monitor.claimable import OutputClaim
from leyden.monitor.commitments import PossibleCommitment, local_possible
from leyden.transactions.claim_inputs import SEQUENCE_REPLACEABLE, ClaimInput, ClaimKind
from leyden.transactions.claims import build_claim, claim_weight
from leyden.transactions.commitment import OutputKind

PACKAGE = "force-close, paid for by its anchor"


def on_published(m: Manager, slot: Slot, commitment: Transaction) -> None:
    """Our commitment was published in this life: from now on it may be paid for."""
    slot.own_commitment = commitment.serialize()
    slot.published_height = slot.published_height or m.env.block_height
    update(m, slot)


def update(m: Manager, slot: Slot) -> None:
    """Pay for our commitment while it waits for a block; let go of the child when another commitment was first."""
    active = slot.anchor_claim
    if slot.state.core.spent is not None:
        slot.anchor_claim = None
        if active is not None and active.txid and not _has_confirmed(slot, active):
            m.actions.append(ForgetTransaction(active.txid))
        return
    if not slot.own_commitment or not slot.state.core.opened.anchors or slot.state.core.stale:
        return
    possible = local_possible(slot.state.core, slot.state.keys, m.signer.per_commitment_point)
    index = possible.commitment.output_index(OutputKind.BROADCASTER_ANCHOR)
    if index is None:
        return
    if active is None:
        active = slot.anchor_claim = _active(slot, possible, index)
    if active.waiting:
        return
    parent_weight = Transaction.parse(slot.own_commitment).weight()
    wanted = _wanted_feerate(m, slot, possible, parent_weight)
    own_feerate = possible.commitment.fee_sat * 1000 // parent_weight
    if active.refused:
        wanted = max(wanted, active.feerate_per_kw * 5 // 4)
    if wanted > max(own_feerate, active.feerate_per_kw):
        _ask_for_coins(m, active, wanted, parent_weight, possible.commitment.fee_sat)
    elif active.transaction:
        m.actions.append(BroadcastPackage((slot.own_commitment, active.transaction), PACKAGE))


def _has_confirmed(slot: Slot, active: ActiveClaim) -> bool:
    """Return whether it is our commitment that is in a block: then its child may follow."""
    view = slot.closed_view
    return view is not None and view.spend.txid == active.claims[0].input.outpoint.txid


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


def _wanted_feerate(m: Manager, slot: Slot, possible: PossibleCommitment, weight: int) -> int:
    """What is at stake: our balance, and HTLCs until the first of them goes to the other side."""
    by_deadline: dict[int, int] = {}
    balance_sat = possible.local_msat // 1000
    for htlc in possible.htlcs:
        if htlc.output_index is None or not (htlc.offered or htlc.preimage):
            continue
        deadline = _upstream_expiry(m, slot, htlc.htlc_id) if htlc.offered else htlc.cltv_expiry
        if deadline is None:
            balance_sat += htlc.amount_msat // 1000
        else:
            by_deadline[deadline] = by_deadline.get(deadline, 0) + htlc.amount_msat // 1000
    return feerates.cpfp_feerate_per_kw(
        by_deadline,
        balance_sat,
        weight,
        m.env.block_height,
        slot.published_height,
        lambda blocks: fees.feerate_for(m, blocks),
        m.config.feerate_min_per_kw,
        m.config.feerate_max_per_kw,
    )


def _upstream_expiry(m: Manager, slot: Slot, htlc_id: int) -> int | None:
    """The expiry of the inbound HTLC that ours carries on: until then its refund must be here."""
    source = slot.state.core.outbound[htlc_id].add.source
    inbound = m.channels.get(source.origin) if source is not None and source.forwarded else None
    htlc = None if inbound is None or source is None else inbound.state.core.inbound.get(source.index)
    return None if htlc is None else htlc.add.cltv_expiry


def _ask_for_coins(
    m: Manager, active: ActiveClaim, feerate_per_kw: int, parent_weight: int, parent_fee_sat: int
) -> None:
    inputs = [claim.input for claim in active.claims]
    spent = tuple([TxOut(one.value_sat, p2wsh_of_script(one.witness_script)) for one in inputs])
    if active.transaction:
        # A replacement pays for its own way too (BIP 125).
        total = parent_weight + active.weight
        own_fee_sat = feerates.replacement_fee_sat(
            active.fee_sat, active.weight, feerate_per_kw, old_weight=active.weight
        )
        fee_sat = own_fee_sat + parent_fee_sat
        feerate_per_kw = max(feerate_per_kw, -(-fee_sat * 1000 // total))
    active.feerate_per_kw = feerate_per_kw
    active.refused = False
    active.waiting = True
    weight = claim_weight(inputs, [])
    template = build_claim(inputs, [])
    m.actions.append(FundClaim(active.claim_id, template, spent, weight, feerate_per_kw, parent_weight, parent_fee_sat))


def on_funded(m: Manager, slot: Slot, active: ActiveClaim, transaction: Transaction) -> None:
    """The wallet has added coins to the child: sign the anchor and publish both together."""

    def publish(signed: Transaction) -> None:
        m.actions.append(BroadcastPackage((slot.own_commitment, signed.serialize()), PACKAGE))

    signing.ask(m, slot, active, transaction, publish)
