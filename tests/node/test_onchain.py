"""The reserve of channels with anchors: missed in a sentence, until it is there."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from leyden.base.errors import CommandRejected
from leyden.bitcoin.address import decode_address
from leyden.bitcoin.networks import REGTEST
from leyden.node.onchain import RESERVE_ALARM, check_reserve_soon
from leyden.wallet.wallet import ANCHOR_RESERVE_SAT
from tests.node.pair import WAIT_SECONDS, pair


async def test_reserve_that_is_missing_is_said_until_it_is_there(tmp_path: Path) -> None:
    """bob accepted a channel and has no coin: his close may be late, and nothing else tells him."""
    async with pair(tmp_path) as both:
        await both.fund()
        await both.open()
        await both.chain_seen()
        assert RESERVE_ALARM not in both.alice.core.alarms
        alarms = (await both.bob.info()).alarms
        assert [f"{ANCHOR_RESERVE_SAT} sat are missing" in one and "send coins" in one for one in alarms] == [True]
        both.chain.mine(1, decode_address((await both.bob.new_address()).address, REGTEST))
        both.chain.mine(100, bytes(22))
        async with asyncio.timeout(WAIT_SECONDS):
            while both.bob.core.alarms:  # noqa: ASYNC110 - no event says it
                await asyncio.sleep(0)
        assert (await both.bob.balance()).anchor_reserve_sat == ANCHOR_RESERVE_SAT


async def test_reserve_is_missed_as_soon_as_a_block_brings_a_channel(tmp_path: Path) -> None:
    """Nobody needs to ask for a balance."""
    async with pair(tmp_path) as both:
        await both.fund()
        await both.open()
        async with asyncio.timeout(WAIT_SECONDS):
            while RESERVE_ALARM not in both.bob.core.alarms:  # noqa: ASYNC110 - no event says it
                await asyncio.sleep(0)
        both.chain.reorganise(1, 2, bytes(22))
        both.bob.core.alarms.clear()
        async with asyncio.timeout(WAIT_SECONDS):
            while RESERVE_ALARM not in both.bob.core.alarms:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0)


async def test_channel_that_leaves_no_room_for_its_reserve_is_refused(tmp_path: Path) -> None:
    """All channels count, also those since the last block."""
    async with pair(tmp_path) as both:
        script = decode_address((await both.alice.new_address()).address, REGTEST)
        both.chain.mine(1, script)
        both.chain.mine(100, bytes(22))
        await both.chain_seen()
        all_sat = (await both.alice.balance()).spendable_sat
        address = (await both.bob.new_address()).address
        await both.alice.send_onchain(address, all_sat - 1_000_000 - 3_000)
        both.chain.mine(1, bytes(22))
        await both.chain_seen()
        node_id = await both.connect()
        with pytest.raises(CommandRejected, match="reserved for channels with anchors"):
            await both.alice.open_channel(node_id, 995_000)
        await both.alice.open_channel(node_id, 900_000)


async def test_reserve_is_looked_at_once_for_all_that_a_turn_publishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block may make hundreds of claims; each look goes through all coins."""
    async with pair(tmp_path) as both:
        await both.fund()
        await both.open()
        core = both.bob.core
        core.alarms.clear()
        posted: list[Callable[[], None]] = []
        monkeypatch.setattr(core.runtime.scheduler, "post", posted.append)
        for _ in range(3):
            check_reserve_soon(core)
        assert len(posted) == 1
        assert RESERVE_ALARM not in core.alarms
        posted[0]()
        assert RESERVE_ALARM in core.alarms
        check_reserve_soon(core)
        assert len(posted) == 2
