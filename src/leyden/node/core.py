"""What the parts of a running node share, and how a coroutine waits for the run loop."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from leyden.base.errors import LeydenError
from leyden.manager.events import Event, PaymentFailed, PaymentSent
from leyden.manager.manager import Manager
from leyden.manager.outbox import Tail
from leyden.node.runtime import Runtime
from leyden.node.settings import NodeConfig
from leyden.ports.chain import ChainSource
from leyden.ports.transport import Transport
from leyden.ports.wallet import OnchainWallet

ResultT = TypeVar("ResultT")


class NodeCore:
    """Shared state of a running node; every method runs on the event loop's thread.

    chain_status: empty while the chain source works. is_synced: the chain was followed to its tip in this life.
    best_height, tip_height: of the block that was looked at last, and of the best one that the chain source knows of.
    checks_reserve: the coins for anchors are looked at in a later turn.
    subscribers: queues of events, one for each iterator.
    """

    def __init__(
        self,
        config: NodeConfig,
        runtime: Runtime,
        wallet: OnchainWallet,
        chain: ChainSource,
        random32: Callable[[], bytes],
    ) -> None:
        self.config = config
        self.runtime = runtime
        self.manager: Manager = runtime.manager
        self.wallet = wallet
        self.chain = chain
        self.random32 = random32
        self.transport: Transport | None = None
        self.listening: list[str] = []
        self.chain_status = "not asked yet"
        self.is_synced = False
        self.started_seconds = runtime.scheduler.now_seconds()
        self.best_height = 0
        self.tip_height = 0
        self.best_hash = b""
        self.alarms: dict[str, str] = {}
        self.checks_reserve = False
        self.unwanted_peers: dict[bytes, None] = {}
        self.subscribers: dict[object, tuple[deque[Event], asyncio.Event]] = {}
        self.payment_waiters: dict[bytes, list[asyncio.Future[None]]] = {}
        self.opening_waiters: dict[bytes, asyncio.Future[bytes]] = {}
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._durable_waiters: dict[asyncio.Future[None], None] = {}
        self._settled: asyncio.Future[None] | None = None

    @property
    def blocks_behind(self) -> int:
        """How many blocks of the best chain have not been looked at yet, as far as is known."""
        return max(0, self.tip_height - self.best_height)

    # --- waiting ---------------------------------------------------------------------------------------------------

    async def run(self, command: Callable[[Manager], ResultT]) -> ResultT:
        """Run a command, and return its result when everything that it decided is durable (invariant P1).

        That is in the journals that got a record in its pass. After a command that writes none all are waited for:
        what it found may not be durable yet.
        """
        tails = self.runtime.outbox.tails
        before = {name: tail.position for name, tail in tails.items()}
        result: list[ResultT] = []
        self.runtime.run(lambda manager: result.append(command(manager)))
        self.runtime.turn()
        moved = [tail for name, tail in tails.items() if tail.position != before.get(name, 0)]
        await self.durable(moved or tails.values())
        return result[0]

    async def run_in_node(self, command: Callable[[Manager], ResultT]) -> ResultT:
        """The same for a command whose records are in the node journal alone, without a pass of its own."""
        result: list[ResultT] = []
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def run(manager: Manager) -> None:
            result.append(command(manager))
            manager.outbox.when_durable(manager.node_tail, lambda: _resolve(durable))

        self.runtime.run(run)
        await self._until(durable)
        return result[0]

    async def read(self, view: Callable[[], ResultT], tails: Iterable[Tail] | None = None) -> ResultT:
        """Return what `view` says of the memory now, once it is durable: what an answer shows must not vanish at a
        crash. tails: the journals that it rests on; None: all.
        """
        self.runtime.turn()
        shown = view()
        await self.durable(self.runtime.outbox.tails.values() if tails is None else tails)
        return shown

    async def all_durable(self) -> None:
        """Wait until all that is in memory now is durable."""
        self.runtime.turn()
        await self.durable(self.runtime.outbox.tails.values())

    async def settle(self, within_seconds: float) -> None:
        """The same, for so long at most: for answers that say what of them is not durable. Raises as `_until`.

        While a journal hangs, those who ask again and again wait for the same moment: nothing piles up behind it.
        """
        self.runtime.turn()
        settled = self._settled
        if settled is None or settled.done():
            settled = self._settled = asyncio.get_running_loop().create_future()
            self.runtime.outbox.when_all_durable(partial(_resolve, settled))
            self.runtime.turn()
        with suppress(TimeoutError):
            async with asyncio.timeout(within_seconds):
                await self._until(asyncio.shield(settled))

    async def durable(self, tails: Iterable[Tail]) -> None:
        """Wait until all that these journals hold now is durable. Raises as `_until`."""
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if any(tail.durable < tail.position for tail in tails):
            self.runtime.outbox.when_these_durable(tails, lambda: _resolve(durable))
        else:
            durable.set_result(None)
        await self._until(durable)

    async def _until(self, durable: "asyncio.Future[None]") -> None:
        """Wait for the store, which may be lost meanwhile. Raises StorageBroken, or what `abort_waiters` was told."""
        if self.runtime.broken is not None:
            raise self.runtime.broken
        self._durable_waiters[durable] = None
        try:
            await durable
        finally:
            del self._durable_waiters[durable]

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        """Run a coroutine beside the loop; its end is looked at, its errors are reported."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks[task] = None
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and task.exception() is not None:
            error = task.exception()
            failed = f"{task.get_name()} failed: {error if isinstance(error, LeydenError) else repr(error)}"
            self.alarms[task.get_name()] = failed
            self.manager.report("node", "error", failed)
            self.runtime.turn()

    async def cancel_tasks(self) -> None:
        """End everything that was spawned."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- events ----------------------------------------------------------------------------------------------------

    def show(self, event: Event) -> None:
        """Give an event to every iterator, and wake who waits for its payment."""
        for queue, wake in self.subscribers.values():
            queue.append(event)
            wake.set()
        if isinstance(event, PaymentSent | PaymentFailed):
            self.wake_payment(event.payment_id)

    def wake_payment(self, payment_id: bytes) -> None:
        """Wake whoever waits for a payment."""
        for waiter in self.payment_waiters.pop(payment_id, ()):
            _resolve(waiter)

    def abort_waiters(self, error: Exception) -> None:
        """The node stops: nobody waits for ever."""
        for waiters in self.payment_waiters.values():
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(error)
        for opening in self.opening_waiters.values():
            if not opening.done():
                opening.set_exception(error)
        for durable in self._durable_waiters:
            if not durable.done():
                durable.set_exception(error)
        self.payment_waiters.clear()
        self.opening_waiters.clear()


def _resolve(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
