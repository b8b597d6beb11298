"""What is taken on the chain, by whom and how often: H59, H72, H85, H87, H88, H89, H149."""

from collections.abc import Sequence
from functools import partial

import pytest

from leyden.base.errors import StorageBroken
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut
from leyden.manager import events as ev
from leyden.manager import handoff
from leyden.manager.actions import Action, Report
from leyden.monitor.classify import SpendKind
from leyden.monitor.watched import WatchedKind
from leyden.sim.handler import Prompt
from leyden.sim.node import SimNode
from leyden.sim.user import Order
from leyden.sim.world import MINER_SCRIPT, World
from tests.hazards import endings, stories
from tests.hazards.endings import core
from tests.hazards.forms import Form, Hazard, every_form, run_in
from tests.hazards.stories import channel, slot_of
from tests.manager.stage import Stage
from tests.sim import acts

DELAY_BLOCKS = 150
ALICE = channel("alice", "bob")


# --- own commitments ----------------------------------------------------------------------------------------------


def due(world: World) -> list[Order]:
    """An HTLC of bob's has expired, and carol cannot be reached."""
    orders = stories.ask("alice", "carol", world)
    [htlc] = slot_of(world, "bob", "carol").state.core.outbound.values()
    world.links.pop(("bob", "carol"))
    world.cut("bob", "carol")
    acts.then(world, "due", partial(acts.mine_to, world, htlc.add.cltv_expiry + 2))
    endings.then_mine(world, 1, 6, 1, 1, 8)
    return orders


@every_form
def test_close_at_a_deadline_is_published_behind_its_record(form: Form) -> None:
    """H59: nobody asked for it, and blocks do not wait; the witness sees that every later life would know it."""

    def check(world: World, _orders: Sequence[Order]) -> None:
        assert slot_of(world, "bob", "carol").state.core.closing is not None
        assert "force-close" in [what for _txid, what in world.broadcasts]

    hazard = Hazard(endings.line, due, "bob", channel("bob", "carol"), check, oracles=endings.check_settled)
    run_in(form, hazard)


@pytest.mark.parametrize("with_mark", [False, True])
def test_stale_node_takes_what_is_its_own_of_the_peers_commitment(*, with_mark: bool) -> None:
    """H72: it does not know that commitment, publishes none, and has its balance back all the same."""
    stage = Stage(endings.direct(""))
    alice = stage["alice"]
    backup = alice.backup()
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.rest()
    stage.world.crash("alice")
    alice.restore(backup, with_mark=with_mark)
    alice.start()
    stage.seconds(3)
    stage.mine(2)
    view = stage.slot("alice", "bob").closed_view
    assert view is not None
    assert view.spend.kind is SpendKind.REMOTE_UNKNOWN
    [ours] = [one for one in view.outputs.values() if one.kind is WatchedKind.TO_REMOTE]
    assert ours.value_sat > 400_000
    stage.mine(6)
    stage.mine()
    assert ours.outpoint in view.spenders, "swept"
    assert ("force-close" in [what for txid, what in stage.world.broadcasts if txid != view.spend.txid]) is False


# --- outputs that are ours ----------------------------------------------------------------------------------------


def left_alone(world: World) -> list[Order]:
    """alice closes; her user handles no event."""
    world.nodes["alice"].application = Prompt("", acknowledges=False)
    endings.then_close(world, "alice", "bob")
    endings.then_mine(world, 1, DELAY_BLOCKS, 2)
    return []


@every_form
def test_outputs_that_became_ours_are_told_until_acknowledged(form: Form) -> None:
    """H85: by one id in every life, and never again afterwards; they are swept meanwhile."""

    def acknowledge(world: World) -> None:
        [event] = [one for one in world.nodes["alice"].manager.events.values() if isinstance(one, ev.SpendableOutputs)]
        assert {one.event_id for one in stories.told(world, "alice", ev.SpendableOutputs)} == {event.event_id}
        for event_id in list(world.nodes["alice"].manager.events):
            world.nodes["alice"].run(partial(handoff.acknowledge_event, event_id=event_id))

    def check(world: World, _orders: Sequence[Order]) -> None:
        view = slot_of(world, "alice", "bob").closed_view
        assert view is not None
        assert [one for one in view.unspent() if one.kind is WatchedKind.TO_LOCAL] == []
        told = len(stories.told(world, "alice", ev.SpendableOutputs))
        world.restart("alice")
        assert not world.nodes["alice"].manager.events
        assert len(stories.told(world, "alice", ev.SpendableOutputs)) == told

    hazard = Hazard(
        partial(endings.direct, ""), left_alone, "alice", ALICE, check, acknowledge, oracles=endings.check_settled
    )
    run_in(form, hazard)


# --- claims -------------------------------------------------------------------------------------------------------


def takers(stage: Stage, outpoint: OutPoint) -> int:
    """How many transactions take an output: published and not replaced, or in a block."""
    return len(endings.published(stage, outpoint))


def is_claimed_once(stage: Stage, name: str, peer: str) -> bool:
    """Whether no two claims of a node's life are for one output."""
    slot = stage.slot(name, peer)
    inputs = [claim.input.outpoint for active in slot.onchain_claims for claim in active.claims]
    return len(set(inputs)) == len(inputs)


@pytest.mark.parametrize("mined", [0, 1, 2], ids=["waits", "in a block", "deep"])
@pytest.mark.parametrize("kept", [False, True])
def test_claims_are_made_once_whatever_is_replayed(mined: int, *, kept: bool) -> None:
    """H87: lives begin before, in and behind the block of a claim; each output has one, and its spend one record."""
    stage = endings.held(endings.direct(), "bob", tags=("one", "two"))
    endings.close(stage, "alice", "bob")
    stage.mine()
    slot = stage.slot("bob", "alice")
    stage["bob"].disk.held[slot.tail.journal] = None
    stage["bob"].disk.held["node"] = None
    endings.claim(stage, "bob", "one")
    endings.claim(stage, "bob", "two")
    stage.mine(mined)
    for _ in range(2):
        stage.world.restart("bob", stage["bob"].disk.under_way() if kept else {})
        stage.seconds(1)
        stories.answer(stage.world, "bob", "claim")
        assert is_claimed_once(stage, "bob", "alice")
    stage.mine(3)
    stage.seconds(3)
    htlcs = [
        one.outpoint for one in stage.slot("bob", "alice").closed_view.outputs.values()  # type: ignore[union-attr]
        if one.kind is WatchedKind.HTLC
    ]  # fmt: skip
    assert [takers(stage, one) for one in htlcs] == [1, 1]
    assert endings.no_record_twice(core(stage, "bob", "alice"))
    assert len(stage.told("alice", ev.PaymentSent)) == 2


def test_late_preimage_takes_what_is_left() -> None:
    """H89: others went in a batch that is in a block; the claim of one more is made of what is unspent."""
    stage = endings.held(endings.direct(), "bob", tags=("one", "two", "three"))
    endings.close(stage, "alice", "bob")
    stage.mine()
    for tag in ("one", "two"):
        endings.claim(stage, "bob", tag)
    stage.mine()
    assert len(core(stage, "alice", "bob").onchain_preimages) == 2
    endings.claim(stage, "bob", "three")
    stage.mine()
    stage.seconds(3)
    assert len(core(stage, "alice", "bob").onchain_preimages) == 3
    assert all(stage.payment("alice", tag).sent is not None for tag in ("one", "two", "three"))
    assert len(core(stage, "bob", "alice").output_spends) in (2, 3)


@pytest.mark.parametrize("compacted", [False, True])
def test_old_state_is_taken_with_its_htlcs(*, compacted: bool) -> None:
    """H89: what the state has forgotten of them stands in the penalty log."""
    stage = endings.held(endings.direct(), "bob", tags=("one", "two"))
    number = core(stage, "bob", "alice").local.number
    for tag in ("one", "two"):
        endings.claim(stage, "bob", tag)
    stage.seconds(3)
    assert core(stage, "bob", "alice").local.number > number
    if compacted:
        stage["alice"].compact()
        stage.act()
    endings.cheat(stage, "bob", "alice", number)
    view = stage.slot("alice", "bob").closed_view
    assert view is not None
    assert view.spend.kind is SpendKind.REMOTE_REVOKED
    kinds = [one.kind for one in view.outputs.values()]
    assert kinds.count(WatchedKind.REVOKED_HTLC) == 2
    stage.mine(2)
    assert not [one for one in view.unspent() if one.kind is not WatchedKind.TO_REMOTE]


def test_what_is_left_of_a_batch_is_claimed_again() -> None:
    """H89: one output of a penalty is taken by another transaction, which makes the whole of it worth nothing."""
    stage = endings.held(endings.direct(), "bob", tags=("one", "two", "three"))
    number = core(stage, "bob", "alice").local.number
    for tag in ("one", "two", "three"):
        endings.claim(stage, "bob", tag)
    stage.seconds(3)
    endings.cheat(stage, "bob", "alice", number)
    view = stage.slot("alice", "bob").closed_view
    assert view is not None
    taken, *others = [one for one in view.outputs.values() if one.kind is WatchedKind.REVOKED_HTLC]
    [penalty] = endings.published(stage, taken.outpoint)
    assert len(penalty.inputs) == 3, "a batch"
    spend = Transaction(2, (TxIn(taken.outpoint, b"", 0),), (TxOut(taken.value_sat, MINER_SCRIPT),), 0)
    stage.world.chain.mine_block_with([spend], MINER_SCRIPT)
    stage.act()
    stage.mine()
    assert all(one.outpoint in view.spenders for one in others)
    assert is_claimed_once(stage, "alice", "bob")


def test_claim_that_waits_pays_more_the_nearer_its_deadline_is() -> None:
    """H149: miners leave it out; from its deadline on the peer may have the output too."""
    stage = endings.held(endings.direct(), "bob")
    expiry = endings.expiry(stage, "alice", "bob")
    endings.part(stage, "alice", "bob")
    endings.claim(stage, "bob")
    endings.close(stage, "alice", "bob")
    stage.world.dislike("bob", dislikes=True)
    stage.mine()
    [htlc] = [
        one for one in stage.slot("bob", "alice").closed_view.outputs.values()  # type: ignore[union-attr]
        if one.kind is WatchedKind.HTLC
    ]  # fmt: skip
    paid: list[int] = []
    while stage.world.chain.tip.height < expiry - 1:
        stage.mine()
        [waiting] = endings.published(stage, htlc.outpoint)
        entry = stage.world.chain.pool.entry(waiting.txid())
        assert entry is not None
        paid.append(entry.fee_sat)
    assert paid == sorted(paid)
    assert paid[-1] > 10 * paid[0]
    assert paid[-1] < htlc.value_sat


def test_claim_is_published_again_at_the_start() -> None:
    """H87: mempools have forgotten it, and the next block may be an hour away."""
    stage = endings.held(endings.direct(), "bob")
    number = core(stage, "bob", "alice").local.number
    endings.claim(stage, "bob")
    stage.seconds(3)
    endings.cheat(stage, "bob", "alice", number)
    stage.seconds(1)
    view = stage.slot("alice", "bob").closed_view
    assert view is not None
    [forfeited] = [one.outpoint for one in view.outputs.values() if one.kind is WatchedKind.REVOKED_HTLC]
    stage.world.evict()
    stage.world.restart("alice")
    stage.act()
    assert takers(stage, forfeited) == 1


def test_preimage_of_one_part_is_in_no_transaction_before_every_part_has_the_claim() -> None:
    """H12, H76: one part is on the chain, where all could read it; the journal of the other one hangs."""
    stage = Stage(endings.double())
    stage.prompt("bob", "")
    text = stage.invoice("bob", stories.TWO_PARTS_MSAT)
    stage.pay("alice", "bob", text, deadline_seconds=endings.PATIENT_SECONDS)
    stage.seconds(3)
    endings.close(stage, "alice", "bob")
    stage.mine()
    other = stage.slot("bob", "alice", 1).tail.journal
    stage["bob"].disk.held[other] = None
    endings.claim(stage, "bob")
    stage.mine(2)
    [htlc] = [
        one for one in stage.slot("alice", "bob").closed_view.outputs.values()  # type: ignore[union-attr]
        if one.kind is WatchedKind.HTLC
    ]  # fmt: skip
    assert not takers(stage, htlc.outpoint)
    stage["bob"].disk.held.clear()
    stage.act()
    assert takers(stage, htlc.outpoint) == 1
    stage.mine()
    stage.seconds(3)
    assert stage.payment("alice").sent is not None


# --- a store that takes nothing any more --------------------------------------------------------------------------


def stops(stage: Stage, name: str, how: str) -> None:
    """The store of a node hangs, or has been lost for good at its last write."""
    node = stage[name]
    for journal in list(node.runtime.outbox.tails):
        if how == "hangs":
            node.disk.held[journal] = None
        else:
            node.disk.refusing[journal] = StorageBroken("the disk is gone")
    stage.mine()
    assert (node.runtime.broken is not None) is (how == "is lost")


DEAD = pytest.mark.parametrize("how", ["hangs", "is lost"])


@DEAD
def test_penalty_goes_out_without_a_store(how: str) -> None:
    """H149: the peer waits for just that moment to publish what it has revoked."""
    stage = endings.held(endings.direct(), "bob")
    number = core(stage, "bob", "alice").local.number
    endings.claim(stage, "bob")
    stage.seconds(3)
    stops(stage, "alice", how)
    endings.part(stage, "alice", "bob")
    cheat = endings.cheat(stage, "bob", "alice", number)
    stage.mine(3)
    view = stage.slot("alice", "bob").closed_view
    assert view is not None
    assert view.spend.txid == cheat.txid()
    assert not [one for one in view.unspent() if one.kind is not WatchedKind.TO_REMOTE]


@DEAD
def test_known_preimage_is_claimed_without_a_store(how: str) -> None:
    """H149: the HTLC would time out, and the payer would have it back."""
    stage = endings.held(endings.direct(), "bob")
    endings.part(stage, "alice", "bob")
    endings.claim(stage, "bob")
    stops(stage, "bob", how)
    endings.close(stage, "alice", "bob")
    stage.mine(2)
    stage.seconds(2)
    assert stage.payment("alice").sent is not None


@DEAD
@pytest.mark.parametrize("mined", [False, True], ids=["waits", "in a block"])
def test_refund_goes_out_without_a_store_and_is_not_made_again_by_the_next_life(how: str, *, mined: bool) -> None:
    """H149, H87: the HTLC expires while nothing can be recorded; the life that can finds the refund, and fails once."""
    stage = endings.held(endings.direct(), "bob")
    expiry = endings.expiry(stage, "alice", "bob")
    endings.close(stage, "bob", "alice")
    stage.mine()
    view = stage.slot("alice", "bob").closed_view
    assert view is not None
    [htlc] = [one for one in view.outputs.values() if one.kind is WatchedKind.HTLC]
    stops(stage, "alice", how)
    endings.mine_to(stage, expiry)
    assert takers(stage, htlc.outpoint) == 1
    refund = endings.published(stage, htlc.outpoint)
    if mined:
        stage.mine(3)
    stage["alice"].disk.held.clear()
    stage["alice"].disk.refusing.clear()
    stage.world.restart("alice")
    stage.act()
    assert takers(stage, htlc.outpoint) == 1
    assert is_claimed_once(stage, "alice", "bob")
    stage.mine(3)
    stage.act()
    assert endings.published(stage, htlc.outpoint) == refund
    assert not stage.told("alice", ev.PaymentFailed)
    for _ in range(12):
        stage.mine(10)
        stage.seconds(2)
    assert len({one.event_id for one in stage.told("alice", ev.PaymentFailed)}) == 1
    assert endings.published(stage, htlc.outpoint) == refund
    if how == "hangs":
        stage.check()  # a store that is lost raises an alarm


@DEAD
def test_own_commitment_waits_for_a_store(how: str) -> None:
    """H149, H59: claims need no record; the close that makes them possible does."""
    stage = endings.held(endings.direct(), "bob")
    expiry = endings.expiry(stage, "alice", "bob")
    endings.part(stage, "alice", "bob")
    stops(stage, "alice", how)
    endings.mine_to(stage, expiry + 5)
    assert core(stage, "alice", "bob").spent is None
    assert not stage.world.broadcasts


# --- more than one copy -------------------------------------------------------------------------------------------


def heard(node: SimNode) -> list[Action]:
    """What leaves a life from now on."""
    actions: list[Action] = []
    act = node.runtime.on_action

    def hear(action: Action) -> None:
        actions.append(action)
        act(action)

    node.runtime.on_action = hear
    return actions


def taken_over(stage: Stage, name: str) -> tuple[list[Action], SimNode]:
    """Another process opens a node's store while the node lives; it hears of that with its next record.

    Return what the older one does from then on, and the new one.
    """
    older, newer = stage[name], SimNode(stage.world, name, stage[name].config)
    newer.disk = older.disk
    newer.start()
    stage.mine()
    newer.sync()
    assert older.runtime.is_fenced
    return heard(older), newer


@pytest.mark.parametrize("what", ["penalty", "preimage"])
def test_life_that_lost_the_store_leaves_the_chain_to_the_next_one(what: str) -> None:
    """H88, H162: two that claim the same would bid against each other with the coins of one wallet."""
    stage = endings.held(endings.direct(), "bob")
    number = core(stage, "alice", "bob").local.number
    if what == "penalty":
        endings.claim(stage, "bob")
        stage.seconds(3)
        actions, newer = taken_over(stage, "bob")
        endings.cheat(stage, "alice", "bob", number)
    else:
        endings.part(stage, "alice", "bob")
        endings.claim(stage, "bob")
        actions, newer = taken_over(stage, "bob")
        endings.close(stage, "alice", "bob")
        stage.mine()
    kinds = (WatchedKind.HTLC, WatchedKind.REVOKED_HTLC, WatchedKind.REVOKED_TO_LOCAL)
    for _ in range(3):
        newer.sync()
        stage.mine()
    assert {type(action) for action in actions} <= {Report}
    view = next(iter(newer.manager.channels.values())).closed_view
    assert view is not None
    claimed = [one.outpoint for one in view.outputs.values() if one.kind in kinds]
    assert claimed
    assert all(takers(stage, outpoint) == 1 for outpoint in claimed)


def test_copy_publishes_the_close_that_is_in_the_journal_and_no_other() -> None:
    """H88: whoever reads that record reveals no secret of this channel any more, so every copy may publish it."""
    stage = endings.held(endings.direct(), "bob")
    endings.part(stage, "alice", "bob")
    stage.world.dislike("alice", dislikes=True)
    endings.close(stage, "alice", "bob")
    [(txid, _what)] = [one for one in stage.world.broadcasts if one[1] == "force-close"]
    copy = copy_of(stage, "alice")
    copy.start()
    stage.mine(3)
    copy.sync()
    assert copy.manager.is_started
    assert {one for one, what in stage.world.broadcasts if what == "force-close"} == {txid}
    assert core(stage, "alice", "bob").closing is not None


def copy_of(stage: Stage, name: str) -> SimNode:
    """Another process on an older copy of a node's disk, that sees the chain and no peer."""
    other = SimNode(stage.world, name, stage[name].config)
    other.disk = stage[name].disk.copy()
    return other


@pytest.mark.parametrize("revoked", [False, True])
def test_copy_that_lags_punishes_and_never_closes(*, revoked: bool) -> None:
    """H88: what it takes is what the original would take; what it does not know it leaves alone."""
    stage = endings.held(endings.direct(), "bob")
    number = core(stage, "bob", "alice").local.number
    endings.claim(stage, "bob")
    stage.seconds(3)
    lagging = copy_of(stage, "alice")
    stage.pay("alice", "bob", stage.invoice("bob", tag="more"), "more", deadline_seconds=endings.PATIENT_SECONDS)
    stage.seconds(3)
    expiry = endings.expiry(stage, "alice", "bob")
    stage.world.crash("alice")
    if revoked:
        endings.cheat(stage, "bob", "alice", number)
    else:
        endings.part(stage, "alice", "bob")
        endings.mine_to(stage, expiry + 5)
    lagging.start()
    stage.mine(2)
    lagging.sync()
    stage.mine(2)
    lagging.sync()
    [slot] = lagging.manager.channels.values()
    if revoked:
        assert slot.closed_view is not None
        assert not [one for one in slot.closed_view.unspent() if one.kind is not WatchedKind.TO_REMOTE]
    assert "force-close" not in [what for _txid, what in stage.world.broadcasts]
