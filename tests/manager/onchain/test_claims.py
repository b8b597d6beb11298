"""Claims: every output that is ours to take is taken once, by transactions that consensus and mempools accept."""

import pytest

from leyden.base.errors import CommandRejected
from leyden.bitcoin.tx import OutPoint
from leyden.manager.onchain import claims as onchain_claims
from leyden.monitor.classify import SpendKind
from leyden.monitor.watched import WatchedKind
from leyden.sim.consensus import Consensus
from tests.manager.onchain import scenes
from tests.manager.onchain.ending import FORMATS, SIDES, Ending

FORMS = pytest.mark.parametrize("form", FORMATS)
ROLES = pytest.mark.parametrize("us", [us for us, _them in SIDES], ids=["opener", "accepter"])
KINDS = {
    "local": SpendKind.LOCAL,
    "remote": SpendKind.REMOTE,
    "prior": SpendKind.REMOTE_PRIOR,
    "revoked": SpendKind.REMOTE_REVOKED,
}
DELAY_BLOCKS = 160


def ended(form: str, us: str, how: str, consensus: Consensus, *, preimage: str = "never") -> Ending:
    """A channel with two HTLCs each way, its commitment in a block. preimage: of one of theirs, when we learn it."""
    stage = Ending(form, us).held(2, 2)
    stage.world.validate = consensus
    stage.close(how, claims=int(preimage == "before"))
    stage.mine()
    assert stage.view.spend.kind is KINDS[how]
    if preimage == "after":
        stage.claim(us)
    return stage


def spends(stage: Ending) -> dict[OutPoint, int]:
    """How many published transactions spend each watched output."""
    found: dict[OutPoint, int] = {}
    for transaction in stage.published():
        for one in transaction.inputs:
            if one.prevout in stage.view.outputs:
                found[one.prevout] = found.get(one.prevout, 0) + 1
    return found


# --- every commitment ------------------------------------------------------------------------------------------------


@FORMS
@ROLES
@pytest.mark.parametrize("preimage", ["never", "before", "after"])
@pytest.mark.parametrize("how", ["local", "remote", "prior"])
def test_htlcs_of_a_commitment_that_is_not_revoked(
    form: str, us: str, how: str, preimage: str, consensus: Consensus
) -> None:
    """Ours come back after their expiry, theirs go with the preimage and never without; each by one transaction."""
    stage = ended(form, us, how, consensus, preimage=preimage)
    before = consensus.valid
    expiry = stage.expiry(us)
    offered, received = stage.htlcs(offered=True), stage.htlcs(offered=False)
    assert len(offered) == len(received) == 2
    assert not any(stage.waiting(one.outpoint) for one in offered), "before their expiry"
    stage.mine_to(expiry - 1)
    assert not any(one.outpoint in stage.view.spenders for one in offered)
    stage.mine()
    assert all(stage.waiting(one.outpoint) for one in offered), "the next block may hold them"
    stage.mine()
    assert all(one.outpoint in stage.view.spenders for one in offered)
    assert all(stage.took(one) for one in offered)
    assert sum(stage.took(one) for one in received) == (0 if preimage == "never" else 1)
    stage.mine_to(stage.height + DELAY_BLOCKS)
    assert not [one for one in stage.left() if one not in received], "all that is ours was swept"
    assert set(spends(stage).values()) == {1}
    assert not stage.refusals()
    assert consensus.valid - before >= 2


@FORMS
@ROLES
def test_revoked_commitment_is_taken_whole_at_once(form: str, us: str, consensus: Consensus) -> None:
    """to_local and every HTLC, in the block after the one that holds it (BOLT 5, "Revoked Transaction Close")."""
    stage = ended(form, us, "revoked", consensus)
    assert len(stage.htlcs(offered=True)) + len(stage.htlcs(offered=False)) == 4
    stage.mine()
    kinds = {one.kind for one in stage.left()}
    assert kinds <= {WatchedKind.TO_REMOTE}, "ours anyway"
    for transaction in stage.published():
        assert stage.pays_us(transaction)
    stage.mine_to(stage.height + 10)
    assert not stage.left()
    assert set(spends(stage).values()) == {1}
    assert not stage.refusals()


# --- fees ------------------------------------------------------------------------------------------------------------


def unmined(form: str, how: str, *, ours: int = 1, theirs: int = 2, claims: int = 2, htlc_sat: int = 20_000) -> Ending:
    """Claims of alice's that no miner takes."""
    stage = Ending(form).held(ours, theirs, htlc_sat * 1000)
    stage.world.dislike("alice", dislikes=True)
    stage.close(how, claims)
    stage.mine()
    return stage


def test_fee_rises_with_every_block_to_the_budget_and_mempools_take_each_step() -> None:
    """BIP 125 replacements; half of what is at stake at most, all but nothing of it at the last block that is ours."""
    stage = unmined("anchors", "remote")
    stage.mine()
    expiry = stage.expiry("bob")
    [claim] = stage.claims
    budget_sat = 20_000
    fees_sat: list[int] = []
    while stage.height < expiry - 1:
        stage.mine()
        waiting = stage.waiting(claim.claims[0].input.outpoint)
        assert waiting is not None
        assert waiting.txid() == claim.txid, "the newest version waits"
        fees_sat.append(stage.fee_sat(waiting))
    assert not stage.refusals()
    assert fees_sat == sorted(fees_sat)
    assert fees_sat[0] < 4_000
    assert budget_sat * 9 // 10 < fees_sat[-1] <= budget_sat
    assert len(set(fees_sat)) > len(fees_sat) // 2
    stage.world.dislike("alice", dislikes=False)
    stage.mine()
    assert all(stage.took(one) for one in stage.htlcs(offered=False))


def test_refused_claim_pays_a_quarter_more_in_each_block_and_never_more_than_the_budget() -> None:
    """The mempool may ask for more than estimates say; how much it does not tell."""
    stage = unmined("anchors", "remote")
    stage.world.chain.set_mempool_feerate(4_000)
    stage.mine()
    [claim] = stage.claims
    before = claim.feerate_per_kw
    stage.mine()
    assert before * 5 // 4 <= claim.feerate_per_kw <= before * 5 // 4 + 300
    for _ in range(4):
        stage.mine()
    assert not claim.refused
    assert stage.waiting(claim.claims[0].input.outpoint) is not None
    stage.world.chain.set_mempool_feerate(1_000_000)
    for _ in range(12):
        stage.mine()
        assert claim.fee_sat <= 20_000
    assert claim.refused
    offered = len(stage.offers)
    stage.mine()
    assert len(stage.offers) > offered, "it is offered again all the same"


def test_what_mempools_forget_is_offered_again_once_a_block() -> None:
    """Also when other news of the channel come in the same block."""
    stage = unmined("static_remotekey", "remote", claims=1)
    [claim] = stage.claims
    stage.world.evict()
    before = sum(one.name == "alice" for one in stage.offers)
    stage.mine()
    assert stage.waiting(claim.claims[0].input.outpoint) is not None
    stage.claim("alice")
    assert sum(one.name == "alice" for one in stage.offers) == before + 2, "one again, and the new one"


def test_claim_that_must_pay_more_without_coins_stays_out_and_that_is_told_once() -> None:
    """An HTLC transaction with anchors: what the wallet could pay before is offered again meanwhile."""
    stage = unmined("anchors", "local", claims=0)
    stage.world.dislike("alice", dislikes=False)
    stage.mine()
    stage.world.dislike("alice", dislikes=True)
    stage.claim("alice")
    [claim] = stage.claims
    before = claim.txid
    assert before

    def none(*_args: object) -> object:
        raise CommandRejected("nothing left", code="insufficient_funds")

    stage["alice"].runtime.wallet.fund_claim = none  # type: ignore[method-assign, assignment]
    stage.world.set_fees(7_000, 253)
    for _ in range(3):
        stage.world.evict()
        stage.mine()
        waiting = stage.waiting(claim.claims[0].input.outpoint)
        assert waiting is not None
        assert waiting.txid() == before
    assert len([one.text for one in stage["alice"].reports if "no coins" in one.text]) == 1


def test_claim_that_costs_more_than_it_brings_waits_and_is_told_once() -> None:
    """When fees fall it goes out."""
    stage = Ending("anchors").held(0, 1, 600_000)
    stage.close("remote", 1)
    stage.mine()
    for _ in range(3):
        stage.mine()
    [claim] = stage.claims
    assert not claim.transaction
    told = [one.text for one in stage["alice"].reports if "not worth its fee" in one.text]
    assert len(told) == 1
    stage.world.set_fees(253, 253)
    stage.mine()
    stage.mine()
    assert all(stage.took(one) for one in stage.htlcs(offered=False))


# --- batches ---------------------------------------------------------------------------------------------------------


def test_batch_of_which_the_peer_takes_one_is_made_again_of_the_rest() -> None:
    """The peer shows a preimage for one of three refunds; the other two still come back, and that one goes upstream."""
    stage = Ending("static_remotekey").held(3, 0)
    stage.close("remote")
    stage.mine()
    stage.world.dislike("alice", dislikes=True)
    stage.world.dislike("bob", dislikes=True)
    stage.claim("bob")
    taken = next(one for one in stage.htlcs(offered=True) if stage.waiting(one.outpoint))
    theirs = stage.waiting(taken.outpoint)
    assert theirs is not None
    stage.mine_to(stage.expiry("alice"))
    [batch] = stage.claims
    assert len(batch.claims) == 3
    stage.world.chain.mine_block_with([theirs], b"\x00\x14" + bytes(20))
    stage.act()
    [rest] = stage.claims
    assert rest is not batch
    assert taken.outpoint not in [claim.input.outpoint for claim in rest.claims]
    assert len(rest.claims) == 2
    waiting = stage.waiting(rest.claims[0].input.outpoint)
    assert waiting is not None
    assert waiting.txid() == rest.txid
    stage.world.dislike("alice", dislikes=False)
    stage.mine()
    assert sum(stage.took(one) for one in stage.htlcs(offered=True)) == 2


def test_answers_are_looked_for_where_claims_are(consensus: Consensus) -> None:
    """A thousand channels without claims must not be gone through for every transaction that is published."""
    stage = ended("static_remotekey", "alice", "revoked", consensus)
    m = stage.m("alice")
    assert stage.claims
    assert list(m.claiming) == [stage.channel_id]
    stage.mine(2)
    assert not stage.claims
    onchain_claims.on_broadcast_result(m, bytes(32), accepted=True, reason="")
    assert not m.claiming


def test_output_that_is_due_first_spends_half_of_itself_and_then_goes_alone() -> None:
    """A small HTLC that expires does not spend what a large one in the same transaction is worth, so that this one can
    pay for its place when they part (BIP 125).
    """
    stage = Ending("static_remotekey").held(0, 1, 20_000_000)
    stage.mine_to(stage.height + 20)
    stage.pay("bob", "alice", stage.invoice("alice", 200_000_000, tag="large"), "large", deadline_seconds=10**7)
    stage.act()
    stage.seconds(3)
    stage.close("remote", 2)
    stage.world.dislike("alice", dislikes=True)
    stage.mine()
    [whole] = stage.claims
    small, large = sorted([claim.input for claim in whole.claims], key=lambda one: one.value_sat)
    expiry = stage.expiry("bob")
    stage.mine_to(expiry - 1)
    assert stage.claims == [whole]
    waiting = stage.waiting(small.outpoint)
    assert waiting is not None
    assert stage.fee_sat(waiting) < 40_000, "a part of what the large one may spend by its deadline, not half of both"
    stage.mine()
    parts = [stage.waiting(one.outpoint) for one in (small, large)]
    assert [part and len(part.inputs) for part in parts] == [1, 1]
    assert parts[0] is not None
    assert parts[1] is not None
    assert stage.fee_sat(parts[0]) <= 10_000
    assert stage.fee_sat(parts[1]) < 50_000
    assert not stage.refusals()


def test_batch_of_which_the_peer_takes_one_in_mempools_parts_for_nothing() -> None:
    """Near the deadline of all of them no part could pay for the place of the whole; but then whoever takes one must.
    The others go out alone with the next block, at the price of each.
    """
    stage = Ending("static_remotekey").held(3, 0)
    stage.close("remote")
    stage.mine()
    stage.world.dislike("alice", dislikes=True)
    stage.world.dislike("bob", dislikes=True)
    stage.claim("bob")
    taken = next(one for one in stage.htlcs(offered=True) if stage.waiting(one.outpoint))
    theirs = stage.waiting(taken.outpoint)
    assert theirs is not None
    stage.world.evict()
    stage.mine_to(stage.expiry("alice"))
    [batch] = stage.claims
    before_sat = batch.fee_sat
    dearer = scenes.spend(taken, witness=theirs.inputs[0].witness, pays_sat=taken.value_sat - before_sat - 2_000)
    assert stage.world.broadcast(dearer, "theirs", "bob").accepted
    stage.mine()
    stage.mine()
    others = [one for one in stage.htlcs(offered=True) if one != taken]
    waiting = [stage.waiting(one.outpoint) for one in others]
    assert [one and len(one.inputs) for one in waiting] == [1, 1]
    assert all(one is not None and stage.fee_sat(one) < before_sat for one in waiting)
    stage.world.dislike("alice", dislikes=False)
    stage.mine()
    assert all(stage.took(one) for one in others)


def test_large_batch_without_a_deadline_parts_in_quarters() -> None:
    """Of twenty one is taken in mempools: fifteen are free with the next block, four more with the one after."""
    stage = Ending("static_remotekey").held(20, 0, 5_000_000)
    stage.close("remote")
    stage.mine()
    stage.world.dislike("alice", dislikes=True)
    stage.world.dislike("bob", dislikes=True)
    stage.mine_to(stage.expiry("alice"))
    [batch] = stage.claims
    taken = next(one for one in stage.htlcs(offered=True) if one.outpoint == batch.claims[0].input.outpoint)
    dearer = scenes.spend(taken, witness=(bytes(32),), pays_sat=400)
    stage.world.chain.evict(batch.txid)
    assert stage.world.broadcast(dearer, "theirs", "bob").accepted
    stage.mine()
    assert stage.claims == [batch]
    sizes: list[list[int]] = []
    for _ in range(2):
        stage.mine()
        waiting = {one.txid(): one for output in stage.htlcs(offered=True) if (one := stage.waiting(output.outpoint))}
        sizes.append(sorted(len(one.inputs) for one in waiting.values()))
    assert sizes == [[1, 5, 5, 5], [1, 1, 1, 1, 1, 5, 5, 5]]


def test_most_urgent_part_takes_the_place_of_a_batch() -> None:
    """Of two refunds one must be back in time for the peer upstream: it pays for the place, which it would pay nearly
    anyhow, and the other one what it costs alone.
    """
    stage = scenes.held(scenes.line(), "carol", 100_000_000)
    scenes.mine_to(stage, stage.world.chain.tip.height + 5)
    stage.pay(
        "alice", "carol", stage.invoice("carol", 110_000_000, tag="late"), "late", deadline_seconds=scenes.PATIENT
    )
    stage.act()
    stage.seconds(3)
    slot = scenes.close(stage, "carol", "bob")
    scenes.mine_to(stage, stage.world.chain.tip.height + 1)
    slot = stage.slot("bob", "carol")
    last = max(htlc.add.cltv_expiry for htlc in slot.state.core.outbound.values())
    stage.world.crash("bob")
    stage.world.crash("carol")
    scenes.mine_to(stage, last + 1)
    stage.world.dislike("bob", dislikes=True)
    stage["bob"].start()
    stage.act()
    slot = stage.slot("bob", "carol")
    [whole] = slot.onchain_claims
    urgent, other = sorted(whole.claims, key=lambda claim: claim.deadline_height or 0)
    assert urgent.input.value_sat < other.input.value_sat
    while slot.onchain_claims == [whole]:
        fee_sat = whole.fee_sat
        stage.mine()
    first, second = sorted(slot.onchain_claims, key=lambda claim: claim.deadline_height or 0)
    assert [first.claims[0].input.outpoint, second.claims[0].input.outpoint] == [
        urgent.input.outpoint,
        other.input.outpoint,
    ]
    assert first.fee_sat > fee_sat > second.fee_sat
    assert not first.refused
    assert not second.refused
