"""Hostile peers: each costs bounded memory and cannot stall others."""

import asyncio
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, cast

import msgspec
import pytest

from leyden.drivers.net.limits import TransportLimits
from leyden.drivers.net.tcp import TcpTransport
from leyden.noise import Initiator, Transport
from leyden.ports.transport import Connection
from tests.drivers.net.contract import HOST, NODES, SECRETS, Pair
from tests.drivers.net.recorder import Recorder
from tests.drivers.net.test_tcp import LIMITS, node
from tests.drivers.warp import run_warped

FAST = TransportLimits(bytes_per_second=1 << 40, messages_per_second=1 << 40, pings_per_second=1 << 40)


class Hostile:
    """A peer with a valid handshake and a will of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, noise: Transport) -> None:
        self.reader = reader
        self.writer = writer
        self.noise = noise

    @staticmethod
    async def connect(port: int, number: int = 0) -> "Hostile":
        """Connect to node 1 and shake hands."""
        reader, writer = await asyncio.open_connection(HOST, port)
        initiator = Initiator(SECRETS[number], NODES[1], bytes([77]) * 32)
        writer.write(initiator.act_one())
        act_three, keys = initiator.receive_act_two(await reader.readexactly(50))
        writer.write(act_three)
        return Hostile(reader, writer, Transport(keys))

    def frames(self, message: bytes, size: int) -> Iterator[bytes]:
        """About `size` bytes of frames of `message`, in pieces of about 64 KiB."""
        count = max((64 << 10) // (len(message) + 34), 1)
        for _ in range(0, size, count * (len(message) + 34)):
            yield self.noise.encrypt_many([message] * count)

    async def close(self) -> None:
        """Go."""
        self.writer.transport.abort()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


class Server:
    """Node 1, listening."""

    def __init__(self, limits: TransportLimits = LIMITS, *, echo: bool = False) -> None:
        self.handler = Recorder(echo=echo)
        self.transport: TcpTransport = node(1, self.handler, limits)

    async def listen(self) -> int:
        """Return the port."""
        return await self.transport.listen(HOST, 0)


@pytest.mark.parametrize(
    "garbage",
    [b"GET / HTTP/1.1\r\n\r\n" * 10, bytes(50), b"\x00" + b"\x02" * 49, b"\x01" + bytes(49), b"\xff" * 300_000],
    ids=["http", "zeros", "no point", "version", "flood"],
)
async def test_wrong_handshake_is_closed_in_silence(garbage: bytes) -> None:
    """A stranger learns nothing, not even that this is a node."""
    server = Server()
    reader, writer = await asyncio.open_connection(HOST, await server.listen())
    writer.write(garbage)
    with suppress(ConnectionError):
        assert await reader.read() == b""
    assert not server.handler.connected
    assert not server.handler.disconnected
    writer.close()
    await server.transport.close()


async def test_handshake_in_single_bytes_and_in_one_piece_both_work() -> None:
    """TCP may cut anywhere, also right behind act three."""
    server = Server(echo=True)
    port = await server.listen()
    reader, writer = await asyncio.open_connection(HOST, port)
    initiator = Initiator(SECRETS[0], NODES[1], bytes([77]) * 32)
    for byte in initiator.act_one():
        writer.write(bytes([byte]))
        await asyncio.sleep(0)
    act_three, keys = initiator.receive_act_two(await reader.readexactly(50))
    noise = Transport(keys)
    writer.write(act_three + noise.encrypt_many([b"first", b"second"]))
    await server.handler.until(lambda: len(server.handler.messages) == 2)
    received: list[bytes] = []
    while len(received) < 2:
        received += noise.feed(await reader.read(1000))
    assert received == [b"first", b"second"]
    for byte in noise.encrypt(b"third"):
        writer.write(bytes([byte]))
        await asyncio.sleep(0)
    await server.handler.until(lambda: server.handler.messages[2:] == [b"third"])
    writer.close()
    await server.transport.close()


@pytest.mark.parametrize("position", [0, 17, 30])
async def test_frame_that_does_not_decrypt_ends_the_connection(position: int) -> None:
    """Header, its tag or body changed on the way: nothing after it can be trusted, a length least of all."""
    server = Server()
    peer = await Hostile.connect(await server.listen())
    frame = bytearray(peer.noise.encrypt(b"message" * 10))
    frame[position] ^= 1
    peer.writer.write(bytes(frame) + b"\xff" * 200_000)
    await server.handler.until(lambda: bool(server.handler.disconnected))
    assert server.handler.reasons() == ["a frame does not decrypt"]
    assert server.handler.messages == []
    await peer.close()
    await server.transport.close()


class Discarding(Recorder):
    """Counts and forgets."""

    received = 0

    def on_messages(self, connection: Connection, messages: list[bytes]) -> None:
        """Count the bytes."""
        self.received += sum(map(len, messages))
        self._change()


@pytest.mark.parametrize("size", [0, 60, 65_535])
async def test_hundred_megabytes_cost_bounded_memory(size: int) -> None:
    """Whatever the peer sends and however it is cut, only a read and an unfinished frame are ever kept."""
    handler = Discarding()
    server = node(1, handler, FAST)
    peer = await Hostile.connect(await server.listen(HOST, 0))
    total = 100 << 20 if size == 65_535 else 4 << 20
    sent = 0
    tracemalloc.start()
    for piece in peer.frames(bytes(size), total):
        sent += len(piece)
        peer.writer.write(piece)
        await peer.writer.drain()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    await handler.until(lambda: handler.received >= sent * size // (size + 34))
    # Both ends run here: the peer's own pieces and write buffer are in it too.
    assert peak < 4 << 20
    await peer.close()
    await server.close()


async def test_paused_connection_holds_no_more_than_one_read() -> None:
    """Back-pressure must reach the peer's kernel instead of filling our memory."""
    server = Server(FAST)
    peer = await Hostile.connect(await server.listen())
    await server.handler.until(lambda: bool(server.handler.connected))
    server.handler.connected[0].pause()
    stuffed = 0
    peer.writer.transport.set_write_buffer_limits(high=0)
    for piece in peer.frames(bytes(1000), 64 << 20):
        peer.writer.write(piece)
        stuffed += len(piece)
        for _ in range(3):
            await asyncio.sleep(0)
        if peer.writer.transport.get_write_buffer_size() > 1 << 20:
            break
    else:
        pytest.fail("64 MiB went somewhere")
    connection = server.handler.connected[0]
    assert len(getattr(connection, "_received")) <= 256 << 10  # noqa: B009 - the bound is what this test is about
    assert server.handler.messages == []
    await peer.close()
    await server.transport.close()


async def test_peer_that_does_not_read_is_cut_off_at_the_bound() -> None:
    """It asks for much and takes nothing: our memory is not its buffer."""
    server = Server()
    peer = await Hostile.connect(await server.listen())
    await server.handler.until(lambda: bool(server.handler.connected))
    connection = server.handler.connected[0]
    sent = 0
    while not server.handler.disconnected:
        connection.send([bytes(60_000)])
        sent += 60_000
        assert sent < 64 << 20, "nobody stopped it"
        await asyncio.sleep(0)
    assert not connection.writable
    assert server.handler.reasons() == ["does not read what we send"]
    await peer.close()
    await server.transport.close()


async def test_slow_reader_is_told_about_and_caught_up_with() -> None:
    """Gossip waits while the peer is slow; nothing is lost."""
    pair = Pair(node)
    near, far = await pair.connect()
    far.pause()
    sent = 0
    while near.writable:
        near.send([b"%6d" % sent + bytes(30_000)])
        sent += 1
        await asyncio.sleep(0)
    assert pair.handlers[0].writable == 0
    far.resume()
    await pair.handlers[0].until(lambda: pair.handlers[0].writable == 1)
    assert near.writable
    await pair.handlers[1].until(lambda: len(pair.handlers[1].messages) == sent)
    assert [int(message[:6]) for message in pair.handlers[1].messages] == list(range(sent))
    await pair.close()


async def test_flood_is_handed_over_in_slices_between_which_others_get_their_turn() -> None:
    """Thousands of tiny messages in one read must not keep a neighbour's revocation waiting."""
    server = Server(FAST)
    port = await server.listen()
    peer = await Hostile.connect(port)
    quiet = await Hostile.connect(port, 2)
    await server.handler.until(lambda: len(server.handler.connected) == 2)
    for piece in peer.frames(b"\x80\x01", 4 << 20):
        peer.writer.write(piece)
    quiet.writer.write(quiet.noise.encrypt(b"quiet"))
    await server.handler.until(lambda: b"quiet" in server.handler.messages)
    assert len(server.handler.messages) < 30_000, "the flood came first"
    assert max(server.handler.calls) <= FAST.slice_messages
    await quiet.close()
    await peer.close()
    await server.transport.close()


def _seconds_for(limits: TransportLimits, message: bytes, count: int) -> float:
    """Virtual seconds that `count` messages take to get through."""

    async def story() -> float:
        loop = asyncio.get_running_loop()
        server = Server(limits)
        peer = await Hostile.connect(await server.listen())
        await server.handler.until(lambda: bool(server.handler.connected))
        start = loop.time()
        for piece in peer.frames(message, count * (len(message) + 34)):
            peer.writer.write(piece)
        await server.handler.until(lambda: len(server.handler.messages) >= count)
        await peer.close()
        await server.transport.close()
        return loop.time() - start

    return run_warped(story())


def test_peer_is_read_no_faster_than_its_limits() -> None:
    """A flood is slowed down, not answered with a disconnection: it may be a fast and honest peer."""
    # One second of burst is free, and nobody waits for the debt of the last read (up to 256 KiB).
    slow_bytes = msgspec.structs.replace(LIMITS, bytes_per_second=100_000)
    assert 26 < _seconds_for(slow_bytes, bytes(966), 3000) < 30
    slow_messages = msgspec.structs.replace(LIMITS, messages_per_second=10_000)
    assert 8 < _seconds_for(slow_messages, b"\x80\x01", 100_000) < 11
    assert _seconds_for(LIMITS, bytes(1450), 2000) == pytest.approx(0.0, abs=0.05)


def test_trickle_of_single_bytes_is_slowed_down() -> None:
    """A read costs a turn of the loop, however little it brings; while reading is off, bytes join up in the kernel."""

    async def story() -> None:
        server = Server(msgspec.structs.replace(LIMITS, messages_per_second=100))
        peer = await Hostile.connect(await server.listen())
        await server.handler.until(lambda: bool(server.handler.connected))
        connection = cast("Any", server.handler.connected[0])
        reads: list[int] = []
        receive = connection.data_received

        def count(data: bytes) -> None:
            reads.append(len(data))
            receive(data)

        connection.data_received = count
        for byte in peer.noise.encrypt(bytes(1966)):
            peer.writer.write(bytes([byte]))
            await asyncio.sleep(0.001)
        await server.handler.until(lambda: len(server.handler.messages) == 1)
        assert sum(reads) == 2000
        # A burst of a hundred, then a hundred a second for two seconds.
        assert len(reads) < 320
        await peer.close()
        await server.transport.close()

    run_warped(story())


@pytest.mark.parametrize(("pings", "survives"), [(100, True), (110, False)])
def test_flood_of_pings_ends_the_connection(pings: int, survives: bool) -> None:
    """Each may ask for a pong of 64 kB."""

    async def story() -> None:
        server = Server()
        peer = await Hostile.connect(await server.listen())
        for _ in range(pings):
            peer.writer.write(peer.noise.encrypt(b"\x00\x12\x00\x01\x00\x00"))
        peer.writer.write(peer.noise.encrypt(b"after"))
        await server.handler.until(lambda: b"after" in server.handler.messages or bool(server.handler.disconnected))
        assert server.handler.reasons() == ([] if survives else ["floods us with pings"])
        await peer.close()
        await server.transport.close()

    run_warped(story())


async def test_handler_with_a_bug_loses_the_connection_and_nothing_else() -> None:
    """The run loop catches its own bugs; if one slips through, the other peers live on."""
    server = Server(FAST)
    port = await server.listen()
    peer = await Hostile.connect(port)
    loop = asyncio.get_running_loop()
    reported: list[object] = []
    loop.set_exception_handler(lambda _, context: reported.append(context.get("exception")))
    bug = RuntimeError("a bug in the handler")

    def raise_on_second_slice() -> None:
        if len(server.handler.calls) == 2:
            server.handler.on = lambda: None
            raise bug

    server.handler.on = raise_on_second_slice
    for piece in peer.frames(b"\x80\x01", 100_000):
        peer.writer.write(piece)
    await server.handler.until(lambda: bool(server.handler.disconnected))
    assert reported == [bug]
    other = await Hostile.connect(port, 2)
    other.writer.write(other.noise.encrypt(b"alive"))
    await server.handler.until(lambda: b"alive" in server.handler.messages)
    await other.close()
    await peer.close()
    await server.transport.close()


def test_close_does_not_wait_for_ever_for_a_peer_that_does_not_read() -> None:
    """What was sent before `close` gets a few seconds, then the socket goes."""

    async def story() -> None:
        loop = asyncio.get_running_loop()
        server = Server()
        peer = await Hostile.connect(await server.listen())
        await server.handler.until(lambda: bool(server.handler.connected))
        connection = server.handler.connected[0]
        while connection.writable:
            connection.send([bytes(60_000)])
        start = loop.time()
        connection.close("enough")
        await server.transport.close()
        assert loop.time() - start == pytest.approx(LIMITS.closing_seconds, abs=0.5)
        assert server.handler.reasons() == ["enough"]
        await peer.close()

    run_warped(story())
