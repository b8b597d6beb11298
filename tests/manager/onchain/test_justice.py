"""What a cheater makes of a revoked commitment is taken too, and a restart claims as the life before it did."""

import pytest

from leyden.bitcoin.tx import Transaction
from leyden.channel.build import local_commitment
from leyden.manager.onchain.active import ActiveClaim
from leyden.monitor.classify import SpendKind
from leyden.monitor.watched import WatchedKind, WatchedOutput
from leyden.sim.consensus import Consensus
from leyden.sim.world import MINER_SCRIPT
from leyden.transactions.commitment import Commitment
from tests.manager.onchain.ending import FORMATS, Ending


def cheated(form: str, consensus: Consensus) -> tuple[Ending, Commitment]:
    """bob's revoked commitment with two HTLCs each way is in a block; miners take nothing of alice's."""
    stage = Ending(form).held(2, 2)
    stage.world.validate = consensus
    theirs = stage.slot("bob", "alice").state
    number = theirs.core.local.number
    point = stage.m("bob").signer.per_commitment_point(theirs.core.opened.channel_keys_id, number)
    commitment = local_commitment(theirs.keys, theirs.core.local, point, number)
    stage.world.dislike("alice", dislikes=True)
    stage.close("revoked")
    stage.mine()
    assert stage.view.spend.kind is SpendKind.REMOTE_REVOKED
    assert stage.view.spend.txid == commitment.txid
    return stage, commitment


def second_stages(stage: Ending) -> list[WatchedOutput]:
    """Outputs of the cheater's HTLC transactions."""
    return [one for one in stage.view.outputs.values() if one.kind is WatchedKind.REVOKED_SECOND_STAGE]


@pytest.mark.parametrize("form", FORMATS)
def test_second_stages_of_the_cheater_are_taken(form: str, consensus: Consensus) -> None:
    """Miners were on its side: an HTLC-success and an HTLC-timeout are in a block before any penalty is."""
    stage, commitment = cheated(form, consensus)
    made = [commitment.htlc_transaction(position).transaction for position in range(4)]
    [timeout, *_] = [one for one in made if one.locktime]
    [success, *_] = [one for one in made if not one.locktime]
    stage.mine_to(stage.expiry("bob"))
    before = list(stage.claims)
    stage.world.chain.mine_block_with([timeout, success], MINER_SCRIPT)
    stage.act()
    assert len(second_stages(stage)) == 2
    assert not any(one in before for one in stage.claims if one.claims[0].input.outpoint in stage.view.spenders)
    for one in second_stages(stage):
        waiting = stage.waiting(one.outpoint)
        assert waiting is not None, "at once"
        assert stage.pays_us(waiting)
    deadlines = {one.deadline_height for one in stage.claims if second_stages(stage)[0].outpoint in outpoints(one)}
    assert deadlines == {stage.height + stage.ours.state.keys.remote_parameters.to_self_delay}
    stage.world.dislike("alice", dislikes=False)
    stage.mine()
    assert all(stage.took(one) for one in second_stages(stage))
    spent = {timeout.inputs[0].prevout, success.inputs[0].prevout}
    rest = [one for one in stage.view.outputs.values() if one.kind is WatchedKind.REVOKED_HTLC]
    assert all(stage.took(one) is (one.outpoint not in spent) for one in rest)
    assert not [one for one in stage.left() if one.kind is not WatchedKind.TO_REMOTE]


def outpoints(claim: ActiveClaim) -> list[object]:
    """What a claim spends."""
    return [one.input.outpoint for one in claim.claims]


def test_second_stages_in_one_transaction_are_taken(consensus: Consensus) -> None:
    """With anchors they may share one: each output is beside its input (SIGHASH_SINGLE)."""
    stage, commitment = cheated("anchors", consensus)
    made = [commitment.htlc_transaction(position).transaction for position in range(4)]
    successes = [one for one in made if not one.locktime]
    assert len(successes) == 2
    together = Transaction(
        2,
        tuple(one.inputs[0] for one in successes),
        tuple(one.outputs[0] for one in successes),
        0,
    )
    stage.world.chain.mine_block_with([together], MINER_SCRIPT)
    stage.act()
    assert len(second_stages(stage)) == 2
    stage.world.dislike("alice", dislikes=False)
    stage.mine()
    assert all(stage.took(one) for one in second_stages(stage))
    assert not [one for one in stage.left() if one.kind is not WatchedKind.TO_REMOTE]


# --- our own second stages -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reorganised", [False, True])
def test_own_second_stages_are_made_again_without_what_the_peer_took(
    consensus: Consensus, *, reorganised: bool
) -> None:
    """One of three refunds that share a transaction goes to the peer, whose preimage is ours then; the other two come
    by another one, with its own coins. When the peer's block is undone all three are there again.
    """
    stage = Ending("anchors").held(3, 0)
    stage.world.grant("alice", 1_000_000)
    stage.mine()
    stage.world.validate = consensus
    stage.close("local")
    stage.mine()
    stage.claim("bob")
    taken = next(one for one in stage.htlcs(offered=True) if stage.waiting(one.outpoint))
    theirs = stage.waiting(taken.outpoint)
    assert theirs is not None
    stage.world.crash("bob", stage["bob"].disk.under_way())
    stage.world.chain.evict(theirs.txid())
    stage.world.dislike("alice", dislikes=True)
    stage.mine_to(stage.expiry("alice"))
    [batch] = stage.claims
    assert len(batch.claims) == 3
    assert batch.with_coins
    stage.world.chain.mine_block_with([theirs], MINER_SCRIPT)
    stage.act()
    assert list(stage.ours.state.core.onchain_preimages) == [taken.htlc.htlc_id if taken.htlc else None]
    [rest] = stage.claims
    assert taken.outpoint not in outpoints(rest)
    assert len(rest.claims) == 2
    waiting = stage.waiting(rest.claims[0].input.outpoint)
    assert waiting is not None
    assert waiting.txid() == rest.txid
    if reorganised:
        stage.world.chain.reorganise(1, 0, MINER_SCRIPT)
        stage.world.chain.evict(theirs.txid())
        stage.world.chain.mine(2, MINER_SCRIPT, drop=lambda _transaction: True)
        stage.act()
        assert sorted(len(one.claims) for one in stage.claims) in ([3], [1, 2])
    stage.world.dislike("alice", dislikes=False)
    stage.mine()
    took = [one for one in stage.htlcs(offered=True) if stage.took(one)]
    assert len(took) == (3 if reorganised else 2)
    stages = [one for one in stage.view.outputs.values() if one.kind is WatchedKind.SECOND_STAGE]
    assert len(stages) == len(took)
    stage.mine_to(stage.height + stage.ours.state.keys.local_parameters.to_self_delay + 1)
    assert not stage.left(), "swept"


# --- restarts --------------------------------------------------------------------------------------------------------


def seen(stage: Ending) -> list[tuple[bytes, int, int, bytes]]:
    """alice's claims: their outputs, feerate, fee and transaction."""
    return sorted((one.claim_id, one.feerate_per_kw, one.fee_sat, one.transaction) for one in stage.claims)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("how", ["remote", "revoked"])
def test_restart_makes_the_same_claims_at_the_same_price(form: str, how: str) -> None:
    """Nothing of them is stored: they follow from the journal, the chain and the height."""
    stage = Ending(form).held(2, 2)
    stage.world.dislike("alice", dislikes=True)
    stage.close(how, claims=0 if how == "revoked" else 2)
    stage.mine()
    before = seen(stage)
    assert before
    assert all(transaction for *_rest, transaction in before)
    stage.world.evict()
    stage.offers.clear()
    stage.world.restart("alice")
    stage.act()
    assert seen(stage) == before
    assert sorted(one.transaction.serialize() for one in stage.offers if one.name == "alice") == sorted(
        transaction for *_rest, transaction in before
    )
    assert not stage.refusals()


def test_restart_near_a_deadline_pays_what_the_height_asks() -> None:
    """The rise of the fee does not begin anew; what the life before it had to add for a replacement is not needed."""
    stage = Ending("anchors").held(1, 2)
    stage.world.dislike("alice", dislikes=True)
    stage.close("remote", 2)
    stage.mine_to(stage.expiry("bob") - 6)
    [before] = stage.claims
    stage.world.evict()
    stage.world.restart("alice")
    stage.act()
    [after] = stage.claims
    assert outpoints(after) == outpoints(before)
    assert before.feerate_per_kw * 9 // 10 <= after.feerate_per_kw <= before.feerate_per_kw
    assert after.fee_sat > 10_000
