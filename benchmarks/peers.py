"""`python -m benchmarks.peers`: the same work for Leyden, LND and LDK, in one run on one machine, as ratios.

Two nodes of a pair are two processes over loopback TCP with one anchors channel; invoices are made before the clock
starts. Leyden is driven in its process (`benchmarks.worker`), LDK in its own (our program on its crates), LND through
its REST.
"""

import argparse
import asyncio
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol, final

import msgspec
from rich.console import Console

from benchmarks import machine, report
from benchmarks.payments import make_invoices
from benchmarks.process_use import Use, count_syncs, use_of
from benchmarks.screen import Screen
from benchmarks.world import NOBODY, BenchNode, World
from interop.foreign import BulkPaid, ChainPlace, ForeignNode, ForeignOptions, NotOffered, OpenRequest
from interop.kinds import FOREIGN, makers_of
from interop.world import PeerMaker, PeerPlace

FIGURES_FILE: Final = Path(__file__).parent / "peers.json"
CHANNEL_SAT: Final = 1_000_000_000
"""The largest that LND opens."""
WARM_UP: Final = 30
SECONDS_A_CASE: Final = 5.0
COUNT_MAX: Final = 3_000
SYNC_PAYMENTS: Final = 100
END_SECONDS: Final = 90.0
"""A run that takes longer has stopped: it is tried once more, and then told as what it is."""
ATTEMPTS: Final = 2
DELAYS_MS: Final = (0, 150)


class Case(msgspec.Struct, frozen=True):
    """What is paid: so many under way, each of that amount."""

    in_flight: int
    amount_sat: int

    @property
    def title(self) -> str:
        """Heading of its column."""
        return f"{self.amount_sat:,} sat, {self.in_flight} in flight"


CASES: Final = (Case(1, 10_000), Case(100, 10_000), Case(400, 10_000), Case(100, 1))
LEYDEN: Final = "leyden"


class Pair(msgspec.Struct, frozen=True):
    """Who pays whom. delay_ms: of the stores of both."""

    payer: str
    payee: str
    delay_ms: int = 0

    @property
    def title(self) -> str:
        """Heading of its row."""
        late = f", stores {self.delay_ms} ms late" if self.delay_ms else ""
        return f"{self.payer} to {self.payee}{late}"


PAIRS: Final = (
    *[Pair(kind, kind, delay_ms) for delay_ms in DELAYS_MS for kind in (LEYDEN, *FOREIGN)],
    *[pair for kind in FOREIGN for pair in (Pair(LEYDEN, kind), Pair(kind, LEYDEN))],
)


class Measured(msgspec.Struct, frozen=True):
    """One cell. cpu_ms, syncs: per payment, payer and payee; syncs None: not counted, strace is missing."""

    pair: Pair
    case: Case
    per_second: float
    count: int
    failed: int
    p50_ms: float
    p99_ms: float
    cpu_ms: tuple[float, float]
    syncs: tuple[float, float] | None = None


class Figures(msgspec.Struct):
    """All that is known. refused: pairs that cannot be measured, and why."""

    machine: dict[str, Any] = {}
    when: str = ""
    versions: dict[str, str] = {}
    measured: list[Measured] = []
    refused: dict[str, str] = {}


# --------------------------------------------------------------------------------------------------------------- sides


class Side(Protocol):
    """One node of a pair, whatever it is."""

    node_id: str
    port: int
    pid: int
    version: str

    async def address(self) -> str:
        """Return an address of its wallet."""
        ...

    async def height(self) -> int:
        """Return how far it has followed the chain."""
        ...

    async def open(self, other: "Side") -> None:
        """Connect and open the channel."""
        ...

    async def usable(self) -> bool:
        """Whether it can use the channel."""
        ...

    async def invoices(self, count: int, amount_sat: int) -> list[str]:
        """Make invoices."""
        ...

    async def pay(self, invoices: Sequence[str], in_flight: int) -> BulkPaid:
        """Pay them."""
        ...


@final
class LeydenSide:
    """Leyden, driven in its process."""

    def __init__(self, node: BenchNode) -> None:
        self._node = node
        self.node_id, self.port, self.pid = node.node_id, node.port, node.process.pid
        self.version = "this checkout"

    async def address(self) -> str:
        """See `Side`."""
        return str(await asyncio.to_thread(self._node.call, "address"))

    async def height(self) -> int:
        """See `Side`."""
        return int((await asyncio.to_thread(self._node.call, "info"))["height"])

    async def open(self, other: Side) -> None:
        """See `Side`."""

        def opened() -> None:
            self._node.call("connect", node_id=other.node_id, host="127.0.0.1", port=other.port)
            self._node.call("open", node_id=other.node_id, amount_sat=CHANNEL_SAT, push_msat=0)

        await asyncio.to_thread(opened)

    async def usable(self) -> bool:
        """See `Side`."""
        return bool(await asyncio.to_thread(self._node.call, "usable"))

    async def invoices(self, count: int, amount_sat: int) -> list[str]:
        """See `Side`."""
        await until("the policy of the opener", self._has_hints)
        return await asyncio.to_thread(make_invoices, self._node, count, amount_sat)

    async def _has_hints(self) -> bool:
        return bool(await asyncio.to_thread(self._node.call, "hints"))

    async def pay(self, invoices: Sequence[str], in_flight: int) -> BulkPaid:
        """See `Side`."""
        seen = await asyncio.to_thread(self._node.call, "pay", invoices=list(invoices), in_flight=in_flight)
        return BulkPaid(seen["seconds"], seen["failed"], seen["p50_ms"], seen["p99_ms"])


@final
class ForeignSide:
    """A foreign node through its driver."""

    def __init__(self, node: ForeignNode) -> None:
        self._node = node
        self.node_id, self.port, self.pid, self.version = "", 0, 0, ""

    async def start(self) -> None:
        """Start it."""
        await self._node.start()
        info = await self._node.info()
        self.node_id, self.version, self.port, self.pid = info.node_id, info.version, self._node.port, self._node.pid

    async def stop(self) -> None:
        """End it."""
        await self._node.kill()

    async def address(self) -> str:
        """See `Side`."""
        return await self._node.new_address()

    async def height(self) -> int:
        """See `Side`."""
        info = await self._node.info()
        return info.block_height if info.is_synced else -1

    async def open(self, other: Side) -> None:
        """See `Side`."""
        await self._node.connect(other.node_id, other.port)
        await self._node.open_channel(OpenRequest(node_id=other.node_id, amount_sat=CHANNEL_SAT))

    async def usable(self) -> bool:
        """See `Side`."""
        return any(one.is_usable for one in await self._node.channels())

    async def invoices(self, count: int, amount_sat: int) -> list[str]:
        """See `Side`."""
        return [await self._node.create_invoice(amount_sat * 1000, "benchmark") for _ in range(count)]

    async def pay(self, invoices: Sequence[str], in_flight: int) -> BulkPaid:
        """See `Side`."""
        return await self._node.pay_all(invoices, in_flight)


# ----------------------------------------------------------------------------------------------------------- measuring


async def until(what: str, holds: Any, seconds: float = 60.0) -> None:
    """Wait for something that another process does. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not await holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s in vain for {what}")
        await asyncio.sleep(0.05)


@final
class PairRun:
    """Two nodes of a pair, started, with their channel."""

    def __init__(self, pair: Pair, world: World, makers: dict[str, PeerMaker]) -> None:
        self._pair = pair
        self._world = world
        self._makers = makers
        self._foreign: list[ForeignSide] = []
        self.sides: list[Side] = []

    async def start(self) -> None:
        """Start both, fund the payer, open the channel. Raises NotOffered when a store cannot be late."""
        for role, kind in (("payer", self._pair.payer), ("payee", self._pair.payee)):
            self.sides.append(await self._started(role, kind))
        payer = self.sides[0]
        self._world.rpc("generatetoaddress", 4, await payer.address())
        self._world.rpc("generatetoaddress", 101, NOBODY)
        await self._followed()
        await payer.open(self.sides[1])
        self._world.rpc("generatetoaddress", 6, NOBODY)
        await self._followed()
        for side in self.sides:
            await until("the channel", side.usable)

    async def _started(self, role: str, kind: str) -> Side:
        if kind == LEYDEN:
            return LeydenSide(await asyncio.to_thread(self._world.node, role, self._pair.delay_ms))
        user, _, password = self._world.cookie.read_text().partition(":")
        chain = ChainPlace(int(self._world.chain_url.rpartition(":")[2]), user, password)
        options = ForeignOptions(
            store_delay_ms=self._pair.delay_ms, log_messages=False, fee_base_msat=0, fee_proportional_millionths=0
        )
        folder = self._world.directory / role
        side = ForeignSide(self._makers[kind](PeerPlace(role, folder, chain, options, None)))
        self._foreign.append(side)
        await side.start()
        return side

    async def _followed(self) -> None:
        height = self._world.rpc("getblockcount")
        for side in self.sides:

            async def there(side: Side = side) -> bool:
                return await side.height() >= height

            await until("the chain", there)

    async def close(self) -> None:
        """End what the world does not end."""
        for side in self._foreign:
            await side.stop()

    async def measure(self, case: Case) -> Measured:
        """Measure one case: a short run says how fast it is, a longer one counts. Raises TimeoutError."""
        async with asyncio.timeout(END_SECONDS):
            return await self._measured(case)

    async def _measured(self, case: Case) -> Measured:
        payer, payee = self.sides
        trial = max(WARM_UP if case.in_flight > 1 else 5, case.in_flight)
        seen = await payer.pay(await payee.invoices(trial, case.amount_sat), case.in_flight)
        count = min(COUNT_MAX, max(2 * trial, int(trial / seen.seconds * SECONDS_A_CASE)))
        invoices = await payee.invoices(count, case.amount_sat)
        before = [use_of(side.pid) for side in self.sides]
        paid = await payer.pay(invoices, case.in_flight)
        after = [use_of(side.pid) for side in self.sides]
        syncs = await self._syncs(case)
        return Measured(
            self._pair,
            case,
            round((count - paid.failed) / paid.seconds, 1),
            count,
            paid.failed,
            round(paid.p50_ms, 2),
            round(paid.p99_ms, 2),
            _per_payment(before, after, count),
            syncs,
        )

    async def _syncs(self, case: Case) -> tuple[float, float] | None:
        """Count the syncs of a run of its own, which nobody times: whoever is looked at is slow."""
        if shutil.which("strace") is None:
            return None
        payer, payee = self.sides
        count = max(SYNC_PAYMENTS, case.in_flight) if case.in_flight > 1 else 10
        invoices = await payee.invoices(count, case.amount_sat)
        async with count_syncs([side.pid for side in self.sides]) as counts:
            await payer.pay(invoices, case.in_flight)
        first, second = counts
        return (round(first / count, 2), round(second / count, 2))


def _per_payment(before: Sequence[Use], after: Sequence[Use], count: int) -> tuple[float, float]:
    first, second = [(two - one) * 1000 / count for one, two in zip(before, after, strict=True)]
    return (round(first, 3), round(second, 3))


async def measure_pair(pair: Pair, cases: Sequence[Case], makers: dict[str, PeerMaker], figures: Figures) -> None:
    """Measure every case of a pair; what cannot be done is noted with its reason."""
    left = list(cases)
    figures.refused.pop(pair.title, None)
    for attempt in range(1, ATTEMPTS + 1):
        with World() as world:
            run = PairRun(pair, world, makers)
            try:
                await run.start()
                for side, kind in zip(run.sides, (pair.payer, pair.payee), strict=True):
                    figures.versions[kind] = side.version
                while left:
                    measured = await run.measure(left[0])
                    figures.measured = [one for one in figures.measured if (one.pair, one.case) != (pair, left[0])]
                    figures.measured.append(measured)
                    del left[0]
                return
            except NotOffered as error:
                figures.refused[pair.title] = str(error)
                return
            except TimeoutError:
                stopped = f"attempt {attempt} did not end: {left[0].title}"
                figures.refused[pair.title] = "; ".join(filter(None, [figures.refused.get(pair.title), stopped]))
            finally:
                await run.close()


# -------------------------------------------------------------------------------------------------------------- output


def table(figures: Figures) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows: payments a second, and in how far Leyden to Leyden with the same delay is ahead."""
    cells = {(one.pair, one.case): one for one in figures.measured}
    rows = []
    for pair in PAIRS:
        row = [pair.title]
        for case in CASES:
            seen, ours = cells.get((pair, case)), cells.get((Pair(LEYDEN, LEYDEN, pair.delay_ms), case))
            row.append("-" if seen is None else _cell(seen, ours))
        rows.append(row)
    return ["payments/s (times slower than Leyden)", *[case.title for case in CASES]], rows


def _cell(seen: Measured, ours: Measured | None) -> str:
    rate = report.number(seen.per_second, "/s")
    ratio = f" ({ours.per_second / seen.per_second:.1f})" if ours is not None and seen.per_second else ""
    failed = f", {seen.failed} failed" if seen.failed else ""
    return rate + ratio + failed


def cost_table(figures: Figures) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows of what a payment costs: CPU and syncs, payer and payee."""
    rows = []
    for one in sorted(figures.measured, key=lambda one: (PAIRS.index(one.pair), CASES.index(one.case))):
        syncs = "-" if one.syncs is None else f"{one.syncs[0]:.2f} / {one.syncs[1]:.2f}"
        cpu = f"{one.cpu_ms[0]:.2f} / {one.cpu_ms[1]:.2f}"
        latency = f"{report.number(one.p50_ms)} / {report.number(one.p99_ms)}"
        rows.append([one.pair.title, one.case.title, str(one.count), latency, cpu, syncs])
    return ["", "", "payments", "p50 / p99 ms", "CPU ms, payer / payee", "syncs, payer / payee"], rows


def markdown(figures: Figures) -> list[str]:
    """Return the section of the README."""
    about = figures.machine
    versions = ", ".join(f"{kind} {version}" for kind, version in figures.versions.items())
    lines = [
        f"{figures.when} UTC on {about['processor']}, {about['cores']} cores, {about['memory_gib']} GiB; one sync of "
        f"512 appended bytes {about['sync_ms_p50']} ms. Versions: {versions}.",
        "",
        *report.markdown(*table(figures)),
        "",
        *report.markdown(*cost_table(figures)),
    ]
    if figures.refused:
        lines += ["", *[f"- {pair}: {reason}" for pair, reason in figures.refused.items()]]
    return lines


def load() -> Figures:
    """Return the figures that the README was made from."""
    return msgspec.json.decode(FIGURES_FILE.read_bytes(), type=Figures) if FIGURES_FILE.exists() else Figures()


def save(figures: Figures) -> None:
    """Keep the figures and make the section of the README again."""
    FIGURES_FILE.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=1) + b"\n")
    text = report.README_FILE.read_text(encoding="utf-8")
    report.README_FILE.write_text(report.replaced(text, "peers", markdown(figures)), encoding="utf-8")


async def run(pairs: Sequence[Pair], figures: Figures, screen: Screen) -> None:
    """Build the peers and measure pair after pair."""
    kinds = sorted({kind for pair in pairs for kind in (pair.payer, pair.payee)} - {LEYDEN})
    makers = await makers_of(kinds, screen.line)
    for pair in pairs:
        with screen.part(pair.title):
            await measure_pair(pair, CASES, makers, figures)
        for one in figures.measured:
            if one.pair == pair:
                screen.line(f"  {one.case.title}: {report.number(one.per_second, '/s')}, {one.failed} failed")
        if pair.title in figures.refused:
            screen.line(f"  {figures.refused[pair.title]}")


def main(arguments: Sequence[str]) -> int:
    """Run; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--only", default="", help="only pairs with this in their title")
    parser.add_argument("--write-readme", action="store_true", help="keep the figures in benchmarks/README.md")
    options = parser.parse_args(arguments)
    only: str = options.only
    pairs = [pair for pair in PAIRS if only in pair.title]
    if not pairs:
        parser.error(f"no pair has {only!r} in its title: {', '.join(pair.title for pair in PAIRS)}")
    screen = Screen(Console())
    figures = load() if options.write_readme else Figures()
    figures.machine, figures.when = machine.describe(), time.strftime("%Y-%m-%d %H:%M", time.gmtime())
    asyncio.run(run(pairs, figures, screen))
    if options.write_readme:
        save(figures)
    screen.table(*table(figures))
    sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
