"""`channel show`, `sweeps`, `sweep`: what is on the chain of channels that close."""

from typing import TYPE_CHECKING, Annotated

import typer

from leyden.cli.amounts import parse_feerate, show_count, show_feerate, show_msat, show_sat
from leyden.cli.context import AsJson, DataDir, node
from leyden.cli.exits import guarded, register
from leyden.cli.finding import ChannelArgument, find_channel
from leyden.cli.output import print_fields, print_json, print_table, print_text, progress, short

if TYPE_CHECKING:
    from leyden.api.views import (
        ChannelView,
        CommitmentFateView,
        OnchainClaimView,
        OnchainOutputView,
        SweepsView,
        TimelineView,
    )

_WHOSE = {
    "mutual_close": "cooperative close",
    "local": "our commitment",
    "local_revoked": "our commitment, REVOKED",
    "local_future": "our commitment, newer than these data",
    "remote": "the peer's commitment",
    "remote_prior": "the peer's previous commitment",
    "remote_withdrawn": "the peer's commitment, taken back",
    "remote_revoked": "the peer's commitment, REVOKED",
    "remote_unknown": "the peer's commitment, newer than these data",
    "other": "unknown transaction",
}
_KINDS = {
    "to_local": "ours, delayed",
    "to_remote": "ours",
    "second_stage": "second stage",
    "own_anchor": "our anchor",
    "other_anchor": "their anchor",
    "revoked_to_local": "theirs, forfeited",
    "revoked_htlc": "forfeited HTLC",
    "revoked_second_stage": "forfeited second stage",
    "unknown": "not known",
}
_INDICES_SHOWN = 3
HTLC_KINDS = ("htlc", "revoked_htlc", "second_stage", "revoked_second_stage")


def show(name: Annotated[str, ChannelArgument], directory: DataDir = None, as_json: AsJson = False) -> None:
    """Show the on-chain life of a channel: what closed it, each HTLC and output, claims and sweeps, what is to come."""
    from leyden.api.client import finish

    control = node(directory)
    channel = find_channel(control, name)
    view = finish(control.channel_timeline(channel.channel_id))
    if as_json:
        print_json(view)
        return
    _show_head(channel, view)
    if view.commitment is None:
        return
    print_text("")
    _show_commitment(view.commitment)
    if view.outputs:
        print_text("")
        print_table(
            ("output", "what", "amount>", "expiry>", "state", "height>", "txid"),
            [_output_row(one) for one in view.outputs],
            "",
        )
    if view.claims:
        print_text("")
        print_text("claims that are in no block:")
        show_claims(view.claims)
    child = view.commitment.child
    if child is not None:
        print_text("")
        print_text("what pays for the commitment, through its anchor:")
        show_claims([child])


def _show_head(channel: "ChannelView", view: "TimelineView") -> None:
    deadline = None
    if view.deadline_height is not None:
        left = view.deadline_height - view.block_height
        deadline = f"height {view.deadline_height} (in {show_count(left, 'block')}) if its HTLCs stay as they are"
    archived = None
    if view.archive_height is not None:
        archived = f"not before height {view.archive_height}"
    print_fields([
        ("channel id", channel.channel_id),
        ("short channel id", channel.short_channel_id),
        ("peer", channel.node_id),
        ("state", view.state),
        ("reason", view.reason),
        ("block height", str(view.block_height)),
        ("closed by force", deadline),
        ("not in the wallet", _left(channel)),
        ("archived", archived),
        ("on chain", "nothing yet: the channel is open" if view.commitment is None else None),
    ])  # fmt: skip


def _left(channel: "ChannelView") -> str | None:
    if not channel.onchain_sat:
        return None
    until = channel.onchain_until_height
    return f"{show_sat(channel.onchain_sat)} sat" + ("" if until is None else f", the last of it at height {until}")


def _show_commitment(view: "CommitmentFateView") -> None:
    number = "" if view.number is None else f" {view.number}"
    where = "in no block yet: heights below are as if it were in the next"
    if view.height is not None:
        where = f"{view.height} ({show_count(view.confirmations, 'confirmation')})"
    print_fields([
        ("closed by", _WHOSE[view.kind] + number),
        ("txid", view.txid),
        ("height", where),
        ("fee", f"{show_sat(view.fee_sat)} sat, {show_feerate(view.feerate_per_kw)}"),
    ])  # fmt: skip


def _output_row(one: "OnchainOutputView") -> tuple[str, ...]:
    index = "-" if one.outpoint is None else one.outpoint.rpartition(":")[2]
    amount = (
        show_msat(one.htlc.amount_msat) if one.htlc is not None and one.kind == "htlc" else show_sat(one.amount_sat)
    )
    expiry = "-" if one.htlc is None or one.kind == "second_stage" else str(one.htlc.cltv_expiry)
    return (index, what_of(one), amount, expiry, _state(one), _height(one), short(one.txid, 10))


def what_of(one: "OnchainOutputView") -> str:
    """Name an output for a person."""
    htlc = one.htlc
    if htlc is None or one.kind not in HTLC_KINDS:
        return _KINDS.get(one.kind, one.kind)
    name = "" if htlc.htlc_id is None else f" {htlc.htlc_id}"
    way = "out" if htlc.direction == "outbound" else "in"
    said = f"HTLC{name} {way}" + (", preimage known" if htlc.has_preimage and one.kind == "htlc" else "")
    return said if one.kind == "htlc" else f"{_KINDS[one.kind]} of {said}"


def _state(one: "OnchainOutputView") -> str:
    if one.state == "claiming" and one.feerate_per_kw is not None:
        return f"claiming, {show_feerate(one.feerate_per_kw)}"
    if one.deadline_height is not None and one.state in ("locked", "ready", "expected", "uneconomic"):
        return f"{one.state}, until {one.deadline_height}"
    return one.state


def _height(one: "OnchainOutputView") -> str:
    """Where it was spent, else from where on it can be."""
    height = one.spent_height if one.spent_height is not None else one.unlock_height
    return "-" if height is None else str(height)


def show_claims(claims: "list[OnchainClaimView]") -> None:
    """Print transactions of ours that wait for a block."""
    rows = [
        (
            short(one.txid, 10),
            _indices(one),
            one.state,
            show_sat(one.amount_sat),
            show_sat(one.fee_sat) if one.txid else "-",
            show_feerate(one.feerate_per_kw) if one.txid else "-",
            "-" if one.bump_height is None else str(one.bump_height),
            "-" if one.deadline_height is None else str(one.deadline_height),
        )
        for one in claims
    ]
    columns = ("txid", "takes", "state", "amount>", "fee>", "feerate", "more at>", "deadline>")
    print_table(columns, rows, "none")


def _indices(claim: "OnchainClaimView") -> str:
    """Name outputs by their index, several of them by their number."""
    indices = [outpoint.rpartition(":")[2] for outpoint in claim.outpoints]
    return ",".join(indices) if len(indices) <= _INDICES_SHOWN else f"{len(indices)} outputs"


# --- sweeps ----------------------------------------------------------------------------------------------------------


def sweeps(directory: DataDir = None, as_json: AsJson = False) -> None:
    """List outputs of closed channels that are ours alone: waiting, on their way to the wallet, swept."""
    from leyden.api.client import finish

    view = finish(node(directory).sweeps())
    if as_json:
        print_json(view)
    else:
        _show_sweeps(view)


def sweep(
    feerate: Annotated[
        str | None,
        typer.Option(help="2.5 or 2.5sat/vb, or 625perkw; the node's estimate if absent.", show_default=False),
    ] = None,
    directory: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Sweep now what is ready, at a feerate of your choice. The node sweeps by itself, too."""
    from leyden.api.client import finish

    feerate_per_kw = None if feerate is None else parse_feerate(feerate)
    with progress("Making and publishing the sweep…"):
        view = finish(node(directory).sweep(feerate_per_kw))
    if as_json:
        print_json(view)
        return
    _show_sweeps(view)


def _show_sweeps(view: "SweepsView") -> None:
    rows = [
        (
            short(one.channel_id, 10),
            _KINDS.get(one.kind, one.kind),
            show_sat(one.amount_sat),
            one.state,
            "-" if one.ready_height is None else str(one.ready_height),
            short(one.txid, 10),
            "-"
            if one.spent_height is None
            else f"{one.spent_height} ({show_count(one.confirmations, 'confirmation')})",
        )
        for one in view.outputs
    ]
    columns = ("channel", "what", "amount>", "state", "ready at>", "txid", "in block>")
    print_table(columns, rows, "no closed channel has an output of ours")
    if view.sweep is not None:
        print_text("")
        print_text("the sweep that waits for a block:")
        show_claims([view.sweep])
    waiting = [one.ready_height for one in view.outputs if one.state == "waiting" and one.ready_height is not None]
    left = f"{show_sat(view.uneconomic_sat)} sat are not worth their fee at {show_feerate(view.feerate_per_kw)}"
    print_fields([
        ("next", f"ready at height {min(waiting)}" if waiting else None),
        ("left for lower fees", left if view.uneconomic_sat else None),
    ])  # fmt: skip


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    register(app, "On chain", [("sweeps", sweeps), ("sweep", sweep)])
    group = typer.Typer(no_args_is_help=True, help="Look at one channel.")
    group.command("show")(guarded(show))
    app.add_typer(group, name="channel", rich_help_panel="Peers and channels")
