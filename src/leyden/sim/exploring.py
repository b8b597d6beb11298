"""Explores scenario files in several processes, and tells of it."""

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import Manager
from pathlib import Path
from typing import Any

import msgspec

import leyden.sim
from leyden.sim.explore import Found, Limits, Result, Tier, explore
from leyden.sim.findings import Finding, finding_of, script_of_found
from leyden.sim.play import scenario_of
from leyden.sim.script import Script, load_script

FOLDER = Path(leyden.sim.__file__).parent / "scenarios"
"""The scenarios that come with Leyden."""
TELL_SECONDS = 0.5
NAMES_MAX = 40
HEADER = (
    f"{'scenario':40}{'tier':>8}{'deep':>5}{'worlds':>8}{'crashes':>9}{'distinct':>9}{'in recovery':>12}"
    f"{'distinct':>9}{'rest':>5}{'s':>7}{'/s':>6}"
)
"""Of the table of `row`. deep: crashes in each other's recovery. rest: steps of the longest recovery."""


class Task(msgspec.Struct, frozen=True):
    """One scenario file, and how it is explored."""

    path: Path
    tier: Tier
    limits: Limits

    @property
    def name(self) -> str:
        """What it is called."""
        return self.path.stem


def built_in(*, onchain: bool = False) -> list[Path]:
    """Return the scenario files that come with Leyden; or those of the table of on-chain stories."""
    return sorted((FOLDER / "onchain" if onchain else FOLDER).glob("*.txt"))


def tasks(
    paths: Sequence[Path],
    tier: Tier | None,
    crashes: int | None,
    seconds_max: float,
    *,
    share: int = 1,
    part: int = 0,
) -> list[Task]:
    """Return what is to be explored: as each file says, or as asked. Raises: BadScript, OSError."""
    found: list[Task] = []
    for path in paths:
        script = load_script(path)
        if script.tier != "once" or tier is not None:
            limits = Limits(crashes=crashes or script.crashes, seconds_max=seconds_max, share=share, part=part)
            found.append(Task(path, tier or Tier(script.tier), limits))
    return found


def explore_all(todo: Sequence[Task], jobs: int, on_progress: Callable[[str], None]) -> Iterator[tuple[Task, Result]]:
    """Explore, the largest tiers first, and yield each result as it comes. on_progress: takes what is being done."""
    with Manager() as manager, ProcessPoolExecutor(jobs) as pool:
        told = manager.Queue()
        waiting: dict[Future[Result], Task] = {pool.submit(explore_file, task, told): task for task in todo}
        while waiting:
            done, _ = wait(waiting, timeout=TELL_SECONDS, return_when=FIRST_COMPLETED)
            for line in _drain(told):
                on_progress(line)
            for future in done:
                yield waiting.pop(future), future.result()


def _drain(told: "queue.Queue[str]") -> Iterator[str]:
    while True:
        try:
            yield told.get_nowait()
        except queue.Empty:
            return


def explore_file(task: Task, told: Any) -> Result:
    """Explore one file; put a line into the queue `told` now and then."""
    script = load_script(task.path)
    last = time.monotonic()

    def tell(result: Result) -> None:
        nonlocal last
        if time.monotonic() - last > TELL_SECONDS:
            last = time.monotonic()
            told.put(f"{task.name}: {result.combinations + result.second_combinations} crashes")

    return explore(scenario_of(script, task.name), task.tier, task.limits, tell)


def finding_of_found(script: Script, found: Found) -> Finding:
    """Return what the explorer has found, as a small scenario if it can be written as one."""
    finding = finding_of(found.scenario, script_of_found(script, found))
    return finding or Finding(found.scenario, f"{found.what}\n{found.deviations}", script)


def row(task: Task, result: Result) -> str:
    """Return a result as a line of the table."""
    end = "" if result.is_complete else "  not complete"
    if result.violation is not None:
        end = "  VIOLATED"
    return (
        f"{task.name:40}{result.tier.value:>8}{result.crashes:>5}{result.base_worlds:>8}{result.combinations:>9}"
        f"{result.fresh:>9}{result.second_combinations:>12}{result.second_fresh:>9}{result.rest_steps_max:>5}"
        f"{result.seconds:>7.1f}{result.rate():>6}{end}"
    )


def totals(results: Sequence[Result], seconds: float) -> str:
    """Return the sums as a sentence."""
    crashes = sum([one.combinations + one.second_combinations for one in results])
    fresh = sum([one.fresh + one.second_fresh for one in results])
    busy = max(sum([one.seconds for one in results]), 0.001)
    wrong = sum([one.violation is not None for one in results])
    complete = sum([one.is_complete for one in results])
    return (
        f"{len(results)} scenarios, {complete} complete: {sum([one.base_worlds for one in results])} worlds, "
        f"{crashes} crashes and lost connections judged, {fresh} distinct worlds after them, in {seconds:.0f} s "
        f"({crashes / busy:.0f} a second and process); {wrong} violation(s)"
    )


def not_exhausted(results: Sequence[Result]) -> Iterator[str]:
    """Yield a line that names what was not explored to its end because the time was up, if anything."""
    names = sorted([one.scenario for one in results if not one.is_complete and one.violation is None])
    if names:
        yield f"not complete, for lack of time: {', '.join(names)}"


def promises(scripts: Sequence[Script], names: Sequence[str]) -> Iterator[str]:
    """Yield a line for each promise: the scenarios that stand for it, or how many when they are too many to read."""
    by_line: dict[str, list[str]] = {}
    for script, name in zip(scripts, names, strict=True):
        for line in script.proves:
            by_line.setdefault(line, []).append(name)
    for line in sorted(by_line, key=lambda line: (len(line), line)):
        found = by_line[line]
        yield f"promise {line}: {', '.join(found) if len(found) <= NAMES_MAX else f'{len(found)} scenarios'}"
