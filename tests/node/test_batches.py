"""Channels of a batch, from the API of real nodes."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from leyden.api.schema import method_named
from leyden.base.errors import CommandRejected
from leyden.manager.config import InboundOpen
from leyden.node.views import ChannelRequest
from tests.node.pair import event_of, pair


async def test_batch_is_opened_by_one_transaction(tmp_path: Path) -> None:
    """The answers stand in the order of the question."""
    async with pair(tmp_path) as both:
        await both.fund()
        node_id = await both.connect()
        wanted = [{"node_id": node_id, "amount_sat": 300_000}, {"node_id": node_id, "amount_sat": 200_000}]
        parameters = method_named("open_channels").decode_request(json.dumps({"channels": wanted}).encode())
        opened = await both.alice.open_channels(**parameters)
        assert len({one.funding_txid for one in opened}) == 1
        both.chain.mine(6, bytes(22))
        for node in (both.alice, both.bob):
            for _ in opened:
                await event_of(node, "channel_ready")
        sizes = {view.channel_id: view.capacity_sat for view in await both.bob.channels()}
        assert [sizes[one.channel_id] for one in opened] == [300_000, 200_000]


async def test_batch_that_is_refused_costs_nothing(tmp_path: Path) -> None:
    """The caller is told whose fault it was."""
    async with pair(tmp_path) as both:
        await both.fund()
        node_id = await both.connect()
        before, bob = await both.alice.balance(), both.bob.core.manager
        bob.config = replace(bob.config, accept_hook=_hook)
        for amounts_sat, code in (
            ((300_000, 60_000_000_000), "insufficient_funds"),
            ((300_000, 19_999), "bad_amount"),
            ((), "bad_batch"),
            ((300_000,) * 21, "bad_batch"),
            ((300_000, 200_000), "open_refused"),
        ):
            wanted = [ChannelRequest(node_id=node_id, amount_sat=amount_sat) for amount_sat in amounts_sat]
            with pytest.raises(CommandRejected) as failed:
                await both.alice.open_channels(wanted)
            assert failed.value.code == code
            assert (node_id[:16] in failed.value.what) is (code in ("bad_amount", "open_refused"))
        assert "not today" in failed.value.what
        assert not both.alice.core.opening_waiters
        assert await both.alice.balance() == before
        assert await both.alice.channels() == []


def _hook(wish: InboundOpen) -> str:
    return "not today" if wish.message.funding_satoshis < 250_000 else ""
