"""Commitments with as many HTLCs as there may be: all of them are claimed, in time and within what mempools take."""

from typing import cast

import pytest

from leyden.monitor.watched import WatchedKind
from leyden.regtest.policy import WEIGHT_MAX
from leyden.sim.consensus import Consensus
from leyden.wallet.wallet import Wallet
from tests.manager.onchain.ending import Ending

MANY = 483
ANCESTORS_MAX = 24
"""Of old, mempools took chains of 25."""


def full(consensus: Consensus) -> Ending:
    """483 HTLCs each way, and one coin in our wallet."""
    stage = Ending("anchors")
    stage.world.set_fees(253, 200)
    stage.seconds(5)
    stage.held(MANY, MANY, 700_000)
    stage.world.validate = consensus
    assert len(cast(Wallet, stage["alice"].runtime.wallet).coins()) == 1
    return stage


def mine_to(stage: Ending, height: int) -> None:
    """Mine; whatever waits for a block is what mempools take."""
    while stage.height < height:
        stage.mine()
        pool = stage.world.chain.pool
        assert all(len(pool.ancestors(entry.tx)) <= ANCESTORS_MAX for entry in pool.entries())
    assert max(one.weight() for one in stage.published()) <= WEIGHT_MAX


@pytest.mark.parametrize("how", ["remote", "revoked"])
def test_every_htlc_of_a_full_commitment_is_claimed(how: str, consensus: Consensus) -> None:
    """483 each way, ours after their expiry; of a revoked one all at once."""
    stage = full(consensus)
    if how == "remote":
        stage.close("remote", MANY)
    else:
        number = stage.slot("bob", "alice").state.core.local.number
        stage.claim("alice")
        stage.seconds(1)
        stage.part()
        stage.publish_old(number)
    stage.mine()
    assert len(stage.htlcs(offered=True)) == len(stage.htlcs(offered=False)) == MANY
    mine_to(stage, stage.height + 2 if how == "revoked" else stage.expiry("alice") + 3)
    assert not [one for one in stage.left() if one.kind is not WatchedKind.TO_REMOTE]
    assert all(stage.took(one) for offered in (True, False) for one in stage.htlcs(offered=offered))
    assert not stage.refusals()


def test_every_htlc_of_a_full_commitment_of_ours_is_claimed_with_one_coin(consensus: Consensus) -> None:
    """A coin pays for one HTLC transaction a block: when there are too few for many small ones, few large ones must do.
    In the end everybody has what the payments say, less fees.
    """
    stage = full(consensus)
    stage.close("local", MANY)
    stage.mine()
    expiry = min(stage.expiry("alice"), stage.expiry("bob"))
    mine_to(stage, expiry)
    assert len(stage.htlcs(offered=True)) == len(stage.htlcs(offered=False)) == MANY
    assert all(stage.took(one) for one in stage.htlcs(offered=False)), "before the peer may take them"
    mine_to(stage, expiry + 3)
    assert all(stage.took(one) for one in stage.htlcs(offered=True))
    stages = [one for one in stage.left() if one.kind is WatchedKind.SECOND_STAGE]
    assert len(stages) == 2 * MANY
    stage.world.mine(stage.ours.state.core.opened.remote.to_self_delay, quick=True)
    stage.act()
    mine_to(stage, stage.height + 60)
    assert not stage.left()
    assert not stage.refusals()
    stage.world.mine(100, quick=True)
    stage.act()
    assert not stage.slots("alice", "bob"), "archived"
    stage.check()
