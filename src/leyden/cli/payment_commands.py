"""`invoice`, `decode`, `pay`, `keysend`, `payments`, `claim`, `fail`."""

from typing import TYPE_CHECKING, Annotated

import typer

from leyden.cli.amounts import parse_msat, show_count, show_msat
from leyden.cli.context import AsJson, DataDir, node
from leyden.cli.exits import PAYMENT_FAILED, PAYMENT_PENDING, Stop, refuse, register, say
from leyden.cli.output import is_terminal, print_fields, print_json, print_table, print_text, progress, short

if TYPE_CHECKING:
    from leyden.api.client import Control
    from leyden.api.views import PaymentView

FeeLimitOption = typer.Option(
    help="Highest fee in all: 10sat, 500msat; the node's setting if absent.", show_default=False
)
DeadlineOption = typer.Option(
    help="Seconds in which ways are tried; the node's setting if absent.", min=1, show_default=False
)
PaymentIdOption = typer.Option(
    help="32 bytes in hexadecimal of your choice: the same id again is the same payment, never a second one.",
    show_default=False,
)
PartsOption = typer.Option(help="In how many parts it may be split.", min=1, max=483)
WaitOption = typer.Option("--no-wait", help="Return when the payment is under way.")
SetIdArgument = typer.Argument(
    metavar="SET_ID", help="set_id of an event payment_claimable, or of a held payment in `payments`."
)


def invoice(
    amount: Annotated[
        str,
        typer.Argument(metavar="AMOUNT", help="25000 or 25000sat, 1500msat, 0.001btc; `any` lets the payer choose."),
    ],
    description: Annotated[
        str, typer.Argument(metavar="[DESCRIPTION]", help="What it is for; the payer sees it.")
    ] = "",
    expiry: Annotated[int, typer.Option(help="Seconds until it expires.", min=1)] = 3600,
    payment_hash: Annotated[
        str | None, typer.Option(help="Of a preimage that only you know; claimed by hand.", show_default=False)
    ] = None,
    directory: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make an invoice."""
    from leyden.api.client import finish

    amount_msat = None if amount == "any" else parse_msat(amount)
    view = finish(node(directory).create_invoice(amount_msat, description, expiry, None, payment_hash))
    if as_json:
        print_json(view)
    else:
        print_text(view.invoice)


def decode(
    text: Annotated[str, typer.Argument(metavar="INVOICE", help="BOLT 11 invoice.")],
    directory: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show what an invoice says."""
    from leyden.api.client import finish

    view = finish(node(directory).decode_invoice(_bare(text)))
    if as_json:
        print_json(view)
        return
    hints = [
        " > ".join(f"{hop.node_id} over {hop.short_channel_id} ({hop.fee_base_msat} msat + "
                   f"{hop.fee_proportional_millionths} millionths, {show_count(hop.cltv_expiry_delta, 'block')})"
                   for hop in hint)
        for hint in view.route_hints
    ]  # fmt: skip
    print_fields([
        ("amount", "any" if view.amount_msat is None else f"{show_msat(view.amount_msat)} sat"),
        ("description", view.description),
        ("description hash", view.description_hash),
        ("payee", view.payee),
        ("network", view.network),
        ("payment hash", view.payment_hash),
        ("created", show_time(view.created_seconds)),
        ("expires", show_time(view.expires_seconds) + (", EXPIRED" if view.is_expired else "")),
        ("last hop needs", show_count(view.min_final_cltv_expiry_delta, "block")),
        *[("on-chain address", address) for address in view.fallback_addresses],
        *[("route hint", hint) for hint in hints],
    ])  # fmt: skip


def pay(
    text: Annotated[str, typer.Argument(metavar="INVOICE", help="BOLT 11 invoice.")],
    amount: Annotated[str | None, typer.Option(help="For an invoice that names none.", show_default=False)] = None,
    payment_id: Annotated[str | None, PaymentIdOption] = None,
    fee_limit: Annotated[str | None, FeeLimitOption] = None,
    deadline: Annotated[int | None, DeadlineOption] = None,
    max_parts: Annotated[int, PartsOption] = 16,
    no_wait: Annotated[bool, WaitOption] = False,
    directory: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Pay an invoice, and wait for the outcome."""
    from leyden.api.client import finish

    control = node(directory)
    amount_msat = None if amount is None else parse_msat(amount)
    limit_msat = None if fee_limit is None else parse_msat(fee_limit)
    view = finish(control.pay(_bare(text), amount_msat, payment_id, limit_msat, deadline, max_parts))
    _follow(control, view, no_wait=no_wait, as_json=as_json)


def keysend(
    node_id: Annotated[str, typer.Argument(metavar="NODE_ID", help="Whom to pay.")],
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="25000 or 25000sat, 1500msat, 0.001btc.")],
    record: Annotated[
        list[str] | None, typer.Option(help="Custom record, TYPE=HEX; may be repeated.", show_default=False)
    ] = None,
    payment_id: Annotated[str | None, PaymentIdOption] = None,
    fee_limit: Annotated[str | None, FeeLimitOption] = None,
    deadline: Annotated[int | None, DeadlineOption] = None,
    no_wait: Annotated[bool, WaitOption] = False,
    directory: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Pay a node that gave no invoice, in one part."""
    from leyden.api.client import finish

    control = node(directory)
    limit_msat = None if fee_limit is None else parse_msat(fee_limit)
    records = dict(_custom_record(text) for text in record or []) or None
    view = finish(control.keysend(node_id, parse_msat(amount), records, payment_id, limit_msat, deadline))
    _follow(control, view, no_wait=no_wait, as_json=as_json)


def _bare(text: str) -> str:
    """Return the invoice in what people paste."""
    return text.strip().removeprefix("lightning:").removeprefix("LIGHTNING:")


def _custom_record(text: str) -> tuple[int, str]:
    number, separator, value = text.partition("=")
    if not separator or not (number.isascii() and number.isdigit()):
        refuse(f"--record {text}: write TYPE=HEX, e.g. 65537=cafe", "invalid_record")
    return int(number), value


def _follow(control: "Control", view: "PaymentView", *, no_wait: bool, as_json: bool) -> None:
    """Wait for the end of a payment, show it, and end with its exit code."""
    from leyden.api.client import finish

    with progress("Paying…"):
        while view.status == "pending" and not no_wait:
            view = finish(control.wait_payment(view.payment_id, 60))
    if as_json:
        print_json(view)
    elif view.status == "failed":
        say(failure_sentence(view))
    else:
        _show_payment(view)
    if view.status == "failed":
        raise Stop(PAYMENT_FAILED)
    if view.status == "pending":
        raise Stop(PAYMENT_PENDING)


def failure_sentence(view: "PaymentView") -> str:
    """Return why a payment failed, where, and what to do."""
    where = ""
    if view.failure_name:
        place = "" if view.failing_hop is None else f" at hop {view.failing_hop + 1}"
        where = f" ({view.failure_name}{place})"
    return f"payment failed: {view.reason or 'unknown reason'}{where}" + (f": {view.advice}" if view.advice else "")


def _show_payment(view: "PaymentView") -> None:
    failure = failure_sentence(view).removeprefix("payment failed: ") if view.status == "failed" else None
    print_fields([
        ("status", view.status),
        ("direction", view.direction),
        ("amount", f"{show_msat(view.amount_msat)} sat"),
        ("fee", f"{show_msat(view.fee_msat)} sat" if view.direction == "outbound" else None),
        ("in flight", f"{show_msat(view.in_flight_msat)} sat" if view.in_flight_msat else None),
        ("parts", str(view.parts) if view.parts else None),
        ("payment hash", view.payment_hash),
        ("preimage", view.preimage),
        ("payee", view.payee),
        ("set id", view.set_id),
        ("claim before", None if view.deadline_height is None else f"block {view.deadline_height}"),
        ("payment id", view.payment_id),
        ("created", show_time(view.created_seconds)),
        ("finished", None if view.finished_seconds is None else show_time(view.finished_seconds)),
        ("reason", failure),
    ])  # fmt: skip


def payments(
    one: Annotated[
        str | None, typer.Argument(metavar="[PAYMENT_ID]", help="Show everything about one.", show_default=False)
    ] = None,
    directory: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List payments in both directions, or show one."""
    from leyden.api.client import finish

    control = node(directory)
    if one is not None:
        view = finish(control.payment(one))
        if as_json:
            print_json(view)
        else:
            _show_payment(view)
        return
    views = finish(control.payments())
    if as_json:
        print_json(views)
        return
    rows = [
        (
            show_time(view.created_seconds)[:16],
            "out" if view.direction == "outbound" else "in",
            view.status,
            show_msat(view.amount_msat),
            show_msat(view.fee_msat) if view.direction == "outbound" else "-",
            short(view.payment_hash, 12),
            view.reason or _to_claim(view),
        )
        for view in views
    ]
    print_table(
        ("created", "way", "status", "amount>", "fee>", "payment hash", "reason, or how to claim"),
        rows,
        "no payments yet",
    )


def _to_claim(view: "PaymentView") -> str:
    """Return what a held payment needs: its whole set_id, because `claim` and `fail` take no part of it."""
    return f"set {view.set_id}, before block {view.deadline_height}" if view.status == "claimable" else ""


def claim(
    set_id: Annotated[str, SetIdArgument],
    preimage: Annotated[
        str | None, typer.Option(help="Needed for an invoice made with a hash.", show_default=False)
    ] = None,
    directory: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Take a payment that waits for a decision."""
    from leyden.api.client import finish

    finish(node(directory).claim_payment(set_id, preimage))
    if as_json:
        print_json({})
    elif is_terminal():
        print_text("claiming; the event payment_claimed says when it is ours")


def fail(set_id: Annotated[str, SetIdArgument], directory: DataDir = None, as_json: AsJson = False) -> None:
    """Send back a payment that waits for a decision."""
    from leyden.api.client import finish

    finish(node(directory).fail_payment(set_id))
    if as_json:
        print_json({})
    elif is_terminal():
        print_text("sent back")


def show_time(seconds: int) -> str:
    """Return a date and time in the local zone."""
    import time

    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    register(app, "Payments", [("invoice", invoice), ("decode", decode), ("pay", pay), ("keysend", keysend)])
    register(app, "Payments", [("payments", payments), ("claim", claim), ("fail", fail)])
