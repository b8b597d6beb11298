"""Exit codes (docs/cli.md), and the one place where an error becomes a sentence on standard error."""

import functools
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

import typer

OK: Final = 0
REJECTED: Final = 1
"""Refused, and nothing was changed."""
USAGE: Final = 2
"""The command line itself is wrong (typer's own code)."""
NOT_RUNNING: Final = 3
"""No node answers."""
WORLD_FAILED: Final = 4
"""Disk, chain service or network; may be tried again."""
PAYMENT_FAILED: Final = 5
PAYMENT_PENDING: Final = 6
"""A payment goes on, but this command does not wait any longer."""
FAULT: Final = 7
"""A fault of Leyden."""
INTERRUPTED: Final = 130

F = TypeVar("F", bound=Callable[..., Any])


class Stop(Exception):
    """End with this exit code; what there is to say was said."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


Commands: TypeAlias = Sequence[tuple[str, Callable[..., None]]]


def register(app: typer.Typer, panel: str, commands: Commands) -> None:
    """Add commands, by name, to a panel of the help."""
    for name, command in commands:
        app.command(name, rich_help_panel=panel)(guarded(command))


def guarded(command: F) -> F:
    """Return a command that turns every error into its sentence and exit code."""

    @functools.wraps(command)
    def run(*arguments: Any, **named: Any) -> None:
        code = _run(functools.partial(command, *arguments, **named), bool(named.get("as_json")))
        if code:
            raise typer.Exit(code)

    return run  # type: ignore[return-value]


def _run(command: Callable[[], object], as_json: bool) -> int:
    # Here and not above: even the error classes cost start-up time that `--help` does not have.
    from leyden.base.errors import LeydenError

    try:
        command()
        sys.stdout.flush()
    except Stop as stop:
        return stop.code
    except LeydenError as error:
        code, name = _classify(error)
        say(str(error))
        if as_json:
            _print_error(name, str(error))
        return code
    except KeyboardInterrupt:
        say("interrupted; what the node has begun goes on")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough of it (`leyden payments | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return OK


def _classify(error: Exception) -> tuple[int, str]:
    """Return the exit code and a name for programs."""
    from leyden.api.errors import NodeFault, NodeNotRunning, NodeTimeout, RemoteFailed
    from leyden.base.errors import CommandRejected, DriverError

    match error:
        case NodeNotRunning():
            return NOT_RUNNING, "node_not_running"
        case NodeTimeout():
            return WORLD_FAILED, "node_timeout"
        case RemoteFailed():
            return WORLD_FAILED, error.code
        case DriverError():
            return WORLD_FAILED, "driver_error"
        case CommandRejected():
            return REJECTED, error.code
        case NodeFault():
            return FAULT, "internal_error"
        case _:
            return REJECTED, "rejected"


def _print_error(code: str, message: str) -> None:
    import json

    sys.stdout.write(json.dumps({"error": {"code": code, "message": message}}) + "\n")
    sys.stdout.flush()


def say(sentence: str) -> None:
    """Write one sentence to standard error."""
    prefix = "\x1b[31mleyden:\x1b[0m " if sys.stderr.isatty() and "NO_COLOR" not in os.environ else "leyden: "
    sys.stderr.write(f"{prefix}{sentence}\n")
    sys.stderr.flush()


def refuse(sentence: str, code: str) -> NoReturn:
    """Refuse what the user asked for, before the node is asked."""
    from leyden.base.errors import CommandRejected

    raise CommandRejected(sentence, code=code)
