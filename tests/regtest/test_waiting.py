"""Waiting for blocks."""

import asyncio

from leyden.bitcoin.tx import txid_to_hex
from leyden.regtest.waiting import TipWaiters

ONE, TWO, THREE = bytes([1]) * 32, bytes([2]) * 32, bytes([3]) * 32


async def test_everybody_is_woken_by_the_right_tip() -> None:
    """New, at a height, with a hash: each by its own."""
    waiters = TipWaiters()
    waiters.on_tip(1, ONE)
    async with asyncio.TaskGroup() as group:
        new = group.create_task(waiters.wait("new", b"", 0))
        height = group.create_task(waiters.wait("height", 3, 0))
        exact = group.create_task(waiters.wait("hash", TWO, 0))
        await asyncio.sleep(0)
        waiters.on_tip(1, ONE)
        await asyncio.sleep(0)
        assert (new.done(), height.done(), exact.done()) == (False, False, False)
        waiters.on_tip(2, TWO)
        for _ in range(3):
            await asyncio.sleep(0)
        assert (new.done(), height.done(), exact.done()) == (True, False, True)
        waiters.on_tip(3, THREE)
    assert new.result() == exact.result() == {"hash": txid_to_hex(TWO), "height": 2}
    assert height.result() == {"hash": txid_to_hex(THREE), "height": 3}


async def test_what_is_there_needs_no_waiting() -> None:
    """A height that is reached, a tip that is already another."""
    waiters = TipWaiters()
    waiters.on_tip(2, TWO)
    assert await waiters.wait("height", 1, 0) == {"hash": txid_to_hex(TWO), "height": 2}
    assert await waiters.wait("new", ONE, 0) == {"hash": txid_to_hex(TWO), "height": 2}


async def test_time_runs_out() -> None:
    """The tip of that moment is the answer, not an error."""
    waiters = TipWaiters()
    waiters.on_tip(2, TWO)
    assert await waiters.wait("new", b"", 1) == {"hash": txid_to_hex(TWO), "height": 2}
