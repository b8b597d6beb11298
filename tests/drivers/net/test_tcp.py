"""`TcpTransport` over real sockets on the loopback."""

import asyncio
import itertools
import socket
from collections.abc import Callable

import msgspec
import pytest

from leyden.drivers.net.limits import TransportLimits
from leyden.drivers.net.tcp import TcpTransport
from leyden.drivers.net.tcp_connection import TcpConnection
from leyden.noise import StaticKey
from leyden.ports.transport import ConnectFailed, ConnectionHandler
from tests.drivers.net.contract import HOST, NODES, SECRETS, Make, Pair, TransportContract
from tests.drivers.net.recorder import Recorder
from tests.drivers.warp import run_warped

LIMITS = TransportLimits()


def ephemeral() -> Callable[[int], bytes]:
    """Different secrets, the same in every run."""
    counter = itertools.count(1000)
    return lambda length: next(counter).to_bytes(length, "big")


def node(number: int, handler: ConnectionHandler, limits: TransportLimits = LIMITS) -> TcpTransport:
    """A node's transport."""
    return TcpTransport(StaticKey.from_secret(SECRETS[number]), handler, limits, ephemeral())


class TestTcpTransportContract(TransportContract):
    """The real transport behaves like every other."""

    @pytest.fixture
    def make(self) -> Make:
        """Nodes on the loopback."""
        return node


async def test_nagle_is_off_at_both_ends() -> None:
    """A lone payment is six messages to and fro: each would wait for a delayed acknowledgement."""
    pair = Pair(node)
    for end in await pair.connect():
        assert isinstance(end, TcpConnection)
        wire = end._transport.get_extra_info("socket")
        assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    await pair.close()


async def test_more_connections_than_allowed_are_refused() -> None:
    """Connections are memory: one host may not take them all, all hosts may not take more than there is."""
    handler = Recorder()
    server = node(1, handler, msgspec.structs.replace(LIMITS, connections_per_host_max=2))
    port = await server.listen(HOST, 0)
    clients = [node(number, Recorder()) for number in (0, 2, 3)]
    for client in clients[:2]:
        await client.connect(NODES[1], HOST, port)
    with pytest.raises(ConnectFailed):
        await clients[2].connect(NODES[1], HOST, port)
    await handler.until(lambda: len(handler.connected) == 2)
    await clients[0].close()
    await handler.until(lambda: len(handler.disconnected) == 1)
    await clients[2].connect(NODES[1], HOST, port)
    await handler.until(lambda: len(handler.connected) == 3)
    for transport in [server, *clients]:
        await transport.close()


async def test_handshakes_are_limited_in_number_and_rate() -> None:
    """Each costs two point multiplications before we know who asks."""
    for limits in (
        msgspec.structs.replace(LIMITS, handshakes_max=3),
        msgspec.structs.replace(LIMITS, handshakes_per_second=1),
    ):
        server = node(1, Recorder(), limits)
        port = await server.listen(HOST, 0)
        silent = [await asyncio.open_connection(HOST, port) for _ in range(3)]
        with pytest.raises(ConnectFailed):
            await node(0, Recorder()).connect(NODES[1], HOST, port)
        await server.close()
        for _, writer in silent:
            writer.close()
            await writer.wait_closed()


def test_peer_that_connects_and_says_nothing_is_dropped() -> None:
    """Half-open connections must not pile up; the clock runs from the connection, not from the last byte."""

    async def story() -> None:
        loop = asyncio.get_running_loop()
        handler = Recorder()
        server = node(1, handler)
        port = await server.listen(HOST, 0)
        _, writer = await asyncio.open_connection(HOST, port)
        reader, trickler = await asyncio.open_connection(HOST, port)
        for _ in range(9):
            trickler.write(b"\x00")
            await asyncio.sleep(1.0)
        assert loop.time() < LIMITS.handshake_seconds
        assert await reader.read() == b""
        assert loop.time() == pytest.approx(LIMITS.handshake_seconds, abs=0.1)
        assert not handler.connected
        assert not handler.disconnected
        for end in (writer, trickler):
            end.close()
        await server.close()

    run_warped(story())


def test_silent_listener_and_silent_network_end_a_connect() -> None:
    """A dialled peer that accepts and says nothing must not hold up the caller for ever."""

    async def story() -> None:
        loop = asyncio.get_running_loop()
        listener = socket.create_server((HOST, 0))
        with pytest.raises(ConnectFailed, match="handshake took too long"):
            await node(0, Recorder()).connect(NODES[1], HOST, listener.getsockname()[1])
        assert loop.time() == pytest.approx(LIMITS.handshake_seconds, abs=0.1)
        listener.close()

    run_warped(story())


async def test_cancelled_connect_leaves_nothing_behind() -> None:
    """The user changes his mind while the peer is silent."""
    listener = socket.create_server((HOST, 0))
    handler = Recorder()
    client = node(0, handler)
    dialling = asyncio.get_running_loop().create_task(client.connect(NODES[1], HOST, listener.getsockname()[1]))
    accepted, _ = await asyncio.to_thread(listener.accept)
    await asyncio.sleep(0)
    dialling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dialling
    await client.close()
    assert not handler.connected
    assert not handler.disconnected
    accepted.close()
    listener.close()


async def test_node_id_that_is_no_point_is_refused() -> None:
    """Typed by hand, it is often wrong."""
    with pytest.raises(ConnectFailed, match="no node id"):
        await node(0, Recorder()).connect(type(NODES[0])(bytes(33)), HOST, 1)
