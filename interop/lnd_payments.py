"""What LND pays and is paid."""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Final, final

from interop.foreign import BulkPaid, ForeignPayment, HtlcLimits, PaymentStatus, PeerFailed, PeerRefused
from interop.lnd_rest import Json, LndRest, base64_in_path, base64_of, hex_of

KEYSEND_PREIMAGE: Final = 5_482_373_484
FEE_LIMIT_MSAT: Final = 1_000_000_000
TIMEOUT_SECONDS: Final = 60
MAX_PARTS: Final = 16
INVOICE_CLTV_EXPIRY_DELTA: Final = 40
FEATURE_VAR_ONION: Final = 9
FEATURE_PAYMENT_SECRET: Final = 15
_STATUSES: Final[dict[str, PaymentStatus]] = {"SUCCEEDED": "succeeded", "FAILED": "failed"}
_OWN_REASONS: Final = {
    "FAILURE_REASON_NO_ROUTE": "no_route",
    "FAILURE_REASON_INSUFFICIENT_BALANCE": "insufficient_balance",
    "FAILURE_REASON_TIMEOUT": "timeout",
    "FAILURE_REASON_CANCELED": "canceled",
    "FAILURE_REASON_INCORRECT_PAYMENT_DETAILS": "incorrect_or_unknown_payment_details",
    "FAILURE_REASON_ERROR": "error",
}
_OF_NOBODY: Final = ("unreadable_failure", "unknown_failure")
"""Words for what LND cannot read: then it does not know who said it either."""


@final
class LndPayments:
    """Payments of one node. A payment is a stream of its own while it lasts."""

    def __init__(self, rest: LndRest) -> None:
        self._rest = rest
        self._tasks: set[asyncio.Task[Json]] = set()

    async def close(self) -> None:
        """Forget the streams; LND itself goes on with its payments."""
        tasks, self._tasks = list(self._tasks), set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- being paid ---------------------------------------------------------------------------------------------------

    async def create_invoice(
        self, amount_msat: int | None, description: str, expiry_seconds: int, payment_hash: str | None
    ) -> str:
        """See `ForeignNode`."""
        body: Json = {
            "memo": description,
            "value_msat": str(amount_msat or 0),
            "expiry": str(expiry_seconds),
            "cltv_expiry": str(INVOICE_CLTV_EXPIRY_DELTA),
            "route_hints": await self._route_hints(),
        }
        if payment_hash is None:
            return str((await self._rest.post("/v1/invoices", body))["payment_request"])
        body["hash"] = base64_of(payment_hash)
        return str((await self._rest.post("/v2/invoices/hodl", body))["payment_request"])

    async def _route_hints(self) -> list[Json]:
        """Return what the operator gives: by itself LND names no peer that is not announced (`chanCanBeHopHint`)."""
        hints: list[Json] = []
        for channel in (await self._rest.get("/v1/channels"))["channels"]:
            try:
                edge = await self._rest.get(f"/v1/graph/edge/{channel['chan_id']}")
            except PeerRefused:
                continue  # it is on its way into the graph
            peer = channel["remote_pubkey"]
            policy = edge.get("node1_policy" if edge["node1_pub"] == peer else "node2_policy")
            if not channel["private"] or not channel["active"] or policy is None:
                continue
            hop = {
                "node_id": peer,
                "chan_id": channel["chan_id"] if channel["peer_scid_alias"] == "0" else channel["peer_scid_alias"],
                "fee_base_msat": int(policy["fee_base_msat"]),
                "fee_proportional_millionths": int(policy["fee_rate_milli_msat"]),
                "cltv_expiry_delta": policy["time_lock_delta"],
            }
            hints.append({"hop_hints": [hop]})
        return hints

    async def held(self, payment_hash: str) -> bool:
        """See `ForeignNode`."""
        return bool((await self._rest.get(f"/v1/invoice/{payment_hash}"))["state"] == "ACCEPTED")

    async def received_msat(self, payment_hash: str) -> int:
        """See `ForeignNode`."""
        try:
            invoice = await self._rest.get(f"/v1/invoice/{payment_hash}")
        except PeerRefused:
            return 0  # keysend makes its invoice when it arrives
        return int(invoice["amt_paid_msat"]) if invoice["state"] == "SETTLED" else 0

    async def received_records(self, payment_hash: str) -> Mapping[int, bytes]:
        """See `ForeignNode`."""
        invoice = await self._rest.get(f"/v1/invoice/{payment_hash}")
        records: dict[int, bytes] = {}
        for htlc in invoice["htlcs"]:
            found = {int(kind): bytes.fromhex(hex_of(value)) for kind, value in htlc["custom_records"].items()}
            records |= {kind: value for kind, value in found.items() if kind != KEYSEND_PREIMAGE}
        return records

    # --- paying -------------------------------------------------------------------------------------------------------

    async def pay(self, invoice: str, amount_msat: int | None, wanted: tuple[HtlcLimits, list[str]]) -> str:
        """See `ForeignNode`. wanted: the limits, with LND's ids of the channels that may be used."""
        limits, channel_ids = wanted
        body: Json = {"payment_request": invoice}
        if limits.final_cltv_expiry_delta is not None:
            body = await self._in_parts(invoice)  # beside an invoice it takes no other delta
            body["final_cltv_delta"] = limits.final_cltv_expiry_delta
        body |= {
            "timeout_seconds": limits.timeout_seconds,
            "fee_limit_msat": str(FEE_LIMIT_MSAT if limits.fee_limit_msat is None else limits.fee_limit_msat),
            "max_parts": limits.max_parts or MAX_PARTS,
        }
        if amount_msat is not None:
            body["amt_msat"] = str(amount_msat)
        if channel_ids:
            body["outgoing_chan_ids"] = channel_ids
        return await self._begin(body)

    async def _in_parts(self, invoice: str) -> Json:
        """Return what an invoice says as the fields of a payment without an invoice."""
        said = await self._rest.get(f"/v1/payreq/{invoice}")
        return {
            "dest": base64_of(said["destination"]),
            "payment_hash": base64_of(said["payment_hash"]),
            "payment_addr": said["payment_addr"],
            "amt_msat": said["num_msat"],
            "route_hints": said["route_hints"],
            "dest_features": [int(bit) for bit in said["features"]],
        }

    async def keysend(self, node_id: str, amount_msat: int, custom_records: Mapping[int, bytes]) -> str:
        """See `ForeignNode`."""
        preimage = secrets.token_bytes(32)
        records = {str(kind): base64_of(value.hex()) for kind, value in custom_records.items()}
        body = _spontaneous(node_id, amount_msat, hashlib.sha256(preimage).hexdigest())
        body["dest_custom_records"] = {**records, str(KEYSEND_PREIMAGE): base64_of(preimage.hex())}
        body["dest_features"] = [FEATURE_VAR_ONION]
        return await self._begin(body)

    async def pay_hash(
        self,
        node_id: str,
        amount_msat: int,
        payment_hash: str,
        payment_secret: str | None,
        final_cltv_expiry_delta: int | None,
    ) -> str:
        """See `ForeignNode.pay_unknown_hash`."""
        body = _spontaneous(node_id, amount_msat, payment_hash)
        body["payment_addr"] = base64_of(payment_secret or secrets.token_hex(32))
        if final_cltv_expiry_delta is not None:
            body["final_cltv_delta"] = final_cltv_expiry_delta
        body["dest_features"] = [FEATURE_VAR_ONION, FEATURE_PAYMENT_SECRET]
        return await self._begin(body)

    async def _begin(self, body: Json) -> str:
        """Start a payment; return its hash as soon as LND has taken it on.

        What it has learned from failures of others is forgotten first: it would not try such a way for a while.
        """
        await self._rest.post("/v2/router/mc/reset", {})
        known: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._follow(body, known))
        try:
            await asyncio.wait((asyncio.ensure_future(known), task), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not known.done():
            task.result()  # raises what LND said
            raise PeerFailed("lnd has ended a payment without a word")
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return known.result()

    def _forget(self, task: asyncio.Task[Json]) -> None:
        """A stream has ended; why is LND's own affair, which keeps the payment."""
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()

    async def _follow(self, body: Json, known: asyncio.Future[str]) -> Json:
        last: Json = {}
        async with self._rest.stream("POST", "/v2/router/send", body) as results:
            async for last in results:
                if not known.done():
                    known.set_result(str(last["payment_hash"]))
                if last["status"] in _STATUSES:
                    break
        return last

    async def pay_all(self, invoices: Sequence[str], in_flight: int) -> BulkPaid:
        """See `ForeignNode`."""
        todo = iter(invoices)
        latencies_ms: list[float] = []
        failed = 0

        async def payer() -> None:
            nonlocal failed
            for invoice in todo:
                body: Json = {
                    "payment_request": invoice,
                    "timeout_seconds": TIMEOUT_SECONDS,
                    "fee_limit_msat": str(FEE_LIMIT_MSAT),
                    "no_inflight_updates": True,
                }
                begun = time.perf_counter()
                last = await self._follow(body, asyncio.get_running_loop().create_future())
                failed += last.get("status") != "SUCCEEDED"
                latencies_ms.append((time.perf_counter() - begun) * 1000)

        begun = time.perf_counter()
        await asyncio.gather(*[payer() for _ in range(in_flight)])
        return BulkPaid.of(time.perf_counter() - begun, failed, latencies_ms)

    async def payment(self, payment_hash: str) -> ForeignPayment:
        """See `ForeignNode`. LND tells how a payment stands as soon as it is asked to follow it."""
        async with self._rest.stream("GET", f"/v2/router/track/{base64_in_path(payment_hash)}") as results:
            async for one in results:
                return payment_of(one)
        raise PeerFailed(f"lnd says nothing of the payment {payment_hash}")

    async def payments(self) -> tuple[ForeignPayment, ...]:
        """See `ForeignNode`."""
        answer = await self._rest.get("/v1/payments", include_incomplete=True, max_payments=100_000)
        return tuple(payment_of(one) for one in answer["payments"])


def _spontaneous(node_id: str, amount_msat: int, payment_hash: str) -> Json:
    return {
        "dest": base64_of(node_id),
        "amt_msat": str(amount_msat),
        "payment_hash": base64_of(payment_hash),
        "final_cltv_delta": INVOICE_CLTV_EXPIRY_DELTA,
        "timeout_seconds": TIMEOUT_SECONDS,
        "fee_limit_msat": str(FEE_LIMIT_MSAT),
    }


def payment_of(payment: Json) -> ForeignPayment:
    """Return a payment as LND lists it. Its failure is that of the HTLC that came back last, if one did."""
    status = _STATUSES.get(payment["status"], "pending")
    failure, hop = "", None
    ended = [one for one in payment["htlcs"] if one.get("failure")]
    ended.sort(key=lambda one: int(one["resolve_time_ns"]))
    names = [str(one["failure"]["code"]).lower() for one in ended]
    if status == "failed":
        failure = _OWN_REASONS.get(payment["failure_reason"], payment["failure_reason"].lower())
        if names:
            failure = names[-1]
            hop = None if failure in _OF_NOBODY else int(ended[-1]["failure"]["failure_source_index"])
    return ForeignPayment(
        payment_hash=payment["payment_hash"],
        status=status,
        preimage=payment["payment_preimage"] if status == "succeeded" else "",
        amount_msat=int(payment["value_msat"]),
        fee_msat=int(payment["fee_msat"]),
        parts=sum(1 for one in payment["htlcs"] if one["status"] == "SUCCEEDED"),
        failure=failure,
        failure_hop=hop,
        earlier_failures=tuple(names[:-1]),
    )
