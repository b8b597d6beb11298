"""Payments whose every HTLC is chosen: over routes that a scenario gives, and for payees that do not exist."""

import hashlib
import secrets
import time
from collections.abc import Sequence

import msgspec

from interop.world import CONFIRMATIONS, WAIT_SECONDS, World, outpoint_of
from leyden.bitcoin.networks import REGTEST
from leyden.crypto.ec import public_key, sign_recoverable
from leyden.demo.processes import DemoNode
from leyden.invoices import bolt11
from leyden.invoices.fields import Bolt11Invoice, RouteHintHop
from leyden.manager.peers import INVOICE_FEATURES
from leyden.node.views import ChannelView, PaymentView, RouteHop, RouteRequest


class Payee(msgspec.Struct, frozen=True):
    """What a payer must know of a payment: of an invoice, or of nobody's. Hexadecimal."""

    payment_hash: str
    payment_secret: str

    @staticmethod
    def of(invoice: str) -> "Payee":
        """Return what an invoice says."""
        decoded = bolt11.decode(invoice)
        return Payee(decoded.payment_hash.hex(), decoded.payment_secret.hex())

    @staticmethod
    def nobody() -> "Payee":
        """Return a hash that nobody knows, and any secret."""
        return Payee(secrets.token_hex(32), secrets.token_hex(32))


async def pay_route(us: DemoNode, channel: ChannelView, hops: Sequence[RouteHop], payee: Payee) -> PaymentView:
    """Pay over one route out of a channel of ours; return how it ended."""
    route = RouteRequest(channel.channel_id, list(hops))
    amount_msat = hops[-1].amount_msat
    begun = await us.api.send_to_route(payee.payment_hash, payee.payment_secret, amount_msat, [route])
    return await us.api.wait_payment(begun.payment_id, int(WAIT_SECONDS))


def hop_to(channel: ChannelView, node_id: str, amount_msat: int, cltv_expiry: int) -> RouteHop:
    """Return the hop over a channel, to the end of it that has this node id."""
    scid = channel.short_channel_id
    assert scid is not None, "the channel is confirmed"
    return RouteHop(short_channel_id=scid, node_id=node_id, amount_msat=amount_msat, cltv_expiry=cltv_expiry)


def invoice_of_nobody(
    over: RouteHintHop, amount_msat: int, *, min_final_cltv_expiry_delta: int = 42, secret: bytes | None = None
) -> str:
    """Return an invoice whose payee is behind one hop. secret: of the payee's key; None is nobody's."""
    key = secret or secrets.token_bytes(32)
    invoice = Bolt11Invoice(
        network=REGTEST,
        amount_msat=amount_msat,
        timestamp=int(time.time()),
        payment_hash=hashlib.sha256(secrets.token_bytes(32)).digest(),
        payment_secret=secrets.token_bytes(32),
        description="for nobody",
        min_final_cltv_expiry_delta=min_final_cltv_expiry_delta,
        payee_node_id=public_key(key),
        route_hints=((over,),),
        features=INVOICE_FEATURES.encode(),
    )
    return bolt11.encode(invoice, lambda digest: sign_recoverable(key, digest))


async def our_two(world: World) -> ChannelView:
    """Return the channel from our first node to our second, as the first sees it; open it if there is none."""
    us, us2 = world.us, await world.second_us()

    async def found() -> list[ChannelView]:
        channels = await us.api.channels()
        return [one for one in channels if one.node_id == us2.node_id and one.is_usable]

    if not await found():
        await us.api.connect(us2.node_id, "127.0.0.1", us2.port)
        if not [one for one in await us.api.channels() if one.node_id == us2.node_id and one.closing_txid is None]:
            await us.api.open_channel(us2.node_id, OUR_CHANNEL_SAT, OUR_CHANNEL_SAT // 2 * 1000)
            await world.until_in_mempool(1)
            await world.mine(CONFIRMATIONS)

    async def usable() -> bool:
        ours = await found()
        theirs = {outpoint_of(one) for one in await us2.api.channels() if one.is_usable}
        return bool(ours) and outpoint_of(ours[0]) in theirs

    await world.until(usable, "our two nodes can use their channel")
    return (await found())[0]


OUR_CHANNEL_SAT = 4_000_000
