"""What it costs to look into the mempool for preimages: every few seconds, beside everything else that a node does."""

import asyncio
import time
from statistics import median
from types import SimpleNamespace
from typing import cast

from benchmarks.goals import Figure
from benchmarks.payments import Figures
from benchmarks.rescan import CHANNEL_TYPE, act, make_world, pay
from benchmarks.run import Run
from benchmarks.world import World as Processes
from leyden.bitcoin.networks import REGTEST
from leyden.drivers.chain.bitcoind import BitcoindChainSource, BitcoindSettings
from leyden.drivers.chain.rpc import CookieFile
from leyden.manager.onchain import blocks
from leyden.node import mempool_watch
from leyden.node.core import NodeCore
from leyden.sim.node import SimNode
from leyden.wire.channel_type import ChannelType, CommitmentFormat

LOOKS = 100
ANCHORS = ChannelType(CommitmentFormat.ANCHORS, scid_alias=False, zeroconf=False)


def looks(run: Run) -> Figures:
    """Looks of a node whose channels, without anchors, each hold an HTLC of its own; then what is left with anchors.

    The chain service is a process of its own, which finds nothing. What counts is the time of our process, which does
    nothing else meanwhile.
    """
    alice = _paying(run, CHANNEL_TYPE)
    run.settle()
    run.say("looks into the mempool")
    cpu_ms, wall_ms = asyncio.run(_looked(alice))
    asked, list_ms = _listed(alice)
    run.settle()
    anchors_asked, anchors_list_ms = _listed(_paying(run, ANCHORS))
    assert (asked, anchors_asked) == (len(alice.manager.channels), 0)
    details = {
        "channels": asked,
        "wall_ms": wall_ms,
        "list_ms": list_ms,
        "anchors_list_ms": anchors_list_ms,
    }
    return {"look": Figure(cpu_ms, details)}


def _paying(run: Run, channel_type: ChannelType) -> SimNode:
    run.say(f"{run.scale.channels:,} channels")
    world = make_world(run.scale.channels, channel_type)
    alice = world.nodes["alice"]
    for number, slot in enumerate(list(alice.manager.channels.values())):
        pay(world, slot, number)
    act(world)
    assert all(slot.state.core.outbound for slot in alice.manager.channels.values())
    return alice


def _listed(alice: SimNode) -> tuple[int, float]:
    """Return how many outputs are asked for, and what the list alone costs, in ms."""
    seconds = []
    for _ in range(LOOKS):
        begun = time.process_time()
        wanted = blocks.mempool_watch_list(alice.manager)
        seconds.append(time.process_time() - begun)
    return len(wanted), round(median(seconds) * 1000, 3)


async def _looked(alice: SimNode) -> tuple[float, float]:
    """Return ms of a look: of this process, and until it is over."""
    with Processes() as processes:
        port = int(processes.chain_url.rpartition(":")[2])
        settings = BitcoindSettings(port=port, credentials=CookieFile(processes.cookie), network=REGTEST)
        chain = BitcoindChainSource(settings, lambda _ok, _why: None)
        core = SimpleNamespace(manager=alice.manager, runtime=alice.runtime, chain=chain, is_synced=True)
        await mempool_watch.look(cast("NodeCore", core), {})
        cpu, wall = [], []
        for _ in range(LOOKS):
            cpu_begun, wall_begun = time.process_time(), time.perf_counter()
            await mempool_watch.look(cast("NodeCore", core), {})
            cpu.append(time.process_time() - cpu_begun)
            wall.append(time.perf_counter() - wall_begun)
        await chain.close()
    return round(median(cpu) * 1000, 2), round(median(wall) * 1000, 2)
