"""Invoices, keysend, parts, many at once, and payments that wait for their payee: by us and by the peer."""

import asyncio
import time
from typing import Final, cast

from interop.cooperation import close_all, close_together
from interop.foreign import ForeignPayment, HtlcLimits, PeerRefused
from interop.holding import cancel, check_ended, hold, settle
from interop.scenario import check, scenario
from interop.standing import check_moved, standing
from interop.world import SAT, WAIT_SECONDS, Pair, World
from leyden.base.errors import CommandRejected
from leyden.invoices import bolt11
from leyden.node.views import ChannelView, EventView, PaymentView, RouteHop, RouteRequest

AMOUNT_MSAT: Final = 12_345_678
OTHER_AMOUNT_MSAT: Final = 9_999_999
LONG_DESCRIPTION: Final = "Zweiundvierzig Brötchen, 🥐 und ein »Kännchen« Kaffee. " * 10
"""Nearly all that an invoice bears: 639 bytes."""
CUSTOM_RECORDS: Final = {65_537: b"\x00\x01", 696_969: "für Sie".encode(), 5_482_373_485: b"x" * 300}
CONCURRENT: Final = 200
CONCURRENT_MSAT: Final = 5_000_000
SMALL_CHANNEL_SAT: Final = 400_000
FINAL_CLTV_EXPIRY_DELTA: Final = 80
UNKNOWN_DETAILS: Final = "incorrect_or_unknown_payment_details"
HELD_MSAT: Final = 20_000_001


# --- BOLT 11 ----------------------------------------------------------------------------------------------------------


@scenario(3, "BOLT 11 of the peer's: we read and pay it; a long description")
async def invoice_of_peer(world: World) -> None:
    """What the invoice says is what was asked for, and exactly that is paid, without a fee."""
    await world.channel()
    before = await standing(world)
    invoice = await world.peer.create_invoice(AMOUNT_MSAT, LONG_DESCRIPTION)
    decoded = await world.us.api.decode_invoice(invoice)
    check(decoded.amount_msat == AMOUNT_MSAT, f"the invoice asks for {decoded.amount_msat} msat, not {AMOUNT_MSAT}")
    check(decoded.description == LONG_DESCRIPTION, f"its description is {decoded.description!r}")
    check(decoded.payee == (await world.peer.info()).node_id, f"its payee is {decoded.payee}")
    payment = await world.our_payment(world.us, invoice)
    _check_ours(payment, AMOUNT_MSAT)
    received = await world.peer.received_msat(payment.payment_hash)
    check(received == AMOUNT_MSAT, f"the peer has received {received} msat")
    await check_moved(world, before, -AMOUNT_MSAT)


@scenario(3, "BOLT 11 of ours: the peer reads and pays it; a long description")
async def invoice_of_ours(world: World) -> None:
    """Exactly what was asked for is paid, without a fee."""
    await world.channel()
    before = await standing(world)
    invoice = await world.us.api.create_invoice(AMOUNT_MSAT, LONG_DESCRIPTION)
    payment = await world.their_payment(world.peer, await world.peer.pay(invoice.invoice))
    _check_theirs(payment, AMOUNT_MSAT)
    received = await world.received_msat(world.us, payment.payment_hash)
    check(received == AMOUNT_MSAT, f"we have received {received} msat")
    await check_moved(world, before, AMOUNT_MSAT)


@scenario(3, "an invoice of the peer's without an amount: we choose it")
async def invoice_of_peer_without_amount(world: World) -> None:
    """Without an amount from us it is not paid."""
    await world.channel()
    before = await standing(world)
    invoice = await world.peer.create_invoice(None, "what you like")
    check((await world.us.api.decode_invoice(invoice)).amount_msat is None, "it names an amount")
    try:
        await world.us.api.pay(invoice)
    except CommandRejected as error:
        check(error.code == "invalid_amount", f"it is refused with {error.code}")
    else:
        check(False, "it is paid without an amount")
    payment = await world.our_payment(world.us, invoice, OTHER_AMOUNT_MSAT)
    _check_ours(payment, OTHER_AMOUNT_MSAT)
    received = await world.peer.received_msat(payment.payment_hash)
    check(received == OTHER_AMOUNT_MSAT, f"the peer has received {received} msat")
    await check_moved(world, before, -OTHER_AMOUNT_MSAT)


@scenario(3, "an invoice of ours without an amount: the peer chooses it")
async def invoice_of_ours_without_amount(world: World) -> None:
    """We take what comes."""
    await world.channel()
    before = await standing(world)
    invoice = await world.us.api.create_invoice(None, "")
    payment_hash = await world.peer.pay(invoice.invoice, OTHER_AMOUNT_MSAT)
    _check_theirs(await world.their_payment(world.peer, payment_hash), OTHER_AMOUNT_MSAT)
    received = await world.received_msat(world.us, payment_hash)
    check(received == OTHER_AMOUNT_MSAT, f"we have received {received} msat")
    await check_moved(world, before, OTHER_AMOUNT_MSAT)


@scenario(3, "an expired invoice: neither side pays it")
async def expired_invoices(world: World) -> None:
    """Whoever pays says so at once, and no HTLC is sent."""
    await world.channel()
    before = await standing(world)
    theirs = await world.peer.create_invoice(AMOUNT_MSAT, "quick", expiry_seconds=1)
    ours = (await world.us.api.create_invoice(AMOUNT_MSAT, "quick", 1)).invoice
    for invoice in (theirs, ours):
        await _until_expired(world, invoice)
    try:
        await world.us.api.pay(theirs)
    except CommandRejected as error:
        check(error.code == "expired_invoice", f"we refuse it with {error.code}: {error}")
    else:
        check(False, "we pay an expired invoice")
    try:
        ended = await world.their_payment(world.peer, await world.peer.pay(ours))
    except PeerRefused as error:
        check("expire" in str(error).lower(), f"the peer does not say that it has expired: {error}")
    else:
        check(ended.status == "failed", f"the peer has paid an expired invoice: {ended}")
    await check_moved(world, before, 0)


async def _until_expired(world: World, invoice: str) -> None:
    decoded = bolt11.decode(invoice)

    async def expired() -> bool:
        return decoded.is_expired(int(time.time()))

    await world.until(expired, "the invoice has expired")


# --- keysend ----------------------------------------------------------------------------------------------------------


@scenario(3, "keysend to the peer, with custom records")
async def keysend_to_peer(world: World) -> None:
    """The records arrive as they were."""
    await world.channel()
    before = await standing(world)
    records = {kind: value.hex() for kind, value in CUSTOM_RECORDS.items()}
    begun = await world.us.api.keysend((await world.peer.info()).node_id, AMOUNT_MSAT, records)
    payment = await world.us.api.wait_payment(begun.payment_id, int(WAIT_SECONDS))
    _check_ours(payment, AMOUNT_MSAT)
    received = await world.peer.received_msat(payment.payment_hash)
    check(received == AMOUNT_MSAT, f"the peer has received {received} msat")
    found = dict(await world.peer.received_records(payment.payment_hash))
    check(found == CUSTOM_RECORDS, f"the peer has the records {found}")
    await check_moved(world, before, -AMOUNT_MSAT)


@scenario(3, "keysend to us, with custom records")
async def keysend_to_us(world: World) -> None:
    """The records arrive as they were."""
    await world.channel()
    before = await standing(world)
    payment_hash = await world.peer.keysend(world.us.node_id, AMOUNT_MSAT, CUSTOM_RECORDS)
    _check_theirs(await world.their_payment(world.peer, payment_hash), AMOUNT_MSAT)
    received = await world.received_msat(world.us, payment_hash)
    check(received == AMOUNT_MSAT, f"we have received {received} msat")
    shown = cast("dict[str, str]", (await claimed_event(world, payment_hash)).fields["custom_records"])
    found = {int(kind): bytes.fromhex(value) for kind, value in shown.items()}
    check(found == CUSTOM_RECORDS, f"we have the records {found}")
    await check_moved(world, before, AMOUNT_MSAT)


# --- from the smallest to the largest ---------------------------------------------------------------------------------


@scenario(3, "1 sat each way, and 1 msat to the peer")
async def one_satoshi(world: World) -> None:
    """Dust is paid like anything else."""
    await world.channel()
    before = await standing(world)
    await world.pay_peer(SAT)
    await world.peer_pays(SAT)
    await world.pay_peer(1)
    await check_moved(world, before, -1)


@scenario(3, "all that a channel can carry, to the millisatoshi, each way; one more fails")
async def channel_limit(world: World) -> None:
    """What we say of a channel of ours is what it bears, in both directions."""
    us = await world.second_us()
    await close_all(world, us)  # so that nobody pays through another channel
    pair = await world.open(amount_sat=SMALL_CHANNEL_SAT, push_msat=SMALL_CHANNEL_SAT // 2 * SAT, us=us)
    before = await standing(world, us)
    channel = await world.our_channel(pair.us, pair.funding_outpoint)
    assert channel is not None
    limit_msat = channel.spendable_msat
    reserve_msat = channel.local_reserve_sat * SAT
    check(0 < limit_msat < channel.local_msat - reserve_msat, f"as opener we keep more than our reserve: {channel}")
    refused = await _pay_through(world, pair, limit_msat + 1)
    check(refused.status == "failed", f"{limit_msat + 1} msat went through, {limit_msat} were said to be the most")
    check(refused.failing_hop is None, f"hop {refused.failing_hop} refused what we were not to send")
    _check_ours(await _pay_through(world, pair, limit_msat), limit_msat)
    await check_moved(world, before, -limit_msat)
    channel = await world.our_channel(pair.us, pair.funding_outpoint)
    assert channel is not None
    most_msat = channel.remote_msat - channel.remote_reserve_sat * SAT
    check(channel.receivable_msat == most_msat, f"we are to receive at most {most_msat}, it says {channel}")
    failed = await _peer_pays_through(world, pair, most_msat + 1)
    check(failed.status == "failed", f"the peer has sent {most_msat + 1} msat, which leaves less than its reserve")
    _check_theirs(await _peer_pays_through(world, pair, most_msat), most_msat)
    await check_moved(world, before, most_msat - limit_msat)
    await close_together(world, pair, by_us=True)


# --- many parts, many payments ----------------------------------------------------------------------------------------


@scenario(3, "more than one channel can carry, in parts over two, each way")
async def parts_over_two_channels(world: World) -> None:
    """Neither side could pay it with one HTLC."""
    first = await world.channel()
    second = await world.open(amount_sat=2_000_000, push_msat=1_000_000_000)
    before = await standing(world)
    spendable = [one.spendable_msat for one in await _usable(world)]
    amount_msat = max(spendable) + 1_000_001
    check(amount_msat < sum(spendable), f"two channels are too small for this: {spendable}")
    invoice = await world.peer.create_invoice(amount_msat, "in parts")
    payment = await world.our_payment(world.us, invoice)
    _check_ours(payment, amount_msat)
    received = await world.peer.received_msat(payment.payment_hash)
    check(received == amount_msat, f"the peer has received {received} msat")
    await check_moved(world, before, -amount_msat)
    receivable = [one.receivable_msat for one in await _usable(world)]
    back_msat = max(receivable) + 1_000_001
    ours = await world.us.api.create_invoice(back_msat, "in parts")
    theirs = await world.their_payment(world.peer, await world.peer.pay(ours.invoice))
    _check_theirs(theirs, back_msat)
    claimed = (await claimed_event(world, theirs.payment_hash)).fields
    check(claimed["amount_msat"] == back_msat, f"we have received {claimed['amount_msat']} msat of {back_msat}")
    check(claimed["parts"] != 1, f"{back_msat} msat came in one part")
    await check_moved(world, before, back_msat - amount_msat)
    check(first.funding_outpoint != second.funding_outpoint, "the two channels are one")
    await close_together(world, second, by_us=True)


@scenario(3, f"{CONCURRENT} payments each way at once", seconds_max=120)
async def many_at_once(world: World) -> None:
    """All arrive, none twice."""
    await world.channel(2_000_000)
    before = await standing(world)
    ours = [CONCURRENT_MSAT + number for number in range(CONCURRENT)]
    theirs = [CONCURRENT_MSAT * 2 + number for number in range(CONCURRENT)]
    to_peer, to_us = await asyncio.gather(
        asyncio.gather(*[world.peer.create_invoice(amount, "many") for amount in ours]),
        asyncio.gather(*[world.us.api.create_invoice(amount, "many") for amount in theirs]),
    )
    begun = time.monotonic()
    paid, bulk = await asyncio.gather(
        asyncio.gather(*[world.our_payment(world.us, invoice) for invoice in to_peer]),
        world.peer.pay_all([one.invoice for one in to_us], CONCURRENT),
    )
    seconds = time.monotonic() - begun
    failed = [one for one in paid if one.status != "succeeded"]
    check(not failed, f"{len(failed)} of our {CONCURRENT} payments failed, the first with {failed[:1]}")
    check(bulk.failed == 0, f"{bulk.failed} of the peer's {CONCURRENT} payments failed")
    await check_moved(world, before, sum(theirs) - sum(ours))
    world.note(f"{seconds:.1f} s")


# --- payments that wait -----------------------------------------------------------------------------------------------


@scenario(3, "a payment that the peer holds, then settles")
async def held_by_peer_settled(world: World) -> None:
    """It is ours to wait; the proof comes with the settlement."""
    await _held(world, by_us=True, paid=True)


@scenario(3, "a payment that the peer holds, then cancels")
async def held_by_peer_cancelled(world: World) -> None:
    """It comes back, and we learn that the payee did it."""
    await _held(world, by_us=True, paid=False)


@scenario(3, "a payment that we hold, then settle")
async def held_by_us_settled(world: World) -> None:
    """It is the peer's to wait; the proof comes with the settlement."""
    await _held(world, by_us=False, paid=True)


@scenario(3, "a payment that we hold, then cancel")
async def held_by_us_cancelled(world: World) -> None:
    """It goes back, and the peer learns that the payee did it."""
    await _held(world, by_us=False, paid=False)


async def _held(world: World, *, by_us: bool, paid: bool) -> None:
    pair = await world.channel()
    before = await standing(world)
    held = await hold(world, pair, by_us=by_us, amount_msat=HELD_MSAT)
    waiting = [one.htlcs_outbound if by_us else one.htlcs_inbound for one in await _usable(world)]
    check(sum(waiting) == 1, f"the payment waits in {sum(waiting)} HTLCs")
    await (settle(held) if paid else cancel(held))
    await check_ended(world, held, paid=paid)
    if not paid and by_us:
        payment = await world.us.api.payment(held.payment_id)
        failure = (payment.failure_name, payment.failing_hop)
        check(failure == (UNKNOWN_DETAILS, 0), f"we learn {failure} of a payment that the peer gave back")
    elif not paid:
        theirs = await world.peer.payment(held.payment_hash)
        check(theirs.failure == UNKNOWN_DETAILS, f"the peer learns {theirs.failure} of a payment that we gave back")
        check(theirs.failure_hop in (1, None), f"the peer says that hop {theirs.failure_hop} gave it back")
    gain_msat = -HELD_MSAT if by_us else HELD_MSAT
    await check_moved(world, before, gain_msat if paid else 0)


# --- what they share --------------------------------------------------------------------------------------------------


def _check_ours(payment: PaymentView, amount_msat: int) -> None:
    said = (payment.status, payment.amount_msat, payment.fee_msat)
    check(said == ("succeeded", amount_msat, 0), f"we say of our payment of {amount_msat} msat: {said}, {payment}")


def _check_theirs(payment: ForeignPayment, amount_msat: int) -> None:
    said = (payment.status, payment.amount_msat, payment.fee_msat)
    check(said == ("succeeded", amount_msat, 0), f"the peer says of its {amount_msat} msat: {said}, {payment}")


async def claimed_event(world: World, payment_hash: str) -> EventView:
    """Return the one event that says that a payment is ours."""
    claimed = [one for one in await world.us.api.events() if one.type == "payment_claimed"]
    (event,) = [one for one in claimed if one.fields["payment_hash"] == payment_hash]
    return event


async def _usable(world: World) -> list[ChannelView]:
    node_id = (await world.peer.info()).node_id
    return [one for one in await world.us.api.channels() if one.node_id == node_id and one.is_usable]


async def _pay_through(world: World, pair: Pair, amount_msat: int) -> PaymentView:
    """Pay an invoice of the peer through one channel of ours."""
    invoice = bolt11.decode(await world.peer.create_invoice(amount_msat, "through this one"))
    channel = await world.our_channel(pair.us, pair.funding_outpoint)
    assert channel is not None
    hop = RouteHop(
        short_channel_id=channel.alias or channel.short_channel_id or "",
        node_id=channel.node_id,
        amount_msat=amount_msat,
        cltv_expiry=await world.height() + FINAL_CLTV_EXPIRY_DELTA,
    )
    begun = await pair.us.api.send_to_route(
        invoice.payment_hash.hex(),
        invoice.payment_secret.hex(),
        amount_msat,
        [RouteRequest(channel.channel_id, [hop])],
    )
    return await pair.us.api.wait_payment(begun.payment_id, int(WAIT_SECONDS))


async def _peer_pays_through(world: World, pair: Pair, amount_msat: int) -> ForeignPayment:
    """Let the peer pay an invoice of ours with one HTLC."""
    invoice = await pair.us.api.create_invoice(amount_msat, "through this one")
    limits = HtlcLimits(max_parts=1, outgoing_channels=(pair.funding_outpoint,), timeout_seconds=5)
    return await world.their_payment(pair.peer, await pair.peer.pay(invoice.invoice, None, limits))
