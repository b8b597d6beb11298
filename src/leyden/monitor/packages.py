"""Which claims go together into one transaction.

A transaction of many inputs is cheaper, and fails as a whole when the other side takes one of them or holds it with
descendants of low feerate. So claims are the more apart the nearer they are to their deadline. Groups are cut at fixed
places, not by counting: a claim that comes or goes changes its own group, and the transactions of the others stay.

Spec: BOLT 5, "Penalty Transactions Weight Calculation" and "Generation of HTLC Transactions".
"""

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

import msgspec

from leyden.bitcoin.tx import WITNESS_SCALE_FACTOR, OutPoint
from leyden.monitor.claimable import OutputClaim
from leyden.transactions.claim_inputs import ClaimInput, ClaimKind
from leyden.transactions.claims import HOLDER_KINDS, input_weight

_SWEPT: Final = frozenset({ClaimKind.TO_LOCAL, ClaimKind.SECOND_STAGE, ClaimKind.TO_REMOTE, ClaimKind.ANCHOR_OF_ANYONE})
_ORDER: Final = {kind: place for place, kind in enumerate(ClaimKind)}
_OUTPOINT_BITS: Final = 36 * 8

# Channel, family, nLockTime, contested, most inputs, and the place that the group is cut out of.
_Key: TypeAlias = tuple[bytes, str, int, bool, int, bytes, int]


class PackageLimits(msgspec.Struct, frozen=True, gc=False):
    """How large a transaction of claims may be.

    Attributes:
        weight_max: of its inputs, and of the outputs paired with them; 10,000 below what relays, for everything else.
        inputs_max: when no deadline is near. A power of two, so that smaller groups lie within larger ones.
        near_blocks, near_inputs: with so many blocks to a deadline, at most so many inputs; also a power of two.
        single_blocks: with so many blocks to its deadline, a claim that the other side may take goes alone.
    """

    weight_max: int = 390_000
    inputs_max: int = 512
    near_blocks: int = 48
    near_inputs: int = 16
    single_blocks: int = 12


def is_swept(kind: ClaimKind) -> bool:
    """Return whether the output is ours alone and waits for the sweeper, without urgency."""
    return kind in _SWEPT


def group_claims(
    claims: Sequence[OutputClaim], height: int, limits: PackageLimits
) -> tuple[tuple[OutputClaim, ...], ...]:
    """Return the claims that block `height` + 1 may hold, in groups that each make one transaction.

    Left out are what is swept, and our anchor, which is spent with its commitment. No output is in two groups, and no
    group has two channels. Both the groups and what is in them are in order of kind, then outpoint, whatever the order
    of `claims`.
    """
    keyed: dict[_Key, list[OutputClaim]] = {}
    seen: set[OutPoint] = set()
    for claim in sorted(claims, key=_rank):
        one = claim.input
        if is_swept(one.kind) or one.kind is ClaimKind.ANCHOR or one.outpoint in seen:
            continue
        # An nLockTime is final in the blocks above it.
        if max(claim.unlock_height, one.locktime + 1) > height + 1:
            continue
        seen.add(one.outpoint)
        keyed.setdefault(_key(claim, height, limits), []).append(claim)
    groups = [group for key, members in keyed.items() for group in _split(members, key, limits.weight_max)]
    return tuple(sorted(groups, key=lambda group: _rank(group[0])))


def _rank(claim: OutputClaim) -> tuple[int, bytes, int]:
    outpoint = claim.input.outpoint
    return _ORDER[claim.input.kind], outpoint.txid, outpoint.vout


def _inputs_max(claim: OutputClaim, height: int, limits: PackageLimits) -> int:
    if claim.input.kind in HOLDER_KINDS and not claim.input.anchors:
        return 1  # The peer has signed for one input and one output.
    if claim.deadline_height is None:
        return limits.inputs_max
    blocks_left = claim.deadline_height - height
    if claim.contested and blocks_left <= limits.single_blocks:
        return 1
    return limits.near_inputs if blocks_left <= limits.near_blocks else limits.inputs_max


def _key(claim: OutputClaim, height: int, limits: PackageLimits) -> _Key:
    """What claims must have in common to share a transaction."""
    one = claim.input
    family, locktime = "own value", 0
    if one.kind in HOLDER_KINDS:
        # Their fee comes from the wallet, and the peer's signatures are for exactly this nLockTime.
        family, locktime = one.kind.value, one.locktime
    inputs_max = _inputs_max(claim, height, limits)
    if one.kind is ClaimKind.REVOKED_SECOND_STAGE:
        # Those of one block have one deadline; those of a later block leave them alone.
        assert claim.deadline_height is not None, "the peer has it after its delay"
        txid, number = b"", claim.deadline_height
    else:
        txid, number = one.outpoint.txid, one.outpoint.vout // inputs_max
    return one.keys_id, family, locktime, claim.contested, inputs_max, txid, number


def _split(members: list[OutputClaim], key: _Key, weight_max: int) -> Iterator[tuple[OutputClaim, ...]]:
    """Halve the range of outputs until what is in it fits."""
    inputs_max, txid, number = key[4:]
    positions = {_position(one, txid): one for one in members}
    if txid:
        yield from _halves(positions, number * inputs_max, inputs_max, inputs_max, weight_max)
    else:
        yield from _halves(positions, 0, 1 << _OUTPOINT_BITS, inputs_max, weight_max)


def _position(claim: OutputClaim, txid: bytes) -> int:
    outpoint = claim.input.outpoint
    return outpoint.vout if txid else int.from_bytes(outpoint.txid) << 32 | outpoint.vout


def _halves(
    members: dict[int, OutputClaim], start: int, size: int, inputs_max: int, weight_max: int
) -> Iterator[tuple[OutputClaim, ...]]:
    """Yield what stands at `start` .. `start + size - 1`."""
    if not members:
        return
    weight = sum(_weight(claim.input) for claim in members.values())
    if len(members) == 1 or (len(members) <= inputs_max and weight <= weight_max):
        yield tuple(members.values())
        return
    middle = start + size // 2
    lower = {place: claim for place, claim in members.items() if place < middle}
    upper = {place: claim for place, claim in members.items() if place >= middle}
    yield from _halves(lower, start, middle - start, inputs_max, weight_max)
    yield from _halves(upper, middle, start + size - middle, inputs_max, weight_max)


def _weight(one: ClaimInput) -> int:
    paired = 0 if one.paired_output is None else WITNESS_SCALE_FACTOR * len(one.paired_output.serialize())
    return input_weight(one) + paired
