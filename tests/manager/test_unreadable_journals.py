"""One channel's journal cannot be folded: it is not started, everything else is, and nothing that it may know better is
resolved by guess. With the journal repaired all goes on.
"""

from collections.abc import Callable

import msgspec
import pytest

from leyden.base.errors import CommandRejected
from leyden.channel.states import Normal
from leyden.journal.node_records import PeerStorageKept
from leyden.manager import claiming, sending
from leyden.manager import events as ev
from leyden.manager.state import Slot
from leyden.monitor.resolution import IRREVOCABLE_BLOCKS
from leyden.sim import user
from tests.manager.stage import Stage, payment_id
from tests.sim import topologies

LONG_SECONDS = 100_000


def spoil(stage: Stage, name: str, slot: Slot, kept: dict[str, int] | None = None) -> Callable[[], None]:
    """Start a node again with one journal that cannot be folded; the returned function repairs it."""
    stage.world.crash(name, kept)
    disk, journal = stage[name].disk, slot.tail.journal
    whole = disk._kept[journal]
    disk._kept[journal] = msgspec.structs.replace(whole, records=[*whole.records[:-1], b"\xc0damage"])
    stage[name].start()
    stage.world.settle()

    def repair() -> None:
        stage.world.crash(name)
        disk._kept[journal] = whole
        stage[name].reports.clear()
        stage[name].start()
        stage.world.settle()

    return repair


def test_all_other_channels_start_and_the_alarm_names_it() -> None:
    """A damaged journal costs its channel, and only while it is damaged."""
    stage = Stage(topologies.line())
    slot = stage.slot("bob", "carol")
    repair = spoil(stage, "bob", slot)
    stage.act()
    bob = stage["bob"]
    assert list(bob.manager.channels) == [stage.slot("bob", "alice").channel_id]
    assert list(bob.manager.unreadable) == [slot.channel_id]
    assert any(slot.tail.journal in one.text and one.level == "error" for one in bob.reports)
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.rest()
    assert stage.payment("alice").sent is not None
    assert type(stage.slot("carol", "bob").state) is Normal
    assert not any("sent an error" in one.text for one in stage["carol"].reports), "as of one that we do not know"
    repair()
    stage.check()
    stage.pay("alice", "carol", stage.invoice("carol", tag="two"), "two")
    stage.check()
    assert stage.payment("alice", "two").sent is not None


def test_htlc_that_it_may_carry_is_left_alone() -> None:
    """bob has forwarded over the journal that he cannot read: he neither forwards again nor fails."""
    stage = Stage(topologies.line("carol"))
    stage.prompt("carol", "")
    stage.pay("alice", "carol", stage.invoice("carol"), deadline_seconds=LONG_SECONDS)
    stage.act()
    slot = stage.slot("bob", "carol")
    assert slot.state.core.outbound
    repair = spoil(stage, "bob", slot)
    stage.seconds(30)
    inbound = stage.slot("bob", "alice").state.core.inbound
    assert [htlc.decided() for htlc in inbound.values()] == [False]
    question = stage.question("carol")
    stage["carol"].run(lambda m: claiming.claim_payment(m, question.set_id, b""))
    stage.seconds(5)
    repair()
    stage.prompt("carol", "claim")
    stage.check()
    assert stage.payment("alice").sent is not None


@pytest.mark.parametrize("fails", [False, True])
def test_outcome_for_it_is_kept_until_it_can_act(fails: bool) -> None:
    """Its own HTLC was fulfilled or failed further on: the news waits in the other journal."""
    stage = Stage(topologies.line("carol"))
    stage.prompt("carol", "")
    stage.pay("alice", "carol", stage.invoice("carol"), deadline_seconds=LONG_SECONDS)
    stage.act()
    repair = spoil(stage, "bob", stage.slot("bob", "alice"))
    stage.seconds(2)
    answer = claiming.fail_payment if fails else lambda m, set_id: claiming.claim_payment(m, set_id, b"")
    question = stage.question("carol")
    stage["carol"].run(lambda m: answer(m, question.set_id))
    stage.seconds(5)
    stage.world.restart("bob")
    stage.seconds(5)
    assert stage.slot("bob", "carol").state.core.outcomes
    repair()
    stage.prompt("carol", "claim")
    stage.check()
    assert (stage.payment("alice").sent is None) is fails


@pytest.mark.parametrize("kept", [0, 1])
def test_claim_with_a_part_in_it_is_neither_released_nor_given_up(kept: int) -> None:
    """Nobody can tell whether that part has the claim: no fulfil, and no deadline."""
    stage = Stage(topologies.double("bob"))
    stage.prompt("bob", "")
    stage.pay("alice", "bob", stage.invoice("bob", 700_000_000), deadline_seconds=LONG_SECONDS)
    stage.act()
    question = stage.question("bob")
    stage["bob"].run(lambda m: claiming.claim_payment(m, question.set_id, b""))
    one, other = stage.slots("bob", "alice")
    repair = spoil(stage, "bob", one, {other.tail.journal: 1, one.tail.journal: kept})
    stage.seconds(10)
    here = stage.slot("bob", "alice").state.core
    assert here.claims
    assert not any(htlc.removing for htlc in here.inbound.values())
    assert not stage.told("bob", ev.PaymentClaimed)
    stage.mine(40)
    assert here.claims
    assert not any(htlc.failure for htlc in here.inbound.values())
    repair()
    stage.prompt("bob", "claim")
    stage.seconds(5)
    if kept:
        assert len(stage.told("bob", ev.PaymentClaimed)) == 1
        stage.check()
    else:
        assert not stage.told("bob", ev.PaymentClaimed), "too late for the other part"


def test_claim_that_was_whole_before_is_told() -> None:
    """`node` says that all parts had it."""
    stage = Stage(topologies.double("bob"))
    stage.prompt("bob", "claim", acknowledges=False)
    stage.pay("alice", "bob", stage.invoice("bob", 700_000_000))
    stage.act()
    assert stage.told("bob", ev.PaymentClaimed)
    repair = spoil(stage, "bob", stage.slot("bob", "alice", 1))
    stage.act()
    assert len(stage.told("bob", ev.PaymentClaimed)) == 2
    repair()
    prompt = stage.prompt("bob", "claim")
    for event in list(stage.m("bob").events.values()):
        stage["bob"].run(lambda m, one=event: prompt.on_event(m, one))  # type: ignore[misc]
    stage.check()


def test_payment_under_way_is_neither_continued_nor_failed() -> None:
    """A part of it may be in the journal that nobody can read; a new payment goes its way."""
    stage = Stage(topologies.diamond("dave"))
    stage.prompt("dave", "")
    text = stage.invoice("dave")
    stage.pay("alice", "dave", text, deadline_seconds=5)
    stage.act()
    [part] = stage.payment("alice").parts.values()
    repair = spoil(stage, "alice", stage.m("alice").channels[part.channel_id])
    stage.seconds(30)
    assert stage.payment("alice").is_live
    assert not stage.payment("alice").parts
    assert not any(slot.state.core.outbound for slot in stage.m("alice").channels.values())
    with pytest.raises(CommandRejected, match="being paid already"):
        stage.pay("alice", "dave", text, "again")
    stage.orders.pop()
    repair()
    stage.act()
    question = stage.question("dave")
    stage["dave"].run(lambda m: claiming.claim_payment(m, question.set_id, b""))
    stage.prompt("dave", "claim")
    stage.check()
    assert stage.payment("alice").sent is not None


def test_nothing_is_forgotten_that_it_may_name() -> None:
    """Old payments, blobs, closed channels, the best block: all stay until it can be read."""
    stage = Stage(topologies.line())
    stage.pay("bob", "carol", stage.invoice("carol"))
    stage.rest()
    closing = stage.slot("bob", "alice")
    user.close_channel(stage["bob"], closing)
    stage.act()
    stage.mine(10)
    stage.seconds(2)
    repair = spoil(stage, "bob", stage.slot("bob", "carol"))
    m = stage.m("bob")
    m.record(PeerStorageKept(b"p" * 33, b"blob"))
    best = m.node.best
    stage.mine(IRREVOCABLE_BLOCKS)
    m.now_seconds += m.config.payment_retention_seconds + 1
    sending.forget_old(m)
    stage["bob"].run(lambda _m: None)
    stage.act()
    assert list(m.channels) == [closing.channel_id]
    assert m.node.best == best
    assert m.node.storage
    assert payment_id("one") in m.node.ledger.payments
    repair()
    stage.act()
    stage.mine()
    assert closing.channel_id not in stage.m("bob").channels
    assert not stage.m("bob").node.storage


def test_mark_keeps_what_it_knows_of_it() -> None:
    """It is no old copy, and the next mark must not forget how far it had come."""
    stage = Stage(topologies.direct())
    slot = stage.slot("alice", "bob")
    spoil(stage, "alice", slot)
    stage.world.tick(3)
    alice = stage["alice"]
    assert alice.mark is not None
    assert alice.mark.positions[slot.tail.journal] == slot.tail.position
    assert not any("old copy" in one.text for one in alice.reports)
