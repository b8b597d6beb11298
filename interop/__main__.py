"""`python -m interop [--peer lnd] [--only NAME]`: exit status 0 when nothing failed."""

import argparse
import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from interop import matrix, scenarios
from interop.kinds import FOREIGN, KINDS, makers_of
from interop.lane import UNKNOWN_VERSION, Lane, Result
from interop.scenario import Extent, Scenario, scenario
from interop.world import PeerMaker

LOGS: Final = Path(__file__).parent / "out"
EXIT_FAILED: Final = 1
EXIT_INTERRUPTED: Final = 130
_BEGUN: Final = time.monotonic()


def say(line: str) -> None:
    """Print a line of progress with the seconds since the start."""
    sys.stdout.write(f"{time.monotonic() - _BEGUN:6.1f} s  {line}\n")
    sys.stdout.flush()


def keep(result: Result) -> None:
    """Put a result into the matrix at once: a run that is interrupted has shown what it has shown."""
    if result.peer in FOREIGN:
        matrix.save(matrix.merge(matrix.load(), [result], scenario.scenarios), scenario.scenarios)


async def run(kinds: Sequence[str], chosen: Sequence[Scenario], extent: Extent) -> list[Result]:
    """Build the peers, then run the scenarios with each of them, all peers side by side."""
    makers = await makers_of(kinds, say)
    of_each = [one for one in chosen if not one.once]
    lanes = [_lane(kind, makers, chosen if kind == kinds[0] else of_each, extent) for kind in kinds]
    results = [result for results in await asyncio.gather(*lanes) for result in results]
    return results + [copy for kind in kinds[1:] for copy in copies(results, chosen, kind)]


def copies(results: Sequence[Result], chosen: Sequence[Scenario], kind: str) -> list[Result]:
    """Return the results of scenarios that are run once for all, as those of another peer that was in them."""
    once = {one.key for one in chosen if one.once}
    known = [*results, *matrix.load()]
    version = next((one.version for one in known if one.peer == kind and one.version != UNKNOWN_VERSION), "?")
    made = [msgspec.structs.replace(one, peer=kind, version=version) for one in results if one.scenario in once]
    for one in made:
        keep(one)
    return made


async def _lane(kind: str, makers: Mapping[str, PeerMaker], chosen: Sequence[Scenario], extent: Extent) -> list[Result]:
    return await Lane(kind, makers, LOGS, say, extent, keep).run(chosen)


def main(arguments: Sequence[str]) -> int:
    """Run the lane; return the exit status."""
    assert scenarios.__all__, "the import has registered the scenarios"
    parser = argparse.ArgumentParser(prog="python -m interop", description="Scenarios with foreign Lightning nodes.")
    parser.add_argument("--peer", choices=KINDS, action="append", help="only this peer (default: lnd and ldk)")
    parser.add_argument("--only", default="", help="only scenarios with this in their name")
    parser.add_argument("--list", action="store_true", help="list the scenarios and end")
    parser.add_argument("--rounds", type=int, default=Extent().rounds, help="of each scenario of restarts")
    parser.add_argument("--payments", type=int, default=Extent().payments, help="of the long run")
    options = parser.parse_args(arguments)
    only: str = options.only
    chosen = sorted([one for one in scenario.scenarios if only in one.key], key=lambda one: one.subject)
    if options.list:
        for one in chosen:
            sys.stdout.write(f"{one.key:40} {one.title}\n")
        return 0
    if not chosen:
        parser.error(f"no scenario has {only!r} in its name: --list shows them")
    kinds: Sequence[str] = options.peer or FOREIGN
    extent = Extent(rounds=options.rounds, payments=options.payments)
    try:
        results = asyncio.run(run(kinds, [one for one in chosen if extent.is_long or not one.long], extent))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    failed = [result for result in results if result.outcome == "fail"]
    say(f"{len(results)} cells, {len(failed)} failed")
    return EXIT_FAILED if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
