"""Keeping connections: peers with channels are connected again, with growing pauses; quiet ones are pinged."""

import asyncio
import logging

from leyden.base.errors import DriverError
from leyden.base.ids import NodeId
from leyden.channel.states import Closed
from leyden.node.config import split_address
from leyden.node.core import NodeCore

PING_INTERVAL_SECONDS = 30
RECONNECT_FIRST_SECONDS = 1.0
RECONNECT_LAST_SECONDS = 60.0
LOOK_INTERVAL_SECONDS = 0.5
_log = logging.getLogger("leyden.peer")


async def keep_connected(core: NodeCore) -> None:
    """Connect again to peers with channels, for ever."""
    pauses: dict[bytes, float] = {}
    due: dict[bytes, float] = {}
    loop = asyncio.get_running_loop()
    while True:
        for node_id in wanted_peers(core):
            if node_id in core.runtime.connections:
                pauses.pop(node_id, None)
                due.pop(node_id, None)
                continue
            if loop.time() < due.get(node_id, 0.0):
                continue
            if not await _try(core, node_id):
                pause = min(pauses.get(node_id, RECONNECT_FIRST_SECONDS / 2) * 2, RECONNECT_LAST_SECONDS)
                pauses[node_id] = pause
                due[node_id] = loop.time() + pause
        await asyncio.sleep(LOOK_INTERVAL_SECONDS)


def wanted_peers(core: NodeCore) -> list[bytes]:
    """Return the peers that we should be connected to and know how to reach."""
    manager = core.manager
    found: dict[bytes, None] = {}
    for slot in manager.channels.values():
        if type(slot.state) is not Closed and slot.peer in manager.node.peers and slot.peer not in core.unwanted_peers:
            found[slot.peer] = None
    return [node_id for node_id in found if manager.node.peers[node_id].address]


async def _try(core: NodeCore, node_id: bytes) -> bool:
    host, port = split_address(core.manager.node.peers[node_id].address, "address of a peer")
    assert core.transport is not None
    try:
        await core.transport.connect(NodeId(node_id), host, port)
    except DriverError as error:
        _log.debug("cannot connect to %s: %s", node_id.hex()[:16], error)
        return False
    return True


async def ping_all(core: NodeCore) -> None:
    """Ping every peer now and then."""
    while True:
        await asyncio.sleep(PING_INTERVAL_SECONDS)
        core.runtime.ping_all()


async def every_second(core: NodeCore) -> None:
    """Timeouts and deadlines."""
    while True:
        await asyncio.sleep(1.0)
        core.runtime.on_second()
