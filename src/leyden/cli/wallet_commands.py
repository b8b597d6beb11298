"""`address`, `balance`, `send-onchain`."""

from typing import Annotated

import typer

from leyden.cli.amounts import parse_feerate, parse_sat, show_msat, show_sat
from leyden.cli.context import AsJson, DataDir, node
from leyden.cli.exits import register
from leyden.cli.output import print_fields, print_json, print_text, progress

FeerateOption = typer.Option(help="2.5 or 2.5sat/vb, or 625perkw; the node's estimate if absent.", show_default=False)


def address(directory: DataDir = None, as_json: AsJson = False) -> None:
    """Show a new address of the on-chain wallet."""
    from leyden.api.client import finish

    view = finish(node(directory).new_address())
    if as_json:
        print_json(view)
    else:
        print_text(view.address)


def balance(directory: DataDir = None, as_json: AsJson = False) -> None:
    """Show what the node owns, on chain and in channels."""
    from leyden.api.client import finish

    view = finish(node(directory).balance())
    if as_json:
        print_json(view)
        return
    per_channel = f"{show_sat(view.anchor_reserve_per_channel_sat)} for each channel with anchors"
    missing = view.anchor_reserve_missing_sat
    lacking = f"; {show_sat(missing)} ARE MISSING" if missing else ""
    reserve = f"{show_sat(view.anchor_reserve_sat)} sat ({per_channel}{lacking})"
    print_fields([
        ("on chain, spendable", f"{show_sat(view.spendable_sat)} sat"),
        ("  confirmed", f"{show_sat(view.confirmed_sat)} sat"),
        ("  unconfirmed", f"{show_sat(view.unconfirmed_sat)} sat"),
        ("  immature", f"{show_sat(view.immature_sat)} sat"),
        ("  reserved for openings", f"{show_sat(view.reserved_sat)} sat"),
        ("  reserved for closings", reserve),
        ("in channels", f"{show_msat(view.lightning_msat)} sat"),
        ("  spendable now", f"{show_msat(view.spendable_msat)} sat"),
        ("  receivable now", f"{show_msat(view.receivable_msat)} sat"),
        ("  in flight, outbound", f"{show_msat(view.in_flight_outbound_msat)} sat"),
        ("  in flight, inbound", f"{show_msat(view.in_flight_inbound_msat)} sat"),
        ("closing", f"{show_sat(view.closing_sat)} sat"),
        *[
            (f"  from height {one.height}", f"{show_sat(one.amount_sat)} sat") for one in view.timelocked
        ],
        ("  not worth its fee now", f"{show_sat(view.uneconomic_sat)} sat" if view.uneconomic_sat else None),
    ])  # fmt: skip


def send_onchain(
    to: Annotated[str, typer.Argument(metavar="ADDRESS", help="Bitcoin address.")],
    amount: Annotated[
        str, typer.Argument(metavar="AMOUNT", help="25000 or 25000sat, 0.001btc; `all` for everything spendable.")
    ],
    feerate: Annotated[str | None, FeerateOption] = None,
    directory: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Pay an address on chain."""
    from leyden.api.client import finish

    amount_sat = None if amount == "all" else parse_sat(amount)
    feerate_per_kw = None if feerate is None else parse_feerate(feerate)
    with progress("Making and publishing the transaction…"):
        view = finish(node(directory).send_onchain(to, amount_sat, feerate_per_kw))
    if as_json:
        print_json(view)
        return
    print_fields([
        ("txid", view.txid),
        ("amount", f"{show_sat(view.amount_sat)} sat"),
        ("fee", f"{show_sat(view.fee_sat)} sat"),
    ])  # fmt: skip


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    register(app, "On chain", [("address", address), ("balance", balance), ("send-onchain", send_onchain)])
