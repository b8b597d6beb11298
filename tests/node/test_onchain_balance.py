"""What a node says that it owns, while channels close: no satoshi twice, none forgotten."""

from types import SimpleNamespace
from typing import cast

import pytest

from leyden.node import onchain
from leyden.node.core import NodeCore
from leyden.node.views import Balance
from leyden.sim import user
from tests.manager.onchain.ending import FORMATS, SIDES, Ending

FORMS = pytest.mark.parametrize("form", FORMATS)
ROLES = pytest.mark.parametrize("us", [us for us, _them in SIDES], ids=["opener", "accepter"])
BLOCKS = 170
FEES_SAT = 16_000
"""More than all that is paid for a close with two HTLCs, its sweep included."""
ANCHORS_SAT = 660


def rich(form: str, us: str) -> Ending:
    """Our node has coins that pay for claims."""
    stage = Ending(form, us)
    stage.world.grant(us, 1_000_000)
    stage.mine()
    return stage


def balance_of(stage: Ending) -> Balance:
    """What our node says."""
    node = stage[stage.us]
    wallet = node.runtime.wallet
    return onchain.balance(cast("NodeCore", SimpleNamespace(manager=node.manager, wallet=wallet, alarms={})))


def all_sat(balance: Balance) -> int:
    """Every place in which something of ours can be, what others may still get included."""
    htlcs = balance.in_flight_outbound_msat + balance.in_flight_inbound_msat
    coins = balance.confirmed_sat + balance.unconfirmed_sat + balance.immature_sat
    return coins + balance.closing_sat + (balance.lightning_msat + htlcs) // 1000


@FORMS
@ROLES
@pytest.mark.parametrize("claims", [0, 1])
@pytest.mark.parametrize("how", ["local", "remote", "prior"])
def test_nothing_is_counted_twice_or_lost_on_the_way(form: str, us: str, how: str, claims: int) -> None:
    """At every block of a close, claims and sweeps in the mempool included: only fees are gone, and the payment of the
    peer when it is too late for it.
    """
    stage = rich(form, us).held(1, 1)
    before = all_sat(balance_of(stage))
    received = 0 if claims else 20_000
    stage.close(how, claims)
    gone: list[int] = []
    for _ in range(stage.expiry(us) - stage.height + BLOCKS):
        stage.mine()
        balance = balance_of(stage)
        gone.append(before - all_sat(balance))
        assert sum(one.amount_sat for one in balance.timelocked) + balance.uneconomic_sat <= balance.closing_sat
    assert all(0 <= sat <= FEES_SAT + ANCHORS_SAT + received for sat in gone), (min(gone), max(gone))
    ended = balance_of(stage)
    assert (ended.closing_sat, ended.timelocked, ended.in_flight_outbound_msat) == (0, [], 0)


@FORMS
def test_forfeited_outputs_are_ours_at_once(form: str) -> None:
    """The peer's balance too: we are richer, by what the cheater had, less the fees of taking it."""
    stage = Ending(form).held(1, 1)
    before = all_sat(balance_of(stage))
    stage.close("revoked")
    stage.mine()
    seen = all_sat(balance_of(stage)) - before
    assert 450_000 < seen < 510_000
    stage.mine(10)
    balance = balance_of(stage)
    assert balance.closing_sat == 0
    assert abs(all_sat(balance) - before - seen) < FEES_SAT + 1


@FORMS
@pytest.mark.parametrize("how", ["local", "remote"])
def test_lock_is_told_with_its_height(form: str, how: str) -> None:
    """One block before it the money is still locked; then it is ours to move."""
    stage = Ending(form)
    stage.close(how)
    stage.mine()
    balance = balance_of(stage)
    if how == "remote":
        assert balance.timelocked == [], "one block at most, which is over"
        return
    [locked] = balance.timelocked
    assert locked.amount_sat == balance.closing_sat
    stage.mine_to(locked.height - 2)
    assert balance_of(stage).timelocked == [locked]
    stage.mine()
    assert balance_of(stage).timelocked == []


def test_reserve_that_is_short_is_told() -> None:
    """Each channel with anchors wants 10,000 sat of coins; an accepter without coins has none."""
    stage = Ending("anchors", "bob")
    balance = balance_of(stage)
    coins = balance.confirmed_sat + balance.unconfirmed_sat
    assert balance.anchor_reserve_sat + balance.anchor_reserve_missing_sat == 10_000
    assert balance.anchor_reserve_missing_sat == max(0, 10_000 - coins)
    assert balance_of(rich("anchors", "alice")).anchor_reserve_missing_sat == 0


def test_cooperative_close_is_the_wallets_alone() -> None:
    """From the moment when it is published."""
    stage = Ending("anchors")
    before = all_sat(balance_of(stage))
    stage.world.closes_asked[stage.channel_id] = True
    user.close_channel(stage["alice"], stage.ours)
    stage.act()
    for _ in range(3):
        balance = balance_of(stage)
        assert balance.closing_sat == 0
        assert 0 <= before - all_sat(balance) < FEES_SAT
        stage.mine()
