"""Floods: an attacker costs bounded memory, and honest payments go on at about the speed they had."""

import asyncio
import statistics
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from leyden.bitcoin.networks import REGTEST
from leyden.node.node import Node
from leyden.wire.messages import (
    ChannelReestablish,
    ErrorMessage,
    GossipTimestampFilter,
    Ping,
    UnknownMessage,
    UpdateFee,
    WarningMessage,
    encode,
)
from tests.node.hostile import HostileChannel, HostilePeer
from tests.node.real_world import World, channel_view, pay, until, world

POINT = bytes.fromhex("02" + "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
PAYMENTS = 8
MEMORY_BYTES_MAX = 24 << 20
"""What one attacker may cost: a read, an unfinished message, a write buffer of 8 MiB, and room for the measuring."""


class Scene(msgspec.Struct):
    """alice pays bob, whom mallory floods."""

    world: World
    alice: Node
    bob: Node
    channel_id: str

    async def seconds_of_payments(self, count: int = PAYMENTS) -> float:
        """How long an honest payment takes, as its median."""
        taken = []
        for _ in range(count):
            began = time.perf_counter()
            assert (await pay(self.alice, self.bob, 10_000)).status == "succeeded"
            taken.append(time.perf_counter() - began)
        return statistics.median(taken)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """See `Scene`."""
    async with world(tmp_path) as made:
        alice, bob = await made.start("alice"), await made.start("bob")
        channel_id = await made.channel(alice, bob, push_msat=300_000_000)
        yield Scene(made, alice, bob, channel_id)


def opens(scene: Scene) -> list[Any]:
    """Endless wishes for channels."""
    peer = HostilePeer("wisher")
    return [HostileChannel(peer, scene.bob, scene.world, number).request().sent for number in range(200)]


FLOODS: dict[str, Callable[[Scene], list[Any]]] = {
    "pings": lambda _scene: [Ping(0, b"")] * 200,
    "pings for long pongs": lambda _scene: [Ping(65_531, b"")] * 200,
    "opens": opens,
    "unknown channels": lambda _scene: [UpdateFee(number.to_bytes(32, "big"), 1000) for number in range(200)],
    "reestablish of strangers": lambda scene: (
        [ChannelReestablish(bytes.fromhex(scene.channel_id), 1, 0, bytes(32), POINT)] * 200
    ),
    "errors": lambda _scene: [ErrorMessage(bytes(32), b"x" * 100)] * 200,
    "warnings": lambda _scene: [WarningMessage(bytes(32), b"x" * 100)] * 200,
    "odd messages": lambda _scene: [UnknownMessage(4_001, b"")] * 200,
    "huge odd messages": lambda _scene: [UnknownMessage(4_001, bytes(65_533))] * 20,
    "gossip": lambda _scene: [GossipTimestampFilter(REGTEST.chain_hash, 0, 1)] * 200,
}


class Flood:
    """Says the same messages again and again, as fast as they are taken, and throws away what comes back."""

    def __init__(self, peer: HostilePeer, messages: list[Any], *, read: bool = True) -> None:
        self.peer = peer
        self.messages = [message if isinstance(message, bytes) else encode(message) for message in messages]
        self.written = 0
        loop = asyncio.get_running_loop()
        self.tasks = [loop.create_task(self._write())] + ([loop.create_task(self._read())] if read else [])

    async def _write(self) -> None:
        writer = self.peer.writer
        with suppress(ConnectionError):
            while not writer.is_closing():
                frames = self.peer.noise.encrypt_many(self.messages)
                writer.write(frames)
                self.written += len(frames)
                await writer.drain()
                await asyncio.sleep(0)

    async def _read(self) -> None:
        with suppress(ConnectionError):
            while await self.peer.reader.read(1 << 16):
                pass

    async def stop(self) -> None:
        """End it."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.peer.leave()


async def introduced(scene: Scene, name: str = "mallory") -> HostilePeer:
    """A peer past `init` whose further messages nobody reads yet."""
    peer = await HostilePeer(name).introduce(scene.bob)
    assert peer._reading is not None
    peer._reading.cancel()
    with suppress(asyncio.CancelledError):
        await peer._reading
    peer._reading = None
    return peer


STANDSTILL_SECONDS = 5.0


@pytest.mark.parametrize("what", FLOODS)
async def test_a_flood_does_not_stall_honest_payments(scene: Scene, what: str) -> None:
    """Whatever is left undone of the flood waits in the attacker's own socket, and payments go on.

    The attacker shares this very thread with both honest nodes: the bound is one of standing still, not of speed.
    """
    peer = await introduced(scene)
    flood = Flood(peer, FLOODS[what](scene))
    await until(lambda: flood.written > 10_000)
    flooded = await scene.seconds_of_payments()
    await flood.stop()
    assert flooded < STANDSTILL_SECONDS, f"{what}: {1000 * flooded:.1f} ms for a payment"
    assert channel_view(scene.bob, scene.channel_id).is_usable
    assert not scene.bob.core.manager.faults


@pytest.mark.parametrize("what", ["opens", "errors", "huge odd messages"])
async def test_an_attacker_costs_bounded_memory(scene: Scene, what: str) -> None:
    """Also one that never reads our answers, over as many messages as it likes."""
    peer = await introduced(scene)
    messages = FLOODS[what](scene)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        flood = Flood(peer, messages, read=False)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await flood.tasks[0]
        now, peak = tracemalloc.get_traced_memory()
        await flood.stop()
        await until(lambda: peer.session(scene.bob) is None)
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < MEMORY_BYTES_MAX, f"{(peak - before) >> 10} KiB at most, {(now - before) >> 10} at the end"
    assert left - before < 4 << 20, f"{(left - before) >> 10} KiB are left of it"


async def test_many_names_of_one_attacker(scene: Scene) -> None:
    """Every connection has its bounds, and so have all of one place together; an honest peer pays on meanwhile."""
    peers = [await HostilePeer(f"name {number}").introduce(scene.bob) for number in range(30)]
    for peer in peers:
        peer.send(HostileChannel(peer, scene.bob, scene.world).request().sent)
    await peers[-1].answered()
    assert (await pay(scene.alice, scene.bob)).status == "succeeded"
    silent = []
    for _ in range(60):
        stranger = HostilePeer("silent")
        await stranger.dial(scene.bob)
        silent.append(stranger)
    await until(lambda: any(stranger.reader.at_eof() for stranger in silent), "too many from one place are refused")
    assert (await pay(scene.alice, scene.bob)).status == "succeeded"
    for peer in [*peers, *silent]:
        await peer.leave()
    await until(lambda: len(scene.bob.core.manager.peers) == 1)


async def test_a_peer_that_does_not_read_is_cut_off(scene: Scene) -> None:
    """What waits for it is bounded, and then it goes."""
    peer = await introduced(scene)
    flood = Flood(peer, [Ping(65_531, b"")], read=False)
    await until(lambda: peer.session(scene.bob) is None)
    await flood.stop()
    assert (await pay(scene.alice, scene.bob)).status == "succeeded"


async def test_a_stranger_that_floods_on_is_dropped(scene: Scene) -> None:
    """A peer without a funded channel has little to say; a channel that only waits for its funding changes nothing."""
    peer = await HostilePeer().introduce(scene.bob)
    await HostileChannel(peer, scene.bob, scene.world).born()
    flood = Flood(peer, [WarningMessage(bytes(32), b"")] * 200, read=False)
    await until(lambda: peer.session(scene.bob) is None)
    await flood.stop()


async def test_pings_are_bounded(scene: Scene) -> None:
    """Ten a second are plenty; who sends thousands is dropped."""
    peer = await introduced(scene)
    flood = Flood(peer, [Ping(0, b"")] * 100)
    await until(lambda: peer.session(scene.bob) is None)
    await flood.stop()


async def test_updates_of_a_channel_are_bounded_by_its_limits(scene: Scene) -> None:
    """What is never signed is kept in memory only up to max_accepted_htlcs, and is forgotten with the connection."""
    peer = await HostilePeer().introduce(scene.bob)
    channel = await HostileChannel(peer, scene.bob, scene.world).open()
    add = channel.add(1_000)[0]
    slot = scene.bob.core.manager.channels[channel.channel_id]
    peer.send(*[add[:34] + number.to_bytes(8, "big") + add[42:] for number in range(483)])
    await peer.answered()
    assert len(slot.state.session.received_adds) == 483
    position = slot.tail.position
    peer.send(*[UpdateFee(channel.channel_id, 1_000 + number) for number in range(500)])
    await peer.answered()
    assert slot.tail.position == position, "nothing of it is written"
    await channel.reconnect()
    assert not slot.state.session.received_adds
    assert not slot.peeled
    assert (await pay(scene.alice, scene.bob)).status == "succeeded"
