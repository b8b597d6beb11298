"""Payments that must fail: each kind, at the payee and at the node in between, with the right name for the payer."""

from collections.abc import Awaitable
from typing import Final

from interop.cooperation import close_all
from interop.crafted import Payee, hop_to, invoice_of_nobody, our_two, pay_route
from interop.foreign import ForeignPayment, HtlcLimits, PeerRefused
from interop.scenario import check, scenario
from interop.standing import check_moved, standing
from interop.world import SAT, World
from leyden.demo.processes import DemoNode
from leyden.invoices.fields import RouteHintHop
from leyden.node.parse import parse_scid
from leyden.node.views import PaymentView, RouteHop

AMOUNT_MSAT: Final = 7_000_001
FEE_BASE_MSAT: Final = 1000
FEE_MILLIONTHS: Final = 100
CLTV_EXPIRY_DELTA: Final = 72
"""What both sides ask for forwarding in these worlds."""
FINAL_DELTA: Final = 60
SOON_BLOCKS: Final = 20
"""Less than the 42 blocks that our invoices ask for, and more than what payers think possible."""
UNKNOWN_DETAILS: Final = "incorrect_or_unknown_payment_details"
AWAY: Final = frozenset({"temporary_channel_failure", "unknown_next_peer", "channel_disabled"})
"""BOLT 4 lets a node choose what it says of a next node that is not there."""
NO_SUCH_SCID: Final = "1x1x1"
LARGE_SIDE_SAT: Final = 3_000_000
"""More than either side of the channel behind."""


# --- at the payee -----------------------------------------------------------------------------------------------------


@scenario(3, "fails at the peer: unknown hash, wrong secret, amount too small, expiry too soon")
async def at_the_peer(world: World) -> None:
    """All look the same to us: an unknown payment."""
    pair = await world.channel()
    before = await standing(world)
    channel = await world.our_channel(pair.us, pair.funding_outpoint)
    assert channel is not None
    height = await world.height()

    async def pay(what: str, payee: Payee, amount_msat: int = AMOUNT_MSAT, delta: int = FINAL_DELTA) -> None:
        hop = hop_to(channel, channel.node_id, amount_msat, height + delta)
        _check_ours(what, await pay_route(world.us, channel, [hop], payee), UNKNOWN_DETAILS, 0)

    known = Payee.of(await world.peer.create_invoice(AMOUNT_MSAT, "not like this"))
    await pay("unknown hash", Payee.nobody())
    await pay("wrong secret", Payee(known.payment_hash, Payee.nobody().payment_secret))
    await pay("amount too small", known, amount_msat=AMOUNT_MSAT - 1)
    await pay("expiry too soon", known, delta=3)
    await check_moved(world, before, 0)


@scenario(3, "fails at us: unknown hash, wrong secret, amount too small or more than twice, expiry too soon")
async def at_us(world: World) -> None:
    """All look the same to the peer: an unknown payment."""
    await world.channel()
    before = await standing(world)
    pay = world.peer.pay_unknown_hash

    async def check_pay(what: str, payment: Awaitable[str]) -> None:
        _check_theirs(what, await world.their_payment(world.peer, await payment), UNKNOWN_DETAILS, 1)

    us = world.us.node_id
    invoices = [await world.us.api.create_invoice(AMOUNT_MSAT, "not like this") for _ in range(4)]
    wrong, small, large, soon = [Payee.of(one.invoice) for one in invoices]
    await check_pay("unknown hash", pay(us, AMOUNT_MSAT, Payee.nobody().payment_hash))
    await check_pay("wrong secret", pay(us, AMOUNT_MSAT, wrong.payment_hash))
    await check_pay(
        "amount too small", pay(us, AMOUNT_MSAT - 1, small.payment_hash, payment_secret=small.payment_secret)
    )
    await check_pay(
        "more than twice", pay(us, 2 * AMOUNT_MSAT + 1, large.payment_hash, payment_secret=large.payment_secret)
    )
    soon_payment = pay(
        us,
        AMOUNT_MSAT,
        soon.payment_hash,
        payment_secret=soon.payment_secret,
        final_cltv_expiry_delta=SOON_BLOCKS,
    )
    payment = await world.their_payment(world.peer, await soon_payment)
    if payment.status == "succeeded":
        # LDK puts blocks of its own on top, so that nobody sees from an expiry how far the payee is.
        world.note("expiry too soon: not tried, the payer adds blocks of its own")
    else:
        _check_theirs("expiry too soon", payment, UNKNOWN_DETAILS, 1)
    await check_moved(world, before, AMOUNT_MSAT if payment.status == "succeeded" else 0)


@scenario(3, "more than the payer has: it fails at the payer itself, no HTLC is sent")
async def nothing_to_pay_with(world: World) -> None:
    """Whoever cannot pay says so."""
    await world.channel()
    before = await standing(world)
    peer_id = (await world.peer.info()).node_id
    channels = [one for one in await world.us.api.channels() if one.node_id == peer_id]
    too_much_msat = sum(one.capacity_sat for one in channels) * SAT
    ours = await world.our_payment(world.us, await world.peer.create_invoice(too_much_msat, "all of it"))
    check(ours.status == "failed" and ours.reason == "insufficient_balance", f"ours: {ours.status}, {ours.reason}")
    invoice = (await world.us.api.create_invoice(too_much_msat, "all of it")).invoice
    try:
        payment_hash = await world.peer.pay(invoice, None, HtlcLimits(timeout_seconds=5))
    except PeerRefused as refused:
        world.note(f"the peer: {refused}")
    else:
        theirs = await world.their_payment(world.peer, payment_hash)
        check(theirs.status == "failed" and not theirs.failure_hop, f"the peer's: {theirs}")
        world.note(f"the peer: {theirs.failure}")
    await check_moved(world, before, 0)


# --- at the node in between -------------------------------------------------------------------------------------------


@scenario(3, "fails at the peer in between: next node unknown, fee, CLTV delta, expiry too soon, no liquidity, away")
async def at_the_peer_in_between(world: World) -> None:
    """Each has its own name, and we learn that it was the first hop."""
    us2 = await world.second_us()
    first = await world.channel(LARGE_SIDE_SAT)
    second = await world.channel(us=us2)
    before, before2 = await standing(world), await standing(world, us2)
    channel = await world.our_channel(first.us, first.funding_outpoint)
    onward = await world.our_channel(us2, second.funding_outpoint)
    assert channel is not None
    assert onward is not None
    known = await _scid_for(us2, channel.node_id)

    async def pay(
        scid: str = known, amount_msat: int = AMOUNT_MSAT, fee_msat: int = 0, delta: int = 0, final: int = 0
    ) -> PaymentView:
        expiry = await world.height() + FINAL_DELTA + final
        last = RouteHop(scid, us2.node_id, amount_msat, expiry)
        fee_msat += FEE_BASE_MSAT + amount_msat * FEE_MILLIONTHS // 1_000_000
        to_peer = hop_to(channel, channel.node_id, amount_msat + fee_msat, expiry + CLTV_EXPIRY_DELTA + delta)
        return await pay_route(world.us, channel, [to_peer, last], Payee.nobody())

    _check_ours("all is right", await pay(), UNKNOWN_DETAILS, 1)
    _check_ours("next node unknown", await pay(scid=NO_SUCH_SCID), "unknown_next_peer", 0)
    _check_ours("fee 1 msat too small", await pay(fee_msat=-1), "fee_insufficient", 0)
    _check_ours("delta 1 block too small", await pay(delta=-1), "incorrect_cltv_expiry", 0)
    _check_ours("expiry too soon", await pay(final=2 - FINAL_DELTA), "expiry_too_soon", 0)
    too_much_msat = onward.receivable_msat + 1
    _check_ours("no liquidity", await pay(amount_msat=too_much_msat), "temporary_channel_failure", 0)
    await us2.api.disconnect((await world.peer.info()).node_id)
    await world.until(lambda: _is_gone(world, us2), "the peer has seen our second node go")
    away = await pay()
    check(away.failure_name in AWAY and away.failing_hop == 0, f"next node away: {away.failure_name}: {away}")
    world.note(f"the next node is away: {away.failure_name}")
    await world.connect(us2, world.peer)
    await check_moved(world, before, 0)
    await check_moved(world, before2, 0)


@scenario(3, "too small for the channel behind the peer: we learn it, and that it was the first hop")
async def too_small_behind_the_peer(world: World) -> None:
    """The limit is one that our own node behind the peer has set when the channel was opened."""
    first = await world.channel()
    us2 = await world.second_us()
    await close_all(world, us2)
    await world.reconfigure(us2, f"[channels]\nhtlc_minimum_msat = {AMOUNT_MSAT}\n")
    await world.open(by_us=False, push_msat=LARGE_SIDE_SAT // 2 * SAT, us=us2)
    before, before2 = await standing(world), await standing(world, us2)
    channel = await world.our_channel(first.us, first.funding_outpoint)
    assert channel is not None
    scid = await _scid_for(us2, channel.node_id)

    async def pay(amount_msat: int) -> PaymentView:
        expiry = await world.height() + FINAL_DELTA
        last = RouteHop(scid, us2.node_id, amount_msat, expiry)
        fee_msat = FEE_BASE_MSAT + amount_msat * FEE_MILLIONTHS // 1_000_000
        to_peer = hop_to(channel, channel.node_id, amount_msat + fee_msat, expiry + CLTV_EXPIRY_DELTA)
        return await pay_route(world.us, channel, [to_peer, last], Payee.nobody())

    _check_ours("large enough", await pay(AMOUNT_MSAT), UNKNOWN_DETAILS, 1)
    _check_ours("too small", await pay(AMOUNT_MSAT - 1), "amount_below_minimum", 0)
    await check_moved(world, before, 0)
    await check_moved(world, before2, 0)
    await close_all(world, us2)
    await world.reconfigure(us2, "")


@scenario(
    3,
    "fails at us in between: next node unknown, fee, CLTV delta, too small, disabled, no liquidity, away, onion of "
    "another",
)
async def at_us_in_between(world: World) -> None:
    """Each has its own name, and the peer learns that it was the first hop."""
    await world.channel(LARGE_SIDE_SAT)
    us2 = await world.second_us()
    onward = await our_two(world)
    before = await standing(world)

    async def pay(
        scid: str | None = None, amount_msat: int = AMOUNT_MSAT, fee_msat: int = FEE_BASE_MSAT, delta: int = 0
    ) -> ForeignPayment:
        hint = RouteHintHop(
            bytes.fromhex(world.us.node_id),
            parse_scid(scid or onward.short_channel_id or ""),
            fee_msat,
            FEE_MILLIONTHS,
            CLTV_EXPIRY_DELTA + delta,
        )
        limits = HtlcLimits(max_parts=1, timeout_seconds=10)
        payment_hash = await world.peer.pay(invoice_of_nobody(hint, amount_msat), None, limits)
        return await world.their_payment(world.peer, payment_hash)

    _check_theirs("next node unknown", await pay(scid=NO_SUCH_SCID), "unknown_next_peer", 1)
    _check_theirs("fee 1 msat too small", await pay(fee_msat=FEE_BASE_MSAT - 1), "fee_insufficient", 1)
    _check_theirs("delta 1 block too small", await pay(delta=-1), "incorrect_cltv_expiry", 1)
    _check_theirs("no liquidity", await pay(amount_msat=onward.spendable_msat + 1), "temporary_channel_failure", 1)
    _check_theirs("the onion is for another", await pay(), "invalid_onion_hmac", 1)
    await world.us.api.set_policy(onward.channel_id, htlc_minimum_msat=AMOUNT_MSAT + 1)
    _check_theirs("too small for us", await pay(), "amount_below_minimum", 1)
    await world.us.api.set_policy(onward.channel_id, htlc_minimum_msat=1)
    await world.us.api.set_policy(onward.channel_id, is_disabled=True)
    _check_theirs("disabled", await pay(), "channel_disabled", 1)
    await world.us.api.set_policy(onward.channel_id, is_disabled=False)
    await us2.child.kill()
    _check_theirs("next node away", await pay(), "temporary_channel_failure", 1)
    await us2.start()
    await our_two(world)
    await check_moved(world, before, 0)


# --- what they share --------------------------------------------------------------------------------------------------


def _check_ours(what: str, payment: PaymentView, name: str, hop: int) -> None:
    said = (payment.status, payment.failure_name, payment.failing_hop)
    check(said == ("failed", name, hop), f"{what}: we learn {said}, not {name} of hop {hop}: {payment}")


def _check_theirs(what: str, payment: ForeignPayment, name: str, hop: int) -> None:
    """A payer that learns our policy from a failure tries again, and meets the next one."""
    check(payment.status == "failed", f"{what}: the peer has paid: {payment}")
    check(name in (*payment.earlier_failures, payment.failure), f"{what}: the peer learns {payment}, not {name}")
    check(payment.failure_hop in (hop, None), f"{what}: the peer says that hop {payment.failure_hop} failed it")


async def _scid_for(us: DemoNode, node_id: str) -> str:
    """Return how a node of ours lets others name its channel with this peer, which may not be its true name."""
    invoice = await us.api.create_invoice(AMOUNT_MSAT, "only for its hints")
    hints = (await us.api.decode_invoice(invoice.invoice)).route_hints
    return next(hint[0].short_channel_id for hint in hints if hint[0].node_id == node_id)


async def _is_gone(world: World, us: DemoNode) -> bool:
    return us.node_id not in await world.peer.peers()
