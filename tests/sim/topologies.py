"""Worlds at rest that tests start from; each is made once in a process and copied."""

from functools import cache

import msgspec

from leyden.bitcoin.networks import REGTEST
from leyden.manager.config import ManagerConfig
from leyden.sim import user
from leyden.sim.schedules import Fair, run_to_rest
from leyden.sim.world import World
from leyden.wire.channel_type import ChannelType

CAPACITY_SAT = 1_000_000
CONFIG = ManagerConfig(REGTEST)


def rest(world: World) -> World:
    """Let everything happen."""
    run_to_rest(world, Fair())
    return world


def make(
    channels: list[tuple[str, str]], hold: str = "", channel_type: ChannelType = user.ANCHORS, **changes: object
) -> World:
    """Make nodes and channels (opener, accepter), each channel with half its capacity on either side.

    hold: a node that asks its user about payments instead of claiming them.
    """
    world = World(b"topology")
    for name in dict.fromkeys(name for pair in channels for name in pair):
        config = msgspec.structs.replace(CONFIG, auto_claim=name != hold, **changes)
        world.add_node(name, config)
    for one, other in dict.fromkeys(channels):
        world.link(one, other)
    rest(world)
    for one, other in channels:
        world.grant(one, 3 * CAPACITY_SAT)
        world.mine()
        rest(world)
        user.open_channel(world.nodes[one], world.nodes[other], CAPACITY_SAT, CAPACITY_SAT * 500, channel_type)
        rest(world)
        world.mine(6)
        rest(world)
    return world


@cache
def direct(hold: str = "") -> World:
    """alice - bob"""
    return make([("alice", "bob")], hold)


@cache
def line(hold: str = "") -> World:
    """alice - bob - carol"""
    return make([("alice", "bob"), ("bob", "carol")], hold)


@cache
def double(hold: str = "") -> World:
    """alice = bob, two channels"""
    return make([("alice", "bob"), ("alice", "bob")], hold)


@cache
def diamond(hold: str = "") -> World:
    """alice - bob - dave, alice - carol - dave"""
    return make([("alice", "bob"), ("alice", "carol"), ("bob", "dave"), ("carol", "dave")], hold)
