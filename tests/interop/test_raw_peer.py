"""A connection on which every message is chosen, against a listener of our own."""

import secrets
from collections.abc import AsyncIterator, Sequence
from typing import cast

import pytest

from interop import raw_peer as raw_peer_module
from interop.foreign import ForeignInfo, ForeignNode
from interop.raw_peer import RawPeer, raw_peer, stranger
from interop.scenario import ScenarioFailed
from leyden.drivers.net.limits import TransportLimits
from leyden.drivers.net.tcp import TcpTransport
from leyden.manager.peers import INIT_FEATURES
from leyden.ports.transport import Connection
from leyden.wire.messages import Init, Message, Ping, Pong, UnknownMessage, decode, encode


class Listener:
    """What a raw peer asks of a foreign node: its id and its port. It says `init` and answers each ping by one byte."""

    def __init__(self) -> None:
        self.key = stranger()
        self.got: list[Message | UnknownMessage] = []
        self.says_init = True
        self.port = 0
        self.transport = TcpTransport(self.key, self, TransportLimits(), secrets.token_bytes)

    async def info(self) -> ForeignInfo:
        return ForeignInfo(self.key.point.hex(), "1", 0, True)

    def on_connected(self, connection: Connection) -> None:
        if self.says_init:
            connection.send([encode(Init(b"", INIT_FEATURES, ()))])

    def on_messages(self, connection: Connection, messages: Sequence[bytes]) -> None:
        for message in [decode(one) for one in messages]:
            self.got.append(message)
            if isinstance(message, Ping):
                connection.send([encode(Pong(b"\x00"))])
            elif isinstance(message, UnknownMessage):
                connection.close("unknown")

    def on_disconnected(self, _connection: Connection, _reason: str) -> None:
        pass

    def on_writable(self, _connection: Connection) -> None:
        pass


@pytest.fixture
async def listener(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Listener]:
    """A node that listens."""
    monkeypatch.setattr(raw_peer_module, "WAIT_SECONDS", 0.5)
    listener = Listener()
    listener.port = await listener.transport.listen("127.0.0.1", 0)
    yield listener
    await listener.transport.close()


def foreign(listener: Listener) -> ForeignNode:
    """It has of a foreign node what is asked for."""
    return cast("ForeignNode", listener)


async def test_messages_go_both_ways_after_init(listener: Listener) -> None:
    """A peer says nothing to whoever has not said `init`."""
    async with raw_peer(foreign(listener)) as raw:
        raw.send(Ping(1, b""))
        assert (await raw.until_got(Pong, lambda pong: len(pong.ignored) == 1, "a pong")).ignored == b"\x00"
        assert isinstance(listener.got[0], Init)
        assert listener.got[0].features == INIT_FEATURES


async def test_end_of_the_connection_is_seen(listener: Listener) -> None:
    """An unknown even message must end it: that is how a scenario knows."""
    async with raw_peer(foreign(listener)) as raw:
        raw.send_raw(b"\x80\x00")
        assert not await raw.until_got_or_ended(Pong)
        assert raw.has_ended


async def test_message_comes_before_the_end(listener: Listener) -> None:
    """The other outcome."""
    async with raw_peer(foreign(listener)) as raw:
        raw.send(Ping(1, b""))
        assert await raw.until_got_or_ended(Pong)


async def test_what_does_not_come_fails_the_scenario_with_what_came(listener: Listener) -> None:
    """Whoever reads the matrix must see what the peer did instead."""
    async with raw_peer(foreign(listener)) as raw:
        with pytest.raises(ScenarioFailed, match=r"waited 0.5 s for a pong of five bytes; came: \[Init"):
            await raw.until_got(Pong, lambda pong: len(pong.ignored) == 5, "a pong of five bytes")


async def test_peer_that_never_says_init_fails_the_scenario(listener: Listener) -> None:
    """A connection without `init` is none."""
    listener.says_init = False
    raw = RawPeer(stranger())
    with pytest.raises(ScenarioFailed, match="its init"):
        await raw.connect(foreign(listener))
    await raw.close()
