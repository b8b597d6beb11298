"""The steps of the demo, in order, but for the crash (`crash.py`) and the reckoning (`accounts.py`)."""

import asyncio
import time
from typing import Final, cast

from leyden.demo.errors import DemoFailed
from leyden.demo.screen import MSAT_PER_SAT, Screen, Step, sat
from leyden.demo.world import MINER_ADDRESS, World

NAMES: Final = ("alice", "bob", "carol")
SUBSIDY_SAT: Final = 5_000_000_000
MATURITY_BLOCKS: Final = 100
CONFIRMATIONS: Final = 6
CHANNELS: Final = (
    ("alice", "bob", 10_000_000),
    ("alice", "bob", 8_000_000),
    ("bob", "carol", 6_000_000),
    ("carol", "alice", 2_000_000),
)
"""Opener, other side, capacity in satoshi. All of it is the opener's at first: carol-alice is no way for alice."""


async def start_processes(world: World, screen: Screen) -> None:
    """Chain service first, then the nodes, all at once."""
    processes = world.processes
    with screen.step("Start a chain service and three nodes, each a process of its own") as step:
        step.now("the chain service")
        await processes.start_chain()
        await processes.rpc("generatetoaddress", 1, MINER_ADDRESS)
        for name in NAMES:
            processes.add_node(name)
        step.now("alice, bob, carol")
        async with asyncio.TaskGroup() as group:
            for node in world.nodes:
                group.create_task(node.start())
        step.say("chain: Bitcoin Core's own consensus library behind bitcoind's JSON-RPC")
        for node in world.nodes:
            step.say(f"{node.name:5}: process {node.child.pid}, port {node.port}, node {node.node_id[:16]}…")


async def fund(world: World, screen: Screen) -> None:
    """A block each, and what makes it spendable."""
    with screen.step("Fund each node with the reward of a block it mined") as step:
        for node in world.nodes:
            address = (await node.api.new_address()).address
            await world.processes.rpc("generatetoaddress", 1, address)
            world.put_in_msat[node.name] = SUBSIDY_SAT * MSAT_PER_SAT
        step.now(f"{MATURITY_BLOCKS} more blocks")
        await world.mine(MATURITY_BLOCKS)
        for node in world.nodes:
            confirmed_sat = (await node.api.balance()).confirmed_sat
            if confirmed_sat != SUBSIDY_SAT:
                raise DemoFailed(f"{node.name} sees {confirmed_sat} sat instead of {SUBSIDY_SAT}")
        step.say(f"{sat(SUBSIDY_SAT * MSAT_PER_SAT)} sat each, {MATURITY_BLOCKS} blocks deep")


async def open_channels(world: World, screen: Screen) -> None:
    """All channels, each funded by its opener."""
    with screen.step("Open four channels") as step:
        txids: list[str] = []
        for opener, other, capacity_sat in CHANNELS:
            step.now(f"{opener}-{other}")
            api, peer = world.node(opener).api, world.node(other)
            await api.connect(peer.node_id, "127.0.0.1", peer.port)
            txids.append((await api.open_channel(peer.node_id, capacity_sat)).funding_txid)
            step.say(f"{opener}-{other}: {sat(capacity_sat * MSAT_PER_SAT)} sat on {opener}'s side")
        step.now(f"{CONFIRMATIONS} blocks")
        await world.wait_for_transactions(txids)
        await world.mine(CONFIRMATIONS)
        await world.until_usable(2 * len(CHANNELS))


async def pay_directly(world: World, screen: Screen) -> None:
    """Both ways over one channel."""
    with screen.step("Pay directly, both ways") as step:
        for payer, payee, amount_msat in (("alice", "bob", 1_000_000_123), ("bob", "alice", 250_000_077)):
            begun = time.perf_counter()
            payment = await world.pay_well(payer, payee, amount_msat, "direct")
            if payment.fee_msat:
                raise DemoFailed(f"a direct payment cost a fee of {payment.fee_msat} msat")
            step.say(f"{payer} → {payee}: {sat(amount_msat)} sat in {_ms(begun)}")


async def pay_forwarded(world: World, screen: Screen) -> None:
    """Over bob: alice has nothing in her channel with carol."""
    with screen.step("Pay over a hop") as step:
        amount_msat = 500_000_456
        begun = time.perf_counter()
        payment = await world.pay_well("alice", "carol", amount_msat, "forwarded")
        forwarded = await _until_forwarded(world, 1)
        if payment.fee_msat <= 0 or forwarded != payment.fee_msat:
            raise DemoFailed(f"alice paid {payment.fee_msat} msat in fees, bob earned {forwarded}")
        step.say(f"alice → bob → carol: {sat(amount_msat)} sat in {_ms(begun)}; bob earned {sat(forwarded)} sat")


async def _until_forwarded(world: World, count: int) -> int:
    """Return what bob earned with so many forwards."""
    found: list[int] = []

    async def told() -> bool:
        events = await world.events("bob", "payment_forwarded")
        found[:] = [cast("int", event.fields["fee_msat"]) for event in events]
        return len(found) >= count

    await world.until(told, f"bob tells of {count} forwarded payments")
    return sum(found)


async def pay_in_parts(world: World, screen: Screen) -> None:
    """More than either channel holds."""
    with screen.step("Pay in two parts, more than either channel holds") as step:
        amount_msat = 12_000_000_789
        begun = time.perf_counter()
        payment = await world.pay_well("alice", "bob", amount_msat, "in parts")
        took = _ms(begun)
        claimed = [
            event
            for event in await world.events("bob", "payment_claimed")
            if event.fields["payment_hash"] == payment.payment_hash
        ]
        parts = [event.fields["parts"] for event in claimed]
        if parts != [2]:
            raise DemoFailed(f"the payment came in {parts} parts instead of 2")
        step.say(f"alice ⇉ bob: {sat(amount_msat)} sat over both channels in {took}")


async def fail_to_pay(world: World, screen: Screen) -> None:
    """More than bob can forward: the payment must fail, and say where and why."""
    with screen.step("Fail to pay, and say why") as step:
        amount_msat = 7_000_000_000
        payment = await world.pay("alice", "carol", amount_msat, "too much for bob")
        if payment.status != "failed":
            raise DemoFailed(f"a payment that bob cannot forward is {payment.status}")
        if payment.failing_hop != 0 or payment.failure_name != "temporary_channel_failure" or not payment.advice:
            raise DemoFailed(
                f"reason {payment.reason}, hop {payment.failing_hop}, code {payment.failure_name}, "
                f"advice {payment.advice}"
            )
        await world.until_quiet()
        step.say(f"alice → carol: {sat(amount_msat)} sat, but bob's channel to carol holds less")
        step.say(
            f"reason {payment.reason}; hop {payment.failing_hop} (bob) answered "
            f"{payment.failure_name} ({payment.failure_code:#06x})"
        )
        step.say(f"advice: {payment.advice}")


async def close_channels(world: World, screen: Screen) -> list[str]:
    """Close all channels cooperatively; return the closing txids, in the order of CHANNELS."""
    with screen.step("Close all channels together with the peer") as step:
        opened = [(name, c) for name in NAMES for c in await world.node(name).api.channels() if c.is_opener]
        for name, channel in opened:
            await world.node(name).api.close(channel.channel_id)
        closing = await _closing_txids(world, step, len(opened))
        await world.wait_for_transactions(closing)
        await world.mine(CONFIRMATIONS)

        async def closed() -> bool:
            states = [c.state for node in world.nodes for c in await node.api.channels()]
            return all(state == "closed" for state in states)

        await world.until(closed, "all channels are closed")
        step.say(f"{len(closing)} closing transactions, {CONFIRMATIONS} blocks deep")
        return closing


async def _closing_txids(world: World, step: Step, count: int) -> list[str]:
    found: dict[str, None] = {}

    async def agreed() -> bool:
        for node in world.nodes:
            for channel in await node.api.channels():
                if channel.closing_txid is not None:
                    found[channel.closing_txid] = None
        step.progress("agreed", len(found), count)
        return len(found) == count

    await world.until(agreed, f"{count} closing transactions are agreed")
    return list(found)


def _ms(begun: float) -> str:
    return f"{(time.perf_counter() - begun) * 1000:.0f} ms"
