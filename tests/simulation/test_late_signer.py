"""A signer that always answers later, at every node and from the first channel on."""

import pytest

from leyden.bitcoin.networks import REGTEST
from leyden.channel.states import MutualClose, Normal
from leyden.crypto.hashes import sha256
from leyden.manager.config import ManagerConfig
from leyden.sim import user
from leyden.sim.world import World
from tests.manager.stage import Stage
from tests.manager.test_chain import close
from tests.manager.test_effects import LateNodeSigner, slow

NAMES = ("alice", "bob", "carol")
CAPACITY_SAT = 1_000_000


def to_the_end(stage: Stage, signers: list[LateNodeSigner], order: bytes) -> None:
    """Let everything happen; when nothing else can, one signer answers once, which one is a matter of `order`."""
    stage.act()
    while waiting := [one for one in signers if one.late.waiting]:
        order = sha256(order)
        waiting[order[0] % len(waiting)].late.deliver_next()
        stage.world.settle()
        stage.act()


@pytest.mark.parametrize("seed", range(6))
def test_a_whole_story_with_signers_that_answer_late(seed: int) -> None:
    """Open, pay both ways at once and over a hop, close: each step waits for its signature and nothing else stops."""
    world = World(b"late")
    for name in NAMES:
        world.add_node(name, ManagerConfig(REGTEST))
    world.link("alice", "bob")
    world.link("bob", "carol")
    stage = Stage(world)
    signers = [slow(stage, name) for name in NAMES]
    order = bytes((seed,))
    for opener, accepter in (("alice", "bob"), ("bob", "carol")):
        stage.world.grant(opener, 3 * CAPACITY_SAT)
        stage.world.mine()
        to_the_end(stage, signers, order)
        user.open_channel(stage[opener], stage[accepter], CAPACITY_SAT, CAPACITY_SAT * 500)
        to_the_end(stage, signers, order)
        stage.world.mine(6)
        to_the_end(stage, signers, order)
        assert type(stage.slot(opener, accepter).state) is Normal
    for payer, payee in (("alice", "bob"), ("bob", "alice"), ("alice", "carol"), ("carol", "alice")):
        name = f"{payer} to {payee}"
        stage.pay(payer, payee, stage.invoice(payee, tag=name), name)
    to_the_end(stage, signers, order)
    for order_of in stage.orders:
        payment = stage.m(order_of.payer).node.ledger.payments[order_of.started.payment_id]
        assert payment.sent is not None
    close(stage)
    to_the_end(stage, signers, order)
    assert type(stage.slot("alice", "bob").state) is MutualClose
