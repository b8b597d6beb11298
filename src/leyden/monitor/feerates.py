"""What a claim may cost: more the nearer its deadline, never more than a share of what it saves.

Every figure follows from heights, values and the estimates of now, so that a restart at the same height asks for the
same. Feerates are satoshis per 1000 weight units. The rules, and why they are so, are in docs/onchain.md, "Fees".

Spec: BOLT 5, "Generation of HTLC Transactions" and "Penalty Transactions Weight Calculation"; BIP 125.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

from leyden.transactions.fees import DUST_LIMIT_P2WSH_SAT, whole_vbytes

Estimate: TypeAlias = Callable[[int], int | None]
"""Blocks in which to confirm (1..144) to a feerate. Its answers may be missing or absurd: they are bounded here."""

RELAXED_TARGET_BLOCKS: Final = 144
"""The slowest that is asked for: a day."""
INCREMENTAL_RELAY_PER_KW: Final = 250
"""1 sat/vB: what each replacement pays for its own relay, on top of what it replaces (BIP 125)."""
BUDGET_PERMILLE: Final = 500
"""Half of what a claim saves may go to fees."""
PENALTY_PERMILLE: Final = 950
"""Of a penalty in its last blocks: what we do not get, the cheater gets."""
PENALTY_LAST_BLOCKS: Final = 6
BALANCE_PERMILLE: Final = 10
"""Of our own balance, for its commitment to confirm sooner: it is late without, not lost."""
REACH_PERMILLE: Final = 100
"""Of our own balance, for its commitment to confirm at all, at the estimate for a day; as much again for each day that
it waits, up to `BUDGET_PERMILLE`: what stays out for ever is lost too."""

_TARGETS = (1, 2, 3, 6, 12, 24, 48, 72, RELAXED_TARGET_BLOCKS)


class Due(NamedTuple):
    """HTLCs that are lost if our commitment has not confirmed before `deadline_height`.

    start_height: from which on the channel would be closed for them: known to every life, unlike when it was.
    """

    deadline_height: int
    start_height: int
    value_sat: int


# A week: after it, what nobody waits for pays twice the estimate.
_PATIENCE_DAYS = 7


def fee_sat(weight: int, feerate_per_kw: int) -> int:
    """Return the fee in satoshi, rounded up, so that the transaction has at least this feerate for every mempool."""
    return -(-whole_vbytes(weight) * feerate_per_kw // 1000)


def budget_sat(value_sat: int, height: int, deadline_height: int | None, *, penalty: bool = False) -> int:
    """Return what a claim of `value_sat` may cost at most with `height` as the best block.

    penalty: of a revoked commitment; the share grows in the last blocks before its deadline.
    """
    last = penalty and deadline_height is not None and _blocks_left(height, deadline_height) <= PENALTY_LAST_BLOCKS
    return value_sat * (PENALTY_PERMILLE if last else BUDGET_PERMILLE) // 1000


def claim_feerate_per_kw(
    value_sat: int,
    weight: int,
    height: int,
    start_height: int,
    deadline_height: int | None,
    estimate: Estimate,
    floor: int,
    ceiling: int,
    *,
    penalty: bool = False,
) -> int:
    """Return the feerate that a claim should have with `height` as the best block.

    Never lower at a higher height; never above `ceiling` or what `budget_sat` allows, except where that is below
    `floor`, under which nothing relays.

    Args:
        value_sat: what its inputs are worth together.
        weight: of the whole transaction; with CPFP of the whole package. Above 0.
        start_height: the best block when it could first be published.
        deadline_height: see `OutputClaim`; None: it may wait.
        estimate: the market's view.
        floor: what relays, 253 or the mempool's own minimum.
        ceiling: above it no market is believed.
        penalty: see `budget_sat`.
    """
    now = budget_sat(value_sat, height, deadline_height, penalty=penalty)
    if deadline_height is None:
        wanted = _patient(max(height - start_height, 0), estimate, floor)
    else:
        last = budget_sat(value_sat, max(height, deadline_height), deadline_height, penalty=penalty)
        cap = min(_affordable(last, weight), ceiling)
        wanted = _rising(cap, height, start_height, deadline_height, estimate, floor)
    return max(floor, min(wanted, ceiling, _affordable(now, weight)))


def cpfp_feerate_per_kw(
    dues: Sequence[Due],
    balance_sat: int,
    weight: int,
    height: int,
    start_height: int,
    estimate: Estimate,
    floor: int,
    ceiling: int,
) -> int:
    """Return the feerate that our commitment and its child should have together.

    For each deadline no more than half of the HTLCs due by then, and a hundredth of our balance, is spent; the
    deadline that asks for the most decides. So a small HTLC that expires soon does not spend what a large one is worth.
    The estimate for a day may take more of our balance (`reach_sat`).

    Args:
        dues: one for each HTLC, in any order.
        balance_sat: ours on the commitment, HTLCs apart.
        weight: of the package, commitment and child.
        start_height: since when it waits, as far as this life knows.
    """
    waited = max(height - start_height, 0)
    balance_budget = balance_sat * BALANCE_PERMILLE // 1000
    wanted = min(_patient(waited, estimate, floor), _affordable(balance_budget, weight))
    day = _bounded(estimate(RELAXED_TARGET_BLOCKS), floor)
    wanted = max(wanted, min(day, _affordable(reach_sat(balance_sat, waited), weight)))
    due_sat = 0
    for due in sorted(dues):
        due_sat += due.value_sat
        cap = min(_affordable(budget_sat(due_sat, height, due.deadline_height) + balance_budget, weight), ceiling)
        wanted = max(wanted, _rising(cap, height, due.start_height, due.deadline_height, estimate, floor))
    return max(floor, min(wanted, ceiling))


def reach_sat(balance_sat: int, waited_blocks: int) -> int:
    """Return what of our balance may go so that its commitment confirms at all."""
    share = REACH_PERMILLE * (1 + waited_blocks // RELAXED_TARGET_BLOCKS)
    return balance_sat * min(share, BUDGET_PERMILLE) // 1000


def patience_height(dues: Sequence[Due], start_height: int) -> int:
    """Return the height up to which another commitment that waits for a block is left alone: it resolves the same.

    Half of the time to the first deadline is the other's, and a day at most.
    """
    halves = [due.start_height + (due.deadline_height - 2 - due.start_height) // 2 for due in dues]
    return min([start_height + RELAXED_TARGET_BLOCKS, *halves])


def replacement_fee_sat(old_fee_sat: int, new_weight: int, wanted_feerate: int, *, old_weight: int) -> int:
    """Return the least fee in satoshi with which a transaction replaces another and has the wanted feerate.

    It pays more than the old one by 1 sat/vB of its own size, and has a higher feerate, also when it is larger. The
    caller keeps the old one when this is above `budget_sat`, or when the old one's feerate is high enough.

    Args:
        old_fee_sat, old_weight: of what it replaces; the sums, when that is several transactions.
        wanted_feerate: sat per 1000 weight units.

    Spec: BIP 125, rules 3 and 4; Bitcoin Core's mempool policy for the feerate.
    """
    replaced_sat = max(old_fee_sat, -(-old_fee_sat * whole_vbytes(new_weight) // whole_vbytes(old_weight)))
    return max(fee_sat(new_weight, wanted_feerate), replaced_sat + fee_sat(new_weight, INCREMENTAL_RELAY_PER_KW))


def is_worth(value_sat: int, weight: int, feerate_per_kw: int) -> bool:
    """Return whether a claim brings more than dust after its fee; weight: what the claim adds to its transaction."""
    return value_sat - fee_sat(weight, feerate_per_kw) >= DUST_LIMIT_P2WSH_SAT


def _affordable(budget: int, weight: int) -> int:
    return budget * 1000 // whole_vbytes(weight)


def _blocks_left(height: int, deadline_height: int) -> int:
    """How many blocks may hold our spend before the other side's may: those from height + 1 to the deadline - 1."""
    return max(deadline_height - 1 - height, 0)


def _bounded(feerate: int | None, floor: int) -> int:
    """From below; from above, the ceiling and the budget bound what comes of it."""
    return max(floor, feerate or 0)


def _step(blocks_left: int) -> int:
    """Where in `_TARGETS` the slowest target stands that is still in time."""
    return max(sum(target <= blocks_left for target in _TARGETS) - 1, 0)


def _patient(waited_blocks: int, estimate: Estimate, floor: int) -> int:
    relaxed = _bounded(estimate(RELAXED_TARGET_BLOCKS), floor)
    return relaxed + relaxed * (waited_blocks // RELAXED_TARGET_BLOCKS) // _PATIENCE_DAYS


def _rising(cap: int, height: int, start_height: int, deadline_height: int, estimate: Estimate, floor: int) -> int:
    """From the estimate at the start to `cap` when one block is left, slowly first; at least the estimate of now."""
    now = _market(height, deadline_height, estimate, floor)
    if height < start_height:
        return min(cap, now)
    first = _market(start_height, deadline_height, estimate, floor)
    span = deadline_height - 2 - start_height
    curve = first + (cap - first) * min(height - start_height, span) ** 2 // span**2 if span > 0 else cap
    return min(cap, max(curve, now))


def _market(height: int, deadline_height: int, estimate: Estimate, floor: int) -> int:
    """The estimate for the blocks left. An estimator may ask less for a faster target; the highest on the way keeps us
    from following it down.
    """
    step = _step(_blocks_left(height, deadline_height))
    return max([_bounded(estimate(target), floor) for target in _TARGETS[step:]])
