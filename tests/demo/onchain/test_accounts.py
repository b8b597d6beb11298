"""A reckoning that could not fail would prove nothing."""

import copy

import pytest

from leyden.demo.errors import DemoFailed
from leyden.demo.onchain.accounts import OnchainAccount, OnchainAccounts, check


def accounts() -> OnchainAccounts:
    """Alice paid bob 10 sat, took 30 of mallory, and each paid a fee; two anchors are left."""
    nodes = {
        "alice": OnchainAccount(10_000, -10, 30, 700, 9_320),
        "bob": OnchainAccount(10_000, 10, 0, 10, 10_000),
        "mallory": OnchainAccount(10_000, 0, -30, 0, 9_970),
    }
    return OnchainAccounts(nodes, 50, 660, is_exact=False)


def test_right_accounts_pass() -> None:
    """The other tests change one of these numbers."""
    check(accounts())


@pytest.mark.parametrize("field", ["put_in_sat", "payments_sat", "chain_fees_sat", "final_sat"])
@pytest.mark.parametrize("by", [1, -1])
def test_one_satoshi_too_much_or_missing_is_seen(field: str, by: int) -> None:
    """In any column of any node."""
    for name in ("alice", "bob", "mallory"):
        wrong = copy.deepcopy(accounts())
        setattr(wrong.nodes[name], field, getattr(wrong.nodes[name], field) + by)
        with pytest.raises(DemoFailed, match="do not agree"):
            check(wrong)


@pytest.mark.parametrize("field", ["miners_sat", "left_sat"])
def test_what_the_chain_says_must_agree(field: str) -> None:
    """Fees that nobody has paid, or anchors that nobody has funded."""
    wrong = accounts()
    setattr(wrong, field, getattr(wrong, field) + 1)
    with pytest.raises(DemoFailed, match="do not agree"):
        check(wrong)


def test_a_node_that_gained_by_fees_is_seen() -> None:
    """Nobody earns by closing a channel."""
    wrong = accounts()
    wrong.nodes["bob"].chain_fees_sat, wrong.nodes["bob"].final_sat = -5, 10_015
    wrong.nodes["alice"].chain_fees_sat, wrong.nodes["alice"].final_sat = 715, 9_305
    with pytest.raises(DemoFailed, match="bob paid -5 sat of fees"):
        check(wrong)
