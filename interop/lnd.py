"""LND as a foreign node: its process, wallet, peers and channels. Payments are in `lnd_payments.py`."""

import asyncio
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, final

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
from interop.lnd_payments import LndPayments
from interop.lnd_rest import Json, LndRest, base64_of, hex_of
from interop.lnd_streams import LndStreams
from interop.lnd_wallet import LndWallet
from interop.process import ForeignProcess
from leyden.demo.processes import free_port

START_SECONDS: Final = 90.0
SYNC_SECONDS: Final = 20.0
LOOK_SECONDS: Final = 0.1
NO_TXID: Final = "0" * 64
REMOTE_DELAY_BLOCKS: Final = 6
COMMITMENT_TYPES: Final = {"static_remotekey": "STATIC_REMOTE_KEY", "anchors": "ANCHORS"}
_TYPE_NAMES: Final = {name: ours for ours, name in COMMITMENT_TYPES.items()}
_WORDS_OF_PEERS: Final = re.compile(r"(?:Received (?:Error|Warning)\(|received (?:funding error|warning message)).*")
_REPLAYED: Final = re.compile(r"onion hop iterator for htlc\(id=\d+, hash=(\w{64})\): InvalidOnionVersion")


def command_line(
    program: Path, folder: Path, ports: tuple[int, int, int], chain: ChainPlace, options: ForeignOptions
) -> list[str]:
    """Return how LND is started. ports: Lightning, REST, gRPC."""
    listen, rest, rpc = ports
    return [
        str(program),
        f"--lnddir={folder}",
        *("--noseedbackup", "--no-macaroons", "--no-rest-tls", "--nobootstrap"),
        f"--listen=127.0.0.1:{listen}",
        f"--restlisten=127.0.0.1:{rest}",
        f"--rpclisten=127.0.0.1:{rpc}",
        f"--debuglevel=info{',PEER=debug' if options.log_messages else ''}",
        *("--trickledelay=50", "--accept-keysend", "--maxpendingchannels=20", "--gossip.announcement-conf=3"),
        "--keep-failed-payment-attempts",  # else it forgets which failure came from where
        *_exposure(options),
        *("--protocol.wumbo-channels", "--protocol.option-scid-alias", "--protocol.zero-conf"),
        *("--bitcoin.regtest", "--bitcoin.node=bitcoind"),
        f"--bitcoin.defaultremotedelay={REMOTE_DELAY_BLOCKS}",
        "--bitcoin.defaultchanconfs=1",
        f"--bitcoin.basefee={options.fee_base_msat}",
        f"--bitcoin.feerate={options.fee_proportional_millionths}",
        f"--bitcoin.timelockdelta={options.cltv_expiry_delta}",
        f"--bitcoind.rpchost=127.0.0.1:{chain.port}",
        f"--bitcoind.rpcuser={chain.user}",
        f"--bitcoind.rpcpass={chain.password}",
        *("--bitcoind.rpcpolling", "--bitcoind.blockpollinginterval=200ms", "--bitcoind.txpollinginterval=500ms"),
    ]


def _exposure(options: ForeignOptions) -> list[str]:
    limit_msat = options.max_dust_htlc_exposure_msat
    return [] if limit_msat is None else [f"--channel-max-fee-exposure={limit_msat // 1000}"]


@final
class LndNode:
    """Implements `ForeignNode`. wallet: what else its wallet can do."""

    kind = "lnd"
    msat_step = 1000

    def __init__(self, name: str, folder: Path, chain: ChainPlace, options: ForeignOptions, program: Path) -> None:
        self.name = name
        self._folder = folder
        self._data = folder / "lnd"
        self._options = options
        self._ports = (free_port(), free_port(), free_port())
        command = command_line(program, self._data, self._ports, chain, options)
        self._process = ForeignProcess(command, folder, folder / "output.log")
        self._rest = LndRest(self._ports[1])
        self._streams = LndStreams(self._rest)
        self._payments = LndPayments(self._rest)
        self.wallet = LndWallet(self._rest)
        self._life_begins_at = 0

    # --- life ---------------------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """See `ForeignNode`."""
        return self._process.pid

    @property
    def log_paths(self) -> tuple[Path, ...]:
        """See `ForeignNode`. LND's own log file holds what its output does."""
        return (self._folder / "output.log",)

    @property
    def port(self) -> int:
        """See `ForeignNode`."""
        return self._ports[0]

    async def start(self) -> None:
        """See `ForeignNode`."""
        if self._options.store_delay_ms:
            raise NotOffered(
                "lnd writes to bbolt, sqlite, postgres or etcd at once: none of its options delays a write"
            )
        log = self.log_paths[0]
        self._life_begins_at = log.stat().st_size if log.exists() else 0
        await self._process.start()
        deadline = time.monotonic() + START_SECONDS
        while not await self._follows():
            if not self._process.pid or time.monotonic() > deadline:
                raise PeerFailed(f"{self.name} did not start:\n{self._process.last_words()}")
            await asyncio.sleep(LOOK_SECONDS)
        await self._streams.open()

    async def _follows(self) -> bool:
        try:
            state = (await self._rest.get("/v1/state"))["state"]
            return state == "SERVER_ACTIVE" and bool((await self._rest.get("/v1/getinfo"))["synced_to_chain"])
        except (PeerFailed, PeerRefused):
            return False  # it is still on its way up

    async def stop(self) -> None:
        """See `ForeignNode`."""
        await self._let_go()
        await self._process.stop()

    async def kill(self) -> None:
        """See `ForeignNode`."""
        await self._process.kill()
        await self._let_go()

    async def _let_go(self) -> None:
        await self._streams.close()
        await self._payments.close()
        await self._rest.close()

    async def copy_state(self, folder: Path) -> None:
        """See `ForeignNode`."""
        shutil.copytree(self._data, folder)

    async def restore_state(self, folder: Path) -> None:
        """See `ForeignNode`."""
        shutil.rmtree(self._data)
        shutil.copytree(folder, self._data)

    async def info(self) -> ForeignInfo:
        """See `ForeignNode`."""
        info = await self._rest.get("/v1/getinfo")
        version = str(info["version"]).partition(" ")[0]
        return ForeignInfo(info["identity_pubkey"], version, info["block_height"], info["synced_to_chain"])

    # --- wallet -------------------------------------------------------------------------------------------------------

    async def new_address(self) -> str:
        """See `ForeignNode`."""
        return str((await self._rest.get("/v1/newaddress", type="WITNESS_PUBKEY_HASH"))["address"])

    async def onchain_sat(self) -> int:
        """See `ForeignNode`."""
        return int((await self._rest.get("/v1/balance/blockchain"))["confirmed_balance"])

    async def send_onchain(self, address: str, amount_sat: int) -> str:
        """See `ForeignNode`."""
        sent = await self._rest.post("/v1/transactions", {"addr": address, "amount": amount_sat})
        return str(sent["txid"])

    # --- peers --------------------------------------------------------------------------------------------------------

    async def connect(self, node_id: str, port: int) -> None:
        """See `ForeignNode`."""
        body = {"addr": {"pubkey": node_id, "host": f"127.0.0.1:{port}"}, "perm": False, "timeout": "10"}
        try:
            await self._rest.post("/v1/peers", body)
        except PeerRefused as refused:
            if "already connected" not in str(refused):
                raise

    async def disconnect(self, node_id: str) -> None:
        """See `ForeignNode`."""
        await self._rest.delete(f"/v1/peers/{node_id}")

    async def peers(self) -> frozenset[str]:
        """See `ForeignNode`."""
        return frozenset(one["pub_key"] for one in (await self._rest.get("/v1/peers"))["peers"])

    async def peer_features(self, node_id: str) -> frozenset[int]:
        """See `ForeignNode`."""
        for one in (await self._rest.get("/v1/peers"))["peers"]:
            if one["pub_key"] == node_id:
                return frozenset(int(bit) for bit in one["features"])
        raise PeerRefused(f"{node_id} is not connected")

    async def trust_peer(self, node_id: str) -> None:
        """See `ForeignNode`."""
        self._streams.trusted.add(node_id)

    async def send_custom_message(self, node_id: str, message_type: int, payload: bytes) -> None:
        """See `ForeignNode`."""
        body = {"peer": base64_of(node_id), "type": message_type, "data": base64_of(payload.hex())}
        await self._rest.post("/v1/custommessage", body)

    async def custom_messages(self) -> tuple[CustomMessage, ...]:
        """See `ForeignNode`."""
        return tuple(self._streams.custom_messages)

    # --- channels -----------------------------------------------------------------------------------------------------

    async def open_channel(self, request: OpenRequest) -> str:
        """See `ForeignNode`. It waits for a wallet that has not seen the last blocks yet."""
        if request.push_msat % 1000:
            raise NotOffered("lnd pushes whole satoshis (`push_sat` of its OpenChannelRequest)")
        body = {
            "node_pubkey": base64_of(request.node_id),
            "local_funding_amount": str(request.amount_sat),
            "push_sat": str(request.push_msat // 1000),
            "private": not request.announce,
            "commitment_type": COMMITMENT_TYPES[request.channel_type],
            "zero_conf": request.zero_conf,
            "scid_alias": request.scid_alias,
            "close_address": request.close_to or "",
        }
        deadline = time.monotonic() + SYNC_SECONDS
        while True:
            try:
                opened = await self._rest.post("/v1/channels", body)
                break
            except PeerRefused as refused:
                if "fully synced" not in str(refused) or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(LOOK_SECONDS)
        txid = bytes.fromhex(hex_of(opened["funding_txid_bytes"]))[::-1].hex()
        return f"{txid}:{opened['output_index']}"

    async def channels(self) -> tuple[ForeignChannel, ...]:
        """See `ForeignNode`. Usable: also the policies of both sides are known, without which LND finds no way."""
        listed = (await self._rest.get("/v1/channels"))["channels"]
        usable = await asyncio.gather(*[self._is_usable(one) for one in listed])
        channels = [known_channel(one, is_usable=yes) for one, yes in zip(listed, usable, strict=True)]
        pending = (await self._rest.get("/v1/channels/pending"))["pending_open_channels"]
        return (*channels, *[pending_channel(one) for one in pending])

    async def _is_usable(self, channel: Json) -> bool:
        if not channel["active"]:
            return False
        try:
            edge = await self._rest.get(f"/v1/graph/edge/{channel['chan_id']}")
        except PeerRefused:
            return False
        return edge.get("node1_policy") is not None and edge.get("node2_policy") is not None

    async def htlcs(self, funding_outpoint: str) -> tuple[ForeignHtlc, ...]:
        """See `ForeignNode`."""
        for channel in (await self._rest.get("/v1/channels"))["channels"]:
            if channel["channel_point"] == funding_outpoint:
                return tuple(pending_htlc(one) for one in channel["pending_htlcs"])
        raise PeerRefused(f"lnd knows no channel {funding_outpoint}")

    async def refusals(self) -> tuple[str, ...]:
        """See `ForeignNode`."""
        log = self.log_paths[0].read_bytes()[self._life_begins_at :]
        return words_of_peers(log.decode(errors="replace"))

    async def close_channel(
        self,
        funding_outpoint: str,
        *,
        force: bool = False,
        address: str | None = None,
        feerate_per_kw: int | None = None,
    ) -> None:
        """See `ForeignNode`."""
        txid, _, index = funding_outpoint.partition(":")
        query = f"force={str(force).lower()}" + ("" if force else "&no_wait=true")
        query += f"&delivery_address={address}" if address else ""
        query += f"&sat_per_vbyte={feerate_per_kw * 4 // 1000}" if feerate_per_kw else ""
        async with self._rest.stream("DELETE", f"/v1/channels/{txid}/{index}?{query}") as results:
            async for _ in results:
                return

    async def closed_channels(self) -> Mapping[str, str]:
        """See `ForeignNode`."""
        closed = (await self._rest.get("/v1/channels/closed"))["channels"]
        found = {one["channel_point"]: one["closing_tx_hash"] for one in closed}
        pending = await self._rest.get("/v1/channels/pending")
        for one in (*pending["pending_force_closing_channels"], *pending["waiting_close_channels"]):
            found[one["channel"]["channel_point"]] = one["closing_txid"]
        # An opening that was given up has no closing transaction, and one that waits for the peer's word has none yet.
        return {outpoint: txid for outpoint, txid in found.items() if txid not in ("", NO_TXID)}

    async def pending_sweeps(self) -> int:
        """See `ForeignNode`. LND tells of channels that are not resolved, each counts as one."""
        pending = await self._rest.get("/v1/channels/pending")
        return len(pending["pending_force_closing_channels"]) + len(pending["waiting_close_channels"])

    async def set_forwarding(
        self, funding_outpoint: str, fee_base_msat: int, fee_proportional_millionths: int, cltv_expiry_delta: int
    ) -> None:
        """See `ForeignNode`."""
        txid, _, index = funding_outpoint.partition(":")
        body = {
            "chan_point": {"funding_txid_str": txid, "output_index": int(index)},
            "base_fee_msat": str(fee_base_msat),
            "fee_rate_ppm": fee_proportional_millionths,
            "time_lock_delta": cltv_expiry_delta,
        }
        answer = await self._rest.post("/v1/chanpolicy", body)
        if answer["failed_updates"]:
            raise PeerRefused(str(answer["failed_updates"][0]["update_error"]))

    async def set_feerate(self, feerate_per_kw: int) -> None:
        """See `ForeignNode`."""
        raise NotOffered(
            "lnd looks at its fee estimate at random times 10 to 60 minutes apart (DefaultMinLinkFeeUpdateTimeout, "
            "DefaultMaxLinkFeeUpdateTimeout in its htlcswitch), and no option shortens that"
        )

    # --- payments -----------------------------------------------------------------------------------------------------

    async def create_invoice(
        self, amount_msat: int | None, description: str, *, expiry_seconds: int = 3600, payment_hash: str | None = None
    ) -> str:
        """See `ForeignNode`."""
        return await self._payments.create_invoice(amount_msat, description, expiry_seconds, payment_hash)

    async def held(self, payment_hash: str) -> bool:
        """See `ForeignNode`."""
        return await self._payments.held(payment_hash)

    async def settle(self, preimage: str) -> None:
        """See `ForeignNode`."""
        await self._rest.post("/v2/invoices/settle", {"preimage": base64_of(preimage)})

    async def cancel(self, payment_hash: str) -> None:
        """See `ForeignNode`."""
        await self._rest.post("/v2/invoices/cancel", {"payment_hash": base64_of(payment_hash)})

    async def pay(self, invoice: str, amount_msat: int | None = None, limits: HtlcLimits | None = None) -> str:
        """See `ForeignNode`."""
        return await self._payments.pay(invoice, amount_msat, await self._with_channel_ids(limits or HtlcLimits()))

    async def _with_channel_ids(self, limits: HtlcLimits) -> tuple[HtlcLimits, list[str]]:
        if not limits.outgoing_channels:
            return limits, []
        listed = (await self._rest.get("/v1/channels"))["channels"]
        return limits, [one["chan_id"] for one in listed if one["channel_point"] in limits.outgoing_channels]

    async def keysend(self, node_id: str, amount_msat: int, custom_records: Mapping[int, bytes] | None = None) -> str:
        """See `ForeignNode`."""
        return await self._payments.keysend(node_id, amount_msat, custom_records or {})

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
        return await self._payments.pay_hash(
            node_id, amount_msat, payment_hash, payment_secret, final_cltv_expiry_delta
        )

    async def pay_all(self, invoices: Sequence[str], in_flight: int) -> BulkPaid:
        """See `ForeignNode`."""
        return await self._payments.pay_all(invoices, in_flight)

    async def payment(self, payment_hash: str) -> ForeignPayment:
        """See `ForeignNode`."""
        return await self._payments.payment(payment_hash)

    async def payments(self) -> tuple[ForeignPayment, ...]:
        """See `ForeignNode`."""
        return await self._payments.payments()

    async def received_msat(self, payment_hash: str) -> int:
        """See `ForeignNode`."""
        return await self._payments.received_msat(payment_hash)

    async def disowned(self) -> frozenset[str]:
        """See `ForeignNode`. It does that when it is killed right after it has settled an invoice."""
        return sent_back_as_replays(self.log_paths[0].read_text(errors="replace"))

    async def received_records(self, payment_hash: str) -> Mapping[int, bytes]:
        """See `ForeignNode`."""
        return await self._payments.received_records(payment_hash)


def words_of_peers(log: str) -> tuple[str, ...]:
    """Return what peers said in errors and warnings, as LND logs it."""
    return tuple(found.group(0) for found in _WORDS_OF_PEERS.finditer(log))


def sent_back_as_replays(log: str) -> frozenset[str]:
    """Return the hashes of HTLCs that it took for replays of themselves after a restart, settled before or not."""
    return frozenset(_REPLAYED.findall(log)) if "sphinx packet replay attempted" in log else frozenset()


def known_channel(channel: Json, *, is_usable: bool) -> ForeignChannel:
    """Return an open channel as LND lists it."""
    return ForeignChannel(
        funding_outpoint=channel["channel_point"],
        counterparty_node_id=channel["remote_pubkey"],
        capacity_sat=int(channel["capacity"]),
        local_msat=int(channel["local_balance"]) * 1000,
        remote_msat=int(channel["remote_balance"]) * 1000,
        is_usable=is_usable,
        is_initiator=channel["initiator"],
        channel_type=_TYPE_NAMES.get(channel["commitment_type"], str(channel["commitment_type"])),
        feerate_per_kw=int(channel["fee_per_kw"]),
        htlcs_pending=len(channel["pending_htlcs"]),
        reserve_sat=int(channel["local_chan_reserve_sat"]),
        # Of a zero-conf channel `chan_id` stays an alias.
        short_channel_id=int(channel["zero_conf_confirmed_scid" if channel["zero_conf"] else "chan_id"]),
    )


def pending_htlc(htlc: Json) -> ForeignHtlc:
    """Return an HTLC as LND lists it."""
    return ForeignHtlc(
        payment_hash=hex_of(htlc["hash_lock"]),
        amount_msat=int(htlc["amount"]) * 1000,
        cltv_expiry=int(htlc["expiration_height"]),
        is_incoming=htlc["incoming"],
    )


def pending_channel(pending: Json) -> ForeignChannel:
    """Return a channel that is being opened as LND lists it."""
    channel = pending["channel"]
    return ForeignChannel(
        funding_outpoint=channel["channel_point"],
        counterparty_node_id=channel["remote_node_pub"],
        capacity_sat=int(channel["capacity"]),
        local_msat=int(channel["local_balance"]) * 1000,
        remote_msat=int(channel["remote_balance"]) * 1000,
        is_usable=False,
        is_initiator=channel["initiator"] == "INITIATOR_LOCAL",
        channel_type=_TYPE_NAMES.get(channel["commitment_type"], str(channel["commitment_type"])),
        feerate_per_kw=int(pending["fee_per_kw"]),
        htlcs_pending=0,
        reserve_sat=int(channel["local_chan_reserve_sat"]),
        short_channel_id=0,
    )
