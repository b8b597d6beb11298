"""What every `Transport` owes: subclass `TransportContract`, name the class `Test…`, give it `make`."""

import asyncio
from collections.abc import Callable
from typing import TypeAlias

import pytest

from leyden.base.errors import CommandRejected
from leyden.base.ids import NodeId
from leyden.crypto.ec import public_key
from leyden.ports.transport import ConnectFailed, Connection, ConnectionHandler, Transport
from tests.drivers.net.recorder import Recorder

SECRETS = [bytes([number]) * 32 for number in range(1, 5)]
NODES = [NodeId(public_key(secret)) for secret in SECRETS]
HOST = "127.0.0.1"

Make: TypeAlias = Callable[[int, ConnectionHandler], Transport]


class Pair:
    """Two nodes with one connection between them, from node 0 to node 1."""

    def __init__(self, make: Make, *, echo: bool = False) -> None:
        self.handlers = (Recorder(), Recorder(echo=echo))
        self.transports = tuple(make(number, handler) for number, handler in enumerate(self.handlers))

    async def connect(self) -> tuple[Connection, Connection]:
        """Return both ends."""
        port = await self.transports[1].listen(HOST, 0)
        near = await self.transports[0].connect(NODES[1], HOST, port)
        await self.handlers[1].until(lambda: bool(self.handlers[1].connected))
        return near, self.handlers[1].connected[0]

    async def close(self) -> None:
        """End everything."""
        for transport in self.transports:
            await transport.close()


class TransportContract:
    """The tests. A subclass gives the fixture `make`."""

    async def test_both_ends_know_each_other(self, make: Make) -> None:
        """The identity of a peer is what its channels hang on."""
        pair = Pair(make)
        near, far = await pair.connect()
        assert (near.node_id, near.inbound) == (NODES[1], False)
        assert (far.node_id, far.inbound) == (NODES[0], True)
        assert pair.handlers[0].connected == [near]
        await pair.close()

    async def test_messages_arrive_whole_and_in_order(self, make: Make) -> None:
        """BOLT 2 counts on the order."""
        pair = Pair(make, echo=True)
        near, _ = await pair.connect()
        messages = [b"\x80\x01" + bytes([size % 256]) * size for size in (0, 1, 100, 1_450, 65_533)] * 3
        near.send(messages)
        near.send([])
        near.send(messages[:1])
        await pair.handlers[0].until(lambda: len(pair.handlers[0].messages) == 16)
        assert pair.handlers[0].messages == messages + messages[:1]
        await pair.close()

    async def test_messages_of_one_send_arrive_in_one_call(self, make: Make) -> None:
        """One pass decides all, one record batch, one commitment: batching lives on it."""
        pair = Pair(make)
        near, _ = await pair.connect()
        near.send([b"\x80\x01" + bytes(100)] * 50)
        await pair.handlers[1].until(lambda: bool(pair.handlers[1].messages))
        assert pair.handlers[1].calls == [50]
        await pair.close()

    @pytest.mark.parametrize("closer", [0, 1])
    async def test_close_is_told_once_at_both_ends_after_what_was_sent(self, make: Make, closer: int) -> None:
        """An `error` message is followed by the end of the connection, and must arrive."""
        pair = Pair(make)
        ends = await pair.connect()
        ends[closer].send([b"last words"])
        ends[closer].close("enough")
        ends[closer].close("again")
        assert pair.handlers[closer].disconnected == [], "told from inside the call"
        ends[closer].send([b"too late"])
        for handler in pair.handlers:
            await handler.until_disconnected()
        await pair.close()
        assert pair.handlers[closer].disconnected == [(ends[closer], "enough")]
        assert [connection for connection, _ in pair.handlers[1 - closer].disconnected] == [ends[1 - closer]]
        assert pair.handlers[1 - closer].messages == [b"last words"]

    async def test_paused_connection_hands_nothing_over_until_it_is_resumed(self, make: Make) -> None:
        """Back-pressure: what the store cannot take must wait in the peer."""
        pair = Pair(make, echo=True)
        near, _ = await pair.connect()
        near.pause()
        near.send([b"one", b"two"])
        await pair.handlers[1].until(lambda: len(pair.handlers[1].messages) == 2)
        near.send([b"three"])
        await pair.handlers[1].until(lambda: len(pair.handlers[1].messages) == 3)
        for _ in range(20):
            await asyncio.sleep(0)
        assert pair.handlers[0].messages == []
        near.resume()
        await pair.handlers[0].until(lambda: len(pair.handlers[0].messages) == 3)
        assert pair.handlers[0].messages == [b"one", b"two", b"three"]
        await pair.close()

    async def test_pause_inside_a_call_holds_the_rest(self, make: Make) -> None:
        """A handler that is full says so in the middle of a flood."""
        pair = Pair(make)
        near, far = await pair.connect()
        pair.handlers[1].on = far.pause
        for number in range(5):
            near.send([b"%d" % number] * 400)
        seen = 0
        while seen < 2000:
            await pair.handlers[1].until_more_than(seen)
            seen = len(pair.handlers[1].messages)
            far.resume()
        assert pair.handlers[1].messages == [b"%d" % number for number in range(5) for _ in range(400)]
        await pair.close()

    async def test_unreachable_and_mistaken_peers_are_refused_with_a_reason(self, make: Make) -> None:
        """A wrong address must not become a connection to somebody else."""
        pair = Pair(make)
        port = await pair.transports[1].listen(HOST, 0)
        with pytest.raises(ConnectFailed, match="did not complete the handshake"):
            await pair.transports[0].connect(NODES[2], HOST, port)
        await pair.transports[1].close()
        with pytest.raises(ConnectFailed, match="cannot reach"):
            await pair.transports[0].connect(NODES[1], HOST, port)
        assert pair.handlers[0].connected == pair.handlers[1].connected == []
        await pair.close()

    async def test_taken_address_is_refused(self, make: Make) -> None:
        """The second node on a machine gets told so."""
        pair = Pair(make)
        port = await pair.transports[1].listen(HOST, 0)
        with pytest.raises(CommandRejected, match=f"{HOST}:{port}"):
            await pair.transports[0].listen(HOST, port)
        await pair.close()

    async def test_close_of_the_transport_ends_all_connections(self, make: Make) -> None:
        """A node that stops leaves no half-open peers behind."""
        pair = Pair(make)
        await pair.connect()
        await pair.transports[1].close()
        assert pair.handlers[1].reasons() == ["this node stops"]
        await pair.handlers[0].until(lambda: bool(pair.handlers[0].disconnected))
        await pair.close()
