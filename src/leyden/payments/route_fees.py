"""What a route costs: fees and CLTV deltas, added up backwards from the destination. BOLT 7, "HTLC Fees"."""

from collections.abc import Sequence
from typing import final

import msgspec

_MILLION = 1_000_000


@final
class ForwardPolicy(msgspec.Struct, frozen=True, gc=False):
    """What a node asks for forwarding over one of its channels, as in its `channel_update`.

    Args: fee_base_msat: per HTLC. fee_proportional_millionths: of the amount that leaves over the channel.
        cltv_expiry_delta: blocks between the expiries of the incoming and the outgoing HTLC.
    """

    fee_base_msat: int
    fee_proportional_millionths: int
    cltv_expiry_delta: int


@final
class HopAmount(msgspec.Struct, frozen=True, gc=False):
    """The HTLC on one channel of a route: amount in millisatoshi, expiry as a height or as an offset to one."""

    amount_msat: int
    cltv_expiry: int


def fee_msat(amount_msat: int, fee_base_msat: int, fee_proportional_millionths: int) -> int:
    """Return the fee for forwarding `amount_msat` (what leaves, without the fee), rounded down, in millisatoshi.

    Source: BOLT 7, "HTLC Fees".
    """
    return fee_base_msat + amount_msat * fee_proportional_millionths // _MILLION


def hop_amounts(amount_msat: int, final_cltv_expiry: int, policies: Sequence[ForwardPolicy]) -> tuple[HopAmount, ...]:
    """Return the HTLC on each channel of a route, from the sender's own channel to the last.

    Args:
        amount_msat: what the destination gets.
        final_cltv_expiry: expiry of the last HTLC, a height or an offset; the results count from the same point.
        policies: of each forwarding node for its outgoing channel, in the order of the route; none when direct.
    Source: BOLT 7, "Recommendations for Routing".
    """
    hop = HopAmount(amount_msat, final_cltv_expiry)
    hops = [hop]
    for policy in reversed(policies):
        fee = fee_msat(hop.amount_msat, policy.fee_base_msat, policy.fee_proportional_millionths)
        hop = HopAmount(hop.amount_msat + fee, hop.cltv_expiry + policy.cltv_expiry_delta)
        hops.append(hop)
    return tuple(reversed(hops))
