"""A crash is a disconnection: whichever record a party dies after, kept or lost, all ends the same way.

Each run is the same story, with both directions, failures, preimages, dust, a feerate and a close in it.
"""

import pytest

from leyden.channel.inputs import ChangeFeerate
from leyden.channel.states import MutualClose
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from tests.channel.pair import ready_pair
from tests.channel.world import World

START = (6_000_000_000, 4_000_000_000)


def story(world: World, close: bool) -> None:
    """Two rounds of payments in both directions, then perhaps a cooperative close."""
    for round_ in range(2):
        for amount_msat in (10_000_000, 20_000_000, 300_000):
            world.pay(0, amount_msat)
            world.pay(1, amount_msat + 1)
        world.end_of_pass(0)
        world.deliver(0)
        world.pay(0, 2_000_000)
        world.end_of_pass(1)
        world.deliver(1, 1)
        world.guarded(0, world.pair.give, 0, ChangeFeerate(1_500 + round_))
        world.run()
    world.check_rest(START)
    if close:
        world.wishes[0].shutdown = True
        world.run()
        assert [type(party.state) for party in world.pair.parties] == [MutualClose, MutualClose]
        closes = [party.core.close_agreed for party in world.pair.parties]
        assert closes[0] == closes[1]


def records_of_a_calm_story() -> tuple[int, int]:
    """How many records each party writes when nobody dies."""
    world = World(ready_pair())
    story(world, close=True)
    assert world.crashes == 0
    return len(world.pair.a.journal), len(world.pair.b.journal)


CALM = records_of_a_calm_story()
BORN = len(ready_pair().a.journal)


def test_the_story_is_worth_telling() -> None:
    """A short story would crash in few places."""
    assert min(CALM) > BORN + 15


@pytest.mark.parametrize("lost", [0, 1], ids=["kept", "lost"])
@pytest.mark.parametrize("who", [0, 1], ids=["opener", "accepter"])
def test_a_crash_after_any_record_changes_nothing_in_the_end(who: int, lost: int) -> None:
    """The record is durable or not; nothing of its decision has left either way, and a reconnection makes it good."""
    for place in range(BORN + 1, CALM[who] + 1):
        world = World(ready_pair())
        world.lost = lost
        world.pair.parties[who].crash_at = place
        story(world, close=True)
        assert world.crashes == 1, f"the story is shorter than record {place}"


@pytest.mark.parametrize("kind", [CommitmentFormat.ANCHORS, CommitmentFormat.STATIC_REMOTEKEY])
def test_both_parties_may_crash_in_one_story(kind: CommitmentFormat) -> None:
    """A crash while the other is coming back."""
    for place in range(BORN + 1, min(CALM) - 6, 3):
        world = World(ready_pair(channel_type=ChannelType(kind)))
        world.lost = place % 2
        world.pair.a.crash_at, world.pair.b.crash_at = place, place + 2
        story(world, close=False)
        assert world.crashes == 2


def test_a_disconnection_after_any_message_changes_nothing_in_the_end() -> None:
    """The same story, cut on the wire instead: each message is the last one that arrives."""
    for cut in range(1, 200):
        world = World(ready_pair())
        for _ in range(3):
            world.pay(0)
            world.pay(1)
        delivered = 0
        for who in (0, 1):
            world.end_of_pass(who)
        while delivered < cut and (world.pair.wires[0] or world.pair.wires[1]):
            who = 0 if world.pair.wires[0] and (delivered % 3 or not world.pair.wires[1]) else 1
            delivered += world.deliver(who, 1)
        world.disconnect()
        world.run()
        world.check_rest(START)
        if delivered < cut:
            assert cut > 25
            return
    raise AssertionError("the story never ends")


def test_what_left_before_a_crash_is_made_good() -> None:
    """A party that dies when everything has left but nothing has arrived sends the same again."""
    world = World(ready_pair())
    for _ in range(4):
        world.pay(0)
        world.pay(1)
    for who in (0, 1):
        world.end_of_pass(who)
    before = [party.core.remote.number for party in world.pair.parties]
    world.die(0)
    world.die(1)
    assert [party.core.remote.number for party in world.pair.parties] == before == [1, 1]
    world.run()
    world.check_rest(START)
