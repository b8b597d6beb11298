"""Payments through us and through the peer, with fees and expiries to the millisatoshi and the block."""

import hashlib
import secrets
from typing import Final

import msgspec

from interop.foreign import ForeignHtlc, ForeignNode, NotOffered
from interop.scenario import check, scenario
from interop.standing import Standing, check_moved, standing
from interop.world import World
from leyden.demo.processes import DemoNode
from leyden.invoices import bolt11
from leyden.node.views import PaymentView

AMOUNT_MSAT: Final = 33_333_333
FEE_BASE_MSAT: Final = 1_234
FEE_MILLIONTHS: Final = 5_678
FEE_MSAT: Final = FEE_BASE_MSAT + AMOUNT_MSAT * FEE_MILLIONTHS // 1_000_000
CLTV_EXPIRY_DELTA: Final = 81
UNKNOWN_DETAILS: Final = "incorrect_or_unknown_payment_details"
OWN_MARGIN_BLOCKS: Final = 1
"""What we add to the expiry that an invoice asks for."""


# --- through the peer -------------------------------------------------------------------------------------------------


@scenario(4, "us -> peer -> us: fee and expiries are those that the peer asks for", alone=True)
async def through_the_peer(world: World) -> None:
    """The invoice names what the peer has told its payee of its policy, and exactly that is paid."""
    way = await _us_peer_us(world)
    held = await _hold_at_us(world, way.us2)
    expected = await world.height() + held.final_delta + OWN_MARGIN_BLOCKS
    await _check_htlcs(world, held, expected)
    await way.us2.api.claim_payment(await _set_id(way.us2, held.payment_hash), held.preimage)
    payment = await world.us.api.wait_payment(held.payment_id)
    check(payment.status == "succeeded" and payment.preimage == held.preimage, f"it ended as {payment}")
    check(payment.fee_msat == FEE_MSAT, f"we say that it cost {payment.fee_msat} msat, the peer asks for {FEE_MSAT}")
    await check_moved(world, way.before, -AMOUNT_MSAT - FEE_MSAT)
    await check_moved(world, way.before2, AMOUNT_MSAT)


@scenario(4, "us -> peer -> us, given back by the payee: we learn that it was the second hop")
async def failure_through_the_peer(world: World) -> None:
    """The peer cannot read it, and cannot change it."""
    way = await _us_peer_us(world)
    held = await _hold_at_us(world, way.us2)
    await way.us2.api.fail_payment(await _set_id(way.us2, held.payment_hash))
    payment = await world.us.api.wait_payment(held.payment_id)
    said = (payment.status, payment.failure_name, payment.failing_hop)
    check(said == ("failed", UNKNOWN_DETAILS, 1), f"we learn {said}: {payment}")
    await check_moved(world, way.before, 0)
    await check_moved(world, way.before2, 0)


# --- through us -------------------------------------------------------------------------------------------------------


@scenario(4, "peer -> us -> another of its kind: fee and expiries are those that we ask for", seconds_max=90)
async def through_us(world: World) -> None:
    """The payee's invoice names what we told it, exactly that is paid, and it is ours."""
    await _forward(world, world.peer, await _second_of_its_kind(world))


@scenario(4, "peer -> us -> another of its kind, given back by the payee: the payer learns that it was the second hop")
async def failure_through_us(world: World) -> None:
    """We cannot read it, and do not change it."""
    await _fail_through_us(world, world.peer, await _second_of_its_kind(world))


@scenario(4, "peer -> us -> the third kind of node: fee and expiries are those that we ask for", seconds_max=90)
async def to_the_third_kind(world: World) -> None:
    """LND and LDK pay each other through us."""
    await _forward(world, world.peer, await _third_kind(world))


@scenario(4, "the third kind of node -> us -> peer: fee and expiries are those that we ask for", seconds_max=90)
async def from_the_third_kind(world: World) -> None:
    """LND and LDK pay each other through us."""
    await _forward(world, await _third_kind(world), world.peer)


@scenario(4, "peer -> us -> the third kind of node, given back by the payee: the payer learns where", seconds_max=90)
async def failure_to_the_third_kind(world: World) -> None:
    """We cannot read it, and do not change it."""
    await _fail_through_us(world, world.peer, await _third_kind(world))


@scenario(4, "the third kind of node -> us -> peer, given back by the payee: the payer learns where", seconds_max=90)
async def failure_from_the_third_kind(world: World) -> None:
    """We cannot read it, and do not change it."""
    await _fail_through_us(world, await _third_kind(world), world.peer)


# --- what they share --------------------------------------------------------------------------------------------------


class UsPeerUs(msgspec.Struct, frozen=True):
    """Our two nodes with the peer between them, which asks for what is checked."""

    us2: DemoNode
    before: Standing
    before2: Standing


class HeldOnTheWay(msgspec.Struct, frozen=True):
    """A payment that its payee holds. payment_id: ours, else empty. final_delta: what the invoice asks for."""

    preimage: str
    payment_hash: str
    payment_id: str
    final_delta: int


async def _us_peer_us(world: World) -> UsPeerUs:
    us2 = await world.second_us()
    await world.channel()
    second = await world.channel(us=us2)
    await world.peer.set_forwarding(second.funding_outpoint, FEE_BASE_MSAT, FEE_MILLIONTHS, CLTV_EXPIRY_DELTA)
    node_id = (await world.peer.info()).node_id

    async def known() -> bool:
        invoice = await us2.api.create_invoice(AMOUNT_MSAT, "only for its hints")
        return _hint_is_right(invoice.invoice, node_id)

    await world.until(known, "our second node's invoices name the peer's new policy")
    return UsPeerUs(us2, await standing(world), await standing(world, us2))


def _hint_is_right(invoice: str, node_id: str) -> bool:
    found = [
        (hop.fee_base_msat, hop.fee_proportional_millionths, hop.cltv_expiry_delta)
        for (hop,) in bolt11.decode(invoice).route_hints
        if hop.node_id.hex() == node_id
    ]
    return bool(found) and all(one == (FEE_BASE_MSAT, FEE_MILLIONTHS, CLTV_EXPIRY_DELTA) for one in found)


async def _hold_at_us(world: World, payee: DemoNode) -> HeldOnTheWay:
    preimage = secrets.token_bytes(32)
    payment_hash = hashlib.sha256(preimage).hexdigest()
    invoice = (await payee.api.create_invoice(AMOUNT_MSAT, "held", payment_hash=payment_hash)).invoice
    payment = await world.us.api.pay(invoice)
    held = HeldOnTheWay(
        preimage.hex(), payment_hash, payment.payment_id, bolt11.decode(invoice).min_final_cltv_expiry_delta
    )

    async def is_there() -> bool:
        return await _claimable(payee, payment_hash) is not None

    await world.until(is_there, "the payee holds the payment")
    return held


async def _claimable(us: DemoNode, payment_hash: str) -> PaymentView | None:
    payments = await us.api.payments()
    return next((one for one in payments if one.payment_hash == payment_hash and one.status == "claimable"), None)


async def _set_id(us: DemoNode, payment_hash: str) -> str:
    payment = await _claimable(us, payment_hash)
    assert payment is not None, "it is held"
    assert payment.set_id is not None, "it is held"
    return payment.set_id


async def _second_of_its_kind(world: World) -> ForeignNode:
    return await _with_channel(world, world.kind, f"{world.kind}2")


async def _third_kind(world: World) -> ForeignNode:
    others = [kind for kind in world.kinds if kind != world.kind]
    if not others:
        raise NotOffered("needs both LND and LDK: make interop without PEER")
    return await _with_channel(world, others[0], "third")


async def _with_channel(world: World, kind: str, name: str) -> ForeignNode:
    """Return a node that has a channel with our first one, whose policy is the one that is checked."""
    node = world.foreign.get(name) or await world.add_peer(kind, name)
    await world.channel(peer=node)
    return node


async def _ask_for(world: World, payee: ForeignNode) -> None:
    """Ask what is checked for forwarding to the payee, and wait until its invoices say so."""
    await world.channel(peer=payee)
    node_id = (await payee.info()).node_id
    for channel in await world.us.api.channels():
        if channel.node_id == node_id and channel.is_usable:
            await world.us.api.set_policy(channel.channel_id, FEE_BASE_MSAT, FEE_MILLIONTHS, CLTV_EXPIRY_DELTA)

    async def known() -> bool:
        return _hint_is_right(await payee.create_invoice(AMOUNT_MSAT, "only for its hints"), world.us.node_id)

    await world.until(known, f"{payee.name}'s invoices name our new policy")


async def _hold_at(world: World, payer: ForeignNode, payee: ForeignNode) -> HeldOnTheWay:
    preimage = secrets.token_bytes(32)
    payment_hash = hashlib.sha256(preimage).hexdigest()
    invoice = await payee.create_invoice(AMOUNT_MSAT, "held", payment_hash=payment_hash)
    held = HeldOnTheWay(preimage.hex(), payment_hash, "", bolt11.decode(invoice).min_final_cltv_expiry_delta)
    await payer.pay(invoice)
    await world.until(lambda: payee.held(payment_hash), f"{payee.name} holds the payment")
    return held


async def _forward(world: World, payer: ForeignNode, payee: ForeignNode) -> None:
    await world.channel(peer=payer)
    await _ask_for(world, payee)
    before, before2 = await standing(world, peer=payer), await standing(world, peer=payee)
    height = await world.height()
    held = await _hold_at(world, payer, payee)
    try:
        incoming = await _htlc(world, payer, held.payment_hash, is_incoming=False)
        outgoing = await _htlc(world, payee, held.payment_hash, is_incoming=True)
    except NotOffered:
        world.note("the peer does not show HTLCs: expiries are not compared")
    else:
        _check_two(incoming, outgoing, payer, payee)
        least = height + held.final_delta
        check(outgoing.cltv_expiry >= least, f"the payee has until {outgoing.cltv_expiry}, it asked for {least}")
    await payee.settle(held.preimage)
    payment = await world.their_payment(payer, held.payment_hash)
    check(payment.status == "succeeded" and payment.preimage == held.preimage, f"it ended as {payment}")
    check(payment.fee_msat == FEE_MSAT, f"the payer says that it cost {payment.fee_msat} msat, we ask for {FEE_MSAT}")
    received = await payee.received_msat(held.payment_hash)
    check(received == AMOUNT_MSAT, f"the payee has received {received} msat")
    await check_moved(world, before, AMOUNT_MSAT + FEE_MSAT)
    await check_moved(world, before2, -AMOUNT_MSAT)
    forwarded = [one.fields for one in await world.us.api.events() if one.type == "payment_forwarded"][-1]
    said = (forwarded["inbound_amount_msat"], forwarded["outbound_amount_msat"], forwarded["fee_msat"])
    check(said == (AMOUNT_MSAT + FEE_MSAT, AMOUNT_MSAT, FEE_MSAT), f"we tell our user {said}")


async def _fail_through_us(world: World, payer: ForeignNode, payee: ForeignNode) -> None:
    await world.channel(peer=payer)
    await _ask_for(world, payee)
    before, before2 = await standing(world, peer=payer), await standing(world, peer=payee)
    held = await _hold_at(world, payer, payee)
    await payee.cancel(held.payment_hash)
    payment = await world.their_payment(payer, held.payment_hash)
    check(payment.status == "failed" and payment.failure == UNKNOWN_DETAILS, f"the payer learns {payment}")
    check(payment.failure_hop in (2, None), f"the payer says that hop {payment.failure_hop} failed it")
    await check_moved(world, before, 0)
    await check_moved(world, before2, 0)


async def _check_htlcs(world: World, held: HeldOnTheWay, final_expiry: int) -> None:
    """Compare the HTLCs of the two channels of the peer in between."""
    try:
        incoming = await _htlc(world, world.peer, held.payment_hash, is_incoming=True)
        outgoing = await _htlc(world, world.peer, held.payment_hash, is_incoming=False)
    except NotOffered:
        world.note("the peer does not show HTLCs: expiries are not compared")
        return
    _check_two(incoming, outgoing, world.peer, world.peer)
    check(outgoing.cltv_expiry == final_expiry, f"the payee has until {outgoing.cltv_expiry}, not {final_expiry}")


def _check_two(incoming: ForeignHtlc, outgoing: ForeignHtlc, one: ForeignNode, other: ForeignNode) -> None:
    """Compare the HTLCs on both sides of the node in between. one, other: who shows them."""
    amounts = (incoming.amount_msat, outgoing.amount_msat)
    rounded = (
        (AMOUNT_MSAT + FEE_MSAT) // one.msat_step * one.msat_step,
        AMOUNT_MSAT // other.msat_step * other.msat_step,
    )
    check(amounts == rounded, f"the HTLCs in and out have {amounts} msat, not {rounded}")
    blocks = incoming.cltv_expiry - outgoing.cltv_expiry
    check(blocks == CLTV_EXPIRY_DELTA, f"{blocks} blocks lie between the two expiries, not {CLTV_EXPIRY_DELTA}")


async def _htlc(world: World, node: ForeignNode, payment_hash: str, *, is_incoming: bool) -> ForeignHtlc:
    """Return the one HTLC of a payment in any of a foreign node's channels, as soon as the node shows it."""
    found: list[ForeignHtlc] = []

    async def shown() -> bool:
        seen: list[ForeignHtlc] = []
        for channel in await node.channels():
            if channel.is_usable:
                seen += await node.htlcs(channel.funding_outpoint)
        found[:] = [one for one in seen if one.payment_hash == payment_hash and one.is_incoming == is_incoming]
        return bool(found)

    await world.until(shown, f"{node.name} shows the HTLC of {payment_hash[:16]}")
    (htlc,) = found
    return htlc
