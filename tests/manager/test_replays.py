"""An onion is taken once (BOLT 4, "Shared Secret"): who sends a copy learns nothing from where it goes."""

import pytest

from leyden.channel.states import Normal
from leyden.crypto.hashes import sha256
from leyden.manager import events as ev
from leyden.manager import replays
from leyden.manager.replays import SeenOnions
from leyden.sphinx.failures import IncorrectOrUnknownPaymentDetails, TemporaryNodeFailure
from tests.manager import handmade
from tests.manager.stage import AMOUNT_MSAT, DELTA, Stage
from tests.sim import topologies

HASH = sha256(b"a hash that nobody knows the preimage of")
FEE_MSAT = 1000 + AMOUNT_MSAT * 100 // 1_000_000


def secret(number: int) -> bytes:
    """A shared secret."""
    return sha256(b"secret %d" % number)


def test_secret_is_new_once() -> None:
    """Whatever the HTLC that carries it says."""
    seen = SeenOnions()
    assert seen.is_new(secret(1), 500)
    assert seen.is_new(secret(2), 500)
    assert not seen.is_new(secret(1), 500)
    assert not seen.is_new(secret(1), 900)


def test_what_has_expired_is_forgotten() -> None:
    """A forwarder refuses an expired onion anyway."""
    seen = SeenOnions()
    for number in range(100):
        seen.is_new(secret(number), 1_000 + number)
    seen.on_block(1_049)
    assert len(seen) == 50
    assert not seen.is_new(secret(50), 1_050)
    assert seen.is_new(secret(49), 1_049)
    seen.on_block(1_050)
    assert len(seen) == 51, "looked at now and then only"
    seen.on_block(2_000)
    assert len(seen) == 0


def test_memory_is_bounded_and_the_oldest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood costs us no memory; what came last is still known."""
    monkeypatch.setattr(replays, "KEPT_MAX", 64)
    monkeypatch.setattr(replays, "DROPPED_AT_ONCE", 8)
    seen = SeenOnions()
    for number in range(1_000):
        assert seen.is_new(secret(number), 10_000)
        assert len(seen) <= 64
    assert all(not seen.is_new(secret(number), 10_000) for number in range(950, 1_000))
    assert seen.is_new(secret(0), 10_000)


def held(hold: str = "bob") -> tuple[Stage, bytes]:
    """Alice has paid bob, who asks his user; the onion that she sent."""
    stage = Stage(topologies.direct(hold))
    stage.prompt(hold, "")
    stage.pay("alice", "bob", stage.invoice("bob"), deadline_seconds=100_000)
    stage.seconds(3)
    [htlc] = stage.slot("alice", "bob").state.core.outbound.values()
    return stage, htlc.add.onion_routing_packet


@pytest.mark.parametrize("restarts", [False, True])
def test_copy_for_the_recipient_fails_and_the_payment_lives(restarts: bool) -> None:
    """Also after a restart, while the first one is pending; neither channel nor connection is lost."""
    stage, packet = held()
    [payment] = stage.orders
    height = stage.m("alice").env.block_height
    if restarts:
        stage.world.restart("bob")
        stage.seconds(2)
    htlc_id = handmade.offer(stage, "alice", "bob", packet, payment.started.payment_hash, AMOUNT_MSAT + 1, height + 200)
    failed = handmade.decision(stage, "bob", "alice", htlc_id)
    assert not failed.failure_code
    stage.seconds(2)
    assert len(stage.m("bob").claimables) == 1
    assert type(stage.slot("bob", "alice").state) is Normal
    stage.prompt("bob", "claim").on_event(stage.m("bob"), stage.question("bob"))
    stage["bob"].run(lambda _m: None)
    stage.check()
    assert len(stage.told("bob", ev.PaymentClaimed)) == 1


def test_copy_for_a_recipient_looks_unknown() -> None:
    """It must not be told apart from a payment that bob does not know."""
    stage = Stage(topologies.direct())
    expiry = stage.m("alice").env.block_height + 60
    built = handmade.onion(stage, [("bob", handmade.final(AMOUNT_MSAT, expiry, bytes(32)))], HASH)
    unknown = IncorrectOrUnknownPaymentDetails(htlc_msat=AMOUNT_MSAT, height=expiry - 60)
    for _ in range(2):
        htlc_id = handmade.offer(stage, "alice", "bob", built.packet, HASH, AMOUNT_MSAT, expiry)
        assert handmade.answer(stage, "bob", "alice", built, htlc_id) == (unknown, 0)
        stage.rest()
    assert len(stage.m("bob").seen_onions) == 1
    stage.check()


@pytest.mark.parametrize("restarts", [False, True])
def test_copy_is_not_forwarded(restarts: bool) -> None:
    """The first one goes on; its copy shows nobody which way."""
    stage = Stage(topologies.line("carol"))
    stage.prompt("carol", "")
    final = stage.m("alice").env.block_height + 60
    text = stage.invoice("carol")
    stage.route(
        "alice",
        text,
        [(0, "bob", AMOUNT_MSAT + FEE_MSAT, final + DELTA), (stage.scid("bob", "carol"), "carol", AMOUNT_MSAT, final)],
    )
    stage.seconds(3)
    [htlc] = stage.slot("alice", "bob").state.core.outbound.values()
    if restarts:
        stage.world.restart("bob")
        stage.seconds(2)
    add = htlc.add
    copy = handmade.offer(
        stage, "alice", "bob", add.onion_routing_packet, add.payment_hash, add.amount_msat, add.cltv_expiry
    )
    assert not handmade.decision(stage, "bob", "alice", copy).failure_code
    stage.seconds(2)
    assert stage.slot("bob", "carol").state.core.next_outbound_id == 1, "carol has seen one"
    stage.prompt("carol", "claim").on_event(stage.m("carol"), stage.question("carol"))
    stage["carol"].run(lambda _m: None)
    stage.check()


def test_copy_of_a_forward_that_failed_is_not_forwarded_again() -> None:
    """The first one is long gone, its expiry is not."""
    stage = Stage(topologies.line())
    expiry = stage.m("alice").env.block_height + 60
    hops = [
        ("bob", handmade.forward(AMOUNT_MSAT, expiry, stage.scid("bob", "carol"))),
        ("carol", handmade.final(AMOUNT_MSAT, expiry, bytes(32))),
    ]
    built = handmade.onion(stage, hops, HASH)
    terms = (HASH, AMOUNT_MSAT + FEE_MSAT, expiry + DELTA)
    first = handmade.offer(stage, "alice", "bob", built.packet, *terms)
    assert handmade.answer(stage, "bob", "alice", built, first)[1] == 1
    stage.rest()
    second = handmade.offer(stage, "alice", "bob", built.packet, *terms)
    assert handmade.answer(stage, "bob", "alice", built, second) == (TemporaryNodeFailure(), 0)
    assert len(stage.m("carol").seen_onions) == 1
    stage.check()
