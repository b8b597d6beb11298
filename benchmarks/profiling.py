"""Where the time goes: cProfile of payer, forwarder and payee at 100 in flight, by function and by subsystem.

The profiler reads the thread's CPU clock, so that waiting (for the interpreter lock, for other processes) is not
counted; what the readings themselves cost is measured first and taken off again. Python code is slower under it all the
same, so its times are scaled until everything adds up to what the event loop's thread uses without a profiler. A call
into C counts for the subsystem that makes it. The store's writer thread is the rest of the process's CPU time.
"""

import pstats
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.payments import AMOUNT_SAT, make_invoices, measure, pay, three_nodes, two_nodes, warm_up
from benchmarks.run import Run
from benchmarks.world import BenchNode, World

IN_FLIGHT = 100
LONE_FRACTION = 10
"""Payments one at a time are so much fewer."""
TOP = 30
STORE_THREAD = "store thread"
Place = tuple[str, int, str]
"""File, line and name of a function, as `pstats` has it."""


class Line(msgspec.Struct, frozen=True):
    """One function: calls and own microseconds per payment."""

    where: str
    calls: float
    own_us: float


class Profile(msgspec.Struct, frozen=True):
    """One node's profile. cpu_us: of the process per payment, without the profiler; subsystems add up to it.

    python_scale: what the profiler's figures of Python code were multiplied with to get there.
    """

    node: str
    cpu_us: float
    per_second: float
    python_scale: float
    subsystems: dict[str, float]
    lines: list[Line]


def profile(run: Run) -> list[Profile]:
    """Profile payer and payee of direct payments, many under way and one at a time, and a forwarder."""
    count, warm = run.scale.direct, run.scale.warm_up
    run.settle()
    with World() as world:
        run.say("payer and payee")
        nodes = two_nodes(world, 0)
        warm_up(nodes, warm)
        found = _profiled(world, nodes, IN_FLIGHT, count, {"payer": "payer", "payee": "payee"})
        run.say("payer and payee, one payment at a time")
        alone = {"payer": "payer, lone", "payee": "payee, lone"}
        found += _profiled(world, nodes, 1, count // LONE_FRACTION, alone)
    with World() as world:
        run.say("forwarder")
        nodes = three_nodes(world)
        warm_up(nodes, warm)
        forwarder = _profiled(world, nodes, IN_FLIGHT, count, {"forwarder": "forwarder"})
    return found[:2] + forwarder + found[2:]


def _profiled(
    world: World, nodes: Sequence[BenchNode], in_flight: int, count: int, names: dict[str, str]
) -> list[Profile]:
    """Profile the nodes whose names are keys of `names`; its values name the profiles."""
    real = measure(nodes, in_flight, count)
    invoices = make_invoices(nodes[-1], count, AMOUNT_SAT)
    wanted = [node for node in nodes if node.name in names]
    biases = {node.name: Bias(*node.call("profile", on=True)) for node in wanted}
    pay(nodes, invoices, in_flight)
    found = []
    for node in wanted:
        path = world.directory / f"{node.name}.profile"
        node.call("profile", on=False, path=str(path))
        place = list(nodes).index(node)
        cpu = (real["cpu_ms"][place] * 1000, real["loop_cpu_ms"][place] * 1000)
        found.append(_read(path, names[node.name], count, cpu, real["per_second"], biases[node.name]))
    return found


class Bias(msgspec.Struct, frozen=True):
    """Seconds that the profiler adds: to a function for each call of it, to its caller for each call that it makes.

    `c_`: of functions that are written in C.
    """

    called: float
    calling: float
    c_called: float
    c_calling: float


def _read(path: Path, node: str, count: int, cpu: tuple[float, float], per_second: float, bias: Bias) -> Profile:
    stats: dict[Place, Any] = pstats.Stats(str(path)).stats  # type: ignore[attr-defined]
    added: dict[Place, float] = {}
    for place, (_primitive, calls, _own, _cumulative, callers) in stats.items():
        is_c = place[0] == "~"
        added[place] = added.get(place, 0.0) + calls * (bias.c_called if is_c else bias.called)
        for caller, numbers in callers.items():
            added[caller] = added.get(caller, 0.0) + numbers[1] * (bias.c_calling if is_c else bias.calling)
    owns = {place: max(0.0, entry[2] - added[place]) for place, entry in stats.items()}
    in_c = sum([own for place, own in owns.items() if place[0] == "~"])
    cpu_us, loop_us = cpu
    # A call into C takes as long as without the profiler; Python code does not, so it gets what is left.
    scale = max(0.0, loop_us * count / 1e6 - in_c) / max(sum(owns.values()) - in_c, 1e-9)
    subsystems = {STORE_THREAD: cpu_us - loop_us}
    lines: list[Line] = []
    for place, own in owns.items():
        us = own * (1.0 if place[0] == "~" else scale) * 1e6 / count
        lines.append(Line(_name(place), round(stats[place][1] / count, 2), round(us, 2)))
        for subsystem, part in _shares(place, us, stats[place][4]).items():
            subsystems[subsystem] = subsystems.get(subsystem, 0.0) + part
    ordered = sorted(subsystems.items(), key=lambda one: -one[1])
    lines.sort(key=lambda line: -line.own_us)
    return Profile(
        node,
        round(cpu_us, 1),
        per_second,
        round(scale, 2),
        {name: round(us, 1) for name, us in ordered},
        lines[:TOP],
    )


def _shares(place: Place, own: float, callers: dict[Place, Any]) -> dict[str, float]:
    """Return to which subsystems the own time of a function counts."""
    if place[0] != "~" or not callers:
        return {subsystem_of(place[0]): own}
    whole = sum([numbers[2] for numbers in callers.values()]) or 1.0
    shares: dict[str, float] = {}
    for caller, (_primitive, _calls, seconds, _cumulative) in callers.items():
        subsystem = subsystem_of(caller[0])
        shares[subsystem] = shares.get(subsystem, 0.0) + own * seconds / whole
    return shares


def subsystem_of(file: str) -> str:
    """Return the subsystem of a source file: a package of Leyden, asyncio, or what else it is."""
    parts = Path(file).parts
    if "leyden" in parts:
        inside = parts[len(parts) - parts[::-1].index("leyden") :]
        return f"{inside[0]}/{inside[1]}" if inside[0] == "drivers" else inside[0].removesuffix(".py")
    if "benchmarks" in parts:
        return "the benchmark"
    if "asyncio" in parts or "selectors.py" in parts:
        return "asyncio"
    return "Python's library"


def _name(place: Place) -> str:
    file, line, name = place
    if file == "~":
        return name.strip("<>")
    parts = Path(file).parts
    inside = parts[len(parts) - parts[::-1].index("leyden") :] if "leyden" in parts else parts[-2:]
    return f"{'/'.join(inside)}:{line} {name}"


def text_of(profiles: Sequence[Profile]) -> list[str]:
    """Return what is printed and kept beside the figures."""
    lines: list[str] = []
    for one in profiles:
        lines.append(f"{one.node}: {one.cpu_us:.0f} us of CPU a payment, {one.per_second:.0f} payments/s")
        lines += [f"  {us:8.1f} us  {name}" for name, us in one.subsystems.items() if us >= 0.5]
        lines.append("  own us  calls  function, a payment")
        lines += [f"  {line.own_us:6.1f} {line.calls:6.2f}  {line.where}" for line in one.lines]
        lines.append("")
    return lines
