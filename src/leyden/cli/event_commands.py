"""`events`: what happened and was not acknowledged yet."""

from typing import TYPE_CHECKING, Annotated, cast

import typer

from leyden.cli.context import AsJson, DataDir, node
from leyden.cli.exits import register
from leyden.cli.output import clean, is_terminal, print_json_line, print_text, short

if TYPE_CHECKING:
    from leyden.api.views import EventView

_WAIT_SECONDS = 60


def events(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on showing what happens.")] = False,
    acknowledge: Annotated[
        bool, typer.Option("--acknowledge", help="Say that each one shown was dealt with: it is not told again.")
    ] = False,
    directory: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show events that were not acknowledged; with --json one object a line."""
    from leyden.api.client import finish

    control = node(directory)
    views = finish(control.events())
    if not views and not follow and is_terminal() and not as_json:
        print_text("no events wait")
    last: str | None = None
    while True:
        for view in views:
            if as_json:
                print_json_line(view)
            else:
                print_text(_line(view))
            last = view.event_id
            if acknowledge:
                finish(control.acknowledge_event(view.event_id))
        if not follow:
            return
        try:
            views = finish(control.events(last, _WAIT_SECONDS))
        except KeyboardInterrupt:
            return  # how a person ends it


def _line(view: "EventView") -> str:
    shown = [(name, value) for name, value in view.fields.items() if value not in ("", [], {}, None)]
    fields = "  ".join(f"{name}={_value(value)}" for name, value in shown)
    return clean(f"{view.type}  {fields}")


def _value(value: object) -> str:
    if isinstance(value, list):
        return ",".join([_value(one) for one in cast("list[object]", value)])
    return short(value) if isinstance(value, str) else str(value)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    register(app, "Payments", [("events", events)])
