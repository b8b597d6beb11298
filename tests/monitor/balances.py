"""What of a spend is ours, and when, in satoshi: worked out from the commitment alone, to compare the monitor with.

An output appears once, with what has to happen before its money can move. Nothing here decides anything.

Heights are those of the first block that may hold the spend. A relative lock of n blocks on an output that confirmed in
block h allows block h + n; an absolute one of height e allows block e + 1.

Spec: BOLT 5, "Unilateral Close Handling"; BOLT 3, "Commitment Transaction Outputs".
"""

from enum import Enum

import msgspec

from leyden.channel.build import ChannelKeys
from leyden.channel.core import ChannelCore
from leyden.monitor.classify import Spend, SpendKind
from leyden.monitor.commitments import CommitmentSource, KnownHtlc, PossibleCommitment
from leyden.monitor.recognise import OutputRole
from leyden.monitor.revoked import PENALISED, RevokedCommitment, sequence_blocks
from leyden.transactions.commitment import OutputKind
from leyden.transactions.fees import commitment_cost_sat
from leyden.transactions.scripts import ANCHOR_CSV_BLOCKS, to_remote_script_pubkey


class OnchainKind(Enum):
    """Why an output is ours.

    CLOSE: the closing transaction pays our script. BALANCE: our side of a commitment. PENALTY: the peer forfeited it.
    HTLC_REFUND: we offered it, and have it back after its expiry unless the peer has the preimage. HTLC_CLAIM: the peer
    offered it and we have the preimage, until its expiry. HTLC_UNDECIDED: the peer offered it, the preimage is not here
    (yet). ANCHOR: 330 sat, of use for fees only.
    """

    CLOSE = "close"
    BALANCE = "balance"
    PENALTY = "penalty"
    HTLC_REFUND = "htlc_refund"
    HTLC_CLAIM = "htlc_claim"
    HTLC_UNDECIDED = "htlc_undecided"
    ANCHOR = "anchor"


class OnchainOutput(msgspec.Struct, frozen=True, gc=False):
    """One output that is or may become ours.

    Attributes:
        kind: see `OnchainKind`.
        output_index: in the spending transaction.
        amount_sat: its value; the fees of what will claim it are not taken off.
        spendable_height: first block in which the money can move freely, second stages included; None while the spend
            is in no block.
        deadline_height: from this block on the other side may have it too (anybody, an anchor). None when nobody may;
            HTLC_REFUND has none either, since the peer may have it whenever it has the preimage.
        htlc_id: of an HTLC that the state knows.
    """

    kind: OnchainKind
    output_index: int
    amount_sat: int
    spendable_height: int | None
    deadline_height: int | None
    htlc_id: int | None


class OnchainBalance(msgspec.Struct, frozen=True):
    """What a spend of the funding output leaves us.

    Attributes:
        outputs: in output order; see `OnchainOutput`.
        lost_msat: ours, but without an output: HTLCs that we offered and a balance, when trimmed, and fractions of a
            satoshi. Trimmed HTLCs are lost only if the peer does not settle them.
        fee_sat: what we paid for the transaction itself, anchors included; 0 when the peer opened the channel.
    """

    outputs: tuple[OnchainOutput, ...]
    lost_msat: int
    fee_sat: int

    def sum_sat(self, *kinds: OnchainKind) -> int:
        """Return the satoshi of all outputs of these kinds."""
        return sum([output.amount_sat for output in self.outputs if output.kind in kinds])

    @property
    def certain_sat(self) -> int:
        """Return what nobody can take from us if we act in time: all but HTLCs that the peer might still settle."""
        return self.sum_sat(OnchainKind.CLOSE, OnchainKind.BALANCE, OnchainKind.PENALTY, OnchainKind.HTLC_CLAIM)


def onchain_balance(core: ChannelCore, keys: ChannelKeys, spend: Spend, height: int | None) -> OnchainBalance:
    """Return what `spend` leaves us. height: of the block that holds it, None while there is none."""
    match spend.kind:
        case SpendKind.LOCAL | SpendKind.REMOTE | SpendKind.REMOTE_PRIOR | SpendKind.REMOTE_WITHDRAWN:
            assert spend.possible is not None, "classified by its txid"
            return possible_balance(core, keys, spend.possible, height)
        case SpendKind.REMOTE_REVOKED:
            assert spend.revoked is not None, "classified by its number"
            return OnchainBalance(_revoked_outputs(core, spend.revoked, height), 0, 0)
        case SpendKind.MUTUAL_CLOSE:
            outputs = _paying(spend, core.local_shutdown_script, OnchainKind.CLOSE, height)
            return OnchainBalance(outputs, 0, 0)
        case SpendKind.REMOTE_UNKNOWN:
            script = to_remote_script_pubkey(keys.local.payment_basepoint, core.opened.anchors)
            free = _later(height, 1 if core.opened.anchors else 0)
            return OnchainBalance(_paying(spend, script, OnchainKind.BALANCE, free), 0, 0)
        case SpendKind.LOCAL_REVOKED | SpendKind.LOCAL_FUTURE | SpendKind.OTHER:
            # The peer may take all of a revoked one, and this state does not know the others.
            return OnchainBalance((), 0, 0)


def possible_balance(
    core: ChannelCore, keys: ChannelKeys, possible: PossibleCommitment, height: int | None
) -> OnchainBalance:
    """Return what a commitment leaves us that may confirm, or has. height: as in `onchain_balance`."""
    commitment, anchors = possible.commitment, core.opened.anchors
    is_local = possible.source is CommitmentSource.LOCAL
    delay = keys.local_parameters.to_self_delay if is_local else int(anchors)
    outputs = [
        _htlc_output(possible, htlc, core, keys, height) for htlc in possible.htlcs if htlc.output_index is not None
    ]
    balance_sat = 0
    index = commitment.output_index(OutputKind.TO_BROADCASTER if is_local else OutputKind.TO_COUNTERSIGNATORY)
    if index is not None:
        balance_sat = commitment.output_value_sat(index)
        outputs.append(OnchainOutput(OnchainKind.BALANCE, index, balance_sat, _later(height, delay), None, None))
    index = commitment.output_index(OutputKind.BROADCASTER_ANCHOR if is_local else OutputKind.COUNTERSIGNATORY_ANCHOR)
    if index is not None:
        value_sat = commitment.output_value_sat(index)
        deadline = _later(height, ANCHOR_CSV_BLOCKS)
        outputs.append(OnchainOutput(OnchainKind.ANCHOR, index, value_sat, height, deadline, None))
    balance_msat = possible.local_msat
    fee_sat = 0
    if core.opened.is_opener:
        cost_sat = commitment_cost_sat(commitment.feerate_per_kw, len(commitment.htlcs), anchors)
        fee_sat = min(cost_sat, balance_msat // 1000)
    lost_msat = balance_msat - (fee_sat + balance_sat) * 1000 + _lost_in_htlcs_msat(possible)
    return OnchainBalance(tuple(sorted(outputs, key=lambda output: output.output_index)), lost_msat, fee_sat)


def _lost_in_htlcs_msat(possible: PossibleCommitment) -> int:
    """HTLCs that we offered: all of a trimmed one, and what is no whole satoshi of the others."""
    return sum(
        [
            htlc.amount_msat if htlc.output_index is None else htlc.amount_msat % 1000
            for htlc in possible.htlcs
            if htlc.offered
        ]
    )


def _htlc_output(
    possible: PossibleCommitment, htlc: KnownHtlc, core: ChannelCore, keys: ChannelKeys, height: int | None
) -> OnchainOutput:
    """On our own commitment a second stage comes between, whose output waits as to_local does."""
    index = htlc.output_index
    assert index is not None, "it has an output"
    after_expiry = htlc.cltv_expiry + 1
    first = _later(height, int(core.opened.anchors))
    if htlc.offered:
        kind, deadline = OnchainKind.HTLC_REFUND, None
        first = None if first is None else max(first, after_expiry)
    else:
        kind = OnchainKind.HTLC_CLAIM if htlc.preimage else OnchainKind.HTLC_UNDECIDED
        deadline = after_expiry
    if possible.source is CommitmentSource.LOCAL:
        first = _later(first, keys.local_parameters.to_self_delay)
    return OnchainOutput(kind, index, htlc.amount_msat // 1000, first, deadline, htlc.htlc_id)


def _revoked_outputs(core: ChannelCore, revoked: RevokedCommitment, height: int | None) -> tuple[OnchainOutput, ...]:
    anchors = core.opened.anchors
    # An HTLC may go to the peer's second stage at once; that one waits as to_local does, and is forfeited as well.
    deadline = _later(height, revoked.to_self_delay)
    outputs: list[OnchainOutput] = []
    for one in revoked.outputs:
        role, htlc_id = one.role, None if one.htlc is None else one.htlc.htlc_id
        spendable = _later(height, sequence_blocks(role, anchors))
        if role in PENALISED:
            kind, until = OnchainKind.PENALTY, deadline
        elif role is OutputRole.TO_REMOTE:
            kind, until = OnchainKind.BALANCE, None
        elif role is OutputRole.REMOTE_ANCHOR:
            kind, until = OnchainKind.ANCHOR, _later(height, ANCHOR_CSV_BLOCKS)
        else:
            continue
        outputs.append(OnchainOutput(kind, one.output_index, one.value_sat, spendable, until, htlc_id))
    return tuple(outputs)


def _paying(spend: Spend, script: bytes, kind: OnchainKind, height: int | None) -> tuple[OnchainOutput, ...]:
    return tuple(
        [
            OnchainOutput(kind, index, output.value_sat, height, None, None)
            for index, output in enumerate(spend.transaction.outputs)
            if output.script_pubkey == script
        ]
    )


def _later(height: int | None, blocks: int) -> int | None:
    return None if height is None else height + blocks
