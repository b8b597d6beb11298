"""What a block costs a node with many channels: all of them open, and with some of them closed and fought for."""

import asyncio
import gc
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.alone import Alone
from benchmarks.goals import Figure
from benchmarks.payments import Figures
from benchmarks.run import Run
from leyden.base.ids import JournalId
from leyden.bitcoin.networks import REGTEST
from leyden.crypto.hashes import sha256
from leyden.drivers.storage.sqlite import SqliteStore
from leyden.invoices import bolt11
from leyden.journal.node_records import FixedHop, FixedRoute
from leyden.manager import claiming, closes, fees
from leyden.manager.config import ManagerConfig
from leyden.manager.state import Slot
from leyden.node import files
from leyden.ports.store import Append
from leyden.signer.in_memory import InMemorySigner
from leyden.sim import user
from leyden.sim.cheating import old_commitment
from leyden.sim.handler import Prompt
from leyden.sim.node import SimNode
from leyden.sim.schedules import Fair, run_to_rest
from leyden.sim.world import MINER_SCRIPT, World

BLOCKS = 60
CLOSED_PERCENT = 10
HTLCS = 4
"""Offered by each side of each channel that is closed. The node knows the preimages of half of what it is offered."""
AMOUNT_MSAT = 10_000_000
CAPACITY_SAT = 1_000_000
COIN_SAT = 200_000
"""For the claims that cannot pay for themselves, one each."""
EXPIRY_BLOCKS = 40
ESTIMATES_PER_KW = {1: 6_000, 6: 4_000, 144: 1_500}


def blocks(run: Run) -> Figures:
    """Blocks in which nothing is for a node with open channels; then some are closed, and no miner takes its claims."""
    closed = max(run.scale.channels * CLOSED_PERCENT // 100, 4)
    run.say(f"{run.scale.channels:,} channels")
    world = _world(run.scale.channels, closed)
    run.settle()
    run.say("blocks over open channels")
    opened = asyncio.run(_blocks(world))
    run.say(f"{closed} of them are closed")
    _close(world, closed)
    run.settle()
    run.say("blocks over open and closed channels")
    fought = asyncio.run(_blocks(world))
    return {"blocks": opened, "blocks_closed": fought}


# --- the world -------------------------------------------------------------------------------------------------------


def _world(channels: int, closed: int) -> World:
    """alice has channels with bob; the first ones carry payments in both directions that nobody has answered."""
    world = World(b"blocks")
    for name in ("alice", "bob"):
        world.add_node(name, ManagerConfig(REGTEST, auto_claim=False)).application = Prompt("")
    world.link("alice", "bob")
    world.grant("alice", channels * 2 * CAPACITY_SAT)
    world.mine()
    run_to_rest(world, Fair())
    alice, bob = world.nodes["alice"], world.nodes["bob"]
    for _ in range(channels):
        user.open_channel(alice, bob, CAPACITY_SAT, CAPACITY_SAT * 500)
        run_to_rest(world, Fair())
        world.mine()
    for _ in range(closed * HTLCS):
        world.grant("alice", COIN_SAT)  # behind the fundings, which would take several
    world.mine(6)
    run_to_rest(world, Fair())
    return world


def _slots(world: World, name: str, closed: int) -> list[Slot]:
    """Return the node's ends of the channels that will be closed, in the same order for both."""
    ids = list(world.nodes["alice"].manager.channels)[:closed]
    return [world.nodes[name].manager.channels[channel_id] for channel_id in ids]


def _pay(world: World, payer: SimNode, payee: SimNode, slots: Sequence[Slot], count: int, tag: str) -> None:
    """Offer `count` HTLCs over each channel."""
    for number, slot in enumerate([*slots] * count):
        text = user.make_invoice(payee, AMOUNT_MSAT, hints=True, tag=f"{tag} {number}")
        expiry = payer.manager.env.block_height + EXPIRY_BLOCKS
        hop = FixedHop(slot.state.core.local_alias, payee.node_id, AMOUNT_MSAT, expiry)
        route = FixedRoute(slot.channel_id, [hop], bolt11.decode(text).payment_secret, 0)
        payment_id = sha256(tag.encode() + b" %d" % number)
        started = user.route_payment(payer, text, AMOUNT_MSAT, payment_id, [route])
        user.Order(payer.name, started, payee.name).ask(payer)
    _act(world)


def _act(world: World) -> None:
    while enabled := world.enabled():
        world.perform(enabled[0])


def _close(world: World, closed: int) -> None:
    """End channels in each of four ways, and let alice claim every other payment.

    Her own commitments are in a block, or wait for one; bob's latest are, or bob's revoked ones.
    """
    alice, bob = world.nodes["alice"], world.nodes["bob"]
    ours, theirs = _slots(world, "alice", closed), _slots(world, "bob", closed)
    _pay(world, alice, bob, ours, HTLCS, "offered")
    _pay(world, bob, alice, theirs, HTLCS, "received")
    numbers = [slot.state.core.local.number for slot in theirs]
    _pay(world, alice, bob, ours[2::4], 1, "later")
    world.dislike("alice", dislikes=False)
    for slot in ours[0::4]:
        alice.run(partial(closes.force_by_user, slot=slot, without_peer=True))
    for slot in theirs[1::4]:
        bob.run(partial(closes.force_by_user, slot=slot, without_peer=True))
    _act(world)
    world.mine()
    _act(world)
    cheats = [old_commitment(bob, slot.channel_id, number) for slot, number in zip(theirs, numbers, strict=True)][2::4]
    world.crash("bob")
    world.dislike("alice", dislikes=True)
    world.chain.mine_block_with(cheats, MINER_SCRIPT)
    _act(world)
    for slot in ours[3::4]:
        alice.run(partial(closes.force_by_user, slot=slot, without_peer=True))
    for claimable in list(alice.manager.claimables.values())[::2]:
        alice.run(partial(claiming.claim_payment, set_id=claiming.claim_id_of(claimable), preimage=b""))
    _act(world)
    spent = [slot for slot in ours if slot.state.core.spent is not None]
    assert len(spent) == closed - len(ours[3::4])
    assert all(slot.state.core.closing is not None for slot in ours[3::4])


# --- the node that is measured ---------------------------------------------------------------------------------------


async def _blocks(world: World) -> Figure:
    """Start alice's node from a real store with her journals, and time the blocks that follow."""
    alice = world.nodes["alice"]
    with tempfile.TemporaryDirectory(prefix="leyden-bench-") as folder:
        path = Path(folder) / files.STORE_FILE
        await _write(path, alice)
        height = world.chain.tip.height
        gc.collect()
        gc.freeze()  # the world around has two more nodes, which no garbage collector of this one would look at
        node = Alone(path, InMemorySigner(alice.seed, REGTEST))
        await node.start(height, partial(fees.note_estimates, estimates=ESTIMATES_PER_KW))
        seconds, given = [], []
        for _ in range(BLOCKS):
            height += 1
            node.chain.taken.clear()
            begun = time.perf_counter()
            await node.see_block(height)
            seconds.append(time.perf_counter() - begun)
            given.append(len(node.chain.taken))
        slots = list(node.runtime.manager.channels.values())
        details = {
            "median_ms": round(median(seconds) * 1000, 2),
            "runs_ms": [round(one * 1000, 2) for one in seconds],
            "channels": len(slots),
            "closed": sum([slot.state.core.closing is not None or slot.state.core.spent is not None for slot in slots]),
            "htlcs": sum([len(slot.state.core.outbound) + len(slot.state.core.inbound) for slot in slots]),
            "claims": sum([len(slot.onchain_claims) + (slot.anchor_claim is not None) for slot in slots]),
            "given_to_the_chain": given,
        }
        await node.stop()
        gc.unfreeze()
    return Figure(round(max(seconds) * 1000, 2), details)


async def _write(path: Path, node: SimNode) -> None:
    """Put all that is durable of a node into a store."""
    store = SqliteStore(path)
    epoch = await store.open()
    done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    for one in node.disk.journals():
        assert not one.state, "nothing was compacted"
        store.append(epoch, [Append(JournalId(one.journal), 1, one.records)], lambda _appends, _failure: None)
    store.append(epoch, [], lambda _appends, failure: done.set_result(failure))
    assert await done is None
    await store.close()
