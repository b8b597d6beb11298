"""Options that many commands share, and the node they talk to."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

if TYPE_CHECKING:
    from leyden.api.client import Control

DataDir: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", "-d", help="Data directory of the node [LEYDEN_DATA_DIR, ~/.leyden].", show_default=False
    ),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

_chosen: list[Path] = []


def choose_data_dir(directory: Path | None) -> None:
    """Remember the directory that was given before the command's name."""
    _chosen[:] = [] if directory is None else [directory]


def data_dir(given: Path | None) -> Path:
    """Return the data directory:

    of the option, else of the option before the command, the environment, or the default.
    """
    if given is not None:
        return given.expanduser().absolute()
    if _chosen:
        return _chosen[0].expanduser().absolute()
    named = os.environ.get("LEYDEN_DATA_DIR", "")
    return (Path(named).expanduser() if named else Path.home() / ".leyden").absolute()


def node(given: Path | None) -> "Control":
    """Return the running node of a data directory."""
    from leyden.api.client import blocking_control, socket_path

    return blocking_control(socket_path(data_dir(given)))
