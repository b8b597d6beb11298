"""The second place is written lazily, and again after a failure."""

import asyncio
from pathlib import Path

from leyden.drivers.markfile import Mark, MarkFile
from leyden.node import second_place


async def test_write_that_failed_is_tried_again(tmp_path: Path) -> None:
    """A service that stops at its first failure leaves an old mark behind for the rest of the life (hazard H125)."""
    mark = MarkFile(tmp_path / "mark")
    obstacle = tmp_path / "mark.new"
    obstacle.mkdir()
    said: asyncio.Queue[str] = asyncio.Queue()
    durable = {"node": 1}
    keeping = asyncio.ensure_future(
        second_place.keep(mark, 4, lambda: dict(durable), lambda: True, said.put_nowait, 0.001)
    )
    why = await said.get()
    assert str(tmp_path / "mark") in why
    assert await said.get() == why, "it goes on trying"
    obstacle.rmdir()
    while await said.get():
        pass
    assert mark.read() == Mark(4, {"node": 1})
    durable["node"] = 2
    await said.get()
    assert await said.get() == ""
    assert mark.read() == Mark(4, {"node": 2})
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


async def test_life_that_lost_the_store_marks_nothing_more(tmp_path: Path) -> None:
    """Its mark would hide from the next start that the journals of the life behind it are an old copy (hazard H88)."""
    mark = MarkFile(tmp_path / "mark")
    ours = [True]
    said: asyncio.Queue[str] = asyncio.Queue()
    keeping = asyncio.ensure_future(
        second_place.keep(mark, 4, lambda: {"node": 1}, lambda: ours[0], said.put_nowait, 0.001)
    )
    await said.get()
    ours[0] = False
    await keeping
    mark.write(5, {"node": 9})
    await second_place.keep(mark, 4, lambda: {"node": 1}, lambda: ours[0], said.put_nowait, 0.001)
    assert mark.read() == Mark(5, {"node": 9})
