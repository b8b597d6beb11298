"""What the chain decides of payments, and who hears of it: H34, H36, H37, H76, H81, H82, H84, H86, H90, H163."""

from collections.abc import Callable, Sequence
from functools import partial

import pytest

from leyden.bitcoin.tx import Transaction
from leyden.channel.inputs import ForceClose
from leyden.channel.states import Closed
from leyden.crypto.hashes import sha256
from leyden.journal.batch import StoredJournal
from leyden.manager import archive, claiming, rebuild
from leyden.manager import events as ev
from leyden.manager.state import Slot
from leyden.sim.schedules import Fair, run_to_rest
from leyden.sim.user import Order
from leyden.sim.world import MINER_SCRIPT, World
from tests.hazards import endings, stories
from tests.hazards.endings import core
from tests.hazards.forms import Form, Hazard, every_form, run_in
from tests.hazards.stories import channel, slot_of
from tests.manager.stage import AMOUNT_MSAT, Stage
from tests.sim import acts

UP, DOWN = channel("bob", "alice"), channel("bob", "carol")
LATER_BLOCKS = 2
DEPTH, IRREVOCABLE = 6, 100
JOURNALS = pytest.mark.parametrize("journal", ["alice", "carol"])


def paid(world: World, orders: Sequence[Order]) -> None:
    """The payer was told, and whoever carried it has earned something, once."""
    assert world.nodes["alice"].manager.node.ledger.payments[orders[0].started.payment_id].sent is not None
    assert len({one.event_id for one in stories.told(world, "bob", ev.PaymentForwarded)}) == 1


def failed(world: World, orders: Sequence[Order]) -> None:
    """The payer has it back."""
    assert world.nodes["alice"].manager.node.ledger.payments[orders[0].started.payment_id].failed is not None
    assert not stories.told(world, "bob", ev.PaymentForwarded)


# --- preimages -------------------------------------------------------------------------------------------------------


def taken_on_chain(world: World) -> list[Order]:
    """carol takes it from a channel that bob has closed; the channel in which it came to him is open."""
    orders = stories.ask("alice", "carol", world)
    endings.then_close(world, "bob", "carol")
    endings.then_mine(world, 1)
    endings.then_answer(world, "carol", "claim")
    endings.then_mine(world, 1, DEPTH, LATER_BLOCKS)
    return orders


@every_form
@JOURNALS
def test_preimage_seen_on_chain_is_told_until_it_was_used(form: Form, journal: str) -> None:
    """H76, H84: whichever journal loses its end, and whatever of the block that showed it."""
    hazard = Hazard(
        endings.line, taken_on_chain, "bob", channel("bob", journal), paid, oracles=endings.check_settled
    )  # fmt: skip
    run_in(form, hazard)


def used_on_chain(world: World) -> list[Order]:
    """carol takes it off chain from bob, after he has closed the channel in which it came to him."""
    orders = stories.ask("alice", "carol", world)
    endings.then_close(world, "bob", "alice")
    endings.then_mine(world, 1)
    endings.then_answer(world, "carol", "claim")
    endings.then_mine(world, 1, DEPTH, LATER_BLOCKS)
    return orders


@every_form
@JOURNALS
def test_preimage_is_used_on_the_chain_of_the_channel_it_came_from(form: Form, journal: str) -> None:
    """H37, H77: the decision comes when the channel is closed; it is a record, and a transaction that takes it."""
    hazard = Hazard(endings.line, used_on_chain, "bob", channel("bob", journal), paid, oracles=endings.check_settled)
    run_in(form, hazard)


def fulfilled_and_closed(amount_msat: int, world: World) -> list[Order]:
    """carol has fulfilled off chain; bob closes before anything of it is committed, and she takes nothing."""
    orders = stories.ask("alice", "carol", world, amount_msat)
    stories.answer(world, "carol", "claim")
    inbound = slot_of(world, "bob", "alice").state.core.inbound
    world.deliver_count = 1
    run_to_rest(world, Fair(), lambda _: any(one.preimage for one in inbound.values()))
    world.links.pop(("bob", "carol"))
    world.cut("bob", "carol")
    endings.then_close(world, "bob", "carol")
    endings.then_mine(world, 1, DEPTH, LATER_BLOCKS)
    return orders


@every_form
@pytest.mark.parametrize("amount_msat", [endings.DUST_MSAT, stories.SMALL_MSAT], ids=["dust", "output"])
def test_fulfil_wins_over_what_the_chain_says(form: Form, amount_msat: int) -> None:
    """H34: the preimage was there first; a commitment without the HTLC's output, or its timeout, fails nothing."""

    def check(world: World, orders: Sequence[Order]) -> None:
        # A crash may lose the fulfil before anybody was told: then carol shows it once more, on the chain or never.
        if form.restart and amount_msat == endings.DUST_MSAT and not stories.told(world, "alice", ev.PaymentSent):
            failed(world, orders)
        else:
            paid(world, orders)

    begin = partial(fulfilled_and_closed, amount_msat)
    run_in(form, Hazard(endings.line, begin, "bob", DOWN, check, oracles=endings.check_settled))


# --- failures --------------------------------------------------------------------------------------------------------


def under_way(closer: str) -> Stage:
    """bob has signed an HTLC for carol and nobody has answered; `closer` closes."""
    stage = Stage(endings.line())
    stage.pay("alice", "carol", stage.invoice("carol"), deadline_seconds=endings.PATIENT_SECONDS)
    down = stage.slot("bob", "carol")
    while not (down.state.core.outbound and down.tail.durable == down.tail.position):
        stage.world.perform(next(one for one in stage.world.enabled() if one.node != "carol"))
    endings.part(stage, "bob", "carol")
    endings.close(stage, closer, "bob" if closer == "carol" else "carol")
    return stage


@pytest.mark.parametrize("closer", ["bob", "carol"])
@pytest.mark.parametrize("restarts", [False, True])
def test_htlc_that_is_not_in_the_confirmed_commitment_comes_back_when_that_is_deep(
    closer: str, *, restarts: bool
) -> None:
    """H36: its signature was under way; while another commitment may still confirm it may still be taken."""
    stage = under_way(closer)
    stage.mine(DEPTH - 1)
    [htlc] = core(stage, "bob", "alice").inbound.values()
    assert htlc.failure is None
    assert stage.payment("alice").is_live
    if restarts:
        stage.world.restart("bob")
        stage.act()
        assert stage.payment("alice").is_live
    stage.mine()
    stage.seconds(2)
    assert stage.payment("alice").failed is not None


def test_htlc_of_a_late_signature_that_confirmed_all_the_same_is_waited_for() -> None:
    """H36: the peer has the newer commitment, though we never heard so, and that is the one in a block."""
    stage = Stage(endings.line())
    stage.pay("alice", "carol", stage.invoice("carol"), deadline_seconds=endings.PATIENT_SECONDS)
    theirs = stage.slot("carol", "bob")
    stage["carol"].disk.held[theirs.tail.journal] = None
    before = theirs.state.core.local.number
    while (number := theirs.state.core.local.number) == before:
        stage.world.perform(stage.world.enabled()[0])
    endings.part(stage, "bob", "carol")
    stage["carol"].disk.held.clear()
    assert core(stage, "bob", "carol").remote_prior is not None, "bob has not heard which one it is"
    endings.close(stage, "carol", "bob")
    stage.mine(DEPTH + 2)
    assert core(stage, "bob", "carol").remote.number == number
    assert stage.payment("alice").is_live
    endings.mine_to(stage, endings.expiry(stage, "bob", "carol"))
    stage.mine(DEPTH - 1)
    assert stage.payment("alice").is_live
    stage.mine()
    stage.seconds(2)
    assert stage.payment("alice").failed is not None


def timed_out(world: World) -> list[Order]:
    """carol says nothing; bob closes and takes it back when it has expired."""
    orders = stories.ask("alice", "carol", world)
    [htlc] = slot_of(world, "bob", "carol").state.core.outbound.values()
    endings.then_close(world, "bob", "carol")
    endings.then_mine(world, 1)
    acts.then(world, "expiry", partial(acts.mine_to, world, htlc.add.cltv_expiry))
    endings.then_mine(world, 1, DEPTH - 1, LATER_BLOCKS)
    return orders


@every_form
@JOURNALS
def test_failure_on_chain_comes_back_whichever_journal_is_behind(form: Form, journal: str) -> None:
    """H81, H84: the timeout is deep; each life tells it until the inbound journal has it."""
    run_in(form, Hazard(endings.line, timed_out, "bob", channel("bob", journal), failed, oracles=endings.check_settled))


def test_what_a_start_finds_in_new_blocks_waits_for_its_record() -> None:
    """H81: the timeout became deep while the node was down; upstream hears of it when a crash cannot undo it."""
    stage = endings.held(endings.line(), "carol")
    up, down = stage.slot("bob", "alice"), stage.slot("bob", "carol")
    endings.close(stage, "bob", "carol")
    stage.mine()
    endings.mine_to(stage, endings.expiry(stage, "bob", "carol") + 1)
    stage.world.crash("bob")
    stage.mine(DEPTH)
    stage["bob"].start()
    stage["bob"].disk.held[down.tail.journal] = None
    stage.seconds(3)
    [htlc] = stage.m("bob").channels[up.channel_id].state.core.inbound.values()
    assert stage.m("bob").channels[down.channel_id].state.core.onchain_failed
    assert htlc.failure is None
    stage["bob"].disk.held.clear()
    stage.seconds(3)
    assert stage.payment("alice").failed is not None


def own_payment_timed_out(*, before: Callable[[Stage], None] = lambda _stage: None) -> tuple[Stage, Slot, Slot]:
    """alice's own HTLC was taken back on the chain, in the last block. Returns its channel and the other one, over
    which she would pay again. before: what happens first.
    """
    stage = endings.held(endings.double(), "bob")
    slot, other = sorted(stage.slots("alice", "bob"), key=lambda one: not one.state.core.outbound)
    stage["alice"].run(lambda m: m.guarded(slot, ForceClose("closed by the user")))
    stage.act()
    [htlc] = slot.state.core.outbound.values()
    stage.mine()
    before(stage)
    endings.mine_to(stage, htlc.add.cltv_expiry + 1)
    assert len(slot.state.core.output_spends) == 1
    return stage, slot, other


def mine_to_depth(stage: Stage, slot: Slot, depth: int) -> None:
    """Until what has taken the HTLC is that deep."""
    endings.mine_to(stage, slot.state.core.output_spends[0].height + depth - 1)
    stage.seconds(3)


def test_own_payment_that_failed_on_chain_is_made_again_only_when_that_is_irrevocable() -> None:
    """H163: at the hundredth block it goes over another channel; not at the sixth, nor in another life."""
    stage, slot, other = own_payment_timed_out()
    for depth in (DEPTH, DEPTH + 1, IRREVOCABLE - 1):
        mine_to_depth(stage, slot, depth)
        assert not other.state.core.outbound
        assert stage.payment("alice").parts
    stage.world.restart("alice")
    stage.seconds(3)
    slot, other = [stage.m("alice").channels[one.channel_id] for one in (slot, other)]
    assert not other.state.core.outbound
    mine_to_depth(stage, slot, IRREVOCABLE)
    assert other.state.core.outbound, "made again"


def test_own_payment_that_another_branch_claims_is_made_once() -> None:
    """H163: for fifty blocks it looked failed; in the branch that replaces those its recipient has taken it."""
    success: list[Transaction] = []

    def claimed_and_lost(stage: Stage) -> None:
        endings.claim(stage, "bob")
        success.extend(stage.world.chain.pool.values())
        stage.world.crash("bob")
        stage.world.evict()

    stage, slot, other = own_payment_timed_out(before=claimed_and_lost)
    mine_to_depth(stage, slot, 50)
    chain = stage.world.chain
    chain.reorganise(50, 0, MINER_SCRIPT)
    stage.world.evict()
    chain.mine_block_with(success, MINER_SCRIPT)
    chain.mine(50, MINER_SCRIPT)
    stage.seconds(3)
    assert stage.payment("alice").sent is not None
    stage.mine(IRREVOCABLE)
    stage.seconds(3)
    assert not stage.told("alice", ev.PaymentFailed)
    assert not other.state.core.next_outbound_id


def test_spend_of_an_output_that_no_branch_has_any_more_is_undone_at_the_start() -> None:
    """H84: the channel's journal was ahead of the noted block, and the chain changed while the node was down."""
    stage = endings.held(endings.direct(), "bob")
    endings.close(stage, "alice", "bob")
    stage.mine()
    stage["alice"].disk.held["node"] = None
    endings.claim(stage, "bob")
    stage.mine()
    assert core(stage, "alice", "bob").output_spends
    for name in ("alice", "bob"):
        stage.world.crash(name)
    stage.world.chain.reorganise(1, 0, MINER_SCRIPT)
    stage.world.evict()
    stage.world.chain.mine(3, MINER_SCRIPT)
    stage["alice"].start()
    stage.seconds(2)
    assert not core(stage, "alice", "bob").output_spends
    assert stage.payment("alice").sent is not None, "a preimage is true in every branch"


# --- twins -----------------------------------------------------------------------------------------------------------
def twins(*, dust: bool = False) -> Stage:
    """Two payments of one hash and amount over bob to carol, who was asked about both; bob closes."""
    stage = Stage(endings.line())
    stage.prompt("carol", "")
    preimage = sha256(b"used twice")
    amount_msat = endings.DUST_MSAT if dust else AMOUNT_MSAT
    for tag in ("one", "two"):
        text = stage.invoice("carol", amount_msat, payment_hash=sha256(preimage), tag=tag)
        stage.pay("alice", "carol", text, tag, deadline_seconds=endings.PATIENT_SECONDS)
        stage.seconds(2)
        # The payer's own node would refuse to pay a hash twice; somebody else need not.
        stage.m("alice").node.ledger.hashes.clear()
    assert len(core(stage, "bob", "carol").outbound) == 2
    endings.close(stage, "bob", "carol")
    stage.mine()
    first, _second = [one for one in stage.m("carol").events.values() if isinstance(one, ev.PaymentClaimable)]
    stage["carol"].run(lambda m: claiming.claim_payment(m, first.set_id, preimage))
    stage.act()
    return stage


@pytest.mark.parametrize("restarts", [False, True])
def test_of_two_htlcs_that_are_alike_one_is_taken_and_one_comes_back(*, restarts: bool) -> None:
    """H90: the preimage is known, and in a block; the other HTLC has its own output, its own timeout and end."""
    stage = twins()
    stage.mine()
    if restarts:
        stage.world.restart("bob")
    stage.seconds(2)
    htlcs = core(stage, "bob", "alice").inbound
    assert stage.payment("alice", "one").sent is not None
    assert [bool(one.preimage) for one in htlcs.values()] == [False]
    assert stage.payment("alice", "two").is_live
    mined = core(stage, "bob", "carol").outbound[1].add.cltv_expiry + DEPTH
    endings.mine_to(stage, mined)
    if restarts:
        stage.world.restart("bob")
    stage.seconds(2)
    assert stage.payment("alice", "two").failed is not None
    assert len(stage.told("carol", ev.PaymentClaimed)) == 1
    for name in ("bob", "carol"):
        for outpoint in stage.slot(name, "carol" if name == "bob" else "bob").closed_view.outputs:  # type: ignore[union-attr]
            assert len(endings.published(stage, outpoint)) <= 1


# --- journals that are still asked -----------------------------------------------------------------------------------


def preimage_and_a_hanging_journal() -> tuple[Stage, Slot, Slot]:
    """carol has taken it on the chain, long ago; bob's journal of the channel it came from hangs. Returns his slots."""
    stage = endings.held(endings.line(), "carol")
    up, down = stage.slot("bob", "alice"), stage.slot("bob", "carol")
    endings.close(stage, "bob", "carol")
    stage.mine()
    stage["bob"].disk.held[up.tail.journal] = None
    endings.claim(stage, "carol")
    stage.mine(DEPTH)
    stage.seconds(2)
    return stage, up, down


def test_journal_that_has_seen_a_preimage_stays_until_that_is_used_durably() -> None:
    """H82: all is irrevocably resolved, and swept; the outcome is all that waits, and the next life may need it."""
    stage, up, down = preimage_and_a_hanging_journal()
    for _ in range(3):  # the delay, the sweep, its hundred blocks
        assert down.tail.journal not in stage.m("bob").node.archived
        stage.mine(IRREVOCABLE)
    assert type(down.state) is Closed
    assert archive.is_resolved(stage.m("bob"), down)
    assert down.state.core.outcomes
    stage.world.restart("bob")  # the decision is lost with the crash
    stage.mine(2)
    stage.seconds(2)
    assert stage.payment("alice").sent is not None
    stage.mine(2)
    assert down.tail.journal in stage.m("bob").node.archived, "and now it may go"
    del up


def test_outcome_for_a_channel_that_has_stopped_keeps_its_journal() -> None:
    """H82: our own bug has halted the channel it came from; the life that can act will need the preimage."""
    stage = endings.held(endings.line(), "carol")
    up, down = stage.slot("bob", "alice"), stage.slot("bob", "carol")
    endings.close(stage, "bob", "carol")
    stage.mine()
    stage["bob"].run(lambda m: m.halt(up, object(), ValueError("a bug")))
    endings.claim(stage, "carol")
    for _ in range(4):
        stage.mine(IRREVOCABLE)
        stage.seconds(2)
        assert down.state.core.outcomes
        assert down.tail.journal not in stage.m("bob").node.archived
    assert archive.is_resolved(stage.m("bob"), down)


def test_outcome_comes_behind_the_spend_that_it_follows_from() -> None:
    """H86: whatever a crash leaves of the journal, no decision of the chain stands in it without the close."""
    stage, _up, down = preimage_and_a_hanging_journal()
    [stored] = [one for one in stage["bob"].disk.journals() if one.journal == down.tail.journal]
    kinds: list[tuple[bool, bool]] = []
    for count in range(1, len(stored.records) + 1):
        left = rebuild.fold_channel(
            StoredJournal(stored.journal, stored.position, stored.state, stored.records[:count])
        )
        kinds.append((left.spent is not None, bool(left.onchain_preimages)))
    assert (False, True) not in kinds
    assert kinds[-1] == (True, True)
    told = [shown.event for shown in stage["bob"].shown if isinstance(shown.event, ev.ChannelClosed)]
    assert len(told) == 1
