"""The world itself: actions, time, crashes, and that the same picks give the same world."""

import pytest

from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut
from leyden.sim import user
from leyden.sim.commands import AT_REST, IN_TURN
from leyden.sim.schedules import Fair, run_to_rest
from leyden.sim.world import Act, Action, World
from tests.sim import topologies


def test_new_world_connects_its_nodes() -> None:
    """And is at rest then."""
    world = World(b"new")
    world.add_node("alice")
    world.add_node("bob")
    world.link("alice", "bob")
    assert [action.kind for action in world.enabled()].count("connect") == 1
    run_to_rest(world, Fair())
    assert world.enabled() == []
    assert world.node_of(world.nodes["bob"].node_id) is world.nodes["bob"]
    with pytest.raises(AssertionError):
        world.perform(Action("nonsense", "alice", ""))


def test_granted_coins_are_in_the_wallet_after_a_block() -> None:
    """They come from nowhere, and are counted."""
    world = World(b"coins")
    world.add_node("alice")
    world.grant("alice", 123_456)
    world.mine()
    run_to_rest(world, Fair())
    assert world.nodes["alice"].runtime.wallet.balance().spendable_sat == 123_456
    assert world.granted_sat == 123_456


def test_copy_is_independent_and_the_same() -> None:
    """Explorations start from one world as often as they like."""
    base = topologies.direct()
    blocks = base.chain.tip
    traces = []
    for _ in range(2):
        world = base.copy()
        run_to_rest(world, Fair())
        text = user.make_invoice(world.nodes["bob"], 1_000_000)
        user.Order("alice", user.invoice_payment(world.nodes["alice"], text, b"p" * 32), "bob").ask(
            world.nodes["alice"]
        )
        world.mine()
        run_to_rest(world, Fair())
        traces.append(world.trace)
    assert traces[0] == traces[1]
    assert base.chain.tip == blocks


def test_node_that_is_down_takes_part_in_nothing() -> None:
    """No message, write, block or connection is possible for it."""
    world = topologies.direct().copy()
    run_to_rest(world, Fair())
    world.crash("bob")
    world.mine()
    assert all(action.node == "alice" and action.subject != "bob" for action in world.enabled())
    run_to_rest(world, Fair())
    world.nodes["bob"].start(sync=False)
    assert not world.nodes["bob"].synced
    assert Action("block", "bob", "") in world.enabled()
    run_to_rest(world, Fair())
    assert world.nodes["bob"].synced
    assert world.end_of("bob", "alice")


def test_closed_link_stays_closed() -> None:
    """Until the test opens it."""
    world = topologies.direct().copy()
    run_to_rest(world, Fair())
    world.links[("alice", "bob")] = False
    world.cut("alice", "bob")
    run_to_rest(world, Fair())
    assert not world.connections
    world.links[("alice", "bob")] = True
    run_to_rest(world, Fair())
    assert world.connections


def test_acts_happen_in_order_when_their_nodes_are_up() -> None:
    """One that waits for rest comes when nothing else is left."""
    world = topologies.direct().copy()
    done: list[str] = []
    world.acts.append(Act("first", ("alice",), lambda: done.append("first"), IN_TURN))
    world.acts.append(Act("second", ("bob",), lambda: done.append(f"second {len(world.enabled())}"), AT_REST))
    assert Action("act", "", "first") in world.enabled()
    world.crash("bob")
    run_to_rest(world, Fair())
    assert done == ["first"]
    world.nodes["bob"].start(sync=False)
    run_to_rest(world, Fair())
    assert done == ["first", "second 0"]


def test_observer_sees_every_action_before_and_after_it() -> None:
    """So a run can be told without a word in the code that runs."""
    world = topologies.direct().copy()
    seen: list[str] = []

    class Watch:
        def before(self, action: Action) -> None:
            seen.append(f"before {action.kind}")

        def after(self, action: Action) -> None:
            seen.append(f"after {action.kind}")

    world.observer = Watch()
    world.perform(world.enabled()[0])
    assert seen == ["before connect", "after connect"]


def test_reorganised_chain_is_followed() -> None:
    """Back to the fork, then to the new tip."""
    world = topologies.direct().copy()
    run_to_rest(world, Fair())
    before = world.chain.tip
    world.reorganise(2)
    run_to_rest(world, Fair())
    assert world.chain.tip.height == before.height + 1
    assert {node.best for node in world.nodes.values()} == {world.chain.tip}


def test_package_is_looked_at_and_enters_as_one() -> None:
    """The child pays for its parent, and consensus sees it over the parent that the mempool does not have yet."""
    world = World(b"package")
    source = Transaction(2, (TxIn(OutPoint(b"\x01" * 32, 0), b"", 0xFFFFFFFF),), (TxOut(50_000, b"\x51"),), 0)
    world.chain.grant(source)
    world.mine()
    parent = Transaction(2, (TxIn(OutPoint(source.txid(), 0), b"", 0),), (TxOut(50_000, b"\x51"),), 0)
    child = Transaction(2, (TxIn(OutPoint(parent.txid(), 0), b"", 0),), (TxOut(40_000, b"\x51"),), 0)
    looked: list[bool] = []
    world.validate = lambda chain, one: looked.append(
        chain.unspent(one.inputs[0].prevout, include_mempool=True) is not None
    )
    world.set_fees(5_000, 1_000)
    assert not world.broadcast(parent, "alone").accepted
    assert world.broadcast_package([parent, child], "both", "alice").accepted
    assert looked == [True, True, True]
    assert list(world.chain.pool) == [parent.txid(), child.txid()]
    assert [what for _, what in world.broadcasts] == ["alone", "both", "both"]
