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
from leyden.bitcoin.networks import REGTEST
from leyden.bitcoin.tx import Transaction
from leyden.channel.build import local_commitment
from leyden.node.boot import open_key
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


def commitment_with_both_signatures(node: leyden.Node, settings: leyden.NodeConfig) -> Transaction:
    """The node's latest commitment, as somebody with a copy of its data could publish it later."""
    [slot] = node.core.manager.channels.values()
    core, keys_id = slot.state.core, slot.state.core.opened.channel_keys_id
    signer = open_key(settings, REGTEST, None)
    point = signer.per_commitment_point(keys_id, core.local.number)
    commitment = local_commitment(slot.state.keys, core.local, point, core.local.number)
    own = signer.sign_holder_commitment(keys_id, commitment)
    return commitment.signed_transaction(own, core.local_signature)


async def test_watchtower_takes_everything_while_its_node_is_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The peer publishes an old state, HTLC and all, and there is nobody but the tower; consensus agrees with it."""
    module = example("watchtower")
    watched = leyden.WatchtowerSettings(file="tower.jsonl")
    async with leyden.EmbeddedChain(tmp_path / "chain") as chain:
        cheats = config(tmp_path / "cheater", chain, payments=leyden.PaymentSettings(auto_claim=False))
        async with (
            leyden.Node(cheats) as cheater,
            leyden.Node(config(tmp_path / "customer", chain, watchtower=watched)) as customer,
        ):
            await chain.fund(customer)
            await open_channel(chain, customer, cheater)
            for amount_msat in (200_000_000, 100_000_000):
                paying = asyncio.ensure_future(pay(customer, cheater, amount_msat))
                question = await next_question(cheater)
                old = commitment_with_both_signatures(cheater, cheats)
                await cheater.claim_payment(question)
                await paying
            await usable(customer)
            await pay(cheater, customer, 250_000_000)
            await customer.core.all_durable()
        url, cookie_file = chain.bitcoind.url, Path(chain.bitcoind.cookie_file)
        tower = asyncio.ensure_future(module.main(tmp_path / "customer" / "tower.jsonl", url, cookie_file))
        source = module.chain_of(url, cookie_file)
        await printed(capsys, 1)
        assert (await source.broadcast(old.serialize())).accepted
        await chain.mine(1)
        out = await printed(capsys, 2)
        await chain.mine(1)
        out += await printed(capsys, 1)
        tower.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await tower
        justice = (await source.get_block_by_height(await chain.height())).block.transactions[1]
        await source.close()
    names = [line.partition(": ")[::2] for line in out]
    justice_txid = justice.txid()[::-1].hex()
    assert names == [("breach", old.txid()[::-1].hex()), ("published", justice_txid), ("taken", justice_txid)]
    # The payment, what the cheater had by the first one, and no anchor or output of the customer.
    taken = [old.outputs[one.prevout.vout].value_sat for one in justice.inputs]
    assert 100_000 in taken
    assert len(taken) == 2
    assert sum(taken) >= 299_000


async def next_question(node: leyden.Node) -> str:
    """Wait until the node asks whether to take a payment; return its set_id."""
    async for handle in node.events_iterator():
        handle.acknowledge()
        if isinstance(handle.event, leyden.PaymentClaimable):
            return handle.event.set_id.hex()
    raise AssertionError("the node has stopped")


async def pay(payer: leyden.Node, payee: leyden.Node, amount_msat: int) -> None:
    """Pay an invoice."""
    invoice = (await payee.create_invoice(amount_msat, "coffee")).invoice
    payment = await payer.wait_payment((await payer.pay(invoice)).payment_id)
    assert payment.status == "succeeded", payment.reason
