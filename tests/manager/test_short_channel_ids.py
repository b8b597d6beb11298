"""By which names a channel is known: our aliases, the real one, the peer's (BOLT 2, "The `channel_ready` Message")."""

from functools import cache

import msgspec
import pytest

from leyden.crypto.hashes import sha256
from leyden.invoices import bolt11
from leyden.manager import events as ev
from leyden.manager.channel_updates import channel_update
from leyden.node.paying import route_hints
from leyden.sim import user
from leyden.sim.world import World
from leyden.sphinx.failures import FailureCode
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from leyden.wire.messages import ChannelUpdate, decode
from tests.manager.stage import AMOUNT_MSAT, DELTA, Stage
from tests.sim import topologies

SCID_ALIAS = ChannelType(CommitmentFormat.ANCHORS, scid_alias=True, zeroconf=False)
FEE_MSAT = 1000 + AMOUNT_MSAT * 100 // 1_000_000


@cache
def aliased() -> World:
    """alice - bob - carol, the second channel with scid_alias in its type"""
    world = topologies.make([("alice", "bob")])
    world.add_node("carol", topologies.CONFIG)
    world.link("bob", "carol")
    world.grant("bob", 3 * topologies.CAPACITY_SAT)
    world.mine()
    topologies.rest(world)
    capacity = topologies.CAPACITY_SAT
    user.open_channel(world.nodes["bob"], world.nodes["carol"], capacity, capacity * 500, SCID_ALIAS)
    topologies.rest(world)
    world.mine(6)
    return topologies.rest(world)


def over(stage: Stage, scid: int, name: str) -> None:
    """Alice pays carol over bob's channel of this name."""
    final = stage.m("alice").env.block_height + 60
    hops = [(0, "bob", AMOUNT_MSAT + FEE_MSAT, final + DELTA), (scid, "carol", AMOUNT_MSAT, final)]
    stage.route("alice", stage.invoice("carol", tag=name), hops, name)
    stage.check()


def real(stage: Stage, name: str = "bob", peer: str = "carol") -> int:
    """The short_channel_id by the block that holds the funding."""
    funding = stage.slot(name, peer).state.core.funding
    assert funding is not None
    return funding.short_channel_id


@pytest.mark.parametrize("restarts", [False, True])
def test_alias_and_real_short_channel_id_name_a_channel_at_once(restarts: bool) -> None:
    """An invoice may hold either, and live longer than a node."""
    stage = Stage(topologies.line())
    if restarts:
        stage.world.restart("bob")
        stage.rest()
    names = [stage.scid("bob", "carol"), real(stage)]
    for number, scid in enumerate(names):
        over(stage, scid, f"over {number}")
    assert len(stage.told("bob", ev.PaymentForwarded)) == len(set(names)) == 2


@pytest.mark.parametrize("restarts", [False, True])
def test_real_short_channel_id_of_an_scid_alias_channel_is_refused(restarts: bool) -> None:
    """Who could probe with it would learn which output on the chain is the channel's."""
    stage = Stage(aliased())
    if restarts:
        stage.world.restart("bob")
        stage.rest()
    over(stage, real(stage), "real")
    assert stage.failure("alice", "real") == ("route_failed", FailureCode.UNKNOWN_NEXT_PEER, 0)
    over(stage, stage.scid("bob", "carol"), "alias")
    assert stage.payment("alice", "alias").sent is not None


def test_alias_tells_nothing_of_the_funding() -> None:
    """It is drawn at random, and names a block before there were channels."""
    stage = Stage(aliased())
    for name, peer in (("alice", "bob"), ("bob", "carol"), ("carol", "bob")):
        seed, lives = stage[name].seed, range(1, stage[name].lives + 1)
        draws = [
            sha256(seed + life.to_bytes(4, "big") + number.to_bytes(8, "big")) for life in lives for number in range(99)
        ]
        assert stage.scid(name, peer) in [int.from_bytes(draw[:8], "big") & ((1 << 58) - 1) for draw in draws]
        assert stage.scid(name, peer) != real(stage, name, peer)


def test_invoice_of_an_scid_alias_channel_holds_the_alias_alone() -> None:
    """The hint names the channel as the peer knows it; without an alias of the peer there is no hint."""
    stage = Stage(aliased())
    invoice = bolt11.decode(stage.invoice("carol"))
    assert [hop.short_channel_id for hint in invoice.route_hints for hop in hint] == [stage.scid("bob", "carol")]
    assert real(stage) != stage.scid("bob", "carol")
    slot = stage.slot("carol", "bob")
    policy = slot.state.core.peer_policy
    assert policy is not None
    slot.state.core.remote_alias = 0
    slot.state.core.peer_policy = msgspec.structs.replace(policy, short_channel_id=0)
    assert route_hints(stage.m("carol")) == ()


def test_invoice_of_another_channel_may_hold_the_real_one() -> None:
    """A peer without aliases knows nothing else."""
    stage = Stage(topologies.line())
    stage.slot("carol", "bob").state.core.remote_alias = 0
    assert [hop.short_channel_id for hint in route_hints(stage.m("carol")) for hop in hint] == [real(stage)]


def test_channel_update_of_an_scid_alias_channel_may_name_the_real_one() -> None:
    """BOLT 7 allows either name, and LND takes the real one; without its policy no invoice could have a hint."""
    stage = Stage(aliased())
    sender, slot = stage.slot("bob", "carol"), stage.slot("carol", "bob")
    slot.state.core.peer_policy = None
    sender.state.core.remote_alias = 0
    raw = channel_update(stage.m("bob"), sender)
    update = decode(raw)
    assert isinstance(update, ChannelUpdate)
    assert update.short_channel_id == real(stage)
    stage["carol"].runtime.on_messages(stage.world.end_of("carol", "bob"), [raw])
    stage.world.settle()
    assert slot.state.core.peer_policy is not None
    [(hint,)] = route_hints(stage.m("carol"))
    assert hint.short_channel_id == stage.scid("bob", "carol"), "others are told the alias all the same"
