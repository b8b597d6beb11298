"""Both sides publish their commitment: only one gets in, and neither pays to be the one while there is time."""

import pytest

from leyden.bitcoin.tx import Transaction
from leyden.manager.onchain.active import ActiveClaim
from tests.manager.onchain.ending import Ending
from tests.sim import topologies

HTLC_SAT = 200_000
STAGE_BLOCKS = 6
CLAIM_BLOCKS = 18
"""Before the expiry of an HTLC whose preimage we know: then its channel is closed."""


def both(fees: int = 3_000) -> Ending:
    """Each side has an HTLC of the other's to claim, and both publish; miners leave both out."""
    stage = Ending("anchors").held(1, 1, HTLC_SAT * 1000)
    for name in ("alice", "bob"):
        stage.world.dislike(name, dislikes=True)
    stage.part()
    stage.claim("alice")
    stage.claim("bob")
    stage.world.set_fees(fees, 253)
    for name in ("bob", "alice"):
        stage.force(name)
    return stage


def child_of(stage: Ending, name: str) -> ActiveClaim:
    """What pays for the commitment of a node."""
    active = stage.slot(name, {"alice": "bob", "bob": "alice"}[name]).anchor_claim
    assert active is not None
    return active


def package_fee_sat(stage: Ending, name: str) -> int:
    """What a node has offered for its commitment and child together."""
    slot = stage.slot(name, {"alice": "bob", "bob": "alice"}[name])
    commitment = Transaction.parse(slot.own_commitment)
    return topologies.CAPACITY_SAT - sum(one.value_sat for one in commitment.outputs) + child_of(stage, name).fee_sat


def offered(stage: Ending) -> dict[str, int]:
    """How many children each side has made."""
    anchors = {name: child_of(stage, name).claims[0].input.outpoint for name in ("alice", "bob")}
    made = {name: set[bytes]() for name in anchors}
    for one in stage.offers:
        if any(spent.prevout == anchors[one.name] for spent in one.transaction.inputs):
            made[one.name].add(one.transaction.txid())
    return {name: len(txids) for name, txids in made.items()}


def expiry_of(stage: Ending) -> int:
    """Of the HTLC that we can claim."""
    [htlc] = stage.ours.state.core.inbound.values()
    return htlc.add.cltv_expiry


def half(stage: Ending) -> int:
    """Up to here the other's commitment is left alone: half of the time from the close that is due to the deadline."""
    expiry = expiry_of(stage)
    start, last = expiry - CLAIM_BLOCKS, expiry - STAGE_BLOCKS - 2
    return start + (last - start) // 2


def test_two_honest_ends_do_not_outbid_each_other() -> None:
    """A refusal is no reason to pay more: what waits resolves the same HTLCs, and pays us without a delay."""
    stage = both()
    stage.mine()
    first = child_of(stage, "alice").txid
    assert package_fee_sat(stage, "alice") == package_fee_sat(stage, "bob")
    while stage.height < half(stage) - 1:
        assert child_of(stage, "alice").outbid
        assert not child_of(stage, "bob").outbid
        assert stage.waiting(child_of(stage, "bob").claims[0].input.outpoint) is not None
        stage.mine()
    assert child_of(stage, "alice").txid == first
    assert offered(stage)["alice"] == 1
    for name in ("alice", "bob"):
        stage.world.dislike(name, dislikes=False)
    stage.mine()
    assert stage.view.spend.txid == child_of(stage, "bob").claims[0].input.outpoint.txid
    assert stage.ours.anchor_claim is None


def test_near_the_deadline_each_pays_what_it_would_pay_alone() -> None:
    """Half of what is at stake in the last block, and no more, however often one takes the place of the other."""
    stage = both()
    alone = Ending("anchors").held(1, 1, HTLC_SAT * 1000)
    alone.world.dislike("alice", dislikes=True)
    alone.close("local", 1)
    alone.world.set_fees(3_000, 253)
    while stage.height < expiry_of(stage):
        stage.mine()
        alone.mine_to(stage.height)
        paid = [package_fee_sat(stage, name) for name in ("alice", "bob")]
        assert max(paid) <= package_fee_sat(alone, "alice") + 3
    assert min(offered(stage).values()) > 3
    assert max(paid) == pytest.approx(HTLC_SAT // 2 + topologies.CAPACITY_SAT // 2 // 100, rel=0.02)


def pinned(fees: int = 3_000) -> Ending:
    """A peer whose commitment no miner takes has published it first, and answers nothing any more."""
    stage = Ending("anchors").held(1, 1, HTLC_SAT * 1000)
    stage.world.dislike("bob", dislikes=True)
    stage.part()
    stage.claim("alice")
    stage.world.set_fees(fees, 253)
    stage.force("bob")
    stage.world.crash("bob")
    stage.force("alice")
    return stage


def test_commitment_that_nobody_mines_is_replaced_in_time_to_claim_behind_ours() -> None:
    """Whoever holds our place with a low feerate does not get the HTLC: from half of the time on we bid against it."""
    stage = pinned()
    [theirs] = [one for one in stage.world.chain.pool.entries() if not one.granted and len(one.tx.inputs) == 1]
    while stage.ours.state.core.spent is None:
        assert stage.height < expiry_of(stage) - STAGE_BLOCKS
        assert stage.height >= half(stage) or theirs.txid in stage.world.chain.pool
        stage.mine()
    assert stage.view.spend.txid != theirs.txid
    assert package_fee_sat(stage, "alice") <= HTLC_SAT // 2
    while [one for one in stage.htlcs(offered=False) if not stage.took(one)]:
        assert stage.height < expiry_of(stage)
        stage.mine()


def test_place_that_is_free_again_is_taken_at_once() -> None:
    """Mempools forget the other one: what we have made is offered in each block, and needs no better price."""
    stage = pinned()
    stage.mine()
    before = child_of(stage, "alice").txid
    stage.world.evict()
    stage.mine()
    assert not child_of(stage, "alice").outbid
    assert child_of(stage, "alice").txid == before
    stage.mine()
    assert stage.view.spend.txid == child_of(stage, "alice").claims[0].input.outpoint.txid


def test_commitment_without_htlcs_leaves_the_other_alone_for_a_day() -> None:
    """Nothing is lost meanwhile."""
    stage = Ending("anchors")
    stage.world.dislike("bob", dislikes=True)
    stage.part()
    stage.world.set_fees(3_000, 253)
    stage.force("bob")
    stage.world.crash("bob")
    stage.force("alice")
    height = stage.height
    stage.mine_to(height + 143)
    assert len({one.transaction.txid() for one in stage.offers if one.name == "alice"}) <= 2
    stage.world.set_fees(6_000, 253)
    for _ in range(4):
        stage.mine()
    assert stage.ours.state.core.spent is not None
