"""Peers with channels are connected again, ever more patiently; all are pinged, and every second is noticed."""

import asyncio
from collections.abc import Callable, Coroutine
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import pytest

from leyden.base.errors import DriverError
from leyden.channel.states import Closed, Normal
from leyden.node import peer_loop
from leyden.node.core import NodeCore

BOB, CAROL = b"\x02" + b"b" * 32, b"\x02" + b"c" * 32


class Moments:
    """The loop's clock, and a sleep that moves it; ends what sleeps after `turns` sleeps."""

    def __init__(self, turns: int) -> None:
        self.now = 0.0
        self.turns = turns
        self.before: Callable[[], None] = lambda: None

    def time(self) -> float:
        """See `asyncio`."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """See `asyncio`."""
        self.now += seconds
        self.turns -= 1
        self.before()
        if not self.turns:
            raise asyncio.CancelledError


class Peers:
    """As much of a node as the loop needs. tried: (moment, node_id, host, port). away: peers that do not answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, turns: int) -> None:
        self.moments = Moments(turns)
        monkeypatch.setattr(
            peer_loop,
            "asyncio",
            SimpleNamespace(sleep=self.moments.sleep, get_running_loop=lambda: self.moments),
        )
        self.tried: list[tuple[float, bytes, str, int]] = []
        self.away: dict[bytes, None] = {}
        self.connections: dict[bytes, object] = {}
        self.known: dict[bytes, Any] = {}
        self.slots: list[Any] = []
        self.called: list[tuple[float, str]] = []
        self.unwanted: dict[bytes, None] = {}

    def channel(self, node_id: bytes, kind: Any = Normal, address: str = "host:9735") -> None:
        """There is a channel with a peer whose address is known (empty: it is remembered without one)."""
        self.slots.append(SimpleNamespace(state=kind(*[None for _ in kind.__struct_fields__]), peer=node_id))
        self.known[node_id] = SimpleNamespace(address=address)

    async def connect(self, node_id: bytes, host: str, port: int) -> None:
        """See `Transport`."""
        self.tried.append((self.moments.now, node_id, host, port))
        if node_id in self.away:
            raise DriverError("connection refused")
        self.connections[node_id] = None

    def core(self) -> NodeCore:
        """The node."""
        manager = SimpleNamespace(channels=dict(enumerate(self.slots)), node=SimpleNamespace(peers=self.known))
        runtime = SimpleNamespace(
            connections=self.connections,
            ping_all=lambda: self.called.append((self.moments.now, "ping")),
            on_second=lambda: self.called.append((self.moments.now, "second")),
        )
        made = SimpleNamespace(manager=manager, runtime=runtime, transport=self, unwanted_peers=self.unwanted)
        return cast(NodeCore, made)

    async def run(self, work: Callable[[NodeCore], Coroutine[Any, Any, None]]) -> None:
        """Let a loop run for its turns."""
        with pytest.raises(asyncio.CancelledError):
            await work(self.core())


async def test_peers_with_channels_are_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once each, at their addresses."""
    peers = Peers(monkeypatch, turns=3)
    peers.channel(BOB, address="[::1]:1000")
    peers.channel(BOB, address="[::1]:1000")
    peers.channel(CAROL)
    await peers.run(peer_loop.keep_connected)
    assert peers.tried == [(0.0, BOB, "::1", 1000), (0.0, CAROL, "host", 9735)]


def test_only_peers_that_are_wanted_and_can_be_reached_are_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for a channel that is over, nor whom the user sent away, nor without an address."""
    peers = Peers(monkeypatch, turns=1)
    for node_id, kind, address in ((b"open", Normal, "host:1"), (b"over", Closed, "host:1"), (b"none", Normal, "")):
        peers.channel(node_id, kind, address)
    peers.channel(b"unwanted")
    peers.channel(b"forgotten")
    del peers.known[b"forgotten"]
    peers.unwanted[b"unwanted"] = None
    assert peer_loop.wanted_peers(peers.core()) == [b"open"]


async def test_pauses_grow_to_a_minute_and_start_anew_after_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that is away for a day is not asked twice a second; one that was there is asked at once."""
    peers = Peers(monkeypatch, turns=600)
    peers.channel(BOB)
    peers.away[BOB] = None
    await peers.run(peer_loop.keep_connected)
    moments = [moment for moment, *_ in peers.tried]
    pauses = [after - before for before, after in pairwise(moments)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    peers.tried.clear()
    peers.moments.now, peers.moments.turns = 0.0, 7
    lost = iter([False, False, False, True, False, False, False])

    def next_moment() -> None:
        peers.away.clear()
        if next(lost):
            peers.connections.clear()
            peers.away[BOB] = None

    peers.moments.before = next_moment
    await peers.run(peer_loop.keep_connected)
    assert [moment for moment, *_ in peers.tried] == [0.0, 1.0, 2.0, 3.0]


async def test_peer_that_has_come_by_itself_is_asked_at_once_when_it_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pause of an earlier time is over with that time."""
    peers = Peers(monkeypatch, turns=5)
    peers.channel(BOB)
    peers.away[BOB] = None

    def next_moment() -> None:
        if peers.moments.now == 1.5:
            peers.connections[BOB] = None
        elif peers.moments.now == 2.0:
            del peers.connections[BOB]

    peers.moments.before = next_moment
    await peers.run(peer_loop.keep_connected)
    assert [moment for moment, *_ in peers.tried] == [0.0, 1.0, 2.0]


async def test_peer_that_is_away_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has its own pause."""
    peers = Peers(monkeypatch, turns=4)
    peers.channel(BOB)
    peers.channel(CAROL)
    peers.away[BOB] = None

    def next_moment() -> None:
        if peers.moments.now == 0.5:
            del peers.connections[CAROL]

    peers.moments.before = next_moment
    await peers.run(peer_loop.keep_connected)
    tried = [(moment, node_id) for moment, node_id, *_ in peers.tried]
    assert tried == [(0.0, BOB), (0.0, CAROL), (0.5, CAROL), (1.0, BOB)]


async def test_pings_and_seconds_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first ping has its time too: a peer that has just come is no quiet one."""
    peers = Peers(monkeypatch, turns=3)
    await peers.run(peer_loop.ping_all)
    assert peers.called == [(30, "ping"), (60, "ping")]
    peers = Peers(monkeypatch, turns=3)
    await peers.run(peer_loop.every_second)
    assert peers.called == [(1, "second"), (2, "second")]
