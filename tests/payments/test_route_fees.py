"""Fees and expiries along a route, against BOLT 7's example."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.payments.route_fees import ForwardPolicy, HopAmount, fee_msat, hop_amounts

EXAMPLE = json.loads((Path(__file__).parent.parent / "vectors" / "bolt07" / "routing-example.json").read_text())
POLICY = st.builds(ForwardPolicy, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**16 - 1))


@pytest.mark.parametrize("route", EXAMPLE["routes"], ids=lambda route: "-".join(route["path"]))
def test_routes_cost_what_the_example_says(route: dict[str, Any]) -> None:
    """A millisatoshi too little and the payment comes back."""
    policies = [
        ForwardPolicy(*[*EXAMPLE["fees"][name], EXAMPLE["cltv_expiry_delta"][name]]) for name in route["path"][1:-1]
    ]
    final_offset = EXAMPLE["min_final_cltv_expiry_delta"] + EXAMPLE["shadow_cltv"]
    hops = hop_amounts(EXAMPLE["amount_msat"], final_offset, policies)
    assert hops[0] == HopAmount(route["first_hop_amount_msat"], route["first_hop_cltv_offset"])
    assert len(hops) == len(route["path"]) - 1
    if "amt_to_forward" in route:
        assert hops[1] == HopAmount(route["amt_to_forward"], route["outgoing_cltv_offset"])
    if "fee_msat" in route:
        assert hops[0].amount_msat - hops[1].amount_msat == route["fee_msat"]


@pytest.mark.parametrize(
    ("amount_msat", "fee"), [(0, 200), (499, 200), (500, 201), (999, 201), (1000, 202), (2**63, 200 + 2**63 // 500)]
)
def test_the_proportional_part_is_rounded_down(amount_msat: int, fee: int) -> None:
    """Both sides must come to the same number; large amounts must not lose digits."""
    assert fee_msat(amount_msat, 200, 2000) == fee


@given(st.integers(1, 2**60), st.integers(0, 2**31), st.lists(POLICY, max_size=20))
def test_every_node_on_a_route_gets_at_least_what_it_asks(
    amount_msat: int, final_cltv_expiry: int, policies: list[ForwardPolicy]
) -> None:
    """Checked from the side of the node that forwards."""
    hops = hop_amounts(amount_msat, final_cltv_expiry, policies)
    assert hops[-1] == HopAmount(amount_msat, final_cltv_expiry)
    for incoming, outgoing, policy in zip(hops[:-1], hops[1:], policies, strict=True):
        fee = fee_msat(outgoing.amount_msat, policy.fee_base_msat, policy.fee_proportional_millionths)
        assert incoming.amount_msat - outgoing.amount_msat == fee
        assert incoming.cltv_expiry - outgoing.cltv_expiry == policy.cltv_expiry_delta
