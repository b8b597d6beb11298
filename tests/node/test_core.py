"""Coroutines wait for the run loop: for what their own command wrote, for no more than that, and never for ever."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from leyden.base.errors import CommandRejected, StorageBroken
from leyden.journal.node_records import EventsAcknowledged
from leyden.manager.events import Event, PaymentFailed, PaymentSent, StoreBehind
from leyden.manager.manager import Manager
from leyden.node.core import NodeCore
from leyden.node.settings import NodeConfig
from leyden.ports.chain import ChainSource
from leyden.sim.node import SimNode
from tests.manager.stage import Stage
from tests.sim import topologies


class Scene:
    """bob's node, whose disk writes when it is told; he has a channel with alice and one with carol."""

    def __init__(self) -> None:
        self.stage = Stage(topologies.line())
        self.bob: SimNode = self.stage["bob"]
        runtime = self.bob.runtime
        self.core = NodeCore(
            NodeConfig(data_dir=""), runtime, runtime.wallet, cast(ChainSource, None), lambda: bytes(32)
        )

    def write(self, journal: str) -> None:
        """Let what a journal has under way become durable."""
        while journal in self.bob.disk.under_way():
            self.bob.disk.commit(journal)
        self.stage.world.settle()

    def note(self, manager: Manager) -> str:
        """A command that writes into `node` alone."""
        manager.record(EventsAcknowledged(["of before"]))
        return "noted"

    def lag(self) -> None:
        """A channel's journal has something under way."""
        self.stage.pay("alice", "bob", self.stage.invoice("bob"), deadline_seconds=10_000)
        self.stage.world.nodes["bob"].disk.held[self.journal] = None
        self.stage.seconds(1)
        assert self.journal in self.bob.disk.under_way()

    @property
    def journal(self) -> str:
        """That of the channel with alice."""
        return self.stage.slot("bob", "alice").tail.journal


async def turns(scene: Scene) -> None:
    """Let everything run that can, but the disk."""
    for _ in range(5):
        scene.stage.world.settle()
        await asyncio.sleep(0)


async def test_command_is_answered_when_what_it_wrote_is_durable() -> None:
    """Another journal that hangs is none of its business (invariant P1)."""
    scene = Scene()
    scene.lag()
    asked = asyncio.ensure_future(scene.core.run(scene.note))
    await turns(scene)
    assert not asked.done()
    scene.write("node")
    await turns(scene)
    assert asked.result() == "noted"


async def test_command_that_writes_nothing_waits_for_all() -> None:
    """What it found in memory may be undone by a crash."""
    scene = Scene()
    scene.lag()
    asked = asyncio.ensure_future(scene.core.run(lambda _m: "found"))
    scene.write("node")
    await turns(scene)
    assert not asked.done()
    scene.bob.disk.held.clear()
    scene.write(scene.journal)
    await turns(scene)
    assert asked.result() == "found"


async def test_command_of_the_node_journal_waits_for_that_alone() -> None:
    """Without a pass of its own: the next one carries its record."""
    scene = Scene()
    scene.lag()
    asked = asyncio.ensure_future(scene.core.run_in_node(scene.note))
    await turns(scene)
    assert "node" in scene.bob.disk.under_way()
    assert not asked.done()
    scene.write("node")
    await turns(scene)
    assert asked.result() == "noted"


async def test_read_shows_what_was_there_when_that_is_durable() -> None:
    """Of the journals that it rests on; of all when it does not say."""
    scene = Scene()
    scene.lag()
    seen = ["then"]
    other = scene.stage.slot("bob", "carol").tail
    assert await scene.core.read(lambda: list(seen), [other]) == ["then"]
    asked = asyncio.ensure_future(scene.core.read(lambda: list(seen)))
    whole = asyncio.ensure_future(scene.core.all_durable())
    await turns(scene)
    seen.append("now")
    assert not asked.done()
    assert not whole.done()
    scene.bob.disk.held.clear()
    scene.write("node")
    scene.write(scene.journal)
    await turns(scene)
    assert asked.result() == ["then"]
    assert whole.done()


async def test_who_may_say_what_is_not_durable_waits_a_while() -> None:
    """However often it is asked, nothing piles up behind a journal that hangs."""
    scene = Scene()
    scene.lag()
    for _ in range(3):
        await scene.core.settle(0.001)
    waiting = len(scene.stage.slot("bob", "alice").tail.waiting)
    for _ in range(20):
        await scene.core.settle(0.001)
    assert len(scene.stage.slot("bob", "alice").tail.waiting) == waiting
    asked = asyncio.ensure_future(scene.core.settle(60))
    await turns(scene)
    assert not asked.done()
    scene.bob.disk.held.clear()
    scene.write("node")
    scene.write(scene.journal)
    await turns(scene)
    assert asked.done()
    await scene.core.settle(60)
    scene.bob.run(scene.note)
    again = asyncio.ensure_future(scene.core.settle(60))
    await turns(scene)
    assert not again.done(), "what came since is waited for anew"
    scene.write("node")
    await turns(scene)
    assert again.done()


@pytest.mark.parametrize("how", ["waits", "comes"])
async def test_lost_store_keeps_nobody_waiting(how: str) -> None:
    """Those who wait are told by the node, those who come by the run loop; none is answered."""
    scene = Scene()
    scene.lag()
    asks: list[Callable[[], Awaitable[object]]] = [
        lambda: scene.core.run(scene.note),
        lambda: scene.core.run_in_node(scene.note),
        lambda: scene.core.read(lambda: "shown"),
        scene.core.all_durable,
        lambda: scene.core.settle(60),
    ]
    lost = StorageBroken("the disk is gone")
    if how == "comes":
        scene.bob.runtime.broken = lost
    asked = [asyncio.ensure_future(ask()) for ask in asks]
    await turns(scene)
    if how == "waits":
        assert not [one for one in asked if one.done()]
        scene.core.abort_waiters(lost)
        await turns(scene)
    assert [one.exception() for one in asked] == [lost] * len(asks)


async def test_waiters_of_payments_and_openings_end_with_the_node() -> None:
    """Those that are done, or have gone away, are left alone."""
    core = Scene().core
    loop = asyncio.get_running_loop()
    payments: list[asyncio.Future[None]] = [loop.create_future() for _ in range(3)]
    openings: list[asyncio.Future[bytes]] = [loop.create_future() for _ in range(2)]
    core.payment_waiters = {b"one": payments[:2], b"two": payments[2:]}
    core.opening_waiters = dict(zip((b"one", b"two"), openings, strict=True))
    payments[0].set_result(None)
    openings[0].cancel()
    stops = CommandRejected("the node stops", code="not_running")
    core.abort_waiters(stops)
    assert [one.exception() for one in payments] == [None, stops, stops]
    assert openings[1].exception() is stops
    assert not core.payment_waiters
    assert not core.opening_waiters


async def test_event_reaches_every_iterator_and_the_end_of_a_payment_its_waiters() -> None:
    """Of that payment; a waiter that has gone away does no harm."""
    core = Scene().core
    loop = asyncio.get_running_loop()
    for name in ("one", "other"):
        core.subscribers[name] = (deque(), asyncio.Event())
    waiting: dict[bytes, asyncio.Future[None]] = {
        name: loop.create_future() for name in (b"sent", b"failed", b"third", b"gone")
    }
    waiting[b"gone"].cancel()
    core.payment_waiters = {name: [one] for name, one in waiting.items()}
    core.payment_waiters[b"sent"].append(waiting[b"gone"])
    events: list[Event] = [
        StoreBehind("store", 1, 2, 3, "slow"),
        PaymentSent("sent/1", b"sent", bytes(32), bytes(32), 1_000, 1),
        PaymentFailed("failed/1", b"failed", bytes(32), "no_route", 0, -1),
        PaymentSent("sent/2", b"unknown", bytes(32), bytes(32), 1_000, 1),
    ]
    for event in events:
        core.show(event)
    for queue, wake in core.subscribers.values():
        assert list(queue) == events
        assert wake.is_set()
    assert waiting[b"sent"].done()
    assert waiting[b"failed"].done()
    assert not waiting[b"third"].done()
    core.wake_payment(b"third")
    assert waiting[b"third"].done()
    assert list(core.payment_waiters) == [b"gone"]


async def test_work_that_fails_is_said_and_work_that_ends_is_forgotten() -> None:
    """In the log and among the alarms, with the sentence of our own errors and the whole of others."""
    scene = Scene()
    core = scene.core

    async def fails(error: Exception) -> None:
        raise error

    core.spawn(fails(CommandRejected("no such thing", code="x")), "asking")
    core.spawn(fails(ValueError("odd")), "thinking")
    core.spawn(asyncio.sleep(0), "resting")
    await turns(scene)
    assert core.alarms == {"asking": "asking failed: no such thing", "thinking": "thinking failed: ValueError('odd')"}
    said = [(one.subsystem, one.level, one.text) for one in scene.bob.reports]
    assert ("node", "error", "thinking failed: ValueError('odd')") in said
    scene.bob.reports.clear()


async def test_work_ends_with_the_node() -> None:
    """Also that which ends with an error; nothing of it is an alarm."""
    core = Scene().core
    ended: list[str] = []

    async def works() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("works")

    wrong: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: wrong.append(context))
    core.spawn(works(), "working")
    await asyncio.sleep(0)
    await core.cancel_tasks()
    await asyncio.sleep(0)
    assert ended == ["works"]
    assert not wrong
    assert not core.alarms


def test_blocks_behind_are_never_less_than_none() -> None:
    """The tip that is known may be older than what was looked at."""
    core = Scene().core
    core.best_height, core.tip_height = 5, 9
    assert core.blocks_behind == 4
    core.best_height = 12
    assert core.blocks_behind == 0
