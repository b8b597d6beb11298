"""A store that is slower than the traffic, or stalls: memory is bounded, peers are not made to pay for it.

Hazards H63, H142, H164; invariant P21.
"""

import pytest

from leyden.base.errors import CommandRejected
from leyden.journal.node_records import BestBlock
from leyden.manager import claiming
from leyden.manager import events as ev
from leyden.node.runtime import RuntimeLimits
from leyden.wire.messages import Ping, Pong, decode, encode
from tests.manager.stage import Stage
from tests.sim import topologies

TWO_PARTS_MSAT = 700_000_000
PING_SECONDS = 30


def fill(stage: Stage, name: str, size: int) -> None:
    """The node journal hangs, and records of so many bytes wait for it."""
    node = stage[name]
    node.disk.held["node"] = None
    while node.runtime.outbox.queued_bytes <= size:
        node.run(lambda m: m.record(BestBlock(m.env.block_height, bytes(32))))


@pytest.fixture
def far_behind(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A payment of alice is held by carol's user; then bob's store falls so far behind that peers are read slowly."""
    monkeypatch.setattr(RuntimeLimits, "HOLD_BYTES", 1_000)
    monkeypatch.setattr(RuntimeLimits, "PAUSE_BYTES", 2_000)
    stage = Stage(topologies.line("carol"))
    stage.prompt("carol", "")
    stage.pay("alice", "carol", stage.invoice("carol"), deadline_seconds=100_000)
    stage.seconds(3)
    fill(stage, "bob", 2_000)
    return stage


def mend(stage: Stage, name: str = "bob") -> None:
    """The store catches up."""
    stage[name].disk.held.clear()
    stage.rest()
    assert stage[name].runtime.outbox.queued_bytes == 0


def test_fulfils_are_read_and_passed_on_while_the_store_is_far_behind(far_behind: Stage) -> None:
    """A preimage that waits in a socket is money that may be lost: a claim is never held back by the bound."""
    stage = far_behind
    carol = stage["carol"]
    question = stage.question("carol")
    carol.run(lambda m: claiming.claim_payment(m, question.set_id, b""))
    stage.seconds(10)
    assert stage.payment("alice").sent is not None
    assert stage["bob"].disk.held, "and bob's store still hangs"
    mend(stage)
    stage.check()


def test_peers_stay_connected_while_the_store_hangs_for_minutes(far_behind: Stage) -> None:
    """Their pings are answered, and their pongs are read: nobody is sent away because our own store is slow."""
    stage = far_behind
    before = dict(stage.world.connections)
    for _ in range(10):
        for name in ("alice", "bob", "carol"):
            stage[name].runtime.ping_all()
        stage.seconds(PING_SECONDS)
    assert stage.world.connections == before
    assert not any(one.ended for one in before.values())
    mend(stage)
    stage.prompt("carol", "claim").on_event(stage.m("carol"), stage.question("carol"))
    stage["carol"].run(lambda _m: None)
    stage.check()


def test_pings_are_answered_within_a_second_or_two(far_behind: Stage) -> None:
    """A peer that waits longer may give the connection up."""
    stage = far_behind
    pongs: list[int] = []
    end = stage.world.end_of("alice", "bob")
    deliver = end.deliver

    def tap(count: int) -> None:
        pongs.extend([stage.world.clock.now_seconds for raw in end.arrived if raw and type(decode(raw)) is Pong])
        deliver(count)

    end.deliver = tap  # type: ignore[method-assign]
    asked = stage.world.clock.now_seconds
    alices, bobs = stage["alice"].runtime.connections[stage["bob"].node_id], stage.world.end_of("bob", "alice")
    alices.send([encode(Ping(1, b""))])
    stage.seconds(4)
    assert pongs
    assert pongs[0] - asked <= 2
    alices.send([encode(Ping(1, b""))])
    stage.act()
    alices.send([encode(Ping(1, b""))])
    stage.act()
    assert len(bobs.arrived) == 1, "one read a second: what a peer can make us do meanwhile has a bound"


def test_nothing_new_is_taken_and_memory_stays_bounded(far_behind: Stage) -> None:
    """The first step of back-pressure: own payments are refused, forwards fail back at once."""
    stage = far_behind
    bob, size = stage["bob"], 0
    with pytest.raises(CommandRejected) as refused:
        stage.pay("bob", "carol", stage.invoice("carol", tag="own"), "own")
    assert refused.value.code == "store_behind"
    stage.orders.pop()
    for number in range(30):
        name = f"more {number}"
        stage.pay("alice", "carol", stage.invoice("carol", 1_000_000, tag=name), name, deadline_seconds=5)
        stage.seconds(8)
        assert stage.payment("alice", name).failed is not None
        size = max(size, bob.runtime.outbox.queued_bytes)
    assert size < 20_000, "what a peer adds waits for a revocation that waits for the store"
    mend(stage)
    stage.prompt("carol", "claim").on_event(stage.m("carol"), stage.question("carol"))
    stage["carol"].run(lambda _m: None)
    stage.check()


def test_peer_whose_channel_cannot_be_written_can_add_no_more_than_one_commitment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its next signature needs a point that our `revoke_and_ack` brings, which waits: so is memory bounded by peer."""
    monkeypatch.setattr(RuntimeLimits, "HOLD_BYTES", 1_000)
    monkeypatch.setattr(RuntimeLimits, "PAUSE_BYTES", 2_000)
    stage = Stage(topologies.line())
    bob = stage["bob"]
    slot = stage.slot("bob", "alice")
    bob.disk.held[slot.tail.journal] = None
    number = slot.state.core.local.number
    for index in range(40):
        name = str(index)
        stage.pay("alice", "carol", stage.invoice("carol", 1_000_000, tag=name), name, deadline_seconds=100_000)
        stage.seconds(2)
    assert slot.state.core.local.number == number + 1
    assert bob.runtime.outbox.queued_bytes < 60_000
    mend(stage)
    stage.check()
    assert sum(stage.payment("alice", str(index)).sent is not None for index in range(40)) >= 39


@pytest.mark.parametrize("name", ["alice", "bob", "carol"])
def test_stalls_of_ten_seconds_at_a_time_cost_time_and_nothing_else(name: str) -> None:
    """A disk that is busy with something else now and then: no payment fails, no connection ends, no channel closes."""
    stage = Stage(topologies.line())
    before = dict(stage.world.connections)
    node = stage[name]
    for turn in range(8):
        node.disk.held.update(dict.fromkeys(node.runtime.outbox.tails))
        for payer, payee in (("alice", "carol"), ("carol", "alice"), ("alice", "bob"), ("bob", "carol")):
            tag = f"{turn} {payer} {payee}"
            stage.pay(payer, payee, stage.invoice(payee, 1_000_000, tag=tag), tag, deadline_seconds=60)
        for peer in ("alice", "bob", "carol"):
            if turn % 3 == 0:
                stage[peer].runtime.ping_all()
        stage.seconds(10)
        node.disk.held.clear()
        stage.seconds(1)
    stage.check()
    assert stage.world.connections == before
    for order in stage.orders:
        payment = stage.m(order.payer).node.ledger.payments[order.started.payment_id]
        assert payment.sent is not None, f"{order.started.payment_id.hex()} {payment.failed}"


def test_own_stalls_do_not_count_against_the_payer_of_an_incomplete_set() -> None:
    """One part is here, the journal of the other one stalls again and again: the set is not failed for that (H63)."""
    links = [("alice", "bob"), ("alice", "carol"), ("bob", "dave"), ("carol", "dave")]
    stage = Stage(topologies.make(links, mpp_timeout_seconds=30))
    dave = stage["dave"]
    late = stage.slot("dave", "carol").tail.journal
    stage.pay("alice", "dave", stage.invoice("dave", TWO_PARTS_MSAT), deadline_seconds=100_000)
    dave.disk.held[late] = None
    stage.seconds(40)
    assert [len(one.parts) for one in stage.m("dave").claimables.values()] == [1]
    mend(stage, "dave")
    assert stage.payment("alice").sent is not None
    [claimed] = stage.told("dave", ev.PaymentClaimed)
    assert claimed.parts == 2
    stage.check()


def test_set_whose_part_never_comes_fails_although_some_journal_hangs_for_ever() -> None:
    """Standing still is for stalls: a journal that hangs for ever must not keep other people's money here."""
    stage = Stage(topologies.diamond())
    dave = stage["dave"]
    stage["carol"].disk.held.update(dict.fromkeys(stage["carol"].runtime.outbox.tails))
    stage.pay("alice", "dave", stage.invoice("dave", TWO_PARTS_MSAT), deadline_seconds=100_000)
    stage.seconds(5)
    assert stage.m("dave").claimables
    dave.disk.held["node"] = None
    dave.run(lambda m: m.record(BestBlock(m.env.block_height, bytes(32))))
    stage.seconds(130)
    assert not stage.m("dave").claimables, "60 s, and at most a minute of stalls"
