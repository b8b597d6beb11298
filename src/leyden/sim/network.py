"""Connections whose messages arrive when the world says so: all at once, one by one, or never."""

from collections import deque
from collections.abc import Sequence
from typing import final

from leyden.base.ids import NodeId
from leyden.ports.transport import ConnectionHandler
from leyden.sim.life import Life


@final
class SimConnection:
    """One end of a connection. arrived: what the other end has sent; None is the end of it."""

    def __init__(self, life: Life, handler: ConnectionHandler, node_id: bytes, *, inbound: bool) -> None:
        self.life = life
        self.arrived: deque[bytes | None] = deque()
        self.peer = self
        self._handler = handler
        self._node_id = NodeId(node_id)
        self._inbound = inbound
        self._paused = False
        self.ended = False

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
        return f"sim:{self._node_id.hex()[:8]}"

    @property
    def writable(self) -> bool:
        """Always."""
        return True

    def send(self, messages: Sequence[bytes]) -> None:
        """See `Connection`."""
        if not self.ended and not self.peer.ended:
            self.peer.arrived.extend(messages)

    def pause(self) -> None:
        """See `Connection`."""
        self._paused = True

    def resume(self) -> None:
        """See `Connection`."""
        self._paused = False

    def close(self, reason: str) -> None:
        """See `Connection`."""
        if self.ended:
            return
        self.peer.arrived.append(None)
        self._end(reason)

    def cut(self) -> None:
        """Lose the connection and all that is on its way."""
        self._end("connection lost")
        self.peer._end("connection lost")

    def is_deliverable(self) -> bool:
        """Return whether something can arrive here now."""
        return bool(self.arrived) and not self.ended and not self._paused and not self.life.is_over

    def deliver(self, count: int) -> None:
        """Let the first `count` messages that wait arrive in one read."""
        messages: list[bytes] = []
        while self.arrived and len(messages) < count:
            message = self.arrived.popleft()
            if message is None:
                self.arrived.clear()
                if not messages:
                    self._end("closed by the peer")
                    return
                self.arrived.append(None)
                break
            messages.append(message)
        self._handler.on_messages(self, messages)

    def announce(self) -> None:
        """Tell this end's node that it is connected."""
        self._handler.on_connected(self)

    def _end(self, reason: str) -> None:
        if self.ended:
            return
        self.ended = True
        self.arrived.clear()
        self.life.post(lambda: self._handler.on_disconnected(self, reason))


def connect(near: tuple[Life, ConnectionHandler, bytes], far: tuple[Life, ConnectionHandler, bytes]) -> SimConnection:
    """Connect two nodes, each given as (life, handler, node_id); return the near end. Nobody has been told yet."""
    one = SimConnection(near[0], near[1], far[2], inbound=False)
    other = SimConnection(far[0], far[1], near[2], inbound=True)
    one.peer, other.peer = other, one
    return one
