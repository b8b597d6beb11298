"""Channels and peers of users: checked here, carried by the manager and the transport."""

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial

from leyden.base.errors import ChainUnavailable, CommandRejected
from leyden.base.ids import NodeId
from leyden.channel.inputs import StartShutdown
from leyden.channel.opening_v1 import OpenRequest
from leyden.channel.states import Closed, ForceClosing, MutualClose, Negotiating, ShuttingDown, Spent
from leyden.crypto import ec
from leyden.journal.node_records import PeerRemembered
from leyden.journal.records import ForwardingPolicy
from leyden.manager import channel_updates, closes, opening
from leyden.manager.fees import target_feerate_per_kw
from leyden.manager.forwarding import CLTV_EXPIRY_DELTA_MIN
from leyden.manager.manager import Manager
from leyden.manager.state import Slot
from leyden.node import closing, describe
from leyden.node.core import NodeCore
from leyden.node.parse import check_feerate, parse_hex
from leyden.node.views import ChannelOpening, ChannelRequest, ClosingView, ForwardingPolicyView, PeerView
from leyden.wallet.checks import parse_destination
from leyden.wallet.wallet import AddressKind
from leyden.wire.channel_type import ChannelType, CommitmentFormat

INIT_WAIT_SECONDS = 10.0
OPEN_WAIT_SECONDS = 60.0


def parse_node_id(text: str) -> bytes:
    """Return 33 bytes that are a point. Raises CommandRejected (`invalid_node_id`)."""
    node_id = parse_hex(text, 33, "node_id", "invalid_node_id")
    if not ec.is_valid_point(node_id):
        raise CommandRejected("node_id is not a public key", code="invalid_node_id")
    return node_id


async def connect(core: NodeCore, text: str, host: str, port: int) -> PeerView:
    """Connect to a peer, remember its address, and wait for its `init`."""
    node_id = parse_node_id(text)
    if node_id == core.manager.node_id:
        raise CommandRejected("this is the node's own id", code="invalid_node_id")
    if not host or not 1 <= port <= 65_535:
        raise CommandRejected("give host and port, e.g. 127.0.0.1 and 9735", code="invalid_address")
    core.unwanted_peers.pop(node_id, None)
    if node_id not in core.runtime.connections:
        if core.transport is None:
            raise CommandRejected("the node is not in sync with the chain yet; try again soon", code="not_synced")
        await core.transport.connect(NodeId(node_id), host, port)
        await _remember(core, node_id, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    await _until_init(core, node_id)
    return describe.peer_view(core, node_id)


async def _remember(core: NodeCore, node_id: bytes, address: str) -> None:
    """Remember where a peer has just been reached."""
    known = core.manager.node.peers.get(node_id)
    if known is None or known.address != address:
        trusted = known is not None and known.trusted
        await core.run_in_node(lambda manager: manager.record(PeerRemembered(node_id, address, trusted)))


async def _until_init(core: NodeCore, node_id: bytes) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + INIT_WAIT_SECONDS
    while loop.time() < deadline:
        peer = core.manager.peers.get(node_id)
        if peer is None:
            raise CommandRejected(
                "the peer ended the connection; it may not like our features or network", code="peer_refused"
            )
        if peer.features is not None:
            return
        await asyncio.sleep(0.005)
    raise CommandRejected("the peer sends no init", code="peer_refused")


async def trust(core: NodeCore, text: str, *, trusted: bool) -> PeerView:
    """Say whether zero-conf channels of a peer are accepted."""
    node_id = parse_node_id(text)
    known = core.manager.node.peers.get(node_id)
    address = known.address if known is not None else ""
    await core.run_in_node(lambda manager: manager.record(PeerRemembered(node_id, address, trusted)))
    return describe.peer_view(core, node_id)


async def open_channels(
    core: NodeCore, wanted: Sequence[ChannelRequest], feerate_per_kw: int | None
) -> list[ChannelOpening]:
    """Open channels that one transaction funds; return when all are durable and it is on its way."""
    total_sat = sum([one.amount_sat for one in wanted])
    batch_id = core.random32() if len(wanted) > 1 else b""
    requests = [_open_request(core, one, feerate_per_kw, batch_id) for one in wanted]
    if total_sat > core.wallet.balance().spendable_sat:
        raise CommandRejected(
            f"{total_sat} sat are more than the {core.wallet.balance().spendable_sat} sat that are spendable",
            code="insufficient_funds",
        )
    channel_ids = await _until_opened(core, requests)
    births = [core.manager.channels[channel_id].state.core.opened for channel_id in channel_ids]
    with contextlib.suppress(ChainUnavailable):
        # Published once more, to return behind it; while the service is away the node goes on trying by itself.
        await core.chain.broadcast(births[0].funding_transaction)
    return [
        ChannelOpening(
            channel_id=opened.channel_id.hex(),
            user_channel_id=opened.user_channel_id.hex(),
            funding_txid=opened.funding_txid[::-1].hex(),
            funding_output_index=opened.funding_output_index,
        )
        for opened in births
    ]


def _open_request(core: NodeCore, wanted: ChannelRequest, feerate_per_kw: int | None, batch_id: bytes) -> OpenRequest:
    manager, zero_conf, scid_alias = core.manager, wanted.zero_conf, wanted.scid_alias
    peer = parse_node_id(wanted.node_id)
    anchors = wanted.channel_type == "anchors"
    if wanted.announce and (scid_alias or zero_conf):
        raise CommandRejected("a channel with scid_alias or zero_conf cannot be announced", code="invalid_channel_type")
    return OpenRequest(
        counterparty_node_id=peer,
        funding_satoshis=wanted.amount_sat,
        push_msat=wanted.push_msat,
        channel_type=ChannelType(
            CommitmentFormat.ANCHORS if anchors else CommitmentFormat.STATIC_REMOTEKEY,
            scid_alias or zero_conf,
            zero_conf,
        ),
        announce_channel=wanted.announce,
        feerate_per_kw=target_feerate_per_kw(
            manager.env.feerate_per_kw if feerate_per_kw is None else check_feerate(feerate_per_kw), anchors=anchors
        ),
        chain_hash=manager.config.network.chain_hash,
        temporary_channel_id=core.random32(),
        channel_keys_id=core.random32(),
        user_channel_id=core.random32()[:16],
        upfront_shutdown_script=parse_destination(wanted.close_to, manager.config.network) if wanted.close_to else b"",
        policy=manager.config.policy,
        batch_id=batch_id,
    )


async def _until_opened(core: NodeCore, requests: Sequence[OpenRequest]) -> list[bytes]:
    """Ask for channels, and return their ids when they are born and published. One that is refused ends all."""
    loop = asyncio.get_running_loop()
    waiters: list[asyncio.Future[bytes]] = []
    for request in requests:
        waiter = core.opening_waiters[request.user_channel_id] = loop.create_future()
        waiters.append(waiter)
    try:
        core.runtime.run(lambda m: opening.open_channels(m, requests))
        async with asyncio.timeout(OPEN_WAIT_SECONDS):
            return await asyncio.gather(*waiters)
    except TimeoutError:
        for one in requests:
            give_up = partial(
                opening.give_up,
                node_id=one.counterparty_node_id,
                user_channel_id=one.user_channel_id,
                reason="the opening took too long",
            )
            core.runtime.run(give_up)
        raise CommandRejected(
            f"the peer did not answer within {OPEN_WAIT_SECONDS:g} s; nothing was spent, try again or ask its owner",
            code="peer_silent",
        ) from None
    finally:
        for request in requests:
            core.opening_waiters.pop(request.user_channel_id, None)


def find_channel(core: NodeCore, text: str) -> Slot:
    """Return a channel by its id. Raises CommandRejected (`unknown_channel`)."""
    slot = core.manager.channels.get(parse_hex(text, 32, "channel_id", "unknown_channel"))
    if slot is None:
        raise CommandRejected("no channel has this channel_id; `leyden channels` lists them", code="unknown_channel")
    return slot


async def close(
    core: NodeCore,
    channel_id: str,
    *,
    force: bool,
    without_peer: bool,
    address: str | None,
    feerate_per_kw: int | None,
) -> ClosingView:
    """Close a channel, with the peer or alone; returns when the decision is durable."""
    slot = find_channel(core, channel_id)
    if isinstance(slot.state, MutualClose | Spent | Closed | ForceClosing):
        raise CommandRejected("this channel is closing or closed already", code="already_closing")
    if force:
        await core.run(lambda manager: closes.force_by_user(manager, slot, without_peer=without_peer))
    else:
        if isinstance(slot.state, ShuttingDown | Negotiating):
            raise CommandRejected("this channel is closing already", code="already_closing")
        estimate = core.manager.env.closing_feerate_per_kw
        feerate = estimate if feerate_per_kw is None else check_feerate(feerate_per_kw)

        def shut_down(manager: Manager) -> None:
            manager.apply(slot, StartShutdown(_closing_script(core, slot, address), feerate))

        await core.run(shut_down)
    return ClosingView(
        channel_id=channel_id,
        state=describe.state_name(slot),
        closing_txid=closing.txid_of(core.manager, slot) if force else None,
    )


def _closing_script(core: NodeCore, slot: Slot, address: str | None) -> bytes:
    if address:
        return parse_destination(address, core.manager.config.network)
    promised = slot.state.core.opened.local.upfront_shutdown_script
    if promised:
        return promised
    issued = core.wallet.new_address(AddressKind.P2WPKH)
    core.runtime.record_wallet(issued.record)
    return issued.script_pubkey


async def set_policy(
    core: NodeCore,
    channel_id: str,
    fee_base_msat: int | None,
    fee_proportional_millionths: int | None,
    cltv_expiry_delta: int | None,
    htlc_minimum_msat: int | None,
    is_disabled: bool | None,
) -> ForwardingPolicyView:
    """Change what a channel asks for forwarding, and tell the peer."""
    slot = find_channel(core, channel_id)
    old = slot.state.core.policy

    def value(given: int | None, current: int, maximum: int, name: str, minimum: int = 0) -> int:
        if given is None:
            return current
        if not minimum <= given <= maximum:
            raise CommandRejected(f"{name}: from {minimum} to {maximum}", code="invalid_policy")
        return given

    policy = ForwardingPolicy(
        value(fee_base_msat, old.fee_base_msat, (1 << 32) - 1, "fee_base_msat"),
        value(fee_proportional_millionths, old.fee_proportional_millionths, 1_000_000, "fee_proportional_millionths"),
        value(cltv_expiry_delta, old.cltv_expiry_delta, 2016, "cltv_expiry_delta", CLTV_EXPIRY_DELTA_MIN),
        value(htlc_minimum_msat, old.htlc_minimum_msat, 1 << 50, "htlc_minimum_msat"),
    )
    disabled = slot.state.core.forwarding_disabled if is_disabled is None else is_disabled
    await core.run(lambda manager: channel_updates.set_policy(manager, slot, policy, is_disabled=disabled))
    return describe.policy_view(slot.state.core)
