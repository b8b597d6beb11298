"""Signatures that never left, and what becomes of the HTLCs they would have offered (invariant P18, hazard H161)."""

from collections.abc import Callable
from functools import cache

import msgspec
import pytest

from leyden.channel.states import Normal
from leyden.journal.codec import decode_record
from leyden.journal.records import ForwardingPolicy, Withdrawn
from leyden.manager import events as ev
from leyden.manager.channel_updates import set_policy
from leyden.manager.forwarding import HOLD_SECONDS
from leyden.manager.onchain import outcomes
from leyden.manager.withdrawing import WITHDRAW_SECONDS
from leyden.sim.oracles import check_rest
from leyden.sim.scenario import combinations
from leyden.sphinx.failures import FailureCode
from tests.manager.onchain import scenes
from tests.manager.stage import Stage
from tests.sim import topologies

LONG_SECONDS = 100_000


def withdrawn(stage: Stage, name: str) -> int:
    """How often a node has taken a signature back, durably."""
    return sum(
        isinstance(decode_record(raw), Withdrawn)
        for stored in stage[name].disk.journals()
        if stored.journal != "node"
        for raw in stored.records
    )


def lost_before_it_left(stage: Stage, name: str, peer: str, begin: Callable[[], object]) -> None:
    """Begin something over a slow journal, and lose the peer, for now for good, before the signature has left."""
    slot = stage.slot(name, peer)
    stage[name].disk.held[slot.tail.journal] = None
    begin()
    stage.act()
    assert slot.state.core.own_signed.adds
    assert slot.tail.unsent == slot.state.core.remote.number
    _close(stage, name, peer)
    stage[name].disk.held.clear()
    stage.act()


def _close(stage: Stage, name: str, peer: str) -> None:
    link = (name, peer) if (name, peer) in stage.world.links else (peer, name)
    stage.world.links[link] = False
    stage.world.cut(name, peer)


def _open(stage: Stage) -> None:
    for link in stage.world.links:
        stage.world.links[link] = True


def two_ways() -> Stage:
    """alice reaches dave over bob, and for more over carol: of two ways that cost the same the ids would decide."""
    stage = Stage(topologies.diamond())
    dearer = ForwardingPolicy(2000, 100, 72, 1)
    stage["carol"].run(lambda m: set_policy(m, stage.slot("carol", "dave"), dearer))
    return stage.rest()


def over_two_ways() -> Stage:
    """alice has signed a payment for one of her two peers, which went away before it left."""
    stage = two_ways()
    lost_before_it_left(
        stage, "alice", "bob", lambda: stage.pay("alice", "dave", stage.invoice("dave"), deadline_seconds=LONG_SECONDS)
    )
    return stage


def over_a_forwarder() -> Stage:
    """bob has signed alice's HTLC on to carol, who went away before it left."""
    stage = Stage(topologies.line())
    lost_before_it_left(
        stage, "bob", "carol", lambda: stage.pay("alice", "carol", stage.invoice("carol"), deadline_seconds=30)
    )
    return stage


def test_payment_takes_another_way() -> None:
    """The peer that stays away has never heard of it, so it is free (in the same life)."""
    stage = over_two_ways()
    assert [part.channel_id for part in stage.payment("alice").parts.values()] == [
        stage.slot("alice", "bob").channel_id
    ]
    stage.seconds(WITHDRAW_SECONDS - 2)
    assert withdrawn(stage, "alice") == 0
    stage.seconds(4)
    assert withdrawn(stage, "alice") == 1
    assert stage.told("alice", ev.PaymentSent)
    assert not stage.slot("alice", "bob").state.core.outbound
    _open(stage)
    stage.check()


def test_forward_fails_back_instead_of_waiting_for_its_expiry() -> None:
    """It waits once more for the peer, like one that was never signed; the channel is as good as before."""
    stage = over_a_forwarder()
    stage.seconds(WITHDRAW_SECONDS + HOLD_SECONDS + 3)
    assert withdrawn(stage, "bob") == 1
    assert stage.failure("alice")[1] == FailureCode.TEMPORARY_CHANNEL_FAILURE
    _open(stage)
    stage.check()
    stage.pay("alice", "carol", stage.invoice("carol", tag="two"), "two")
    stage.check()
    assert stage.payment("alice", "two").sent is not None


def test_forward_goes_on_when_its_peer_comes_back_in_time() -> None:
    """Taken back or not, it is carried on once."""
    for seconds in (3, WITHDRAW_SECONDS + 3):
        stage = over_a_forwarder()
        stage.seconds(seconds)
        _open(stage)
        stage.check()
        assert stage.payment("alice").sent is not None
        assert withdrawn(stage, "bob") == (seconds > WITHDRAW_SECONDS)
        assert len(stage.told("carol", ev.PaymentClaimed)) == 1


def test_slow_store_alone_takes_nothing_back() -> None:
    """The peer is here and gets it as soon as it may leave; only when it goes its time begins."""
    stage = two_ways()
    slot = stage.slot("alice", "bob")
    stage["alice"].disk.held[slot.tail.journal] = None
    stage.pay("alice", "dave", stage.invoice("dave"), deadline_seconds=LONG_SECONDS)
    stage.seconds(2 * WITHDRAW_SECONDS)
    assert slot.state.core.own_signed.adds
    _close(stage, "alice", "bob")
    stage["alice"].disk.held.clear()
    stage.seconds(WITHDRAW_SECONDS + 2)
    assert withdrawn(stage, "alice") == 1
    _open(stage)
    stage.check()


@pytest.mark.parametrize("arrives", [False, True])
def test_signature_that_left_stays(arrives: bool) -> None:
    """Whether it arrived nobody knows: it is kept, and sent again."""
    stage = two_ways()
    slot = stage.slot("alice", "bob")
    stage.pay("alice", "dave", stage.invoice("dave"), deadline_seconds=LONG_SECONDS)
    while not slot.state.core.own_signed.adds or slot.tail.unsent:
        stage.world.perform(stage.world.enabled()[0])
    if arrives:
        stage.world.end_of("bob", "alice").deliver(100)
    _close(stage, "alice", "bob")
    stage.seconds(4 * WITHDRAW_SECONDS)
    assert withdrawn(stage, "alice") == 0
    assert slot.state.core.outbound
    _open(stage)
    stage.check()
    assert len(stage.told("dave", ev.PaymentClaimed)) == 1


def test_signature_of_an_earlier_life_stays() -> None:
    """Nobody knows any more whether it left."""
    stage = over_two_ways()
    stage.world.restart("alice")
    stage.seconds(4 * WITHDRAW_SECONDS)
    assert withdrawn(stage, "alice") == 0
    assert stage.slot("alice", "bob").state.core.outbound
    _open(stage)
    stage.check()
    assert stage.payment("alice").sent is not None


def test_signature_that_is_sent_on_a_later_connection_stays() -> None:
    """The first connection was lost before it left, the second one after."""
    stage = over_two_ways()
    slot = stage.slot("alice", "bob")
    _open(stage)
    while slot.tail.unsent:
        stage.world.perform(stage.world.enabled()[0])
    _close(stage, "alice", "bob")
    stage.seconds(3 * WITHDRAW_SECONDS)
    assert withdrawn(stage, "alice") == 0
    _open(stage)
    stage.check()
    assert len(stage.told("dave", ev.PaymentClaimed)) == 1


@pytest.mark.parametrize("make", [over_two_ways, over_a_forwarder])
def test_sources_return_when_the_withdrawal_is_durable(make: Callable[[], Stage]) -> None:
    """A crash before that brings the signature back, and with it the first owner."""
    stage = make()
    name, peer = ("alice", "bob") if make is over_two_ways else ("bob", "carol")
    slot = stage.slot(name, peer)
    stage[name].disk.held[slot.tail.journal] = None
    stage.seconds(WITHDRAW_SECONDS + HOLD_SECONDS + 3)
    assert not slot.state.core.outbound
    assert withdrawn(stage, name) == 0
    if name == "alice":
        assert list(stage.payment("alice").parts) == [0]
    else:
        assert list(stage.m("bob").forwards.values()) == [slot.channel_id]
    assert not stage.m(name).held_forwards
    stage.world.restart(name)
    assert stage.slot(name, peer).state.core.outbound
    _open(stage)
    stage.check()
    assert stage.payment("alice").sent is not None


def preimage_of_the_forward() -> bytes:
    """Return what `over_a_forwarder` could learn."""
    stage = Stage(topologies.line())
    stage.pay("alice", "carol", stage.invoice("carol"), deadline_seconds=30)
    stage.rest()
    sent = stage.payment("alice").sent
    assert sent is not None
    return sent.preimage


def test_preimage_that_was_seen_goes_upstream_before_its_id_is_given_again() -> None:
    """Outcomes are kept by id. The HTLC that has the id then is another one: it fails like any that is refused."""
    preimage = preimage_of_the_forward()
    stage = over_a_forwarder()
    slot, upstream = stage.slot("bob", "carol"), stage.slot("bob", "alice").tail.journal
    [htlc_id] = slot.state.core.outbound
    stage["bob"].disk.held[upstream] = None
    stage["bob"].run(lambda m: outcomes.learn_preimages(m, slot, {htlc_id: preimage}))
    stage.seconds(WITHDRAW_SECONDS + 3)
    assert slot.state.core.onchain_preimages == {htlc_id: preimage}
    assert withdrawn(stage, "bob") == 0
    stage["bob"].disk.held.clear()
    stage.seconds(3)
    assert withdrawn(stage, "bob") == 1
    assert stage.payment("alice").sent is not None
    core = slot.state.core
    assert not any((core.outbound, core.outcomes, core.onchain_preimages))
    carol = stage.m("carol")
    carol.config = msgspec.structs.replace(carol.config, auto_claim=False)
    stage.prompt("carol", "fail")
    _open(stage)
    stage.pay("alice", "carol", stage.invoice("carol", tag="next"), "next")
    stage.rest()
    assert core.next_outbound_id == htlc_id + 1
    assert stage.payment("alice", "next").failed is not None
    assert not scenes.core(stage, "bob", "alice").inbound


# --- crashes ---------------------------------------------------------------------------------------------------------


@cache
def _steps(make: Callable[[], Stage], name: str) -> list[dict[str, int]]:
    """What is under way at a node before each step of an undisturbed run, seconds included."""
    stage = make()
    seen: list[dict[str, int]] = []
    _run(stage, lambda: seen.append(stage[name].disk.under_way()))
    return seen


def _run(stage: Stage, before_each: Callable[[], object]) -> None:
    until = stage.world.clock.now_seconds + WITHDRAW_SECONDS + HOLD_SECONDS + 4
    while stage.world.clock.now_seconds < until:
        while enabled := stage.world.enabled():
            before_each()
            stage.world.perform(enabled[0])
        stage.world.tick()


@pytest.mark.parametrize(
    ("make", "name"),
    [(over_two_ways, "alice"), (over_a_forwarder, "bob"), (over_a_forwarder, "alice")],
)
def test_any_crash_around_a_withdrawal_loses_nothing(make: Callable[[], Stage], name: str) -> None:
    """Before, in and after the record, with every prefix: one way at most has the HTLC, and nothing closes."""
    plan = _steps(make, name)
    assert len(plan) > 10
    for step, under_way in enumerate(plan):
        for kept in combinations(under_way):
            stage = make()
            count = 0

            def crash_here() -> None:
                nonlocal count
                if count == step:  # noqa: B023 - used in this turn of the loop only
                    stage.world.restart(name, dict(kept))  # noqa: B023
                count += 1

            _run_until_crash(stage, crash_here, lambda: count > step)  # noqa: B023
            _open(stage)
            stage.rest()
            check_rest(stage.world, stage.books, stage.orders)
            for node in stage.world.nodes.values():
                assert all(type(slot.state) is Normal for slot in node.manager.channels.values())


def _run_until_crash(stage: Stage, before_each: Callable[[], object], is_over: Callable[[], bool]) -> None:
    while not is_over():
        while (enabled := stage.world.enabled()) and not is_over():
            before_each()
            if not is_over():
                stage.world.perform(enabled[0])
        if not is_over():
            stage.world.tick()
