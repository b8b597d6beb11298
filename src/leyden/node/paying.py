"""Payments of users: checked here, carried by the manager."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from leyden.base.errors import CommandRejected, DecodeError
from leyden.channel import limits
from leyden.channel.states import Normal
from leyden.crypto import ec
from leyden.crypto.hashes import sha256
from leyden.invoices import bolt11
from leyden.invoices.fields import Bolt11Invoice, RouteHintHop
from leyden.journal.node_records import FixedHop, FixedRoute, PaymentStarted
from leyden.manager import claiming, sending
from leyden.manager.manager import Manager
from leyden.manager.peers import INVOICE_FEATURES
from leyden.node import describe
from leyden.node.core import NodeCore
from leyden.node.parse import parse_hex, parse_scid
from leyden.node.views import InvoiceView, PaymentView, RouteRequest
from leyden.payments.outbound import OutboundPayment, PaymentTerms, invoice_terms
from leyden.payments.terms import InvoiceTerms, encode_terms
from leyden.sphinx.payload import CUSTOM_TYPE_MIN

ResultT = TypeVar("ResultT")

AMOUNT_MSAT_MAX = 21_000_000 * 100_000_000 * 1000
EXPIRY_SECONDS_MAX = 10 * 366 * 86_400
DESCRIPTION_BYTES_MAX = 639
PARTS_MAX = 64
ROUTE_HINTS_MAX = 5


def check_amount(amount_msat: int) -> int:
    """Return the amount. Raises CommandRejected (`invalid_amount`)."""
    if not 1 <= amount_msat <= AMOUNT_MSAT_MAX:
        raise CommandRejected(
            f"amount_msat is {amount_msat}; it must be 1 or more, and no more than there is", code="invalid_amount"
        )
    return amount_msat


# --- receiving ---------------------------------------------------------------------------------------------------


def create_invoice(
    core: NodeCore,
    amount_msat: int | None,
    description: str,
    expiry_seconds: int,
    min_final_cltv_expiry_delta: int | None,
    payment_hash: str | None,
) -> InvoiceView:
    """Make an invoice; nothing is stored, its terms are sealed into the payment secret."""
    manager = core.manager
    if amount_msat is not None:
        check_amount(amount_msat)
    if len(description.encode()) > DESCRIPTION_BYTES_MAX:
        raise CommandRejected(f"description: {DESCRIPTION_BYTES_MAX} bytes at most", code="invalid_description")
    if not 1 <= expiry_seconds <= EXPIRY_SECONDS_MAX:
        raise CommandRejected("expiry_seconds: from 1 second to 10 years", code="invalid_expiry")
    delta = min_final_cltv_expiry_delta or core.config.payments.min_final_cltv_expiry_delta
    if not 18 <= delta <= 2016:
        raise CommandRejected("min_final_cltv_expiry_delta: from 18 to 2016 blocks", code="invalid_expiry")
    now = core.runtime.scheduler.now_seconds()
    metadata = encode_terms(InvoiceTerms(amount_msat or 0, now + expiry_seconds, delta))
    if payment_hash is None:
        made = manager.signer.new_inbound_payment(core.random32()[:16], metadata)
        hashed, secret = made.payment_hash, made.payment_secret
    else:
        hashed = parse_hex(payment_hash, 32, "payment_hash", "invalid_payment_hash")
        secret = manager.signer.inbound_payment_secret(hashed, metadata)
    invoice = Bolt11Invoice(
        network=manager.config.network,
        amount_msat=amount_msat,
        timestamp=now,
        payment_hash=hashed,
        payment_secret=secret,
        description=description,
        expiry_seconds=expiry_seconds,
        min_final_cltv_expiry_delta=delta,
        payee_node_id=manager.node_id,
        route_hints=route_hints(manager),
        features=INVOICE_FEATURES.encode(),
    )
    return InvoiceView(
        invoice=bolt11.encode(invoice, manager.signer.sign_invoice),
        payment_hash=hashed.hex(),
        amount_msat=amount_msat,
        description=description,
        created_seconds=now,
        expires_seconds=now + expiry_seconds,
    )


def route_hints(manager: Manager) -> tuple[tuple[RouteHintHop, ...], ...]:
    """Return hints over our channels whose peers told their policy; those that can receive most come first."""
    found: list[tuple[int, RouteHintHop]] = []
    for slot in manager.channels.values():
        channel = slot.state.core
        policy = channel.peer_policy
        if type(slot.state) is not Normal or policy is None or policy.disabled:
            continue
        # The peer knows the channel by the alias that it gave us (BOLT 2, "The `channel_ready` Message").
        may_show_real = channel.funding is not None and not channel.opened.scid_alias
        scid = channel.remote_alias or (channel.funding.short_channel_id if channel.funding and may_show_real else 0)
        if not scid:
            continue
        hop = RouteHintHop(
            slot.peer,
            scid,
            policy.fee_base_msat,
            policy.fee_proportional_millionths,
            policy.cltv_expiry_delta,
        )
        found.append((limits.receivable_msat(channel), hop))
    found.sort(key=lambda one: -one[0])
    return tuple([(hop,) for _, hop in found[:ROUTE_HINTS_MAX]])


def claim(core: NodeCore, set_id: str, preimage: str | None) -> bytes:
    """Claim a claimable payment; the claim's records are on their way when this returns."""
    secret = parse_hex(preimage, 32, "preimage", "wrong_preimage") if preimage else b""
    named = parse_hex(set_id, 32, "set_id", "unknown_claimable")
    return claiming.claim_payment(core.manager, named, secret)


# --- paying ------------------------------------------------------------------------------------------------------


def read_invoice(text: str) -> Bolt11Invoice:
    """Decode an invoice. Raises CommandRejected (`invalid_invoice`)."""
    cleaned = text.strip()
    if cleaned[:10].lower() == "lightning:":
        cleaned = cleaned[10:]
    try:
        return bolt11.decode(cleaned)
    except DecodeError as error:
        raise CommandRejected(f"this is no valid BOLT 11 invoice: {error}", code="invalid_invoice") from None


def invoice_payment(
    core: NodeCore,
    text: str,
    amount_msat: int | None,
    payment_id: str | None,
    fee_limit_msat: int | None,
    deadline_seconds: int | None,
    max_parts: int,
) -> tuple[PaymentStarted, PaymentTerms]:
    """Return the record of a payment of an invoice, and its terms; raises CommandRejected for what makes no sense."""
    invoice = read_invoice(text)
    manager = core.manager
    now = core.runtime.scheduler.now_seconds()
    if invoice.network is not manager.config.network:
        raise CommandRejected(
            f"this invoice is for {invoice.network.name}, this node is on {manager.config.network.name}",
            code="wrong_network",
        )
    if invoice.is_expired(now) and not _asked_before(core, payment_id, invoice.payment_hash):
        raise CommandRejected("this invoice has expired; ask for a new one", code="expired_invoice")
    if invoice.payee_node_id == manager.node_id:
        raise CommandRejected("this invoice is this node's own", code="own_invoice")
    if invoice.min_final_cltv_expiry_delta > manager.config.cltv_expiry_max_blocks:
        raise CommandRejected(
            f"this invoice wants {invoice.min_final_cltv_expiry_delta} blocks to claim; "
            f"more than {manager.config.cltv_expiry_max_blocks} are not risked",
            code="invalid_invoice",
        )
    if invoice.amount_msat is not None and amount_msat not in (None, invoice.amount_msat):
        raise CommandRejected("this invoice names its amount; leave amount_msat out", code="invalid_amount")
    amount = invoice.amount_msat if invoice.amount_msat is not None else amount_msat
    if amount is None:
        raise CommandRejected("this invoice names no amount; give amount_msat", code="invalid_amount")
    started = PaymentStarted(
        _payment_id(core, payment_id),
        invoice.payment_hash,
        check_amount(amount),
        _fee_limit(core, amount, fee_limit_msat),
        _parts(max_parts),
        now,
        now + _deadline(core, deadline_seconds),
        core.random32(),
        invoice.payee_node_id,
        text.strip().removeprefix("lightning:"),
        b"",
        [],
        [],
    )
    return started, invoice_terms(invoice)


def keysend_payment(
    core: NodeCore,
    node_id: str,
    amount_msat: int,
    custom_records: dict[int, str] | None,
    payment_id: str | None,
    fee_limit_msat: int | None,
    deadline_seconds: int | None,
) -> PaymentStarted:
    """Return the record of a spontaneous payment (bLIP 3)."""
    payee = parse_hex(node_id, 33, "node_id", "invalid_node_id")
    if not ec.is_valid_point(payee):
        raise CommandRejected("node_id is not a public key", code="invalid_node_id")
    if payee == core.manager.node_id:
        raise CommandRejected("this is the node's own id", code="invalid_node_id")
    records = [(int(kind), _record(kind, data)) for kind, data in sorted((custom_records or {}).items())]
    known = _known(core, payment_id)
    if known is not None and (known.payee, known.amount_msat, known.invoice, known.routes) == (
        payee,
        amount_msat,
        "",
        [],
    ):
        # Each call would draw a preimage, and so a hash, of its own; what has ended keeps no more than this.
        return known
    now = core.runtime.scheduler.now_seconds()
    preimage = core.random32()
    return PaymentStarted(
        _payment_id(core, payment_id),
        sha256(preimage),
        check_amount(amount_msat),
        _fee_limit(core, amount_msat, fee_limit_msat),
        1,
        now,
        now + _deadline(core, deadline_seconds),
        core.random32(),
        payee,
        "",
        preimage,
        records,
        [],
    )


def _record(kind: int, data: str) -> bytes:
    if kind < CUSTOM_TYPE_MIN or kind >= 1 << 64:
        raise CommandRejected(
            f"custom record {kind}: types are {CUSTOM_TYPE_MIN} and above", code="invalid_custom_record"
        )
    try:
        value = bytes.fromhex(data)
    except ValueError:
        raise CommandRejected(f"custom record {kind} is not hexadecimal", code="invalid_custom_record") from None
    if len(value) > 1000:
        raise CommandRejected(f"custom record {kind} has more than 1000 bytes", code="invalid_custom_record")
    return value


def route_payment(
    core: NodeCore,
    payment_hash: str,
    payment_secret: str,
    amount_msat: int,
    routes: list[RouteRequest],
    payment_id: str | None,
    deadline_seconds: int | None,
) -> PaymentStarted:
    """Return the record of a payment over given routes."""
    hashed = parse_hex(payment_hash, 32, "payment_hash", "invalid_payment_hash")
    known = _known(core, payment_id)
    if known is not None and known.payment_hash == hashed:
        return known  # asked again; its channels may be gone by now
    if not routes or len(routes) > PARTS_MAX:
        raise CommandRejected(f"give 1 to {PARTS_MAX} routes", code="invalid_route")
    secret = parse_hex(payment_secret, 32, "payment_secret", "invalid_payment_secret")
    fixed = [_route(core, index, route, secret) for index, route in enumerate(routes)]
    payees = dict.fromkeys([route.hops[-1].node_id for route in fixed])
    if len(payees) != 1:
        raise CommandRejected("the routes end at different nodes", code="invalid_route")
    delivered = sum([route.hops[-1].amount_msat for route in fixed])
    if delivered != amount_msat:
        raise CommandRejected(
            f"the routes deliver {delivered} msat in all, amount_msat is {amount_msat}", code="invalid_route"
        )
    now = core.runtime.scheduler.now_seconds()
    return PaymentStarted(
        _payment_id(core, payment_id),
        hashed,
        check_amount(amount_msat),
        sum([route.hops[0].amount_msat - route.hops[-1].amount_msat for route in fixed]),
        len(fixed),
        now,
        now + _deadline(core, deadline_seconds),
        core.random32(),
        fixed[0].hops[-1].node_id,
        "",
        b"",
        [],
        fixed,
    )


def _route(core: NodeCore, index: int, route: RouteRequest, secret: bytes) -> FixedRoute:
    what = f"route {index}"
    channel_id = parse_hex(route.channel_id, 32, f"{what}: channel_id", "invalid_route")
    slot = core.manager.channels.get(channel_id)
    if slot is None:
        raise CommandRejected(f"{what}: no channel has this channel_id", code="invalid_route")
    if not 1 <= len(route.hops) <= 20:
        raise CommandRejected(f"{what}: 1 to 20 hops", code="invalid_route")
    hops: list[FixedHop] = []
    for number, hop in enumerate(route.hops):
        node_id = parse_hex(hop.node_id, 33, f"{what}, hop {number}: node_id", "invalid_route")
        if not ec.is_valid_point(node_id):
            raise CommandRejected(f"{what}, hop {number}: node_id is not a public key", code="invalid_route")
        check_amount(hop.amount_msat)
        if not 1 <= hop.cltv_expiry < limits.CLTV_EXPIRY_LIMIT:
            raise CommandRejected(f"{what}, hop {number}: cltv_expiry is not a height", code="invalid_route")
        if hops and (hop.amount_msat > hops[-1].amount_msat or hop.cltv_expiry > hops[-1].cltv_expiry):
            raise CommandRejected(
                f"{what}, hop {number}: amount and expiry must not grow along the route", code="invalid_route"
            )
        hops.append(FixedHop(parse_scid(hop.short_channel_id), node_id, hop.amount_msat, hop.cltv_expiry))
    if hops[0].node_id != slot.peer:
        raise CommandRejected(f"{what}: the first hop must lead to the channel's peer", code="invalid_route")
    return FixedRoute(channel_id, hops, secret, 0)


def _payment_id(core: NodeCore, text: str | None) -> bytes:
    return core.random32() if text is None else parse_hex(text, 32, "payment_id", "invalid_payment_id")


def _known(core: NodeCore, payment_id: str | None) -> PaymentStarted | None:
    """Return the payment that the caller has named before: whoever got no answer asks again, in a later life too."""
    if payment_id is None:
        return None
    known = core.manager.node.ledger.payments.get(_payment_id(core, payment_id))
    return None if known is None else known.started


def _asked_before(core: NodeCore, payment_id: str | None, payment_hash: bytes) -> bool:
    known = _known(core, payment_id)
    return known is not None and known.payment_hash == payment_hash


def _fee_limit(core: NodeCore, amount_msat: int, given: int | None) -> int:
    if given is not None:
        if given < 0:
            raise CommandRejected("fee_limit_msat cannot be negative", code="invalid_fee_limit")
        if given > AMOUNT_MSAT_MAX:
            raise CommandRejected("fee_limit_msat is more than there is", code="invalid_fee_limit")
        return given
    payments = core.config.payments
    return max(payments.fee_limit_floor_msat, amount_msat * payments.fee_limit_percent // 100)


def _deadline(core: NodeCore, given: int | None) -> int:
    seconds = core.config.payments.deadline_seconds if given is None else given
    if not 1 <= seconds <= 86_400:
        raise CommandRejected("deadline_seconds: from 1 second to a day", code="invalid_deadline")
    return seconds


def _parts(count: int) -> int:
    if not 1 <= count <= PARTS_MAX:
        raise CommandRejected(f"max_parts: from 1 to {PARTS_MAX}", code="invalid_max_parts")
    return count


async def begin(core: NodeCore, started: PaymentStarted, terms: PaymentTerms | None) -> OutboundPayment:
    """Start a payment; return when its record is durable. The same payment again is found, never made twice."""
    known = core.manager.node.ledger.payments.get(started.payment_id)
    if known is not None:
        if known.started.payment_hash != started.payment_hash:
            raise CommandRejected("this payment_id names another payment", code="payment_id_in_use")
        await core.durable([core.manager.node_tail])
        return known
    await core.run_in_node(lambda manager: sending.start_payment(manager, started, terms))
    return core.manager.node.ledger.payments[started.payment_id]


async def read(core: NodeCore, view: Callable[[], ResultT]) -> ResultT:
    """Return what `view` says of payments, once it is durable: in `node`, and in the channels of what is held."""
    channels = core.manager.channels
    held = dict.fromkeys([channel_id for one in claiming.held(core.manager) for channel_id, _ in one.parts])
    tails = [channels[channel_id].tail for channel_id in held if channel_id in channels]
    return await core.read(view, [core.manager.node_tail, *tails])


def every(core: NodeCore) -> list[PaymentView]:
    """Return the payments in both directions, the oldest first."""
    manager = core.manager
    views = [describe.payment_view(one) for one in manager.node.ledger.payments.values()]
    views += [describe.received_view(one) for one in manager.node.received.values()]
    views += [describe.held_view(manager, one) for one in claiming.held(manager)]
    return sorted(views, key=lambda view: view.created_seconds)


def find(core: NodeCore, payment_id: str) -> PaymentView:
    """Return one payment, in either direction. Raises CommandRejected (`unknown_payment`)."""
    named = parse_hex(payment_id, 32, "payment_id", "unknown_payment")
    payment = core.manager.node.ledger.payments.get(named)
    if payment is not None:
        return describe.payment_view(payment)
    received = core.manager.node.received.get(named)
    if received is not None:
        return describe.received_view(received)
    for held in claiming.held(core.manager):
        if claiming.claim_id_of(held) == named:
            return describe.held_view(core.manager, held)
    raise CommandRejected("no payment has this payment_id", code="unknown_payment")


async def wait(core: NodeCore, payment_id: str, timeout_seconds: float) -> PaymentView:
    """Return the payment when it has ended, or as it is after the time."""
    view = find(core, payment_id)
    if view.status == "pending" and view.direction == "outbound":
        named = bytes.fromhex(payment_id)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        core.payment_waiters.setdefault(named, []).append(waiter)
        try:
            await asyncio.wait_for(waiter, timeout_seconds)
        except TimeoutError:
            pass
        finally:
            waiting = core.payment_waiters.get(named)
            if waiting is not None and waiter in waiting:
                waiting.remove(waiter)
    return await read(core, lambda: find(core, payment_id))
