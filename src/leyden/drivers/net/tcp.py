"""`TcpTransport`: BOLT 8 over asyncio TCP."""

import asyncio
from collections.abc import Callable
from typing import cast, final

from leyden.base.errors import CommandRejected
from leyden.base.ids import NodeId
from leyden.drivers.net.limits import TokenBucket, TransportLimits
from leyden.drivers.net.tcp_connection import Handshake, InitiatorHandshake, ResponderHandshake, TcpConnection
from leyden.noise import Initiator, Responder, StaticKey
from leyden.ports.transport import ConnectFailed, Connection, ConnectionHandler


@final
class TcpTransport:
    """`Transport` over TCP.

    Args:
        identity: the node's key; its secret may stay with a signer.
        handler: gets the connections.
        limits: what peers may cost.
        random_bytes: gives that many unpredictable bytes (ephemeral secrets of the handshake).
    """

    def __init__(
        self,
        identity: StaticKey,
        handler: ConnectionHandler,
        limits: TransportLimits,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._identity = identity
        self._handler = handler
        self._limits = limits
        self._random_bytes = random_bytes
        self._servers: list[asyncio.Server] = []
        self._open: dict[TcpConnection, str | None] = {}
        """Every counted connection with its host, None for outbound ones."""
        self._hosts: dict[str, int] = {}
        self._inbound = 0
        self._unproven = 0
        """Inbound connections in their handshake."""
        self._handshakes: TokenBucket | None = None
        self._dialling: dict[TcpConnection, asyncio.Future[str | None]] = {}
        """Connections that somebody waits for; the result says why there is none."""
        self._sockets: dict[TcpConnection, None] = {}
        self._all_closed: asyncio.Event | None = None

    async def listen(self, host: str, port: int) -> int:
        """Accept connections on an address; return the port. Raises CommandRejected (`cannot_listen`)."""
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(self._accept, host, port, reuse_address=True, backlog=256)
        except OSError as error:
            raise CommandRejected(
                f"cannot listen on {host}:{port} ({error.strerror or error}): choose another address or port",
                code="cannot_listen",
            ) from error
        self._servers.append(server)
        address = cast("tuple[str, int]", server.sockets[0].getsockname())
        return address[1]

    async def connect(self, node_id: NodeId, host: str, port: int) -> Connection:
        """Connect to a node and complete the handshake. Raises ConnectFailed."""
        loop = asyncio.get_running_loop()
        try:
            initiator = Initiator(self._identity, node_id, self._random_bytes(32))
        except ValueError as error:
            raise ConnectFailed(f"{node_id.hex()} is no node id: {error}") from error

        connection = TcpConnection(
            self, self._handler, self._limits, lambda: InitiatorHandshake(initiator), inbound=False
        )
        established: asyncio.Future[str | None] = loop.create_future()
        self._dialling[connection] = established
        try:
            async with asyncio.timeout(self._limits.connect_seconds):
                await loop.create_connection(lambda: connection, host, port)
            failure = await established
        except TimeoutError as error:
            raise ConnectFailed(f"{host}:{port} does not answer") from error
        except OSError as error:
            raise ConnectFailed(f"cannot reach {host}:{port} ({error.strerror or error})") from error
        except asyncio.CancelledError:
            if connection in self._sockets:
                connection.close("no longer wanted")
            raise
        finally:
            del self._dialling[connection]
        if failure is not None:
            raise ConnectFailed(f"{host}:{port} did not complete the handshake: {failure}")
        return connection

    async def close(self) -> None:
        """Stop listening and end all connections; every `on_disconnected` has run when this returns."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        for connection in list(self._open):
            connection.close("this node stops")
        self._all_closed = asyncio.Event()
        if self._sockets:
            await self._all_closed.wait()
        # `on_disconnected` of the last one was posted before its socket closed.
        await asyncio.sleep(0)

    # ------------------------------------------------------------------ called by the connections

    def admit(self, connection: TcpConnection, host: str) -> bool:
        """Count a connection if there is room for it."""
        self._sockets[connection] = None
        if not connection.inbound:
            self._open[connection] = None
            return True
        limits = self._limits
        if (
            self._inbound >= limits.connections_max
            or self._unproven >= limits.handshakes_max
            or self._hosts.get(host, 0) >= limits.connections_per_host_max
            or not self._may_shake_hands()
        ):
            return False
        self._open[connection] = host
        self._hosts[host] = self._hosts.get(host, 0) + 1
        self._inbound += 1
        self._unproven += 1
        return True

    def established(self, connection: TcpConnection) -> None:
        """Tell the handler and whoever dialled."""
        if connection.inbound:
            self._unproven -= 1
        waiting = self._dialling.get(connection)
        self._handler.on_connected(connection)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def gone(self, connection: TcpConnection, reason: str) -> None:
        """Tell the handler if it knew the connection, and whoever dialled."""
        if connection not in self._open:
            return
        host = self._open.pop(connection)
        if host is not None:
            self._inbound -= 1
            self._hosts[host] -= 1
            if not self._hosts[host]:
                del self._hosts[host]
            if not connection.node_id:
                self._unproven -= 1
        waiting = self._dialling.get(connection)
        if waiting is not None and not waiting.done():
            waiting.set_result(reason)
        if connection.node_id:
            self._handler.on_disconnected(connection, reason)

    def closed(self, connection: TcpConnection) -> None:
        """Forget the socket."""
        self._sockets.pop(connection, None)
        if self._all_closed is not None and not self._sockets:
            self._all_closed.set()

    # ------------------------------------------------------------------ inside

    def _accept(self) -> TcpConnection:
        return TcpConnection(self, self._handler, self._limits, self._answer, inbound=True)

    def _answer(self) -> Handshake:
        return ResponderHandshake(Responder(self._identity, self._random_bytes(32)))

    def _may_shake_hands(self) -> bool:
        now = asyncio.get_running_loop().time()
        if self._handshakes is None:
            self._handshakes = TokenBucket(self._limits.handshakes_per_second, 2.0, now)
        if self._handshakes.wait(now):
            return False
        self._handshakes.spend(1)
        return True
