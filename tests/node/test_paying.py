"""Payments as users ask for them: what makes no sense is refused with a code, what does is started once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from leyden.base.errors import CommandRejected
from leyden.crypto.hashes import sha256
from leyden.node import paying
from leyden.node.views import RouteHop, RouteRequest
from tests.node.pair import Pair, event_of, pair

NAMED = (b"n" * 32).hex()


def refused(call: Callable[[], object]) -> str:
    """The code with which something is refused."""
    with pytest.raises(CommandRejected) as caught:
        call()
    return caught.value.code


@pytest.mark.parametrize(("amount_msat", "fits"), [(0, False), (1, True), (-1, False), (paying.AMOUNT_MSAT_MAX, True)])
def test_amount_is_more_than_nothing_and_no_more_than_there_is(amount_msat: int, fits: bool) -> None:
    """A slip of a few zeros is stopped here."""
    if fits:
        assert paying.check_amount(amount_msat) == amount_msat
    else:
        assert refused(lambda: paying.check_amount(amount_msat)) == "invalid_amount"
    assert refused(lambda: paying.check_amount(paying.AMOUNT_MSAT_MAX + 1)) == "invalid_amount"


def test_what_is_no_invoice_is_refused() -> None:
    """Before anything is asked of the node."""
    assert refused(lambda: paying.read_invoice("lnbc1nonsense")) == "invalid_invoice"


async def test_payments_of_every_kind_are_asked_for_and_found(tmp_path: Path) -> None:
    """One run through all that users ask: invoices, fees, spontaneous payments, routes, lists."""
    async with pair(tmp_path) as both:
        await both.fund()
        await both.open(1_000_000, push_msat=300_000_000)
        await _invoices(both)
        await _paid_once(both)
        await _keysend(both)
        await _routes(both)
        await _held(both)


async def _invoices(both: Pair) -> None:
    core = both.bob.core
    for terms, code in (
        ((0, "", 60, None, None), "invalid_amount"),
        ((1, "x" * 640, 60, None, None), "invalid_description"),
        ((1, "", 0, None, None), "invalid_expiry"),
        ((1, "", 60, 17, None), "invalid_expiry"),
        ((1, "", 60, None, "zz"), "invalid_payment_hash"),
    ):
        assert refused(lambda terms=terms: paying.create_invoice(core, *terms)) == code  # type: ignore[misc]
    foreign = paying.create_invoice(core, None, "for whoever knows", 60, 40, "ab" * 32)
    assert foreign.payment_hash == "ab" * 32
    read = paying.read_invoice(f"  LIGHTNING:{foreign.invoice} ")
    assert (read.amount_msat, read.min_final_cltv_expiry_delta) == (None, 40)
    assert paying.route_hints(core.manager) == read.route_hints
    payer = both.alice.core

    def asked(amount_msat: int | None, fee: int | None = None, deadline: int | None = None, parts: int = 4) -> object:
        return paying.invoice_payment(payer, foreign.invoice, amount_msat, None, fee, deadline, parts)

    for call, code in (
        (lambda: asked(None), "invalid_amount"),
        (lambda: asked(5, fee=-1), "invalid_fee_limit"),
        (lambda: asked(5, deadline=0), "invalid_deadline"),
        (lambda: asked(5, parts=65), "invalid_max_parts"),
        (lambda: paying.invoice_payment(core, foreign.invoice, 5, None, None, None, 4), "own_invoice"),
    ):
        assert refused(call) == code
    started, _terms = paying.invoice_payment(payer, foreign.invoice, 1_000_000, NAMED, None, 30, 4)
    settings = payer.config.payments
    assert started.fee_msat_max == max(settings.fee_limit_floor_msat, 10_000 * settings.fee_limit_percent)
    assert started.deadline_seconds == started.created_seconds + 30


async def _paid_once(both: Pair) -> None:
    invoice = (await both.bob.create_invoice(25_000_000, "coffee")).invoice
    assert (await both.alice.pay(invoice, payment_id=NAMED)).status in ("pending", "succeeded")
    paid = await both.alice.wait_payment(NAMED)
    assert (paid.status, paid.amount_msat, paid.fee_msat) == ("succeeded", 25_000_000, 0)
    assert await both.alice.pay(invoice, payment_id=NAMED) == paid, "asked again, found"
    other = (await both.bob.create_invoice(1_000, "tea")).invoice
    with pytest.raises(CommandRejected) as caught:
        await both.alice.pay(other, payment_id=NAMED)
    assert caught.value.code == "payment_id_in_use"
    claimed = await event_of(both.bob, "payment_claimed")
    assert claimed.fields["amount_msat"] == 25_000_000
    (received,) = await both.bob.payments()
    assert await both.bob.payment(received.payment_id) == received
    with pytest.raises(CommandRejected, match="no payment has this payment_id"):
        await both.bob.payment(NAMED)


async def _keysend(both: Pair) -> None:
    core, bob = both.alice.core, both.bob.core.manager.node_id.hex()

    def asked(node_id: str, records: dict[int, str] | None = None) -> object:
        return paying.keysend_payment(core, node_id, 1_000, records, None, None, None)

    for call, code in (
        (lambda: asked("02" * 33 + "00"), "invalid_node_id"),
        (lambda: asked(core.manager.node_id.hex()), "invalid_node_id"),
        (lambda: asked(bob, {5: "00"}), "invalid_custom_record"),
        (lambda: asked(bob, {70_001: "xy"}), "invalid_custom_record"),
        (lambda: asked(bob, {70_001: "00" * 1001}), "invalid_custom_record"),
    ):
        assert refused(call) == code
    named = (b"k" * 32).hex()
    view = await both.alice.keysend(bob, 2_000, {70_001: "0102"}, payment_id=named)
    assert (await both.alice.wait_payment(named)).status == "succeeded"
    again = paying.keysend_payment(core, bob, 2_000, None, named, None, None)
    assert again.payment_hash.hex() == view.payment_hash, "the same preimage, not a second payment"
    claimed = await event_of(both.bob, "payment_claimed")
    assert claimed.fields["custom_records"] == {"70001": "0102"}


async def _routes(both: Pair) -> None:
    core, (channel,) = both.alice.core, await both.alice.channels()
    invoice = paying.read_invoice((await both.bob.create_invoice(3_000, "by hand")).invoice)
    height = (await both.alice.info()).block_height + 50
    assert channel.alias is not None
    hop = RouteHop(node_id=channel.node_id, short_channel_id=channel.alias, amount_msat=3_000, cltv_expiry=height)
    secret, hashed = invoice.payment_secret.hex(), invoice.payment_hash.hex()

    def asked(amount_msat: int, *routes: RouteRequest) -> object:
        return paying.route_payment(core, hashed, secret, amount_msat, list(routes), None, None)

    whole = RouteRequest(channel_id=channel.channel_id, hops=[hop])
    for call in (
        lambda: asked(3_000),
        lambda: asked(3_001, whole),
        lambda: asked(3_000, RouteRequest(channel_id=NAMED, hops=[hop])),
        lambda: asked(3_000, RouteRequest(channel_id=channel.channel_id, hops=[])),
    ):
        assert refused(call) == "invalid_route"
    view = await both.alice.send_to_route(hashed, secret, 3_000, [whole])
    assert (await both.alice.wait_payment(view.payment_id)).status == "succeeded"


async def _held(both: Pair) -> None:
    preimage = b"p" * 32
    hashed = sha256(preimage).hex()
    held = await both.bob.create_invoice(4_000, "held", payment_hash=hashed)
    view = await both.alice.pay(held.invoice)
    question = await event_of(both.bob, "payment_claimable")
    set_id = str(question.fields["set_id"])
    assert (await both.bob.payment(set_id)).status == "claimable"
    assert set_id in [one.payment_id for one in await both.bob.payments()]
    assert (await both.alice.wait_payment(view.payment_id, timeout_seconds=0)).status == "pending"
    assert refused(lambda: paying.claim(both.bob.core, set_id, "00" * 32)) == "wrong_preimage"
    assert refused(lambda: paying.claim(both.bob.core, NAMED, preimage.hex())) == "unknown_claimable"
    await both.bob.claim_payment(set_id, preimage.hex())
    assert (await both.alice.wait_payment(view.payment_id)).preimage == preimage.hex()
