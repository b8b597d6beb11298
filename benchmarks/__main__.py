"""`python -m benchmarks`: runs every case, prints a table, and one JSON object as the last line."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.console import Console

from benchmarks import machine, report
from benchmarks.blocks import blocks
from benchmarks.goals import PARTS, ROWS
from benchmarks.justice import justice
from benchmarks.looks import looks
from benchmarks.micro import micro
from benchmarks.payments import Figures, delayed, direct, forwarded, store
from benchmarks.profiling import IN_FLIGHT, profile, text_of
from benchmarks.rescan import rescan
from benchmarks.revoked import revoked
from benchmarks.run import Run
from benchmarks.scale import SCALES, Scale
from benchmarks.screen import Screen
from benchmarks.sizes import command_line, sizes
from benchmarks.stalls import stalls

RUNS: dict[str, tuple[str, Callable[[Run], Figures]]] = {
    "direct": ("payments with real sync", direct),
    "delay-10": ("a store that is 10 ms late", delayed(10)),
    "delay-50": ("a store that is 50 ms late", delayed(50)),
    "delay-150": ("a store that is 150 ms late", delayed(150)),
    "forwarded": ("payments over a third node", forwarded),
    "stalls": ("a store that stalls", stalls),
    "sizes": ("memory and start", sizes),
    "store": ("the store after many payments", store),
    "revoked": ("revoked states", revoked),
    "justice": ("a revoked state in a block", justice),
    "blocks": ("blocks", blocks),
    "rescan": ("a start behind many blocks", rescan),
    "looks": ("looks into the mempool", looks),
    "help": ("the command line", command_line),
}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about two minutes: fewer payments, fewer runs")
    parser.add_argument("--full", action="store_true", help="100,000 payments for the store, whatever --quick says")
    parser.add_argument("--scale", choices=SCALES, default="default", help=argparse.SUPPRESS)
    names = [*PARTS, *[row.name for row in ROWS]]
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        choices=names,
        metavar="NAME",
        help=f"a part or a row: {', '.join(names)}",
    )
    parser.add_argument("--profile", action="store_true", help="where the time goes, instead of how much it is")
    parser.add_argument(
        "--quiet-seconds", type=float, default=0.0, help="wait so long at most, in all, for others to be done"
    )
    parser.add_argument(
        "--write-readme", action="store_true", help="keep the figures, and make benchmarks/README.md of them"
    )
    return parser.parse_args(arguments)


def chosen_parts(only: Sequence[str]) -> list[str]:
    """Return the parts to run, in their order: those named, and those of the rows named."""
    parts = [part for part in PARTS if part in only or any(row.name in only for row in ROWS if row.part == part)]
    return parts or list(PARTS)


def note(scale: Scale) -> dict[str, Any]:
    """Return when something begins and on which load."""
    return {
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        "scale": scale.name,
        "load": round(os.getloadavg()[0], 2),
        "begun": time.monotonic(),
    }


def run_parts(parts: Sequence[str], run: Run, screen: Screen) -> report.Seen:
    """Run parts; return what was seen."""
    run.settle()
    seen = report.Seen(machine=machine.describe())
    for part in parts:
        noted = note(run.scale)
        title = "micro-benchmarks" if part == "micro" else RUNS[part][0]
        with screen.part(title):
            if part == "micro":
                seen.micro = micro(run)
            else:
                seen.figures |= RUNS[part][1](run)
        noted["seconds"] = round(time.monotonic() - noted.pop("begun"), 1)
        seen.notes[part] = noted
        screen.line(f"{title}: {noted['seconds']:.0f} s, load before {noted['load']}")
        show_part(part, seen, screen)
    return seen


def show_part(part: str, seen: report.Seen, screen: Screen) -> None:
    """Print the figures of one part as soon as they are known."""
    if part == "micro":
        for name, value in seen.micro.items():
            screen.line(f"  {name}: {report.number(value)}")
    for row in ROWS:
        if row.part == part and row.name in seen.figures:
            figure = seen.figures[row.name]
            screen.line(f"  {row.title}: {report.number(figure.value, row.unit)}")


def run_profile(run: Run, screen: Screen) -> report.Seen:
    """Profile; print the result."""
    noted = note(run.scale)
    with screen.part(f"profile at {IN_FLIGHT} in flight"):
        profiles = profile(run)
    noted["seconds"] = round(time.monotonic() - noted.pop("begun"), 1)
    for line in text_of(profiles):
        screen.line(line)
    return report.Seen(profiles=profiles, notes={"profile": noted})


def main(arguments: Sequence[str]) -> int:
    """Run; return the exit status."""
    options = parse(arguments)
    scale = SCALES["quick" if options.quick else options.scale]
    if options.full:
        scale = msgspec.structs.replace(scale, store=100_000)
    screen = Screen(Console())
    run = Run(scale, screen.now, options.quiet_seconds)
    seen = run_profile(run, screen) if options.profile else run_parts(chosen_parts(options.only), run, screen)
    report.derive(seen.figures)
    if options.write_readme:
        seen = report.merged(report.load(), seen)
        report.derive(seen.figures)
        report.write_readme(seen)
    if not options.profile:
        screen.line("")
        screen.table(*report.table(seen))
    sys.stdout.write(msgspec.json.encode(report.as_object(seen, scale.name)).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
