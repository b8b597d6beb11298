"""`python -m leyden.demo [--onchain] [--json]`: exit status 0 when every step came out well and every sum agrees."""

import argparse
import asyncio
import signal
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, cast

import msgspec
from rich.console import Console

from leyden.base.errors import LeydenError
from leyden.demo import accounts, crash, story
from leyden.demo.accounts import Accounts
from leyden.demo.crash import CrashReport
from leyden.demo.onchain import accounts as onchain_accounts
from leyden.demo.onchain import cheat
from leyden.demo.onchain import story as onchain_story
from leyden.demo.onchain.accounts import OnchainAccounts
from leyden.demo.onchain.events import Heard
from leyden.demo.processes import Processes
from leyden.demo.screen import Screen, StepDone
from leyden.demo.world import World

DESCRIPTION: Final = "Lightning nodes and a Bitcoin chain on this computer."
TITLE: Final = "Leyden: three Lightning nodes and a Bitcoin chain on this computer"
ONCHAIN_TITLE: Final = "Leyden: four Lightning nodes, their channels closed by force"
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
    onchain: OnchainAccounts | None = None
    failure: Failure | None = None


Story: TypeAlias = Callable[[World, Screen, Report], Awaitable[None]]


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


async def tell_onchain(world: World, screen: Screen, report: Report) -> None:
    """Run every step of what may happen on the chain."""
    heard = Heard(world, onchain_story.NAMES)
    await onchain_story.start_processes(world, screen)
    opened = await onchain_story.open_channels(world, screen)
    held = await onchain_story.hold_payments(world, screen)
    await heard.listen_to_all()
    await onchain_story.close_by_force(world, screen, held, heard.restart)
    await onchain_story.wait_for_timeouts(world, screen, held)
    crime = await cheat.cheat(world, screen, heard)
    report.onchain = await onchain_accounts.account(world, screen, heard, opened, held, crime)
    onchain_accounts.show(screen, report.onchain)


async def run(processes: Processes, screen: Screen, report: Report, story_of: Story = tell) -> None:
    """Run the demo and end every process, however it goes. A failure goes into the report."""
    main_task = asyncio.current_task()
    assert main_task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, main_task.cancel)
    try:
        await story_of(World(processes), screen, report)
        report.ok = True
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told with its step
        gone = await processes.gone()
        why = _sentence(error) + (f"; no longer running: {', '.join(gone)}" if gone else "")
        report.failure = Failure(screen.current, why, str(processes.folder))
    finally:
        await processes.close()


def _sentence(error: BaseException) -> str:
    if isinstance(error, ExceptionGroup):
        return _sentence(cast("ExceptionGroup[Exception]", error).exceptions[0])
    if isinstance(error, LeydenError):
        return str(error)
    if isinstance(error, TimeoutError):
        return "it took too long"
    return "".join(traceback.format_exception(error)).strip()


def main(arguments: list[str]) -> int:
    """Run the demo; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m leyden.demo", description=DESCRIPTION)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--onchain", action="store_true", help="forced closes, a cheating peer, a reorganisation")
    chosen = parser.parse_args(arguments)
    as_json: bool = chosen.json
    is_onchain: bool = chosen.onchain
    screen = Screen(Console())
    report = Report(ok=False, seconds=0.0, steps=screen.done)
    begun = time.perf_counter()
    screen.title(ONCHAIN_TITLE if is_onchain else TITLE)
    processes = Processes()
    interrupted = False
    try:
        asyncio.run(run(processes, screen, report, tell_onchain if is_onchain else tell))
    except (KeyboardInterrupt, asyncio.CancelledError):
        interrupted = True
    finally:
        processes.kill_left_over()
        if report.failure is None:
            processes.remove_folder()
    report.seconds = round(time.perf_counter() - begun, 1)
    _show_end(screen, report, interrupted=interrupted)
    if as_json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    return EXIT_INTERRUPTED if interrupted else 0 if report.ok else EXIT_FAILED


def _show_end(screen: Screen, report: Report, *, interrupted: bool) -> None:
    failure = report.failure
    if interrupted:
        report.ok = False
        screen.line("Interrupted: every process was ended, the temporary folder is removed.")
    elif failure is not None:
        screen.line(f"FAILED in the step: {failure.step}", "bold red")
        screen.line(failure.why)
        screen.line(f"Logs and data directories are kept in {failure.logs}")
    else:
        screen.line(f"All well, in {report.seconds} s.", "bold green")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
