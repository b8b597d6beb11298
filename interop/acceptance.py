"""Acceptance of the chain service: LND as it is shipped lives on it, and its log holds no error that comes from there.

`python -m interop.acceptance [--minutes 10]`: two LND and one Leyden on one chain; mixed work until the time is over,
then every line of LND's logs from a warning up must be one that is known not to come from the chain.
"""

import argparse
import asyncio
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from interop.kinds import makers_of
from interop.lnd_complaints import complaints, denied_txids
from interop.lnd_work import Work
from interop.scenario import ScenarioFailed
from interop.world import World
from leyden.demo.processes import Processes
from leyden.drivers.chain.rpc import RpcRefused

MINUTES: Final = 10.0
EXIT_FAILED: Final = 1
EXIT_INTERRUPTED: Final = 130
SHOWN_MAX: Final = 40
LOGS: Final = Path(__file__).parent / "out" / "acceptance"


async def run(minutes: float) -> Counter[str]:
    """Work so long and return the complaints of both LND. Raises ScenarioFailed when a piece of work goes wrong."""
    world = World(Processes(), "lnd", await makers_of(("lnd",), say))
    try:
        await world.start()
        work = Work(world, await world.add_peer("lnd", "second"), say)
        await work.run(time.monotonic() + minutes * 60)
        say(f"{work.pieces} pieces of work in {await world.height()} blocks")
        log = "".join(path.read_text(errors="replace") for node in work.nodes for path in node.log_paths)
        return complaints(log) + await _wrongly_denied(world, log)
    finally:
        await world.close()
        world.processes.kill_left_over()
        _keep_logs(world)
        world.processes.remove_folder()


async def _wrongly_denied(world: World, log: str) -> Counter[str]:
    """Return the transactions that the chain service has denied and that it has."""
    found: Counter[str] = Counter()
    for txid in denied_txids(log):
        try:
            await world.rpc("getrawtransaction", txid)
        except RpcRefused:
            continue
        found[f"the chain service has denied {txid}, and has it"] += 1
    return found


def _keep_logs(world: World) -> None:
    LOGS.mkdir(parents=True, exist_ok=True)
    for path in world.log_paths:
        if path.exists():
            shutil.copyfile(path, LOGS / f"{path.parent.name}.log")


_BEGUN: Final = time.monotonic()


def say(line: str) -> None:
    """Print a line of progress with the seconds since the start."""
    sys.stdout.write(f"{time.monotonic() - _BEGUN:6.1f} s  {line}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str]) -> int:
    """Run the acceptance; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m interop.acceptance", description="LND lives on `leyden regtest`.")
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"how long (default {MINUTES:g})")
    options = parser.parse_args(arguments)
    try:
        found = asyncio.run(run(options.minutes))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except ScenarioFailed as error:
        say(f"failed: {error}")
        return EXIT_FAILED
    for text, count in found.most_common(SHOWN_MAX):
        say(f"{count} times {text}")
    say("LND has complained" if found else "LND has no complaint")
    return EXIT_FAILED if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
