"""Payments that cannot be: each is refused with a stable code and a sentence, and nothing of the node has changed."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from leyden.base.errors import CommandRejected
from leyden.bitcoin.networks import MAINNET, REGTEST, SIGNET, Network
from leyden.crypto.hashes import sha256
from leyden.invoices import bolt11
from leyden.invoices.fields import Bolt11Invoice, RouteHintHop
from leyden.manager.peers import INVOICE_FEATURES
from leyden.node.node import Node
from leyden.node.settings import ChannelSettings
from leyden.node.views import RouteHop, RouteRequest
from leyden.signer.in_memory import InMemorySigner
from tests.node.pair import event_of
from tests.node.real_world import World, fingerprint, pay, refused, world

HASH = "ab" * 32
POINT = "02" + "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
TOO_MUCH = 21_000_000 * 100_000_000 * 1000 + 1


class Shop(msgspec.Struct):
    """alice has a channel of 1,000,000 sat to bob, all of it hers."""

    world: World
    alice: Node
    bob: Node
    channel_id: str

    def invoice(self, network: Network = REGTEST, **changes: Any) -> str:
        """An invoice that bob signs."""
        signer = InMemorySigner(sha256(b"bob"), network)
        fields: dict[str, Any] = {
            "network": network,
            "amount_msat": 1_000_000,
            "timestamp": self.bob.core.runtime.scheduler.now_seconds(),
            "payment_hash": sha256(repr(changes).encode()),
            "payment_secret": sha256(b"secret"),
            "description": "coffee",
            "expiry_seconds": 3600,
            "min_final_cltv_expiry_delta": 42,
            "payee_node_id": signer.node_id,
            "route_hints": (),
            "features": INVOICE_FEATURES.encode(),
        }
        return bolt11.encode(Bolt11Invoice(**(fields | changes)), signer.sign_invoice)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """See `Shop`."""
    async with world(tmp_path) as made:
        alice = await made.start("alice")
        bob = await made.start("bob", settings={"channels": ChannelSettings(minimum_depth=1, htlc_minimum_msat=1_000)})
        channel_id = await made.channel(alice, bob)
        yield Shop(made, alice, bob, channel_id)


async def test_malformed_invoices(shop: Shop) -> None:
    """Whatever people paste: it is said what is wrong, where, and nothing is begun."""
    good = shop.invoice()
    texts = [
        "", " ", "lnbcrt", "lightning:", "hello", "☕", "x" * 10_000, good[:-1], good[:40], good + "q", good[:-1] + "b",
        good[:30] + ("q" if good[30] != "q" else "p") + good[31:], good[:10] + good[10:].upper(), "lnbcrt1" + "q" * 120,
        good.replace("lnbcrt", "lnxyz"), "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
    ]  # fmt: skip
    for text in texts:
        sentence = await refused(shop.alice, "invalid_invoice", shop.alice.pay, text)
        assert "BOLT 11" in sentence
        await refused(shop.alice, "invalid_invoice", shop.alice.decode_invoice, text)


async def test_invoices_that_must_not_be_paid(shop: Shop) -> None:
    """Expired, of another network, our own, or asking for a lock-up that nobody should take."""
    alice, now = shop.alice, shop.bob.core.runtime.scheduler.now_seconds()
    cases = {
        "expired_invoice": [shop.invoice(timestamp=now - 3601), shop.invoice(timestamp=now - 60, expiry_seconds=1)],
        "wrong_network": [shop.invoice(MAINNET), shop.invoice(SIGNET)],
        "own_invoice": [(await alice.create_invoice(1_000, "")).invoice],
        "invalid_invoice": [
            shop.invoice(min_final_cltv_expiry_delta=2017),
            shop.invoice(min_final_cltv_expiry_delta=499_999_999),
        ],
    }
    for code, invoices in cases.items():
        for invoice in invoices:
            await refused(alice, code, alice.pay, invoice)
    assert (await alice.decode_invoice(cases["expired_invoice"][0])).is_expired, "it can still be read"


async def test_an_invoice_is_paid_once(shop: Shop) -> None:
    """A second payment of the same invoice is a mistake of the caller, never a second payment."""
    alice = shop.alice
    invoice = (await shop.bob.create_invoice(1_000_000, "")).invoice
    first = await alice.pay(invoice)
    assert (await alice.wait_payment(first.payment_id)).status == "succeeded"
    await refused(alice, "already_paid", alice.pay, invoice)
    await refused(alice, "payment_id_in_use", alice.pay, shop.invoice(), payment_id=first.payment_id)
    before = fingerprint(alice)
    assert (await alice.pay(invoice, payment_id=first.payment_id)).status == "succeeded", "asked again, not paid again"
    assert fingerprint(alice) == before


async def test_a_payment_that_is_asked_for_again_may_be_too_late_by_now(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The invoice has expired, the channel of a route is gone: it is the same payment all the same."""
    alice, bob = shop.alice, shop.bob
    made = await bob.create_invoice(1_000_000, "")
    first = await alice.pay(made.invoice, payment_id=32 * "5c")
    ended = await alice.wait_payment(first.payment_id)
    later = made.expires_seconds + 1
    monkeypatch.setattr(alice.core.runtime.scheduler, "now_seconds", lambda: later)
    await refused(alice, "expired_invoice", alice.pay, made.invoice)
    assert await alice.pay(made.invoice, payment_id=first.payment_id) == ended
    assert await alice.send_to_route(ended.payment_hash, 32 * "00", 1_000_000, [], first.payment_id) == ended


async def test_a_spontaneous_payment_that_is_asked_for_again_is_the_same_one(shop: Shop) -> None:
    """Its caller got no answer and repeats itself; every call draws a preimage, which must not make it another one."""
    alice, payee, payment_id = shop.alice, shop.bob.core.manager.node_id.hex(), 32 * "5e"
    first = await alice.keysend(payee, 1_000_000, {70_001: "00ff"}, payment_id)
    ended = await alice.wait_payment(first.payment_id)
    assert ended.status == "succeeded"
    before = fingerprint(alice)
    assert await alice.keysend(payee, 1_000_000, {70_001: "00ff"}, payment_id) == ended
    assert fingerprint(alice) == before
    for other in ((payee, 1_000_001), (POINT, 1_000_000)):
        await refused(alice, "payment_id_in_use", alice.keysend, *other, None, payment_id)
    await refused(alice, "payment_id_in_use", alice.pay, shop.invoice(), payment_id=payment_id)


async def test_an_invoice_that_is_being_paid_is_not_paid_again(shop: Shop) -> None:
    """While the payee holds the payment, its end is open: another attempt could pay twice."""
    held = await shop.bob.create_invoice(1_000_000, "", payment_hash=HASH)
    await shop.alice.pay(held.invoice)
    await refused(shop.alice, "payment_in_progress", shop.alice.pay, held.invoice)


async def test_amounts_of_invoices(shop: Shop) -> None:
    """Zero, negative, too large, missing, or twice."""
    alice = shop.alice
    free = shop.invoice(amount_msat=None)
    for amount_msat in (None, 0, -1, -(10**18), TOO_MUCH, 2**63, 2**64, 10**40):
        await refused(alice, "invalid_amount", alice.pay, free, amount_msat)
    named = shop.invoice()
    for amount_msat in (0, -1, 999_999, 1_000_001, 2**70):
        await refused(alice, "invalid_amount", alice.pay, named, amount_msat)
    for amount_msat in (0, -1, TOO_MUCH, 2**64):
        await refused(alice, "invalid_amount", alice.create_invoice, amount_msat, "")
        await refused(alice, "invalid_amount", alice.keysend, POINT, amount_msat)


PAY: list[tuple[dict[str, Any], str]] = [
    ({"fee_limit_msat": -1}, "invalid_fee_limit"),
    ({"fee_limit_msat": 2**70}, "invalid_fee_limit"),
    ({"deadline_seconds": 0}, "invalid_deadline"),
    ({"deadline_seconds": -5}, "invalid_deadline"),
    ({"deadline_seconds": 10**9}, "invalid_deadline"),
    ({"max_parts": 0}, "invalid_max_parts"),
    ({"max_parts": -1}, "invalid_max_parts"),
    ({"max_parts": 10_000}, "invalid_max_parts"),
    ({"payment_id": "zz"}, "invalid_payment_id"),
    ({"payment_id": "ab" * 31}, "invalid_payment_id"),
]
CREATE: list[tuple[dict[str, Any], str]] = [
    ({"description": "x" * 640}, "invalid_description"),
    ({"description": "☕" * 300}, "invalid_description"),
    ({"expiry_seconds": 0}, "invalid_expiry"),
    ({"expiry_seconds": -1}, "invalid_expiry"),
    ({"expiry_seconds": 2**40}, "invalid_expiry"),
    ({"min_final_cltv_expiry_delta": -1}, "invalid_expiry"),
    ({"min_final_cltv_expiry_delta": 3}, "invalid_expiry"),
    ({"min_final_cltv_expiry_delta": 2**31}, "invalid_expiry"),
    ({"payment_hash": "ab"}, "invalid_payment_hash"),
    ({"payment_hash": "no hexadecimal"}, "invalid_payment_hash"),
]
KEYSEND: list[tuple[dict[str, Any], str]] = [
    ({"node_id": "02" + "ff" * 32}, "invalid_node_id"),
    ({"node_id": ""}, "invalid_node_id"),
    ({"node_id": "04" + "79" * 32}, "invalid_node_id"),
    ({"custom_records": {1: "00"}}, "invalid_custom_record"),
    ({"custom_records": {2**64: "00"}}, "invalid_custom_record"),
    ({"custom_records": {65537: "zz"}}, "invalid_custom_record"),
    ({"custom_records": {65537: "00" * 1001}}, "invalid_custom_record"),
    ({"fee_limit_msat": -1}, "invalid_fee_limit"),
    ({"deadline_seconds": 0}, "invalid_deadline"),
    ({"payment_id": "11"}, "invalid_payment_id"),
]


async def test_other_arguments(shop: Shop) -> None:
    """Every argument has its bounds, and its own code."""
    alice, invoice = shop.alice, shop.invoice()
    for changes, code in PAY:
        await refused(alice, code, alice.pay, invoice, **changes)
    for changes, code in CREATE:
        arguments = {"amount_msat": 1000, "description": ""} | changes
        await refused(alice, code, alice.create_invoice, **arguments)
    for changes, code in KEYSEND:
        arguments = {"node_id": POINT, "amount_msat": 1000} | changes
        await refused(alice, code, alice.keysend, **arguments)
    own = alice.core.manager.node_id.hex()
    await refused(alice, "invalid_node_id", alice.keysend, own, 1000)


def hop(**changes: Any) -> RouteHop:
    """One hop of a route that would be fine but for `changes`."""
    fields: dict[str, Any] = {"node_id": POINT, "short_channel_id": "0x0x0", "amount_msat": 1_000, "cltv_expiry": 500}
    return RouteHop(**(fields | changes))


async def test_routes_of_callers(shop: Shop) -> None:
    """A route is checked before it is journalled: what no onion can hold would fail again at every start."""
    alice, bob_id, scid = shop.alice, shop.bob.core.manager.node_id.hex(), "invalid_short_channel_id"
    first = {"node_id": bob_id}
    cases: list[tuple[str, list[RouteRequest], str]] = [
        ("no route", [], "invalid_route"),
        ("no hops", [RouteRequest(channel_id=shop.channel_id, hops=[])], "invalid_route"),
        ("too many", [RouteRequest(channel_id=shop.channel_id, hops=[hop(**first)] * 21)], "invalid_route"),
        ("channel", [RouteRequest(channel_id="00" * 32, hops=[hop(**first)])], "invalid_route"),
        ("channel id", [RouteRequest(channel_id="00", hops=[hop(**first)])], "invalid_route"),
        ("other peer", [RouteRequest(channel_id=shop.channel_id, hops=[hop()])], "invalid_route"),
        ("no node", [RouteRequest(channel_id=shop.channel_id, hops=[hop(node_id="00" * 33)])], "invalid_route"),
        ("scid", [RouteRequest(channel_id=shop.channel_id, hops=[hop(short_channel_id="1")])], scid),
        ("scid", [RouteRequest(channel_id=shop.channel_id, hops=[hop(short_channel_id="1x2x99999")])], scid),
        ("up", [RouteRequest(channel_id=shop.channel_id, hops=[hop(**first), hop(amount_msat=9000)])], "invalid_route"),
        ("sum", [RouteRequest(channel_id=shop.channel_id, hops=[hop(**first, amount_msat=999)])], "invalid_route"),
    ]  # fmt: skip
    for cltv_expiry in (-1, 0, 500_000_000, 2**32, 2**70):
        bad = hop(**first, cltv_expiry=cltv_expiry)
        cases.append(("expiry", [RouteRequest(channel_id=shop.channel_id, hops=[bad])], "invalid_route"))
    for amount_msat in (-1, 0, TOO_MUCH, 2**70):
        bad = hop(**first, amount_msat=amount_msat)
        cases.append(("amount", [RouteRequest(channel_id=shop.channel_id, hops=[bad])], "invalid_amount"))
    for _, routes, code in cases:
        await refused(alice, code, alice.send_to_route, HASH, HASH, 1000, routes)
    fine = [RouteRequest(channel_id=shop.channel_id, hops=[hop(**first)])]
    await refused(alice, "invalid_payment_hash", alice.send_to_route, "ab", HASH, 1000, fine)
    await refused(alice, "invalid_payment_secret", alice.send_to_route, HASH, "zz", 1000, fine)


async def test_payments_that_no_channel_can_carry_fail_as_values(shop: Shop) -> None:
    """Over capacity, below htlc_minimum_msat, no way: a reason that a program can match, no HTLC."""
    alice = shop.alice
    hints = tuple([RouteHintHop(bytes.fromhex(POINT), 1, 0, 0, 10) for _ in range(11)])
    through_bob = (RouteHintHop(shop.bob.core.manager.node_id, 1, 0, 0, 10), *hints)
    cases = [
        (shop.invoice(amount_msat=1_000_000_001), "insufficient_balance"),
        (shop.invoice(amount_msat=2_100_000_000_000_000_000), "insufficient_balance"),
        (shop.invoice(amount_msat=999), "below_minimum"),
        (shop.invoice(amount_msat=1), "below_minimum"),
    ]
    channels = fingerprint(alice)["channels"]
    for invoice, reason in cases:
        started = await alice.pay(invoice)
        ended = await alice.wait_payment(started.payment_id)
        assert ended.status == "failed"
        assert ended.reason
        assert ended.reason == reason, ended
        assert len(ended.advice or "") > 15
        assert fingerprint(alice)["channels"] == channels, "the channel is as before"
    stranger = InMemorySigner(sha256(b"nobody"), REGTEST)
    for route_hints, reason in (((), "no_route"), ((through_bob,), "no_route")):
        fields = msgspec.structs.replace(
            bolt11.decode(shop.invoice()),
            payee_node_id=stranger.node_id,
            route_hints=route_hints,
            payment_hash=sha256(repr(route_hints).encode()),
            payment_metadata=bytes(630),
        )
        ended = await alice.wait_payment((await alice.pay(bolt11.encode(fields, stranger.sign_invoice))).payment_id)
        assert (ended.status, ended.reason) == ("failed", reason)
        assert fingerprint(alice)["channels"] == channels
    assert (await pay(alice, shop.bob)).status == "succeeded", "and the next good one goes through"


async def test_unknown_payments_and_sets(shop: Shop) -> None:
    """Names that mean nothing here."""
    alice = shop.alice
    for text in ("", "zz", "ab" * 31, "ab" * 32, "☕"):
        await refused(alice, "unknown_payment", alice.payment, text)
        await refused(alice, "unknown_payment", alice.wait_payment, text)
        await refused(alice, "unknown_claimable", alice.claim_payment, text)
        await refused(alice, "unknown_claimable", alice.fail_payment, text)
    before = fingerprint(alice)
    await alice.acknowledge_event("no such event")
    assert fingerprint(alice) == before


async def test_a_claim_with_a_wrong_preimage_claims_nothing(shop: Shop) -> None:
    """The payer's proof of payment is the preimage: no other 32 bytes will do, and the question stays open."""
    preimage = sha256(b"right")
    held = await shop.bob.create_invoice(1_000_000, "", payment_hash=sha256(preimage).hex())
    started = await shop.alice.pay(held.invoice)
    set_id = str((await event_of(shop.bob, "payment_claimable")).fields["set_id"])
    for wrong in (None, "ab" * 32, "zz", "ab"):
        await refused(shop.bob, "wrong_preimage", shop.bob.claim_payment, set_id, wrong)
    with pytest.raises(CommandRejected, match="is not known here"):
        await shop.bob.claim_payment(set_id)
    await shop.bob.claim_payment(set_id, preimage.hex())
    assert (await shop.alice.wait_payment(started.payment_id)).preimage == preimage.hex()
