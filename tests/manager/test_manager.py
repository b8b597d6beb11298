"""One pass: inputs, verdicts, signatures, acknowledgements; and bugs that cost one channel."""

import pytest

from leyden.base.errors import PeerViolation, Reaction
from leyden.channel.inputs import ForceClose, Learn
from leyden.channel.states import ForceClosing, Normal, Stale
from leyden.journal.records import ProvenStale
from leyden.manager.manager import Manager
from tests.manager.stage import Stage
from tests.sim import topologies


class Broke(PeerViolation):
    """A violation after which a channel cannot go on."""

    reaction = Reaction.FAIL_CHANNEL


def test_violation_fails_the_channel_it_happened_in() -> None:
    """BOLT 1 and 2 say which; the record comes first, the commitment after it (invariant S1)."""
    stage = Stage(topologies.double())
    first, second = stage.slots("alice", "bob")
    stage["alice"].run(lambda m: m.on_violation(first, first.peer, Broke("it broke the protocol")))
    assert type(first.state) is ForceClosing
    assert type(second.state) is Normal
    stage.act()
    assert first.state.core.closing is not None


def test_violation_on_a_channel_with_lost_data_publishes_nothing() -> None:
    """Our newest commitment may be a revoked one (invariant S9)."""
    stage = Stage(topologies.direct())
    slot = stage.slot("alice", "bob")
    stage["alice"].run(lambda m: m.apply(slot, Learn(ProvenStale(9))))
    stage["alice"].run(lambda m: m.on_violation(slot, slot.peer, Broke("it broke the protocol")))
    stage.act()
    assert type(slot.state) is Stale
    assert slot.state.core.closing is None


def test_violation_outside_of_any_channel_ends_the_connection() -> None:
    """There is nothing else to end."""
    stage = Stage(topologies.direct())
    bob = stage["bob"].node_id
    stage["alice"].run(lambda m: m.on_violation(None, bob, PeerViolation("nonsense")))
    assert bob not in stage["alice"].runtime.connections
    stage.check()


def test_acknowledgements_ride_on_the_next_record_or_wait_for_the_timer() -> None:
    """Each costs no commit of its own in traffic; in silence one a second is enough."""
    stage = Stage(topologies.direct("bob"))
    stage.prompt("bob", "fail")
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.act()
    slot = stage.slot("alice", "bob")
    assert list(slot.state.core.outcomes) == [0], "there was no record to ride on"
    position = slot.tail.position
    stage.world.tick()
    stage.act()
    assert not slot.state.core.outcomes
    assert slot.tail.position == position + 1
    stage.check()


def test_many_payments_share_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signature covers all that is queued: never one per update (natural batching)."""
    stage = Stage(topologies.direct())
    slot = stage.slot("alice", "bob")
    number = slot.state.core.remote.number
    del monkeypatch
    for index in range(40):
        stage.pay("alice", "bob", stage.invoice("bob", 1_000_000, tag=str(index)), str(index))
    stage.check()
    assert all(stage.payment("alice", str(index)).sent is not None for index in range(40))
    assert slot.state.core.remote.number - number < 20


def test_pass_leaves_nothing_undone() -> None:
    """After a flush there is no verdict, no dirty channel and nothing that is free to run."""
    stage = Stage(topologies.line())
    for name in ("alice", "bob", "carol"):
        m: Manager = stage.m(name)
        assert not m.verdicts
        assert not m.dirty
        assert not m.after_verdicts
        assert not m.outbox.run_released()


def test_journal_that_hangs_for_ever_stops_only_what_depends_on_it() -> None:
    """One slow shard of a store must not freeze the node; when it is back the rest goes on."""
    stage = Stage(topologies.line())
    stuck = stage.slot("bob", "alice")
    stage["bob"].disk.held[stuck.tail.journal] = None
    stage.pay("alice", "bob", stage.invoice("bob"), "waits", deadline_seconds=10_000)
    stage.seconds(3)
    for index in range(5):
        stage.pay("bob", "carol", stage.invoice("carol", 1_000_000, tag=str(index)), str(index))
        stage.pay("carol", "bob", stage.invoice("bob", 500_000, tag=f"back {index}"), f"back {index}")
        stage.seconds(1)
    for index in range(5):
        assert stage.payment("bob", str(index)).sent is not None
        assert stage.payment("carol", f"back {index}").sent is not None
    assert stage.payment("alice", "waits").is_live
    stage["bob"].disk.held.clear()
    stage.check()
    assert stage.payment("alice", "waits").sent is not None


def test_only_a_close_or_a_preimage_is_urgent() -> None:
    """On a full disk these come first; an offer can wait."""
    stage = Stage(topologies.direct())
    slot, m = stage.slot("alice", "bob"), stage.m("alice")
    stage["alice"].disk.held[slot.tail.journal] = None
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.act()
    assert slot.tail.durable < slot.tail.position
    assert not m.holds_urgent_records()
    stage["alice"].run(lambda m: m.apply(slot, ForceClose("closed by the user")))
    assert m.holds_urgent_records()
