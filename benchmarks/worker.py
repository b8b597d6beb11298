"""One node in its own process: commands are JSON lines on its standard input, answers on its standard output."""

import asyncio
import cProfile
import gc
import json
import logging
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from leyden.base.errors import CommandRejected
from leyden.base.ids import JournalId
from leyden.drivers.storage.delayed import DelayedStore
from leyden.drivers.storage.sqlite import SqliteStore
from leyden.drivers.storage.switchable import SwitchableStore
from leyden.manager.events import PaymentFailed, PaymentSent
from leyden.node.node import Node
from leyden.node.settings import BitcoindSettings, ChannelSettings, ForwardingSettings, NodeConfig, StoreSettings

Command = dict[str, Any]


class Worker:
    """Runs one node and what the benchmark asks of it."""

    def __init__(self, node: Node, store: SqliteStore, switch: SwitchableStore | None) -> None:
        self.node = node
        self.store = store
        self.switch = switch
        self.waiting: dict[bytes, asyncio.Future[bool]] = {}
        self.profiler: cProfile.Profile | None = None

    async def acknowledge_all(self) -> None:
        """Handle events as an application would: note the outcome, acknowledge."""
        async for handle in self.node.events_iterator():
            event = handle.event
            if isinstance(event, PaymentSent | PaymentFailed):
                waiter = self.waiting.pop(event.payment_id, None)
                if waiter is not None:
                    waiter.set_result(isinstance(event, PaymentSent))
            handle.acknowledge()

    async def do(self, command: Command) -> Any:
        """Run one command."""
        method: Callable[[Command], Any] = getattr(self, "do_" + command["do"])
        return await method(command)

    async def do_info(self, _command: Command) -> Any:
        """Return who the node is and whether it follows the chain."""
        info = await self.node.info()
        return {
            "node_id": info.node_id,
            "listening": info.listening,
            "height": info.block_height,
            "synced": info.is_synced,
        }

    async def do_address(self, _command: Command) -> Any:
        """Return an address of the wallet."""
        return (await self.node.new_address()).address

    async def do_connect(self, command: Command) -> Any:
        """Connect to a peer."""
        await self.node.connect(command["node_id"], command["host"], command["port"])

    async def do_open(self, command: Command) -> Any:
        """Open a channel."""
        opened = await self.node.open_channel(command["node_id"], command["amount_sat"], command["push_msat"])
        return opened.channel_id

    async def do_usable(self, _command: Command) -> Any:
        """Return how many channels can be used."""
        return sum([one.is_usable for one in await self.node.channels()])

    async def do_hints(self, _command: Command) -> Any:
        """Return how many ways an invoice of this node names."""
        invoice = await self.node.create_invoice(1000, "hints?")
        return len((await self.node.decode_invoice(invoice.invoice)).route_hints)

    async def do_invoices(self, command: Command) -> Any:
        """Make invoices."""
        made = [
            await self.node.create_invoice(command["amount_msat"], "benchmark", 86_400) for _ in range(command["count"])
        ]
        return [one.invoice for one in made]

    async def do_pay(self, command: Command) -> Any:
        """Pay all invoices with `in_flight` of them under way; return times from `pay` to `PaymentSent`."""
        todo = iter(command["invoices"])
        loop = asyncio.get_running_loop()
        latencies: list[float] = []
        failed = 0

        async def payer() -> None:
            nonlocal failed
            for invoice in todo:
                payment_id = os.urandom(32)
                done = self.waiting[payment_id] = loop.create_future()
                started = time.perf_counter()
                try:
                    await self.node.pay(invoice, payment_id=payment_id.hex())
                    failed += not await done
                except CommandRejected:
                    failed += 1
                latencies.append(time.perf_counter() - started)

        begun = time.perf_counter()
        await asyncio.gather(*[payer() for _ in range(command["in_flight"])])
        latencies.sort()
        return {
            "seconds": time.perf_counter() - begun,
            "p50_ms": latencies[len(latencies) // 2] * 1000,
            "p99_ms": latencies[len(latencies) * 99 // 100] * 1000,
            "max_ms": latencies[-1] * 1000,
            "failed": failed,
        }

    async def do_begin(self, command: Command) -> Any:
        """Start a payment that nobody waits for."""
        await self.node.pay(command["invoice"])

    async def do_stall(self, command: Command) -> Any:
        """Let the store hang from now on for so many seconds; with a channel, its journal alone."""
        assert self.switch is not None
        self.switch.hold(*([f"channel/{command['channel']}"] if command["channel"] else []))
        asyncio.get_running_loop().call_later(command["seconds"], self.switch.accept)

    async def do_use(self, _command: Command) -> Any:
        """Return what this process has used so far. loop_cpu: the part of `cpu` on the event loop's thread."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "cpu": usage.ru_utime + usage.ru_stime,
            "loop_cpu": time.thread_time(),
            "commits": self.store.commits,
            "rss_mib": _rss_mib(),
        }

    async def do_rest(self, _command: Command) -> Any:
        """Let everything become durable and garbage be collected; return the memory that is left."""
        await self.node.core.all_durable()
        gc.collect()
        return _rss_mib()

    async def do_compact(self, _command: Command) -> Any:
        """Snapshot every journal and give space back, as a long quiet time would; return bytes on disk."""
        core = self.node.core
        core.runtime.on_second()
        await core.all_durable()
        begun = time.perf_counter()
        journals = list(core.runtime.outbox.tails)
        for journal in journals:
            core.runtime.snapshot(journal)
        pause_ms = (time.perf_counter() - begun) * 1000
        await asyncio.sleep(0.2)
        await self.store.reclaim()
        path = self.node.config.store_path
        files = [path, path.with_name(path.name + "-wal")]
        return {
            "file_bytes": sum([one.stat().st_size for one in files if one.exists()]),
            "penalty_bytes": sum([len(self.store.penalty_rows(JournalId(journal))) for journal in journals]),
            "snapshot_pause_ms": round(pause_ms, 1),
        }

    async def do_profile(self, command: Command) -> Any:
        """Begin or end a profile of the event loop's thread by its CPU clock; first return what the clock costs."""
        if command["on"]:
            bias = _profiler_bias(_calls, "_nothing") + _profiler_bias(
                _calls_into_c, "<built-in method builtins.callable>"
            )
            self.profiler = cProfile.Profile(time.thread_time)
            self.profiler.enable()
            return bias
        if self.profiler is not None:
            self.profiler.disable()
            self.profiler.dump_stats(command["path"])
        return None


def _nothing() -> None:
    """What takes no time by itself."""


def _calls(number: int) -> None:
    for _ in range(number):
        _nothing()


def _calls_into_c(number: int) -> None:
    for _ in range(number):
        callable(None)


def _profiler_bias(calls: Callable[[int], None], callee: str) -> tuple[float, float]:
    """Return the seconds that the profiler adds to a function for each call of it, and for each call that it makes."""
    number = 50_000
    begun = time.thread_time()
    calls(number)
    real = (time.thread_time() - begun) / number
    profiler = cProfile.Profile(time.thread_time)
    profiler.enable()
    calls(number)
    profiler.disable()
    own = {
        entry.code if isinstance(entry.code, str) else entry.code.co_name: entry.inlinetime / number
        for entry in profiler.getstats()
    }
    # An empty call and its loop take about the same.
    return own[callee] - real / 2, own[calls.__name__] - real / 2


def _rss_mib() -> float:
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * resource.getpagesize() / (1 << 20)


def _config(options: dict[str, Any]) -> NodeConfig:
    return NodeConfig(
        data_dir=options["data_dir"],
        listen=("127.0.0.1:0",),
        bitcoind=BitcoindSettings(url=options["chain_url"], cookie_file=options["cookie_file"]),
        store=StoreSettings(delay_ms=options["delay_ms"]),
        channels=ChannelSettings(minimum_depth=1),
        forwarding=ForwardingSettings(fee_base_msat=0, fee_proportional_millionths=0),
    )


def _answer(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


async def main() -> None:
    """Run the node until standard input ends."""
    logging.basicConfig(level=logging.WARNING)
    options = json.loads(sys.argv[1])
    config = _config(options)
    switch = SwitchableStore(SqliteStore(config.store_path)) if options["switch"] else None
    reader = asyncio.StreamReader(limit=1 << 26)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with Node(config, store=switch) as node:
        store = node.core.runtime.store
        inner = store.inner if isinstance(store, DelayedStore | SwitchableStore) else store
        assert isinstance(inner, SqliteStore)
        worker = Worker(node, inner, switch)
        events = asyncio.create_task(worker.acknowledge_all())
        while line := await reader.readline():
            try:
                _answer({"ok": await worker.do(json.loads(line))})
            except Exception as error:  # noqa: BLE001 - told to the benchmark
                _answer({"error": f"{type(error).__name__}: {error}"})
        events.cancel()


if __name__ == "__main__":
    asyncio.run(main())
