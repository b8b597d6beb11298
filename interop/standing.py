"""Who has what in the channels of one of our nodes and a foreign one, when nothing is under way."""

import msgspec

from interop.foreign import ForeignNode
from interop.scenario import check
from interop.world import Pair, World, outpoint_of
from leyden.demo.processes import DemoNode


class Standing(msgspec.Struct, frozen=True):
    """local_msat: what our node has in all its usable channels with the peer. channels: their funding outpoints."""

    us: DemoNode
    peer: ForeignNode
    local_msat: int
    channels: frozenset[str]


async def standing(world: World, us: DemoNode | None = None, peer: ForeignNode | None = None) -> Standing:
    """Wait until no HTLC is in any usable channel of the two and both sides agree on all balances."""
    ours, theirs = us or world.us, peer or world.peer
    pairs = await pairs_of(ours, theirs)
    for pair in pairs:
        await world.until_quiet(pair)
    outpoints = frozenset(pair.funding_outpoint for pair in pairs)
    local_msat = sum(one.local_msat for one in await ours.api.channels() if outpoint_of(one) in outpoints)
    return Standing(ours, theirs, local_msat, outpoints)


async def pairs_of(us: DemoNode, peer: ForeignNode) -> list[Pair]:
    """Return the usable channels of the two."""
    node_id = (await peer.info()).node_id
    channels = [one for one in await us.api.channels() if one.node_id == node_id and one.is_usable]
    return [Pair(one.channel_id, outpoint_of(one), us, peer) for one in channels]


async def check_moved(world: World, before: Standing, gain_msat: int) -> None:
    """Our node must have so much more than before (less when negative), and the same channels."""
    after = await standing(world, before.us, before.peer)
    check(after.channels == before.channels, f"the usable channels were {before.channels} and are {after.channels}")
    gained_msat = after.local_msat - before.local_msat
    name = before.us.name
    check(gained_msat == gain_msat, f"{name} was to have {gain_msat} msat more than before, it is {gained_msat}")
