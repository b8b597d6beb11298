"""Old commitments made again from the journal, as an operator who cheats would have kept them."""

from pathlib import Path

import pytest

from leyden.sim import user
from leyden.sim.cheating import NoSuchState, old_commitment
from leyden.sim.consensus import Consensus
from leyden.sim.schedules import Fair, run_to_rest
from leyden.sim.world import World
from tests.sim import topologies


def paid() -> tuple[World, bytes]:
    """Return a world in which a payment went from alice to bob, and their channel."""
    world = topologies.direct().copy()
    run_to_rest(world, Fair())
    alice, bob = world.nodes["alice"], world.nodes["bob"]
    user.Order("alice", user.invoice_payment(alice, user.make_invoice(bob, 5_000_000), b"p" * 32), "bob").ask(alice)
    run_to_rest(world, Fair())
    (channel_id,) = alice.manager.channels
    return world, channel_id


@pytest.mark.parametrize("name", ["alice", "bob"])
def test_every_state_is_one_that_consensus_takes(name: str, tmp_path: Path) -> None:
    """A cheat that the network would refuse proves nothing about justice."""
    world, channel_id = paid()
    node = world.nodes[name]
    latest = node.manager.channels[channel_id].state.core.local.number
    assert latest >= 2
    consensus = Consensus(tmp_path)
    made = [old_commitment(node, channel_id, number) for number in range(latest + 1)]
    for transaction in made:
        consensus(world.chain, transaction)
    consensus.close()
    assert consensus.valid == len(made)
    assert len({transaction.txid() for transaction in made}) == len(made)
    node.crash({})
    assert old_commitment(node, channel_id, 0) == made[0], "also of a node that is down"


def test_states_that_are_not_kept_are_refused() -> None:
    """A number that never was, one that a snapshot has replaced, a channel that the node does not have."""
    world, channel_id = paid()
    alice = world.nodes["alice"]
    latest = alice.manager.channels[channel_id].state.core.local.number
    with pytest.raises(NoSuchState, match=f"has kept its commitments 0 to {latest}"):
        old_commitment(alice, channel_id, latest + 1)
    with pytest.raises(NoSuchState, match="has nothing of that channel"):
        old_commitment(alice, b"?" * 32, 0)
    alice.compact()
    run_to_rest(world, Fair())
    with pytest.raises(NoSuchState, match=f"has kept its commitments {latest} to {latest}"):
        old_commitment(alice, channel_id, 0)
    assert old_commitment(alice, channel_id, latest).inputs
