"""Payments per second, from `pay` to `PaymentSent`: real TCP, SQLite with real sync, anchors channels of 483 slots."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from benchmarks.goals import Figure
from benchmarks.machine import Neighbours
from benchmarks.scale import Scale
from benchmarks.world import BenchNode, World

Figures = dict[str, Figure]
Say = Callable[[str], None]

AMOUNT_SAT = 10_000
CHANNEL_SAT = 4_000_000_000
"""Room for more payments than any case makes."""
STORE_PAYMENTS = 100_000
_INVOICES = 5_000
"""Made with one command."""


def measure(nodes: Sequence[BenchNode], in_flight: int, count: int, amount_sat: int = AMOUNT_SAT) -> dict[str, Any]:
    """Pay `count` invoices with `in_flight` under way, from the first of `nodes` to the last; see `pay`."""
    seen = pay(nodes, make_invoices(nodes[-1], count, amount_sat), in_flight)
    seen["amount_sat"] = amount_sat
    return seen


def make_invoices(payee: BenchNode, count: int, amount_sat: int) -> list[str]:
    """Return invoices of a node."""
    invoices: list[str] = []
    while len(invoices) < count:
        part = min(_INVOICES, count - len(invoices))
        invoices += payee.call("invoices", count=part, amount_msat=amount_sat * 1000)
    return invoices


def pay(nodes: Sequence[BenchNode], invoices: list[str], in_flight: int) -> dict[str, Any]:
    """Let the first of `nodes` pay invoices of the last.

    Return rate, latency, failures; CPU in ms and commits per payment for each node; the cores that others used.
    """
    payer, count = nodes[0], len(invoices)
    before = [node.call("use") for node in nodes]
    neighbours = Neighbours()
    times = payer.call("pay", invoices=invoices, in_flight=in_flight)
    after = [node.call("use") for node in nodes]
    used = [{key: two[key] - one[key] for key in one} for one, two in zip(before, after, strict=True)]
    return {
        "in_flight": in_flight,
        "count": count,
        "per_second": round(count / times["seconds"], 1),
        "p50_ms": round(times["p50_ms"], 2),
        "p99_ms": round(times["p99_ms"], 2),
        "failed": times["failed"],
        "cpu_ms": [round(one["cpu"] * 1000 / count, 3) for one in used],
        "loop_cpu_ms": [round(one["loop_cpu"] * 1000 / count, 3) for one in used],
        "syncs": [round(one["commits"] / count, 4) for one in used],
        "rss_mib": [round(two["rss_mib"], 1) for two in after],
        "others_cores": neighbours.share(sum([one["cpu"] for one in used])),
    }


def repeated(
    say: Say, what: str, runs: int, nodes: Sequence[BenchNode], in_flight: int, count: int, amount_sat: int = AMOUNT_SAT
) -> dict[str, Any]:
    """Measure a case several times; return the run with the median rate, and the rates of all of them."""
    seen: list[dict[str, Any]] = []
    for run in range(runs):
        say(f"{what}, run {run + 1} of {runs}")
        seen.append(measure(nodes, in_flight, count, amount_sat))
    seen.sort(key=lambda one: one["per_second"])
    middle = dict(seen[(len(seen) - 1) // 2])
    middle["runs_per_second"] = [one["per_second"] for one in seen]
    middle["runs_others_cores"] = [one["others_cores"] for one in seen]
    middle["failed"] = sum([one["failed"] for one in seen])
    return middle


def _rate(seen: dict[str, Any]) -> Figure:
    return Figure(seen["per_second"], seen)


def _lone(seen: dict[str, Any]) -> Figure:
    return Figure(seen["p50_ms"], seen)


def two_nodes(world: World, delay_ms: int) -> list[BenchNode]:
    """Start payer and payee with a channel between them; the payer has all of it."""
    nodes = [world.node("payer", delay_ms), world.node("payee", delay_ms)]
    world.fund(nodes[0])
    world.channel(nodes[0], nodes[1], CHANNEL_SAT)
    return nodes


def three_nodes(world: World) -> list[BenchNode]:
    """Start payer, forwarder and payee with two channels in a row."""
    nodes = [world.node("payer"), world.node("forwarder"), world.node("payee")]
    for opener, accepter in pairwise(nodes):
        world.fund(opener)
        world.channel(opener, accepter, CHANNEL_SAT)
    return nodes


def warm_up(nodes: Sequence[BenchNode], count: int) -> None:
    """Pay until Python has specialised its code and caches are filled."""
    if count:
        measure(nodes, 100, count)


def direct(scale: Scale, say: Say) -> Figures:
    """Two nodes, stores that sync as fast as the disk does."""
    figures: Figures = {}
    with World() as world:
        say("two nodes and a channel")
        nodes = two_nodes(world, 0)
        warm_up(nodes, scale.warm_up)
        single = repeated(say, "one in flight", scale.runs, nodes, 1, scale.single)
        figures["sync_1"] = _rate(single)
        figures["lone_0ms"] = _lone(dict(single))
        for in_flight in (100, 400, 966):
            seen = repeated(say, f"{in_flight} in flight", scale.runs, nodes, in_flight, scale.direct)
            figures[f"sync_{in_flight}"] = _rate(seen)
        hundred = figures["sync_100"].details
        figures["cpu"] = Figure(max(hundred["cpu_ms"]), {"payer_payee": hundred["cpu_ms"]})
        figures["syncs"] = Figure(max(hundred["syncs"]), {"payer_payee": hundred["syncs"]})
        figures["dust_100"] = _rate(repeated(say, "1 sat, 100 in flight", scale.runs, nodes, 100, scale.direct, 1))
    return figures


def delayed(delay_ms: int) -> Callable[[Scale, Say], Figures]:
    """Two nodes whose stores make every batch durable `delay_ms` later."""

    def run(scale: Scale, say: Say) -> Figures:
        figures: Figures = {}
        count, runs = scale.delayed[delay_ms], scale.delayed_runs
        with World() as world:
            say("two nodes and a channel")
            nodes = two_nodes(world, delay_ms)
            warm_up(nodes, scale.warm_up)
            say("a lone payment")
            figures[f"lone_{delay_ms}ms"] = _lone(measure(nodes, 1, scale.lone[delay_ms]))
            for in_flight in (400, 966) if delay_ms == 150 else (400,):
                seen = repeated(say, f"{in_flight} in flight", runs, nodes, in_flight, count)
                figures[f"delay_{delay_ms}ms_{in_flight}"] = _rate(seen)
        return figures

    return run


def forwarded(scale: Scale, say: Say) -> Figures:
    """Three nodes on two cores."""
    with World() as world:
        say("three nodes and two channels")
        nodes = three_nodes(world)
        warm_up(nodes, scale.warm_up)
        return {"forwarded_100": _rate(repeated(say, "forwarded", scale.runs, nodes, 100, scale.forwarded))}


def store(scale: Scale, say: Say) -> Figures:
    """What many payments on one channel leave on disk, at the node where it is more."""
    with World() as world:
        say("two nodes and a channel")
        nodes = two_nodes(world, 0)
        warm_up(nodes, scale.warm_up)
        empty = {node.name: node.call("compact") for node in nodes}
        slices: list[dict[str, Any]] = []
        step = min(scale.store, 10_000)
        for done in range(0, scale.store, step):
            say(f"{done:,} of {scale.store:,} payments")
            slices.append(measure(nodes, 400, step))
        left = {node.name: node.call("compact") for node in nodes}
    # What was there before is fixed cost (tables, wallet, channel); only what payments added grows with their number.
    mib = {
        name: (_beside(empty[name]) + (_beside(one) - _beside(empty[name])) * STORE_PAYMENTS / scale.store) / (1 << 20)
        for name, one in left.items()
    }
    details = {
        "payments": scale.store,
        "extrapolated": scale.store < STORE_PAYMENTS,
        "mib_before": {name: round(_beside(one) / (1 << 20), 2) for name, one in empty.items()},
        "mib_by_node": {name: round(one, 2) for name, one in mib.items()},
        "penalty_mib_by_node": {name: round(one["penalty_bytes"] / (1 << 20), 2) for name, one in left.items()},
        "snapshot_pause_ms": {name: one["snapshot_pause_ms"] for name, one in left.items()},
        "per_second_by_10k": [one["per_second"] for one in slices],
        "p99_ms_by_10k": [one["p99_ms"] for one in slices],
        "rss_mib_at_end": slices[-1]["rss_mib"],
        "failed": sum([one["failed"] for one in slices]),
    }
    return {"store_100k": Figure(round(max(mib.values()), 2), details)}


def _beside(left: dict[str, int]) -> int:
    """Bytes on disk beside the penalty log."""
    return left["file_bytes"] - left["penalty_bytes"]
