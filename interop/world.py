"""The nodes and the chain that a scenario plays with, and how to wait for them."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, TypeAlias, cast, final

import msgspec

from interop.foreign import (
    ChainPlace,
    ForeignChannel,
    ForeignNode,
    ForeignOptions,
    ForeignPayment,
    NotOffered,
    OpenRequest,
)
from interop.scenario import Extent, ScenarioFailed, check
from leyden.base.errors import CommandRejected, DriverError
from leyden.demo.processes import COOKIE_FILE, DemoNode, Processes
from leyden.node.views import ChannelTypeName, ChannelView, PaymentView

MINER_ADDRESS: Final = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
SAT: Final = 1000
"""Millisatoshi."""
CONFIRMATIONS: Final = 6
SECOND_FUNDS_SAT: Final = 20_000_000
COINS: Final = 4
"""Each node gets its funds in so many coins, so that a few channels can be opened in one block."""
LOOK_SECONDS: Final = 0.05
WAIT_SECONDS: Final = 30.0
FEERATE_PER_KW: Final = 1_250
"""What the chain service estimates unless a scenario says otherwise: 5 sat/vB."""

SCENARIO_MARK: Final = "# scenario\n"
SETTINGS: Final = "[channels]\nto_self_delay = 6\n"
"""Of our first node, unless a scenario says otherwise: nobody waits long for coins of forced closes."""


class PeerPlace(msgspec.Struct, frozen=True):
    """Where a foreign node lives. folder: for its data and logs, not made yet. processes: of its world of scenarios.

    processes is None in a benchmark, where Leyden is no foreign node.
    """

    name: str
    folder: Path
    chain: ChainPlace
    options: ForeignOptions
    processes: Processes | None


PeerMaker: TypeAlias = Callable[[PeerPlace], ForeignNode]
"""Makes a node that is not started yet."""


class Pair(msgspec.Struct, frozen=True):
    """A channel between one of our nodes and a foreign one, as both name it."""

    channel_id: str
    funding_outpoint: str
    us: DemoNode
    peer: ForeignNode


@final
class World:
    """One chain, one Leyden node (`us`), one foreign node (`peer`), and more of both when a scenario asks."""

    def __init__(
        self, processes: Processes, kind: str, makers: Mapping[str, PeerMaker], extent: Extent | None = None
    ) -> None:
        self.processes = processes
        self.kind = kind
        self.foreign: dict[str, ForeignNode] = {}
        self.extent = extent or Extent()
        self.notes: list[str] = []
        self._makers = makers

    # --- nodes --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the chain, our node and the peer, connect the two, and fund both."""
        await self.processes.start_chain()
        await self.set_feerate(FEERATE_PER_KW)
        await self.rpc("generatetoaddress", 1, MINER_ADDRESS)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.add_us("us", SCENARIO_MARK + SETTINGS))
            group.create_task(self.add_peer(self.kind, "peer"))
        await self.rpc("generatetoaddress", COINS, (await self.us.api.new_address()).address)
        await self.rpc("generatetoaddress", COINS, await self.peer.new_address())
        await self.rpc("generatetoaddress", 100, MINER_ADDRESS)
        await self.until_seen()
        await self.connect(self.us, self.peer)

    @property
    def us(self) -> DemoNode:
        """Our first node."""
        return self.processes.nodes["us"]

    @property
    def peer(self) -> ForeignNode:
        """The first foreign node."""
        return self.foreign["peer"]

    async def add_us(self, name: str, settings: str = "") -> DemoNode:
        """Start one more node of ours, without funds. settings: more lines of its `leyden.toml`."""
        node = self.processes.add_node(name, settings)
        await node.start()
        return node

    async def second_us(self) -> DemoNode:
        """Return a second node of ours, with coins; the scenarios of a world share it."""
        if "us2" not in self.processes.nodes:
            node = await self.add_us("us2", SCENARIO_MARK + SETTINGS)
            await self.us.api.send_onchain((await node.api.new_address()).address, SECOND_FUNDS_SAT)
            await self.until_in_mempool(1)
            await self.mine(1)
        return self.processes.nodes["us2"]

    async def add_peer(self, kind: str, name: str, options: ForeignOptions | None = None) -> ForeignNode:
        """Start one more foreign node, without funds."""
        if kind not in self._makers:
            raise NotOffered(f"this scenario needs {kind} too, which is not part of this run")
        folder = self.processes.folder / name
        node = self._makers[kind](
            PeerPlace(name, folder, self.chain_place, options or ForeignOptions(), self.processes)
        )
        self.foreign[name] = node
        await node.start()
        return node

    @property
    def kinds(self) -> tuple[str, ...]:
        """Which kinds of foreign nodes this run has."""
        return tuple(self._makers)

    @property
    def chain_place(self) -> ChainPlace:
        """Where the chain service answers. Its credentials change with each of its starts."""
        cookie = (self.processes.chain_child.directory / COOKIE_FILE).read_text()
        user, _, password = cookie.partition(":")
        return ChainPlace(self.processes.chain_port, user, password)

    async def reconfigure(self, node: DemoNode, settings: str) -> None:
        """Stop a node of ours by `kill -9` and start it with other lines at the end of its configuration.

        settings: in place of `SETTINGS`; empty: those again.
        """
        await node.child.kill()
        file = node.child.directory / "leyden.toml"
        file.write_text(file.read_text().partition(SCENARIO_MARK)[0] + SCENARIO_MARK + (settings or SETTINGS))
        await node.start()

    async def close(self) -> None:
        """End every process."""
        for node in self.foreign.values():
            if node.pid:
                await node.kill()
        await self.processes.close()

    @property
    def log_paths(self) -> list[Path]:
        """The logs of everything that runs here."""
        ours = [child.log_path for child in self.processes.children]
        return [*ours, *[path for node in self.foreign.values() for path in node.log_paths]]

    def note(self, text: str) -> None:
        """Say something of a scenario that passes: how much of it was done, or what the peer said."""
        self.notes.append(text)

    # --- the chain ----------------------------------------------------------------------------------------------------

    async def rpc(self, method: str, *params: object) -> object:
        """Call the chain service."""
        return await self.processes.rpc(method, *params)

    async def height(self) -> int:
        """Return the height of the chain."""
        return cast("int", await self.rpc("getblockcount"))

    async def mine(self, count: int, *, slowly: bool = False) -> None:
        """Mine blocks and wait until every running node has seen them.

        slowly: one at a time with a breath after each, so that nodes publish what each block asks for.
        """
        for _ in range(count if slowly else 1):
            await self.rpc("generatetoaddress", 1 if slowly else count, MINER_ADDRESS)
            await self.until_seen()
            if slowly:
                await asyncio.sleep(0.3)

    async def until_seen(self) -> None:
        """Wait until every running node has seen the best block."""
        height = await self.height()

        async def seen() -> bool:
            for node in self.processes.nodes.values():
                if not node.child.has_ended and (await node.api.info()).block_height < height:
                    return False
            for peer in self.foreign.values():
                if peer.pid:
                    info = await peer.info()
                    if info.block_height < height or not info.is_synced:
                        return False
            return True

        await self.until(seen, f"every node has seen block {height}", 60.0)

    async def mempool(self) -> list[str]:
        """Return the txids in the mempool."""
        return cast("list[str]", await self.rpc("getrawmempool"))

    async def until_in_mempool(self, count: int) -> list[str]:
        """Wait until so many transactions are in the mempool; return them."""

        async def there() -> bool:
            return len(await self.mempool()) >= count

        await self.until(there, f"{count} transactions are in the mempool")
        return await self.mempool()

    async def set_feerate(self, feerate_per_kw: int) -> None:
        """Set what the chain service estimates, for every target."""
        await self.rpc("setfeeestimate", feerate_per_kw * 4 / 100_000_000)

    # --- waiting ------------------------------------------------------------------------------------------------------

    async def until(self, holds: Callable[[], Awaitable[bool]], what: str, seconds: float = WAIT_SECONDS) -> None:
        """Wait until `holds` does. Raises ScenarioFailed: `what` did not come in time."""
        deadline = time.monotonic() + seconds
        while not await _holds(holds):
            if time.monotonic() > deadline:
                raise ScenarioFailed(f"waited {seconds:g} s in vain until {what}")
            await asyncio.sleep(LOOK_SECONDS)

    # --- peers and channels -------------------------------------------------------------------------------------------

    async def connect(self, us: DemoNode, peer: ForeignNode) -> None:
        """Connect one of ours to a foreign node, and wait until both say so.

        A peer that still has our last connection ends the new one at once: then it is tried again.
        """
        node_id = (await peer.info()).node_id

        async def connected() -> bool:
            with contextlib.suppress(CommandRejected):
                await us.api.connect(node_id, "127.0.0.1", peer.port)
            return await self.are_connected(us, peer)

        await self.until(connected, f"{us.name} has connected to {peer.name}")

    @staticmethod
    async def are_connected(us: DemoNode, peer: ForeignNode) -> bool:
        """Whether both sides say that they are connected."""
        node_id = (await peer.info()).node_id
        there = any(one.is_connected and one.node_id == node_id for one in await us.api.peers())
        return there and us.node_id in await peer.peers()

    async def until_connected(self, us: DemoNode, peer: ForeignNode) -> None:
        """Wait until both sides say that they are connected."""
        await self.until(lambda: self.are_connected(us, peer), f"{us.name} and {peer.name} are connected")

    async def open(
        self,
        *,
        by_us: bool = True,
        amount_sat: int = 5_000_000,
        push_msat: int = 0,
        channel_type: ChannelTypeName = "anchors",
        us: DemoNode | None = None,
        peer: ForeignNode | None = None,
    ) -> Pair:
        """Open a private channel, confirm it and wait until both sides can use it."""
        ours, theirs = us or self.us, peer or self.peer
        await self.connect(ours, theirs)
        if by_us:
            node_id = (await theirs.info()).node_id
            opening = await ours.api.open_channel(node_id, amount_sat, push_msat, channel_type)
            outpoint = f"{opening.funding_txid}:{opening.funding_output_index}"
        else:
            outpoint = await theirs.open_channel(
                OpenRequest(node_id=ours.node_id, amount_sat=amount_sat, push_msat=push_msat, channel_type=channel_type)
            )
        await self.until_in_mempool(1)
        await self.mine(CONFIRMATIONS)
        return await self.until_usable(ours, theirs, outpoint)

    async def until_usable(self, us: DemoNode, peer: ForeignNode, outpoint: str) -> Pair:
        """Wait until both sides can use a channel."""

        async def usable() -> bool:
            ours = await self.our_channel(us, outpoint)
            theirs = await self.their_channel(peer, outpoint)
            return ours is not None and ours.is_usable and theirs is not None and theirs.is_usable

        await self.until(usable, f"channel {outpoint} is usable at {us.name} and {peer.name}")
        ours = await self.our_channel(us, outpoint)
        assert ours is not None, "it was there a moment ago"
        return Pair(ours.channel_id, outpoint, us, peer)

    async def channel(
        self, sat_each: int = 100_000, *, us: DemoNode | None = None, peer: ForeignNode | None = None
    ) -> Pair:
        """Return a usable anchors channel with so much to pay with on either side; open one if there is none."""
        node, theirs = us or self.us, peer or self.peer
        await self.connect(node, theirs)
        node_id = (await theirs.info()).node_id
        for ours in await node.api.channels():
            enough = min(ours.spendable_msat, ours.receivable_msat) >= sat_each * SAT
            if ours.node_id == node_id and ours.is_usable and ours.channel_type == "anchors" and enough:
                return await self.until_usable(node, theirs, outpoint_of(ours))
        amount_sat = max(5_000_000, 4 * sat_each)
        return await self.open(amount_sat=amount_sat, push_msat=amount_sat // 2 * SAT, us=node, peer=theirs)

    @staticmethod
    async def our_channel(us: DemoNode, outpoint: str) -> ChannelView | None:
        """Return a channel as our node sees it."""
        return next((one for one in await us.api.channels() if outpoint_of(one) == outpoint), None)

    @staticmethod
    async def their_channel(peer: ForeignNode, outpoint: str) -> ForeignChannel | None:
        """Return a channel as the foreign node sees it."""
        return next((one for one in await peer.channels() if one.funding_outpoint == outpoint), None)

    async def until_quiet(self, pair: Pair, seconds: float = WAIT_SECONDS) -> None:
        """Wait until neither side has an HTLC in the channel and both agree on the balances."""
        what = "the channel has no HTLC and both sides agree on its balances"
        await self.until(lambda: self.is_quiet(pair), what, seconds)

    async def is_quiet(self, pair: Pair) -> bool:
        """Whether neither side has an HTLC in the channel and both agree on the balances."""
        ours = await self.our_channel(pair.us, pair.funding_outpoint)
        theirs = await self.their_channel(pair.peer, pair.funding_outpoint)
        if ours is None or theirs is None or ours.htlcs_inbound or ours.htlcs_outbound or theirs.htlcs_pending:
            return False
        # The opener pays the commitment's fee, and not everybody takes it off; the other balance has no such doubt.
        sides = (theirs.local_msat, ours.remote_msat) if ours.is_opener else (theirs.remote_msat, ours.local_msat)
        return sides[0] == sides[1] // pair.peer.msat_step * pair.peer.msat_step

    # --- paying -------------------------------------------------------------------------------------------------------

    async def pay_peer(self, amount_msat: int, *, us: DemoNode | None = None, peer: ForeignNode | None = None) -> str:
        """Pay an invoice of the foreign node; it must succeed. Returns the payment hash."""
        ours, theirs = us or self.us, peer or self.peer
        invoice = await theirs.create_invoice(amount_msat, "to you")
        payment = await self.our_payment(ours, invoice)
        check(payment.status == "succeeded", f"{ours.name} -> {theirs.name}: {payment.status}: {payment.reason}")
        received = await theirs.received_msat(payment.payment_hash)
        check(received == amount_msat, f"{theirs.name} was to receive {amount_msat} msat and says {received}")
        return payment.payment_hash

    @staticmethod
    async def our_payment(us: DemoNode, invoice: str, amount_msat: int | None = None) -> PaymentView:
        """Pay an invoice with a node of ours; return how it ended."""
        begun = await us.api.pay(invoice, amount_msat)
        return await us.api.wait_payment(begun.payment_id, int(WAIT_SECONDS))

    async def peer_pays(self, amount_msat: int, *, us: DemoNode | None = None, peer: ForeignNode | None = None) -> str:
        """Let the foreign node pay an invoice of ours; it must succeed. Returns the payment hash."""
        ours, theirs = us or self.us, peer or self.peer
        invoice = await ours.api.create_invoice(amount_msat, "to us")
        payment = await self.their_payment(theirs, await theirs.pay(invoice.invoice))
        check(payment.status == "succeeded", f"{theirs.name} -> {ours.name}: {payment.status}: {payment.failure}")
        received = await self.received_msat(ours, payment.payment_hash)
        check(received == amount_msat, f"{ours.name} was to receive {amount_msat} msat and has {received}")
        return payment.payment_hash

    async def their_payment(
        self, peer: ForeignNode, payment_hash: str, seconds: float = WAIT_SECONDS
    ) -> ForeignPayment:
        """Return how a payment of a foreign node ended."""

        async def ended() -> bool:
            return (await peer.payment(payment_hash)).status != "pending"

        await self.until(ended, f"{peer.name}'s payment {payment_hash[:16]} has ended", seconds)
        return await peer.payment(payment_hash)

    @staticmethod
    async def received_msat(us: DemoNode, payment_hash: str) -> int:
        """Return what a node of ours has claimed for a hash, 0 when nothing."""
        payments = [one for one in await us.api.payments() if one.direction == "inbound"]
        return sum(
            one.amount_msat for one in payments if one.payment_hash == payment_hash and one.status == "succeeded"
        )


def outpoint_of(channel: ChannelView) -> str:
    """Return a channel's funding outpoint, `txid:index`."""
    return f"{channel.funding_txid}:{channel.funding_output_index}"


async def _holds(holds: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await holds()
    except DriverError:
        return False  # a node of ours that starts, or was just killed
