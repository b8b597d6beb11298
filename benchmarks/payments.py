"""Payments per second, from `pay` to `PaymentSent`, over real TCP, SQLite with real sync, one anchors channel of 483 slots."""

from typing import Any

from benchmarks.world import BenchNode, World

Figure = dict[str, Any]


def measure(payer: BenchNode, payee: BenchNode, others: list[BenchNode], in_flight: int, count: int, amount_msat: int) -> Figure:
    """Pay `count` invoices with `in_flight` under way; return rate, latency, CPU and commits per payment and node."""
    invoices = payee.call("invoices", count=count, amount_msat=amount_msat)
    nodes = [payer, *others, payee]
    before = [node.call("use") for node in nodes]
    times = payer.call("pay", invoices=invoices, in_flight=in_flight)
    after = [node.call("use") for node in nodes]
    return {
        "in_flight": in_flight,
        "count": count,
        "amount_sat": amount_msat // 1000,
        "per_second": round(count / times["seconds"], 1),
        "p50_ms": round(times["p50_ms"], 2),
        "p99_ms": round(times["p99_ms"], 2),
        "failed": times["failed"],
        "cpu_ms": [round((two["cpu"] - one["cpu"]) * 1000 / count, 3) for one, two in zip(before, after, strict=True)],
        "commits": [round((two["commits"] - one["commits"]) / count, 4) for one, two in zip(before, after, strict=True)],
        "rss_mib": [round(two["rss_mib"], 1) for two in after],
    }


def direct(delay_ms: int, cases: list[tuple[int, int, int]], profile: str = "") -> list[Figure]:
    """Measure cases of (in flight, count, amount_msat) between two nodes whose stores are `delay_ms` late."""
    with World() as world:
        payer, payee = world.node("payer", delay_ms), world.node("payee", delay_ms)
        world.fund(payer)
        world.channel(payer, payee, 1_000_000_000, 0)
        measure(payer, payee, [], 20, 100, 10_000_000)
        figures = []
        for in_flight, count, amount_msat in cases:
            if profile:
                for node in (payer, payee):
                    node.call("profile", on=True)
            figure = measure(payer, payee, [], in_flight, count, amount_msat)
            if profile:
                for node in (payer, payee):
                    node.call("profile", on=False, path=f"{profile}.{node.name}")
            figures.append({"case": "direct", "delay_ms": delay_ms, **figure})
        return figures


def forwarded(cases: list[tuple[int, int, int]]) -> list[Figure]:
    """Measure payments over a third node."""
    with World() as world:
        payer, middle, payee = world.node("payer"), world.node("middle"), world.node("payee")
        world.fund(payer)
        world.fund(middle)
        world.channel(payer, middle, 1_000_000_000, 0)
        world.channel(middle, payee, 1_000_000_000, 0)
        measure(payer, payee, [middle], 20, 100, 10_000_000)
        return [
            {"case": "forwarded", "delay_ms": 0, **measure(payer, payee, [middle], in_flight, count, amount_msat)}
            for in_flight, count, amount_msat in cases
        ]
