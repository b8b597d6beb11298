"""Ways to a payee over our own channels and the route hints of its invoice.

A plan is computed from what the channels say now; whether each HTLC fits is checked again when it is sent.
"""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import msgspec

from leyden.invoices.fields import RouteHintHop
from leyden.payments import outcome
from leyden.payments.outcome import Failure
from leyden.payments.route_fees import ForwardPolicy, HopAmount, fee_msat, hop_amounts
from leyden.sphinx.failures import NODE, PERM


class ChannelView(msgspec.Struct, frozen=True, gc=False):
    """What a plan may know of one of our channels."""

    channel_id: bytes
    peer: bytes
    spendable_msat: int
    htlc_minimum_msat: int


class Target(msgspec.Struct, frozen=True, gc=False):
    """Where a payment goes. final_cltv_expiry: a height."""

    payee: bytes
    final_cltv_expiry: int
    route_hints: tuple[tuple[RouteHintHop, ...], ...]


Way: TypeAlias = tuple[bytes, int]
"""(channel_id, index of the route hint or -1 for a direct channel): what a failure rules out."""


class PlannedPart(msgspec.Struct, frozen=True, gc=False):
    """One HTLC to send. nodes: from our peer to the payee; amounts: the HTLC on each channel; scids: of the channels
    after the first.
    """

    way: Way
    nodes: tuple[bytes, ...]
    amounts: tuple[HopAmount, ...]
    short_channel_ids: tuple[int, ...]

    @property
    def delivered_msat(self) -> int:
        """What the payee gets."""
        return self.amounts[-1].amount_msat

    @property
    def fee_msat(self) -> int:
        """What the nodes on the way get."""
        return self.amounts[0].amount_msat - self.amounts[-1].amount_msat


class _Candidate(msgspec.Struct, gc=False):
    channel: ChannelView
    hint: int
    hops: tuple[RouteHintHop, ...]
    deliverable_msat: int


def _policies(hops: Iterable[RouteHintHop]) -> list[ForwardPolicy]:
    return [ForwardPolicy(hop.fee_base_msat, hop.fee_proportional_millionths, hop.cltv_expiry_delta) for hop in hops]


def _deliverable_msat(spendable_msat: int, hops: Sequence[RouteHintHop]) -> int:
    """Return the largest amount whose fees still fit into `spendable_msat`, rounded down a little."""
    left = spendable_msat
    for hop in hops:
        left -= hop.fee_base_msat
        left = left * 1_000_000 // (1_000_000 + hop.fee_proportional_millionths)
    return max(0, left)


def _candidates(channels: Sequence[ChannelView], target: Target, excluded: Iterable[Way]) -> list[_Candidate]:
    ruled_out = frozenset(excluded)
    found: list[_Candidate] = []
    for channel in channels:
        if channel.peer == target.payee:
            if (channel.channel_id, -1) not in ruled_out:
                found.append(_Candidate(channel, -1, (), channel.spendable_msat))
            continue
        for index, hops in enumerate(target.route_hints):
            if hops and hops[0].node_id == channel.peer and (channel.channel_id, index) not in ruled_out:
                found.append(_Candidate(channel, index, hops, _deliverable_msat(channel.spendable_msat, hops)))
    return found


def _part(candidate: _Candidate, target: Target, amount_msat: int) -> PlannedPart:
    hops = candidate.hops
    amounts = hop_amounts(amount_msat, target.final_cltv_expiry, _policies(hops))
    nodes = (*[hop.node_id for hop in hops], target.payee)
    return PlannedPart(
        (candidate.channel.channel_id, candidate.hint), nodes, amounts, tuple([hop.short_channel_id for hop in hops])
    )


def plan(
    channels: Sequence[ChannelView],
    target: Target,
    amount_msat: int,
    fee_left_msat: int,
    parts_left: int,
    excluded: Iterable[Way],
) -> list[PlannedPart] | str:
    """Choose the HTLCs that deliver `amount_msat`, in one part when one way can carry it.

    Args:    fee_left_msat: what all parts together may cost; parts_left: how many there may be; excluded: ways that
    failed.
    Returns: the parts, or the name of the reason why there is no way (`outcome.py`).
    """
    candidates = _candidates(channels, target, excluded)
    if not candidates:
        return outcome.NO_ROUTE
    if all(amount_msat < one.channel.htlc_minimum_msat for one in candidates):
        return outcome.BELOW_MINIMUM
    whole = [one for one in candidates if one.channel.htlc_minimum_msat <= amount_msat <= one.deliverable_msat]
    if whole:
        best = min(whole, key=lambda one: (_cost_msat(one, amount_msat), -one.deliverable_msat))
        parts = [_part(best, target, amount_msat)]
    else:
        split = _split(candidates, target, amount_msat, parts_left)
        if split is None:
            return outcome.INSUFFICIENT_BALANCE
        parts = split
    if sum([part.fee_msat for part in parts]) > fee_left_msat:
        return outcome.FEE_LIMIT
    return parts


def _cost_msat(candidate: _Candidate, amount_msat: int) -> int:
    cost = 0
    for hop in reversed(candidate.hops):
        cost += fee_msat(amount_msat + cost, hop.fee_base_msat, hop.fee_proportional_millionths)
    return cost


def _split(candidates: list[_Candidate], target: Target, amount_msat: int, parts_left: int) -> list[PlannedPart] | None:
    """Fill the largest ways first; one channel is used by one part only, since its balance is shared."""
    parts: list[PlannedPart] = []
    used: list[bytes] = []
    left = amount_msat
    for candidate in sorted(candidates, key=lambda one: -one.deliverable_msat):
        if left <= 0 or len(parts) >= parts_left:
            break
        if candidate.channel.channel_id in used or candidate.deliverable_msat < candidate.channel.htlc_minimum_msat:
            continue
        share = min(left, candidate.deliverable_msat)
        if share <= 0:
            continue
        parts.append(_part(candidate, target, share))
        used.append(candidate.channel.channel_id)
        left -= share
    return parts if left <= 0 else None


def ways_ruled_out(
    way: Way,
    failure: Failure,
    route_hints: Sequence[Sequence[RouteHintHop]],
    channels: Iterable[tuple[bytes, bytes]],
) -> list[Way]:
    """Return the ways that a failed part rules out: with NODE all over that node, with PERM all over that channel, else
    the one it took.

    Args: way: of the part. channels: (channel_id, peer) of ours.
    Spec: BOLT 4, "Receiving Failure Codes".
    """
    ruled_out = [way]
    taken = route_hints[way[1]] if 0 <= way[1] < len(route_hints) else ()
    if not failure.code & (PERM | NODE) or not 0 <= failure.hop < len(taken):
        return ruled_out
    failed = taken[failure.hop]
    for channel_id, peer in channels:
        for index, hops in enumerate(route_hints):
            over = [
                hop.node_id == failed.node_id
                and (bool(failure.code & NODE) or hop.short_channel_id == failed.short_channel_id)
                for hop in hops
            ]
            if any(over) and hops[0].node_id == peer and (channel_id, index) != way:
                ruled_out.append((channel_id, index))
    return ruled_out
