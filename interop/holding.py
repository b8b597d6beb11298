"""Payments that wait for their payee: HTLCs that stay in a channel for as long as a scenario wants."""

import hashlib
import secrets

import msgspec

from interop.foreign import ForeignNode
from interop.scenario import ScenarioFailed, check
from interop.world import WAIT_SECONDS, Pair, World
from leyden.demo.processes import DemoNode
from leyden.node.views import PaymentView


class Held(msgspec.Struct, frozen=True):
    """A payment whose payee waits. by_us: we pay. payment_id: ours, else empty."""

    us: DemoNode
    peer: ForeignNode
    by_us: bool
    amount_msat: int
    preimage: str
    payment_hash: str
    payment_id: str


async def offer(pair: Pair, *, by_us: bool, amount_msat: int) -> Held:
    """Begin a payment through this channel that its payee is to keep; it may not come so far."""
    preimage = secrets.token_bytes(32)
    payment_hash = hashlib.sha256(preimage).hexdigest()
    payment_id = ""
    if by_us:
        invoice = await pair.peer.create_invoice(amount_msat, "held", payment_hash=payment_hash)
        payment_id = (await pair.us.api.pay(invoice, deadline_seconds=3600)).payment_id
    else:
        made = await pair.us.api.create_invoice(amount_msat, "held", payment_hash=payment_hash)
        await pair.peer.pay(made.invoice)
    return Held(pair.us, pair.peer, by_us, amount_msat, preimage.hex(), payment_hash, payment_id)


async def is_held(held: Held) -> bool:
    """Whether its payee has it and waits."""
    return await held.peer.held(held.payment_hash) if held.by_us else await _claimable(held) is not None


async def hold(world: World, pair: Pair, *, by_us: bool, amount_msat: int) -> Held:
    """Let a payment through this channel come to its payee, who keeps it. It is the only channel of the two."""
    held = await offer(pair, by_us=by_us, amount_msat=amount_msat)
    await world.until(lambda: is_held(held), f"a payment of {amount_msat} msat waits for its payee")
    return held


async def settle(held: Held) -> None:
    """The payee claims it."""
    if held.by_us:
        await held.peer.settle(held.preimage)
    else:
        await held.us.api.claim_payment(await _set_id(held), held.preimage)


async def cancel(held: Held) -> None:
    """The payee sends it back."""
    if held.by_us:
        await held.peer.cancel(held.payment_hash)
    else:
        await held.us.api.fail_payment(await _set_id(held))


async def _claimable(held: Held) -> PaymentView | None:
    payments = await held.us.api.payments()
    return next((one for one in payments if one.payment_hash == held.payment_hash and one.status == "claimable"), None)


async def _set_id(held: Held) -> str:
    payment = await _claimable(held)
    if payment is None or payment.set_id is None:
        raise ScenarioFailed(f"we do not hold the payment {held.payment_hash[:16]} any more")
    return payment.set_id


async def check_ended(world: World, held: Held, *, paid: bool, seconds: float = WAIT_SECONDS) -> None:
    """The payment must end as its payee decided, with the proof, and the same way at both ends."""
    status = "succeeded" if paid else "failed"

    async def ended() -> bool:
        return (await payer_status(held))[0] == status

    await world.until(ended, f"the payment of {held.amount_msat} msat has {status} for its payer", seconds)
    if paid:
        _, preimage = await payer_status(held)
        check(preimage == held.preimage, f"the payer's proof is {preimage}, not {held.preimage}")
    payee_msat = held.amount_msat if paid else 0

    async def received() -> bool:
        if held.by_us:
            return await held.peer.received_msat(held.payment_hash) == payee_msat
        return await world.received_msat(held.us, held.payment_hash) == payee_msat

    await world.until(received, f"the payee says that it has received {payee_msat} msat", seconds)


async def payer_status(held: Held) -> tuple[str, str]:
    """Return what the payer says of a payment: its status, and the proof or nothing."""
    if held.by_us:
        payment = await held.us.api.payment(held.payment_id)
        return payment.status, payment.preimage or ""
    theirs = await held.peer.payment(held.payment_hash)
    return theirs.status, theirs.preimage
