"""The `Transport` port: authenticated connections that carry whole messages.

Everything is synchronous and runs on the event loop's thread: a handler gets all whole messages of one read in one
call, decides, and sends what may leave with one `send`. There is no task and no future per message.
"""

from collections.abc import Sequence
from typing import Protocol

from leyden.base.errors import DriverError
from leyden.base.ids import NodeId


class ConnectFailed(DriverError):
    """The peer could not be reached, or did not prove that it is the one asked for."""


class Connection(Protocol):
    """One live connection. It is equal to itself only, and can be a key."""

    @property
    def node_id(self) -> NodeId:
        """Who the peer is: 33 bytes, proven by the handshake."""
        ...

    @property
    def inbound(self) -> bool:
        """Whether the peer connected to us."""
        ...

    @property
    def address(self) -> str:
        """Where the peer is, as `host:port`; for an inbound connection the port means nothing."""
        ...

    @property
    def writable(self) -> bool:
        """False while the peer reads more slowly than we write: send only what must be sent until `on_writable`."""
        ...

    def send(self, messages: Sequence[bytes]) -> None:
        """Send messages (type and payload, at most 65,535 bytes each) in order, with one write.

        On a connection that has ended it does nothing: a message dies with the connection it was decided in.
        """
        ...

    def pause(self) -> None:
        """Hand over no more messages and stop reading, so that the peer's sending stalls."""
        ...

    def resume(self) -> None:
        """Undo `pause`."""
        ...

    def close(self, reason: str) -> None:
        """End the connection after what was sent; `on_disconnected` follows, in a later turn, and no more messages."""
        ...


class ConnectionHandler(Protocol):
    """What the node gives a transport. No call is made from inside `send`, `pause`, `resume` or `close`."""

    def on_connected(self, connection: Connection) -> None:
        """A handshake is complete."""
        ...

    def on_messages(self, connection: Connection, messages: list[bytes]) -> None:
        """Take all whole messages of one read, in order (a flood comes in slices)."""
        ...

    def on_disconnected(self, connection: Connection, reason: str) -> None:
        """The connection is over; called once for each `on_connected`. `reason` is a sentence for the log."""
        ...

    def on_writable(self, connection: Connection) -> None:
        """The peer has caught up: `writable` is True again."""
        ...


class Transport(Protocol):
    """Makes connections for one node."""

    async def listen(self, host: str, port: int) -> int:
        """Accept connections; return the port (0 chooses a free one). Raises CommandRejected (`cannot_listen`)."""
        ...

    async def connect(self, node_id: NodeId, host: str, port: int) -> Connection:
        """Connect to a node. `on_connected` has been called when this returns. Raises ConnectFailed."""
        ...

    async def close(self) -> None:
        """Stop listening and end all connections."""
        ...
