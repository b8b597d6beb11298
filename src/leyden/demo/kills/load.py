"""The payments of one round: drawn from a seed, asked for through the API of the nodes.

Most go over bob, both ways at once; some go straight to him or from him. One in five comes in two parts over different
channels.
"""

import hashlib
import random
from typing import Final, Literal, TypeAlias, assert_never

import msgspec

from leyden.demo.world import World
from leyden.invoices import bolt11
from leyden.node.parse import format_scid
from leyden.node.views import ChannelView, PaymentView, RouteHop, RouteRequest
from leyden.payments.route_fees import ForwardPolicy, hop_amounts

Kind: TypeAlias = Literal["invoice", "hold", "refuse", "parts", "keysend"]
"""hold, refuse: the payee's user decides. parts: over both channels of two nodes, or of three."""

IN_FLIGHT: Final = 100
IN_PARTS: Final = 20
SPONTANEOUS: Final = 4
FORTH_SHARE: Final = 0.66
DEADLINE_SECONDS: Final = 60
FINAL_EXPIRY_BLOCKS: Final = 80
DIRECT: Final[tuple[tuple[str, str], ...]] = (("alice", "bob"), ("bob", "alice"), ("bob", "carol"), ("carol", "bob"))


class Wish(msgspec.Struct):
    """A payment that somebody wants, and what its payer's node has said of it.

    preimage: of a payment whose payee decides (hold, refuse). payment_hash: known with the invoice, or with the node's
    answer. is_accepted: the node has answered that it pays. answered: what the payee's node has confirmed it will do.
    """

    kind: Kind
    payer: str
    payee: str
    amount_msat: int
    payment_id: str
    preimage: bytes = b""
    invoice: str = ""
    payment_hash: str = ""
    is_accepted: bool = False
    asks: int = 0
    answered: Literal["", "claimed", "failed"] = ""


def draw(seed: str, number: int) -> list[Wish]:
    """Draw the payments of round `number`, which are all to be in flight at once."""
    chance = random.Random(f"{seed}/{number}/load")
    forth = ("alice", "carol") if number % 2 == 0 else ("carol", "alice")
    wishes: list[Wish] = []
    for index in range(IN_FLIGHT):
        kind: Kind = chance.choices(("invoice", "hold", "refuse"), (65, 28, 7))[0]
        way = forth if chance.random() < FORTH_SHARE else forth[::-1]
        if index < SPONTANEOUS:
            kind, way = "keysend", DIRECT[index % len(DIRECT)]
        elif index < SPONTANEOUS + IN_PARTS:
            kind, way = "parts", (*DIRECT, forth, forth[::-1])[index % (len(DIRECT) + 2)]
        (payer, payee), amount_msat, payment_id = way, _amount_msat(chance), chance.randbytes(32).hex()
        preimage = chance.randbytes(32) if kind in ("hold", "refuse") else b""
        wishes.append(Wish(kind, payer, payee, amount_msat, payment_id, preimage))
    chance.shuffle(wishes)
    return wishes


def _amount_msat(chance: random.Random) -> int:
    """Some are too small for an output of their own."""
    return chance.randrange(1_000, 300_000) if chance.random() < 0.1 else chance.randrange(2_000_000, 20_000_000)


async def prepare(world: World, wish: Wish) -> None:
    """Let the payee make the invoice."""
    if wish.kind == "keysend":
        return
    payment_hash = hashlib.sha256(wish.preimage).hexdigest() if wish.preimage else None
    payee = world.node(wish.payee).api
    made = await payee.create_invoice(wish.amount_msat, wish.kind, payment_hash=payment_hash)
    wish.invoice, wish.payment_hash = made.invoice, made.payment_hash


async def ask(world: World, wish: Wish, channels: list[ChannelView], height: int) -> PaymentView:
    """Ask the payer's node once to pay. The same payment_id is the same payment.

    Args:    channels, height: what the payer's node had and saw before the round.
    Raises: CommandRejected: the node does not pay it; DriverError, NodeFault: not known.
    """
    node = world.node(wish.payer).api
    payee = world.node(wish.payee).node_id
    wish.asks += 1
    match wish.kind:
        case "invoice" | "hold" | "refuse":
            view = await node.pay(wish.invoice, payment_id=wish.payment_id, deadline_seconds=DEADLINE_SECONDS)
        case "keysend":
            records = {70_001: "00ff"}
            view = await node.keysend(
                payee, wish.amount_msat, records, wish.payment_id, deadline_seconds=DEADLINE_SECONDS
            )
        case "parts":
            secret = bolt11.decode(wish.invoice).payment_secret.hex()
            routes = _routes(wish, payee, channels, height)
            view = await node.send_to_route(
                wish.payment_hash, secret, wish.amount_msat, routes, wish.payment_id, DEADLINE_SECONDS
            )
        case _:
            assert_never(wish.kind)
    wish.is_accepted = True
    wish.payment_hash = view.payment_hash
    return view


def _routes(wish: Wish, payee: str, channels: list[ChannelView], height: int) -> list[RouteRequest]:
    """Halve the amount over two channels, both to the payee or both to bob, who has two to the payee."""
    via = [channel.node_id for channel in channels if channel.node_id == payee] or [channels[0].node_id]
    between = sorted([one for one in channels if one.node_id == via[0]], key=lambda one: one.channel_id)
    hints = bolt11.decode(wish.invoice).route_hints
    shares = [wish.amount_msat // 2, wish.amount_msat - wish.amount_msat // 2]
    routes: list[RouteRequest] = []
    for channel, hint, share_msat in zip(between, hints, shares, strict=False):
        hops = () if via[0] == payee else hint
        policies = [
            ForwardPolicy(hop.fee_base_msat, hop.fee_proportional_millionths, hop.cltv_expiry_delta) for hop in hops
        ]
        amounts = hop_amounts(share_msat, height + FINAL_EXPIRY_BLOCKS, policies)
        leads_to = [*[hop.node_id.hex() for hop in hops], payee]
        names = [channel.short_channel_id or "", *[format_scid(hop.short_channel_id) for hop in hops]]
        routes.append(
            RouteRequest(
                channel.channel_id,
                [
                    RouteHop(name, node_id, amount.amount_msat, amount.cltv_expiry)
                    for name, node_id, amount in zip(names, leads_to, amounts, strict=True)
                ],
            )
        )
    return routes
