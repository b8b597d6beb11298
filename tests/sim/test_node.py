"""A simulated node: its lives, its keys, what it keeps and what it forgets."""

import pytest

from leyden.base.errors import CommandRejected
from leyden.manager import events as ev
from leyden.sim import user
from tests.manager.stage import Stage
from tests.sim import topologies


def test_node_keeps_its_identity_and_forgets_its_memory() -> None:
    """The disk is all that outlives a crash."""
    stage = Stage(topologies.direct())
    alice = stage["alice"]
    before, lives, slot = alice.node_id, alice.lives, stage.slot("alice", "bob")
    stage.world.restart("alice")
    assert alice.node_id == before == stage.m("alice").node_id
    assert alice.lives == lives + 1
    assert stage.slot("alice", "bob") is not slot
    assert stage.slot("alice", "bob").state.core.local.local_msat == slot.state.core.local.local_msat


def test_each_life_draws_other_numbers_and_each_run_the_same() -> None:
    """Two lives must never use one nonce twice; two runs must be the same."""
    one, two = Stage(topologies.direct()), Stage(topologies.direct())
    assert one["alice"].random32() == two["alice"].random32()
    before = one["alice"].random32()
    one.world.restart("alice")
    assert one["alice"].random32() != before


def test_node_that_is_down_has_no_run_loop() -> None:
    """Whoever asks it something in a test has made a mistake."""
    stage = Stage(topologies.direct())
    stage.world.crash("alice")
    assert not stage["alice"].is_up
    with pytest.raises(AssertionError):
        stage.m("alice")


def test_command_that_is_refused_says_so() -> None:
    """To the caller, with nothing changed."""
    stage = Stage(topologies.direct())

    def refuse(_manager: object) -> None:
        raise CommandRejected("no", code="no")

    with pytest.raises(CommandRejected):
        stage["alice"].run(refuse)
    stage.check()


def test_what_left_the_mempool_is_news_when_it_comes_back() -> None:
    """A look into the mempool that does not find a transaction any more forgets it, as the shipped node does."""
    stage = Stage(topologies.direct())
    alice, pool = stage["alice"], stage.world.chain.pool
    stage.world.grant("alice", 50_000)
    [waiting] = pool
    alice.seen_in_pool = {waiting: None, bytes(32): None}
    stage.world.mine()
    assert list(alice.seen_in_pool) == [waiting, bytes(32)]
    alice.follow()
    assert not alice.seen_in_pool


def test_what_was_shown_is_kept_with_its_life() -> None:
    """The oracles tell repetitions in one life from those in several."""
    stage = Stage(topologies.direct())
    stage.prompt("alice", "", acknowledges=False)
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.rest()
    stage.world.restart("alice")
    stage.rest()
    shown = [one for one in stage["alice"].shown if isinstance(one.event, ev.PaymentSent)]
    assert [one.life for one in shown] == [stage["alice"].lives - 1, stage["alice"].lives]


def test_start_undoes_what_the_wallet_knows_above_the_best_block() -> None:
    """As the shipped node does: the block may have been replaced while the node was down, and its coins with it."""
    stage = Stage(topologies.direct())
    alice = stage["alice"]
    user.open_channel(alice, stage["bob"], 100_000, 0)
    stage.act()
    slot = stage.slot("alice", "bob", 1)
    alice.disk.held[slot.tail.journal] = None
    stage.mine()
    assert alice.runtime.wallet.balance().unconfirmed_sat == 0
    stage.world.crash("alice")
    stage.world.reorganise(1)
    alice.start()
    stage.act()
    stage.mine(6)
    stage.check()


def test_blocks_that_a_node_has_not_seen_are_counted_from_the_fork() -> None:
    """Whether it is down, or on a branch that was replaced."""
    stage = Stage(topologies.direct())
    alice = stage["alice"]
    assert alice.blocks_behind() == 0
    stage.world.mine(3)
    assert alice.blocks_behind() == 3
    stage.act()
    stage.world.crash("alice")
    stage.world.reorganise(2)
    assert alice.blocks_behind() == 3
