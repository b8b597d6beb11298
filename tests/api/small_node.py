"""`SmallNode`: the second implementation of `NodeControl`, for tests of what stands before a node.

That is API and command line. It keeps its little state in memory and makes up the rest; it is no Lightning node.
"""

import asyncio
from typing import Any

import msgspec

from leyden.base.errors import ChainUnavailable, CommandRejected, DriverError
from leyden.node import onchain_views as ov
from leyden.node import views as v
from leyden.node.control import NodeControl

ALICE, BOB, CAROL = ("02" + 32 * byte for byte in ("a1", "b2", "c3"))
CHANNEL = 32 * "cc"
OTHER_CHANNEL = 32 * "cd"
CLOSING_TXID, CLAIM_TXID, SWEEP_TXID = 32 * "f1", 32 * "f2", 32 * "f3"
INVOICE = "lnbcrt1small"


def node_info(**changes: Any) -> v.NodeInfo:
    """A node that is well."""
    info = v.NodeInfo(
        node_id=ALICE, alias="alice", network="regtest", version="0.1.0", listening=["127.0.0.1:9735"],
        block_height=812, block_hash=32 * "0b", is_synced=True, chain_ok=True, chain_status="", store_ok=True,
        store_status="", peers=2, channels_usable=1, channels_pending=1, channels_closing=0, htlcs_pending=3,
        events_unacknowledged=0, data_dir="/var/lib/leyden", started_seconds=1_700_000_000,
    )  # fmt: skip
    return msgspec.structs.replace(info, **changes)


def channel(**changes: Any) -> v.ChannelView:
    """A channel that works."""
    usual = v.ChannelView(
        channel_id=CHANNEL, short_channel_id="800x1x0", alias="16000000x0x7", node_id=BOB, state="normal",
        is_usable=True, is_connected=True, is_opener=True, channel_type="anchors", is_zero_conf=False,
        is_announced=False, capacity_sat=1_000_000, local_msat=650_000_000, remote_msat=350_000_000,
        spendable_msat=630_000_000, receivable_msat=340_000_000, local_reserve_sat=10_000, remote_reserve_sat=10_000,
        htlcs_outbound=2, htlcs_inbound=1, feerate_per_kw=2500, funding_txid=32 * "f0", funding_output_index=0,
        confirmations=12, minimum_depth=3, local_commitment_number=7, remote_commitment_number=8,
        policy=v.ForwardingPolicyView(
            fee_base_msat=1000, fee_proportional_millionths=100, cltv_expiry_delta=72, htlc_minimum_msat=1
        ),
        user_channel_id=16 * "00",
    )  # fmt: skip
    return msgspec.structs.replace(usual, **changes)


def payment(payment_id: str, **changes: Any) -> v.PaymentView:
    """A payment that is under way."""
    usual = v.PaymentView(
        payment_id=payment_id, payment_hash=32 * "ab", direction="outbound", status="pending", amount_msat=25_000,
        fee_msat=0, in_flight_msat=25_000, parts=1, created_seconds=1_700_000_100, payee=CAROL, invoice=INVOICE,
    )  # fmt: skip
    return msgspec.structs.replace(usual, **changes)


def timeline(channel_id: str = OTHER_CHANNEL, **changes: Any) -> ov.TimelineView:
    """A channel that we have closed with a payment in each direction, at height 812."""
    usual = ov.TimelineView(
        channel_id=channel_id, state="spent", block_height=812, reason="closed by the user", deadline_height=None,
        commitment=ov.CommitmentFateView(
            kind="local", txid=CLOSING_TXID, number=7, height=800, confirmations=13, fee_sat=1_500, feerate_per_kw=1_120
        ),
        outputs=[
            ov.OnchainOutputView(
                outpoint=f"{CLOSING_TXID}:0", kind="own_anchor", amount_sat=330, state="left", height=800
            ),
            ov.OnchainOutputView(
                outpoint=f"{CLOSING_TXID}:2", kind="htlc", amount_sat=25_000, state="claiming", height=800,
                unlock_height=811, txid=CLAIM_TXID, feerate_per_kw=2_000, htlc=onchain_htlc("outbound", 5),
            ),
            ov.OnchainOutputView(
                outpoint=f"{CLOSING_TXID}:3", kind="htlc", amount_sat=40_000, state="undecided", height=800,
                htlc=onchain_htlc("inbound", 3),
            ),
            ov.OnchainOutputView(
                outpoint=f"{CLOSING_TXID}:4", kind="to_local", amount_sat=600_000, state="locked", height=800,
                unlock_height=944,
            ),
            ov.OnchainOutputView(
                outpoint=None, kind="htlc", amount_sat=100, state="trimmed", htlc=onchain_htlc("outbound", 6)
            ),
        ],
        claims=[
            ov.OnchainClaimView(
                txid=CLAIM_TXID, outpoints=[f"{CLOSING_TXID}:2"], state="published", feerate_per_kw=2_000,
                fee_sat=1_400, amount_sat=25_000, since_height=811, bump_height=820, deadline_height=850,
            )
        ],
        archive_height=1_043,
    )  # fmt: skip
    return msgspec.structs.replace(usual, **changes)


def onchain_htlc(direction: v.PaymentDirection, htlc_id: int) -> ov.OnchainHtlcView:
    """An HTLC on the chain whose preimage is not known."""
    return ov.OnchainHtlcView(
        direction=direction, htlc_id=htlc_id, amount_msat=25_000_000, payment_hash=32 * "ab", cltv_expiry=810,
        has_preimage=False,
    )  # fmt: skip


def sweeps(**changes: Any) -> ov.SweepsView:
    """One output of each state."""
    states: list[tuple[ov.SweepStateName, int]] = [
        ("waiting", 944), ("ready", 812), ("sweeping", 812), ("swept", 790), ("uneconomic", 700),
    ]  # fmt: skip
    usual = ov.SweepsView(
        block_height=812,
        feerate_per_kw=500,
        uneconomic_sat=90,
        outputs=[
            ov.SweepOutputView(
                channel_id=OTHER_CHANNEL, outpoint=f"{CLOSING_TXID}:{index}", kind="to_local",
                amount_sat=90 if state == "uneconomic" else 600_000, state=state,
                ready_height=None if state in ("sweeping", "swept") else height,
                txid=SWEEP_TXID if state in ("sweeping", "swept") else None,
                spent_height=height if state == "swept" else None, confirmations=23 * (state == "swept"),
            )
            for index, (state, height) in enumerate(states)
        ],
        sweep=ov.OnchainClaimView(
            txid=SWEEP_TXID, outpoints=[f"{CLOSING_TXID}:2"], state="published", feerate_per_kw=500, fee_sat=240,
            amount_sat=600_000, since_height=810, bump_height=822,
        ),
    )  # fmt: skip
    return msgspec.structs.replace(usual, **changes)


class SmallNode(NodeControl):
    """See the module. calls: (method, arguments) as they came. failure: raised by `info` when set."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.failure: Exception | None = None
        self.payment_views: dict[str, v.PaymentView] = {}
        self.event_views: list[v.EventView] = []
        self.outcome: dict[str, Any] = {
            "status": "succeeded",
            "fee_msat": 12,
            "preimage": 32 * "00",
            "in_flight_msat": 0,
        }
        self.event_added = asyncio.Event()
        self.stopped = asyncio.Event()
        self.began_waiting = asyncio.Event()
        self.gave_up = asyncio.Event()

    def add_event(self, event: v.EventView) -> None:
        """Let something happen."""
        self.event_views.append(event)
        self.event_added.set()

    async def info(self) -> v.NodeInfo:
        if self.failure is not None:
            raise self.failure
        return node_info()

    async def stop(self) -> None:
        self.stopped.set()

    async def new_address(self) -> v.AddressView:
        return v.AddressView(address="bcrt1qsmall", kind="p2wpkh", path="m/84'/1'/0'/0/3")

    async def balance(self) -> v.Balance:
        return v.Balance(
            confirmed_sat=5_000_000_000, unconfirmed_sat=10_000, immature_sat=0, reserved_sat=1_000_000,
            anchor_reserve_sat=20_000, anchor_reserve_per_channel_sat=10_000, spendable_sat=4_998_980_000,
            lightning_msat=650_000_123, spendable_msat=630_000_000, receivable_msat=340_000_000,
            in_flight_outbound_msat=2_000, in_flight_inbound_msat=1_000, closing_sat=0,
        )  # fmt: skip

    async def send_onchain(
        self, address: str, amount_sat: int | None, feerate_per_kw: int | None = None
    ) -> v.TransactionView:
        self.calls.append(("send_onchain", (address, amount_sat, feerate_per_kw)))
        if amount_sat is not None and amount_sat <= 0:
            raise CommandRejected("amount_sat must be above 0", code="invalid_amount")
        return v.TransactionView(
            txid=32 * "7a", amount_sat=amount_sat or 99, fee_sat=154, feerate_per_kw=1000, raw="0200"
        )

    async def sweeps(self) -> ov.SweepsView:
        return sweeps()

    async def sweep(self, feerate_per_kw: int | None = None) -> ov.SweepsView:
        self.calls.append(("sweep", (feerate_per_kw,)))
        return sweeps()

    async def connect(self, node_id: str, host: str, port: int) -> v.PeerView:
        self.calls.append(("connect", (node_id, host, port)))
        if port == 1:
            raise DriverError(f"{host}:{port} does not answer")
        return (await self.peers())[0]

    async def disconnect(self, node_id: str) -> None:
        if node_id != BOB:
            raise CommandRejected(f"{node_id} is not connected", code="unknown_peer")

    async def peers(self) -> list[v.PeerView]:
        return [
            v.PeerView(
                node_id=BOB, is_connected=True, is_inbound=False, address="127.0.0.1:9736", features="02aaa2",
                is_trusted=False, channels=1,
            ),
            v.PeerView(
                node_id=CAROL, is_connected=False, is_inbound=False, address="", features="", is_trusted=True,
                channels=0,
            ),
        ]  # fmt: skip

    async def trust_peer(self, node_id: str, trusted: bool) -> v.PeerView:
        return msgspec.structs.replace((await self.peers())[0], is_trusted=trusted)

    async def open_channel(
        self,
        node_id: str,
        amount_sat: int,
        push_msat: int = 0,
        channel_type: v.ChannelTypeName = "anchors",
        announce: bool = False,
        feerate_per_kw: int | None = None,
        zero_conf: bool = False,
        scid_alias: bool = False,
        close_to: str | None = None,
    ) -> v.ChannelOpening:
        self.calls.append(("open_channel", (node_id, amount_sat, push_msat, channel_type, announce, zero_conf)))
        if node_id != BOB:
            raise CommandRejected(f"not connected to {node_id}: `connect` first", code="unknown_peer")
        return v.ChannelOpening(
            channel_id=CHANNEL, user_channel_id=16 * "01", funding_txid=32 * "f0", funding_output_index=0
        )

    async def open_channels(
        self, channels: list[v.ChannelRequest], feerate_per_kw: int | None = None
    ) -> list[v.ChannelOpening]:
        self.calls.append(("open_channels", (channels, feerate_per_kw)))
        return [
            v.ChannelOpening(
                channel_id=CHANNEL, user_channel_id=16 * "01", funding_txid=32 * "f0", funding_output_index=index
            )
            for index in range(len(channels))
        ]

    async def channels(self) -> list[v.ChannelView]:
        return [
            channel(),
            channel(
                channel_id=OTHER_CHANNEL, short_channel_id=None, state="force_closing", is_usable=False, node_id=CAROL,
                alias=None, close_reason="the peer sent an error", closing_txid=CLOSING_TXID, is_connected=False,
                onchain_sat=600_000, onchain_until_height=944,
            ),
        ]  # fmt: skip

    async def channel_timeline(self, channel_id: str) -> ov.TimelineView:
        if channel_id != OTHER_CHANNEL:
            return timeline(
                channel_id, state="normal", reason=None, deadline_height=830, commitment=None, outputs=[], claims=[],
                archive_height=None,
            )  # fmt: skip
        return timeline()

    async def close(
        self,
        channel_id: str,
        force: bool = False,
        address: str | None = None,
        feerate_per_kw: int | None = None,
        without_peer: bool = False,
    ) -> v.ClosingView:
        self.calls.append(("close", (channel_id, force, address, without_peer)))
        if channel_id not in (CHANNEL, OTHER_CHANNEL):
            raise CommandRejected(f"no channel {channel_id}", code="unknown_channel")
        return v.ClosingView(channel_id=channel_id, state="force_closing" if force else "shutting_down")

    async def set_policy(
        self,
        channel_id: str,
        fee_base_msat: int | None = None,
        fee_proportional_millionths: int | None = None,
        cltv_expiry_delta: int | None = None,
        htlc_minimum_msat: int | None = None,
        is_disabled: bool | None = None,
    ) -> v.ForwardingPolicyView:
        return msgspec.structs.replace(
            channel().policy, fee_base_msat=fee_base_msat or 1000, is_disabled=bool(is_disabled)
        )

    async def create_invoice(
        self,
        amount_msat: int | None,
        description: str,
        expiry_seconds: int = 3600,
        min_final_cltv_expiry_delta: int | None = None,
        payment_hash: str | None = None,
    ) -> v.InvoiceView:
        self.calls.append(("create_invoice", (amount_msat, description, expiry_seconds)))
        return v.InvoiceView(
            invoice=INVOICE, payment_hash=32 * "ab", amount_msat=amount_msat, description=description,
            created_seconds=1_700_000_000, expires_seconds=1_700_000_000 + expiry_seconds,
        )  # fmt: skip

    async def decode_invoice(self, invoice: str) -> v.DecodedInvoice:
        if invoice != INVOICE:
            raise CommandRejected("not an invoice: checksum does not match", code="invalid_invoice")
        hop = v.HintHop(
            node_id=BOB, short_channel_id="16000000x0x7", fee_base_msat=1000, fee_proportional_millionths=100,
            cltv_expiry_delta=72,
        )  # fmt: skip
        return v.DecodedInvoice(
            network="regtest", payee=CAROL, payment_hash=32 * "ab", amount_msat=25_000, description="coffee ☕",
            description_hash=None, created_seconds=1_700_000_000, expires_seconds=1_700_003_600, is_expired=True,
            min_final_cltv_expiry_delta=42, features="024100", payment_metadata=None, fallback_addresses=[],
            route_hints=[[hop]],
        )  # fmt: skip

    async def claim_payment(self, set_id: str, preimage: str | None = None) -> None:
        self.calls.append(("claim_payment", (set_id, preimage)))

    async def fail_payment(self, set_id: str) -> None:
        raise CommandRejected(f"no claimable payment {set_id}", code="unknown_claimable")

    async def pay(
        self,
        invoice: str,
        amount_msat: int | None = None,
        payment_id: str | None = None,
        fee_limit_msat: int | None = None,
        deadline_seconds: int | None = None,
        max_parts: int = 16,
    ) -> v.PaymentView:
        self.calls.append(("pay", (invoice, amount_msat, payment_id, fee_limit_msat, deadline_seconds, max_parts)))
        if invoice != INVOICE:
            raise CommandRejected("this invoice was paid before", code="already_paid")
        started = payment(payment_id or 32 * "1d")
        self.payment_views[started.payment_id] = started
        return started

    async def keysend(
        self,
        node_id: str,
        amount_msat: int,
        custom_records: dict[int, str] | None = None,
        payment_id: str | None = None,
        fee_limit_msat: int | None = None,
        deadline_seconds: int | None = None,
        max_parts: int = 16,
    ) -> v.PaymentView:
        self.calls.append(("keysend", (node_id, amount_msat, custom_records)))
        return await self.pay(INVOICE, payment_id=payment_id)

    async def send_to_route(
        self,
        payment_hash: str,
        payment_secret: str,
        amount_msat: int,
        routes: list[v.RouteRequest],
        payment_id: str | None = None,
        deadline_seconds: int | None = None,
    ) -> v.PaymentView:
        self.calls.append(("send_to_route", (payment_hash, amount_msat, routes)))
        return await self.pay(INVOICE, payment_id=payment_id)

    async def payments(self) -> list[v.PaymentView]:
        return list(self.payment_views.values())

    async def payment(self, payment_id: str) -> v.PaymentView:
        found = self.payment_views.get(payment_id)
        if found is None:
            raise CommandRejected(f"no payment {payment_id}", code="unknown_payment")
        return found

    async def wait_payment(self, payment_id: str, timeout_seconds: int = 60) -> v.PaymentView:
        if not self.outcome:
            await self._wait(timeout_seconds)
            return await self.payment(payment_id)
        ended = msgspec.structs.replace(await self.payment(payment_id), finished_seconds=1_700_000_101, **self.outcome)
        self.payment_views[payment_id] = ended
        return ended

    async def events(self, after_id: str | None = None, wait_seconds: int = 0) -> list[v.EventView]:
        self.calls.append(("events", (after_id, wait_seconds)))
        known = [event.event_id for event in self.event_views]
        start = known.index(after_id) + 1 if after_id in known else 0
        if wait_seconds and not self.event_views[start:]:
            await self._wait(wait_seconds)
        return self.event_views[start:]

    async def _wait(self, seconds: int) -> None:
        self.began_waiting.set()
        self.event_added.clear()
        try:
            async with asyncio.timeout(seconds):
                await self.event_added.wait()
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            self.gave_up.set()
            raise

    async def acknowledge_event(self, event_id: str) -> None:
        self.event_views = [event for event in self.event_views if event.event_id != event_id]


CHAIN_IS_DOWN = ChainUnavailable("the chain service at http://127.0.0.1:18443 does not answer")
