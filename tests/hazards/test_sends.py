"""Own payments: H41 to H50, H153, H154."""

from collections.abc import Sequence
from functools import partial
from typing import get_args

import pytest

from leyden.base.errors import CommandRejected
from leyden.manager import events as ev
from leyden.manager import sending
from leyden.manager.events import Event
from leyden.sim import user
from leyden.sim.user import Order
from leyden.sim.world import World
from tests.hazards import stories
from tests.hazards.forms import Form, Hazard, every_form, run_in
from tests.hazards.stories import channel, slot_of
from tests.manager.stage import Stage, payment_id
from tests.manager.test_claiming import asked
from tests.sim import topologies


def offered_once(world: World, orders: Sequence[Order]) -> None:
    """One HTLC left alice, ever; she was told of one end by one id."""
    del orders
    assert slot_of(world, "alice", "bob").state.core.next_outbound_id == 1
    assert slot_of(world, "bob", "alice").state.core.next_inbound_id == 1
    ends = [*stories.told(world, "alice", ev.PaymentSent), *stories.told(world, "alice", ev.PaymentFailed)]
    assert len({one.event_id for one in ends}) == 1


@every_form
def test_payment_is_made_once_whatever_node_remembers(form: Form) -> None:
    """H42, H43, H45, H48: the node journal behind the channel's, or before it: one HTLC, one end, told the same way."""
    begin = partial(stories.pay, "alice", "bob")
    run_in(form, Hazard(topologies.direct, begin, "alice", lambda _world: "node", offered_once))


@every_form
def test_payment_fails_once_whatever_node_remembers(form: Form) -> None:
    """H48, H49, H154: an outcome stays with its channel until the payment's own journal has it, and counts once."""
    begin = partial(stories.fail, "alice", "bob")
    run_in(form, Hazard(topologies.direct, begin, "alice", lambda _world: "node", offered_once))


@every_form
def test_parts_of_a_payment_are_sent_once(form: Form) -> None:
    """H41, H43: two channels of one payment with either journal behind; nothing is offered again."""

    def check(world: World, orders: Sequence[Order]) -> None:
        stories.claimed_once("bob", 2)(world, orders)
        assert [slot_of(world, "alice", "bob", index).state.core.next_outbound_id for index in (0, 1)] == [1, 1]

    begin = partial(stories.pay_two_parts, "alice", "bob")
    run_in(form, Hazard(topologies.double, begin, "alice", channel("alice", "bob"), check))


@pytest.mark.parametrize("past_deadline", [False, True])
def test_part_whose_record_is_under_way_is_in_flight(past_deadline: bool) -> None:
    """H41: not durable is no failure: it is not offered over the other channel, and the payment does not end."""
    stage = Stage(topologies.double())
    for slot in stage.slots("alice", "bob"):
        stage["alice"].disk.held[slot.tail.journal] = None
    stage.pay("alice", "bob", stage.invoice("bob"), deadline_seconds=30)
    stage.seconds(40 if past_deadline else 10)
    assert sum([slot.state.core.next_outbound_id for slot in stage.slots("alice", "bob")]) == 1
    assert stage.payment("alice").is_live
    stage["alice"].disk.held.clear()
    stage.check()
    assert stage.payment("alice").sent is not None


@pytest.mark.parametrize("kept", [False, True])
def test_invoice_that_is_being_paid_is_refused_in_the_next_life(kept: bool) -> None:
    """H44: whatever the crash took from the channel, a second payment of the invoice is not begun beside the first."""
    stage = asked()
    text = stage.orders[0].started.invoice
    stage.world.restart("alice", stage["alice"].disk.under_way() if kept else {})
    again = user.invoice_payment(stage["alice"], text, payment_id("again"))
    with pytest.raises(CommandRejected) as refused:
        sending.start_payment(stage.m("alice"), again, None)
    assert refused.value.code == "payment_in_progress"
    same = stage.orders[0].started
    with pytest.raises(CommandRejected) as refused:
        sending.start_payment(stage.m("alice"), same, None)
    assert refused.value.code == "duplicate_payment_id"
    stories.answer(stage.world, "bob", "claim")
    stage.check()


@pytest.mark.parametrize("restarts", [0, 1, 2])
def test_abandoned_payment_ends_in_any_life(restarts: int) -> None:
    """H47: the wish to give it up may be lost with the crash, the HTLC is not: it ends, and it is told."""
    stage = asked()
    stage["alice"].run(lambda m: sending.abandon_payment(m, payment_id("one")))
    for _ in range(restarts):
        stage.world.restart("alice")
        stage.seconds(2)
        assert stage.payment("alice").is_live
        assert stage.payment("alice").parts
    stories.answer(stage.world, "bob", "fail")
    stage.check()
    assert stage.payment("alice").failed is not None
    assert len({one.event_id for one in stage.told("alice", ev.PaymentFailed)}) == 1


OWED = {
    ev.PaymentClaimable, ev.PaymentClaimed, ev.PaymentClaimAbandoned, ev.PaymentSent, ev.PaymentFailed,
    ev.PaymentForwarded, ev.ChannelReady, ev.ChannelClosed, ev.ChannelDataLoss, ev.SpendableOutputs,
}  # fmt: skip
"""What a journal owes until it is acknowledged or answered."""
OF_THIS_LIFE = {ev.OpenRefused, ev.StoreBehind, ev.StoreRecovered}
"""Told in the life in which it happens: what it says can be asked for, and nothing of ours waits for it."""


def test_every_event_is_owed_by_a_journal_or_belongs_to_a_life() -> None:
    """H50: a new event must be put into one of the two lists, with a test that it comes again."""
    assert set(get_args(Event)) == OWED | OF_THIS_LIFE
