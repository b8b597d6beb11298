"""`MemoryNetwork`: the `Transport` port without sockets and without cryptography, for tests and simulations."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeAlias, final

from leyden.base.errors import CommandRejected
from leyden.base.ids import NodeId
from leyden.ports.transport import ConnectFailed, Connection, ConnectionHandler

Post: TypeAlias = Callable[[Callable[[], None]], object]
"""Runs a callback later, in the order of calls."""


@final
class MemoryConnection:
    """One end of a connection. What one end sends arrives at the other in a later turn, all of it in one call."""

    def __init__(self, network: "MemoryNetwork", handler: ConnectionHandler, node_id: NodeId, *, inbound: bool) -> None:
        self._network = network
        self._handler = handler
        self._node_id = node_id
        self._inbound = inbound
        self._arrived: list[bytes] = []
        self._paused = False
        self._ended = False
        self.peer = self
        """The other end."""

    @property
    def node_id(self) -> NodeId:
        """See `Connection`."""
        return self._node_id

    @property
    def inbound(self) -> bool:
        """See `Connection`."""
        return self._inbound

    @property
    def address(self) -> str:
        """See `Connection`."""
        return f"memory:{self._node_id.hex()[:8]}"

    @property
    def writable(self) -> bool:
        """Always: memory takes everything."""
        return True

    def send(self, messages: Sequence[bytes]) -> None:
        """See `Connection`."""
        peer = self.peer
        if self._ended or peer._ended or not messages:
            return
        if not peer._arrived:
            self._network.post(peer._deliver)
        peer._arrived += messages

    def pause(self) -> None:
        """See `Connection`."""
        self._paused = True

    def resume(self) -> None:
        """See `Connection`."""
        self._paused = False
        if self._arrived:
            self._network.post(self._deliver)

    def close(self, reason: str) -> None:
        """See `Connection`."""
        if self._ended:
            return
        self._end(reason)
        # The other end first gets what was sent before.
        self._network.post(lambda: self.peer._end("closed by the peer"))

    def cut(self) -> None:
        """Lose the connection: what is on its way is lost too."""
        for end in (self, self.peer):
            end._end("connection lost")

    def _deliver(self) -> None:
        if self._arrived and not self._paused and not self._ended:
            messages, self._arrived = self._arrived, []
            self._handler.on_messages(self, messages)

    def _end(self, reason: str) -> None:
        if not self._ended:
            self._ended = True
            self._arrived = []
            self._network.post(lambda: self._gone(reason))

    def _gone(self, reason: str) -> None:
        self._network.connections.pop(self, None)
        self._handler.on_disconnected(self, reason)

    def announce(self) -> None:
        """Tell this end's handler that it is connected."""
        self._handler.on_connected(self)


@final
class MemoryNetwork:
    """Everything that can reach each other. `post`: the running event loop's `call_soon` when None."""

    def __init__(self, post: Post | None = None) -> None:
        self._post = post
        self.listening: dict[tuple[str, int], MemoryTransport] = {}
        self.connections: dict[MemoryConnection, None] = {}
        """Both ends of every live connection."""

    def transport(self, node_id: NodeId, handler: ConnectionHandler) -> "MemoryTransport":
        """Return a node's access to the network."""
        return MemoryTransport(self, node_id, handler)

    def cut(self, node_id: NodeId) -> None:
        """Lose all connections of a node, as when its process is killed."""
        for connection in list(self.connections):
            if connection.peer.node_id == node_id:
                connection.cut()

    def post(self, callback: Callable[[], None]) -> None:
        """Run `callback` in a later turn."""
        if self._post is None:
            asyncio.get_running_loop().call_soon(callback)
        else:
            self._post(callback)


@final
class MemoryTransport:
    """`Transport` over a `MemoryNetwork`."""

    def __init__(self, network: MemoryNetwork, node_id: NodeId, handler: ConnectionHandler) -> None:
        self._network = network
        self._handler = handler
        self.node_id = node_id

    async def listen(self, host: str, port: int) -> int:
        """Accept connections; port 0 chooses a free one."""
        while port == 0 or (host, port) in self._network.listening:
            if port:
                raise CommandRejected(f"{host}:{port} is taken", code="cannot_listen")
            port = 1 + max([used for _, used in self._network.listening], default=9734)
        self._network.listening[host, port] = self
        return port

    async def connect(self, node_id: NodeId, host: str, port: int) -> Connection:
        """Connect to whoever listens there, if it is `node_id`. Raises ConnectFailed."""
        listener = self._network.listening.get((host, port))
        if listener is None:
            raise ConnectFailed(f"cannot reach {host}:{port}")
        if listener.node_id != node_id:
            raise ConnectFailed(f"{host}:{port} did not complete the handshake: it is another node")
        return self.join(listener)

    def join(self, listener: "MemoryTransport") -> MemoryConnection:
        """Connect at once (simulations have no coroutine to wait in)."""
        near = MemoryConnection(self._network, self._handler, listener.node_id, inbound=False)
        far = MemoryConnection(self._network, listener._handler, self.node_id, inbound=True)
        near.peer, far.peer = far, near
        self._network.connections |= {near: None, far: None}
        far.announce()
        near.announce()
        return near

    async def close(self) -> None:
        """Stop listening and end all connections of this node."""
        for address, transport in list(self._network.listening.items()):
            if transport is self:
                del self._network.listening[address]
        for connection in list(self._network.connections):
            if connection.peer.node_id == self.node_id:
                connection.close("this node stops")
        await asyncio.sleep(0)
