"""Forwarding, what comes back and what does not: H21 to H40, H143, H152."""

from collections.abc import Sequence
from functools import partial

import pytest

from leyden.manager import events as ev
from leyden.manager import forwarding
from leyden.sim.handler import Prompt
from leyden.sim.user import Order
from leyden.sim.world import World
from leyden.sphinx.failures import FailureCode
from tests.hazards import stories
from tests.hazards.forms import Form, Hazard, every_form, run_in
from tests.hazards.stories import channel, forwarded_once, slot_of
from tests.hazards.witness import durable_cores
from tests.manager.stage import Stage
from tests.manager.test_handoff import answer, under_way
from tests.sim import topologies

UP, DOWN = channel("bob", "alice"), channel("bob", "carol")


@every_form
def test_preimage_reaches_the_payer_whichever_journal_is_behind(form: Form) -> None:
    """H21, H22, H29, H30, H143: with the inbound journal behind, or all others, one HTLC goes on and is paid for."""
    begin = partial(stories.pay, "alice", "carol")
    run_in(form, Hazard(topologies.line, begin, "bob", UP, forwarded_once))


@every_form
def test_forward_is_owned_whichever_journal_is_behind(form: Form) -> None:
    """H30, H31: the same with the outbound journal: never offered twice, never failed early."""
    begin = partial(stories.pay, "alice", "carol")
    run_in(form, Hazard(topologies.line, begin, "bob", DOWN, forwarded_once))


def answered(what: str, world: World) -> list[Order]:
    """A payment that has long been forwarded is answered by carol's user now."""
    orders = stories.ask("alice", "carol", world)
    stories.answer(world, "carol", what)
    return orders


@every_form
def test_claim_that_comes_late_settles_what_it_came_from(form: Form) -> None:
    """H33: the onion is long forgotten, only the source of the outbound HTLC says whom the preimage is for."""
    begin = partial(answered, "claim")
    run_in(form, Hazard(partial(topologies.line, "carol"), begin, "bob", UP, forwarded_once))


def failed_back(world: World, orders: Sequence[Order]) -> None:
    """The payer got it back, with the failure of the recipient."""
    stories.carried_once(world, orders)
    payment = world.nodes["alice"].manager.node.ledger.payments[orders[0].started.payment_id]
    assert payment.failed is not None
    assert (payment.failed.code, payment.failed.hop) == (FailureCode.INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS.value, 1)


@every_form
def test_failure_comes_back_whichever_journal_is_behind(form: Form) -> None:
    """H32, H38: known to the outbound channel alone, it fails the inbound HTLC once, with the bytes of the record."""
    begin = partial(stories.fail, "alice", "carol")
    run_in(form, Hazard(topologies.line, begin, "bob", UP, failed_back))


@every_form
def test_failure_that_comes_late_fails_what_it_came_from(form: Form) -> None:
    """H33: gone from the outbound channel without a preimage means failed, and nothing else does."""
    begin = partial(answered, "fail")
    run_in(form, Hazard(partial(topologies.line, "carol"), begin, "bob", DOWN, failed_back))


def paid_and_untold(world: World) -> list[Order]:
    """bob's user is done with no event."""
    world.nodes["bob"].application = Prompt("", acknowledges=False)
    return stories.pay("alice", "carol", world)


@every_form
def test_what_a_forward_earned_is_told_until_acknowledged(form: Form) -> None:
    """H28: at least once, by one id; the inbound journal owes it when both HTLCs are long gone."""

    def settle(world: World) -> None:
        told = stories.told(world, "bob", ev.PaymentForwarded)
        world.restart("bob", world.nodes["bob"].disk.under_way())
        assert stories.told(world, "bob", ev.PaymentForwarded) == [*told, told[-1]]
        stories.answer(world, "bob", "")

    run_in(form, Hazard(topologies.line, paid_and_untold, "bob", UP, forwarded_once, settle))


@pytest.mark.parametrize("restarts", range(4))
def test_replay_that_is_cut_short_is_replayed_again(restarts: int) -> None:
    """H27: each life writes the fulfil anew, each dies before it is durable; the outcome waits for the next."""
    stage = under_way()
    answer(stage, "claim")
    inbound = stage.slot("bob", "alice").tail.journal
    stage["bob"].disk.held[inbound] = None
    stage.act()
    for _ in range(restarts):
        waiting = stage["bob"].disk.under_way()
        stage.world.restart("bob", {name: count for name, count in waiting.items() if name != inbound})
        stage["bob"].disk.held[inbound] = None
        stage.seconds(2)
        [htlc] = stage.slot("bob", "alice").state.core.inbound.values()
        assert htlc.preimage, "decided in every life"
        assert stage.slot("bob", "carol").state.core.outcomes, "and not forgotten in any"
    stage["bob"].disk.held.clear()
    stage.check()
    assert stage.payment("alice").sent is not None


@pytest.mark.parametrize("restart", ["", "=", "<"])
@pytest.mark.parametrize("closed", ["alice", "carol"])
@pytest.mark.parametrize("first", [False, True], ids=["closed after", "closed before"])
def test_preimage_is_kept_for_a_channel_that_is_closed(first: bool, closed: str, restart: str) -> None:
    """H22, H26: whichever channel closes, the decision is durable before the outcome is forgotten."""
    stage = under_way()
    up, down = stage.slot("bob", "alice"), stage.slot("bob", "carol")
    if first and closed == "alice":
        stories.close_by_force(stage.world, "bob", "alice")
        stage.seconds(2)
    stage["bob"].disk.held[up.tail.journal] = None
    answer(stage, "claim")
    while not durable_cores(stage["bob"])[down.channel_id].outcomes:
        stage.world.perform(stage.world.enabled()[0])
    if not (first and closed == "alice"):
        stories.close_by_force(stage.world, "bob", closed)
    stage.seconds(3)
    assert durable_cores(stage["bob"])[down.channel_id].outcomes
    if restart:
        waiting = stage["bob"].disk.under_way()
        lost = {name: count for name, count in waiting.items() if name != up.tail.journal}
        stage.world.restart("bob", waiting if restart == "=" else lost)
    stage["bob"].disk.held.clear()
    stage.seconds(3)
    cores = durable_cores(stage["bob"])
    if htlcs := cores[up.channel_id].inbound:
        assert htlcs[0].preimage
    else:
        assert stage.payment("alice").sent is not None
    assert not cores[down.channel_id].outcomes


def test_htlc_that_waits_in_a_channel_that_closes_is_failed_back() -> None:
    """H35: never signed, so nothing of it is anywhere on chain: its source gets it back at once."""
    stage = Stage(topologies.line())
    bob, down = stage["bob"], stage.slot("bob", "carol")
    stage.pay("bob", "carol", stage.invoice("carol", tag="first"), "first")
    while not down.state.core.awaiting_revocation:
        stage.world.perform(next(one for one in stage.world.enabled() if one.node == "bob"))
    bob.disk.held[down.tail.journal] = None
    stage.pay("alice", "carol", stage.invoice("carol"))
    stage.act()
    assert down.state.session.queued_adds
    stories.close_by_force(stage.world, "bob", "carol")
    stage.act()
    assert stage.failure("alice")[:2] == ("route_failed", FailureCode.PERMANENT_CHANNEL_FAILURE)
    assert not stage.m("bob").forwards


@pytest.mark.parametrize("held", ["alice", "carol"])
def test_slow_channel_is_not_taken_for_a_dead_one(held: str) -> None:
    """H40: an HTLC waits for the record in front of it as long as the disk takes; nobody is told of a failure."""
    stage = Stage(topologies.line())
    stage["bob"].disk.held[stage.slot("bob", held).tail.journal] = None
    stage.pay("alice", "carol", stage.invoice("carol"), deadline_seconds=stories.PATIENT)
    stage.seconds(3 * forwarding.HOLD_SECONDS)
    assert stage.payment("alice").is_live
    assert not [htlc for htlc in slot_of(stage.world, "bob", "alice").state.core.inbound.values() if htlc.failure]
    stage["bob"].disk.held.clear()
    stage.check()
    assert stage.payment("alice").sent is not None


def test_what_waits_for_the_disk_when_a_channel_closes_is_decided_all_the_same() -> None:
    """H37: a failure and a fulfil that are under way when the inbound channel is closed are records, not intentions."""
    stage = under_way()
    up = stage.slot("bob", "alice")
    stage["bob"].disk.held[up.tail.journal] = None
    answer(stage, "fail")
    stage.act()
    stories.close_by_force(stage.world, "bob", "alice")
    stage.act()
    assert not stage.world.broadcasts, "nothing overtakes what waits"
    stage["bob"].disk.held.clear()
    stage.act()
    [htlc] = durable_cores(stage["bob"])[up.channel_id].inbound.values()
    assert htlc.failure is not None
    assert stage.world.broadcasts
