"""Equal fingerprints are equal worlds: whatever decides something changes it, whatever only counts does not."""

from collections.abc import Callable

import pytest

from leyden.base.errors import StorageBroken
from leyden.journal.batch import Snapshot
from leyden.manager import events as ev
from leyden.manager.actions import Report
from leyden.manager.state import Peer
from leyden.node.runtime import RuntimeLimits
from leyden.sim.commands import IN_TURN
from leyden.sim.fingerprint import Fingerprints, Remembered, remembered
from leyden.sim.handler import Prompt
from leyden.sim.node import Shown, SimNode
from leyden.sim.scenario import Begun, begin
from leyden.sim.world import Act
from tests.sim.scenarios import scenario

STEPS = 14


def on_the_way(steps: int = STEPS) -> Begun:
    """A forwarded payment with much under way: records, messages, callbacks, an open payment."""
    begun = begin(scenario("forward"))
    while begun.world.steps < begun.first_step + steps or not writing(begun):
        enabled = begun.world.enabled()
        if not enabled:
            break
        begun.world.perform(enabled[0])
    return begun


def writing(begun: Begun) -> list[SimNode]:
    """The nodes with something under way."""
    return [node for node in begun.world.nodes.values() if node.disk.under_way()]


def print_of(begun: Begun) -> bytes:
    """Its fingerprint, made anew."""
    return Fingerprints().world(begun.world, begun.orders)


def bob(begun: Begun) -> SimNode:
    """The node in the middle."""
    return begun.world.nodes["bob"]


def commit(begun: Begun) -> None:
    node = writing(begun)[0]
    node.disk.commit(node.disk.ready()[0])


def lose(begun: Begun) -> None:
    writing(begun)[0].disk.take_fence()


def snapshot(begun: Begun) -> None:
    bob(begun).disk.snapshot(bob(begun).disk.epoch, [Snapshot("node", 1, b"state", b"")], lambda _error: None)


def own(begun: Begun, name: str, value: object) -> None:
    setattr(bob(begun).manager, name, value)


def core(begun: Begun) -> None:
    next(iter(bob(begun).manager.channels.values())).state.core.local.local_msat += 1


def session(begun: Begun) -> None:
    next(iter(bob(begun).manager.channels.values())).state.session.released.add(7)


def slot(begun: Begun, name: str, value: object) -> None:
    setattr(next(iter(bob(begun).manager.channels.values())), name, value)


def payment(begun: Begun, name: str, value: object) -> None:
    setattr(next(iter(begun.world.nodes["alice"].manager.node.ledger.payments.values())), name, value)


def message(begun: Begun) -> None:
    next(iter(begun.world.connections.values())).arrived.append(b"\x00\x12")


def waiting_message(begun: Begun) -> None:
    line = next(iter(bob(begun).runtime.outbox.lines.values()))
    line.ready.append(b"\x00\x12")


def callback(begun: Begun, run: Callable[[], None]) -> None:
    tail = bob(begun).manager.node_tail
    tail.waiting.append((tail.durable + 1, run))


def counted(left: int) -> Callable[[], None]:
    """A callback that closes over a number."""
    return lambda: print(left)


CHANGES: dict[str, Callable[[Begun], object]] = {
    "a record became durable": commit,
    "records under way are lost": lose,
    "a snapshot is under way": snapshot,
    "a journal is held": lambda at: bob(at).disk.held.update({"node": None}),
    "a penalty row": lambda at: vars(bob(at).disk)["_kept"][bob(at).disk.journals()[0].journal].penalty.append(b"row"),
    "the state of a channel": core,
    "what a connection has said": session,
    "a channel is halted": lambda at: slot(at, "halted", "a bug"),
    "an acknowledgement waits": lambda at: slot(at, "ack_events", ["ready/1"]),
    "an acknowledgement of the node waits": lambda at: own(at, "ack_node_events", ["sent/1"]),
    "an onion was seen": lambda at: bob(at).manager.seen_onions.is_new(bytes(32), 7),
    "a forward is owned": lambda at: own(at, "forwards", {(bytes(32), 3): bytes(32)}),
    "a claim is blocked": lambda at: own(at, "claim_blockers", {bytes(32): {bytes(32): None}}),
    "a peer is known": lambda at: own(at, "peers", {b"peer": Peer(b"peer")}),
    "it has not started": lambda at: own(at, "is_started", False),
    "an event waits": lambda at: own(at, "events", {"x": ev.PaymentClaimAbandoned("x", b"", b"")}),
    "an action waits": lambda at: own(at, "actions", [Report("node", "info", "x")]),
    "a height": lambda at: bob(at).manager.set_env(block_height=7),
    "a message on its way": message,
    "a message that waits": waiting_message,
    "a callback that waits": lambda at: callback(at, counted(1)),
    "a posted callback": lambda at: bob(at).life.post(counted(1)),
    "a timer": lambda at: bob(at).life.after(3, counted(1)),
    "a part of a payment": lambda at: payment(at, "parts", {}),
    "a payment was given up": lambda at: payment(at, "give_up", "abandoned"),
    "the store is lost": lambda at: setattr(bob(at).runtime, "broken", StorageBroken("gone")),
    "an event was told": lambda at: bob(at).shown.append(Shown(1, ev.PaymentClaimAbandoned("x", b"", b""))),
    "an error was reported": lambda at: bob(at).reports.append(Report("node", "error", "x")),
    "another user": lambda at: setattr(bob(at), "application", Prompt("fail")),
    "the signer revealed a secret": lambda at: bob(at).signer.release_commitment_secret(bytes(32), 7),
    "a link is closed": lambda at: at.world.links.update({("alice", "bob"): False}),
    "a connection is gone": lambda at: at.world.cut("alice", "bob"),
    "a block": lambda at: at.world.mine(),
    "fees": lambda at: at.world.chain.set_mempool_feerate(1),
    "what nodes hear of fees": lambda at: setattr(at.world, "feerate_per_kw", 1),
    "miners dislike a node": lambda at: at.world.dislike("bob", dislikes=True),
    "miners leave something out": lambda at: at.world.left_out.update({bytes(32): "bob"}),
    "messages do not arrive": lambda at: at.world.stall("alice", "bob", 0),
    "blocks are seen quickly": lambda at: setattr(at.world, "quick_height", 1),
    "somebody cheats": lambda at: at.world.cheats.update({bytes(32): ("bob",)}),
    "an operator has published": lambda at: at.world.operated.update({bytes(32): "bob"}),
    "dust is nobody's": lambda at: at.world.dust.update({("bob", bytes(32)): {bytes(32): 1}}),
    "a look into the mempool": lambda at: bob(at).seen_in_pool.update({bytes(32): None}),
    "a node is down": lambda at: at.world.crash("bob"),
    "an act of users is left": lambda at: at.world.acts.append(Act("pay", (), lambda: None, IN_TURN)),
    "a close was asked for": lambda at: at.world.closes_asked.update({bytes(32): True}),
    "a call has returned": lambda at: setattr(at.orders[0], "accepted", not at.orders[0].accepted),
    "the clock, while a payment waits for it": lambda at: setattr(at.world.clock, "now_seconds", 1),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_what_decides_something_changes_the_fingerprint(change: str) -> None:
    """Otherwise two worlds with different futures would be explored as one."""
    begun = on_the_way()
    before = print_of(begun)
    CHANGES[change](begun)
    assert print_of(begun) != before


def test_equal_worlds_have_equal_fingerprints() -> None:
    """Also those that came to be in another order, at another step or second."""
    one, other = on_the_way(0), on_the_way(0)
    orders_that_differ = 0
    while actions := one.world.enabled():
        assert print_of(one) == print_of(other)
        pair = actions[:2] if len({action.node for action in actions[:2]}) == 2 else actions[:1]
        for begun, order in ((one, pair), (other, pair[::-1])):
            for action in order:
                begun.world.perform(action)
        orders_that_differ += len(pair) - 1
    assert orders_that_differ > 3
    other.world.steps += 1
    other.world.clock.now_seconds += 5
    assert print_of(one) == print_of(other)


def test_what_only_oracles_remember_is_not_of_the_future() -> None:
    """What a life has told, and whether a close that was asked for must come, is told apart and leads to the same."""
    begun = on_the_way()
    node, channel_id = bob(begun), next(iter(bob(begun).manager.channels))
    told = ev.PaymentClaimAbandoned("x", b"", b"")
    node.shown.append(Shown(node.lives - 1, told))
    begun.world.closes_asked[channel_id] = False
    before, whole = Fingerprints().future(begun.world, begun.orders), print_of(begun)
    assert remembered(begun.world) == Remembered(frozenset(), frozenset())
    node.shown.append(Shown(node.lives, told))
    assert print_of(begun) != whole
    begun.world.closes_asked[channel_id] = True
    assert remembered(begun.world) == Remembered(frozenset({("bob", "x")}), frozenset({channel_id}))
    node.shown.append(Shown(node.lives, told))
    assert remembered(begun.world).is_told_twice
    assert remembered(begun.world).told == frozenset({("bob", "x")})
    assert Fingerprints().future(begun.world, begun.orders) == before


def test_what_is_remembered_ends_with_a_life() -> None:
    """And what is told once more is told twice."""
    both = Remembered(frozenset({("alice", "x"), ("bob", "x")}), frozenset({bytes(32)}))
    assert both.without("bob") == Remembered(frozenset({("alice", "x")}), frozenset({bytes(32)}))
    assert both.without("bob").told_too(frozenset({("bob", "x")})) == both
    assert both.told_too(frozenset({("bob", "x")})).is_told_twice
    begun = on_the_way()
    bob(begun).shown += [Shown(bob(begun).lives, ev.PaymentClaimAbandoned("x", b"", b""))] * 2
    begun.world.restart("bob")
    assert remembered(begun.world) == Remembered(frozenset(), frozenset(), is_told_twice=True)


def test_counts_that_are_far_from_deciding_anything_do_not_count() -> None:
    """Messages of a peer, up to half of what makes a flood; what a payment that has ended would have tried next."""
    begun = on_the_way(1000)
    peer = next(iter(bob(begun).manager.peers.values()))
    paid = next(iter(begun.world.nodes["alice"].manager.node.ledger.payments.values()))
    before = print_of(begun)
    peer.messages += 1
    paid.next_part += 1
    assert not paid.is_live
    assert print_of(begun) == before
    peer.messages = RuntimeLimits.STRANGER_MESSAGES // 2 + 1
    assert print_of(begun) != before
    live = on_the_way()
    before = print_of(live)
    payment(live, "next_part", 7)
    assert print_of(live) != before


def test_what_a_journal_folds_to_counts_and_not_how_it_is_kept() -> None:
    """A snapshot in the place of records, and other positions with it, change nothing."""
    begun = on_the_way(1000)
    disk, prints = bob(begun).disk, Fingerprints()
    before, records = prints.durable(disk), [stored.records for stored in disk.journals()]
    bob(begun).compact()
    while disk.ready():
        disk.commit(disk.ready()[0])
    assert [stored.records for stored in disk.journals()] != records
    assert prints.durable(disk) == before
