"""What a node does that was down while its channels were closed: it takes in every block that it has missed."""

import time
from functools import partial

from benchmarks.goals import Figure
from benchmarks.payments import Figures
from benchmarks.run import Run
from leyden.bitcoin.networks import REGTEST
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut
from leyden.crypto.hashes import sha256
from leyden.invoices import bolt11
from leyden.journal.node_records import FixedHop, FixedRoute
from leyden.manager import claiming, closes
from leyden.manager.config import ManagerConfig
from leyden.manager.state import Slot
from leyden.sim import user
from leyden.sim.handler import Prompt
from leyden.sim.schedules import Fair, run_to_rest
from leyden.sim.world import MINER_SCRIPT, World
from leyden.wire.channel_type import ChannelType, CommitmentFormat

CHANNELS = 100
CLOSED_PERCENT = 20
HTLCS = 5
"""Of each channel that is closed, under way at that moment."""
OTHERS = 20
"""Transactions of others in each block."""
CAPACITY_SAT = 1_000_000
EXPIRY_BLOCKS = 100
CHANNEL_TYPE = ChannelType(CommitmentFormat.STATIC_REMOTEKEY, scid_alias=False, zeroconf=False)


def rescan(run: Run) -> Figures:
    """A start behind many blocks, with channels that were closed in the first of them. The blocks are in memory: what a
    chain service needs to give them is not in it.
    """
    channels, blocks = min(CHANNELS, run.scale.channels), run.scale.blocks
    run.say(f"{channels} channels")
    world = make_world(channels, CHANNEL_TYPE)
    closed = max(channels * CLOSED_PERCENT // 100, 1)
    run.say(f"{blocks:,} blocks")
    _close(world, closed)
    _mine(world, blocks)
    run.settle()
    run.say("a start behind them")
    alice = world.nodes["alice"]
    begun = time.perf_counter()
    alice.start(sync=False)
    ready = time.perf_counter()
    alice.sync()
    seconds = time.perf_counter() - begun
    assert alice.best == world.chain.tip
    spends = [len(slot.state.core.output_spends) for slot in alice.manager.channels.values() if slot.state.core.spent]
    assert len(spends) == closed
    assert sum(spends) >= closed * HTLCS // 2, "what bob has claimed is seen"
    details = {
        "channels": channels,
        "closed": closed,
        "htlcs": closed * HTLCS,
        "blocks": blocks,
        "transactions": blocks * OTHERS,
        "spends_of_outputs": sum(spends),
        "load_s": round(ready - begun, 3),
        "ms_per_block": round((seconds - (ready - begun)) * 1000 / blocks, 3),
    }
    return {"rescan": Figure(round(seconds, 3), details)}


def make_world(channels: int, channel_type: ChannelType) -> World:
    """Two nodes with channels between them; the users of bob, whom alice pays, do not answer."""
    world = World(b"rescan")
    for name in ("alice", "bob"):
        world.add_node(name, ManagerConfig(REGTEST, auto_claim=False)).application = Prompt("")
    world.link("alice", "bob")
    world.grant("alice", channels * 2 * CAPACITY_SAT)
    world.mine()
    run_to_rest(world, Fair())
    alice, bob = world.nodes["alice"], world.nodes["bob"]
    for _ in range(channels):
        user.open_channel(alice, bob, CAPACITY_SAT, CAPACITY_SAT * 500, channel_type)
        run_to_rest(world, Fair())
        world.mine()
    world.mine(6)
    run_to_rest(world, Fair())
    return world


def _close(world: World, closed: int) -> None:
    """alice goes down with payments under way over some channels, which bob closes by force; every other one of them he
    claims on the chain.
    """
    alice, bob = world.nodes["alice"], world.nodes["bob"]
    slots = list(alice.manager.channels.values())[:closed]
    for number in range(closed * HTLCS):
        pay(world, slots[number % closed], number)
    act(world)
    world.crash("alice", alice.disk.under_way())
    ids = [slot.channel_id for slot in slots]
    for slot in [bob.manager.channels[channel_id] for channel_id in ids]:
        bob.run(partial(closes.force_by_user, slot=slot, without_peer=True))
    act(world)
    for claimable in list(bob.manager.claimables.values())[::2]:
        bob.run(partial(claiming.claim_payment, set_id=claiming.claim_id_of(claimable), preimage=b""))
    act(world)


def pay(world: World, slot: Slot, number: int) -> None:
    """alice offers bob an HTLC over one of their channels; nothing has left yet."""
    alice, bob = world.nodes["alice"], world.nodes["bob"]
    amount_msat, expiry = CAPACITY_SAT * 10, alice.manager.env.block_height + EXPIRY_BLOCKS
    text = user.make_invoice(bob, amount_msat, hints=True, tag=str(number))
    hop = FixedHop(slot.state.core.local_alias, bob.node_id, amount_msat, expiry)
    route = FixedRoute(slot.channel_id, [hop], bolt11.decode(text).payment_secret, 0)
    started = user.route_payment(alice, text, amount_msat, sha256(b"payment %d" % number), [route])
    user.Order("alice", started, "bob").ask(alice)


def act(world: World) -> None:
    """Let everything happen that can."""
    while enabled := world.enabled():
        world.perform(enabled[0])


def _mine(world: World, blocks: int) -> None:
    """Mine; bob claims and sweeps what he can, as time goes by."""
    for height in range(blocks):
        for number in range(OTHERS):
            spent = OutPoint(sha256(b"others %d %d" % (height, number)), 0)
            coin = Transaction(2, (TxIn(spent, b"", 0xFFFFFFFF),), (TxOut(1_000, MINER_SCRIPT),), 0)
            world.chain.grant(coin)
        world.mine()
        act(world)
