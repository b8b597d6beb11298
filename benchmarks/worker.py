"""One node in its own process, driven by JSON lines on its standard input; answers are JSON lines on its standard output."""

import asyncio
import cProfile
import json
import logging
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from leyden.drivers.storage.sqlite import SqliteStore
from leyden.manager.events import PaymentFailed, PaymentSent
from leyden.node.node import Node
from leyden.node.settings import BitcoindSettings, ChannelSettings, ForwardingSettings, NodeConfig, StoreSettings

Command = dict[str, Any]


class Worker:
    """Runs one node and what the benchmark asks of it."""

    def __init__(self, node: Node) -> None:
        self.node = node
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
        info = await self.node.info()
        return {"node_id": info.node_id, "listening": info.listening, "height": info.block_height, "synced": info.is_synced}

    async def do_address(self, _command: Command) -> Any:
        return (await self.node.new_address()).address

    async def do_connect(self, command: Command) -> Any:
        await self.node.connect(command["node_id"], command["host"], command["port"])

    async def do_open(self, command: Command) -> Any:
        opened = await self.node.open_channel(command["node_id"], command["amount_sat"], command["push_msat"])
        return opened.channel_id

    async def do_usable(self, _command: Command) -> Any:
        return sum([one.is_usable for one in await self.node.channels()])

    async def do_hints(self, _command: Command) -> Any:
        invoice = await self.node.create_invoice(1000, "hints?")
        return len((await self.node.decode_invoice(invoice.invoice)).route_hints)

    async def do_invoices(self, command: Command) -> Any:
        made = [
            await self.node.create_invoice(command["amount_msat"], "benchmark", 86_400) for _ in range(command["count"])
        ]
        return [one.invoice for one in made]

    async def do_pay(self, command: Command) -> Any:
        """Pay all invoices with `in_flight` of them under way; return times."""
        todo = iter(command["invoices"])
        loop = asyncio.get_running_loop()
        latencies: list[float] = []
        failed = 0

        async def payer() -> None:
            nonlocal failed
            for invoice in todo:
                started = time.perf_counter()
                payment = await self.node.pay(invoice)
                done: asyncio.Future[bool] = loop.create_future()
                self.waiting[bytes.fromhex(payment.payment_id)] = done
                if not await done:
                    failed += 1
                latencies.append(time.perf_counter() - started)

        begun = time.perf_counter()
        await asyncio.gather(*[payer() for _ in range(command["in_flight"])])
        latencies.sort()
        return {
            "seconds": time.perf_counter() - begun,
            "p50_ms": latencies[len(latencies) // 2] * 1000,
            "p99_ms": latencies[len(latencies) * 99 // 100] * 1000,
            "failed": failed,
        }

    async def do_use(self, _command: Command) -> Any:
        """Return what this process has used so far."""
        store = self.node.core.runtime.store
        inner = getattr(store, "_inner", store)
        commits = inner.commits if isinstance(inner, SqliteStore) else 0
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "cpu": usage.ru_utime + usage.ru_stime,
            "commits": commits,
            "waiting": len(self.waiting),
            "rss_mib": _rss_mib(),
            "store_bytes": _size(self.node.config.directory),
        }

    async def do_debug(self, _command: Command) -> Any:
        out = []
        for slot in self.node.core.manager.channels.values():
            c, s = slot.state.core, slot.state.session
            out.append(dict(state=type(slot.state).__name__, halted=slot.halted, closing=str(c.closing), out=len(c.outbound), inb=len(c.inbound), q=len(s.queued_adds), qr=len(s.queued_removals), awaiting=c.awaiting_revocation, pl=bool(c.peer_local), rest=s.reestablished, ln=c.local.number, rn=c.remote.number, roff=c.remote.offered_count, dur=slot.tail.durable, pos=slot.tail.position, recv=len(s.received_adds)))
        m = self.node.core.manager
        return dict(ch=out, events=len(m.events), live=sum(p.is_live for p in m.node.ledger.payments.values()), parts=sum(len(p.parts) for p in m.node.ledger.payments.values()), node=(m.node_tail.durable, m.node_tail.position), lines={k.hex()[:6]: (len(l.entries)) for k,l in m.outbox.lines.items()}, paused=self.node.core.runtime._paused)

    async def do_compact(self, _command: Command) -> Any:
        """Snapshot every journal, as a long quiet time would."""
        core = self.node.core
        await core.all_durable()
        core.manager.write_acknowledgements()
        await core.all_durable()
        for journal in list(core.runtime.outbox.tails):
            core.runtime.snapshot(journal)
        await asyncio.sleep(1.0)

    async def do_profile(self, command: Command) -> Any:
        if command["on"]:
            self.profiler = cProfile.Profile()
            self.profiler.enable()
        elif self.profiler is not None:
            self.profiler.disable()
            self.profiler.dump_stats(command["path"])


def _rss_mib() -> float:
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * resource.getpagesize() / (1 << 20)


def _size(directory: Path) -> int:
    return sum([path.stat().st_size for path in directory.glob("journals.sqlite*")])


async def main() -> None:
    """Run the node until standard input ends."""
    options = json.loads(sys.argv[1])
    logging.basicConfig(level=logging.WARNING)
    config = NodeConfig(
        data_dir=options["data_dir"],
        listen=("127.0.0.1:0",),
        bitcoind=BitcoindSettings(url=options["chain_url"], cookie_file=options["cookie_file"]),
        store=StoreSettings(delay_ms=options.get("delay_ms", 0)),
        channels=ChannelSettings(minimum_depth=1),
        forwarding=ForwardingSettings(fee_base_msat=0, fee_proportional_millionths=0),
    )
    reader = asyncio.StreamReader(limit=1 << 26)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with Node(config) as node:
        worker = Worker(node)
        events = asyncio.create_task(worker.acknowledge_all())
        while line := await reader.readline():
            if b"pay" in line[:20]:
                async def bg(line=line):
                    sys.stdout.write(json.dumps({"ok": await worker.do(json.loads(line))}) + "\n"); sys.stdout.flush()
                asyncio.create_task(bg()); continue
            try:
                answer = {"ok": await worker.do(json.loads(line))}
            except Exception as error:  # noqa: BLE001 - told to the benchmark
                answer = {"error": f"{type(error).__name__}: {error}"}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
        events.cancel()


if __name__ == "__main__":
    asyncio.run(main())
