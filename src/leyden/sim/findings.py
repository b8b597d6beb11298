"""What a run has found wrong: made small, written to a file that replays it, and told in a few lines."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from leyden.sim import commands as cmd
from leyden.sim.commands import Timed
from leyden.sim.explore import Found
from leyden.sim.labels import Labels
from leyden.sim.narrate import Narrator
from leyden.sim.play import Play
from leyden.sim.scenario import Crash, Cut, Deviation, Hold
from leyden.sim.script import Script, format_script, token_of
from leyden.sim.shrink import shrink, violation_of
from leyden.sim.world import Action

SHRINK_RUNS_MAX = 600
WRONG_LINES = 6


class Finding(msgspec.Struct, frozen=True):
    """A violation. wrong: what did not hold. script: the smallest scenario found that shows it."""

    name: str
    wrong: str
    script: Script

    def report(self, path: Path) -> str:
        """Return what to tell; `path`: of the file."""
        lines = self.wrong.splitlines()
        shown = lines[:WRONG_LINES] + (["…"] if len(lines) > WRONG_LINES else [])
        return "\n".join(
            [
                f"{self.name} violates:",
                *[f"  {line}" for line in shown],
                f"written to {path}; look at it with: python -m leyden.sim show {path}",
                f"replay: python -m leyden.sim replay {token_of(self.script)}",
            ]
        )


def script_of_found(script: Script, found: Found) -> Script:
    """Return what the explorer has found as a scenario that takes every step as it did."""
    play = Play(script)
    play.carry_out(script.commands)
    labels = play.director.labels
    labels.learn()
    steps = [_step(number, action, labels) for number, action in enumerate(found.actions)]
    disturbed = [timed for deviation in found.deviations for timed in _disturbance(deviation, labels)]
    commands = sorted([*disturbed, *steps], key=lambda timed: timed.step)
    return msgspec.structs.replace(
        script,
        title=f"{found.scenario}, explored.",
        commands=(*[timed for timed in script.commands if timed.step < 0], *commands),
        schedule=found.recovery.replace(" ", "-"),
        tier="once",
    )


def _step(number: int, action: Action, labels: Labels) -> Timed:
    if action.kind == "act":
        return Timed(cmd.Do("act", "-", "-"), number)
    subject = labels.of_journal(action.subject) if action.kind == "commit" else action.subject
    return Timed(cmd.Do(action.kind, action.node, subject or "-"), number)


def _disturbance(deviation: Deviation, labels: Labels) -> Iterator[Timed]:
    if deviation.quiet_seconds:
        yield Timed(cmd.Tick(deviation.quiet_seconds), deviation.step)
    match deviation:
        case Crash(step=step, node=node, kept=kept):
            yield Timed(cmd.Crash(node, {labels.of_journal(journal): count for journal, count in kept}), step)
        case Cut(step=step, one=one, other=other):
            yield Timed(cmd.Cut(one, other), step)
        case Hold(step=step, node=node, journal=journal):
            yield Timed(cmd.Hold(node, labels.of_journal(journal)), step)


def finding_of(name: str, script: Script, *, shrunk: bool = True) -> Finding | None:
    """Run a scenario; return what it violates, made small, or None."""
    violation = violation_of(script)
    if violation is None:
        return None
    if shrunk:
        script = shrink(script, lambda one: violation_of(one) is not None, SHRINK_RUNS_MAX)
        violation = violation_of(script)
    return Finding(name, describe(violation), script)


def describe(violation: Exception | None) -> str:
    """Return a violation in words."""
    text = str(violation)
    return text if type(violation).__name__ == "Violation" else f"{type(violation).__name__}: {text}"


def write(finding: Finding, folder: Path) -> Path:
    """Write a finding as a scenario file with its trace; return the path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{''.join([letter if letter.isalnum() else '-' for letter in finding.name])}.txt"
    script = msgspec.structs.replace(
        finding.script, about=("It violates:", *finding.wrong.splitlines()), expected=tuple(trace_of(finding.script))
    )
    path.write_text(format_script(script))
    return path


class Told(NamedTuple):
    """A run that a narrator has watched. wrong: what it violates, or nothing."""

    play: Play
    narrator: Narrator
    wrong: str


def told(script: Script) -> Told:
    """Run a scenario, also one that fails, and let it be told."""
    play = Play(script)
    narrator = play.narrated()
    try:
        play.run()
    except Exception as violation:  # noqa: BLE001 - what is wrong is what is told
        return Told(play, narrator, describe(violation))
    return Told(play, narrator, "")


def trace_of(script: Script) -> list[str]:
    """Run a scenario, also one that fails; return what happened, a line each."""
    run = told(script)
    return [*run.narrator.lines(), *[f"violated: {line}" for line in run.wrong.splitlines()]]
