"""LDK as a foreign node: our own program on its crates (`peers/ldk`), driven by JSON lines."""

import asyncio
import base64
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, final

from interop.foreign import (
    BulkPaid,
    ChainPlace,
    CustomMessage,
    ForeignChannel,
    ForeignHtlc,
    ForeignInfo,
    ForeignOptions,
    ForeignPayment,
    HtlcLimits,
    NotOffered,
    OpenRequest,
    PeerFailed,
    PeerRefused,
)
from interop.ldk_lines import LdkLines
from interop.process import STOP_SECONDS, ForeignProcess
from leyden.demo.processes import free_port
from leyden.sphinx.failures import FailureCode

START_SECONDS: Final = 60.0
BULK_SECONDS: Final = 900.0
BUSY_SECONDS: Final = 5.0
BUSY_LOOK_SECONDS: Final = 0.05
MAX_DUST_EXPOSURE_MSAT: Final = 1_000_000_000
"""So high that no load scenario meets it."""
RESERVE_MAX_SAT: Final = 400_000
"""What it lets a peer ask it to keep. LDK ships without such a limit: with one it has something to refuse."""
RESERVE_MAX_SAT_MEASURED: Final = 2_100_000_000_000_000
FALLEN_BEHIND: Final = "We have fallen behind"
"""What LDK says when it ends itself because the peer has proved that its data are an old copy."""

Store: TypeAlias = Literal["direct", "manager_first"]


def start_options(
    folder: Path, port: int, chain: ChainPlace, options: ForeignOptions, store: Store
) -> dict[str, object]:
    """Return the first line that the program reads."""
    credentials = base64.b64encode(f"{chain.user}:{chain.password}".encode()).decode()
    return {
        "folder": str(folder),
        "port": port,
        "rpc_port": chain.port,
        "rpc_credentials": credentials,
        "store": store,
        "store_delay_ms": options.store_delay_ms,
        "log_messages": options.log_messages,
        "fee_base_msat": options.fee_base_msat,
        "fee_proportional_millionths": options.fee_proportional_millionths,
        "cltv_expiry_delta": options.cltv_expiry_delta,
        "max_dust_exposure_msat": options.max_dust_htlc_exposure_msat or MAX_DUST_EXPOSURE_MSAT,
        "reserve_max_sat": RESERVE_MAX_SAT if options.log_messages else RESERVE_MAX_SAT_MEASURED,
        "recovers": False,
    }


def store_of(options: ForeignOptions) -> Store:
    """Return in which order channel state becomes durable.

    LDK 0.2 as it ships (`direct`) writes monitors before the manager, and `kill -9` in between makes it close channels
    when it starts again (ClosureReason::OutdatedChannelManager): no scenario of crashes could pass. `manager_first` is
    its asynchronous interface, in the order that its next release has. Measurements without a delay (which want no log
    of messages) take it as it ships.
    """
    return "manager_first" if options.log_messages or options.store_delay_ms else "direct"


@final
class LdkNode:
    """Implements `ForeignNode`."""

    kind = "ldk"
    msat_step = 1

    def __init__(self, name: str, folder: Path, chain: ChainPlace, options: ForeignOptions, program: Path) -> None:
        self.name = name
        self._folder = folder
        self._data = folder / "ldk"
        self._port = free_port()
        self._log = folder / "output.log"
        self._options = start_options(self._data, self._port, chain, options, store_of(options))
        self._process = ForeignProcess([str(program)], folder, self._log, pipes=True)
        self._lines: LdkLines | None = None
        self._recovery = asyncio.Lock()

    # --- life ---------------------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """See `ForeignNode`."""
        return self._process.pid

    @property
    def log_paths(self) -> tuple[Path, ...]:
        """See `ForeignNode`."""
        return (self._log,)

    @property
    def port(self) -> int:
        """See `ForeignNode`."""
        return self._port

    async def start(self) -> None:
        """See `ForeignNode`."""
        await self._let_go()
        await self._process.start()
        assert self._process.process is not None, "it was started"
        self._lines = LdkLines(self._process.process)
        try:
            await self._lines.begin(self._options, START_SECONDS)
        except PeerFailed as error:
            raise PeerFailed(f"{self.name} did not start: {error}\n{self._process.last_words()}") from None

    async def stop(self) -> None:
        """See `ForeignNode`."""
        if self._lines is not None and self.pid and self._process.process is not None:
            self._lines.tell("stop")
            try:
                await asyncio.wait_for(self._process.process.wait(), STOP_SECONDS)
            except TimeoutError:
                await self._process.stop()
        await self._let_go()

    async def kill(self) -> None:
        """See `ForeignNode`."""
        await self._process.kill()
        await self._let_go()

    async def _let_go(self) -> None:
        lines, self._lines = self._lines, None
        if lines is not None:
            await lines.close()

    async def _call(self, method: str, **params: object) -> Any:
        lines = self._current_lines
        try:
            return await lines.call(method, **params)
        except PeerFailed:
            if not lines.has_ended or not await self._recovers(lines):
                raise
        return await self._current_lines.call(method, **params)

    @property
    def _current_lines(self) -> LdkLines:
        if self._lines is None:
            raise PeerFailed(f"{self.name} does not run")
        return self._lines

    async def _recovers(self, ended: LdkLines) -> bool:
        """Start again as LDK tells its user to when it has ended itself over an old copy of its data."""
        async with self._recovery:
            if self._lines is not ended:
                return self._lines is not None  # another caller has done it, or somebody has killed it
            await self._process.kill()
            if self._options["recovers"] or FALLEN_BEHIND not in self._log.read_text(errors="replace"):
                return False
            self._options["recovers"] = True
            await self.start()
            return True

    async def copy_state(self, folder: Path) -> None:
        """See `ForeignNode`."""
        shutil.copytree(self._data, folder)

    async def restore_state(self, folder: Path) -> None:
        """See `ForeignNode`. An old copy makes LDK end itself; it is then started again to recover."""
        shutil.rmtree(self._data)
        shutil.copytree(folder, self._data)

    async def info(self) -> ForeignInfo:
        """See `ForeignNode`."""
        info = await self._call("info")
        return ForeignInfo(info["node_id"], info["version"], info["block_height"], info["is_synced"])

    # --- wallet -------------------------------------------------------------------------------------------------------

    async def new_address(self) -> str:
        """See `ForeignNode`."""
        return str(await self._call("new_address"))

    async def onchain_sat(self) -> int:
        """See `ForeignNode`."""
        return int(await self._call("onchain_sat"))

    async def send_onchain(self, address: str, amount_sat: int) -> str:
        """See `ForeignNode`."""
        return str(await self._call("send_onchain", address=address, amount_sat=amount_sat))

    # --- peers --------------------------------------------------------------------------------------------------------

    async def connect(self, node_id: str, port: int) -> None:
        """See `ForeignNode`."""
        await self._call("connect", node_id=node_id, port=port)

    async def disconnect(self, node_id: str) -> None:
        """See `ForeignNode`."""
        await self._call("disconnect", node_id=node_id)

    async def peers(self) -> frozenset[str]:
        """See `ForeignNode`."""
        return frozenset(await self._call("peers"))

    async def peer_features(self, node_id: str) -> frozenset[int]:
        """See `ForeignNode`."""
        return frozenset(await self._call("peer_features", node_id=node_id))

    async def trust_peer(self, node_id: str) -> None:
        """See `ForeignNode`."""
        await self._call("trust_peer", node_id=node_id)

    async def send_custom_message(self, node_id: str, message_type: int, payload: bytes) -> None:
        """See `ForeignNode`."""
        await self._call("send_custom_message", node_id=node_id, message_type=message_type, payload=payload.hex())

    async def custom_messages(self) -> tuple[CustomMessage, ...]:
        """See `ForeignNode`."""
        messages = await self._call("custom_messages")
        return tuple(CustomMessage(m["node_id"], m["message_type"], bytes.fromhex(m["payload"])) for m in messages)

    # --- channels -----------------------------------------------------------------------------------------------------

    async def open_channel(self, request: OpenRequest) -> str:
        """See `ForeignNode`."""
        if request.zero_conf:
            raise NotOffered(
                "as opener ldk cannot ask for zero-conf: option_zeroconf is never in the channel_type it sends "
                "(get_initial_channel_type), whoever takes its channel may decide so by minimum_depth 0"
            )
        opened = await self._call(
            "open_channel",
            node_id=request.node_id,
            amount_sat=request.amount_sat,
            push_msat=request.push_msat,
            channel_type=request.channel_type,
            announce=request.announce,
            scid_alias=request.scid_alias,
            close_to=request.close_to,
        )
        return str(opened)

    async def channels(self) -> tuple[ForeignChannel, ...]:
        """See `ForeignNode`. Usable: also the peer's policy is known, without which no invoice hints at the channel."""
        return tuple(channel_of(one) for one in await self._call("channels"))

    async def htlcs(self, funding_outpoint: str) -> tuple[ForeignHtlc, ...]:
        """See `ForeignNode`."""
        listed = await self._call("htlcs", funding_outpoint=funding_outpoint)
        return tuple(
            ForeignHtlc(one["payment_hash"], one["amount_msat"], one["cltv_expiry"], one["is_inbound"])
            for one in listed
        )

    async def refusals(self) -> tuple[str, ...]:
        """See `ForeignNode`."""
        return tuple(await self._call("refusals"))

    async def close_channel(
        self,
        funding_outpoint: str,
        *,
        force: bool = False,
        address: str | None = None,
        feerate_per_kw: int | None = None,
    ) -> None:
        """See `ForeignNode`. What LDK refuses because its store is busy for a moment is asked again."""
        if feerate_per_kw is not None:
            await self.set_feerate(feerate_per_kw)  # by which it closes; it stays
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                await self._call("close_channel", funding_outpoint=funding_outpoint, force=force, address=address)
            except PeerRefused as error:
                if "waiting on a monitor update" not in str(error) or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(BUSY_LOOK_SECONDS)
            else:
                return

    async def closed_channels(self) -> Mapping[str, str]:
        """See `ForeignNode`."""
        return dict(await self._call("closed_channels"))

    async def pending_sweeps(self) -> int:
        """See `ForeignNode`."""
        return int(await self._call("pending_sweeps"))

    async def set_forwarding(
        self, funding_outpoint: str, fee_base_msat: int, fee_proportional_millionths: int, cltv_expiry_delta: int
    ) -> None:
        """See `ForeignNode`."""
        await self._call(
            "set_forwarding",
            funding_outpoint=funding_outpoint,
            fee_base_msat=fee_base_msat,
            fee_proportional_millionths=fee_proportional_millionths,
            cltv_expiry_delta=cltv_expiry_delta,
        )

    async def set_feerate(self, feerate_per_kw: int) -> None:
        """See `ForeignNode`."""
        await self._call("set_feerate", feerate_per_kw=feerate_per_kw)

    # --- payments -----------------------------------------------------------------------------------------------------

    async def create_invoice(
        self, amount_msat: int | None, description: str, *, expiry_seconds: int = 3600, payment_hash: str | None = None
    ) -> str:
        """See `ForeignNode`."""
        invoice = await self._call(
            "create_invoice",
            amount_msat=amount_msat,
            description=description,
            expiry_seconds=expiry_seconds,
            payment_hash=payment_hash,
        )
        return str(invoice)

    async def held(self, payment_hash: str) -> bool:
        """See `ForeignNode`."""
        return bool(await self._call("held", payment_hash=payment_hash))

    async def settle(self, preimage: str) -> None:
        """See `ForeignNode`."""
        await self._call("settle", preimage=preimage)

    async def cancel(self, payment_hash: str) -> None:
        """See `ForeignNode`."""
        await self._call("cancel", payment_hash=payment_hash)

    async def pay(self, invoice: str, amount_msat: int | None = None, limits: HtlcLimits | None = None) -> str:
        """See `ForeignNode`."""
        wanted = limits or HtlcLimits()
        payment_hash = await self._call(
            "pay",
            invoice=invoice,
            amount_msat=amount_msat,
            fee_limit_msat=wanted.fee_limit_msat,
            max_parts=wanted.max_parts,
            final_cltv_expiry_delta=wanted.final_cltv_expiry_delta,
            outgoing_channels=wanted.outgoing_channels,
        )
        return str(payment_hash)

    async def keysend(self, node_id: str, amount_msat: int, custom_records: Mapping[int, bytes] | None = None) -> str:
        """See `ForeignNode`."""
        records = {str(kind): value.hex() for kind, value in (custom_records or {}).items()}
        return str(await self._call("keysend", node_id=node_id, amount_msat=amount_msat, custom_records=records))

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
        begun = await self._call(
            "pay_hash",
            node_id=node_id,
            amount_msat=amount_msat,
            payment_hash=payment_hash,
            payment_secret=payment_secret,
            final_cltv_expiry_delta=final_cltv_expiry_delta,
        )
        return str(begun)

    async def pay_all(self, invoices: Sequence[str], in_flight: int) -> BulkPaid:
        """See `ForeignNode`. Timed in the program itself."""
        paid = await self._current_lines.call("pay_all", BULK_SECONDS, invoices=list(invoices), in_flight=in_flight)
        return BulkPaid.of(paid["seconds"], paid["failed"], paid["latencies_ms"])

    async def payment(self, payment_hash: str) -> ForeignPayment:
        """See `ForeignNode`."""
        return payment_of(await self._call("payment", payment_hash=payment_hash))

    async def payments(self) -> tuple[ForeignPayment, ...]:
        """See `ForeignNode`."""
        return tuple(payment_of(one) for one in await self._call("payments"))

    async def received_msat(self, payment_hash: str) -> int:
        """See `ForeignNode`."""
        return int((await self._call("received", payment_hash=payment_hash))["msat"])

    async def disowned(self) -> frozenset[str]:
        """See `ForeignNode`. It does no such thing."""
        return frozenset()

    async def received_records(self, payment_hash: str) -> Mapping[int, bytes]:
        """See `ForeignNode`."""
        records = (await self._call("received", payment_hash=payment_hash))["custom_records"]
        return {int(kind): bytes.fromhex(value) for kind, value in records.items()}


def channel_of(told: Mapping[str, Any]) -> ForeignChannel:
    """Return a channel as the program describes it."""
    return ForeignChannel(
        funding_outpoint=told["funding_outpoint"],
        counterparty_node_id=told["counterparty_node_id"],
        capacity_sat=told["capacity_sat"],
        local_msat=told["local_msat"],
        remote_msat=told["remote_msat"],
        is_usable=told["is_usable"] and told["has_forwarding_info"],
        is_initiator=told["is_initiator"],
        channel_type=told["channel_type"],
        feerate_per_kw=told["feerate_per_kw"],
        htlcs_pending=told["htlcs_pending"],
        reserve_sat=told["reserve_sat"],
        short_channel_id=told["short_channel_id"],
    )


def payment_of(told: Mapping[str, Any]) -> ForeignPayment:
    """Return a payment as the program describes it."""
    return ForeignPayment(
        payment_hash=told["sent"],
        status=told["status"],
        preimage=told["preimage"],
        amount_msat=told["amount_msat"],
        fee_msat=told["fee_msat"],
        parts=told["parts"],
        failure=failure_name(told["failure_code"], told["failure"]),
        failure_hop=told["failure_hop"] if told["status"] == "failed" else None,
    )


def failure_name(code: int, otherwise: str) -> str:
    """Return BOLT 4's name of a failure code in lower case; without a code what LDK said itself."""
    if not code:
        return otherwise
    try:
        return FailureCode(code).name.lower()
    except ValueError:
        return f"failure code {code:#06x}"
