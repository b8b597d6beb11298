"""A node embedded in a program: its lives, and a world that fails around it."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from leyden.base.errors import CommandRejected, StorageBroken, StorageFenced, StorageUnavailable
from leyden.base.ids import NodeId
from leyden.bitcoin.networks import REGTEST, TESTNET
from leyden.crypto.hashes import sha256
from leyden.drivers.chain.memory import MemoryChain, MemoryChainSource
from leyden.drivers.net.memory import MemoryNetwork
from leyden.drivers.storage.memory import MemoryDisk, MemoryStore
from leyden.drivers.storage.switchable import SwitchableStore
from leyden.manager.config import NodeSigner
from leyden.manager.events import ChannelReady, PaymentSent
from leyden.node.clock import LoopScheduler
from leyden.node.node import Node
from leyden.node.settings import NodeConfig, StoreSettings
from leyden.ports.transport import ConnectionHandler, Transport
from tests.node.pair import Pair, event_of, live_and_stop

DELAY_MS = 20
NO_ROOM = "no room to write journals.sqlite: free some disk space; writing goes on by itself"


class Clock(LoopScheduler):
    """The system's clock, set wrong by `offset_seconds`."""

    offset_seconds = 0

    def now_seconds(self) -> int:
        """Return the wrong time."""
        return super().now_seconds() + self.offset_seconds


class World:
    """A chain and a network in memory, and the nodes on them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.chain = MemoryChain(REGTEST)
        self.network = MemoryNetwork()

    def node(self, name: str, **seams: Any) -> Node:
        """A node that is not started; its journals are in a directory unless a store is given."""
        return Node(
            NodeConfig(data_dir=str(self.directory / name), listen=("127.0.0.1:0",)),
            **{
                "chain": MemoryChainSource(self.chain),
                "make_transport": self.transport,
                **seams,
            },
        )

    def transport(self, signer: NodeSigner, handler: ConnectionHandler) -> Transport:
        """The end of a node in the network."""
        return self.network.transport(NodeId(signer.node_id), handler)

    async def join(self, alice: Node, bob: Node) -> str:
        """Open a channel with money on both sides; return its id."""
        await until_listening(alice, bob)
        pair = Pair(alice, bob, self.chain)
        await pair.fund()
        return (await pair.open(1_000_000, push_msat=400_000_000)).channel_id


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An empty world."""
    return World(tmp_path)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Run the loop until something holds; a test that waits in vain is ended by its time limit."""
    while True:
        if await holds():
            return
        await asyncio.sleep(0.001)


async def until_listening(*nodes: Node) -> None:
    """Run the loop until the nodes have looked at the chain and meet peers."""
    for node in nodes:

        async def listens(one: Node = node) -> bool:
            return bool((await one.info()).listening)

        await until(listens)


async def until_usable(node: Node) -> None:
    """Run the loop until a node's channels can be used."""

    async def usable() -> bool:
        channels = await node.channels()
        return all(channel.is_usable for channel in channels)

    await until(usable)


async def pay(payer: Node, payee: Node, amount_msat: int = 10_000_000) -> str:
    """Pay an invoice; return how that ended."""
    invoice = await payee.create_invoice(amount_msat, "coffee")
    return (await payer.wait_payment((await payer.pay(invoice.invoice)).payment_id)).status


# --- lives -----------------------------------------------------------------------------------------------------------


async def test_node_starts_again_with_all_that_it_had(world: World) -> None:
    """Start-up is rebuilding: channels, payments and open events must come from the journals alone."""
    bob = world.node("bob", store=MemoryStore(MemoryDisk()))
    async with bob:
        async with world.node("alice") as alice:
            await world.join(alice, bob)
            assert await pay(alice, bob) == "succeeded"
            channels, payments, node_id = await alice.channels(), await alice.payments(), (await alice.info()).node_id
        async with world.node("alice") as alice:
            assert (await alice.info()).node_id == node_id
            assert await alice.payments() == payments
            before = [(one.channel_id, one.local_msat, one.remote_msat) for one in channels]
            assert [(one.channel_id, one.local_msat, one.remote_msat) for one in await alice.channels()] == before
            await until_usable(alice)
            assert [event.type for event in await alice.events()] == ["payment_sent"]
            assert await pay(alice, bob) == "succeeded"
            assert await pay(bob, alice) == "succeeded"


async def test_setting_that_makes_the_store_late(world: World, tmp_path: Path) -> None:
    """`store.delay_ms` shows a user what a slow disk does to payments: each waits for several batches, none is lost."""
    config = NodeConfig(
        data_dir=str(tmp_path / "alice"), listen=("127.0.0.1:0",), store=StoreSettings(delay_ms=DELAY_MS)
    )
    bob = world.node("bob", store=MemoryStore(MemoryDisk()))
    async with Node(config, chain=MemoryChainSource(world.chain), make_transport=world.transport) as alice, bob:
        await world.join(alice, bob)
        await until_usable(alice)
        before = asyncio.get_running_loop().time()
        assert await pay(alice, bob) == "succeeded"
        assert asyncio.get_running_loop().time() - before >= 3 * DELAY_MS / 1000


async def test_event_comes_again_until_it_is_acknowledged(world: World) -> None:
    """A program that crashes between an event and its own act must see the event again, and the same one."""
    async with world.node("bob", store=MemoryStore(MemoryDisk())) as bob:
        async with world.node("alice") as alice:
            await world.join(alice, bob)
            assert await pay(alice, bob) == "succeeded"
            seen = [handle async for handle in first(alice, 1)]
            assert isinstance(seen[0].event, PaymentSent)
        async with world.node("alice") as alice:
            again = [handle async for handle in first(alice, 1)]
            assert again[0].event == seen[0].event
            again[0].acknowledge()
            await until_listening(alice)
            await alice.core.run(lambda manager: manager.write_acknowledgements())
        async with world.node("alice") as alice:
            assert await alice.events() == []


async def test_held_payment_is_listed_until_it_is_answered(world: World) -> None:
    """Whoever acknowledged its event, or lost the program that did, must find it, its set_id and its deadline."""
    preimage = bytes(range(32))
    async with world.node("alice") as alice:
        async with world.node("bob") as bob:
            await world.join(alice, bob)
            invoice = await bob.create_invoice(10_000_000, "held", payment_hash=sha256(preimage).hex())
            await alice.pay(invoice.invoice)
            asked = await event_of(bob, "payment_claimable")
            await bob.acknowledge_event(asked.event_id)
            [held] = await bob.payments()
            assert (held.status, held.direction, held.amount_msat) == ("claimable", "inbound", 10_000_000)
            assert held.payment_hash == invoice.payment_hash
            assert held.set_id == asked.fields["set_id"]
            assert held.deadline_height == asked.fields["deadline_height"]
        async with world.node("bob") as bob:
            await until_listening(bob)
            [again] = await bob.payments()
            assert (again.payment_id, again.set_id, again.status) == (held.payment_id, held.set_id, "claimable")
            assert again == await bob.wait_payment(held.payment_id)
            await bob.claim_payment(str(held.set_id), preimage.hex())
            await event_of(bob, "payment_claimed")
            [taken] = await bob.payments()
            assert (taken.payment_id, taken.status, taken.set_id) == (held.payment_id, "succeeded", None)


async def first(node: Node, count: int) -> Any:
    """Yield the first events that are no ChannelReady."""
    async for handle in node.events_iterator():
        if isinstance(handle.event, ChannelReady):
            continue
        yield handle
        count -= 1
        if not count:
            return


async def test_two_nodes_in_one_directory(world: World) -> None:
    """Two live copies of one node lose money: the second one must not even start."""
    async with world.node("alice") as alice:
        with pytest.raises(StorageFenced, match="in use by another process"):
            await world.node("alice").start()
        assert (await alice.info()).store_ok


async def test_stopped_node_says_so(world: World) -> None:
    """A call after the end must be an error with a name, not an accident."""
    alice = world.node("alice")
    async with alice:
        await alice.stop()
        await alice.stopped()
    with pytest.raises(CommandRejected) as refused:
        await alice.info()
    assert refused.value.code == "not_running"
    await alice.aclose()


# --- directories that do not fit -------------------------------------------------------------------------------------


def contents(directory: Path) -> list[object]:
    """Key, marks and journals, but not the epoch: whoever opens the store takes the fence."""
    with closing(sqlite3.connect(directory / "journals.sqlite")) as connection:
        rows: list[object] = [connection.execute(f"select * from {name}").fetchall() for name in ("log", "snapshot")]
    return [*rows, *[(directory / name).read_bytes() for name in ("node.key", "journals.mark")]]


async def refusal(node: Node) -> CommandRejected | StorageBroken:
    """Start a node that must refuse."""
    with pytest.raises((CommandRejected, StorageBroken)) as refused:
        await node.start()
    error = refused.value
    assert isinstance(error, CommandRejected | StorageBroken)
    return error


def test_seed_of_another_node_is_refused(tmp_path: Path) -> None:
    """With a wrong seed a node would sign with wrong keys: it must see that before it touches anything."""
    live_and_stop(tmp_path)
    world = World(tmp_path)

    async def make_other() -> None:
        async with world.node("other"):
            pass

    asyncio.run(make_other())
    (tmp_path / "alice" / "node.key").write_bytes((tmp_path / "other" / "node.key").read_bytes())
    before = contents(tmp_path / "alice")
    error = asyncio.run(refusal(world.node("alice")))
    assert isinstance(error, CommandRejected)
    assert error.code == "wrong_seed"
    assert "put the key file back" in error.what
    assert contents(tmp_path / "alice") == before


def test_network_of_another_directory_is_refused(tmp_path: Path) -> None:
    """A directory belongs to one network for ever."""
    live_and_stop(tmp_path)
    before = contents(tmp_path / "alice")
    node = Node(
        NodeConfig(data_dir=str(tmp_path / "alice"), network="testnet", listen=()),
        chain=MemoryChainSource(MemoryChain(TESTNET)),
    )
    error = asyncio.run(refusal(node))
    assert isinstance(error, CommandRejected)
    assert error.code == "wrong_network"
    assert "testnet" in error.what
    assert contents(tmp_path / "alice") == before


@pytest.mark.parametrize("is_new", [True, False])
def test_chain_of_another_network_is_refused(tmp_path: Path, is_new: bool) -> None:
    """Blocks of another network say nothing about our channels."""
    if not is_new:
        live_and_stop(tmp_path)
    error = asyncio.run(refusal(World(tmp_path).node("alice", chain=MemoryChainSource(MemoryChain(TESTNET)))))
    assert isinstance(error, CommandRejected)
    assert error.code == "wrong_network"
    assert "testnet" in error.what


def test_damaged_journal_is_refused(tmp_path: Path) -> None:
    """A journal with one wrong byte is not ours any more: say which file, and touch nothing."""
    live_and_stop(tmp_path)
    path = tmp_path / "alice" / "journals.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        seq, blob = connection.execute("select seq, blob from log order by seq limit 1").fetchone()
        middle = len(blob) // 2
        wrong = blob[:middle] + bytes([blob[middle] ^ 1]) + blob[middle + 1 :]
        connection.execute("update log set blob = ? where seq = ?", (wrong, seq))
    before = path.read_bytes()
    error = asyncio.run(refusal(World(tmp_path).node("alice")))
    assert str(path) in str(error)
    assert "nothing was changed" in str(error).lower()
    assert path.read_bytes() == before


def test_taken_port_is_refused(tmp_path: Path) -> None:
    """A node that nobody can reach must not look like one that runs."""

    async def run() -> None:
        server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        config = NodeConfig(data_dir=str(tmp_path / "alice"), listen=(f"127.0.0.1:{port}",))
        with pytest.raises(CommandRejected) as refused:
            await Node(config, chain=MemoryChainSource(MemoryChain(REGTEST))).start()
        assert refused.value.code == "cannot_listen"
        assert "in use" in refused.value.what
        server.close()

    asyncio.run(run())


# --- a chain service that is away ------------------------------------------------------------------------------------


async def test_new_node_waits_for_its_chain(world: World) -> None:
    """Services start in any order."""
    world.chain.available = False
    alice = world.node("alice")
    starting = asyncio.ensure_future(alice.start())
    await asyncio.sleep(0)
    assert not starting.done()
    world.chain.available = True
    await starting
    await until_listening(alice)
    await alice.aclose()


async def test_node_starts_while_its_chain_is_away(world: World) -> None:
    """Who looks for the fault must be able to ask the node; but nothing is decided on a stale height."""
    async with world.node("alice") as alice:
        await until_listening(alice)
    world.chain.available = False
    async with world.node("alice") as alice:
        info = await alice.info()
        assert not info.is_synced
        assert not info.chain_ok
        assert info.listening == []
        world.chain.available = True
        await until_listening(alice)
        assert (await alice.info()).is_synced


async def test_payments_go_on_while_the_chain_is_away(world: World) -> None:
    """An outage of the chain service is no reason to stop, let alone to close a channel."""
    async with world.node("alice") as alice, world.node("bob") as bob:
        await world.join(alice, bob)
        world.chain.available = False
        assert await pay(alice, bob) == "succeeded"
        assert await pay(bob, alice) == "succeeded"
        world.chain.available = True
        world.chain.mine(1, bytes(22))
        await Pair(alice, bob, world.chain).chain_seen()
        assert [one.state for one in await alice.channels()] == ["normal"]


# --- a store that does not take records ------------------------------------------------------------------------------


async def test_full_disk_pauses_and_goes_on_by_itself(world: World) -> None:
    """A full disk must cost time only: nothing unrecorded leaves, all is told, and room is enough to go on."""
    store = SwitchableStore(MemoryStore(MemoryDisk()))
    async with world.node("alice", store=store) as alice, world.node("bob") as bob:
        await world.join(alice, bob)
        invoice = await bob.create_invoice(10_000_000, "coffee")
        store.refuse(StorageUnavailable(NO_ROOM))
        paying = asyncio.ensure_future(alice.pay(invoice.invoice))

        async def told() -> bool:
            return not (await alice.info()).store_ok

        await until(told)
        assert (await alice.info()).store_status == NO_ROOM
        assert not paying.done()
        assert (await bob.info()).htlcs_pending == 0
        store.accept()
        payment = await paying
        assert (await alice.wait_payment(payment.payment_id)).status == "succeeded"
        assert (await alice.info()).store_ok
        assert await pay(bob, alice) == "succeeded"


async def test_lost_store_ends_the_life_of_the_node(world: World) -> None:
    """A store that refuses for good: stop before another message goes out, and say why."""
    store = SwitchableStore(MemoryStore(MemoryDisk()))
    async with world.node("alice", store=store) as alice, world.node("bob") as bob:
        await world.join(alice, bob)
        invoice = await bob.create_invoice(10_000_000, "coffee")
        store.refuse(StorageBroken("the disk is gone"))
        paying = asyncio.ensure_future(alice.pay(invoice.invoice))
        await alice.stopped()
        assert isinstance(alice.failure, StorageBroken)
        with pytest.raises(StorageBroken):
            await paying
        assert [one.state for one in await bob.channels()] == ["normal"]


# --- a clock that jumps ----------------------------------------------------------------------------------------------


async def test_clock_jumps_harm_no_payment_in_flight(world: World) -> None:
    """A wrong clock may refuse an invoice; it must never fail or forget what is under way."""
    clock = Clock()
    async with world.node("alice", scheduler=clock) as alice, world.node("bob") as bob:
        await world.join(alice, bob)
        preimage = bytes(range(32))
        held = await bob.create_invoice(10_000_000, "held", payment_hash=sha256(preimage).hex())
        payment = await alice.pay(held.invoice, deadline_seconds=10)
        asked = await event_of(bob, "payment_claimable")
        clock.offset_seconds = 400 * 86_400
        alice.core.runtime.on_second()
        assert (await alice.payment(payment.payment_id)).status == "pending"
        later = await bob.create_invoice(10_000_000, "coffee")
        with pytest.raises(CommandRejected) as refused:
            await alice.pay(later.invoice)
        assert refused.value.code == "expired_invoice"
        clock.offset_seconds = -400 * 86_400
        alice.core.runtime.on_second()
        await bob.claim_payment(str(asked.fields["set_id"]), preimage.hex())
        assert (await alice.wait_payment(payment.payment_id)).status == "succeeded"
        clock.offset_seconds = 0
        assert await pay(alice, bob) == "succeeded"
        assert await pay(bob, alice) == "succeeded"
