"""Each program under `examples/` runs, against a real chain and a real peer."""

import asyncio
import contextlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

import leyden
from tests.examples.market import config, market, open_channel, usable

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def example(name: str) -> ModuleType:
    """The program as a module."""
    spec = importlib.util.spec_from_file_location(f"examples_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


async def printed(capsys: pytest.CaptureFixture[str], lines: int) -> list[str]:
    """Wait until so many lines were printed."""
    text = ""
    while text.count("\n") < lines:
        text += capsys.readouterr().out
        await asyncio.sleep(0.01)
    return text.splitlines()


async def test_shop_hands_over_each_order_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first program that somebody who sells writes: invoices, events, acknowledgements, its own book."""
    shop = example("shop")
    async with market(tmp_path) as (chain, customer):
        settings = config(tmp_path / "shop", chain)
        async with leyden.Node(settings) as node:
            await open_channel(chain, customer, node)
        selling = asyncio.ensure_future(shop.main(tmp_path, settings, [25_000_000, 10_000_000]))
        invoices = await printed(capsys, 2)
        await usable(customer)
        for invoice in invoices:
            payment = await customer.wait_payment((await customer.pay(invoice)).payment_id)
            assert payment.status == "succeeded", payment.reason
        await selling
    assert sorted(json.loads((tmp_path / "orders.json").read_text()).values()) == [10_000_000, 25_000_000]
    assert capsys.readouterr().out.count("here are the goods") == 2


async def test_shop_does_not_hand_over_twice(tmp_path: Path) -> None:
    """A crash between the goods and the acknowledgement repeats the event; the shop's book must catch that."""
    book = example("shop").OrderBook(tmp_path / "orders.json")
    assert book.hand_over("aa" * 32, 1000)
    again = example("shop").OrderBook(tmp_path / "orders.json")
    assert not again.hand_over("aa" * 32, 1000)


async def test_payer_handles_every_outcome(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Success, a refusal before anything was sent, and a failure on the way are three different things to a payer."""
    payer = example("payer")
    async with market(tmp_path) as (chain, customer), leyden.Node(config(tmp_path / "shop", chain)) as shop:
        await open_channel(chain, customer, shop)
        invoice = (await shop.create_invoice(10_000_000, "coffee")).invoice
        first = await payer.pay(customer, invoice, "order 1")
        again = await payer.pay(customer, invoice, "order 1")
        assert first.status == "succeeded"
        assert again == first, "the same payment_id is the same payment"
        assert await payer.pay(customer, invoice, "order 2") is None
        assert await payer.pay(customer, "lnbcrt1nonsense", "order 3") is None
        too_much = (await shop.create_invoice(5_000_000_000, "a shop")).invoice
        failed = await payer.pay(customer, too_much, "order 4")
        assert failed.status == "failed"
        assert failed.reason == "insufficient_balance"
    out = capsys.readouterr().out
    assert "refused (already_paid)" in out
    assert "refused (invalid_invoice)" in out
    assert "failed: insufficient_balance" in out


async def test_custom_store_keeps_a_node(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A store is the seam that most users replace: a node must live, pay and start again on one they wrote."""
    module = example("custom_store")
    batches = tmp_path / "customer-batches"
    async with leyden.EmbeddedChain(tmp_path / "chain") as chain:
        settings = config(tmp_path / "customer", chain)
        async with leyden.Node(config(tmp_path / "shop", chain)) as shop:
            async with leyden.Node(settings, store=module.DirectoryStore(batches)) as customer:
                await chain.fund(customer)
                await open_channel(chain, customer, shop)
                for _ in range(3):
                    invoice = (await shop.create_invoice(10_000_000, "coffee")).invoice
                    assert (await customer.wait_payment((await customer.pay(invoice)).payment_id)).status == "succeeded"
                before = [one.local_msat for one in await customer.channels()]
                with pytest.raises(leyden.StorageFenced):
                    await module.DirectoryStore(batches).open()
            async with leyden.Node(settings, store=module.DirectoryStore(batches)) as customer:
                assert [one.local_msat for one in await customer.channels()] == before
                assert len(await customer.payments()) == 3
                await usable(customer)
                invoice = (await shop.create_invoice(10_000_000, "coffee")).invoice
                assert (await customer.wait_payment((await customer.pay(invoice)).payment_id)).status == "succeeded"
        seen: list[object] = []
        await module.main(config(tmp_path / "other", chain), seen.append)
    assert len(seen) == 1
    assert "keeps its journals" in capsys.readouterr().out


async def test_event_handler_answers_questions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With `auto_claim` off the user decides: what is refused goes back whole, what is claimed is told once."""
    module = example("event_handler")
    asks = leyden.PaymentSettings(auto_claim=False)
    async with (
        market(tmp_path) as (chain, customer),
        leyden.Node(config(tmp_path / "cashier", chain, payments=asks)) as cashier,
    ):
        finished: asyncio.Future[leyden.Event] = asyncio.get_running_loop().create_future()
        handling = asyncio.ensure_future(module.Cashier(cashier, finished.set_result).run())
        await open_channel(chain, customer, cashier)
        odd = (await cashier.create_invoice(1_000_001, "odd")).invoice
        refused = await customer.wait_payment((await customer.pay(odd)).payment_id)
        even = (await cashier.create_invoice(2_000_000, "even")).invoice
        taken = await customer.wait_payment((await customer.pay(even)).payment_id)
        claimed = await finished
        handling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await handling
    assert (refused.status, refused.reason) == ("failed", "recipient_rejected")
    assert taken.status == "succeeded"
    assert isinstance(claimed, leyden.PaymentClaimed)
    assert claimed.amount_msat == 2_000_000
    out = capsys.readouterr().out
    assert "1000001 msat is no round sum: sent back" in out
    assert "took 2000000 msat" in out
