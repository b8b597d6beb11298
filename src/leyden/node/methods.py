"""The methods of `NodeControl` over a running node. The work is in the modules by subject."""

import asyncio
from abc import ABC, abstractmethod
from collections import deque

from leyden.base.errors import CommandRejected
from leyden.manager import claiming, handoff
from leyden.manager.manager import Manager
from leyden.node import channels, describe, onchain, paying, sweeps, timeline
from leyden.node.channels import open_channels
from leyden.node.control import DEFAULT_INVOICE_EXPIRY_SECONDS, DEFAULT_MAX_PARTS
from leyden.node.core import NodeCore
from leyden.node.onchain_views import SweepsView, TimelineView
from leyden.node.parse import check_feerate, parse_hex
from leyden.node.persistence import store_view
from leyden.node.views import (
    AddressView,
    Balance,
    ChannelOpening,
    ChannelRequest,
    ChannelTypeName,
    ChannelView,
    ClosingView,
    DecodedInvoice,
    EventView,
    ForwardingPolicyView,
    InvoiceView,
    NodeInfo,
    PaymentView,
    PeerView,
    RouteRequest,
    TransactionView,
)

FAULTS_SHOWN = 3
CHANNELS_WAIT_SECONDS = 2.0
"""How long `channels` waits for the store; then it shows which journals wait."""
VERSION = "0.1.0"


class NodeMethods(ABC):
    """See the module; documented in `control.py`."""

    _stopped: asyncio.Event

    @property
    @abstractmethod
    def core(self) -> NodeCore:
        """The parts of the running node."""

    # --- the node ----------------------------------------------------------------------------------------------------

    async def info(self) -> NodeInfo:
        """Say who the node is and how it is."""
        core = self.core
        manager = core.manager
        states = [describe.state_name(slot) for slot in manager.channels.values()]
        return NodeInfo(
            node_id=manager.node_id.hex(),
            alias=core.config.alias,
            network=manager.config.network.name,
            version=VERSION,
            listening=list(core.listening),
            block_height=manager.env.block_height,
            block_hash=core.best_hash[::-1].hex(),
            is_synced=core.is_synced,
            chain_ok=not core.chain_status,
            chain_status=core.chain_status,
            store_ok=not core.runtime.store_status,
            store_status=core.runtime.store_status,
            peers=len(manager.peers),
            channels_usable=states.count("normal"),
            channels_pending=states.count("awaiting_ready"),
            channels_closing=len([one for one in states if one not in ("normal", "awaiting_ready", "closed")]),
            # Those of a channel that is closed are the chain's: `channel show` tells what became of each.
            htlcs_pending=sum(
                [
                    len(slot.state.core.inbound) + len(slot.state.core.outbound)
                    for slot in manager.channels.values()
                    if slot.state.core.spent is None
                ]
            ),
            events_unacknowledged=len(manager.events),
            data_dir=core.config.data_dir,
            started_seconds=core.started_seconds,
            blocks_behind=core.blocks_behind,
            channels_archived=len(manager.node.archived),
            store=store_view(core.runtime),
            alarms=[
                *_crowded(len(manager.events), manager.config.unacknowledged_events_max),
                *_store_behind(core),
                *core.alarms.values(),
                *[
                    f"channel {slot.channel_id.hex()[:16]}: {slot.halted}"
                    for slot in manager.channels.values()
                    if slot.halted
                ],
                *manager.faults[-FAULTS_SHOWN:],
            ],
        )

    async def stop(self) -> None:
        """Stop soon after this returns."""
        self._stopped.set()

    # --- on chain ----------------------------------------------------------------------------------------------------

    async def new_address(self) -> AddressView:
        """Return a fresh address of the on-chain wallet."""
        return await onchain.new_address(self.core)

    async def balance(self) -> Balance:
        """Say what the node owns."""
        return await self.core.read(lambda: onchain.balance(self.core))

    async def send_onchain(
        self, address: str, amount_sat: int | None, feerate_per_kw: int | None = None
    ) -> TransactionView:
        """Pay an address."""
        return await onchain.send(self.core, address, amount_sat, feerate_per_kw)

    async def sweeps(self) -> SweepsView:
        """List what closed channels leave to the wallet."""
        return await self.core.read(lambda: sweeps.sweeps(self.core.manager))

    async def sweep(self, feerate_per_kw: int | None = None) -> SweepsView:
        """Sweep now, at a feerate."""
        feerate = None if feerate_per_kw is None else check_feerate(feerate_per_kw)
        await self.core.run(lambda manager: sweeps.sweep(manager, feerate))
        return await self.sweeps()

    # --- peers -------------------------------------------------------------------------------------------------------

    async def connect(self, node_id: str, host: str, port: int) -> PeerView:
        """Connect to a node and remember where it is."""
        return await channels.connect(self.core, node_id, host, port)

    async def disconnect(self, node_id: str) -> None:
        """End the connection."""
        core = self.core
        peer = channels.parse_node_id(node_id)
        connection = core.runtime.connections.get(peer)
        if connection is None:
            raise CommandRejected("not connected to this peer", code="unknown_peer")
        core.unwanted_peers[peer] = None
        connection.close("asked by the user")

    async def peers(self) -> list[PeerView]:
        """List peers."""
        core = self.core
        known = dict.fromkeys(core.manager.peers)
        known |= dict.fromkeys(core.manager.node.peers)
        known |= dict.fromkeys([slot.peer for slot in core.manager.channels.values()])
        return [describe.peer_view(core, node_id) for node_id in known]

    async def trust_peer(self, node_id: str, trusted: bool) -> PeerView:
        """Say whether zero-conf channels of this peer are accepted."""
        return await channels.trust(self.core, node_id, trusted=trusted)

    # --- channels ----------------------------------------------------------------------------------------------------

    async def open_channel(
        self,
        node_id: str,
        amount_sat: int,
        push_msat: int = 0,
        channel_type: ChannelTypeName = "anchors",
        announce: bool = False,
        feerate_per_kw: int | None = None,
        zero_conf: bool = False,
        scid_alias: bool = False,
        close_to: str | None = None,
    ) -> ChannelOpening:
        """Open a channel with a connected peer; return when it is funded."""
        request = ChannelRequest(
            node_id=node_id,
            amount_sat=amount_sat,
            push_msat=push_msat,
            channel_type=channel_type,
            announce=announce,
            zero_conf=zero_conf,
            scid_alias=scid_alias,
            close_to=close_to,
        )
        return (await open_channels(self.core, [request], feerate_per_kw))[0]

    async def open_channels(
        self, channels: list[ChannelRequest], feerate_per_kw: int | None = None
    ) -> list[ChannelOpening]:
        """Open channels that one transaction funds."""
        return await open_channels(self.core, channels, feerate_per_kw)

    async def channels(self) -> list[ChannelView]:
        """List channels."""
        await self.core.settle(CHANNELS_WAIT_SECONDS)
        return describe.channel_views(self.core)

    async def channel_timeline(self, channel_id: str) -> TimelineView:
        """Tell the on-chain life of a channel."""
        core = self.core
        slot = channels.find_channel(core, channel_id)
        return await core.read(lambda: timeline.timeline(core.manager, slot))

    async def close(
        self,
        channel_id: str,
        force: bool = False,
        address: str | None = None,
        feerate_per_kw: int | None = None,
        without_peer: bool = False,
    ) -> ClosingView:
        """Start to close a channel."""
        return await channels.close(
            self.core,
            channel_id,
            force=force,
            without_peer=without_peer,
            address=address,
            feerate_per_kw=feerate_per_kw,
        )

    async def set_policy(
        self,
        channel_id: str,
        fee_base_msat: int | None = None,
        fee_proportional_millionths: int | None = None,
        cltv_expiry_delta: int | None = None,
        htlc_minimum_msat: int | None = None,
        is_disabled: bool | None = None,
    ) -> ForwardingPolicyView:
        """Change what forwarding out of a channel costs, or whether there is any."""
        return await channels.set_policy(
            self.core,
            channel_id,
            fee_base_msat,
            fee_proportional_millionths,
            cltv_expiry_delta,
            htlc_minimum_msat,
            is_disabled,
        )

    # --- receiving ---------------------------------------------------------------------------------------------------

    async def create_invoice(
        self,
        amount_msat: int | None,
        description: str,
        expiry_seconds: int = DEFAULT_INVOICE_EXPIRY_SECONDS,
        min_final_cltv_expiry_delta: int | None = None,
        payment_hash: str | None = None,
    ) -> InvoiceView:
        """Make a BOLT 11 invoice."""
        return paying.create_invoice(
            self.core, amount_msat, description, expiry_seconds, min_final_cltv_expiry_delta, payment_hash
        )

    async def decode_invoice(self, invoice: str) -> DecodedInvoice:
        """Read an invoice, also an expired one."""
        return describe.decoded_invoice(paying.read_invoice(invoice), self.core.runtime.scheduler.now_seconds())

    async def claim_payment(self, set_id: str, preimage: str | None = None) -> None:
        """Claim what an event `payment_claimable` showed."""
        core = self.core
        await core.run(lambda _manager: paying.claim(core, set_id, preimage))

    async def fail_payment(self, set_id: str) -> None:
        """Send back what an event `payment_claimable` showed."""
        named = parse_hex(set_id, 32, "set_id", "unknown_claimable")
        await self.core.run(lambda manager: claiming.fail_payment(manager, named))

    # --- paying ------------------------------------------------------------------------------------------------------

    async def pay(
        self,
        invoice: str,
        amount_msat: int | None = None,
        payment_id: str | None = None,
        fee_limit_msat: int | None = None,
        deadline_seconds: int | None = None,
        max_parts: int = DEFAULT_MAX_PARTS,
    ) -> PaymentView:
        """Start to pay an invoice."""
        core = self.core
        started, terms = paying.invoice_payment(
            core, invoice, amount_msat, payment_id, fee_limit_msat, deadline_seconds, max_parts
        )
        return describe.payment_view(await paying.begin(core, started, terms))

    async def keysend(
        self,
        node_id: str,
        amount_msat: int,
        custom_records: dict[int, str] | None = None,
        payment_id: str | None = None,
        fee_limit_msat: int | None = None,
        deadline_seconds: int | None = None,
        max_parts: int = DEFAULT_MAX_PARTS,
    ) -> PaymentView:
        """Start to pay a node that gave no invoice."""
        core = self.core
        del max_parts  # a spontaneous payment has one part: without a secret its parts could not be told apart
        started = paying.keysend_payment(
            core, node_id, amount_msat, custom_records, payment_id, fee_limit_msat, deadline_seconds
        )
        return describe.payment_view(await paying.begin(core, started, None))

    async def send_to_route(
        self,
        payment_hash: str,
        payment_secret: str,
        amount_msat: int,
        routes: list[RouteRequest],
        payment_id: str | None = None,
        deadline_seconds: int | None = None,
    ) -> PaymentView:
        """Start a payment over routes that the caller gives."""
        core = self.core
        started = paying.route_payment(
            core, payment_hash, payment_secret, amount_msat, routes, payment_id, deadline_seconds
        )
        return describe.payment_view(await paying.begin(core, started, None))

    async def payments(self) -> list[PaymentView]:
        """List payments in both directions, the oldest first."""
        return await paying.read(self.core, lambda: paying.every(self.core))

    async def payment(self, payment_id: str) -> PaymentView:
        """Return one payment."""
        return await paying.read(self.core, lambda: paying.find(self.core, payment_id))

    async def wait_payment(self, payment_id: str, timeout_seconds: int = 60) -> PaymentView:
        """Return the payment when it has ended, or as it is after the time."""
        return await paying.wait(self.core, payment_id, timeout_seconds)

    # --- events ------------------------------------------------------------------------------------------------------

    async def events(self, after_id: str | None = None, wait_seconds: int = 0) -> list[EventView]:
        """Return unacknowledged events in order, those after the one named when it is still known."""
        core = self.core
        found = self._events_after(after_id)
        if not found and wait_seconds > 0:
            wake = asyncio.Event()
            key = object()
            core.subscribers[key] = (deque(maxlen=0), wake)
            try:
                await asyncio.wait_for(wake.wait(), wait_seconds)
            except TimeoutError:
                pass
            finally:
                core.subscribers.pop(key, None)
            found = self._events_after(after_id)
        return found

    def _events_after(self, after_id: str | None) -> list[EventView]:
        events = list(self.core.manager.events.values())
        ids = [event.event_id for event in events]
        start = ids.index(after_id) + 1 if after_id in ids else 0
        return [describe.event_view(event) for event in events[start:]]

    async def acknowledge_event(self, event_id: str) -> None:
        """Say that an event was dealt with."""
        await self.core.run(lambda manager: _acknowledge(manager, event_id))


def _store_behind(core: NodeCore) -> list[str]:
    """Say that the store does not keep up, also when it says nothing itself."""
    since_us = core.runtime.watch.behind_since_us
    if since_us is None:
        return []
    waited = (core.runtime.scheduler.monotonic_us() - since_us) // 1_000_000
    return [f"records have waited for the store for {waited} s: look at the disk"]


def _crowded(events: int, most: int) -> list[str]:
    """Say that events pile up, before it stops new payments (DESIGN section 4, "Archive")."""
    if events < most // 2:
        return []
    what = "no new payment or channel is taken until some are" if events >= most else f"at {most} no new one is taken"
    return [f"{events} events wait to be acknowledged; {what}"]


def _acknowledge(manager: Manager, event_id: str) -> None:
    handoff.acknowledge_event(manager, event_id)
    manager.write_acknowledgements()
