"""`leyden`: puts the commands together."""

from typing import Annotated

import typer

from leyden.cli import (
    channel_commands,
    event_commands,
    journal_commands,
    node_commands,
    onchain_commands,
    payment_commands,
    wallet_commands,
)
from leyden.cli.context import DataDir, choose_data_dir


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"leyden {version('leyden')}")
        except PackageNotFoundError:
            typer.echo("leyden, run from its sources")
        raise typer.Exit


def _main(
    directory: DataDir = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """A Bitcoin Lightning node: run one, and ask it to do things.

    Amounts are in satoshi unless they say otherwise: 25000, 25000sat, 1500msat, 0.001btc.

    Exit codes: 0 done, 1 refused, 2 wrong command line, 3 no node runs,
    4 the world failed, 5 payment failed, 6 payment still pending,
    7 a fault of Leyden.
    """
    choose_data_dir(directory)


def make_app() -> typer.Typer:
    """Return the application."""
    app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(_main)
    for module in (
        node_commands,
        wallet_commands,
        channel_commands,
        onchain_commands,
        payment_commands,
        event_commands,
        journal_commands,
    ):
        module.add_to(app)
    return app


def run() -> None:
    """Run the command line of this process."""
    make_app()(prog_name="leyden")


if __name__ == "__main__":
    run()
