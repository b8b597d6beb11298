"""From what the manager knows to what users see."""

from collections.abc import Mapping
from typing import cast

import msgspec

from leyden.bitcoin.tx import txid_to_hex
from leyden.channel import limits, ready
from leyden.channel.core import ChannelCore
from leyden.channel.states import Normal
from leyden.invoices.fields import Bolt11Invoice
from leyden.journal.node_records import PaymentReceived
from leyden.manager import claiming
from leyden.manager.events import Event
from leyden.manager.manager import Manager
from leyden.manager.onchain.deadlines import close_height
from leyden.manager.outbox import Waiting
from leyden.manager.state import ClaimableSet, ClaimableStatus, Slot
from leyden.node import closing
from leyden.node.core import NodeCore
from leyden.node.parse import format_scid
from leyden.node.persistence import channel_journal_view
from leyden.node.views import (
    ChannelStateName,
    ChannelView,
    DecodedInvoice,
    EventView,
    ForwardingPolicyView,
    HintHop,
    PaymentView,
    PeerView,
)
from leyden.payments.outbound import OutboundPayment
from leyden.payments.outcome import ADVICE, code_name

_STATE_NAMES: dict[str, ChannelStateName] = {
    "AwaitingReady": "awaiting_ready",
    "Normal": "normal",
    "ShuttingDown": "shutting_down",
    "Negotiating": "negotiating",
    "MutualClose": "mutual_close",
    "ForceClosing": "force_closing",
    "Stale": "stale",
    "Spent": "spent",
    "Closed": "closed",
}


def state_name(slot: Slot) -> ChannelStateName:
    """Return the name of a channel's state."""
    return _STATE_NAMES[type(slot.state).__name__]


def policy_view(core: ChannelCore) -> ForwardingPolicyView:
    """Return a channel's policy for users."""
    policy = core.policy
    return ForwardingPolicyView(
        fee_base_msat=policy.fee_base_msat,
        fee_proportional_millionths=policy.fee_proportional_millionths,
        cltv_expiry_delta=policy.cltv_expiry_delta,
        htlc_minimum_msat=policy.htlc_minimum_msat,
        is_disabled=core.forwarding_disabled,
    )


def channel_views(core: NodeCore) -> list[ChannelView]:
    """Return all channels for users."""
    waiting = core.runtime.outbox.waiting()
    return [channel_view(core, slot, waiting) for slot in core.manager.channels.values()]


def channel_view(core: NodeCore, slot: Slot, waiting: Mapping[str, Waiting]) -> ChannelView:
    """Return a channel for users. waiting: of the outbox."""
    state, channel = slot.state, slot.state.core
    opened = channel.opened
    usable = type(state) is Normal and state.session.reestablished and not slot.halted
    spendable = limits.spendable_msat(channel, state.session.queued_msat) if usable else 0
    funds = closing.funds_of(core.manager, slot) if closing.is_closing(slot) else None
    return ChannelView(
        channel_id=opened.channel_id.hex(),
        short_channel_id=format_scid(channel.funding.short_channel_id) if channel.funding else None,
        alias=format_scid(channel.local_alias) if channel.local_alias else None,
        node_id=slot.peer.hex(),
        state=state_name(slot),
        is_usable=usable,
        is_connected=slot.peer in core.runtime.connections,
        is_opener=opened.is_opener,
        channel_type="anchors" if opened.anchors else "static_remotekey",
        is_zero_conf=opened.zero_conf,
        is_announced=opened.announce_channel,
        capacity_sat=opened.funding_satoshis,
        local_msat=channel.local.local_msat,
        remote_msat=channel.local.remote_msat,
        spendable_msat=spendable,
        receivable_msat=limits.receivable_msat(channel) if usable else 0,
        local_reserve_sat=opened.remote.channel_reserve_satoshis,
        remote_reserve_sat=opened.local.channel_reserve_satoshis,
        htlcs_outbound=len(channel.outbound),
        htlcs_inbound=len(channel.inbound),
        feerate_per_kw=channel.local.feerate_per_kw,
        funding_txid=txid_to_hex(opened.funding_txid),
        funding_output_index=opened.funding_output_index,
        confirmations=max(0, ready.depth(channel, core.manager.env.block_height)),
        minimum_depth=opened.minimum_depth,
        local_commitment_number=channel.local.number,
        remote_commitment_number=channel.remote.number,
        policy=policy_view(channel),
        user_channel_id=opened.user_channel_id.hex(),
        close_reason=closing.reason_of(core.manager, slot),
        closing_txid=closing.txid_of(core.manager, slot),
        closing_height=None if channel.spent is None else channel.spent.height,
        onchain_sat=0 if funds is None else funds.closing_sat,
        onchain_until_height=None if funds is None else funds.until_height,
        deadline_height=close_height(core.manager, slot),
        halted=slot.halted or None,
        journal=channel_journal_view(slot, waiting, core.runtime.scheduler.monotonic_us()),
    )


def peer_view(core: NodeCore, node_id: bytes) -> PeerView:
    """Return a peer for users."""
    manager = core.manager
    connection = core.runtime.connections.get(node_id)
    peer, remembered = manager.peers.get(node_id), manager.node.peers.get(node_id)
    features = "" if peer is None or peer.features is None else peer.features.encode().hex()
    address = "" if connection is None else connection.address
    return PeerView(
        node_id=node_id.hex(),
        is_connected=peer is not None and peer.features is not None,
        is_inbound=connection is not None and connection.inbound,
        address=remembered.address if remembered is not None and remembered.address else address,
        features=features,
        is_trusted=remembered is not None and remembered.trusted,
        channels=sum([slot.peer == node_id for slot in manager.channels.values()]),
    )


def payment_view(payment: OutboundPayment) -> PaymentView:
    """Return an outbound payment for users."""
    started, sent, failed = payment.started, payment.sent, payment.failed
    code = 0 if failed is None else failed.code
    return PaymentView(
        payment_id=started.payment_id.hex(),
        payment_hash=started.payment_hash.hex(),
        direction="outbound",
        status="succeeded" if sent is not None else "failed" if failed is not None else "pending",
        amount_msat=started.amount_msat,
        fee_msat=0 if sent is None else sent.fee_msat,
        in_flight_msat=payment.in_flight_msat() if payment.is_live else 0,
        parts=len(payment.parts),
        created_seconds=started.created_seconds,
        finished_seconds=sent.seconds if sent else failed.seconds if failed else None,
        payee=started.payee.hex() or None,
        invoice=started.invoice or None,
        preimage=sent.preimage.hex() if sent else None,
        reason=failed.reason if failed else None,
        advice=ADVICE.get(failed.reason) if failed else None,
        failing_hop=failed.hop if failed and failed.hop >= 0 else None,
        failure_code=code or None,
        failure_name=code_name(code) or None,
    )


def received_view(received: PaymentReceived) -> PaymentView:
    """Return a received payment for users."""
    return PaymentView(
        payment_id=received.claim_id.hex(),
        payment_hash=received.payment_hash.hex(),
        direction="inbound",
        status="succeeded",
        amount_msat=received.amount_msat,
        fee_msat=0,
        in_flight_msat=0,
        parts=0,
        created_seconds=received.seconds,
        finished_seconds=received.seconds,
    )


def held_view(manager: Manager, held: ClaimableSet) -> PaymentView:
    """Return a payment to us that is held, or being claimed, for users."""
    return PaymentView(
        payment_id=claiming.claim_id_of(held).hex(),
        payment_hash=held.payment_hash.hex(),
        direction="inbound",
        status="claimable" if held.status is ClaimableStatus.SHOWN else "pending",
        amount_msat=held.received_msat(),
        fee_msat=0,
        in_flight_msat=0,
        parts=len(held.parts),
        created_seconds=held.since_seconds,
        set_id=claiming.claim_id_of(held).hex(),
        deadline_height=claiming.deadline_height(manager, held),
    )


def decoded_invoice(invoice: Bolt11Invoice, now_seconds: int) -> DecodedInvoice:
    """Return what an invoice says."""
    return DecodedInvoice(
        network=invoice.network.name,
        payee=invoice.payee_node_id.hex(),
        payment_hash=invoice.payment_hash.hex(),
        amount_msat=invoice.amount_msat,
        description=invoice.description,
        description_hash=invoice.description_hash.hex() if invoice.description_hash else None,
        created_seconds=invoice.timestamp,
        expires_seconds=invoice.expires_at(),
        is_expired=invoice.is_expired(now_seconds),
        min_final_cltv_expiry_delta=invoice.min_final_cltv_expiry_delta,
        features=invoice.features.hex(),
        payment_metadata=invoice.payment_metadata.hex() if invoice.payment_metadata is not None else None,
        fallback_addresses=list(invoice.fallback_addresses()),
        route_hints=[
            [
                HintHop(
                    node_id=hop.node_id.hex(),
                    short_channel_id=format_scid(hop.short_channel_id),
                    fee_base_msat=hop.fee_base_msat,
                    fee_proportional_millionths=hop.fee_proportional_millionths,
                    cltv_expiry_delta=hop.cltv_expiry_delta,
                )
                for hop in hops
            ]
            for hops in invoice.route_hints
        ],
    )


def event_view(event: Event) -> EventView:
    """Return an event for users."""
    fields: dict[str, object] = {}
    for name in event.__struct_fields__:
        value: object = getattr(event, name)
        if isinstance(value, bytes):
            value = value.hex()
        elif name == "custom_records":
            value = {str(kind): data.hex() for kind, data in cast("tuple[tuple[int, bytes], ...]", value)}
        if name != "event_id":
            fields[name] = value
    return EventView(event_id=event.event_id, type=_snake_case(type(event)), fields=fields)


def _snake_case(kind: type[msgspec.Struct]) -> str:
    return "".join(["_" + letter.lower() if letter.isupper() else letter for letter in kind.__name__]).lstrip("_")
