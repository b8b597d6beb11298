"""`python -m tests.mutants [--only NAME ...] [--seconds N]`: look for every mutant; exit with 1 when one escapes."""

import argparse
import multiprocessing
import sys
import time

from tests.mutants.hunt import SECONDS_MAX, Found, hunt
from tests.mutants.registry import MUTANTS

PROCESSES = 2


def look_for(order: tuple[str, float]) -> Found:
    """In a process of its own: caches of the product must not carry anything from one mutant to the next."""
    name, seconds_max = order
    return hunt(MUTANTS[name], seconds_max)


def show(found: Found) -> None:
    """One row of the table; what was lost below it."""
    if found.is_caught:
        verdict = f"caught by {found.by}"
    elif found.by:
        verdict = f"BROKEN, fails in {found.by}"
    else:
        verdict = "ESCAPED" if found.reached else "ESCAPED, guard never reached"
    print(f"{found.name:52} {found.reached:6} {found.runs:6} {found.seconds:6.1f}  {verdict}")
    if found.by:
        first = found.violation.splitlines()[0]
        print(f"    {found.how or 'a test'}: {first[:150]}")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Look for the mutants named, or for all. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("--only", action="append", metavar="NAME", help="a mutant, or part of its name")
    parser.add_argument("--seconds", type=float, default=SECONDS_MAX, help="for each mutant")
    options = parser.parse_args(arguments)
    names = [name for name in MUTANTS if not options.only or any(part in name for part in options.only)]
    begin = time.perf_counter()
    print(f"{'mutant':52} {'hits':>6} {'worlds':>6} {'s':>6}")
    found: list[Found] = []
    with multiprocessing.get_context("fork").Pool(PROCESSES, maxtasksperchild=1) as pool:
        for one in pool.imap_unordered(look_for, [(name, options.seconds) for name in names], chunksize=1):
            found.append(one)
            show(one)
    escaped = sorted(one.name for one in found if not one.is_caught)
    worlds = sum(one.runs for one in found)
    seconds = time.perf_counter() - begin
    print(f"{len(found)} mutants, {len(found) - len(escaped)} caught, {worlds} worlds, {seconds:.0f} s")
    if escaped:
        print(f"not caught: {', '.join(escaped)}")
    return 1 if escaped else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
