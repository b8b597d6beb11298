"""`python -m interop [--peer lnd] [--only NAME]`: exit status 0 when nothing failed."""

import argparse
import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from interop import matrix, scenarios
from interop.kinds import FOREIGN, KINDS, makers_of
from interop.lane import Lane, Result
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


async def run(kinds: Sequence[str], chosen: Sequence[Scenario], extent: Extent) -> list[Result]:
    """Build the peers, then run the scenarios with each of them, all peers side by side."""
    makers = await makers_of(kinds, say)
    return [
        result
        for results in await asyncio.gather(*[_lane(kind, makers, chosen, extent) for kind in kinds])
        for result in results
    ]


async def _lane(kind: str, makers: Mapping[str, PeerMaker], chosen: Sequence[Scenario], extent: Extent) -> list[Result]:
    return await Lane(kind, makers, LOGS, say, extent).run(chosen)


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
    try:
        results = asyncio.run(run(kinds, chosen, Extent(rounds=options.rounds, payments=options.payments)))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    foreign = [result for result in results if result.peer in FOREIGN]
    if foreign:
        matrix.save(matrix.merge(matrix.load(), foreign, scenario.scenarios), scenario.scenarios)
        say(f"written: {matrix.PAGE.name}")
    failed = [result for result in results if result.outcome == "fail"]
    say(f"{len(results)} cells, {len(failed)} failed")
    return EXIT_FAILED if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
