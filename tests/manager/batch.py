"""A batch of two channels: who opens it, and what must have become of it."""

from collections.abc import Sequence
from functools import cache

import msgspec

from leyden.channel.states import Closed, Normal
from leyden.journal.node_records import PeerRemembered
from leyden.sim import user
from leyden.sim.schedules import Fair, run_to_rest
from leyden.sim.user import Order
from leyden.sim.world import World
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from tests.sim.topologies import CONFIG

SATOSHIS = {"bob": 300_000, "carol": 200_000}
COIN_SAT = 1_000_000
ZERO_CONF = ChannelType(CommitmentFormat.ANCHORS, scid_alias=True, zeroconf=True)


@cache
def strangers(**changes: object) -> World:
    """alice has one coin, bob and carol are connected to her and trust her; nobody has a channel."""
    world = World(b"batch")
    world.add_node("alice", CONFIG)
    world.add_node("bob", CONFIG)
    world.add_node("carol", msgspec.structs.replace(CONFIG, **changes))
    for peer in SATOSHIS:
        world.link("alice", peer)
    world.grant("alice", COIN_SAT)
    world.mine()
    run_to_rest(world, Fair())
    record = PeerRemembered(world.nodes["alice"].node_id, "", trusted=True)
    for peer in SATOSHIS:
        world.nodes[peer].run(lambda m: m.record(record))
    run_to_rest(world, Fair())
    return world


def ask(world: World, channel_type: ChannelType = user.ANCHORS) -> list[Order]:
    """alice asks both for a channel, at once."""
    wanted = [(world.nodes[peer], satoshis) for peer, satoshis in SATOSHIS.items()]
    user.open_batch(world.nodes["alice"], wanted, channel_type)
    return []


def all_or_none(world: World, _orders: Sequence[Order] = ()) -> None:
    """Both channels come to be used; or neither, nothing was published, and another channel takes the only coin."""
    alice = world.nodes["alice"]
    fundings = [txid for txid, what in world.broadcasts if what == "funding"]
    lives = [slot for slot in alice.manager.channels.values() if type(slot.state) is not Closed]
    assert len(lives) in (0, 2)
    assert bool(lives) is bool(fundings)
    if not lives:
        balance = alice.runtime.wallet.balance()
        assert balance.spendable_sat == balance.confirmed_sat == COIN_SAT
        user.open_channel(alice, world.nodes["bob"], COIN_SAT * 4 // 5, 0)
        run_to_rest(world, Fair())
        lives = [slot for slot in alice.manager.channels.values() if type(slot.state) is not Closed]
        assert len(lives) == 1
    world.mine(6)
    run_to_rest(world, Fair())
    assert {slot.state.core.opened.funding_txid for slot in lives} == {txid for txid, _what in world.broadcasts}
    for node in world.nodes.values():
        for slot in node.manager.channels.values():
            is_live = any(slot.channel_id == one.channel_id for one in lives)
            assert type(slot.state) is (Normal if is_live else Closed)
    for slot in lives:
        peer = world.node_of(slot.peer)
        started = user.keysend_payment(alice, peer, 1_000_000, slot.channel_id)
        Order("alice", started, peer.name).ask(alice)
        run_to_rest(world, Fair())
        assert alice.manager.node.ledger.payments[slot.channel_id].sent is not None
