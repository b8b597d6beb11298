"""`python -m leyden.demo [--json]`: exit status 0 when every step came out well and every millisatoshi is accounted for."""

import argparse
import asyncio
import signal
import sys
import time
import traceback
from typing import Final

import msgspec
from rich.console import Console

from leyden.base.errors import LeydenError
from leyden.demo import accounts, crash, story
from leyden.demo.accounts import Accounts
from leyden.demo.crash import CrashReport
from leyden.demo.processes import Processes
from leyden.demo.screen import Screen, StepDone
from leyden.demo.world import World

EXIT_FAILED: Final = 1
EXIT_INTERRUPTED: Final = 130


class Failure(msgspec.Struct, frozen=True):
    """Which step failed, why, and where the logs are."""

    step: str
    why: str
    logs: str


class Report(msgspec.Struct):
    """What `--json` prints."""

    ok: bool
    seconds: float
    steps: list[StepDone]
    accounts: Accounts | None = None
    crash: CrashReport | None = None
    failure: Failure | None = None


async def tell(world: World, screen: Screen, report: Report) -> None:
    """Run every step."""
    await story.start_processes(world, screen)
    await story.fund(world, screen)
    await story.open_channels(world, screen)
    await story.pay_directly(world, screen)
    await story.pay_forwarded(world, screen)
    await story.fail_to_pay(world, screen)
    await story.pay_in_parts(world, screen)
    report.crash = await crash.pay_through_crashes(world, screen)
    balances = await accounts.last_balances(world)
    await story.close_channels(world, screen)
    report.accounts = await accounts.account(world, screen, balances)
    accounts.show(screen, report.accounts)


async def run(screen: Screen, report: Report) -> int:
    """Run the demo and leave nothing behind but, after a failure, its logs; return the exit status."""
    processes = Processes()
    main_task = asyncio.current_task()
    assert main_task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, main_task.cancel)
    try:
        await tell(World(processes), screen, report)
    except asyncio.CancelledError:
        await processes.close()
        processes.remove_folder()
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told with its step, and the processes are ended
        await processes.close()
        report.failure = Failure(screen.current, _sentence(error), str(processes.folder))
        return EXIT_FAILED
    await processes.close()
    processes.remove_folder()
    report.ok = True
    return 0


def _sentence(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return _sentence(error.exceptions[0])
    if isinstance(error, LeydenError):
        return str(error)
    if isinstance(error, TimeoutError):
        return "it took too long"
    return "".join(traceback.format_exception(error)).strip()


def main(arguments: list[str]) -> int:
    """Run the demo; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m leyden.demo", description="Three nodes and a chain on this computer.")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    as_json: bool = parser.parse_args(arguments).json
    screen = Screen(Console())
    report = Report(ok=False, seconds=0.0, steps=screen.done)
    begun = time.perf_counter()
    screen.title("Leyden: three Lightning nodes and a Bitcoin chain on this computer")
    try:
        status = asyncio.run(run(screen, report))
    except (KeyboardInterrupt, asyncio.CancelledError):
        status = EXIT_INTERRUPTED
        screen.line("interrupted; every process was ended and the temporary folder removed")
    report.seconds = round(time.perf_counter() - begun, 1)
    if report.failure is not None:
        failure = report.failure
        screen.line(f"FAILED in step: {failure.step}", "bold red")
        screen.line(failure.why)
        screen.line(f"The logs and data directories are kept in {failure.logs}")
    elif report.ok:
        screen.line(f"All well, in {report.seconds} s.", "bold green")
    if as_json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
