"""`address`, `balance`, `send-onchain`."""

import asyncio
import json

import msgspec
import pytest

from leyden.api.views import Balance, TimelockedView
from tests.api.small_node import SmallNode
from tests.cli.conftest import Leyden


def test_address_is_all_that_is_printed(leyden: Leyden, node: SmallNode) -> None:
    """`bitcoin-cli sendtoaddress $(leyden address) 1` is how it is used."""
    assert leyden("address").stdout == "bcrt1qsmall\n"
    assert json.loads(leyden("address", "--json").stdout)["kind"] == "p2wpkh"


def test_balance_tells_what_can_be_spent_apart(leyden: Leyden, node: SmallNode) -> None:
    """Reserved and immature coins are there, and still cannot be spent."""
    shown = leyden("balance").stdout
    assert "on chain, spendable      4,998,980,000 sat" in shown
    assert "in channels              650,000.123 sat" in shown
    assert json.loads(leyden("balance", "--json").stdout)["lightning_msat"] == 650_000_123


def test_balance_tells_what_waits_for_a_height(
    leyden: Leyden, node: SmallNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what the reserve for closings lacks: without it a close may never confirm."""
    usual = leyden("balance").stdout
    assert "MISSING" not in usual
    assert "from height" not in usual
    assert "not worth" not in usual
    short_of = msgspec.structs.replace(
        asyncio.run(node.balance()),
        closing_sat=600_490,
        anchor_reserve_missing_sat=5_000,
        timelocked=[TimelockedView(height=944, amount_sat=400_000), TimelockedView(height=950, amount_sat=200_000)],
        uneconomic_sat=490,
    )

    async def balance() -> Balance:
        return short_of

    monkeypatch.setattr(node, "balance", balance)
    shown = leyden("balance").stdout
    assert "20,000 sat (10,000 for each channel with anchors; 5,000 ARE MISSING)" in shown
    assert "closing                  600,490 sat" in shown
    assert "  from height 944        400,000 sat\n  from height 950        200,000 sat" in shown
    assert "  not worth its fee now  490 sat" in shown


def test_send_onchain_passes_amounts_in_satoshi(leyden: Leyden, node: SmallNode) -> None:
    """The unit changes between the command line and the node; a factor of a thousand would be lost."""
    assert leyden("send-onchain", "bcrt1qx", "0.5btc", "--feerate", "2").exit_code == 0
    assert leyden("send-onchain", "bcrt1qx", "all").exit_code == 0
    assert node.calls == [("send_onchain", ("bcrt1qx", 50_000_000, 500)), ("send_onchain", ("bcrt1qx", None, None))]


@pytest.mark.parametrize(
    ("amount", "code"), [("0", "invalid_amount"), ("1.5", "invalid_amount"), ("many", "invalid_amount")]
)
def test_wrong_amount_is_refused(leyden: Leyden, node: SmallNode, amount: str, code: str) -> None:
    """By the command line or by the node, always in the same way."""
    done = leyden("send-onchain", "bcrt1qx", amount, "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["error"]["code"] == code
