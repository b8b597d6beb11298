"""The hand-off rule between journals: act behind the fact, forget behind the act, twice is once (P7, P8, P9)."""

import pytest

from leyden.journal.records import ProvenStale
from leyden.manager import events as ev
from leyden.manager import handoff
from leyden.sphinx.failures import FailureCode
from leyden.wire.messages import UpdateFailHtlc, decode
from tests.manager.stage import AMOUNT_MSAT, Stage, payment_id
from tests.sim import topologies


def under_way() -> Stage:
    """A forwarded payment that waits for carol's user."""
    stage = Stage(topologies.line("carol"))
    stage.prompt("carol", "")
    stage.pay("alice", "carol", stage.invoice("carol"), deadline_seconds=100_000)
    stage.seconds(3)
    return stage


def test_acknowledged_event_is_not_told_again_before_that_is_written() -> None:
    """Acknowledgements are lazy; another event of the channel may become durable meanwhile (a random world's find)."""
    stage = Stage(topologies.line())
    stage.prompt("bob", "", acknowledges=False)
    stage.pay("alice", "carol", stage.invoice("carol"))
    stage.act()
    [forwarded] = stage.told("bob", ev.PaymentForwarded)
    handoff.acknowledge_event(stage.m("bob"), forwarded.event_id)
    handoff.raise_events_again(stage.m("bob"), stage.slot("bob", "alice"))
    stage["bob"].runtime.turn()
    stage["bob"].run(lambda _m: None)
    stage.rest()
    assert len(stage.told("bob", ev.PaymentForwarded)) == 1
    assert not stage.slot("bob", "alice").state.session.events_shown, "what is written is forgotten here too"


def answer(stage: Stage, what: str) -> None:
    """Carol's user answers; everything else is up to the test."""
    stage.prompt("carol", what).on_event(stage.m("carol"), stage.question("carol"))
    stage["carol"].run(lambda _m: None)


def test_outcome_is_forgotten_only_behind_the_durable_decision() -> None:
    """The inbound journal hangs: its decision may be lost, so the outbound journal must still know (invariant P8)."""
    stage = under_way()
    inbound, outbound = stage.slot("bob", "alice"), stage.slot("bob", "carol")
    stage["bob"].disk.held[inbound.tail.journal] = None
    answer(stage, "fail")
    stage.seconds(5)
    assert list(outbound.state.core.outcomes) == [0]
    [htlc] = inbound.state.core.inbound.values()
    assert htlc.failure is not None
    stage.world.restart("bob")
    stage.check()
    assert stage.failure("alice")[1] is FailureCode.INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS
    assert not stage.slot("bob", "carol").state.core.outcomes


def test_outcome_of_an_own_part_is_forgotten_only_behind_the_record_in_node() -> None:
    """Exactly like a forward, with `node` in the place of the inbound channel."""
    stage = Stage(topologies.direct("bob"))
    stage.prompt("bob", "")
    stage.pay("alice", "bob", stage.invoice("bob"), deadline_seconds=100_000)
    stage.seconds(3)
    stage["alice"].disk.held["node"] = None
    stage.prompt("bob", "fail").on_event(stage.m("bob"), stage.question("bob"))
    stage["bob"].run(lambda _m: None)
    stage.seconds(5)
    assert list(stage.slot("alice", "bob").state.core.outcomes) == [0]
    assert not stage.told("alice", ev.PaymentFailed), "told when it is durable"
    stage.world.restart("alice")
    stage.check()
    assert len(stage.told("alice", ev.PaymentFailed)) == 1


def test_outcome_is_acted_on_only_when_it_is_durable() -> None:
    """A failure that a crash would take back must not have failed the inbound HTLC (invariant P7)."""
    stage = under_way()
    inbound, outbound = stage.slot("bob", "alice"), stage.slot("bob", "carol")
    stage["bob"].disk.held[outbound.tail.journal] = None
    answer(stage, "fail")
    stage.seconds(5)
    [htlc] = inbound.state.core.inbound.values()
    assert not htlc.decided()
    stage["bob"].disk.held.clear()
    stage.check()


def test_preimage_settles_the_inbound_htlc_at_once_and_shows_no_event_before_its_record() -> None:
    """The one exception: it makes nobody poorer, and it is told only behind the durable decision (invariant P12)."""
    stage = under_way()
    inbound, outbound = stage.slot("bob", "alice"), stage.slot("bob", "carol")
    answer(stage, "claim")
    stage["bob"].disk.held[inbound.tail.journal] = None
    stage["bob"].disk.held[outbound.tail.journal] = None
    stage.act()
    [htlc] = inbound.state.core.inbound.values()
    assert htlc.preimage, "decided with the peer's update, before its signature is durable"
    assert not stage.told("bob", ev.PaymentForwarded)
    assert stage.payment("alice").is_live
    stage["bob"].disk.held.clear()
    stage.check()
    assert len(stage.told("bob", ev.PaymentForwarded)) == 1


def test_own_payment_is_told_only_behind_its_record() -> None:
    """The preimage is known, the proof is not stored yet."""
    stage = Stage(topologies.direct("bob"))
    stage.prompt("bob", "")
    stage.pay("alice", "bob", stage.invoice("bob"), deadline_seconds=100_000)
    stage.seconds(3)
    stage["alice"].disk.held["node"] = None
    stage.prompt("bob", "claim").on_event(stage.m("bob"), stage.question("bob"))
    stage["bob"].run(lambda _m: None)
    stage.seconds(3)
    assert stage.payment("alice").sent is not None
    assert not stage.told("alice", ev.PaymentSent)
    stage["alice"].disk.held.clear()
    stage.check()
    assert len(stage.told("alice", ev.PaymentSent)) == 1


def test_outcome_of_an_unknown_payment_is_acknowledged() -> None:
    """Ids are never used twice, so unknown means done: it is neither rebuilt nor retried (invariant P9)."""
    stage = Stage(topologies.direct("bob"))
    stage.prompt("bob", "")
    stage.pay("alice", "bob", stage.invoice("bob"), deadline_seconds=100_000)
    stage.seconds(3)
    ledger = stage.m("alice").node.ledger
    payment = ledger.payments.pop(payment_id("one"))
    ledger.live.pop(payment_id("one"))
    stage.prompt("bob", "fail").on_event(stage.m("bob"), stage.question("bob"))
    stage["bob"].run(lambda _m: None)
    stage.seconds(5)
    assert payment.is_live
    assert not stage.slot("alice", "bob").state.core.outcomes
    assert not stage.slot("alice", "bob").state.core.outbound
    assert not stage.told("alice", ev.PaymentFailed)


def test_outcome_whose_acknowledgement_was_lost_is_handled_again_without_harm() -> None:
    """The payment has ended and is told again by its own id; no second attempt is made."""
    stage = Stage(topologies.direct("bob"))
    stage.prompt("bob", "")
    stage.pay("alice", "bob", stage.invoice("bob"), deadline_seconds=100_000)
    stage.seconds(3)
    slot = stage.slot("alice", "bob")
    stage.prompt("bob", "fail").on_event(stage.m("bob"), stage.question("bob"))
    stage["bob"].run(lambda _m: None)
    stage.act()
    assert stage.told("alice", ev.PaymentFailed)
    assert list(slot.state.core.outcomes) == [0], "not acknowledged yet"
    stage.world.restart("alice")
    stage.check()
    assert stage.slot("alice", "bob").state.core.next_outbound_id == 1
    assert len({one.event_id for one in stage.told("alice", ev.PaymentFailed)}) == 1


def _failure_packets(stage: Stage) -> list[bytes]:
    if ("alice", "bob") not in stage.world.connections:
        return []
    waiting = stage.world.end_of("alice", "bob").arrived
    messages = [decode(raw) for raw in waiting if raw is not None]
    return [one.reason for one in messages if isinstance(one, UpdateFailHtlc)]


def test_failure_packet_is_the_same_in_every_life() -> None:
    """The peer may have seen it; another packet would not be what was signed (invariant P5)."""
    stage = under_way()
    answer(stage, "fail")
    packets: list[bytes] = []
    for _ in range(3):
        while not _failure_packets(stage):
            stage.world.perform(stage.world.enabled()[0])
        packets += _failure_packets(stage)
        stage.world.restart("bob")
    assert len(packets) == 3
    assert len(set(packets)) == 1
    stage.check()


def test_act_in_a_halted_channel_is_left_to_the_next_life() -> None:
    """A halted channel takes no record, so nothing that waits for one may be forgotten."""
    stage = under_way()
    inbound, outbound = stage.slot("bob", "alice"), stage.slot("bob", "carol")
    inbound.halted = "planted"
    answer(stage, "fail")
    stage.seconds(5)
    assert list(outbound.state.core.outcomes) == [0]
    stage.world.restart("bob")
    stage.check()
    assert stage.payment("alice").failed is not None


@pytest.mark.parametrize("life", ["same", "next"])
def test_acknowledging_what_is_unknown_is_fine(life: str) -> None:
    """A handler may be late, or repeat itself."""
    stage = Stage(topologies.direct())
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.rest()
    if life == "next":
        stage.world.restart("alice")
    for event_id in (stage.told("alice", ev.PaymentSent)[0].event_id, "nonsense"):
        stage["alice"].run(lambda m, one=event_id: handoff.acknowledge_event(m, one))  # type: ignore[misc]
    stage.check()


def test_forwarded_event_tells_what_both_ends_paid() -> None:
    """The user keeps books with it: at least once, with an id of its own."""
    stage = under_way()
    stage.prompt("bob", "", acknowledges=False)
    answer(stage, "claim")
    stage.seconds(3)
    stage.world.restart("bob")
    stage.prompt("bob", "")
    stage.seconds(3)
    told = stage.told("bob", ev.PaymentForwarded)
    assert len(told) == 2
    assert told[0] == told[1]
    assert told[0].inbound_amount_msat - told[0].outbound_amount_msat == told[0].fee_msat
    assert told[0].outbound_amount_msat == AMOUNT_MSAT
    for event_id in list(stage.m("bob").events):
        stage["bob"].run(lambda m, one=event_id: handoff.acknowledge_event(m, one))  # type: ignore[misc]
    stage.check()


def test_acknowledged_event_of_a_channel_is_not_told_again_before_that_is_written() -> None:
    """The same for what a channel itself has to tell."""
    stage = Stage(topologies.direct())
    stage.prompt("alice", "", acknowledges=False)
    slot = stage.slot("alice", "bob")
    stage["alice"].run(lambda m: m.learn(slot, ProvenStale(9)))
    stage.act()
    [lost] = stage.told("alice", ev.ChannelDataLoss)
    handoff.acknowledge_event(stage.m("alice"), lost.event_id)
    handoff.raise_events_again(stage.m("alice"), slot)
    stage["alice"].runtime.turn()
    stage.act()
    assert len(stage.told("alice", ev.ChannelDataLoss)) == 1
