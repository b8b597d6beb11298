"""Commitments with as many HTLCs as there may be: all of them are claimed, in time and within what mempools take."""

import time

import pytest

from leyden.monitor.watched import WatchedKind
from leyden.sim.consensus import Consensus
from tests.manager.onchain.ending import Ending

MANY = 483


@pytest.mark.slow
@pytest.mark.parametrize("how", ["remote", "revoked"])
def test_every_htlc_of_a_full_commitment_is_claimed(
    how: str, consensus: Consensus, capsys: pytest.CaptureFixture[str]
) -> None:
    """483 each way, ours after their expiry; of a revoked one all at once."""
    stage = Ending("anchors")
    stage.world.set_fees(253, 200)
    stage.seconds(5)
    stage.held(MANY, MANY, 700_000)
    stage.world.validate = consensus
    if how == "remote":
        stage.close("remote", MANY)
    else:
        number = stage.slot("bob", "alice").state.core.local.number
        stage.claim("alice")
        stage.seconds(1)
        stage.part()
        stage.publish_old(number)
    stage.world.mine()
    begin = time.perf_counter()
    stage.act()
    took = time.perf_counter() - begin
    with capsys.disabled():
        print(f"\n{how}: {took:.2f} s from the block to {len(list(stage.published()))} transactions")
    assert len(stage.htlcs(offered=True)) == len(stage.htlcs(offered=False)) == MANY
    stage.mine_to(stage.height + 2 if how == "revoked" else stage.expiry("alice") + 3)
    assert not [one for one in stage.left() if one.kind is not WatchedKind.TO_REMOTE]
    assert all(stage.took(one) for offered in (True, False) for one in stage.htlcs(offered=offered))
    assert not stage.refusals()
