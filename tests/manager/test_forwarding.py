"""What a forwarder does with HTLCs that are not for it, and what the payer learns of it."""

from collections.abc import Callable

import msgspec
import pytest

from leyden.channel import limits
from leyden.channel.effects import AddRefused
from leyden.channel.inputs import ForceClose, PendingAdd, SetPolicy, StartShutdown
from leyden.journal.records import ForwardingPolicy, FundingSpent, HtlcSource, ProvenStale
from leyden.manager import events as ev
from leyden.manager import forwarding
from leyden.sphinx.failures import FailureCode
from tests.manager.stage import AMOUNT_MSAT, DELTA, Stage
from tests.sim import topologies

FEE_MSAT = 1000 + AMOUNT_MSAT * 100 // 1_000_000
"""What bob asks for forwarding AMOUNT_MSAT."""
BOB = 0
"""The first hop of a route, as failures name it."""


def over_bob(
    stage: Stage, *, fee_msat: int = FEE_MSAT, delta: int = DELTA, scid: int = 0, final_delta: int = 60
) -> None:
    """Alice pays carol over bob, with these terms."""
    height = stage.m("alice").env.block_height
    final = height + final_delta
    stage.route(
        "alice",
        stage.invoice("carol"),
        [
            (stage.scid("alice", "bob"), "bob", AMOUNT_MSAT + fee_msat, final + delta),
            (scid or stage.scid("bob", "carol"), "carol", AMOUNT_MSAT, final),
        ],
    )


def test_forwarded_payment_arrives_and_earns_its_fee() -> None:
    """The payer pays what the hint asks, the forwarder keeps exactly that, and tells its user."""
    stage = Stage(topologies.line())
    stage.pay("alice", "carol", stage.invoice("carol"))
    stage.check()
    [sent] = stage.told("alice", ev.PaymentSent)
    assert sent.fee_msat == FEE_MSAT
    [forwarded] = stage.told("bob", ev.PaymentForwarded)
    assert (forwarded.fee_msat, forwarded.outbound_amount_msat) == (FEE_MSAT, AMOUNT_MSAT)
    assert forwarded.inbound_channel_id == stage.slot("bob", "alice").channel_id
    assert forwarded.outbound_channel_id == stage.slot("bob", "carol").channel_id


def test_route_with_the_exact_terms_is_forwarded() -> None:
    """The refusals below are about the smallest step beyond these."""
    stage = Stage(topologies.line())
    over_bob(stage)
    stage.check()
    assert stage.told("carol", ev.PaymentClaimed)


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ({"scid": 12345}, FailureCode.UNKNOWN_NEXT_PEER),
        ({"fee_msat": FEE_MSAT - 1}, FailureCode.FEE_INSUFFICIENT),
        ({"delta": DELTA - 1}, FailureCode.INCORRECT_CLTV_EXPIRY),
        ({"final_delta": 3}, FailureCode.EXPIRY_TOO_SOON),
        ({"final_delta": 2016 - DELTA + 1}, FailureCode.EXPIRY_TOO_FAR),
    ],
)
def test_terms_that_are_not_met_fail_at_the_forwarder(terms: dict[str, int], code: FailureCode) -> None:
    """The payer learns which node refused and why, so that it can try another way."""
    stage = Stage(topologies.line())
    over_bob(stage, **terms)
    stage.check()
    assert stage.failure("alice") == ("route_failed", code, BOB)
    assert not stage.told("carol", ev.PaymentClaimed)


def test_amount_below_the_minimum_of_the_channel() -> None:
    """An HTLC smaller than the policy allows is not offered on."""
    stage = Stage(topologies.line())
    policy = ForwardingPolicy(1000, 100, DELTA, AMOUNT_MSAT + 1)
    stage["bob"].run(lambda m: m.apply(stage.slot("bob", "carol"), SetPolicy(policy, m.now_seconds)))
    stage.rest()
    over_bob(stage)
    stage.check()
    assert stage.failure("alice") == ("route_failed", FailureCode.AMOUNT_BELOW_MINIMUM, BOB)


def _spend_all(stage: Stage) -> None:
    """Bob's side of the channel to carol is nearly empty."""
    left = stage.slot("bob", "carol").state.core.local.local_msat
    stage.pay("bob", "carol", stage.invoice("carol", left - 40_000_000, tag="all"), "all")
    stage.rest()


def _disconnect(stage: Stage) -> None:
    stage.world.links[("bob", "carol")] = False
    stage.world.cut("bob", "carol")
    stage.act()


def _behind(stage: Stage) -> None:
    stage.m("bob").config = msgspec.structs.replace(stage.m("bob").config, unacknowledged_events_max=0)


def _shut_down(stage: Stage) -> None:
    slot = stage.slot("bob", "carol")
    _disconnect(stage)  # so that the closing is not finished
    script = stage["bob"].manager.signer.shutdown_script_pubkey()
    stage["bob"].run(lambda m: m.apply(slot, StartShutdown(script, 1000)))
    stage.act()


def _force_closed(stage: Stage) -> None:
    slot = stage.slot("bob", "carol")
    _disconnect(stage)
    stage["bob"].run(lambda m: m.apply(slot, ForceClose("closed by the user")))
    stage.act()


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (_spend_all, FailureCode.TEMPORARY_CHANNEL_FAILURE),
        (_disconnect, FailureCode.TEMPORARY_CHANNEL_FAILURE),
        (_shut_down, FailureCode.TEMPORARY_CHANNEL_FAILURE),
        (_force_closed, FailureCode.PERMANENT_CHANNEL_FAILURE),
        (_behind, FailureCode.TEMPORARY_NODE_FAILURE),
    ],
)
def test_channel_that_cannot_carry_it(trouble: Callable[[Stage], None], code: FailureCode) -> None:
    """A forward that cannot be offered fails back soon; it does not wait until its expiry closes a channel."""
    stage = Stage(topologies.line())
    trouble(stage)
    over_bob(stage)
    stage.act()
    stage.seconds(forwarding.HOLD_SECONDS + 1)
    stage.act()
    assert stage.failure("alice") == ("route_failed", code, BOB)
    assert not stage.slot("bob", "alice").state.core.inbound
    assert not stage.m("bob").forwards


def test_forward_waits_a_little_for_a_peer_that_is_away() -> None:
    """A router that restarts meets one peer before the other: that must not cost anybody a payment."""
    stage = Stage(topologies.line())
    _disconnect(stage)
    over_bob(stage)
    stage.act()
    stage.seconds(forwarding.HOLD_SECONDS // 2)
    stage.act()
    assert stage.payment("alice").is_live
    assert stage.m("bob").held_forwards
    stage.world.links[("bob", "carol")] = True
    stage.check()
    assert stage.payment("alice").sent is not None
    assert not stage.m("bob").held_forwards


def test_another_channel_to_the_same_peer_carries_it() -> None:
    """The onion names a peer by one of its channels; any other one will do (BOLT 4, "Non-strict Forwarding")."""
    base = topologies.make([("alice", "bob"), ("bob", "carol"), ("bob", "carol")])
    stage = Stage(base)
    named = stage.scid("bob", "carol", 0)
    first = stage.slot("bob", "carol", 0)
    left = first.state.core.local.local_msat
    stage.pay("bob", "carol", stage.invoice("carol", 400_000_000, tag="fill"), "fill")
    stage.rest()
    used = [slot for slot in stage.slots("bob", "carol") if slot.state.core.local.local_msat < left]
    assert used, "one channel is nearly empty"
    named = used[0].state.core.local_alias
    amount = 200_000_000
    fee = 1000 + amount * 100 // 1_000_000
    final = stage.m("alice").env.block_height + 60
    stage.route(
        "alice",
        stage.invoice("carol", amount),
        [(0, "bob", amount + fee, final + DELTA), (named, "carol", amount, final)],
    )
    stage.check()
    [forwarded] = stage.told("bob", ev.PaymentForwarded)
    assert forwarded.outbound_channel_id != used[0].channel_id


def test_failure_of_the_recipient_comes_back_through_the_forwarder() -> None:
    """The payer reads who failed, though the forwarder wrapped it, and though the payer crashed meanwhile."""
    stage = Stage(topologies.line("carol"))
    stage.prompt("carol", "")
    stage.pay("alice", "carol", stage.invoice("carol"), deadline_seconds=1000)
    stage.seconds(2)
    stage.world.restart("alice")
    stage.world.restart("bob")
    stage.seconds(2)
    stage.prompt("carol", "fail").on_event(stage.m("carol"), stage.question("carol"))
    stage["carol"].run(lambda _m: None)
    stage.check()
    assert stage.failure("alice") == ("recipient_rejected", FailureCode.INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS, 1)


def test_connection_lost_while_the_add_waits_fails_it_back() -> None:
    """An add that was queued and never signed has left nothing: its source is free to fail (invariant P17)."""
    stage = Stage(topologies.line())
    bob = stage["bob"]
    outbound = stage.slot("bob", "carol")
    bob.disk.held[outbound.tail.journal] = None
    # The first one is signed, and its answer never comes; the second one waits behind it.
    over_bob(stage)
    stage.act()
    stage.pay("alice", "carol", stage.invoice("carol", tag="two"), "two")
    stage.act()
    assert outbound.state.session.queued_adds
    assert outbound.state.core.own_signed.adds
    _disconnect(stage)
    bob.disk.held.clear()
    stage.act()
    stage.seconds(forwarding.HOLD_SECONDS + 1)
    stage.act()
    assert stage.failure("alice", "two")[1:] == (FailureCode.TEMPORARY_CHANNEL_FAILURE, BOB)
    assert stage.payment("alice").is_live, "what was signed stays owned"
    stage.world.links[("bob", "carol")] = True
    stage.check()
    assert stage.payment("alice").sent is not None


def test_add_that_comes_back_to_a_channel_that_is_left_to_the_chain_goes_nowhere() -> None:
    """It was queued before the proof came that its source may be settled already."""
    stage = Stage(topologies.line())
    bob, slot, outbound = stage["bob"], stage.slot("bob", "alice"), stage.slot("bob", "carol")
    bob.disk.held[outbound.tail.journal] = None
    over_bob(stage)
    stage.act()
    stage.pay("alice", "carol", stage.invoice("carol", tag="two"), "two")
    stage.act()
    assert outbound.state.session.queued_adds
    bob.run(lambda m: m.learn(slot, ProvenStale(9)))
    stage.act()
    _disconnect(stage)
    bob.disk.held.clear()
    stage.act()
    assert not stage.m("bob").held_forwards
    stage.seconds(forwarding.HOLD_SECONDS + 1)
    assert [htlc.decided() for htlc in slot.state.core.inbound.values()] == [False, False]


def test_forward_waits_until_its_own_record_is_durable() -> None:
    """Y acts only once the fact is durable in X: nothing is offered on before (invariant P7)."""
    stage = Stage(topologies.line())
    inbound = stage.slot("bob", "alice")
    outbound = stage.slot("bob", "carol")
    over_bob(stage)
    while not any(htlc.committed for htlc in inbound.state.core.inbound.values()):
        stage.world.perform(stage.world.enabled()[0])
    stage["bob"].disk.held[inbound.tail.journal] = None
    stage.act()
    assert not outbound.state.core.outbound
    assert not outbound.state.session.queued_adds
    stage["bob"].disk.held.clear()
    stage.check()


@pytest.mark.parametrize("end", [ProvenStale(9), FundingSpent(b"t", 9, b"b" * 32)])
def test_nothing_is_forwarded_for_a_channel_that_is_left_to_the_chain(end: ProvenStale | FundingSpent) -> None:
    """Its HTLC may have been settled already, or is claimed there; what is paid on would never come back."""
    stage = Stage(topologies.line())
    slot = stage.slot("bob", "alice")
    over_bob(stage)
    while not any(htlc.committed for htlc in slot.state.core.inbound.values()):
        stage.world.perform(stage.world.enabled()[0])
    stage["bob"].run(lambda m: m.learn(slot, end))
    stage.seconds(forwarding.HOLD_SECONDS + 2)
    assert [htlc.decided() for htlc in slot.state.core.inbound.values()] == [False]
    assert not stage.slot("bob", "carol").state.core.outbound
    assert not stage.m("bob").held_forwards


def test_onion_is_kept_until_the_outbound_add_is_durable() -> None:
    """X forgets the onion only once Y owns the HTLC durably (invariant P8); a crash before that offers it again."""
    stage = Stage(topologies.line("carol"))
    stage.prompt("carol", "")
    inbound, outbound = stage.slot("bob", "alice"), stage.slot("bob", "carol")
    over_bob(stage)
    while not outbound.state.core.outbound:
        stage.world.perform(stage.world.enabled()[0])
    stage["bob"].disk.held[outbound.tail.journal] = None
    stage.act()
    for _ in range(3):
        stage.world.tick()
    [htlc] = inbound.state.core.inbound.values()
    assert not htlc.handed_off
    stage["bob"].disk.held.clear()
    stage.seconds(3)
    assert htlc.handed_off
    assert len(htlc.shared_secret) == 32
    [claimable] = stage.m("carol").claimables
    stage.prompt("carol", "claim").on_event(stage.m("carol"), stage.question("carol"))
    del claimable
    stage["carol"].run(lambda _m: None)
    stage.check()


def test_htlc_that_is_gone_is_neither_held_nor_forwarded() -> None:
    """What waited for a peer, or was refused by a channel, may be settled by then."""
    stage = Stage(topologies.line())
    slot, outbound = stage.slot("bob", "alice"), stage.slot("bob", "carol")
    add = PendingAdd(1_000, bytes(32), 500, bytes(1366), HtlcSource(slot.channel_id, 99, True), 0)
    stage.m("bob").held_forwards[(slot.channel_id, 99)] = 0
    stage["bob"].run(forwarding.offer_held)
    stage["bob"].run(lambda m: forwarding.on_refused(m, outbound, AddRefused(add, limits.CLOSING)))
    assert not stage.m("bob").held_forwards
    stage.check()
