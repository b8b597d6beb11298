"""`init`, `node`, `regtest`, `info`, `stop`, `call`."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from leyden.cli import launch
from leyden.cli.amounts import show_count
from leyden.cli.context import AsJson, DataDir, data_dir, node
from leyden.cli.exits import Stop, refuse, register, say
from leyden.cli.output import is_terminal, print_fields, print_json, print_text, progress, waiting_line

if TYPE_CHECKING:
    from leyden.api.views import StoreView


def init(
    directory: DataDir = None,
    network: Annotated[str, typer.Option(help="mainnet, testnet, signet or regtest.")] = "regtest",
    alias: Annotated[str, typer.Option(help="Name of the node for people.")] = "",
    listen: Annotated[
        list[str] | None,
        typer.Option(help="host:port for peers; may be repeated [127.0.0.1:9735].", show_default=False),
    ] = None,
    bitcoind_url: Annotated[str, typer.Option(help="Chain service, http://host:port.")] = "",
    bitcoind_cookie_file: Annotated[str, typer.Option(help="Its cookie file.")] = "",
    restore: Annotated[
        bool, typer.Option("--restore", help="Restore from seed words: asked for, or LEYDEN_WORDS.")
    ] = False,
    passphrase: Annotated[
        bool, typer.Option("--passphrase", help="Seal the key file with a passphrase: asked for, or LEYDEN_PASSPHRASE.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make the data directory of a new node: configuration and seed."""
    given: dict[str, object] = {
        "network": network, "alias": alias, "listen": listen, "bitcoind.url": bitcoind_url,
        "bitcoind.cookie_file": bitcoind_cookie_file,
    }  # fmt: skip
    values = {key: value for key, value in given.items() if value}
    if network == "mainnet":
        say("this version is not for real money: use regtest, signet or testnet")
    words = _secret("LEYDEN_WORDS", "Seed words") if restore else None
    seal = _secret("LEYDEN_PASSPHRASE", "Passphrase", twice=True) if passphrase else None
    with progress("Making the key…"):
        made = launch.create_node(data_dir(directory), values, words, seal, os.environ)
    if as_json:
        print_json(made)
        return
    print_fields([("data directory", made.directory), ("network", made.network), ("node id", made.node_id)])
    if made.words:
        _show_words(made.words)
    print_text("\nStart it with: leyden node" + ("" if directory is None else f" --data-dir {made.directory}"))


def _secret(variable: str, what: str, *, twice: bool = False) -> str:
    value = os.environ.get(variable, "")
    if value:
        return value
    if not sys.stdin.isatty():
        refuse(f"{what.lower()} needed: set {variable}, or run this in a terminal", "secret_needed")
    return str(typer.prompt(what, hide_input=True, confirmation_prompt=twice, err=True))


def _show_words(words: str) -> None:
    print_text(
        "\nThese words are the seed. Write them down on paper now: they are not shown again, and whoever has them has\n"
        "the money on chain. They do not bring back channels: those live in the data directory.\n"
    )
    one_by_one = words.split()
    rows = len(one_by_one) // 4
    for row in range(rows):
        cells = [f"{index + 1:>2}. {one_by_one[index]:<12}" for index in range(row, len(one_by_one), rows)]
        print_text("    " + "".join(cells).rstrip())


def run_node(
    directory: DataDir = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="Configuration file [LEYDEN_CONFIG, leyden.toml in the data directory].",
            show_default=False,
        ),
    ] = None,
    network: Annotated[
        str | None, typer.Option(help="mainnet, testnet, signet or regtest.", show_default=False)
    ] = None,
    listen: Annotated[
        list[str] | None, typer.Option(help="host:port for peers; may be repeated.", show_default=False)
    ] = None,
    bitcoind_url: Annotated[
        str | None, typer.Option(help="Chain service, http://host:port.", show_default=False)
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.", show_default=False)] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Any setting of the file, as path=value: payments.auto_claim=false; lists as a,b: listen= takes none.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run the node in this terminal until it is told to stop."""
    flags: dict[str, object] = {
        "network": network, "listen": listen, "bitcoind.url": bitcoind_url, "log.level": log_level,
    }  # fmt: skip
    for pair in setting or []:
        key, separator, value = pair.partition("=")
        if not separator:
            refuse(f"--set {pair}: write path=value", "invalid_config")
        flags[key] = value
    config = config or (Path(os.environ["LEYDEN_CONFIG"]) if os.environ.get("LEYDEN_CONFIG") else None)
    if directory is not None or config is None:
        flags["data_dir"] = data_dir(directory)
    settings = launch.load_config(config, os.environ, flags)
    passphrase = None
    if launch.needs_passphrase(settings.directory):
        passphrase = _secret("LEYDEN_PASSPHRASE", f"Passphrase of {settings.key_path}")
    _end(launch.run_node(settings, passphrase))


def regtest(
    directory: Annotated[
        Path, typer.Option("--data-dir", "-d", help="Directory of the chain; made when absent.")
    ] = Path("regtest"),
    port: Annotated[int, typer.Option(help="On 127.0.0.1; 0 for any free one.", min=0, max=65_535)] = 18443,
    rpc_user: Annotated[str, typer.Option(help="Accepted with --rpc-password besides the cookie file.")] = "",
    rpc_password: Annotated[str, typer.Option(help="See --rpc-user.")] = "",
) -> None:
    """Run a private Bitcoin chain for tests, with bitcoind's JSON-RPC."""
    _end(launch.run_regtest(directory.expanduser().absolute(), port, rpc_user, rpc_password))


def _end(code: int) -> NoReturn:
    raise Stop(code)


def info(directory: DataDir = None, as_json: AsJson = False) -> None:
    """Show who the node is and how it is."""
    from leyden.api.client import finish

    view = finish(node(directory).info())
    if as_json:
        print_json(view)
        return
    channels = f"{view.channels_usable} usable, {view.channels_pending} pending, {view.channels_closing} closing"
    behind = (
        f" ({show_count(view.blocks_behind, 'block')} behind, catching up)" if view.blocks_behind else " (catching up)"
    )
    synced = f"{view.block_height}" + ("" if view.is_synced else behind)
    print_fields([
        ("node id", view.node_id),
        ("alias", view.alias or None),
        ("network", view.network),
        ("listening", ", ".join(view.listening) or "nowhere"),
        ("block height", synced),
        ("chain", "ok" if view.chain_ok else f"down: {view.chain_status}"),
        ("store", "ok" if view.store_ok else f"down: {view.store_status}"),
        ("waits for it", waiting_line(view.store)),
        ("commits", _commits(view.store)),
        ("peers", str(view.peers)),
        ("channels", channels),
        ("HTLCs pending", str(view.htlcs_pending)),
        ("events waiting", str(view.events_unacknowledged)),
        ("facts waiting", str(view.store.facts_unacknowledged)),
        ("data directory", view.data_dir),
        ("version", view.version),
        *[("ALARM", alarm) for alarm in view.alarms],
    ])  # fmt: skip


def _commits(store: "StoreView") -> str:
    return (
        f"{store.commit_ms_p50:g} ms (p99 {store.commit_ms_p99:g} ms) for "
        f"{show_count(store.batch_records_p50, 'record')} (p99 {store.batch_records_p99}); "
        f"{show_count(store.batches, 'batch', 'batches')}, {store.refusals} refused for a time"
    )


def stop(directory: DataDir = None, as_json: AsJson = False) -> None:
    """Stop the node. Payments in flight go on when it starts again."""
    from leyden.api.client import finish

    finish(node(directory).stop())
    if as_json:
        print_json({})
    elif is_terminal():
        print_text("stopping")


def call(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="Method of the API, e.g. channels.")],
    parameters: Annotated[str, typer.Argument(metavar="[JSON]", help='JSON object, e.g. {"node_id": "02..."}.')] = "{}",
    directory: DataDir = None,
) -> None:
    """Call any method of the API; prints its result as JSON."""
    from leyden.api import schema
    from leyden.api.client import finish

    arguments: dict[str, Any] = schema.method_named(method).decode_request(parameters.encode())
    with progress(f"Waiting for {method}…"):
        print_json(finish(getattr(node(directory), method)(**arguments)))


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    register(
        app,
        "Running a node",
        [("init", init), ("node", run_node), ("regtest", regtest), ("info", info), ("stop", stop)],
    )
    register(app, "For programs and debugging", [("call", call)])
