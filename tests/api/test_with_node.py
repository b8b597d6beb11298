"""The API before a real node: payments from end to end, and every kind of bad input."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from leyden.api.client import async_control, socket_path
from leyden.api.server import ApiServer
from leyden.base.errors import CommandRejected, LeydenError
from leyden.node.control import NodeControl
from tests.node.pair import Pair, event_of, pair


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[Pair]:
    """Two nodes; alice is served at her data directory."""
    async with pair(tmp_path) as nodes:
        api = ApiServer(socket_path(tmp_path / "alice"))
        await api.start(nodes.alice)
        yield nodes
        await api.close()


@pytest.fixture
def alice(both: Pair, tmp_path: Path) -> NodeControl:
    """Alice as a program sees her."""
    return async_control(socket_path(tmp_path / "alice"))


async def test_channel_and_payments_from_end_to_end(both: Pair, alice: NodeControl) -> None:
    """What a program does with a node, in the order in which it does it."""
    await both.fund()
    opening = await both.open(1_000_000, push_msat=300_000_000)
    assert (await alice.info()).channels_usable == 1
    (channel,) = await alice.channels()
    assert (channel.channel_id, channel.local_msat, channel.remote_msat) == (
        opening.channel_id, 700_000_000, 300_000_000,
    )  # fmt: skip
    invoice = await both.bob.create_invoice(25_000_000, "coffee ☕")
    assert (await alice.decode_invoice(invoice.invoice)).description == "coffee ☕"
    started = await alice.pay(invoice.invoice, payment_id="1d" * 32)
    paid = await alice.wait_payment(started.payment_id)
    assert (paid.status, paid.amount_msat, paid.fee_msat, paid.payment_id) == ("succeeded", 25_000_000, 0, "1d" * 32)
    assert (await event_of(alice, "payment_sent")).fields["preimage"] == paid.preimage
    assert (await event_of(both.bob, "payment_claimed")).fields["amount_msat"] == 25_000_000
    again = await alice.pay(invoice.invoice, payment_id="1d" * 32)
    assert again.status == "succeeded"
    keysend = await alice.keysend((await both.bob.info()).node_id, 1_500, {65537: "cafe"})
    assert (await alice.wait_payment(keysend.payment_id)).status == "succeeded"
    assert (await event_of(both.bob, "payment_claimed")).fields["custom_records"] == {"65537": "cafe"}
    assert [view.status for view in await alice.payments()] == ["succeeded", "succeeded"]
    balance = await alice.balance()
    assert balance.lightning_msat == 700_000_000 - 25_000_000 - 1_500
    assert (await alice.events()) != []
    await alice.close(opening.channel_id)


NODE = "02" + "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("pay", {"invoice": "lnbcrt1bad"}, "invalid_invoice"),
    ("pay", {"invoice": ""}, "invalid_invoice"),
    ("decode_invoice", {"invoice": "x" * 10_000}, "invalid_invoice"),
    ("create_invoice", {"amount_msat": 0, "description": ""}, "invalid_amount"),
    ("create_invoice", {"amount_msat": -1, "description": ""}, "invalid_amount"),
    ("create_invoice", {"amount_msat": 2**63 - 1, "description": ""}, "invalid_amount"),
    ("create_invoice", {"amount_msat": 5, "description": "x" * 5000}, "invalid_description"),
    ("create_invoice", {"amount_msat": 5, "description": "", "expiry_seconds": -1}, "invalid_expiry"),
    ("send_onchain", {"address": "bcrt1bad", "amount_sat": 1000}, "invalid_address"),
    ("send_onchain", {"address": "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "amount_sat": 1000}, "wrong_network"),
    ("connect", {"node_id": "02zz", "host": "127.0.0.1", "port": 9735}, "invalid_node_id"),
    ("connect", {"node_id": "02" + "ff" * 32, "host": "127.0.0.1", "port": 9735}, "invalid_node_id"),
    ("disconnect", {"node_id": NODE}, "unknown_peer"),
    ("open_channel", {"node_id": NODE, "amount_sat": 1_000_000}, "insufficient_funds"),
    ("open_channel", {"node_id": NODE, "amount_sat": -1}, "not_connected"),
    ("close", {"channel_id": "cc" * 32}, "unknown_channel"),
    ("close", {"channel_id": "xyz"}, "unknown_channel"),
    ("set_policy", {"channel_id": "cc" * 32, "fee_base_msat": 1}, "unknown_channel"),
    ("payment", {"payment_id": "00" * 32}, "unknown_payment"),
    ("payment", {"payment_id": "no"}, "unknown_payment"),
    ("wait_payment", {"payment_id": "00" * 32}, "unknown_payment"),
    ("keysend", {"node_id": NODE, "amount_msat": 0}, "invalid_amount"),
    ("keysend", {"node_id": NODE, "amount_msat": -5}, "invalid_amount"),
    ("keysend", {"node_id": "ab", "amount_msat": 5}, "invalid_node_id"),
    ("claim_payment", {"set_id": "00" * 32}, "unknown_claimable"),
    ("fail_payment", {"set_id": "00" * 32}, "unknown_claimable"),
]


async def test_bad_input_is_refused_and_changes_nothing(both: Pair, alice: NodeControl) -> None:
    """Each refusal has a code that a program can match, and none is a fault of ours."""
    before = (await alice.info(), await alice.balance(), await alice.payments(), await alice.channels())
    wrong: list[str] = []
    for name, arguments, code in REFUSED:
        try:
            await getattr(alice, name)(**arguments)
            wrong.append(f"{name} {arguments}: taken, not {code}")
        except CommandRejected as refused:
            if refused.code != code:
                wrong.append(f"{name} {arguments}: {refused.code} ({refused}), not {code}")
        except LeydenError as error:
            wrong.append(f"{name} {arguments}: {type(error).__name__} {error}, not {code}")
    assert (await alice.info(), await alice.balance(), await alice.payments(), await alice.channels()) == before
    assert not wrong, "\n".join(wrong)
