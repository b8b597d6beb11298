"""`journal`: looks into the journals of a node that does not run."""

from typing import Annotated, Any

import typer

from leyden.cli import launch
from leyden.cli.amounts import show_count
from leyden.cli.context import AsJson, DataDir, data_dir
from leyden.cli.exits import REJECTED, Stop, guarded
from leyden.cli.output import print_json, print_json_line, print_table, print_text, progress, short

JournalArgument = typer.Argument(metavar="JOURNAL", help="`node`, or the beginning of a channel_id.")
SecretsOption = typer.Option("--secrets", help="Show secrets of channels and payments too.")
_VALUE_LENGTH = 72


def list_all(directory: DataDir = None, as_json: AsJson = False) -> None:
    """List the journals of a data directory."""
    with progress("Reading the journals…"):
        summaries = launch.list_journals(data_dir(directory))
    if as_json:
        print_json(summaries)
        return
    rows = [
        (
            one.journal if len(one.journal) < 20 else "channel/" + short(one.journal.removeprefix("channel/")),
            str(one.records),
            str(one.snapshot) if one.snapshot else "-",
            f"{one.bytes:,}",
            one.state or "-",
            short(one.node_id),
        )
        for one in summaries
    ]
    print_table(("journal", "records>", "snapshot>", "bytes>", "state", "peer"), rows, "no journals")


def show(
    journal: Annotated[str, JournalArgument],
    first: Annotated[int, typer.Option("--from", help="First record.", min=1)] = 1,
    last: Annotated[int | None, typer.Option("--to", help="Last record.", min=1, show_default=False)] = None,
    secrets: Annotated[bool, SecretsOption] = False,
    directory: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show the records of a journal; with --json one object a line."""
    for record in launch.show_journal(data_dir(directory), journal, first, last, "show" if secrets else "hide"):
        if as_json:
            print_json_line(record)
            continue
        print_text(f"{record.position:>6}  {record.kind}  ({show_count(record.bytes, 'byte')})")
        for name, value in record.fields.items():
            print_text(f"        {name}: {_brief(value)}")


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _VALUE_LENGTH else f"{text[:_VALUE_LENGTH]}… ({len(text)} characters)"


def verify(directory: DataDir = None, as_json: AsJson = False) -> None:
    """Check that every journal is whole, decodes and folds."""
    with progress("Checking the journals…"):
        verdicts = launch.verify_journals(data_dir(directory))
    if as_json:
        print_json(verdicts)
    else:
        rows = [(one.journal, str(one.records), one.problem or "ok") for one in verdicts]
        print_table(("journal", "records>", "verdict"), rows, "no journals")
    if any(one.problem for one in verdicts):
        raise Stop(REJECTED)


def fold(
    journal: Annotated[str, JournalArgument],
    at: Annotated[
        int | None, typer.Option(help="After this record; the last if absent.", min=1, show_default=False)
    ] = None,
    secrets: Annotated[bool, SecretsOption] = False,
    directory: DataDir = None,
) -> None:
    """Show the state that a journal had after one of its records, as JSON."""
    with progress("Folding…"):
        state = launch.fold_journal(data_dir(directory), journal, at, "show" if secrets else "hide")
    print_json(state)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    group = typer.Typer(
        no_args_is_help=True, help="Look into the journals of a node that does not run; changes nothing."
    )
    for name, command in (("list", list_all), ("show", show), ("verify", verify), ("fold", fold)):
        group.command(name)(guarded(command))
    app.add_typer(group, name="journal", rich_help_panel="For programs and debugging")
