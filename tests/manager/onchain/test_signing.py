"""Signatures of claims: late ones are used while they are wanted, and a signer that refuses stops one channel."""

import pytest

from leyden.bitcoin.tx import Transaction
from leyden.manager import closes
from leyden.manager.onchain import bumping
from leyden.signer.in_memory import InMemorySigner
from leyden.signer.later import LateSigner
from leyden.signer.policy import SignerRefused
from leyden.signer.requests import SignClaim
from leyden.sim.consensus import Consensus
from leyden.sim.world import MINER_SCRIPT
from leyden.transactions.claim_inputs import InputToSign
from leyden.wallet.wallet import Wallet
from tests.hazards import stories
from tests.manager.onchain import scenes
from tests.manager.onchain.ending import FORMATS, Ending
from tests.manager.stage import Stage


def ended(form: str, theirs: int, claims: int, consensus: Consensus) -> Ending:
    """bob's commitment is in a block; alice's signer has not answered since."""
    stage = Ending(form, signs_late=True).held(1, theirs)
    stage.world.validate = consensus
    stage.close("remote", claims)
    stage.offers.clear()
    stage.world.mine()
    without_signatures(stage)
    return stage


def without_signatures(stage: Ending) -> None:
    """Let everything happen but what alice's signer does."""
    while enabled := [one for one in stage.world.enabled() if one[:2] != ("sign", stage.us)]:
        stage.world.perform(enabled[0])


def mine_to(stage: Ending, height: int) -> None:
    """Mine up to a height; alice's signer is silent."""
    while stage.height < height:
        stage.world.mine()
        without_signatures(stage)


def late(stage: Ending) -> LateSigner:
    """alice's signer."""
    signer = stage[stage.us].late
    assert signer is not None
    return signer


def answer(stage: Ending, count: int) -> None:
    """It answers the oldest requests."""
    for _ in range(count):
        [action] = [one for one in stage.world.enabled() if one[:2] == ("sign", stage.us)]
        stage.world.perform(action)
    without_signatures(stage)


def asked(stage: Ending) -> list[SignClaim]:
    """The claims of HTLCs that it has not answered."""
    htlcs = {one.outpoint for offered in (True, False) for one in stage.htlcs(offered=offered)}
    requests = [one for one in late(stage).waiting if isinstance(one, SignClaim)]
    return [one for one in requests if htlcs.intersection(each.prevout for each in one.transaction.inputs)]


def offered(stage: Ending) -> list[bytes]:
    """Claims of HTLCs that alice has offered, by txid."""
    htlcs = {one.outpoint for offered in (True, False) for one in stage.htlcs(offered=offered)}
    offers = [one.transaction for one in stage.offers if one.name == stage.us]
    return [one.txid() for one in offers if htlcs.intersection(each.prevout for each in one.inputs)]


@pytest.mark.parametrize("form", FORMATS)
def test_claim_is_published_when_the_signer_answers(form: str, consensus: Consensus) -> None:
    """All inputs of a transaction in one request, made once however long that takes."""
    stage = ended(form, 2, 2, consensus)
    mine_to(stage, stage.height + 3)
    [request] = asked(stage)
    assert len(request.inputs) == 2
    assert not offered(stage)
    [claim] = stage.claims
    assert not claim.transaction
    made_height = stage.height
    answer(stage, 1)
    assert offered(stage) == [claim.txid] == [request.transaction.txid()]
    assert claim.made_height == claim.sent_height == made_height
    assert claim.making is None
    stage.world.mine()
    without_signatures(stage)
    assert all(stage.took(one) for one in stage.htlcs(offered=False))
    assert not stage.refusals()


def test_answer_after_the_output_was_taken_publishes_nothing(consensus: Consensus) -> None:
    """The peer's preimage was faster than the signature on our refund."""
    stage = ended("static_remotekey", 0, 0, consensus)
    stage.world.dislike("bob", dislikes=True)
    stage.claim("bob")
    [output] = stage.htlcs(offered=True)
    theirs = stage.waiting(output.outpoint)
    assert theirs is not None
    stage.world.evict()
    mine_to(stage, stage.expiry("alice"))
    [claim] = stage.claims
    stage.world.chain.mine_block_with([theirs], b"\x00\x14" + bytes(20))
    without_signatures(stage)
    assert claim.dropped
    assert not stage.claims
    assert len(asked(stage)) == 1
    answer(stage, len(late(stage).waiting))
    assert not offered(stage)
    assert not claim.transaction


def test_answer_for_a_batch_that_was_split_publishes_nothing(consensus: Consensus) -> None:
    """From the expiry on the peer may take each of the two; they are claimed apart, and the whole never is."""
    stage = ended("static_remotekey", 2, 2, consensus)
    [whole] = stage.claims
    theirs = {one.outpoint for one in stage.htlcs(offered=False)}
    mine_to(stage, stage.expiry("bob"))
    assert whole.dropped
    parts = [one for one in stage.claims if one.claims[0].input.outpoint in theirs]
    assert [len(one.claims) for one in parts] == [1, 1]
    requests = [one for one in asked(stage) if one.transaction.inputs[0].prevout in theirs]
    assert [len(one.inputs) for one in requests] == [2, 1, 1]
    answer(stage, late(stage).waiting.index(requests[0]) + 1)
    assert not offered(stage)
    answer(stage, len(late(stage).waiting))
    assert {one.txid for one in parts} <= set(offered(stage))
    assert requests[0].transaction.txid() not in offered(stage)
    stage.world.mine()
    without_signatures(stage)
    assert all(stage.took(one) for one in stage.htlcs(offered=False))


# --- the child of our commitment --------------------------------------------------------------------------------------


def with_child(consensus: Consensus) -> Ending:
    """Our commitment is published and pays too little; the signer has not answered for its child."""
    stage = Ending("anchors", signs_late=True).held(1, 1)
    stage.world.validate = consensus
    stage.part()
    stage.world.set_fees(5_000, 5_000)
    slot = stage.ours
    stage["alice"].run(lambda m: closes.force_by_user(m, slot, without_peer=True))
    without_signatures(stage)
    answer(stage, len(late(stage).waiting))
    [request] = children(stage)
    assert stage.ours.anchor_claim is not None
    assert stage.ours.anchor_claim.making is not None
    assert request.transaction.txid() == stage.ours.anchor_claim.making.txid
    return stage


def children(stage: Ending) -> list[SignClaim]:
    """Children that alice's signer has not signed."""
    parent = Transaction.parse(stage.ours.own_commitment).txid()
    requests = [one for one in late(stage).waiting if isinstance(one, SignClaim)]
    return [one for one in requests if is_child(one.transaction, parent)]


def is_child(transaction: Transaction, parent: bytes) -> bool:
    """Whether it spends an output of a transaction."""
    return any(one.prevout.txid == parent for one in transaction.inputs)


def offered_children(stage: Ending) -> list[bytes]:
    """Those that alice has offered, by txid, one after the other."""
    parent = Transaction.parse(stage.ours.own_commitment).txid()
    offers = [one.transaction for one in stage.offers if one.name == "alice"]
    return [one.txid() for one in offers if is_child(one, parent)]


def test_child_is_published_when_the_signer_answers_and_no_second_one_is_asked_for(consensus: Consensus) -> None:
    """Blocks come and go meanwhile; fees rise when the first is out."""
    stage = with_child(consensus)
    mine_to(stage, stage.height + 3)
    [request] = children(stage)
    assert not offered_children(stage)
    answer(stage, 1)
    assert offered_children(stage) == [request.transaction.txid()]
    stage.world.mine()
    without_signatures(stage)
    assert stage.view.spend.txid == request.transaction.inputs[0].prevout.txid


@pytest.mark.parametrize("whose", ["theirs", "ours"])
def test_answer_for_a_child_after_a_commitment_is_in_a_block_publishes_nothing(
    whose: str, consensus: Consensus
) -> None:
    """It is not needed any more, and its coins are free."""
    stage = with_child(consensus)
    active = stage.ours.anchor_claim
    assert active is not None
    wallet = stage["alice"].runtime.wallet
    assert isinstance(wallet, Wallet)
    assert wallet.balance().locked_sat > 0
    parent = Transaction.parse(stage.ours.own_commitment)
    stage.world.chain.mine_block_with(
        [parent if whose == "ours" else scenes.commitment_of(stage, "bob", "alice")], MINER_SCRIPT
    )
    without_signatures(stage)
    assert active.making is None
    assert active.dropped is (whose == "theirs")
    assert wallet.balance().locked_sat == 0
    answer(stage, 1)
    assert not active.transaction
    assert not stage.offers[1:], "the commitment alone"


def test_answer_for_a_child_that_was_made_anew_publishes_the_new_one_alone(consensus: Consensus) -> None:
    """A block with our commitment came and went while the signer thought: its first answer is for what was let go."""
    stage = with_child(consensus)
    slot, active = stage.ours, stage.ours.anchor_claim
    assert active is not None
    [first] = children(stage)
    stage.world.chain.mine_block_with([Transaction.parse(stage.ours.own_commitment)], MINER_SCRIPT)
    without_signatures(stage)
    scenes.replace(stage, 1)
    without_signatures(stage)
    stage.world.set_fees(6_000, 6_000)
    stage["alice"].run(lambda m: bumping.update(m, slot))
    without_signatures(stage)
    [_first, second] = children(stage)
    assert active.making is not None
    assert active.making.txid == second.transaction.txid() != first.transaction.txid()
    answer(stage, 1)
    assert children(stage) == [second]
    assert not offered_children(stage)
    answer(stage, late(stage).waiting.index(second) + 1)
    assert set(offered_children(stage)) == {second.transaction.txid()}


# --- a signer that refuses --------------------------------------------------------------------------------------------


def refuses(monkeypatch: pytest.MonkeyPatch, keys_id: bytes) -> list[Transaction]:
    """A signer that signs no claims of one channel. Return what it was asked to sign of it."""
    signs = InMemorySigner.sign_claim
    refused: list[Transaction] = []

    def sign_claim(
        self: InMemorySigner, keys: bytes, transaction: Transaction, inputs: tuple[InputToSign, ...]
    ) -> list[bytes]:
        if keys == keys_id:
            refused.append(transaction)
            raise SignerRefused("not that one")
        return signs(self, keys, transaction, inputs)

    monkeypatch.setattr(InMemorySigner, "sign_claim", sign_claim)
    return refused


def test_refusal_stops_one_channel_until_the_next_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two channels with an HTLC each; of one the refund is not signed. Nothing of the other waits for that."""
    stage = Stage(scenes.double())
    stage.prompt("bob", "")
    text = stage.invoice("bob", stories.TWO_PARTS_MSAT)
    stage.pay("alice", "bob", text, deadline_seconds=scenes.PATIENT)
    stage.seconds(3)
    scenes.close(stage, "bob", "alice", 0)
    scenes.close(stage, "bob", "alice", 1)
    expiry = scenes.expiry(stage, "alice", "bob")
    other, first = stage.slots("alice", "bob")
    scenes.mine_to(stage, expiry - 1)
    assert not first.onchain_claims
    with monkeypatch.context() as patched:
        refused = refuses(patched, first.state.core.opened.channel_keys_id)
        scenes.mine_to(stage, expiry + 3)
        [claim] = first.onchain_claims
        [output] = [one.input.outpoint for one in claim.claims]
        assert "not that one" in first.halted
        assert not other.halted
        assert other.onchain_claims == []
        assert len(scenes.view(other).spenders) == 2, "the HTLC, and what is ours anyway"
        assert not claim.transaction
        tries = [one for one in refused if one.inputs[0].prevout == output]
        assert len(tries) == 1, "it is asked once in a life"
        stage.world.restart("alice")
        stage.act()
        assert "not that one" in stage.slot("alice", "bob", 1).halted, "it was asked again"
    stage.world.restart("alice")
    stage.act()
    stage.mine()
    again = stage.slot("alice", "bob", 1)
    assert not again.halted
    assert output in scenes.view(again).spenders
    stage["alice"].reports.clear()
    scenes.finish(stage)
