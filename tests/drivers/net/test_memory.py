"""`MemoryNetwork`."""

import pytest

from leyden.drivers.net.memory import MemoryNetwork
from tests.drivers.net.contract import HOST, NODES, Make, Pair, TransportContract


class TestMemoryTransportContract(TransportContract):
    """The network in memory behaves like the real one."""

    @pytest.fixture
    def make(self) -> Make:
        """Nodes of one network."""
        network = MemoryNetwork()
        return lambda number, handler: network.transport(NODES[number], handler)


async def test_killed_node_loses_its_connections_and_what_was_on_the_way() -> None:
    """The other end of a `kill -9` sees a lost connection, and messages of both sides are gone."""
    network = MemoryNetwork()
    pair = Pair(lambda number, handler: network.transport(NODES[number], handler))
    near, far = await pair.connect()
    near.send([b"lost"])
    far.send([b"lost too"])
    network.cut(NODES[1])
    for handler in pair.handlers:
        await handler.until_disconnected()
        assert handler.messages == []
        assert handler.reasons() == ["connection lost"]
    assert not network.connections
    await pair.close()


async def test_simulation_without_an_event_loop_owns_every_step() -> None:
    """The simulator decides when a message arrives."""
    posted: list[object] = []
    network = MemoryNetwork(posted.append)
    pair = Pair(lambda number, handler: network.transport(NODES[number], handler))
    port = await pair.transports[1].listen(HOST, 0)
    near = await pair.transports[0].connect(NODES[1], HOST, port)
    near.send([b"one"])
    near.send([b"two"])
    assert len(posted) == 1
    step = posted[0]
    assert callable(step)
    step()
    assert pair.handlers[1].messages == [b"one", b"two"]
    assert pair.handlers[1].calls == [2]
