"""Which output of a commitment transaction is which, by its script alone: amounts of old commitments are not stored.

Spec: BOLT 3, "Commitment Transaction Outputs"; BOLT 5, "Revoked Transaction Close Handling".
"""

from collections.abc import Iterable
from enum import Enum
from typing import TypeAlias

import msgspec

from leyden.bitcoin.script import p2wsh_of_script
from leyden.bitcoin.tx import TxOut
from leyden.crypto.hashes import ripemd160
from leyden.transactions.keys import CommitmentKeys
from leyden.transactions.scripts import (
    anchor_script,
    htlc_scripts,
    to_local_script,
    to_remote_anchors_script,
    to_remote_script_pubkey,
)


class OutputRole(Enum):
    """What an output of a commitment is, in the words of BOLT 3: local is the side whose commitment it is."""

    TO_LOCAL = "to_local"
    TO_REMOTE = "to_remote"
    LOCAL_ANCHOR = "local_anchor"
    REMOTE_ANCHOR = "remote_anchor"
    OFFERED_HTLC = "offered_htlc"
    RECEIVED_HTLC = "received_htlc"


class CandidateHtlc(msgspec.Struct, frozen=True, gc=False):
    """An HTLC that may have been in the commitment.

    Attributes:
        offered: by the broadcaster of the commitment.
        payment_hash, cltv_expiry: 32 bytes, and a block height.
        htlc_id, amount_msat: None when only the penalty log knows the HTLC.
    """

    offered: bool
    payment_hash: bytes
    cltv_expiry: int
    htlc_id: int | None
    amount_msat: int | None


class RecognisedOutput(msgspec.Struct, frozen=True, gc=False):
    """An output of a published commitment.

    Attributes:
        output_index, value_sat: its place and value.
        role: see `OutputRole`.
        witness_script: empty for a to_remote that is P2WPKH.
        htlc: what it holds, for the HTLC roles. Among HTLCs with the same script it is the one with this amount if any.
    """

    output_index: int
    value_sat: int
    role: OutputRole
    witness_script: bytes
    htlc: CandidateHtlc | None


Recognised: TypeAlias = tuple[tuple[RecognisedOutput, ...], tuple[int, ...]]
"""(outputs that are known, indices of those that are not)."""


def recognise_outputs(
    keys: CommitmentKeys,
    to_self_delay: int,
    anchors: bool,
    outputs: tuple[TxOut, ...],
    htlcs: Iterable[CandidateHtlc],
) -> Recognised:
    """Tell the outputs of a commitment apart by rebuilding their scripts.

    Args:
        keys: of the commitment. to_self_delay: of its broadcaster, in blocks.
        outputs: of the published transaction.
        htlcs: all that the commitment may have held, those with amounts first; read until they explain every output.
    """
    fixed = _fixed_scripts(keys, to_self_delay, anchors)
    left: dict[bytes, list[int]] = {}
    for output in outputs:
        if output.script_pubkey not in fixed:
            left.setdefault(output.script_pubkey, []).append(output.value_sat)
    by_script = _htlc_scripts(keys, anchors, htlcs, left) if left else {}
    known: list[RecognisedOutput] = []
    unknown: list[int] = []
    for index, output in enumerate(outputs):
        value_sat = output.value_sat
        at = fixed.get(output.script_pubkey)
        if at is not None:
            known.append(RecognisedOutput(index, value_sat, at[0], at[1], None))
            continue
        candidates = by_script.get(output.script_pubkey)
        if candidates is None:
            unknown.append(index)
            continue
        htlc, script = _take(candidates, value_sat)
        role = OutputRole.OFFERED_HTLC if htlc.offered else OutputRole.RECEIVED_HTLC
        known.append(RecognisedOutput(index, value_sat, role, script, htlc))
    return tuple(known), tuple(unknown)


def _fixed_scripts(keys: CommitmentKeys, to_self_delay: int, anchors: bool) -> dict[bytes, tuple[OutputRole, bytes]]:
    point = keys.countersignatory_payment_point
    to_local = to_local_script(keys, to_self_delay)
    fixed = {
        p2wsh_of_script(to_local): (OutputRole.TO_LOCAL, to_local),
        to_remote_script_pubkey(point, anchors): (
            OutputRole.TO_REMOTE,
            to_remote_anchors_script(point) if anchors else b"",
        ),
    }
    if anchors:
        for role, key in (
            (OutputRole.LOCAL_ANCHOR, keys.broadcaster_funding_public_key),
            (OutputRole.REMOTE_ANCHOR, keys.countersignatory_funding_public_key),
        ):
            script = anchor_script(key)
            fixed[p2wsh_of_script(script)] = (role, script)
    return fixed


_Candidates: TypeAlias = list[tuple[CandidateHtlc, bytes]]


def _htlc_scripts(
    keys: CommitmentKeys, anchors: bool, htlcs: Iterable[CandidateHtlc], left: dict[bytes, list[int]]
) -> dict[bytes, _Candidates]:
    """Return the HTLCs of each script in `left`; take out of `left` what is explained, and stop when all is.

    left: values of the outputs of each script. One HTLC explains one output of its amount; without an amount it
    explains them all (see `_take`).
    """
    scripts = htlc_scripts(keys, anchors)
    found: dict[bytes, _Candidates] = {}
    for htlc in htlcs:
        hash160 = ripemd160(htlc.payment_hash)
        script = scripts.offered(hash160) if htlc.offered else scripts.received(hash160, htlc.cltv_expiry)
        script_pubkey = p2wsh_of_script(script)
        found.setdefault(script_pubkey, []).append((htlc, script))
        values = left.get(script_pubkey)
        if values is None:
            continue
        if htlc.amount_msat is None:
            values.clear()
        elif htlc.amount_msat // 1000 in values:
            values.remove(htlc.amount_msat // 1000)
        if not values:
            del left[script_pubkey]
            if not left:
                break
    return found


def _take(candidates: _Candidates, value_sat: int) -> tuple[CandidateHtlc, bytes]:
    """Choose the HTLC of an output. One that the state knows is taken once; a row of the log may stand for several,
    since the same row twice may be one HTLC written twice or two alike.
    """
    for place, (htlc, _script) in enumerate(candidates):
        if htlc.amount_msat is not None and htlc.amount_msat // 1000 == value_sat and len(candidates) > 1:
            return candidates.pop(place)
    for one in candidates:
        if one[0].amount_msat is None:
            return one
    return candidates[0]
