"""Our own commitment and the child that pays for it: when there is one, what it pays, and when it is let go."""

from functools import cache

import pytest

from leyden.base.errors import CommandRejected
from leyden.bitcoin.tx import Transaction, TxOut
from leyden.manager.onchain import bumping, claims
from leyden.manager.onchain.active import ActiveClaim
from leyden.sim import user
from leyden.sim.world import World
from leyden.wallet.building import Draft
from leyden.wallet.wallet import Wallet
from tests.manager.onchain import scenes
from tests.manager.onchain.ending import FORMATS, SIDES, Ending, Offer
from tests.manager.stage import Stage
from tests.sim import topologies

ROLES = pytest.mark.parametrize("us", [us for us, _them in SIDES], ids=["opener", "accepter"])
BALANCE_SAT = 460_000
"""Each side's, beside two HTLCs each way."""
STAKE_SAT = 20_000
"""The one HTLC whose preimage we know."""
BUDGET_SAT = STAKE_SAT // 2 + (BALANCE_SAT + 2 * 20_000) // 100
"""What we offered comes back late, not never, when nobody upstream waits: it counts as balance."""
REFUSED_SAT = STAKE_SAT // 2 + (BALANCE_SAT + 2 * 20_000) // 10
"""When mempools refuse less."""
ROUNDING_SAT = 3
STAGE_BLOCKS = 6


def closed(us: str = "alice", *, fees: int = 0, taken: int = 1, form: str = "anchors") -> Ending:
    """We have published our commitment, miners leave it out. fees: of mempools, and by the estimates (sat/kw)."""
    stage = Ending(form, us).held(2, 2)
    stage.world.dislike(us, dislikes=True)
    if fees:
        stage.world.set_fees(fees, fees)
    stage.close("local", taken)
    return stage


def child(stage: Ending) -> ActiveClaim:
    """What pays for our commitment."""
    active = stage.ours.anchor_claim
    assert active is not None
    return active


def packages(stage: Ending) -> list[Offer]:
    """Children of our commitment that we have offered."""
    anchor = stage.ours.anchor_claim
    if anchor is None:
        return []
    return [
        one for one in stage.offers if any(i.prevout == anchor.claims[0].input.outpoint for i in one.transaction.inputs)
    ]


def package_fee_sat(stage: Ending) -> int:
    """What commitment and child pay together."""
    return topologies.CAPACITY_SAT - sum(one.value_sat for one in parent(stage).outputs) + child(stage).fee_sat


def parent(stage: Ending) -> Transaction:
    """Our commitment."""
    return Transaction.parse(stage.ours.own_commitment)


def wallet_of(stage: Ending) -> Wallet:
    """Ours."""
    wallet = stage[stage.us].runtime.wallet
    assert isinstance(wallet, Wallet)
    return wallet


def locked(stage: Ending) -> Wallet:
    """Every coin of our wallet is promised to something else."""
    wallet = wallet_of(stage)
    draft = wallet.build_funding(b"other", [TxOut(10_000, scenes.ANYBODY)], 253, 0, bytes(32))
    assert isinstance(draft, Draft)
    assert len(wallet.coins()) == 1
    return wallet


def complaints(stage: Ending) -> list[str]:
    """Reports that there are no coins."""
    return [one.text for one in stage[stage.us].reports if "no coins" in one.text]


@cache
def one_sided() -> World:
    """alice - bob, whose side of the channel is empty."""
    world = World(b"one-sided")
    for name in ("alice", "bob"):
        world.add_node(name, topologies.CONFIG)
    world.link("alice", "bob")
    topologies.rest(world)
    for name in ("bob", "alice"):
        world.grant(name, 3 * topologies.CAPACITY_SAT)
    world.mine()
    topologies.rest(world)
    user.open_channel(world.nodes["alice"], world.nodes["bob"], topologies.CAPACITY_SAT, 0, user.ANCHORS)
    topologies.rest(world)
    world.mine(6)
    topologies.rest(world)
    return world


# --- when ------------------------------------------------------------------------------------------------------------


@ROLES
def test_commitment_below_the_mempool_minimum_goes_out_with_its_child_and_is_mined(us: str) -> None:
    """Alone it is refused; a package is taken (BOLT 3, "to_local_anchor and to_remote_anchor Output")."""
    stage = closed(us, fees=5_000)
    assert "mempool min fee not met" in stage.refusals()
    stage.mine()
    assert packages(stage)[-1].result.accepted
    assert stage.waiting(child(stage).claims[0].input.outpoint) is not None
    stage.world.dislike(us, dislikes=False)
    stage.mine()
    assert stage.view.spend.txid == child(stage).claims[0].input.outpoint.txid
    assert scenes.is_in_chain(stage, child(stage).txid)


def test_commitment_that_pays_enough_has_no_child() -> None:
    """No coins are spent on what is mined anyhow."""
    stage = closed(taken=0)
    stage.mine_to(stage.height + 20)
    assert not packages(stage)
    assert not stage.refusals()


def test_commitment_that_mempools_refuse_alone_gets_a_child_whatever_estimates_say() -> None:
    """An estimator may not know of the mempool's minimum."""
    stage = Ending("anchors").held(2, 2)
    stage.world.set_fees(253, 5_000)
    stage.close("local", 1)
    for _ in range(6):
        stage.mine()
    assert any(one.result.accepted for one in packages(stage))
    assert stage.view.spend.txid == child(stage).claims[0].input.outpoint.txid


@ROLES
def test_channel_without_anchors_never_asks(us: str) -> None:
    """Its commitment pays for itself or not at all."""
    stage = closed(us, fees=5_000, form=FORMATS[1])
    stage.mine_to(stage.expiry(stage.them))
    assert stage.ours.own_commitment
    assert stage.ours.anchor_claim is None


def test_commitment_without_our_anchor_never_asks() -> None:
    """BOLT 3: an anchor of ours is there when we have an output, or HTLCs; a fresh channel's accepter has neither."""
    stage = Stage(one_sided())
    stage.world.dislike("alice", dislikes=True)
    stage.world.set_fees(5_000, 5_000)
    slot = scenes.close(stage, "bob", "alice")
    stage.mine(3)
    assert slot.own_commitment
    assert slot.state.core.spent is None
    assert slot.anchor_claim is None


def test_stale_channel_never_asks() -> None:
    """Its commitment may be revoked: nothing may help it into a block."""
    stage = closed(taken=1)
    stage.ours.state.core.stale = True
    stage.mine_to(stage.expiry("bob"))
    stage["alice"].run(lambda m: bumping.update(m, stage.ours))
    stage.act()
    assert not packages(stage)


@pytest.mark.parametrize(
    ("reason", "outbid"),
    [
        ("mempool min fee not met", False),
        ("transaction failed: min relay fee not met, 250 < 280: bad-txns-inputs-missingorspent", False),
        ("insufficient fee, rejecting replacement 00ff, less fees than conflicting txs; 0.1 < 0.2", True),
        ("package RBF failed: insufficient anti-DoS fees", True),
        ("too many potential replacements", True),
        ("txn-mempool-conflict", True),
    ],
)
def test_refusal_for_the_sake_of_another_transaction_is_known_by_its_reason(reason: str, outbid: bool) -> None:
    """The words of Bitcoin Core; what is not known asks for more."""
    stage = closed(fees=5_000)
    active = child(stage)
    bumping.on_result(active, bytes(32), accepted=False, reason=reason)
    assert (active.refused, active.outbid) == (False, False), "that was not ours"
    bumping.on_result(active, active.txid, accepted=False, reason=reason)
    assert (active.refused, active.outbid) == (True, outbid)
    bumping.on_result(active, active.txid, accepted=True, reason="")
    assert (active.refused, active.outbid) == (False, False)


# --- how much --------------------------------------------------------------------------------------------------------


def test_fee_rises_to_the_budget_until_the_deadline_and_mempools_take_each_step() -> None:
    """The deadline leaves the HTLC transaction six blocks behind the commitment."""
    stage = closed()
    deadline = stage.expiry("bob") - STAGE_BLOCKS
    fees_sat: list[int] = []
    while stage.height < deadline - 2:
        stage.mine()
        if child(stage).transaction:
            waiting = stage.waiting(child(stage).claims[0].input.outpoint)
            assert waiting is not None
            assert waiting.txid() == child(stage).txid, "the newest version waits"
            fees_sat.append(package_fee_sat(stage))
    assert not stage.refusals()
    assert fees_sat == sorted(fees_sat)
    assert len(set(fees_sat)) > len(fees_sat) // 2
    assert fees_sat[0] < BUDGET_SAT // 2
    assert BUDGET_SAT - 10 <= fees_sat[-1] <= BUDGET_SAT + ROUNDING_SAT
    count = len(set(fees_sat))
    stage.mine_to(deadline + 5)
    assert package_fee_sat(stage) == fees_sat[-1], f"{count} versions, and no more behind the deadline"


def test_step_that_would_cost_more_than_the_budget_is_not_taken() -> None:
    """A replacement pays 1 sat/vB for its own relay as well (BIP 125, rule 4): here more than is left."""
    stage = Ending("anchors").held(2, 2)
    stage.world.dislike("alice", dislikes=True)
    stage.world.set_fees(5_900, 253)
    stage.close("local", 1)
    txid = child(stage).txid
    assert BUDGET_SAT * 98 // 100 < package_fee_sat(stage) < BUDGET_SAT
    stage.mine_to(stage.expiry("bob"))
    assert child(stage).txid == txid
    assert not stage.refusals()


def test_refused_child_pays_a_quarter_more_in_each_block_up_to_the_budget() -> None:
    """How much the mempool wants it does not say."""
    stage = closed(fees=3_000)
    stage.world.chain.set_mempool_feerate(1_000_000)
    stage.mine()
    rates = [child(stage).feerate_per_kw]
    for _ in range(12):
        stage.mine()
        rates.append(child(stage).feerate_per_kw)
    weight = packages(stage)[-1].transaction.weight() + 1_801
    assert rates[1] >= rates[0] * 5 // 4
    assert rates[2] >= rates[1] * 5 // 4
    assert REFUSED_SAT * 99 // 100 <= rates[-1] * weight // 1000 <= REFUSED_SAT + ROUNDING_SAT
    assert child(stage).refused
    offered = len(packages(stage))
    stage.mine()
    assert len(packages(stage)) > offered, "it is offered again all the same"


@pytest.mark.parametrize("taken", [1, 2])
def test_htlcs_that_we_can_claim_are_at_stake(taken: int) -> None:
    """Half of them and a tenth of our balance may go, and does when the mempool asks for more and more."""
    stage = closed(taken=taken, fees=3_000)
    stage.world.chain.set_mempool_feerate(1_000_000)
    stage.mine_to(stage.height + 14)
    budget_sat = REFUSED_SAT + (taken - 1) * STAKE_SAT // 2
    assert budget_sat * 9 // 10 <= package_fee_sat(stage) <= budget_sat + ROUNDING_SAT


def test_htlcs_of_theirs_without_preimage_are_not_at_stake() -> None:
    """What is left is late, not lost: a tenth of it may go so that it gets in at all."""
    stage = closed(taken=0, fees=3_000)
    stage.world.chain.set_mempool_feerate(1_000_000)
    stage.mine_to(stage.expiry("bob"))
    balance_sat = REFUSED_SAT - STAKE_SAT // 2
    assert balance_sat * 9 // 10 <= package_fee_sat(stage) <= balance_sat + ROUNDING_SAT


def test_commitment_without_an_htlc_gets_in_above_a_high_minimum() -> None:
    """Ten times as much as a hundredth of our balance: what never confirms is lost."""
    stage = Ending("anchors")
    stage.world.set_fees(15_000, 15_000)
    stage.close("local")
    stage.mine()
    assert stage.view.spend.txid == child(stage).claims[0].input.outpoint.txid
    assert package_fee_sat(stage) > 5 * topologies.CAPACITY_SAT // 2 // 100


@cache
def line() -> World:
    """alice - bob - carol, whose user is asked; bob has coins."""
    world = topologies.make([("alice", "bob"), ("bob", "carol")], "carol")
    world.grant("bob", topologies.CAPACITY_SAT)
    world.mine()
    topologies.rest(world)
    return world


def test_htlc_that_an_inbound_one_waits_for_is_due_before_that_expires() -> None:
    """A forward that is refunded too late is paid twice: half of it may go, by the deadline upstream."""
    stage = scenes.held(line(), "carol")
    stage.world.dislike("bob", dislikes=True)
    slot = scenes.close(stage, "bob", "carol")
    inbound = scenes.core(stage, "bob", "alice").inbound[0]
    config = stage.m("bob").config
    deadline = inbound.add.cltv_expiry - config.fail_back_grace_blocks - config.onchain_failure_depth
    scenes.mine_to(stage, deadline - 2)
    active = slot.anchor_claim
    assert active is not None
    budget_sat = scenes.AMOUNT_MSAT // 1000 // 2
    assert active.fee_sat > budget_sat * 8 // 10


# --- coins -----------------------------------------------------------------------------------------------------------


def test_no_coins_is_told_once_and_works_when_there_are_some() -> None:
    """Each block tries again; each lack is told once."""
    stage = Ending("anchors").held(2, 2)
    stage.world.set_fees(5_000, 5_000)
    wallet = locked(stage)
    stage.close("local", 1)
    stage.mine_to(stage.height + 5)
    assert len(complaints(stage)) == 1
    assert not packages(stage)
    wallet.release(b"other")
    stage.mine_to(stage.height + 3)
    assert stage.view.spend.txid == packages(stage)[-1].transaction.inputs[0].prevout.txid
    assert len(complaints(stage)) == 1


def test_lack_of_coins_is_told_again_after_there_were_some() -> None:
    """It is news then; and what is out is offered again while more cannot be paid."""
    stage = Ending("anchors").held(2, 2)
    stage.world.dislike("alice", dislikes=True)
    stage.world.set_fees(5_000, 5_000)
    wallet = locked(stage)
    stage.close("local", 1)
    assert not complaints(stage), "what is promised may be free in the next block"
    stage.mine()
    wallet.release(b"other")
    stage.mine_to(stage.height + 3)
    active = child(stage)
    before = active.txid
    assert len(complaints(stage)) == 1

    def none(*_args: object) -> object:
        raise CommandRejected("nothing left", code="insufficient_funds")

    wallet.fund_claim = none  # type: ignore[method-assign, assignment]
    stage.world.evict()
    stage.claim("alice")
    stage.world.set_fees(7_000, 5_000)
    for _ in range(3):
        offered = len(packages(stage))
        stage.mine()
        assert len(packages(stage)) > offered
    assert active.txid == before
    assert stage.waiting(active.claims[0].input.outpoint) is not None
    assert len(complaints(stage)) == 2


def test_answer_that_comes_when_nothing_is_made_any_more_says_nothing() -> None:
    """Another commitment was first, or coins came another way."""
    stage = closed(fees=5_000)
    stage.mine()
    claim_id, offered = child(stage).claim_id, len(packages(stage))
    stage["alice"].run(lambda m: claims.claim_not_funded(m, claim_id, "too late"))
    assert not complaints(stage)
    assert len(packages(stage)) == offered


# --- the end of it ---------------------------------------------------------------------------------------------------


def test_child_of_a_commitment_that_was_not_first_is_forgotten_and_its_coins_are_free() -> None:
    """The peer's is in a block."""
    stage = Ending("anchors").held(2, 2)
    wallet = wallet_of(stage)
    [coin] = wallet.coins()
    stage.world.set_fees(5_000, 5_000)
    stage.world.dislike("alice", dislikes=True)
    stage.close("local", 1)
    stage.mine()
    assert child(stage).transaction
    assert coin not in wallet.coins()
    theirs = scenes.commitment_of(stage, "bob", "alice")
    scenes.confirm(stage, theirs)
    assert stage.view.spend.txid == theirs.txid()
    assert stage.ours.anchor_claim is None
    assert coin in wallet.coins()


@pytest.mark.parametrize("also_child", [True, False])
def test_same_child_again_when_a_reorganisation_takes_the_commitment_away(also_child: bool) -> None:
    """No coins are spent on a second one."""
    stage = closed(fees=5_000)
    stage.mine()
    active, txid = child(stage), child(stage).txid
    spender = stage.waiting(active.claims[0].input.outpoint)
    assert spender is not None
    stage.world.set_fees(253, 253)  # no block asks for more
    scenes.confirm(stage, *([parent(stage), spender] if also_child else [parent(stage)]))
    stage.mine()
    assert stage.view.spend.txid == parent(stage).txid()
    scenes.replace(stage, 2)
    stage.act()
    assert stage.ours.state.core.spent is None
    stage.mine()
    assert child(stage) is active
    assert active.txid == txid
    waiting = stage.waiting(active.claims[0].input.outpoint)
    assert waiting is not None
    assert waiting.txid() == txid


def restarted(blocks_left: int, *, lost: bool) -> tuple[Ending, bytes]:
    """Our node starts anew so many blocks before the deadline; return the child of the life before too."""
    stage = closed()
    stage.mine_to(stage.expiry("bob") - STAGE_BLOCKS - 1 - blocks_left)
    old = child(stage).txid
    if lost:
        stage.world.evict()
    stage.world.restart("alice")
    stage.act()
    return stage, old


@pytest.mark.parametrize("blocks_left", [1, 2, 5])
def test_restart_shortly_before_the_deadline_pays_what_the_life_before_would_have_paid(blocks_left: int) -> None:
    """At once: there is no time to begin anew."""
    stage, _old = restarted(blocks_left, lost=True)
    other = closed()
    other.mine_to(stage.height)
    assert abs(package_fee_sat(stage) - package_fee_sat(other)) <= package_fee_sat(other) // 100
    anchor = child(stage).claims[0].input.outpoint
    waiting = stage.waiting(anchor)
    assert waiting is not None
    assert waiting.txid() == child(stage).txid
    stage.world.dislike("alice", dislikes=False)
    stage.mine()
    assert stage.view.spend.txid == anchor.txid
    assert stage.view.record.height < stage.expiry("bob") - STAGE_BLOCKS


def test_child_of_the_life_before_stays_until_the_next_step_is_due() -> None:
    """What the new life makes costs the same, so mempools keep the old one; it is no reason to pay more."""
    stage, old = restarted(5, lost=False)
    anchor = child(stage).claims[0].input.outpoint
    waiting = stage.waiting(anchor)
    assert waiting is not None
    assert waiting.txid() == old
    assert child(stage).outbid
    other = closed()
    other.mine_to(stage.height + 1)
    stage.mine()
    waiting = stage.waiting(anchor)
    assert waiting is not None
    assert waiting.txid() == child(stage).txid
    assert abs(package_fee_sat(stage) - package_fee_sat(other)) <= package_fee_sat(other) // 100
