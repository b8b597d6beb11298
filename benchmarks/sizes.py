"""How big: memory of a node and of a channel, the start of a node with many channels, the command line."""

import asyncio
import os
import subprocess
import sys
import time
from statistics import median
from typing import Any

from benchmarks import grown
from benchmarks.goals import Figure
from benchmarks.payments import Figures
from benchmarks.run import Run
from benchmarks.world import ROOT, BenchNode, World, until


def sizes(run: Run) -> Figures:
    """An idle node, and two nodes that share many channels, before and after they are connected."""
    scale = run.scale
    run.settle()
    with World() as world:
        world.rpc("generatetoaddress", 9, "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080")
        birth = grown.Place(9, bytes.fromhex(world.rpc("getblockhash", 9))[::-1])
        idle = _connected(world, "idle", 0, birth, run)
        full = _connected(world, "full", scale.channels, birth, run)
        starts = [full["start_seconds"], *_restarts(world, full["nodes"], scale.runs - 1)]
    channels = max(scale.channels, 1)
    per_channel = {
        when: round((full[when] - idle[when]) * 1024 / channels, 1) for when in ("rss_started_mib", "rss_connected_mib")
    }
    memory = {"channels": channels, "kib_disconnected": per_channel["rss_started_mib"]}
    memory["kib_connected"] = per_channel["rss_connected_mib"]
    start = {"channels": channels, "runs": starts, "without_channels": idle["start_seconds"]}
    start["reconnected_seconds"] = full["reconnected_seconds"]
    return {
        "idle_rss": Figure(idle["rss_started_mib"], {"rss_connected_mib": idle["rss_connected_mib"]}),
        "channel_memory": Figure(max(per_channel.values()), memory),
        "start_1000": Figure(round(float(median(starts)), 3), start),
    }


def _connected(world: World, name: str, channels: int, birth: grown.Place, run: Run) -> dict[str, Any]:
    """Start two nodes that share channels, connect them, and return what the first one takes."""
    run.say(f"two nodes with {channels:,} channels")
    names = [f"{name}-{side}" for side in ("payer", "payee")]
    asyncio.run(grown.write([world.directory / one for one in names], channels, birth))
    first, second = [world.node(one) for one in names]
    started = first.call("rest")
    begun = time.monotonic()
    first.call("connect", node_id=second.node_id, host=second.host, port=second.port)
    until("all channels", lambda: first.call("usable") == channels == second.call("usable"))
    reconnected = time.monotonic() - begun
    if channels:
        paid = first.call("pay", invoices=second.call("invoices", count=1, amount_msat=1_000_000), in_flight=1)
        assert paid["failed"] == 0, "a grown channel carries a payment"
    connected = first.call("rest")
    world.stop(second)
    world.stop(first)
    return {
        "nodes": names[:1],
        "start_seconds": round(first.started_seconds, 3),
        "reconnected_seconds": round(reconnected, 3),
        "rss_started_mib": round(started, 1),
        "rss_connected_mib": round(connected, 1),
    }


def _restarts(world: World, names: list[str], times: int) -> list[float]:
    seconds = []
    for _ in range(times):
        node: BenchNode = world.node(names[0])
        seconds.append(round(node.started_seconds, 3))
        world.stop(node)
    return seconds


def command_line(run: Run) -> Figures:
    """The time of a process that prints its help."""
    run.settle()
    run.say("leyden --help")
    environment = {**os.environ, "COLUMNS": "100"}
    seconds = []
    for _ in range(run.scale.processes + 1):
        begun = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "leyden.cli", "--help"], check=True, capture_output=True, cwd=ROOT, env=environment
        )
        seconds.append(round(time.monotonic() - begun, 3))
    return {"help": Figure(float(median(seconds[1:])), {"runs": seconds[1:], "first": seconds[0]})}
