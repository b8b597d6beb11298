"""A reckoning that could not fail would prove nothing."""

import copy

import pytest

from leyden.demo.errors import DemoFailed
from leyden.demo.onchain.accounts import OnchainAccount, OnchainAccounts, check, judge
from leyden.demo.onchain.cheat import PUNISHED, Crime
from leyden.demo.onchain.ledger import Ledger, OutputKind, PaidFee, Taken


def accounts() -> OnchainAccounts:
    """Alice paid bob 10 sat through carol, who earned 1, and took 30 of mallory; each paid fees; an anchor is left."""
    nodes = {
        "alice": OnchainAccount(10_000, -10, -1, 30, -660, 300, 200, 100, 8_759, 8_759),
        "bob": OnchainAccount(10_000, 10, 0, 0, 0, 0, 0, 5, 10_005, 10_005),
        "carol": OnchainAccount(10_000, 0, 1, 0, 330, 0, 0, 7, 10_324, 10_324),
        "mallory": OnchainAccount(10_000, 0, 0, -30, 0, 300, 40, 0, 9_630, 9_630),
    }
    return OnchainAccounts(nodes, 952, 330, is_exact=False)


def test_right_accounts_pass() -> None:
    """The other tests change one of these numbers."""
    check(accounts())


@pytest.mark.parametrize("name", ["alice", "bob", "carol", "mallory"])
@pytest.mark.parametrize("field", OnchainAccount.__struct_fields__)
@pytest.mark.parametrize("by", [1, -1])
def test_one_satoshi_too_much_or_missing_is_seen(name: str, field: str, by: int) -> None:
    """In any column of any node, that node is named."""
    wrong = copy.deepcopy(accounts())
    setattr(wrong.nodes[name], field, getattr(wrong.nodes[name], field) + by)
    with pytest.raises(DemoFailed, match=f"{name} (has|says)"):
        check(wrong)


@pytest.mark.parametrize(
    ("field", "why"),
    [
        ("payments_sat", "was received"),
        ("forwarding_sat", "was earned"),
        ("justice_sat", "was lost"),
        ("anchors_sat", "in anchors"),
        ("claim_fees_sat", "of fees were paid"),
    ],
)
def test_sum_that_differs_is_seen_though_its_node_agrees(field: str, why: str) -> None:
    """What one node got another one lost, or miners got, or anchors hold."""
    wrong = accounts()
    bob = wrong.nodes["bob"]
    setattr(bob, field, getattr(bob, field) + 1)
    bob.final_sat = bob.on_chain_sat = bob.expected_sat()
    with pytest.raises(DemoFailed, match=why):
        check(wrong)


@pytest.mark.parametrize("field", ["miners_sat", "left_sat"])
def test_what_the_chain_says_must_agree(field: str) -> None:
    """Fees that nobody has paid, or anchors that nobody has funded."""
    wrong = accounts()
    setattr(wrong, field, getattr(wrong, field) + 1)
    with pytest.raises(DemoFailed, match="do not agree"):
        check(wrong)


CRIME = Crime("mallory-alice", "mallory", "alice", 500_000, 700_000, [])
"""Of 1,200 sat mallory had 500 in truth."""


def court(*kinds: OutputKind) -> tuple[OnchainAccounts, Ledger]:
    """Alice took four outputs with the revocation key, and her own; mallory paid 10 + 20 sat out of the channel."""
    ledger = Ledger([], lambda _script: None, [])
    ledger.taken = [
        Taken(CRIME.channel, f"t:{index}", kind, 200, "alice", by_revocation=True) for index, kind in enumerate(kinds)
    ]
    ledger.taken.append(Taken(CRIME.channel, "t:9", "to_remote", 370, "alice", by_revocation=False))
    ledger.fees = [
        PaidFee(1, "a", "open", CRIME.channel, "mallory", 1_000, from_coins=True),
        PaidFee(2, "b", "close", CRIME.channel, "mallory", 10, from_coins=False),
        PaidFee(3, "c", "claim", CRIME.channel, "mallory", 20, from_coins=False),
        PaidFee(4, "d", "claim", CRIME.channel, "alice", 40, from_coins=False),
        PaidFee(5, "e", "claim", "bob-carol", "mallory", 80, from_coins=False),
    ]
    punished = [one for one in ledger.taken if one.by_revocation]
    nodes = {"alice": OnchainAccount(), "mallory": OnchainAccount()}
    return OnchainAccounts(nodes, 0, 0, is_exact=False, punished=punished), ledger


def test_cheater_loses_what_the_victim_gains() -> None:
    """Each is found apart: 1,170 sat taken of which 700 were due; 500 had, of which 30 went to miners."""
    accounts_, ledger = court("to_local", "offered_htlc", "received_htlc", "second_stage")
    judge(accounts_, ledger, CRIME)
    assert accounts_.nodes["alice"].justice_sat == 470
    assert accounts_.nodes["mallory"].justice_sat == -470


def test_output_that_the_cheater_keeps_is_seen() -> None:
    """The victim must have all of it: whatever kind is missing, or is another one's."""
    for index in range(len(PUNISHED)):
        accounts_, ledger = court("to_local", "offered_htlc", "received_htlc", "second_stage")
        del accounts_.punished[index]
        with pytest.raises(DemoFailed, match="revocation key"):
            judge(accounts_, ledger, CRIME)
    accounts_, ledger = court("to_local", "offered_htlc", "received_htlc", "second_stage")
    accounts_.punished[0] = Taken(CRIME.channel, "t:0", "to_local", 200, "bob", by_revocation=True)
    with pytest.raises(DemoFailed, match="revocation key"):
        judge(accounts_, ledger, CRIME)
