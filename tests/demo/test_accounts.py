"""A reckoning that could not fail would prove nothing."""

import copy

import pytest

from leyden.demo.accounts import Accounts, NodeAccount, check
from leyden.demo.errors import DemoFailed


def accounts() -> Accounts:
    """Alice paid bob 10 sat through nobody, and an on-chain fee of 2 sat."""
    alice = NodeAccount(put_in_msat=100_000, sent_msat=10_000, onchain_fees_msat=2_000, final_msat=88_000)
    bob = NodeAccount(put_in_msat=100_000, received_msat=10_000, final_msat=110_000)
    total = NodeAccount(
        put_in_msat=200_000, sent_msat=10_000, received_msat=10_000, onchain_fees_msat=2_000, final_msat=198_000
    )
    return Accounts({"alice": alice, "bob": bob}, total, 2_000, is_exact=False)


def test_right_accounts_pass() -> None:
    """The other tests change one of these numbers."""
    check(accounts())


@pytest.mark.parametrize("field", NodeAccount.__struct_fields__)
@pytest.mark.parametrize("by", [1, -1])
def test_one_millisatoshi_too_much_or_missing_is_seen(field: str, by: int) -> None:
    """In any column of a node, and in any column of the sum that another source tells too."""
    wrong = copy.deepcopy(accounts())
    setattr(wrong.nodes["bob"], field, getattr(wrong.nodes["bob"], field) + by)
    with pytest.raises(DemoFailed, match="bob has"):
        check(wrong)


@pytest.mark.parametrize(
    "field", [name for name in NodeAccount.__struct_fields__ if name not in ("fees_earned_msat", "fees_paid_msat")]
)
def test_sum_that_differs_is_seen(field: str) -> None:
    """Sent is received, fees paid on chain are what the miner has, and what was put in is still there."""
    wrong = accounts()
    setattr(wrong.total, field, getattr(wrong.total, field) + 1)
    with pytest.raises(DemoFailed, match="sums do not agree"):
        check(wrong)


def test_fees_that_nobody_earned_are_seen() -> None:
    """What a payer pays for forwarding must be what a forwarder earns."""
    wrong = accounts()
    wrong.total.fees_paid_msat = 1
    with pytest.raises(DemoFailed, match="fees were paid"):
        check(wrong)
