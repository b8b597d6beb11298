"""Which of two connections to one peer is kept."""

from collections.abc import Sequence

import pytest

from leyden.base.ids import NodeId
from leyden.node.runtime import RuntimeLimits
from tests.manager.stage import Stage
from tests.sim import topologies


class Wire:
    """A connection that only notes what becomes of it."""

    writable = True
    address = "test:1"

    def __init__(self, node_id: bytes, *, inbound: bool) -> None:
        self.node_id = NodeId(node_id)
        self.inbound = inbound
        self.closed = ""

    def send(self, messages: Sequence[bytes]) -> None:
        """Throw away."""

    def pause(self) -> None:
        """Nothing is read anyway."""

    def resume(self) -> None:
        """Nothing is read anyway."""

    def close(self, reason: str) -> None:
        """Note it."""
        self.closed = reason


def two_nodes() -> tuple[Stage, bytes, bytes]:
    """Two nodes without a connection, and their node_ids."""
    stage = Stage(topologies.direct())
    stage.world.links[("alice", "bob")] = stage.world.links[("bob", "alice")] = False
    stage.world.cut("alice", "bob")
    stage.act()
    return stage, stage.m("alice").node_id, stage.m("bob").node_id


@pytest.mark.parametrize("first", ["outbound first", "inbound first"])
def test_when_both_sides_dial_at_once_both_keep_the_same_connection(first: str) -> None:
    """Else each gives up the one that the other keeps, for ever: after a crash both sides dial."""
    stage, alice, bob = two_nodes()
    kept: list[str] = []
    for name, own, other in (("alice", alice, bob), ("bob", bob, alice)):
        runtime = stage[name].runtime
        dialled, taken = Wire(other, inbound=False), Wire(other, inbound=True)
        order = [dialled, taken] if (first == "outbound first") == (name == "alice") else [taken, dialled]
        for wire in order:
            runtime.on_connected(wire)
        assert [wire.closed != "" for wire in order].count(True) == 1
        assert runtime.connections[other] is (taken if dialled.closed else dialled)
        kept.append(own.hex() if taken.closed else other.hex())
    assert kept[0] == kept[1] == min(alice, bob).hex(), "the one that the smaller node_id made"


def test_a_peer_that_comes_back_replaces_a_connection_whose_end_was_not_heard() -> None:
    """A peer that lost power sends no FIN."""
    stage, alice, bob = two_nodes()
    for name, other in (("alice", bob), ("bob", alice)):
        runtime = stage[name].runtime
        old, new = Wire(other, inbound=False), Wire(other, inbound=True)
        runtime.on_connected(old)
        stage.world.clock.now_seconds += RuntimeLimits.CROSSING_SECONDS + 1
        runtime.on_connected(new)
        assert old.closed
        assert not new.closed


def test_of_two_connections_in_one_direction_the_newer_is_kept() -> None:
    """A peer that restarts within a second dials again."""
    stage, _alice, bob = two_nodes()
    runtime = stage["alice"].runtime
    old, new = Wire(bob, inbound=True), Wire(bob, inbound=True)
    runtime.on_connected(old)
    runtime.on_connected(new)
    assert old.closed
    assert not new.closed
