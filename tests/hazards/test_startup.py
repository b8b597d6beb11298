"""Starting from journals of which each ended somewhere else: H99 to H109, H141, H144, H147, H154, H156, H157."""

from functools import partial

import pytest

from leyden.crypto.hashes import sha256
from leyden.journal.node_records import JournalArchived
from leyden.manager import claiming
from leyden.manager import events as ev
from leyden.sim.disk import SimDisk
from leyden.wire.channel_type import CommitmentFormat
from tests.hazards import stories
from tests.hazards.forms import Hazard, run_with_two_crashes
from tests.hazards.stories import channel, slot_of
from tests.manager.stage import AMOUNT_MSAT, Stage
from tests.sim import topologies

UP, DOWN = channel("bob", "alice"), channel("bob", "carol")


@pytest.mark.parametrize("this", [UP, DOWN], ids=["inbound", "outbound"])
def test_second_crash_in_the_recovery_of_a_forward(this: object) -> None:
    """H101, H105: what the first start found done and had not followed up is found again by the second."""
    begin = partial(stories.pay, "alice", "carol")
    run_with_two_crashes(Hazard(topologies.line, begin, "bob", this, stories.forwarded_once))  # type: ignore[arg-type]


def test_second_crash_in_the_recovery_of_a_claim() -> None:
    """H101, H105: a claim that one start has carried to half of its parts is carried on by the next."""
    begin = partial(stories.pay_two_parts, "alice", "bob")
    check = stories.claimed_once("bob", 2)
    run_with_two_crashes(Hazard(topologies.double, begin, "bob", channel("bob", "alice"), check))


def test_second_crash_in_the_recovery_of_a_payment() -> None:
    """H101, H105: the payer's journal and its channel's each lose their end, twice."""
    begin = partial(stories.fail, "alice", "bob")
    run_with_two_crashes(Hazard(topologies.direct, begin, "alice", lambda _world: "node"))


@pytest.mark.parametrize("name", ["alice", "bob", "carol"])
def test_start_changes_nothing_that_is_not_a_record(name: str) -> None:
    """H104: what is in memory after a start is the fold of the disk and of what the start has written."""
    stage = Stage(topologies.line("carol"))
    stories.ask("alice", "carol", stage.world)
    stage.world.restart(name)
    node = stage[name]
    disk: SimDisk = node.disk.copy()
    positions = {one.journal: one.position + len(one.records) for one in disk.journals()}
    for slot in node.manager.channels.values():
        assert slot.state.core.position == slot.tail.position
        assert slot.tail.position - positions[slot.tail.journal] == node.disk.under_way().get(slot.tail.journal, 0)
    assert not any(one.state.core.events for one in node.manager.channels.values())
    stories.answer(stage.world, "carol", "claim")
    stage.orders = []
    stage.rest()


def test_nothing_happens_before_every_journal_is_folded_and_the_chain_is_at_its_tip() -> None:
    """H103, H108: timers and peers meet a node that only follows the chain; its first act comes after that."""
    stage = Stage(topologies.line("carol"))
    stories.ask("alice", "carol", stage.world)
    stage.mine(2)
    stage.world.crash("bob")
    stage.world.mine(3)
    stage["bob"].start(sync=False)
    assert not stage["bob"].meets_peers
    positions = {tail.journal: tail.position for tail in stage["bob"].runtime.outbox.tails.values()}
    for _ in range(3):
        stage.world.tick()
    assert {tail.journal: tail.position for tail in stage["bob"].runtime.outbox.tails.values()} == positions
    assert not stage.m("bob").is_started
    stage["bob"].sync()
    assert stage.m("bob").is_started
    assert stage["bob"].meets_peers
    assert stage.m("bob").forwards


def test_payment_past_its_deadline_is_not_ended_before_its_parts_are_known() -> None:
    """H103, H147: only the start finds out what is in flight; until then no deadline counts."""
    stage = Stage(topologies.direct("bob"))
    stage.prompt("bob", "")
    stage.pay("alice", "bob", stage.invoice("bob"), deadline_seconds=30)
    stage.seconds(3)
    stage.world.crash("alice")
    stage.seconds(60)
    stage.world.mine()
    stage["alice"].start(sync=False)
    stage.world.tick(3)
    assert stage.payment("alice").is_live
    stories.answer(stage.world, "bob", "claim")
    stage.check()
    assert stage.payment("alice").sent is not None


def first_way() -> tuple[str, str]:
    """Over whom alice pays dave, and over whom else: both ways cost the same, and transaction ids decide."""
    stage = Stage(topologies.diamond("dave"))
    stage.prompt("dave", "")
    stage.pay("alice", "dave", stage.invoice("dave"), deadline_seconds=stories.PATIENT)
    stage.act()
    return ("bob", "carol") if slot_of(stage.world, "alice", "bob").state.core.outbound else ("carol", "bob")


@pytest.mark.parametrize("kept", [0, 1])
def test_old_failure_does_not_touch_the_new_attempt(kept: int) -> None:
    """H154: a part failed and was replaced; its outcome is told again after a crash: the new part stays in flight."""
    first, second = first_way()
    stage = Stage(topologies.diamond("dave"))
    stage.prompt("dave", "")
    stage.world.links[(first, "dave")] = False
    stage.world.cut(first, "dave")
    stage.act()
    stage.pay("alice", "dave", stage.invoice("dave"), deadline_seconds=stories.PATIENT)
    stage.act()
    over_first = slot_of(stage.world, "alice", first)
    assert over_first.state.core.outbound
    journal = over_first.tail.journal
    while not over_first.state.core.outcomes:
        stage.seconds(1)
    while "node" in stage["alice"].disk.under_way():
        stage["alice"].disk.commit("node")
        stage.world.settle()
    stage["alice"].disk.held[journal] = None
    stage.seconds(3)
    over_second = slot_of(stage.world, "alice", second)
    assert over_second.state.core.outbound
    waiting = stage["alice"].disk.under_way()
    stage.world.restart("alice", waiting if kept else {name: n for name, n in waiting.items() if name != journal})
    stage.seconds(5)
    assert stage.payment("alice").is_live
    assert [part.channel_id for part in stage.payment("alice").parts.values()] == [over_second.channel_id]
    assert slot_of(stage.world, "alice", second).state.core.next_outbound_id == 1
    assert slot_of(stage.world, "alice", first).state.core.next_outbound_id == 1
    stage.world.links[(first, "dave")] = True
    stories.answer(stage.world, "dave", "claim")
    stage.check()
    assert stage.payment("alice").sent is not None


@pytest.mark.parametrize("restarts", [False, True])
def test_preimage_of_our_own_payment_does_not_take_what_we_forward(restarts: bool) -> None:
    """H156: bob is paid with a hash that he also carries to carol: he claims his own HTLC and not the other."""
    stage = Stage(topologies.line())
    preimage = sha256(b"known to bob")
    for name in ("bob", "carol"):
        stage.prompt(name, "")
    stage.pay("alice", "carol", stage.invoice("carol", payment_hash=sha256(preimage)), "through",
              deadline_seconds=stories.PATIENT)  # fmt: skip
    stage.seconds(3)
    stage.m("alice").node.ledger.hashes.clear()
    stage.pay("alice", "bob", stage.invoice("bob", payment_hash=sha256(preimage)), "own",
              deadline_seconds=stories.PATIENT)  # fmt: skip
    stage.seconds(3)
    set_id = stage.question("bob").set_id
    stage["bob"].run(lambda m: claiming.claim_payment(m, set_id, preimage))
    stage.seconds(3)
    if restarts:
        stage.world.restart("bob")
        stage.seconds(3)
    [forwarded] = stage.slot("bob", "alice").state.core.inbound.values()
    assert not forwarded.decided()
    assert stage.payment("alice", "own").sent is not None
    assert stage.payment("alice", "through").is_live
    ledger = stage.m("alice").node.ledger
    ledger.hashes[sha256(preimage)] = [order.started.payment_id for order in stage.orders]
    stories.answer(stage.world, "carol", "fail")
    stage.seconds(3)
    assert stage.payment("alice", "through").failed is not None
    assert [one.amount_msat for one in stage.told("bob", ev.PaymentClaimed)][-1] == AMOUNT_MSAT


@pytest.mark.parametrize("what", ["claim", "fail"])
def test_outcome_for_an_archived_channel_is_done(what: str) -> None:
    """H91: the inbound journal is gone, and `node` knows it: the start goes on, and the outcome is forgotten."""
    stage = Stage(topologies.line("carol"))
    stories.ask("alice", "carol", stage.world)
    up = stage.slot("bob", "alice")
    stage["bob"].run(lambda m: m.record(JournalArchived(up.tail.journal)))
    stage.act()
    stage.world.crash("bob")
    del stage["bob"].disk._kept[up.tail.journal]
    stage.world.links[("alice", "bob")] = False
    stage["bob"].start()
    stories.answer(stage.world, "carol", what)
    stage.seconds(5)
    down = stage.slot("bob", "carol")
    assert not down.state.core.outcomes
    assert not down.state.core.outbound
    assert not down.halted
    assert not stage.m("bob").faults
    assert list(stage.m("bob").channels) == [down.channel_id]


def test_no_channel_needs_a_nonce_that_must_not_be_used_twice() -> None:
    """H157: both formats sign by ECDSA; a taproot format brings nonces, and must say where they are kept."""
    assert {one.name for one in CommitmentFormat} == {"STATIC_REMOTEKEY", "ANCHORS"}
