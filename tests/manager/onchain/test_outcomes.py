"""What the chain decides of payments under way: preimages act at once, everything else when it is deep enough."""

import pytest

from leyden.bitcoin.networks import REGTEST
from leyden.bitcoin.tx import Transaction
from leyden.channel.inputs import PendingAdd, QueueAdd
from leyden.channel.states import Normal
from leyden.crypto.hashes import sha256
from leyden.journal.records import HtlcSource
from leyden.manager import events as ev
from leyden.manager import rebuild
from leyden.manager.actions import Broadcast
from leyden.manager.chain import on_block
from leyden.manager.manager import Manager
from leyden.manager.onchain import blocks, outcomes
from leyden.node import boot
from leyden.payments import outcome as why
from leyden.signer.in_memory import InMemorySigner
from leyden.sim.disk import SimDisk, SimStore
from leyden.sim.scenario import combinations
from leyden.sim.world import MINER_SCRIPT
from tests.manager import handmade
from tests.manager.onchain import scenes
from tests.manager.stage import Stage
from tests.sim import topologies


def shown_on_chain() -> tuple[Stage, Transaction]:
    """carol has claimed; bob has not seen her transaction, which waits nowhere."""
    stage = scenes.forwarded()
    slot = scenes.close(stage, "bob", "carol")
    stage.mine()
    [htlc] = scenes.view(slot).by_htlc[0]
    stage.world.crash("bob")
    scenes.claim(stage)
    claim = stage.world.chain.pool_spends(htlc.outpoint)
    assert claim is not None
    stage.world.chain.evict(claim.txid())
    stage.world.links[("bob", "carol")] = False
    stage["bob"].start()
    stage.act()
    assert not scenes.core(stage, "bob", "carol").onchain_preimages
    return stage, claim


# --- preimages -------------------------------------------------------------------------------------------------------


def test_preimage_on_the_chain_settles_upstream_before_it_is_durable() -> None:
    """It is its own proof (invariant P12): the journal that learnt it may hang."""
    stage, claim = shown_on_chain()
    slot = stage.slot("bob", "carol")
    stage["bob"].disk.held[slot.tail.journal] = None
    scenes.confirm(stage, claim)
    assert slot.tail.durable < slot.tail.position
    stage.seconds(2)
    assert stage.payment("alice").sent is not None
    stage["bob"].disk.held.clear()
    scenes.finish(stage)


def test_preimage_in_the_mempool_settles_upstream_at_once() -> None:
    """BOLT 5, "Requirements": nobody waits for the block; it may never come with that transaction."""
    stage, claim = shown_on_chain()
    slot = stage.slot("bob", "carol")
    stage["bob"].run(lambda m: blocks.on_mempool_transactions(m, [claim]))
    before = slot.tail.position
    stage["bob"].run(lambda m: blocks.on_mempool_transactions(m, [claim]))
    assert slot.tail.position == before, "told once"
    stage.seconds(2)
    assert stage.payment("alice").sent is not None
    scenes.finish(stage)


def test_transaction_that_shows_nothing_is_no_preimage() -> None:
    """A spend of an HTLC by its timeout, or one of something else."""
    stage, _claim = shown_on_chain()
    m, slot = stage.m("bob"), stage.slot("bob", "carol")
    [htlc] = scenes.view(slot).by_htlc[0]
    before = slot.tail.position
    blocks.on_mempool_transactions(m, [scenes.spend(htlc, witness=(bytes(32), b"x" * 32))])
    assert slot.tail.position == before


def test_preimage_is_told_again_until_upstream_is_durable() -> None:
    """H76: a crash after each step, with every prefix of every journal kept: alice's payment is sent in the end."""
    base, claim = shown_on_chain()
    base.world.chain.mine_block_with([claim], MINER_SCRIPT)
    under_way: list[dict[str, int]] = []
    while base.world.enabled() and len(under_way) < 12:
        base.world.perform(base.world.enabled()[0])
        under_way.append(base["bob"].disk.under_way())
    tried = 0
    for step, counts in enumerate(under_way):
        for kept in combinations(counts):
            stage, claim = shown_on_chain()
            stage.world.chain.mine_block_with([claim], MINER_SCRIPT)
            for _ in range(step + 1):
                stage.world.perform(stage.world.enabled()[0])
            stage.world.restart("bob", dict(kept))
            stage.act()
            stage.seconds(2)
            assert stage.payment("alice").sent is not None
            assert not stage.m("bob").forwards
            tried += 1
    assert tried > 12


@pytest.mark.parametrize("who", ["alice", "bob"])
@pytest.mark.parametrize("first", ["upstream", "downstream"])
def test_preimage_is_claimed_on_chain_when_upstream_is_closed_too(who: str, first: str) -> None:
    """Whoever closed it, and whichever was closed first."""
    stage = scenes.forwarded()
    peer = {"alice": "bob", "bob": "alice"}[who]
    pairs = [(who, peer), ("bob", "carol")]
    for one, other in pairs if first == "upstream" else reversed(pairs):
        scenes.close(stage, one, other)
        stage.mine()
    scenes.claim(stage)
    stage.mine(2)
    [inbound] = scenes.core(stage, "bob", "alice").inbound.values()
    assert inbound.preimage
    stage.mine(3)
    assert stage.payment("alice").sent is not None
    scenes.finish(stage)


@pytest.mark.parametrize("is_late", [False, True])
def test_preimage_after_a_failure_is_not_forgotten_with_it(is_late: bool) -> None:
    """A reorganisation lets carol have what she had lost, or the mempool shows it. The failure's acknowledgement waits
    for upstream's disk, or to be written: it must not take the preimage along.
    """
    stage = scenes.forwarded()
    [question] = stage.m("carol").claimables.values()
    preimage = question.preimage
    slot, upstream = stage.slot("bob", "carol"), stage.slot("bob", "alice")
    stage.world.links[("alice", "bob")] = False
    stage.world.cut("alice", "bob")
    scenes.close(stage, "bob", "carol")
    scenes.mine_to(stage, scenes.expiry(stage, "bob", "carol") + 1)
    [spend] = slot.state.core.output_spends
    scenes.mine_to(stage, spend.height + 4)
    assert not slot.state.core.onchain_failed
    if is_late:
        stage["bob"].disk.held[upstream.tail.journal] = None
    stage.mine()
    stage["bob"].disk.held[upstream.tail.journal] = None
    assert list(slot.state.core.onchain_failed) == [0]
    assert bool(slot.ack_outcomes) != is_late
    [outcome] = slot.state.core.outcomes.values()
    assert not outcome.removal.preimage
    [htlc] = scenes.view(slot).by_htlc[0]
    taken = scenes.spend(htlc, witness=(preimage,))
    if is_late:
        scenes.replace(stage, 7, [taken])
    else:
        stage["bob"].run(lambda m: blocks.on_mempool_transactions(m, [taken]))
    while stage["bob"].best != stage.world.chain.tip:
        stage["bob"].see_block()
        stage.world.settle()
    assert slot.state.core.onchain_preimages == {0: preimage}
    # The failure becomes durable, the preimage in upstream's journal does not.
    stage["bob"].disk.held.clear()
    stage["bob"].disk.held[upstream.tail.journal] = None
    while stage["bob"].disk.under_way().get(upstream.tail.journal, 0) > 1:
        stage["bob"].disk.commit(upstream.tail.journal)
        stage.world.settle()
    stage["bob"].runtime.on_second()
    stage.act()
    stage.world.crash("bob", {slot.tail.journal: 9, upstream.tail.journal: 0})
    stage["bob"].disk.held.clear()
    stage["bob"].start()
    stage.act()
    [inbound] = scenes.core(stage, "bob", "alice").inbound.values() or [None]
    assert inbound is not None
    assert inbound.preimage == preimage


# --- timeouts --------------------------------------------------------------------------------------------------------


def test_forward_is_failed_upstream_when_the_timeout_is_deep() -> None:
    """Not before: until then a reorganisation may give it to the peer after all (invariant S8)."""
    stage = scenes.forwarded()
    slot = stage.slot("bob", "carol")
    scenes.close(stage, "bob", "carol")
    scenes.mine_to(stage, scenes.expiry(stage, "bob", "carol") + 1)
    depth = stage.m("bob").config.onchain_failure_depth
    [spend] = slot.state.core.output_spends
    scenes.mine_to(stage, spend.height + depth - 2)
    assert not slot.state.core.onchain_failed
    [inbound] = scenes.core(stage, "bob", "alice").inbound.values()
    assert not inbound.decided()
    stage.mine()
    stage.seconds(2)
    assert list(slot.state.core.onchain_failed) == [0]
    assert not scenes.core(stage, "bob", "alice").inbound
    assert stage.payment("alice").failed is not None
    assert type(stage.slot("alice", "bob").state) is Normal
    scenes.finish(stage)


def test_own_payment_is_failed_when_the_timeout_is_irrevocable() -> None:
    """H163: a payer that had tried again would pay twice; nothing is said before."""
    stage = scenes.held(scenes.direct(), "bob")
    slot = stage.slot("alice", "bob")
    scenes.close(stage, "alice", "bob")
    scenes.mine_to(stage, scenes.expiry(stage, "alice", "bob") + 1)
    [spend] = slot.state.core.output_spends
    scenes.mine_to(stage, spend.height + 98)
    stage.seconds(2)
    assert stage.payment("alice").is_live
    assert stage.payment("alice").parts
    stage.mine()
    stage.seconds(2)
    assert stage.failure("alice")[0] == why.ONCHAIN_TIMEOUT
    assert len(stage.told("alice", ev.PaymentFailed)) == 1
    scenes.finish(stage)


def test_own_payment_goes_another_way_when_the_timeout_is_irrevocable() -> None:
    """Its time is not over: the other channel carries it."""
    stage = scenes.held(scenes.double(), "bob")
    first = next(slot for slot in stage.slots("alice", "bob") if slot.state.core.outbound)
    stage.world.closes_asked[first.channel_id] = True
    index = stage.slots("alice", "bob").index(first)
    scenes.close(stage, "alice", "bob", index)
    [htlc] = first.state.core.outbound.values()
    scenes.mine_to(stage, htlc.add.cltv_expiry + 1)
    [spend] = first.state.core.output_spends
    stage.prompt("bob", "claim")
    scenes.mine_to(stage, spend.height + 99)
    stage.seconds(3)
    assert stage.payment("alice").sent is not None
    scenes.finish(stage)


@pytest.mark.parametrize("who", ["bob", "carol"])
def test_trimmed_htlc_is_failed_when_the_commitment_is_deep(who: str) -> None:
    """It has no output, so nothing else can happen to it."""
    stage = scenes.forwarded(scenes.DUST_MSAT)
    slot = stage.slot("bob", "carol")
    scenes.close(stage, who, {"bob": "carol", "carol": "bob"}[who])
    stage.mine(5)
    assert not slot.state.core.onchain_failed
    stage.mine()
    stage.seconds(2)
    assert list(slot.state.core.onchain_failed) == [0]
    assert stage.payment("alice").failed is not None
    scenes.finish(stage)


def test_htlc_that_the_confirmed_commitment_lacks_is_failed_when_that_is_deep() -> None:
    """H36: bob had signed it for carol, and carol's answer did not come: his own commitment is without it."""
    stage = Stage(scenes.line())
    stage.prompt("carol", "")
    stage.pay("alice", "carol", stage.invoice("carol"), deadline_seconds=scenes.PATIENT)
    slot = stage.slot("bob", "carol")
    while not slot.state.core.remote.htlcs:
        stage.world.perform(stage.world.enabled()[0])
    assert not slot.state.core.local.htlcs
    stage.world.closes_asked[slot.channel_id] = True
    stage.world.links[("bob", "carol")] = False
    stage.world.cut("bob", "carol")
    stage.act()
    scenes.confirm(stage, scenes.commitment_of(stage, "bob", "carol"))
    stage.mine(4)
    assert not slot.state.core.onchain_failed
    stage.mine()
    stage.seconds(2)
    assert list(slot.state.core.onchain_failed) == [0]
    assert stage.payment("alice").failed is not None
    scenes.finish(stage)


def test_htlc_that_waits_in_no_commitment_is_failed_at_once() -> None:
    """H35: it was queued behind another one when the funding output was spent."""
    stage = Stage(scenes.line())
    stage.prompt("carol", "")
    slot = stage.slot("bob", "carol")
    # Its signature waits for the store, and further HTLCs for its revocation.
    stage["bob"].disk.held[slot.tail.journal] = None
    for name in ("one", "two"):
        stage.pay("alice", "carol", stage.invoice("carol", tag=name), name, deadline_seconds=scenes.PATIENT)
    while not (slot.state.session.queued_adds and slot.state.core.outbound):
        stage.world.perform(stage.world.enabled()[0])
    stage.world.closes_asked[slot.channel_id] = True
    waiting = [add.source.index for add in slot.state.session.queued_adds]
    scenes.confirm(stage, scenes.commitment_of(stage, "carol", "bob"))
    stage["bob"].disk.held.clear()
    stage.seconds(2)
    inbound = scenes.core(stage, "bob", "alice").inbound
    assert waiting
    assert not any(htlc_id in inbound for htlc_id in waiting)
    assert inbound, "the one that was signed waits for the chain"
    scenes.finish(stage)


def test_fulfil_wins_over_what_the_chain_says() -> None:
    """H34: carol fulfilled a dust HTLC off chain, and the commitment that confirms has nothing of it."""
    stage = scenes.forwarded(scenes.DUST_MSAT)
    slot = stage.slot("bob", "carol")
    question = stage.question("carol")
    stage.prompt("carol", "claim").on_event(stage.m("carol"), question)
    stage["carol"].run(lambda _m: None)
    while slot.state.core.outbound[0].removal is None:
        stage.world.perform(stage.world.enabled()[0])
    stage.world.closes_asked[slot.channel_id] = True
    stage.world.links[("bob", "carol")] = False
    stage.world.cut("bob", "carol")
    stage.act()
    scenes.confirm(stage, scenes.commitment_of(stage, "bob", "carol"))
    stage.mine(12)
    stage.seconds(2)
    assert not slot.state.core.onchain_failed
    assert stage.payment("alice").sent is not None
    scenes.finish(stage)


def twins(stage: Stage) -> bytes:
    """alice offers two HTLCs that differ in their id alone. Returns their preimage."""
    preimage = sha256(b"twins")
    expiry = stage.m("alice").env.block_height + 60
    built = handmade.onion(stage, [("bob", handmade.final(scenes.AMOUNT_MSAT, expiry, bytes(32)))], sha256(preimage))
    slot = stage.slot("alice", "bob")
    source = HtlcSource(sha256(b"nobody's payment"), 0, forwarded=False)
    add = PendingAdd(scenes.AMOUNT_MSAT, sha256(preimage), expiry, built.packet, source, 0)

    def offer(m: Manager) -> None:
        for _ in range(2):
            m.apply(slot, QueueAdd(add))

    stage["alice"].run(offer)
    return preimage


@pytest.mark.parametrize("taken", [0, 1])
def test_twins_are_told_apart_by_their_ids(taken: int) -> None:
    """H90: equal hash, amount and expiry; the one whose output was taken is fulfilled, the other one waits."""
    stage = Stage(scenes.direct())
    preimage = twins(stage)
    slot = stage.slot("alice", "bob")
    while len(slot.state.core.local.htlcs) < 2:
        stage.world.perform(stage.world.enabled()[0])
    while stage["alice"].disk.under_way():
        stage["alice"].disk.commit(slot.tail.journal)
    scenes.confirm(stage, scenes.commitment_of(stage, "alice", "bob"))
    view = scenes.view(slot)
    [output] = view.by_htlc[taken]
    scenes.confirm(stage, scenes.spend(output, witness=(b"", b"", b"", preimage)))
    core = slot.state.core
    assert core.onchain_preimages == {taken: preimage}
    scenes.mine_to(stage, core.outbound[0].add.cltv_expiry + 2)
    [other] = view.by_htlc[1 - taken]
    assert other.outpoint in view.spenders
    stage.mine(100)
    assert core.onchain_preimages == {taken: preimage}
    assert list(core.onchain_failed) == [1 - taken]


# --- what is told ----------------------------------------------------------------------------------------------------


def test_spendable_outputs_are_told_until_they_are_acknowledged() -> None:
    """H85: by the same id in every life; then never again, and only then may the journal go."""
    stage = Stage(scenes.direct())
    prompt = stage.prompt("alice", "", acknowledges=False)
    slot = scenes.close(stage, "bob", "alice")
    stage.mine(8)
    for lives in (1, 2, 3):
        told = stage.told("alice", ev.SpendableOutputs)
        assert len(told) == lives
        assert len({(one.event_id, one.outputs, one.amount_sat) for one in told}) == 1
        stage.world.restart("alice")
        stage.act()
    stage.mine(300)
    assert slot.tail.journal in [one.journal for one in stage["alice"].disk.journals()]
    prompt.acknowledges = True
    for event in list(stage.m("alice").events.values()):
        stage["alice"].run(lambda m, event=event: prompt.on_event(m, event))  # type: ignore[misc]
    stage.seconds(2)
    before = len(stage.told("alice", ev.SpendableOutputs))
    stage.world.restart("alice")
    stage.act()
    assert len(stage.told("alice", ev.SpendableOutputs)) == before
    scenes.finish(stage)


@pytest.mark.parametrize("restarts", [False, True])
def test_spendable_outputs_are_told_once_whatever_is_undone(*, restarts: bool) -> None:
    """The commitment is undone and mined again: the same outputs by the same id. Another one has outputs of its own."""
    stage = Stage(scenes.direct())
    scenes.close(stage, "bob", "alice")
    stage.mine(8)
    [first] = stage.told("alice", ev.SpendableOutputs)
    stage.world.reorganise(8)
    if restarts:
        stage.world.restart("alice")
    stage.act()
    stage.mine(8)
    assert {one.event_id for one in stage.told("alice", ev.SpendableOutputs)} == {first.event_id}
    core = scenes.core(stage, "alice", "bob")
    assert list(core.spendable) == list(first.outputs)
    other = scenes.commitment_of(stage, "alice", "bob")
    scenes.replace(stage, stage.world.chain.tip.height - other_height(stage) + 1, [other])
    stage.act()
    delay = stage.slot("alice", "bob").state.keys.local_parameters.to_self_delay
    scenes.mine_to(stage, stage.world.chain.tip.height + delay)
    told = stage.told("alice", ev.SpendableOutputs)
    assert len({one.event_id for one in told}) == 2
    assert set(told[-1].outputs).isdisjoint(first.outputs)
    scenes.finish(stage)


def other_height(stage: Stage) -> int:
    """The height of the block that holds the commitment of alice's channel."""
    spent = scenes.core(stage, "alice", "bob").spent
    assert spent is not None
    return spent.height


def test_close_is_told_before_what_was_under_way() -> None:
    """H86: whoever reads the events in their order learns first why a payment ends."""
    stage = scenes.held(scenes.direct(), "bob", scenes.DUST_MSAT)
    scenes.close(stage, "bob", "alice")
    for _ in range(110):
        stage.mine()
    kinds = [type(one.event) for one in stage["alice"].shown]
    assert kinds.index(ev.ChannelClosed) < kinds.index(ev.SpendableOutputs) < kinds.index(ev.PaymentFailed)


# --- restarts --------------------------------------------------------------------------------------------------------


def test_forward_that_the_chain_settled_is_owned_by_nobody_after_a_restart() -> None:
    """The HTLC stays in the journal of the closed channel; what it came from is long settled."""
    stage, claim = shown_on_chain()
    scenes.confirm(stage, claim)
    stage.seconds(2)
    assert stage.payment("alice").sent is not None
    assert not scenes.core(stage, "bob", "carol").outcomes
    stage.world.restart("bob")
    stage.act()
    assert not stage.m("bob").forwards


@pytest.mark.parametrize("is_paid", [False, True])
def test_part_that_the_chain_settled_is_not_in_flight_after_a_restart(is_paid: bool) -> None:
    """P14: it would count against the payment, and name its channel, for ever."""
    stage = scenes.held(scenes.direct(), "bob")
    scenes.close(stage, "alice", "bob")
    stage.mine()
    if is_paid:
        scenes.claim(stage, "bob")
    scenes.mine_to(stage, scenes.expiry(stage, "alice", "bob") + 102)
    stage.seconds(2)
    assert (stage.payment("alice").sent is not None) == is_paid
    stage.world.restart("alice")
    stage.act()
    assert not stage.payment("alice").parts
    scenes.finish(stage)


def test_nothing_is_resolved_of_an_open_channel() -> None:
    """There is no view of it, and nothing of it can be archived."""
    stage = Stage(topologies.direct())
    m, slot = stage.m("alice"), stage.slot("alice", "bob")
    assert outcomes.resolve_now(m, slot) is None
    assert not outcomes.is_finished(m, slot)


# --- several copies --------------------------------------------------------------------------------------------------


def copy_of(stage: Stage, disk: SimDisk, name: str = "bob") -> Manager:
    """A reader of a node's journals as they were on `disk`, at the tip of the chain; it is not the fenced writer."""
    node, chain = stage[name], stage.world.chain
    signer = InMemorySigner(node.seed, REGTEST)
    folded = boot.fold_store(SimStore(disk), signer, REGTEST)
    copy = boot.make_manager(node.config, signer, folded, node.random32)
    best = copy.node.best
    assert best is not None
    for height in range(best.height + 1, chain.tip.height + 1):
        block = chain.block_at(height)
        assert block is not None
        on_block(copy, height, block.hash, block.transactions, block.txids, is_tip=height == chain.tip.height)
    rebuild.start(copy)
    copy.flush()
    for signing in copy.outbox.take_requests():
        answer = copy.signer.answer(signing.request)
        assert answer is not None
        copy.outbox.on_answer(signing, answer)
    copy.flush()
    return copy


def published(m: Manager) -> list[Transaction]:
    """What a copy wants in the chain now, without any store."""
    return [Transaction.parse(one.transaction) for one in m.take_actions() if isinstance(one, Broadcast)]


def test_copy_that_lags_claims_and_never_closes() -> None:
    """H88: it does not know that the channel is to be closed, so it publishes no commitment. Once one is in a block
    both copies claim the same output: one of their transactions can be in a block, whichever it is.
    """
    stage = scenes.forwarded()
    behind = stage["bob"].backup().disk
    slot = scenes.close(stage, "bob", "carol")
    lagging = copy_of(stage, behind)
    assert lagging.channels[slot.channel_id].state.core.closing is None
    assert not published(lagging), "the writer has closed it, the copy has not"
    stage.world.disliked["bob"] = None
    stage.world.left_out.clear()
    scenes.mine_to(stage, scenes.expiry(stage, "bob", "carol") + 1)
    [htlc] = scenes.view(slot).by_htlc[0]
    own = stage.world.chain.pool_spends(htlc.outpoint)
    assert own is not None
    assert [one.prevout for tx in published(copy_of(stage, behind)) for one in tx.inputs] == [htlc.outpoint]
