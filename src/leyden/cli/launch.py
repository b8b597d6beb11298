"""The only module of `cli` that knows the node: it hands over to entry points, and holds no logic (docs/adr/0011)."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leyden.node.journals import JournalSummary, RecordLine, Verdict
    from leyden.node.settings import NodeConfig
    from leyden.node.setup import NewNode


def create_node(
    directory: Path,
    values: Mapping[str, object],
    words: str | None,
    passphrase: str | None,
    environment: Mapping[str, str],
) -> "NewNode":
    """See `node.setup.create`."""
    from leyden.node import setup

    return setup.create(directory, values, words, passphrase, environment)


def needs_passphrase(directory: Path) -> bool:
    """See `node.setup.needs_passphrase`."""
    from leyden.node import setup

    return setup.needs_passphrase(directory)


def load_config(path: Path | None, environment: Mapping[str, str], flags: Mapping[str, object]) -> "NodeConfig":
    """See `node.config.load`."""
    from leyden.node import config

    return config.load(path, environment, flags)


def run_node(config: "NodeConfig", passphrase: str | None) -> int:
    """Run the daemon with the API until it is told to stop; return the exit code."""
    from leyden.api.server import ApiServer
    from leyden.node import daemon

    return daemon.run(config, ApiServer(config.socket_path), passphrase)


def run_regtest(directory: Path, port: int, user: str, password: str) -> int:
    """Run the chain service until it is told to stop; return the exit code."""
    from leyden.regtest.service import run

    return run(directory, port, user=user, password=password)


def list_journals(directory: Path) -> "list[JournalSummary]":
    """See `node.journals.list_journals`."""
    from leyden.node import journals

    return journals.list_journals(directory)


def show_journal(directory: Path, name: str, first: int, last: int | None, secrets: str) -> "list[RecordLine]":
    """See `node.journals.show`."""
    from leyden.node import journals

    return journals.show(directory, name, first, last, secrets)


def verify_journals(directory: Path) -> "list[Verdict]":
    """See `node.journals.verify`."""
    from leyden.node import journals

    return journals.verify(directory)


def fold_journal(directory: Path, name: str, at: int | None, secrets: str) -> dict[str, Any]:
    """See `node.journals.fold_at`."""
    from leyden.node import journals

    return journals.fold_at(directory, name, at, secrets)
