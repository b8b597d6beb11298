"""Which outputs of a closed channel we look at, and what each of them is.

Those of the commitment that confirmed, and those of transactions that spend its HTLCs (second stages). They follow from
the spend of the funding output and from what spends them; nothing of it is stored.

Spec: BOLT 5, "Unilateral Close Handling: Local Commitment Transaction", "... Remote Commitment Transaction", "Revoked
Transaction Close Handling".
"""

from collections.abc import Iterator
from enum import Enum

import msgspec

from leyden.bitcoin.script import p2wsh_of_script
from leyden.bitcoin.tx import OutPoint, Transaction
from leyden.channel.build import ChannelKeys, PointOf
from leyden.channel.core import ChannelCore
from leyden.monitor.classify import Spend, SpendKind
from leyden.monitor.commitments import KnownHtlc, PossibleCommitment
from leyden.monitor.recognise import OutputRole, recognise_outputs
from leyden.monitor.revoked import RevokedCommitment
from leyden.transactions.commitment import OutputKind
from leyden.transactions.keys import derive_commitment_keys
from leyden.transactions.scripts import to_local_script


class WatchedKind(Enum):
    """What a watched output is to us.

    TO_LOCAL: ours, of our own commitment, after the delay. TO_REMOTE: ours, of the peer's. HTLC: of a commitment that
    is not revoked. REVOKED_TO_LOCAL, REVOKED_HTLC, REVOKED_SECOND_STAGE: forfeited by the peer. SECOND_STAGE: of our
    own HTLC transaction. OWN_ANCHOR, OTHER_ANCHOR: 330 sat. UNKNOWN: of a commitment that this state does not know.
    """

    TO_LOCAL = "to_local"
    TO_REMOTE = "to_remote"
    HTLC = "htlc"
    REVOKED_TO_LOCAL = "revoked_to_local"
    REVOKED_HTLC = "revoked_htlc"
    REVOKED_SECOND_STAGE = "revoked_second_stage"
    SECOND_STAGE = "second_stage"
    OWN_ANCHOR = "own_anchor"
    OTHER_ANCHOR = "other_anchor"
    UNKNOWN = "unknown"


class WatchedHtlc(msgspec.Struct, frozen=True, gc=False):
    """An HTLC behind an output. offered: by us. htlc_id: None when only the penalty log knows it. position: in
    `Commitment.htlcs` of our own commitment, else 0.
    """

    offered: bool
    htlc_id: int | None
    payment_hash: bytes
    cltv_expiry: int
    position: int


class WatchedOutput(msgspec.Struct, frozen=True, gc=False):
    """One output. height: of the block that holds its transaction. htlc: of HTLCs and their second stages, if known."""

    outpoint: OutPoint
    value_sat: int
    kind: WatchedKind
    witness_script: bytes
    height: int
    htlc: WatchedHtlc | None


def commitment_outputs(
    core: ChannelCore, keys: ChannelKeys, spend: Spend, height: int, own_points: PointOf
) -> tuple[WatchedOutput, ...]:
    """Return the outputs to look at of the transaction that spent the funding output, in output order.

    Args:
        height: of the block that holds it. own_points: from the signer.
    """
    match spend.kind:
        case SpendKind.LOCAL | SpendKind.REMOTE | SpendKind.REMOTE_PRIOR | SpendKind.REMOTE_WITHDRAWN:
            assert spend.possible is not None, "classified by its txid"
            found = list(_of_possible(spend.possible, spend.kind is SpendKind.LOCAL, height))
        case SpendKind.REMOTE_REVOKED:
            assert spend.revoked is not None, "classified by its number"
            found = list(_of_revoked(spend.revoked, spend.transaction, height))
        case SpendKind.LOCAL_REVOKED | SpendKind.LOCAL_FUTURE | SpendKind.REMOTE_UNKNOWN:
            found = list(_of_unknown(core, keys, spend, height, own_points))
        case SpendKind.MUTUAL_CLOSE | SpendKind.OTHER:
            # What a closing transaction pays us is the wallet's at once.
            found = []
    return tuple(sorted(found, key=lambda one: one.outpoint.vout))


def _of_possible(possible: PossibleCommitment, is_local: bool, height: int) -> Iterator[WatchedOutput]:
    commitment = possible.commitment
    ours, own_anchor, other_anchor = (
        (OutputKind.TO_BROADCASTER, OutputKind.BROADCASTER_ANCHOR, OutputKind.COUNTERSIGNATORY_ANCHOR)
        if is_local
        else (OutputKind.TO_COUNTERSIGNATORY, OutputKind.COUNTERSIGNATORY_ANCHOR, OutputKind.BROADCASTER_ANCHOR)
    )
    named = {
        ours: WatchedKind.TO_LOCAL if is_local else WatchedKind.TO_REMOTE,
        own_anchor: WatchedKind.OWN_ANCHOR,
        other_anchor: WatchedKind.OTHER_ANCHOR,
    }

    def watched(index: int, kind: WatchedKind, htlc: WatchedHtlc | None) -> WatchedOutput:
        outpoint = OutPoint(commitment.txid, index)
        value_sat, script = commitment.output_value_sat(index), commitment.witness_script(index)
        return WatchedOutput(outpoint, value_sat, kind, script, height, htlc)

    for output_kind, kind in named.items():
        index = commitment.output_index(output_kind)
        if index is not None:
            yield watched(index, kind, None)
    positions = {index: position for position, (index, _htlc) in enumerate(commitment.htlcs)}
    for known in possible.htlcs:
        if known.output_index is not None:
            yield watched(known.output_index, WatchedKind.HTLC, _watched_htlc(known, positions[known.output_index]))


def _watched_htlc(known: KnownHtlc, position: int) -> WatchedHtlc:
    return WatchedHtlc(known.offered, known.htlc_id, known.payment_hash, known.cltv_expiry, position)


_REVOKED_KINDS = {
    OutputRole.TO_LOCAL: WatchedKind.REVOKED_TO_LOCAL,
    OutputRole.TO_REMOTE: WatchedKind.TO_REMOTE,
    OutputRole.OFFERED_HTLC: WatchedKind.REVOKED_HTLC,
    OutputRole.RECEIVED_HTLC: WatchedKind.REVOKED_HTLC,
    OutputRole.LOCAL_ANCHOR: WatchedKind.OTHER_ANCHOR,
    OutputRole.REMOTE_ANCHOR: WatchedKind.OWN_ANCHOR,
}


def _of_revoked(revoked: RevokedCommitment, transaction: Transaction, height: int) -> Iterator[WatchedOutput]:
    for one in revoked.outputs:
        htlc = None
        if one.htlc is not None:
            # `offered` of an HTLC of the peer's commitment means the peer.
            htlc = WatchedHtlc(not one.htlc.offered, one.htlc.htlc_id, one.htlc.payment_hash, one.htlc.cltv_expiry, 0)
        outpoint = OutPoint(revoked.txid, one.output_index)
        yield WatchedOutput(outpoint, one.value_sat, _REVOKED_KINDS[one.role], one.witness_script, height, htlc)
    for index in revoked.unknown:
        value_sat = transaction.outputs[index].value_sat
        yield WatchedOutput(OutPoint(revoked.txid, index), value_sat, WatchedKind.UNKNOWN, b"", height, None)


def _of_unknown(
    core: ChannelCore, keys: ChannelKeys, spend: Spend, height: int, own_points: PointOf
) -> Iterator[WatchedOutput]:
    """A commitment whose HTLCs this state does not know: what is ours of it can be told by its script all the same."""
    number, is_own = spend.number, spend.kind is not SpendKind.REMOTE_UNKNOWN
    assert number is not None, "a commitment"
    if is_own:
        commitment_keys = derive_commitment_keys(
            keys.local, keys.remote, own_points(core.opened.channel_keys_id, number)
        )
        to_self_delay = keys.local_parameters.to_self_delay
    else:
        # Its point is not known; to_remote is the one output that does not need it.
        commitment_keys = derive_commitment_keys(keys.remote, keys.local, core.remote_point)
        to_self_delay = keys.remote_parameters.to_self_delay
    known, unknown = recognise_outputs(
        commitment_keys, to_self_delay, core.opened.anchors, spend.transaction.outputs, ()
    )
    wanted = {
        OutputRole.TO_LOCAL if is_own else OutputRole.TO_REMOTE: (
            WatchedKind.TO_LOCAL if is_own else WatchedKind.TO_REMOTE
        ),
        OutputRole.LOCAL_ANCHOR: WatchedKind.OWN_ANCHOR if is_own else WatchedKind.OTHER_ANCHOR,
        OutputRole.REMOTE_ANCHOR: WatchedKind.OTHER_ANCHOR if is_own else WatchedKind.OWN_ANCHOR,
    }
    for one in known:
        if one.role in wanted:
            outpoint = OutPoint(spend.txid, one.output_index)
            yield WatchedOutput(outpoint, one.value_sat, wanted[one.role], one.witness_script, height, None)
    for index in unknown:
        value_sat = spend.transaction.outputs[index].value_sat
        yield WatchedOutput(OutPoint(spend.txid, index), value_sat, WatchedKind.UNKNOWN, b"", height, None)


def second_stage_script(keys: ChannelKeys, spend: Spend) -> bytes:
    """Return the witness script of every second stage of a commitment; empty when it has none that we can have."""
    if spend.kind is SpendKind.LOCAL:
        assert spend.possible is not None, "classified by its txid"
        return to_local_script(spend.possible.commitment.keys, keys.local_parameters.to_self_delay)
    return spend.revoked.second_stage_script if spend.revoked is not None else b""


def second_stages(
    spend: Spend, script: bytes, spending: Transaction, txid: bytes, height: int, spent: dict[int, WatchedOutput]
) -> tuple[WatchedOutput, ...]:
    """Return the second-stage outputs that a transaction makes which spends HTLCs of a commitment.

    An HTLC transaction may be joined with others, so its output is known by its script alone.

    Args:
        script: as `second_stage_script`. spending, txid, height: the transaction and the block that holds it.
        spent: what it spends of ours, by input index.
    """
    if not script or not any(one.kind in (WatchedKind.HTLC, WatchedKind.REVOKED_HTLC) for one in spent.values()):
        return ()
    kind = WatchedKind.SECOND_STAGE if spend.kind is SpendKind.LOCAL else WatchedKind.REVOKED_SECOND_STAGE
    script_pubkey = p2wsh_of_script(script)
    found: list[WatchedOutput] = []
    for index, output in enumerate(spending.outputs):
        if output.script_pubkey == script_pubkey:
            source = spent.get(index)
            htlc = None if source is None else source.htlc
            found.append(WatchedOutput(OutPoint(txid, index), output.value_sat, kind, script, height, htlc))
    return tuple(found)
