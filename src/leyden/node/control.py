"""`NodeControl`: everything that a running node can be asked for, in this process or through the API.

The API serves exactly these methods; it reads names, parameters, defaults and results from here (`api/schema.py`), and
the client implements the same Protocol. So a program may be moved between the two without a change.

All ids, hashes and keys are hexadecimal, amounts integers in the unit that ends the name. Every call returns when what
it says is durable. Every call may raise CommandRejected (nothing was changed; `code` says why) or DriverError (the
world failed).
"""

from typing import Protocol

from leyden.node.onchain_views import SweepsView, TimelineView
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

DEFAULT_INVOICE_EXPIRY_SECONDS = 3600
DEFAULT_MAX_PARTS = 16


class NodeControl(Protocol):
    """See the module."""

    # --- the node -----------------------------------------------------------------------------------------------------

    async def info(self) -> NodeInfo:
        """Say who the node is and how it is. It never waits for the store, of which it tells."""
        ...

    async def stop(self) -> None:
        """Stop soon after this returns. Nothing depends on a clean stop."""
        ...

    # --- on chain -----------------------------------------------------------------------------------------------------

    async def new_address(self) -> AddressView:
        """Return a fresh address of the on-chain wallet."""
        ...

    async def balance(self) -> Balance:
        """Say what the node owns, on chain and in channels."""
        ...

    async def send_onchain(
        self, address: str, amount_sat: int | None, feerate_per_kw: int | None = None
    ) -> TransactionView:
        """Pay an address. amount_sat None: everything spendable. feerate_per_kw None: the node's estimate.

        Codes: `invalid_address`, `wrong_network`, `invalid_amount`, `insufficient_funds`, `invalid_feerate`.
        """
        ...

    async def sweeps(self) -> SweepsView:
        """List what closed channels leave to the wallet: what waits and until when, what is on its way, what was swept,
        what is not worth its fee.
        """
        ...

    async def sweep(self, feerate_per_kw: int | None = None) -> SweepsView:
        """Sweep what is ready now, at a feerate (None: the node's estimate), and return what came of it.

        A sweep that is on its way already is replaced by one that pays more, never by one that pays less. Codes:
        `invalid_feerate`, `not_synced`.
        """
        ...

    # --- peers --------------------------------------------------------------------------------------------------------

    async def connect(self, node_id: str, host: str, port: int) -> PeerView:
        """Connect to a node and remember where it is.

        Codes: `invalid_node_id`; DriverError when it cannot be reached.
        """
        ...

    async def disconnect(self, node_id: str) -> None:
        """End the connection and do not connect again by ourselves in this life. Code: `unknown_peer`."""
        ...

    async def peers(self) -> list[PeerView]:
        """List peers: connected, remembered, or with a channel."""
        ...

    async def trust_peer(self, node_id: str, trusted: bool) -> PeerView:
        """Say whether zero-conf channels of this peer are accepted."""
        ...

    # --- channels -----------------------------------------------------------------------------------------------------

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
        """Open a channel with a connected peer; return when it is funded.

        push_msat: a gift to the peer. feerate_per_kw: of the funding transaction. close_to: address for a cooperative
        close. Codes: `not_connected`, `invalid_amount`, `insufficient_funds`, `open_refused` (the peer's words),
        `invalid_address`, `wrong_network`.
        """
        ...

    async def open_channels(
        self, channels: list[ChannelRequest], feerate_per_kw: int | None = None
    ) -> list[ChannelOpening]:
        """Open up to 20 channels that one transaction funds; return them in this order when it is published.

        It is published when all are durable. If one peer refuses or goes away before, none is opened, and nothing is
        spent. Codes: as `open_channel`, and `bad_batch`.
        """
        ...

    async def channels(self) -> list[ChannelView]:
        """List channels, closed ones too until they are archived.

        A store that is late is waited for 2 seconds at most: then `journal` says what of a channel is not durable yet.
        """
        ...

    async def channel_timeline(self, channel_id: str) -> TimelineView:
        """Tell the on-chain life of a channel: commitment, HTLCs, second stages, claims, sweeps, and what is to come.

        Code: `unknown_channel`, also once it is archived.
        """
        ...

    async def close(
        self,
        channel_id: str,
        force: bool = False,
        address: str | None = None,
        feerate_per_kw: int | None = None,
        without_peer: bool = False,
    ) -> ClosingView:
        """Start to close a channel, together with the peer or, forced, alone.

        address: where our funds go (cooperative only). without_peer: force it though the peer has not been heard since
            the start; the caller vouches that the data are no old copy. Codes: `unknown_channel`, `already_closing`,
            `invalid_address`, `wrong_network`, `peer_not_heard`, `data_loss` (only the peer can close it).
        """
        ...

    async def set_policy(
        self,
        channel_id: str,
        fee_base_msat: int | None = None,
        fee_proportional_millionths: int | None = None,
        cltv_expiry_delta: int | None = None,
        htlc_minimum_msat: int | None = None,
        is_disabled: bool | None = None,
    ) -> ForwardingPolicyView:
        """Change what forwarding out of a channel costs, or whether there is any; None keeps a value.

        is_disabled: forwards out of the channel fail with `channel_disabled`, payments of ours and to us go on. Codes:
            `unknown_channel`, `invalid_policy`.
        """
        ...

    # --- receiving ----------------------------------------------------------------------------------------------------

    async def create_invoice(
        self,
        amount_msat: int | None,
        description: str,
        expiry_seconds: int = DEFAULT_INVOICE_EXPIRY_SECONDS,
        min_final_cltv_expiry_delta: int | None = None,
        payment_hash: str | None = None,
    ) -> InvoiceView:
        """Make a BOLT 11 invoice.

        amount_msat: None lets the payer choose. payment_hash: of a preimage that only the caller knows; such a payment
        is never claimed by itself. Codes: `invalid_amount`, `invalid_description`, `invalid_expiry`.
        """
        ...

    async def decode_invoice(self, invoice: str) -> DecodedInvoice:
        """Read an invoice, also an expired one. Code: `invalid_invoice`."""
        ...

    async def claim_payment(self, set_id: str, preimage: str | None = None) -> None:
        """Claim what an event `payment_claimable` showed; the event `payment_claimed` says when it is ours.

        preimage: 32 bytes, only for an invoice made with a payment_hash. Codes: `unknown_claimable`, `too_late`,
        `wrong_preimage`.
        """
        ...

    async def fail_payment(self, set_id: str) -> None:
        """Send back what an event `payment_claimable` showed. Codes: `unknown_claimable`, `already_claimed`."""
        ...

    # --- paying -------------------------------------------------------------------------------------------------------

    async def pay(
        self,
        invoice: str,
        amount_msat: int | None = None,
        payment_id: str | None = None,
        fee_limit_msat: int | None = None,
        deadline_seconds: int | None = None,
        max_parts: int = DEFAULT_MAX_PARTS,
    ) -> PaymentView:
        """Start to pay an invoice and return when that is durable; `wait_payment` follows it.

        amount_msat: only for an invoice without one. payment_id: 32 bytes chosen by the caller; the same one again is
        the same payment, never a second one. deadline_seconds: from now, no new attempt after it. Codes:
        `invalid_invoice`, `expired_invoice`, `wrong_network`, `already_paid`, `invalid_amount`, `invalid_payment_id`,
        `payment_id_in_use`.
        """
        ...

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
        """Start to pay a node that gave no invoice. custom_records: type (65536 or above) -> bytes in hexadecimal."""
        ...

    async def send_to_route(
        self,
        payment_hash: str,
        payment_secret: str,
        amount_msat: int,
        routes: list[RouteRequest],
        payment_id: str | None = None,
        deadline_seconds: int | None = None,
    ) -> PaymentView:
        """Start a payment over routes that the caller gives, one for each part; nothing else is tried.

        amount_msat: in all, as the last hops are told. Code: `invalid_route` names the route and hop.
        """
        ...

    async def payments(self) -> list[PaymentView]:
        """List payments in both directions, the oldest first, that are not forgotten yet; also those that are held.

        A node that starts knows what it holds when it has followed the chain to its tip (`is_synced`).
        """
        ...

    async def payment(self, payment_id: str) -> PaymentView:
        """Return one payment. Code: `unknown_payment`."""
        ...

    async def wait_payment(self, payment_id: str, timeout_seconds: int = 60) -> PaymentView:
        """Return the payment when it has ended, or as it is after the time. Code: `unknown_payment`.

        One that is `claimable` waits for its answer, so it is returned at once.
        """
        ...

    # --- events -------------------------------------------------------------------------------------------------------

    async def events(self, after_id: str | None = None, wait_seconds: int = 0) -> list[EventView]:
        """Return unacknowledged events in order: those shown after the one named (when it is still known), else all.

        wait_seconds: when there is none, wait this long for one.
        """
        ...

    async def acknowledge_event(self, event_id: str) -> None:
        """Say that an event was dealt with; it is never told again. An unknown id counts as done."""
        ...


class ControlServer(Protocol):
    """Serves a `NodeControl` while the node runs. The node knows this much of the API, which is a layer above it."""

    async def start(self, control: NodeControl) -> None:
        """Begin to serve. Raises CommandRejected when that is impossible (another node answers at the same place)."""
        ...

    async def close(self) -> None:
        """Stop serving; requests that are being served are cut off."""
        ...
