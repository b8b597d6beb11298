"""`python -m leyden.demo.kills --rounds 200 --seed 1`: exit status 0 when nothing was lost in any round.

On the first violation: status 1, what is wrong, the seed, and the directory with the journals and logs of all nodes.
"""

import argparse
import asyncio
import secrets
import shlex
import signal
import statistics
import sys
import time
import traceback
from typing import Final, cast

import msgspec
from rich.console import Console

from leyden.base.errors import LeydenError
from leyden.demo.kills.rounds import ROLES, Round, Rounds, Violation, build
from leyden.demo.processes import Processes
from leyden.demo.screen import Screen, Step
from leyden.demo.world import World

DESCRIPTION: Final = "Kill real nodes with kill -9 under load, again and again, and look whether anything was lost."
ROUNDS_PER_WORLD: Final = 25
DELAYS_MS: Final = (0, 50)
LINE_EVERY: Final = 10
SHOWN_MAX: Final = 20
EXIT_VIOLATION: Final = 1
EXIT_INTERRUPTED: Final = 130


class Stage(msgspec.Struct, frozen=True):
    """A world of its own: how late its stores are, and its rounds, first to last."""

    delay_ms: int
    first: int
    last: int


class Totals(msgspec.Struct):
    """Sums over all rounds. kills_by_role: rounds in which that role was killed."""

    rounds: int = 0
    kills: int = 0
    kills_by_role: dict[str, int] = {}
    accepted: int = 0
    sent: int = 0
    failed: int = 0
    never_durable: int = 0
    asked_again: int = 0
    events_told_again: int = 0
    in_flight_at_kill_median: float = 0.0
    restart_seconds_median: float = 0.0
    restart_seconds_max: float = 0.0
    round_seconds_median: float = 0.0


class Failure(msgspec.Struct, frozen=True):
    """What is wrong, in which round, and where everything is kept."""

    round: int
    wrong: list[str]
    kept: str


class Report(msgspec.Struct):
    """What `--json` prints. rounds: of each store delay, in ms."""

    ok: bool
    seed: str
    seconds: float
    totals: dict[int, Totals]
    failure: Failure | None = None


def stages(rounds: int, delays_ms: list[int]) -> list[Stage]:
    """Cut the rounds into worlds: the delays in turn, and no world gets so old that looking at it takes long."""
    size = max(1, min(ROUNDS_PER_WORLD, -(-rounds // len(delays_ms))))
    firsts = range(0, rounds, size)
    return [
        Stage(delays_ms[index % len(delays_ms)], first, min(first + size, rounds) - 1)
        for index, first in enumerate(firsts)
    ]


def totals(rounds: list[Round]) -> Totals:
    """Add up."""
    restarts = [seconds for one in rounds for seconds in one.restart_seconds]
    return Totals(
        rounds=len(rounds),
        kills=sum(one.kills for one in rounds),
        kills_by_role={role: len([one for one in rounds if one.role == role]) for role in ROLES},
        accepted=sum(one.accepted for one in rounds),
        sent=sum(one.sent for one in rounds),
        failed=sum(one.failed for one in rounds),
        never_durable=sum(one.left for one in rounds),
        asked_again=sum(one.asked_again for one in rounds),
        events_told_again=sum(one.told_again for one in rounds),
        in_flight_at_kill_median=statistics.median([one.in_flight for one in rounds] or [0]),
        restart_seconds_median=round(statistics.median(restarts or [0.0]), 3),
        restart_seconds_max=round(max(restarts, default=0.0), 3),
        round_seconds_median=round(statistics.median([one.seconds for one in rounds] or [0.0]), 2),
    )


class Run:
    """One run of the command. processes: of the world that is up, to be ended however this goes."""

    def __init__(self, screen: Screen, seed: str, rounds: int, delays_ms: list[int]) -> None:
        self.screen = screen
        self.seed = seed
        self.todo = stages(rounds, delays_ms)
        self.rounds: dict[int, list[Round]] = {delay_ms: [] for delay_ms in delays_ms}
        self.failure: Failure | None = None
        self.processes: Processes | None = None
        self._current = 0

    async def all(self) -> None:
        """Do every round, or all up to the first violation."""
        main_task = asyncio.current_task()
        assert main_task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, main_task.cancel)
        for stage in self.todo:
            title = f"Rounds {stage.first + 1} to {stage.last + 1}, the store {stage.delay_ms} ms late"
            processes = self.processes = Processes()
            try:
                with self.screen.step(title) as step:
                    await self._stage(World(processes), stage, step)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told with its round
                self.failure = Failure(self._current + 1, _sentences(error), str(processes.folder))
                for child in processes.children:
                    await child.kill()
                return
            finally:
                await processes.close()
            processes.remove_folder()

    async def _stage(self, world: World, stage: Stage, step: Step) -> None:
        self._current = stage.first
        await build(world, stage.delay_ms)
        here: list[Round] = []
        async with Rounds(world, self.seed).running() as rounds:
            for number in range(stage.first, stage.last + 1):
                self._current = number
                step.progress("rounds", number - stage.first, stage.last - stage.first + 1)
                here.append(await rounds.one(number))
                self.rounds[stage.delay_ms].append(here[-1])
                if len(here) % LINE_EVERY == 0 and number != stage.last:
                    self.screen.line(f"    round {number + 1}: {_told(totals(here))}")
        for line in _lines(totals(here)):
            step.say(line)


def _told(sums: Totals) -> str:
    return f"{sums.kills} kills, {sums.accepted} payments, {sums.sent} sent, {sums.failed} failed, nothing lost"


def _lines(sums: Totals) -> list[str]:
    by_role = ", ".join(f"{role} {count}" for role, count in sums.kills_by_role.items())
    return [
        f"{sums.kills} kills in {sums.rounds} rounds ({by_role}); {sums.in_flight_at_kill_median:g} payments in flight",
        f"{sums.accepted} payments accepted: {sums.sent} sent, {sums.failed} failed, none lost; "
        f"{sums.never_durable} never became durable, and left nothing",
        f"{sums.events_told_again} events were told again, each with its id; "
        f"{sums.asked_again} payments were asked for again and not paid again",
        f"restart {sums.restart_seconds_median:g} s (the longest {sums.restart_seconds_max:g}); "
        f"a round {sums.round_seconds_median:g} s",
    ]


def _sentences(error: BaseException) -> list[str]:
    if isinstance(error, ExceptionGroup):
        several = cast("ExceptionGroup[Exception]", error).exceptions
        # Whatever went wrong first, the rest may have failed with it: what an audit says is worth most.
        return max([_sentences(one) for one in several], key=len)
    if isinstance(error, Violation):
        return error.sentences
    if isinstance(error, LeydenError):
        return [str(error)]
    if isinstance(error, TimeoutError):
        return ["a node takes too long to start"]
    return ["".join(traceback.format_exception(error)).strip()]


def _arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m leyden.demo.kills", description=DESCRIPTION)
    parser.add_argument("--rounds", type=int, default=20, help="how many kills, or pairs of them (default: 20)")
    parser.add_argument("--seed", help="decides load, victims and moments (default: another one each time)")
    parser.add_argument(
        "--delay-ms", type=int, nargs="+", default=list(DELAYS_MS), help="of the stores, in turn (default: 0 50)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    given = parser.parse_args(arguments)
    if given.rounds < 1 or min(given.delay_ms) < 0:
        parser.error("at least one round, and no delay below 0")
    return given


def main(arguments: list[str]) -> int:
    """Run the rounds; return the exit status."""
    given = _arguments(arguments)
    screen = Screen(Console())
    seed: str = given.seed if given.seed is not None else secrets.token_hex(4)
    run = Run(screen, seed, given.rounds, list(dict.fromkeys(given.delay_ms)))
    begun = time.perf_counter()
    screen.title(f"Leyden: {given.rounds} rounds of kill -9 under load, seed {seed}")
    interrupted = False
    try:
        asyncio.run(run.all())
    except (KeyboardInterrupt, asyncio.CancelledError):
        interrupted = True
    finally:
        if run.processes is not None:
            run.processes.kill_left_over()
            if run.failure is None:
                run.processes.remove_folder()
    sums = {delay_ms: totals(rounds) for delay_ms, rounds in run.rounds.items()}
    ok = run.failure is None and not interrupted
    report = Report(ok, seed, round(time.perf_counter() - begun, 1), sums, run.failure)
    _show_end(screen, report, interrupted=interrupted)
    if report.failure is not None:
        delays = " ".join(map(str, given.delay_ms))
        again = f"python -m leyden.demo.kills --rounds {given.rounds} --seed {shlex.quote(seed)} --delay-ms {delays}"
        screen.line(f"The same load, victims and moments again: {again}")
    if given.json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    return EXIT_INTERRUPTED if interrupted else 0 if ok else EXIT_VIOLATION


def _show_end(screen: Screen, report: Report, *, interrupted: bool) -> None:
    failure = report.failure
    done = sum(sums.rounds for sums in report.totals.values())
    if interrupted:
        screen.line("Interrupted: every process was ended, the temporary folder is removed.")
    elif failure is not None:
        screen.line(f"FAILED in round {failure.round}, seed {report.seed}:", "bold red")
        for sentence in failure.wrong[:SHOWN_MAX]:
            screen.line(f"  {sentence}")
        if len(failure.wrong) > SHOWN_MAX:
            screen.line(f"  and {len(failure.wrong) - SHOWN_MAX} more")
        screen.line(f"Logs and journals of all nodes are kept in {failure.kept}")
    else:
        screen.line(f"All well: {done} rounds in {report.seconds} s, nothing lost, nothing closed.", "bold green")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
