"""Blocks: confirmations, closes, reorganisations, also those that happened while the node was down."""

import pytest

from leyden.channel.inputs import ForceClose
from leyden.channel.states import AwaitingReady, Closed, ForceClosing, MutualClose, Normal, ShuttingDown, Spent
from leyden.manager import chain
from leyden.manager import events as ev
from leyden.sim import user
from leyden.sim.books import balance_msat, chain_msat
from tests.manager.stage import Stage
from tests.manager.test_opening import ask, strangers
from tests.sim import topologies

ANYBODY = b"\x51"


def close(stage: Stage, name: str = "alice", peer: str = "bob") -> None:
    """Ask for a cooperative close."""
    user.close_channel(stage[name], stage.slot(name, peer))


def states(stage: Stage) -> tuple[type, type]:
    """Where both ends stand."""
    return type(stage.slot("alice", "bob").state), type(stage.slot("bob", "alice").state)


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_cooperative_close_pays_both_and_is_told_when_it_is_deep(who: str) -> None:
    """Everybody gets its balance, the opener pays the fee, and the chain holds what they own."""
    stage = Stage(topologies.direct())
    before = {name: balance_msat(stage[name]) for name in ("alice", "bob")}
    close(stage, who, "bob" if who == "alice" else "alice")
    stage.rest()
    assert states(stage) == (MutualClose, MutualClose)
    stage.mine()
    assert states(stage) == (Spent, Spent)
    assert not stage.told("alice", ev.ChannelClosed)
    stage.mine(5)
    assert states(stage) == (Closed, Closed)
    stage.rest()
    for name in ("alice", "bob"):
        assert [one.reason for one in stage.told(name, ev.ChannelClosed)] == ["cooperative close"]
    assert balance_msat(stage["bob"]) == before["bob"]
    fee = before["alice"] - balance_msat(stage["alice"])
    assert 0 < fee < 10_000_000
    assert sum(balance_msat(stage[name]) for name in ("alice", "bob")) == chain_msat(stage.world)


def test_close_waits_for_htlcs_that_are_there() -> None:
    """What is in flight is resolved as ever, nothing new is offered (BOLT 2, "Closing Initiation")."""
    stage = Stage(topologies.direct("bob"))
    stage.prompt("bob", "")
    stage.pay("alice", "bob", stage.invoice("bob"), deadline_seconds=100_000)
    stage.seconds(3)
    close(stage)
    stage.seconds(3)
    assert states(stage) == (ShuttingDown, ShuttingDown)
    stage.pay("alice", "bob", stage.invoice("bob", tag="two"), "two")
    stage.seconds(40)
    assert stage.payment("alice", "two").failed is not None
    stage.prompt("bob", "claim").on_event(stage.m("bob"), stage.question("bob"))
    stage["bob"].run(lambda _m: None)
    stage.rest()
    assert states(stage) == (MutualClose, MutualClose)
    assert stage.payment("alice").sent is not None


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_close_interrupted_anywhere_goes_on(who: str) -> None:
    """A crash of either end before each step, with nothing or all kept: both end up with the same transaction."""
    for keeps in (False, True):
        for step in range(60):
            stage = Stage(topologies.direct())
            close(stage)
            enabled = stage.world.enabled()
            for _ in range(step):
                stage.world.perform(enabled[0])
                enabled = stage.world.enabled()
                if not enabled:
                    break
            if not enabled and step:
                break
            waiting = stage[who].disk.under_way()
            stage.world.restart(who, waiting if keeps else {})
            stage.rest()
            if type(stage.slot("alice", "bob").state) is Normal:
                close(stage)  # the wish itself was lost: the caller's call had not returned
                stage.rest()
            stage.mine(6)
            assert states(stage) == (Closed, Closed), (who, keeps, step)
            assert all(what == "cooperative close" for _txid, what in stage.world.broadcasts)


def test_force_close_publishes_our_commitment_and_fails_what_waits() -> None:
    """The other side sees the spend; both are told."""
    stage = Stage(topologies.direct())
    stage["alice"].run(lambda m: m.apply(stage.slot("alice", "bob"), ForceClose("closed by the user")))
    stage.act()
    assert states(stage)[0] is ForceClosing
    stage.mine(6)
    assert states(stage) == (Closed, Closed)
    stage.rest()
    assert stage.told("alice", ev.ChannelClosed)[0].reason == "closed by the user"
    assert stage.told("bob", ev.ChannelClosed)


def test_close_that_a_reorganisation_undoes_can_be_made_again() -> None:
    """The spend left the chain: the channel is not closed, the transaction is published again."""
    stage = Stage(topologies.direct())
    close(stage)
    stage.rest()
    stage.mine(2)
    assert states(stage) == (Spent, Spent)
    stage.world.chain.reorganise(2, 3, ANYBODY)
    stage.act()
    assert states(stage) == (Spent, Spent), "mined again in the new branch"
    pool = stage.world.chain.pool
    stage.world.chain.reorganise(3, 1, ANYBODY)
    pool.clear()
    stage.act()
    stage["alice"].run(chain.rebroadcast)
    stage.mine(6)
    assert states(stage) == (Closed, Closed)


def test_funding_that_moves_to_another_block_gets_another_short_channel_id() -> None:
    """A reorganisation before it is deep: the old id names nothing any more."""
    stage = strangers()
    ask(stage)
    stage.rest()
    stage.mine(2)
    slot = stage.slot("alice", "bob")
    first = slot.state.core.funding
    assert first is not None
    assert first.short_channel_id in stage.m("alice").by_short_channel_id
    stage.world.chain.reorganise(2, 1, ANYBODY)
    stage.world.chain.pool.clear()
    stage.act()
    second = slot.state.core.funding
    assert second is not None
    assert second.block_hash != first.block_hash
    stage.mine(3)
    assert type(slot.state) is Normal


@pytest.mark.parametrize("kept", [False, True])
def test_reorganisation_while_the_node_was_down(kept: bool) -> None:
    """A chain record may be durable when the best block is not: the block it names must not be believed (section 4)."""
    stage = strangers()
    ask(stage)
    stage.rest()
    stage["alice"].disk.held["node"] = None
    stage.mine(1)
    slot = stage.slot("alice", "bob")
    assert slot.state.core.funding is not None
    stage.world.crash("alice", {slot.tail.journal: 9, "node": 9 if kept else 0})
    stage.world.chain.reorganise(1, 2, ANYBODY)
    stage.world.chain.pool.clear()
    stage["alice"].start()
    stage.act()
    funding = stage.slot("alice", "bob").state.core.funding
    assert funding is not None
    block = stage.world.chain.block_at(funding.height)
    assert block is not None
    assert block.hash == funding.block_hash
    assert stage.slot("alice", "bob").state.core.opened.funding_txid in block.txids
    stage.mine(6)
    stage.rest()
    assert type(stage.slot("alice", "bob").state) is Normal


def test_nothing_new_is_decided_before_the_chain_is_at_the_tip() -> None:
    """After a long sleep an HTLC may be too old to forward: heights first (invariant P16, section 7 reading 5)."""
    stage = Stage(topologies.line("carol"))
    stage.prompt("carol", "")
    stage.pay("alice", "carol", stage.invoice("carol"), deadline_seconds=100_000)
    inbound = stage.slot("bob", "alice")
    while not any(htlc.committed for htlc in inbound.state.core.inbound.values()):
        stage.world.perform(stage.world.enabled()[0])
    # Bob's own record of it is durable, what he would do about it is not.
    kept = stage["bob"].disk.under_way().get(inbound.tail.journal, 0)
    stage.world.crash("bob", {inbound.tail.journal: kept})
    stage.mine(100)
    stage["bob"].start(sync=False)
    bob = stage["bob"].runtime
    bob.on_second()
    stage.world.settle()
    [htlc] = stage.slot("bob", "alice").state.core.inbound.values()
    assert htlc.committed
    assert not htlc.decided()
    assert not stage.slot("bob", "carol").state.session.queued_adds
    stage.act()
    assert htlc.decided(), "too late to forward"
    assert not stage.m("carol").claimables
    stage.rest()
    assert stage.payment("alice").failed is not None


def test_best_block_is_noted_only_behind_what_it_brought() -> None:
    """A restart begins after the noted block: what it had brought must not be lost (section 4)."""
    stage = strangers()
    ask(stage)
    stage.rest()
    slot = stage.slot("alice", "bob")
    stage["alice"].disk.held[slot.tail.journal] = None
    stage.mine(3)
    best = stage.m("alice").node.best
    assert best is None or best.height < stage.world.chain.tip.height - 2
    stage.world.restart("alice")
    stage.rest()
    assert stage.slot("alice", "bob").state.core.funding is not None
    assert type(stage.slot("alice", "bob").state) is Normal


def test_channel_becomes_ready_at_start_when_it_was_due() -> None:
    """A crash took the record; no block needs to come for it."""
    stage = strangers()
    ask(stage)
    stage.rest()
    stage.mine(2)
    slot = stage.slot("alice", "bob")
    assert type(slot.state) is AwaitingReady
    stage.world.mine(1)
    while not slot.state.core.local_ready:
        stage.world.perform(stage.world.enabled()[0])
    stage.world.restart("alice", {slot.tail.journal: 0})
    stage.rest()
    assert type(stage.slot("alice", "bob").state) is Normal


def test_what_a_restart_finds_in_the_chain_is_told_when_it_is_durable() -> None:
    """The blocks that close a channel came while the node was down; the journal hangs (invariant P1)."""
    stage = Stage(topologies.direct())
    close(stage)
    stage.rest()
    bob, slot = stage["bob"], stage.slot("bob", "alice")
    stage.world.crash("bob")
    stage.mine(7)
    bob.disk.held[slot.tail.journal] = None
    bob.start()
    stage.act()
    assert type(stage.slot("bob", "alice").state) is Closed
    assert not stage.told("bob", ev.ChannelClosed)
    bob.disk.held.clear()
    stage.act()
    assert len(stage.told("bob", ev.ChannelClosed)) == 1


def test_event_waits_for_its_own_record_and_not_for_an_earlier_one() -> None:
    """The spend is durable; that it is deep enough is not yet (invariant P1)."""
    stage = Stage(topologies.direct())
    close(stage)
    stage.rest()
    bob, slot = stage["bob"], stage.slot("bob", "alice")
    stage.world.crash("bob")
    stage.mine(7)
    bob.start()
    assert bob.disk.under_way()[slot.tail.journal] == 2, "the spend and the end"
    bob.disk.commit(slot.tail.journal)
    stage.world.settle()
    assert not stage.told("bob", ev.ChannelClosed)
    bob.disk.commit(slot.tail.journal)
    stage.world.settle()
    assert len(stage.told("bob", ev.ChannelClosed)) == 1
