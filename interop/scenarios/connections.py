"""Handshake, init, features, unknown messages, errors, and connections that come and go."""

from typing import Final

from interop.scenario import check, scenario
from interop.world import World

DATA_LOSS_PROTECT: Final = 0
STATIC_REMOTEKEY: Final = 12
ANCHORS: Final = 22
CHANNEL_TYPE: Final = 44
STORM_ROUNDS: Final = 20


def offered(features: frozenset[int], bit: int) -> bool:
    """Whether a feature is set, as optional or as mandatory. bit: the even one."""
    return bit in features or bit + 1 in features


@scenario(1, "handshake and `init` with us calling and with the peer calling")
async def handshake(world: World) -> None:
    """Both see the other's features, whoever calls."""
    peer_id = (await world.peer.info()).node_id
    await world.connect(world.us, world.peer)
    await world.us.api.disconnect(peer_id)
    await world.until(lambda: _is_gone(world), "the peer has seen us go")
    await world.peer.connect(world.us.node_id, world.us.port)
    await world.until_connected(world.us, world.peer)
    ours = await world.peer.peer_features(world.us.node_id)
    (text,) = [one.features for one in await world.us.api.peers() if one.node_id == peer_id]
    bits = int(text, 16)
    theirs = frozenset(bit for bit in range(bits.bit_length()) if bits >> bit & 1)
    for bit in (DATA_LOSS_PROTECT, STATIC_REMOTEKEY, ANCHORS, CHANNEL_TYPE):
        check(offered(ours, bit), f"the peer does not see our feature bit {bit}: {sorted(ours)}")
        check(offered(theirs, bit), f"we do not see the peer's feature bit {bit}: {sorted(theirs)}")


@scenario(1, f"{STORM_ROUNDS} reconnections at once with a channel, then a payment")
async def reconnect_storm(world: World) -> None:
    """Connections that are cut as soon as they stand do no harm."""
    pair = await world.channel()
    for number in range(STORM_ROUNDS):
        if number % 2:
            await world.us.api.disconnect((await world.peer.info()).node_id)
        else:
            await world.peer.disconnect(world.us.node_id)
        await world.connect(world.us, world.peer)
    await world.until_usable(world.us, world.peer, pair.funding_outpoint)
    await world.pay_peer(10_000_000)
    await world.peer_pays(10_000_000)
    await world.until_quiet(pair)


async def _is_gone(world: World) -> bool:
    return world.us.node_id not in await world.peer.peers()
