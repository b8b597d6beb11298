"""Making a failing scenario small: fewer commands, that come earlier and are simpler, as long as it fails.

What fails may change on the way: any violation is as good as another, and smaller ones are better. Commands without a
step stay as they are: in a random world they repair it and mine until all is settled, so that it can be judged, in what
the explorer has found they are the story, which holds undisturbed. Without them anything would fail.
"""

from collections.abc import Callable, Iterator, Sequence

import msgspec

from leyden.sim import commands as cmd
from leyden.sim.commands import Command, Timed
from leyden.sim.play import Play
from leyden.sim.script import Script

RUNS_MAX = 2000


def violation_of(script: Script) -> Exception | None:
    """Run a scenario; return what it violates, or None."""
    try:
        Play(script).run()
    except Exception as violation:  # noqa: BLE001 - a crash of the program is a finding like a violated oracle
        return violation
    return None


def shrink(script: Script, fails: Callable[[Script], bool], runs_max: int = RUNS_MAX) -> Script:
    """Return the smallest scenario that was found. `fails`: whether a scenario still fails; `script` does."""
    return _Shrinking(fails, runs_max).run(script)


class _Shrinking:
    def __init__(self, fails: Callable[[Script], bool], runs_max: int) -> None:
        self._fails = fails
        self._left = runs_max

    def run(self, script: Script) -> Script:
        """Try until nothing helps any more."""
        while True:
            smaller = self._simplify(self._earlier(self._fewer(script)))
            if smaller.commands == script.commands or not self._left:
                return smaller
            script = smaller

    def _still_fails(self, script: Script, commands: Sequence[Timed]) -> Script | None:
        if not self._left:
            return None
        self._left -= 1
        candidate = msgspec.structs.replace(script, commands=tuple(commands))
        return candidate if self._fails(candidate) else None

    def _fewer(self, script: Script) -> Script:
        """Delta debugging: leave out runs of commands, long ones first."""
        size = max(1, len(script.commands) // 2)
        while size:
            at = 0
            while at < len(script.commands):
                left = tuple([timed for timed in script.commands[at : at + size] if timed.step < 0])
                fewer = script.commands[:at] + left + script.commands[at + size :]
                smaller = self._still_fails(script, fewer) if fewer != script.commands else None
                if smaller is None:
                    at += size
                else:
                    script = smaller
            size //= 2
        return script

    def _earlier(self, script: Script) -> Script:
        """Let everything from a command on come as early as it can."""
        for index in range(len(script.commands)):
            step = script.commands[index].step
            before = max([timed.step for timed in script.commands[:index]], default=0)
            for earlier in (before, (before + step) // 2, step - 1):
                if not 0 <= earlier < step:
                    continue
                moved = [
                    Timed(timed.command, timed.step - (step - earlier)) if timed.step >= step else timed
                    for timed in script.commands[index:]
                ]
                smaller = self._still_fails(script, (*script.commands[:index], *moved))
                if smaller is not None:
                    script = smaller
                    break
        return script

    def _simplify(self, script: Script) -> Script:
        for index, timed in enumerate(script.commands):
            for simpler in _simpler(timed.command) if timed.step >= 0 else ():
                changed = (*script.commands[:index], Timed(simpler, timed.step), *script.commands[index + 1 :])
                smaller = self._still_fails(script, changed)
                if smaller is not None:
                    script = smaller
                    break
        return script


def _simpler(command: Command) -> Iterator[Command]:
    """Yield commands that do less than this one."""
    if isinstance(command, cmd.Kill):
        yield cmd.Crash(command.node, command.kept)
    if isinstance(command, cmd.Kill | cmd.Crash):
        for journal in command.kept:
            yield type(command)(command.node, {name: kept for name, kept in command.kept.items() if name != journal})
    if isinstance(command, cmd.Unlink):
        yield cmd.Cut(command.one, command.other)
    for field in msgspec.structs.fields(command):
        if not field.required and field.name != "kept" and getattr(command, field.name) != field.default:
            yield msgspec.structs.replace(command, **{field.name: field.default})
    if isinstance(command, cmd.Tick) and command.seconds > 1:
        yield cmd.Tick(1)
