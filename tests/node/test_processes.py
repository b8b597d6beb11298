"""Nodes as processes of their own: signals, `kill -9`, two of them in one directory."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from leyden.base.errors import DriverError
from leyden.demo.errors import DemoFailed
from leyden.demo.processes import Child, Processes
from leyden.demo.world import World
from leyden.node.views import PaymentView

COUNT = 60
AMOUNT_MSAT = 5_000_001


@asynccontextmanager
async def two_nodes() -> AsyncIterator[World]:
    """A chain, alice and bob, and a channel with money on alice's side."""
    processes = Processes()
    world = World(processes)
    try:
        await processes.start_chain()
        await world.mine(1)
        for name in ("alice", "bob"):
            await processes.add_node(name).start()
        alice, bob = world.nodes
        await world.mine(1, (await alice.api.new_address()).address)
        await world.mine(100)
        await alice.api.connect(bob.node_id, "127.0.0.1", bob.port)
        opening = await alice.api.open_channel(bob.node_id, 1_000_000)
        await world.wait_for_transactions([opening.funding_txid])
        await world.mine(6)
        await world.until_usable(2)
        yield world
    finally:
        await processes.close()
        processes.remove_folder()


def payment_id(number: int) -> str:
    """The payer's own name of a payment."""
    return hashlib.sha256(b"%d" % number).hexdigest()


async def ask_until_known(world: World, invoice: str, number: int) -> None:
    """Pay, again and again until the node answers: the same payment_id is the same payment."""
    while True:
        try:
            await world.node("alice").api.pay(invoice, payment_id=payment_id(number))
        except DriverError:
            await asyncio.sleep(0.02)
        else:
            return


@pytest.mark.parametrize("victim", ["alice", "bob"])
async def test_kill_9_in_the_middle_of_payments(victim: str) -> None:
    """Whoever dies: every payment ends once, the same way at both ends, and nobody is poorer than the payments say."""
    async with two_nodes() as world:
        alice, bob = world.nodes
        invoices = [(await bob.api.create_invoice(AMOUNT_MSAT, str(number))).invoice for number in range(COUNT)]
        async with asyncio.TaskGroup() as group:
            for number, invoice in enumerate(invoices):
                group.create_task(ask_until_known(world, invoice, number))

            async def some_paid() -> bool:
                return len([one for one in await bob.api.payments() if one.status == "succeeded"]) >= COUNT // 4

            await world.until(some_paid, "a quarter is paid")
            await world.kill_and_restart(victim)
        ended: dict[str, PaymentView] = {}

        async def all_ended() -> bool:
            ended.update({one.payment_id: one for one in await alice.api.payments() if one.status != "pending"})
            return len(ended) == COUNT

        await world.until(all_ended, "all payments have ended")
        await world.until_quiet()
        received = {one.payment_hash: one.amount_msat for one in await bob.api.payments()}
        sent = {one.payment_hash: one.amount_msat for one in ended.values() if one.status == "succeeded"}
        assert sorted(ended) == sorted(payment_id(number) for number in range(COUNT))
        assert received == sent
        assert len(sent) > COUNT // 4
        channel = (await alice.api.channels())[0]
        assert channel.remote_msat == len(sent) * AMOUNT_MSAT
        assert (await bob.api.channels())[0].local_msat == channel.remote_msat


async def test_second_process_on_a_directory_is_refused() -> None:
    """It must say so, and must not disturb the first one, whose socket is in that directory too."""
    async with two_nodes() as world:
        alice = world.node("alice")
        second = Child("node", "alice again", alice.child.directory)
        second.log_path = world.processes.folder / "second.log"
        await second.start()
        await second.ended()
        assert "in use by another process" in second.log_path.read_text()
        assert str(alice.child.pid) in second.last_words()
        await world.pay_well("alice", "bob", AMOUNT_MSAT, "still there")


async def test_signals_end_a_node_at_once() -> None:
    """SIGTERM is a quick stop with status 0; the socket is gone, and the next start finds everything."""
    async with two_nodes() as world:
        bob = world.node("bob")
        bob.child.ask_to_stop()
        await bob.child.ended()
        assert bob.child.exit_status == 0
        assert not (bob.child.directory / "api.sock").exists()
        (bob.child.directory / "node.key").rename(bob.child.directory / "elsewhere")
        with pytest.raises(DemoFailed, match="did not start"):
            await bob.start()
        (bob.child.directory / "elsewhere").rename(bob.child.directory / "node.key")
        await bob.start()
        await world.until_usable(2)
        await world.pay_well("alice", "bob", AMOUNT_MSAT, "back again")
