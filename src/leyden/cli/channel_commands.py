"""`connect`, `disconnect`, `peers`, `trust`, `open`, `open-batch`, `channels`, `close`, `policy`."""

from typing import TYPE_CHECKING, Annotated

import typer

from leyden.cli.amounts import parse_feerate, parse_msat, parse_sat, show_count, show_msat, show_sat
from leyden.cli.context import AsJson, DataDir, node
from leyden.cli.exits import Commands, refuse, register, say
from leyden.cli.finding import ChannelArgument, find_channel
from leyden.cli.output import (
    clean,
    is_terminal,
    print_fields,
    print_json,
    print_table,
    print_text,
    progress,
    short,
    waiting_line,
)
from leyden.cli.wallet_commands import FeerateOption

if TYPE_CHECKING:
    from leyden.api.client import Control
    from leyden.api.views import ChannelView, ClosingView, JournalView

NodeIdArgument = typer.Argument(metavar="NODE_ID", help="Public key of the node, 66 hexadecimal digits.")


def connect(
    peer: Annotated[str, typer.Argument(metavar="NODE_ID@HOST:PORT", help="Whom to connect to, and where.")],
    directory: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Connect to a node; its address is remembered."""
    from leyden.api.client import finish

    node_id, separator, place = peer.partition("@")
    host, colon, port = place.rpartition(":")
    if not separator or not colon or not host or not (port.isascii() and port.isdigit() and int(port) < 65_536):
        refuse(f"`{peer}` is not NODE_ID@HOST:PORT", "invalid_peer")
    with progress(f"Connecting to {place}…"):
        view = finish(node(directory).connect(node_id, host.removeprefix("[").removesuffix("]"), int(port)))
    if as_json:
        print_json(view)
    else:
        print_text(f"connected to {view.node_id}")


def disconnect(node_id: Annotated[str, NodeIdArgument], directory: DataDir = None, as_json: AsJson = False) -> None:
    """End the connection to a node."""
    from leyden.api.client import finish

    finish(node(directory).disconnect(node_id))
    if as_json:
        print_json({})
    else:
        print_text(f"disconnected from {node_id}")


def peers(directory: DataDir = None, as_json: AsJson = False) -> None:
    """List peers: connected, remembered, or with a channel."""
    from leyden.api.client import finish

    views = finish(node(directory).peers())
    if as_json:
        print_json(views)
        return
    rows = [
        (
            short(view.node_id, 20),
            "connected" if view.is_connected else "away",
            view.address or "-",
            "in" if view.is_inbound else "out" if view.is_connected else "-",
            "yes" if view.is_trusted else "no",
            str(view.channels),
        )
        for view in views
    ]
    columns = ("node id", "state", "address", "way", "trusted", "channels>")
    print_table(columns, rows, "no peers: leyden connect NODE_ID@HOST:PORT")


def trust(
    node_id: Annotated[str, NodeIdArgument],
    no: Annotated[bool, typer.Option("--no", help="Take the trust back.")] = False,
    directory: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Accept channels of a peer that are used before their funding is confirmed."""
    from leyden.api.client import finish

    view = finish(node(directory).trust_peer(node_id, not no))
    if as_json:
        print_json(view)
    else:
        print_text(f"{view.node_id} is {'trusted' if view.is_trusted else 'not trusted'}")


def open_channel(
    node_id: Annotated[str, NodeIdArgument],
    amount: Annotated[
        str, typer.Argument(metavar="AMOUNT", help="Size of the channel: 1000000 or 1000000sat, 0.01btc.")
    ],
    push: Annotated[str, typer.Option(help="Give this much to the peer: a gift.")] = "0",
    static_remotekey: Annotated[
        bool, typer.Option("--static-remotekey", help="The older type, without anchors.")
    ] = False,
    announce: Annotated[bool, typer.Option("--announce", help="Tell the network about the channel.")] = False,
    zero_conf: Annotated[bool, typer.Option("--zero-conf", help="Use it at once, if the peer trusts us.")] = False,
    scid_alias: Annotated[bool, typer.Option("--scid-alias", help="Never tell its place on chain.")] = False,
    feerate: Annotated[str | None, FeerateOption] = None,
    close_to: Annotated[str | None, typer.Option(help="Address for a cooperative close.", show_default=False)] = None,
    directory: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Open a channel with a connected peer."""
    from leyden.api.client import finish

    amount_sat, push_msat = parse_sat(amount), parse_msat(push)
    feerate_per_kw = None if feerate is None else parse_feerate(feerate)
    with progress("Opening the channel…"):
        view = finish(
            node(directory).open_channel(
                node_id, amount_sat, push_msat, "static_remotekey" if static_remotekey else "anchors", announce,
                feerate_per_kw, zero_conf, scid_alias, close_to,
            )
        )  # fmt: skip
    if as_json:
        print_json(view)
        return
    print_fields([
        ("channel id", view.channel_id),
        ("funding", f"{view.funding_txid}:{view.funding_output_index}"),
    ])  # fmt: skip


def open_batch(
    wanted: Annotated[
        list[str],
        typer.Argument(metavar="NODE_ID:AMOUNT...", help="With whom and how large: 02ab…:1000000, 03cd…:0.01btc."),
    ],
    announce: Annotated[bool, typer.Option("--announce", help="Tell the network about the channels.")] = False,
    feerate: Annotated[str | None, FeerateOption] = None,
    directory: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Open up to 20 channels with connected peers by one transaction: all of them, or none."""
    from leyden.api.client import finish
    from leyden.api.views import ChannelRequest

    requests: list[ChannelRequest] = []
    for one in wanted:
        node_id, colon, amount = one.partition(":")
        if not colon:
            refuse(f"`{one}` is not NODE_ID:AMOUNT", "invalid_amount")
        requests.append(ChannelRequest(node_id=node_id, amount_sat=parse_sat(amount), announce=announce))
    feerate_per_kw = None if feerate is None else parse_feerate(feerate)
    with progress(f"Opening {len(requests)} channels…"):
        views = finish(node(directory).open_channels(requests, feerate_per_kw))
    if as_json:
        print_json(views)
        return
    rows = [
        (view.channel_id, short(request.node_id, 20), show_sat(request.amount_sat))
        for request, view in zip(requests, views, strict=True)
    ]
    print_table(("channel id", "node id", "size>"), rows, "no channels")
    print_fields([("funding txid", views[0].funding_txid)])


def channels(
    one: Annotated[
        str | None, typer.Argument(metavar="[CHANNEL]", help="Show everything about one.", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
    only_closed: Annotated[
        bool, typer.Option("--closed", help="Those that close or are closed: how, and what is left on chain.")
    ] = False,
    directory: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List channels, or show one."""
    from leyden.api.client import finish

    control = node(directory)
    if one is not None:
        view = find_channel(control, one)
        if as_json:
            print_json(view)
        else:
            _show_channel(view)
        return
    if only_closed:
        _show_closed(control, as_json)
        return
    views = [view for view in finish(control.channels()) if everything or view.state != "closed"]
    if as_json:
        print_json(views)
        return
    rows = [_row(view) for view in views]
    columns = (
        ("channel", "peer", "state", "ours>", "theirs>", "HTLCs>")
        if is_terminal()
        else ("channel", "scid", "peer", "state", "ours>", "theirs>", "HTLCs>", "capacity>")
    )
    print_table(columns, rows, "no channels: leyden open NODE_ID AMOUNT")
    late = [view for view in views if view.journal.records_waiting]
    if late and is_terminal():
        records = sum([view.journal.records_waiting for view in late])
        print_text(
            f"not durable yet: {show_count(records, 'record')} of {show_count(len(late), 'channel')} wait for the store"
        )


_CLOSING = ("mutual_close", "force_closing", "stale", "spent", "closed")


def _show_closed(control: "Control", as_json: bool) -> None:
    from leyden.api.client import finish

    views = [view for view in finish(control.channels()) if view.state in _CLOSING]
    if as_json:
        print_json(views)
        return
    rows = [
        (
            (view.short_channel_id or short(view.channel_id, 10)) if is_terminal() else view.channel_id,
            view.state,
            "-" if view.closing_height is None else str(view.closing_height),
            show_sat(view.onchain_sat),
            "-" if view.onchain_until_height is None else str(view.onchain_until_height),
            short(view.closing_txid, 10),
            view.close_reason or "-",
        )
        for view in views
    ]
    columns = ("channel", "state", "height>", "left>", "until>", "txid", "how it ended")
    print_table(columns, rows, "no channel closes or is closed")
    archived = finish(control.info()).channels_archived
    if archived and is_terminal():
        print_text(f"{archived} more are closed for good: archived, nothing of them is left here")


def _row(view: "ChannelView") -> tuple[str, ...]:
    """Return a line of the list: for a person what fits on 80 columns, and names that every command takes."""
    state = "halted" if view.halted else view.state
    sums = (show_msat(view.local_msat), show_msat(view.remote_msat), f"{view.htlcs_outbound}/{view.htlcs_inbound}")
    if is_terminal():
        return (view.short_channel_id or short(view.channel_id, 10), short(view.node_id, 10), state, *sums)
    scid = view.short_channel_id or "-"
    return (view.channel_id, scid, view.node_id, state, *sums, show_sat(view.capacity_sat))


def _deadline(view: "ChannelView") -> str | None:
    if view.deadline_height is None:
        return None
    return f"at height {view.deadline_height}, if its HTLCs stay as they are"


def _unacknowledged(journal: "JournalView") -> str | None:
    if not journal.facts_unacknowledged and not journal.events_unacknowledged:
        return None
    return f"{show_count(journal.facts_unacknowledged, 'fact')}, {show_count(journal.events_unacknowledged, 'event')}"


def _show_channel(view: "ChannelView") -> None:
    policy = view.policy
    forwarding = (
        f"{policy.fee_base_msat} msat + {policy.fee_proportional_millionths} millionths, "
        f"{show_count(policy.cltv_expiry_delta, 'block')}, at least {policy.htlc_minimum_msat} msat"
        + (", disabled" if policy.is_disabled else "")
    )
    confirmed = show_count(view.confirmations, "confirmation") + (
        "" if view.is_zero_conf else f", {view.minimum_depth} needed"
    )
    print_fields([
        ("channel id", view.channel_id),
        ("short channel id", view.short_channel_id or "not confirmed yet"),
        ("alias", view.alias),
        ("peer", f"{view.node_id} ({'connected' if view.is_connected else 'away'})"),
        ("state", view.state + ("" if view.is_usable else ", takes no payments now")),
        ("type", view.channel_type + (", zero-conf" if view.is_zero_conf else "")),
        ("opened by", "us" if view.is_opener else "the peer"),
        ("announced", "yes" if view.is_announced else "no"),
        ("capacity", f"{show_sat(view.capacity_sat)} sat"),
        ("ours", f"{show_msat(view.local_msat)} sat, spendable {show_msat(view.spendable_msat)}"),
        ("theirs", f"{show_msat(view.remote_msat)} sat, receivable {show_msat(view.receivable_msat)}"),
        ("reserve", f"{show_sat(view.local_reserve_sat)} sat ours, {show_sat(view.remote_reserve_sat)} theirs"),
        ("HTLCs", f"{view.htlcs_outbound} outbound, {view.htlcs_inbound} inbound"),
        ("feerate", f"{view.feerate_per_kw} sat per kw"),
        ("funding", f"{view.funding_txid}:{view.funding_output_index} ({confirmed})"),
        ("commitments", f"{view.local_commitment_number} ours, {view.remote_commitment_number} theirs"),
        ("forwarding", forwarding),
        ("waits for store", waiting_line(view.journal)),
        ("to acknowledge", _unacknowledged(view.journal)),
        ("closed by force", _deadline(view)),
        ("close reason", view.close_reason),
        ("closing txid", view.closing_txid),
        ("left on chain", f"{show_sat(view.onchain_sat)} sat" if view.onchain_sat else None),
        ("HALTED", view.halted),
    ])  # fmt: skip


def close(
    name: Annotated[str, ChannelArgument],
    force: Annotated[
        bool, typer.Option("--force", help="Alone, by publishing our commitment; our funds wait then.")
    ] = False,
    without_peer: Annotated[
        bool,
        typer.Option("--without-peer", help="With --force: the peer is gone for good, and our data are no old copy."),
    ] = False,
    address: Annotated[
        str | None, typer.Option(help="Where our funds go; the wallet if absent.", show_default=False)
    ] = None,
    feerate: Annotated[str | None, FeerateOption] = None,
    directory: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Close a channel, together with its peer or by force.

    By force, our latest commitment is published; the peer must have been heard since the node started, because from an
    old copy of the data directory that would cost the whole balance. Our funds come back after a delay, payments under
    way are settled on chain, all by itself and for fees: prefer to close together with the peer. `leyden channel show`
    follows it.
    """
    from leyden.api.client import finish

    control = node(directory)
    channel = find_channel(control, name)
    feerate_per_kw = None if feerate is None else parse_feerate(feerate)
    if force and (channel.htlcs_outbound or channel.htlcs_inbound):
        say(
            f"payments are under way in this channel, {channel.htlcs_outbound} out and {channel.htlcs_inbound} in: "
            "they are settled on chain now, which may take until they expire, and costs fees"
        )
    with progress("Closing the channel…"):
        view = finish(control.close(channel.channel_id, force, address, feerate_per_kw, without_peer))
    if as_json:
        print_json(view)
        return
    print_fields([("channel id", view.channel_id), ("state", view.state), ("closing txid", view.closing_txid)])
    if force:
        _show_what_follows(control, view)
    if not force and not channel.is_connected:
        print_text(f"{clean(channel.node_id)} is away: it closes when it is back; --force does not wait for it")


def _show_what_follows(control: "Control", closing: "ClosingView") -> None:
    """Say when the money is back: as if the commitment were in the next block."""
    from leyden.api.client import finish

    view = finish(control.channel_timeline(closing.channel_id))
    ours = [one for one in view.outputs if one.kind in ("to_local", "to_remote")]
    htlcs = [one for one in view.outputs if one.kind == "htlc" and one.state != "trimmed"]
    last = max([one.htlc.cltv_expiry for one in htlcs if one.htlc is not None], default=0)
    held_sat = sum([one.amount_sat for one in htlcs])
    print_fields([
        *[
            ("ours", f"{show_sat(one.amount_sat)} sat at height {one.unlock_height}, if it is in the next block")
            for one in ours
            if one.unlock_height is not None
        ],
        ("in HTLCs", f"{show_sat(held_sat)} sat in {len(htlcs)}, the last expires at height {last}" if htlcs else None),
        ("block height", str(view.block_height)),
        ("follow it", f"leyden channel show {closing.channel_id[:16]}"),
    ])  # fmt: skip


def policy(
    name: Annotated[str, ChannelArgument],
    fee_base: Annotated[
        str | None, typer.Option(help="Fee for each payment, e.g. 1000msat.", show_default=False)
    ] = None,
    fee_millionths: Annotated[
        int | None, typer.Option(help="Fee in millionths of the amount.", show_default=False)
    ] = None,
    cltv_expiry_delta: Annotated[int | None, typer.Option(help="Blocks.", show_default=False)] = None,
    htlc_minimum: Annotated[str | None, typer.Option(help="Smallest payment, e.g. 1msat.", show_default=False)] = None,
    disable: Annotated[
        bool | None, typer.Option("--disable/--enable", help="Forward nothing out of it, or do so.", show_default=False)
    ] = None,
    directory: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show or change what forwarding out of a channel costs."""
    from leyden.api.client import finish

    control = node(directory)
    channel = find_channel(control, name)
    base_msat = None if fee_base is None else parse_msat(fee_base)
    minimum_msat = None if htlc_minimum is None else parse_msat(htlc_minimum)
    view = channel.policy
    changes = (base_msat, fee_millionths, cltv_expiry_delta, minimum_msat, disable)
    if any(value is not None for value in changes):
        view = finish(control.set_policy(channel.channel_id, *changes))
    if as_json:
        print_json(view)
        return
    print_fields([
        ("fee", f"{view.fee_base_msat} msat + {view.fee_proportional_millionths} millionths"),
        ("cltv_expiry_delta", show_count(view.cltv_expiry_delta, "block")),
        ("smallest HTLC", f"{view.htlc_minimum_msat} msat"),
        ("forwards", "nothing: it is disabled" if view.is_disabled else "yes"),
    ])  # fmt: skip


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    with_peers: Commands = [("connect", connect), ("disconnect", disconnect), ("peers", peers), ("trust", trust)]
    register(app, "Peers and channels", with_peers)
    with_channels: Commands = [
        ("open", open_channel),
        ("open-batch", open_batch),
        ("channels", channels),
        ("close", close),
        ("policy", policy),
    ]
    register(app, "Peers and channels", with_channels)
