"""Leyden in place of the foreign node: what fails here is wrong in the scenario, or Leyden disagrees with itself."""

import asyncio
import hashlib
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, cast, final

from interop.foreign import (
    BulkPaid,
    CustomMessage,
    ForeignChannel,
    ForeignHtlc,
    ForeignInfo,
    ForeignOptions,
    ForeignPayment,
    HtlcLimits,
    NotOffered,
    OpenRequest,
    PeerRefused,
)
from leyden.base.errors import CommandRejected
from leyden.demo.processes import DemoNode, Processes
from leyden.node.views import ChannelView, PaymentView, RouteHop, RouteRequest

FINAL_CLTV_EXPIRY_DELTA: Final = 60


@final
class LeydenPeer:
    """Implements `ForeignNode` through the control API."""

    kind = "leyden"
    msat_step = 1

    def __init__(self, name: str, processes: Processes, options: ForeignOptions) -> None:
        self.name = name
        self._processes = processes
        self._node: DemoNode = processes.add_node(name, _settings(options))

    # --- life ---------------------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """See `ForeignNode`."""
        return 0 if self._node.child.has_ended else self._node.child.pid

    @property
    def log_paths(self) -> tuple[Path, ...]:
        """See `ForeignNode`."""
        return (self._node.child.log_path,)

    @property
    def port(self) -> int:
        """See `ForeignNode`."""
        return self._node.port

    async def start(self) -> None:
        """See `ForeignNode`."""
        await self._node.start()

    async def stop(self) -> None:
        """See `ForeignNode`."""
        self._node.child.ask_to_stop()
        await self._node.child.ended()

    async def kill(self) -> None:
        """See `ForeignNode`."""
        await self._node.child.kill()

    async def copy_state(self, folder: Path) -> None:
        """See `ForeignNode`."""
        shutil.copytree(self._node.child.directory, folder, ignore=shutil.ignore_patterns("*.sock", "*.lock"))

    async def restore_state(self, folder: Path) -> None:
        """See `ForeignNode`."""
        shutil.rmtree(self._node.child.directory)
        shutil.copytree(folder, self._node.child.directory)

    async def info(self) -> ForeignInfo:
        """See `ForeignNode`."""
        info = await self._node.api.info()
        return ForeignInfo(info.node_id, info.version, info.block_height, info.is_synced)

    # --- wallet -------------------------------------------------------------------------------------------------------

    async def new_address(self) -> str:
        """See `ForeignNode`."""
        return (await self._node.api.new_address()).address

    async def onchain_sat(self) -> int:
        """See `ForeignNode`."""
        return (await self._node.api.balance()).confirmed_sat

    async def send_onchain(self, address: str, amount_sat: int) -> str:
        """See `ForeignNode`."""
        return (await self._node.api.send_onchain(address, amount_sat)).txid

    # --- peers --------------------------------------------------------------------------------------------------------

    async def connect(self, node_id: str, port: int) -> None:
        """See `ForeignNode`."""
        await self._node.api.connect(node_id, "127.0.0.1", port)

    async def disconnect(self, node_id: str) -> None:
        """See `ForeignNode`."""
        await self._node.api.disconnect(node_id)

    async def peers(self) -> frozenset[str]:
        """See `ForeignNode`."""
        return frozenset(one.node_id for one in await self._node.api.peers() if one.is_connected)

    async def peer_features(self, node_id: str) -> frozenset[int]:
        """See `ForeignNode`."""
        (features,) = [one.features for one in await self._node.api.peers() if one.node_id == node_id]
        bits = int(features or "0", 16)
        return frozenset(bit for bit in range(bits.bit_length()) if bits >> bit & 1)

    async def trust_peer(self, node_id: str) -> None:
        """See `ForeignNode`."""
        await self._node.api.trust_peer(node_id, True)

    async def send_custom_message(self, node_id: str, message_type: int, payload: bytes) -> None:
        """See `ForeignNode`."""
        raise NotOffered("custom messages are a hook of the library, not of the control API")

    async def custom_messages(self) -> tuple[CustomMessage, ...]:
        """See `ForeignNode`."""
        raise NotOffered("custom messages are a hook of the library, not of the control API")

    # --- channels -----------------------------------------------------------------------------------------------------

    async def open_channel(self, request: OpenRequest) -> str:
        """See `ForeignNode`."""
        try:
            opening = await self._node.api.open_channel(
                request.node_id,
                request.amount_sat,
                request.push_msat,
                request.channel_type,
                announce=request.announce,
                zero_conf=request.zero_conf,
                scid_alias=request.scid_alias,
                close_to=request.close_to,
            )
        except CommandRejected as error:
            raise PeerRefused(str(error)) from None
        return f"{opening.funding_txid}:{opening.funding_output_index}"

    async def channels(self) -> tuple[ForeignChannel, ...]:
        """See `ForeignNode`."""
        return tuple(_channel(one) for one in await self._node.api.channels() if one.closing_txid is None)

    async def htlcs(self, funding_outpoint: str) -> tuple[ForeignHtlc, ...]:
        """See `ForeignNode`."""
        raise NotOffered("the control API counts the pending HTLCs of an open channel and does not list them")

    async def refusals(self) -> tuple[str, ...]:
        """See `ForeignNode`."""
        log = self._node.child.log_path.read_text(errors="replace")
        return tuple(line for line in log.splitlines() if "warning" in line or "error" in line)

    async def close_channel(
        self,
        funding_outpoint: str,
        *,
        force: bool = False,
        address: str | None = None,
        feerate_per_kw: int | None = None,
    ) -> None:
        """See `ForeignNode`."""
        (channel,) = [one for one in await self._node.api.channels() if _outpoint(one) == funding_outpoint]
        try:
            await self._node.api.close(channel.channel_id, force, address, feerate_per_kw, without_peer=force)
        except CommandRejected as error:
            raise PeerRefused(str(error)) from None

    async def closed_channels(self) -> Mapping[str, str]:
        """See `ForeignNode`."""
        channels = await self._node.api.channels()
        return {_outpoint(one): one.closing_txid for one in channels if one.closing_txid is not None}

    async def pending_sweeps(self) -> int:
        """See `ForeignNode`."""
        balance = await self._node.api.balance()
        undecided = (balance.in_flight_outbound_msat > 0) + (balance.in_flight_inbound_msat > 0)
        sweeps = (await self._node.api.sweeps()).outputs
        return undecided + len([one for one in sweeps if one.state not in ("swept", "uneconomic")])

    async def set_forwarding(
        self, funding_outpoint: str, fee_base_msat: int, fee_proportional_millionths: int, cltv_expiry_delta: int
    ) -> None:
        """See `ForeignNode`."""
        (channel,) = [one for one in await self._node.api.channels() if _outpoint(one) == funding_outpoint]
        await self._node.api.set_policy(
            channel.channel_id, fee_base_msat, fee_proportional_millionths, cltv_expiry_delta
        )

    async def set_feerate(self, feerate_per_kw: int) -> None:
        """See `ForeignNode`."""
        await self._processes.rpc("setfeeestimate", feerate_per_kw * 4 / 100_000_000)

    # --- payments -----------------------------------------------------------------------------------------------------

    async def create_invoice(
        self, amount_msat: int | None, description: str, *, expiry_seconds: int = 3600, payment_hash: str | None = None
    ) -> str:
        """See `ForeignNode`."""
        invoice = await self._node.api.create_invoice(
            amount_msat, description, expiry_seconds, payment_hash=payment_hash
        )
        return invoice.invoice

    async def _held(self, payment_hash: str) -> PaymentView | None:
        payments = await self._node.api.payments()
        return next((one for one in payments if one.payment_hash == payment_hash and one.status == "claimable"), None)

    async def held(self, payment_hash: str) -> bool:
        """See `ForeignNode`."""
        return await self._held(payment_hash) is not None

    async def settle(self, preimage: str) -> None:
        """See `ForeignNode`."""
        for one in await self._node.api.payments():
            if one.status == "claimable" and one.set_id is not None and _is_hash_of(preimage, one.payment_hash):
                await self._node.api.claim_payment(one.set_id, preimage)

    async def cancel(self, payment_hash: str) -> None:
        """See `ForeignNode`."""
        held = await self._held(payment_hash)
        if held is None or held.set_id is None:
            raise NotOffered("an invoice that nobody pays expires, it is not made void")
        await self._node.api.fail_payment(held.set_id)

    async def pay(self, invoice: str, amount_msat: int | None = None, limits: HtlcLimits | None = None) -> str:
        """See `ForeignNode`."""
        wanted = limits or HtlcLimits()
        try:
            payment = await self._node.api.pay(
                invoice, amount_msat, fee_limit_msat=wanted.fee_limit_msat, max_parts=wanted.max_parts or 16
            )
        except CommandRejected as error:
            raise PeerRefused(str(error)) from None
        return payment.payment_hash

    async def keysend(self, node_id: str, amount_msat: int, custom_records: Mapping[int, bytes] | None = None) -> str:
        """See `ForeignNode`."""
        records = {kind: value.hex() for kind, value in (custom_records or {}).items()}
        return (await self._node.api.keysend(node_id, amount_msat, records)).payment_hash

    async def pay_unknown_hash(
        self,
        node_id: str,
        amount_msat: int,
        payment_hash: str,
        *,
        payment_secret: str | None = None,
        final_cltv_expiry_delta: int | None = None,
    ) -> str:
        """See `ForeignNode`."""
        usable = [one for one in await self._node.api.channels() if one.node_id == node_id and one.is_usable]
        height = (await self._node.api.info()).block_height
        hop = RouteHop(
            node_id=node_id,
            short_channel_id=usable[0].alias or usable[0].short_channel_id or "",
            amount_msat=amount_msat,
            cltv_expiry=height + (final_cltv_expiry_delta or FINAL_CLTV_EXPIRY_DELTA),
        )
        route = RouteRequest(channel_id=usable[0].channel_id, hops=[hop])
        secret = payment_secret or secrets.token_hex(32)
        payment = await self._node.api.send_to_route(payment_hash, secret, amount_msat, [route])
        return payment.payment_hash

    async def pay_all(self, invoices: Sequence[str], in_flight: int) -> BulkPaid:
        """See `ForeignNode`. The control API is in between: `benchmarks.payments` measures Leyden without it."""
        todo = iter(invoices)
        latencies_ms: list[float] = []
        failed = 0

        async def payer() -> None:
            nonlocal failed
            for invoice in todo:
                begun = time.perf_counter()
                payment = await self._node.api.pay(invoice)
                ended = await self._node.api.wait_payment(payment.payment_id)
                failed += ended.status != "succeeded"
                latencies_ms.append((time.perf_counter() - begun) * 1000)

        begun = time.perf_counter()
        await asyncio.gather(*[payer() for _ in range(in_flight)])
        return BulkPaid.of(time.perf_counter() - begun, failed, latencies_ms)

    async def payment(self, payment_hash: str) -> ForeignPayment:
        """See `ForeignNode`."""
        (found,) = [one for one in await self.payments() if one.payment_hash == payment_hash]
        return found

    async def payments(self) -> tuple[ForeignPayment, ...]:
        """See `ForeignNode`."""
        return tuple(_payment(one) for one in await self._node.api.payments() if one.direction == "outbound")

    async def received_msat(self, payment_hash: str) -> int:
        """See `ForeignNode`."""
        inbound = [one for one in await self._node.api.payments() if one.direction == "inbound"]
        done = [one for one in inbound if one.payment_hash == payment_hash and one.status == "succeeded"]
        return sum(one.amount_msat for one in done)

    async def disowned(self) -> frozenset[str]:
        """See `ForeignNode`. It does no such thing."""
        return frozenset()

    async def received_records(self, payment_hash: str) -> Mapping[int, bytes]:
        """See `ForeignNode`. Events that nobody acknowledges stay."""
        records: dict[int, bytes] = {}
        for event in await self._node.api.events():
            if event.type == "payment_claimed" and event.fields["payment_hash"] == payment_hash:
                shown = cast("dict[str, str]", event.fields["custom_records"])
                records |= {int(kind): bytes.fromhex(value) for kind, value in shown.items()}
        return records


def _settings(options: ForeignOptions) -> str:
    limit_msat = options.max_dust_htlc_exposure_msat
    exposure = "" if limit_msat is None else f"max_dust_htlc_exposure_msat = {limit_msat}\n"
    return (
        f"[channels]\nto_self_delay = 6\n{exposure}[store]\ndelay_ms = {options.store_delay_ms}\n"
        f"[forwarding]\nfee_base_msat = {options.fee_base_msat}\n"
        f"fee_proportional_millionths = {options.fee_proportional_millionths}\n"
        f"cltv_expiry_delta = {options.cltv_expiry_delta}\n"
    )


def _outpoint(channel: ChannelView) -> str:
    return f"{channel.funding_txid}:{channel.funding_output_index}"


def _channel(channel: ChannelView) -> ForeignChannel:
    return ForeignChannel(
        funding_outpoint=_outpoint(channel),
        counterparty_node_id=channel.node_id,
        capacity_sat=channel.capacity_sat,
        local_msat=channel.local_msat,
        remote_msat=channel.remote_msat,
        is_usable=channel.is_usable,
        is_initiator=channel.is_opener,
        channel_type=channel.channel_type,
        feerate_per_kw=channel.feerate_per_kw,
        htlcs_pending=channel.htlcs_inbound + channel.htlcs_outbound,
        reserve_sat=channel.local_reserve_sat,
        short_channel_id=_short_channel_id(channel.short_channel_id),
    )


def _short_channel_id(text: str | None) -> int:
    block, transaction, output = map(int, (text or "0x0x0").split("x"))
    return block << 40 | transaction << 16 | output


def _payment(payment: PaymentView) -> ForeignPayment:
    return ForeignPayment(
        payment_hash=payment.payment_hash,
        status="pending" if payment.status == "claimable" else payment.status,
        preimage=payment.preimage or "",
        amount_msat=payment.amount_msat,
        fee_msat=payment.fee_msat,
        parts=payment.parts,
        failure=payment.failure_name or payment.reason or "",
        failure_hop=None if payment.failing_hop is None else payment.failing_hop + 1,
    )


def _is_hash_of(preimage: str, payment_hash: str) -> bool:
    return hashlib.sha256(bytes.fromhex(preimage)).hexdigest() == payment_hash
