"""The steps, in order, but for the cheating (`cheat.py`) and the reckoning (`accounts.py`).

Bob closes the channel that he has opened with carol, and alice the one that carol has opened with her, while payments
are in them both ways. Of each kind one is claimed by its payee when the channel is closed, on the chain, and one is
never answered; one more is too small for an output. Alice pays carol over bob too: he reads the preimage from the
chain. Fees rise meanwhile, so that his commitment needs a child.
"""

import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, cast

import msgspec

from leyden.demo.errors import DemoFailed
from leyden.demo.screen import MSAT_PER_SAT, Screen, sat
from leyden.demo.story import CONFIRMATIONS, MATURITY_BLOCKS, SUBSIDY_SAT
from leyden.demo.world import MINER_ADDRESS, World

NAMES: Final = ("alice", "bob", "carol", "mallory")
TO_SELF_DELAY: Final = 12
REORG_BLOCKS: Final = 10
UNDONE_MIN: Final = 7
"""Two commitments, the child of one, and on each a claim of either side."""
RISEN_BTC_PER_KVB: Final = "0.0002"
"""Four times what estimates are otherwise."""
EXPIRED_BLOCKS_MAX: Final = 300
"""Until every HTLC has expired and its refund is 100 blocks deep."""
CHANNELS: Final = (
    ("alice", "bob", 10_000_000, 0, "anchors"),
    ("bob", "carol", 8_000_000, 3_000_000, "anchors"),
    ("carol", "alice", 5_000_000, 600_000, "static_remotekey"),
    ("mallory", "alice", 4_000_000, 1_000_000, "static_remotekey"),
)
"""Opener, other side, capacity in satoshi, what the other side begins with, channel type."""
HELD: Final = (
    ("alice", "carol", 700_000_000, True),
    ("bob", "carol", 500_000_000, False),
    ("carol", "bob", 600_000_000, True),
    ("carol", "bob", 400_000_000, False),
    ("alice", "carol", 250_000_000, True),
    ("alice", "carol", 150_000_000, False),
    ("carol", "alice", 350_000_000, True),
    ("carol", "alice", 200_000_000, False),
    ("carol", "alice", 300_000, False),
)
"""Payer, payee, amount in msat, and whether the payee claims it once the channel is closed. The first is more than
alice has in her channel with carol, so it goes over bob. The last is dust: what carol has offered goes to the fee of
the commitment, which she pays as the one who opened the channel.
"""
CLOSED: Final = (("bob", "carol"), ("alice", "carol"))
"""Who closes by force, and with whom: an opener, and one who accepted."""
_SETTINGS: Final = f"\n[channels]\nto_self_delay = {TO_SELF_DELAY}\n\n[payments]\nauto_claim = false\n"

Restart: TypeAlias = Callable[[str], Awaitable[None]]


class Opened(msgspec.Struct, frozen=True):
    """A channel, and the output that funds it."""

    opener: str
    other: str
    kind: str
    channel_id: str
    funding_txid: str
    funding_output_index: int


class HeldPayment(msgspec.Struct):
    """A payment that waits for its payee. is_claimed: whether it is to be. set_id: what the payee claims it by."""

    payer: str
    payee: str
    amount_msat: int
    is_claimed: bool
    preimage: bytes
    payment_hash: str = ""
    payment_id: str = ""
    set_id: str = ""


async def start_processes(world: World, screen: Screen) -> None:
    """The chain service and four nodes, each with money."""
    processes = world.processes
    with screen.step("Start a chain service and four nodes, and fund them") as step:
        await processes.start_chain()
        await processes.rpc("generatetoaddress", 1, MINER_ADDRESS)
        for name in NAMES:
            await processes.add_node(name, _SETTINGS).start()
        for node in world.nodes:
            address = (await node.api.new_address()).address
            await processes.rpc("generatetoaddress", 1, address)
            world.put_in_msat[node.name] = SUBSIDY_SAT * MSAT_PER_SAT
        await world.mine(MATURITY_BLOCKS)
        step.say(f"{', '.join(NAMES)}: {sat(SUBSIDY_SAT * MSAT_PER_SAT)} sat each")


async def open_channels(world: World, screen: Screen) -> list[Opened]:
    """All channels, two of them without anchors."""
    with screen.step("Open four channels") as step:
        channels: list[Opened] = []
        for opener, other, capacity_sat, pushed_sat, kind in CHANNELS:
            api, peer = world.node(opener).api, world.node(other)
            await api.connect(peer.node_id, "127.0.0.1", peer.port)
            opened = await api.open_channel(
                peer.node_id,
                capacity_sat,
                pushed_sat * MSAT_PER_SAT,
                channel_type="anchors" if kind == "anchors" else "static_remotekey",
            )
            world.gifts_msat[opener] = world.gifts_msat.get(opener, 0) - pushed_sat * MSAT_PER_SAT
            world.gifts_msat[other] = world.gifts_msat.get(other, 0) + pushed_sat * MSAT_PER_SAT
            funding = (opened.channel_id, opened.funding_txid, opened.funding_output_index)
            channels.append(Opened(opener, other, kind, *funding))
            step.say(f"{opener}-{other}: {sat(capacity_sat * MSAT_PER_SAT)} sat, {kind}")
        await world.wait_for_transactions([one.funding_txid for one in channels])
        await world.mine(CONFIRMATIONS)
        await world.until_usable(2 * len(CHANNELS))
        return channels


async def hold_payments(world: World, screen: Screen) -> list[HeldPayment]:
    """Payments in flight both ways, which their payees let wait."""
    with screen.step("Leave nine payments in flight, with anchors and without, both ways") as step:
        held: list[HeldPayment] = []
        for payer, payee, amount_msat, is_claimed in HELD:
            held.append(await hold(world, payer, payee, amount_msat, is_claimed=is_claimed))
            way = f"{payer} → bob → {payee}" if len(held) == 1 else f"{payer} → {payee}"
            step.say(f"{way}: {sat(amount_msat)} sat")
        return held


async def hold(world: World, payer: str, payee: str, amount_msat: int, *, is_claimed: bool) -> HeldPayment:
    """Start a payment; return when its payee is asked about it."""
    one = HeldPayment(payer, payee, amount_msat, is_claimed, secrets.token_bytes(32))
    one.payment_hash = hashlib.sha256(one.preimage).hexdigest()
    made = await world.node(payee).api.create_invoice(amount_msat, "held", payment_hash=one.payment_hash)
    started = await world.node(payer).api.pay(made.invoice, deadline_seconds=3600)
    one.payment_id = started.payment_id
    await until_asked(world, one)
    return one


async def until_asked(world: World, one: HeldPayment) -> None:
    """Wait until the payee is asked about a payment in this life."""

    async def shown() -> bool:
        for event in await world.events(one.payee, "payment_claimable"):
            if event.fields["payment_hash"] == one.payment_hash:
                one.set_id = cast("str", event.fields["set_id"])
        return bool(one.set_id)

    one.set_id = ""
    await world.until(shown, f"{one.payee} is asked about a payment of {one.payer}")


async def close_by_force(world: World, screen: Screen, held: list[HeldPayment], restart: Restart) -> None:
    """Payees claim what they want on the chain; bob is killed on the way, and ten blocks are undone.

    restart: kills a node and starts it again.
    """
    with screen.step("bob and alice close by force; claims, kill -9, and ten blocks undone") as step:
        for closer, other in CLOSED:
            await world.node(closer).api.close(await channel_between(world, closer, other), force=True)
        await until_in_mempool(world, len(CLOSED))
        step.say("bob closes bob-carol (anchors), which he has opened")
        step.say("alice closes carol-alice (static_remotekey), which carol has opened")
        await pay_for_the_parent(world, restart)
        step.say("fees rise; kill -9 bob: he is back with a child for his commitment")
        await world.mine(1)
        claimed = [one for one in held if one.is_claimed]
        for one in claimed:
            await world.node(one.payee).api.claim_payment(one.set_id, one.preimage.hex())
        step.say("then one payment each way is claimed on either, on the chain")
        await until_in_mempool(world, 1)
        begun = time.perf_counter()
        await restart("bob")
        step.say(f"kill -9 bob while claims wait for a block; back after {time.perf_counter() - begun:.1f} s")
        await until_in_mempool(world, len(claimed))
        await mine_slowly(world, 3)
        await until_paid(world, claimed)
        step.say("alice has her proof: bob read carol's preimage from the chain")
        await mine_slowly(world, REORG_BLOCKS - 4)  # the oldest of the blocks that are undone holds the commitments
        undone = await undo_blocks(world, REORG_BLOCKS)
        if undone < UNDONE_MIN:
            raise DemoFailed(f"only {undone} transactions were undone: not both commitments and the claims on them")
        step.say(f"{REORG_BLOCKS} blocks replaced by {REORG_BLOCKS + 1} empty ones: {undone} transactions are undone")
        await mine_slowly(world, 5)


async def pay_for_the_parent(world: World, restart: Restart) -> None:
    """Fees rise while commitments wait for a block; bob asks for them when he starts, and pays for his by an anchor."""
    await world.processes.rpc("setfeeestimate", RISEN_BTC_PER_KVB)
    await restart("bob")
    await until_in_mempool(world, len(CLOSED) + 1)
    await world.processes.rpc("setfeeestimate")


async def until_paid(world: World, claimed: list[HeldPayment]) -> None:
    """Wait until payers know that these have succeeded. Raises DemoFailed when one has not."""
    for one in claimed:
        payment = await world.node(one.payer).api.wait_payment(one.payment_id, 30)
        if payment.status != "succeeded":
            raise DemoFailed(f"{one.payer} -> {one.payee}: {payment.status}")


async def wait_for_timeouts(world: World, screen: Screen, held: list[HeldPayment]) -> None:
    """Nobody answered the others: after their expiry they come home, and what is ours after its delay."""
    with screen.step("What nobody answered comes home after its expiry") as step:
        begun = cast("int", await world.processes.rpc("getblockcount"))
        while pending := await _pending(world, held):
            height = cast("int", await world.processes.rpc("getblockcount"))
            step.now(f"block {height}, {pending} payments are still open")
            if height > begun + EXPIRED_BLOCKS_MAX:
                raise DemoFailed(f"payments have not ended after {EXPIRED_BLOCKS_MAX} blocks")
            await mine_slowly(world, 5, 5)
        for one in held:
            payment = await world.node(one.payer).api.payment(one.payment_id)
            if payment.status != ("succeeded" if one.is_claimed else "failed"):
                raise DemoFailed(f"{one.payer} -> {one.payee}: {payment.status}: {payment.reason}")
        step.say("each ended the same way at both ends; failures are told 100 blocks deep")


async def _pending(world: World, held: list[HeldPayment]) -> int:
    payments = [await world.node(one.payer).api.payment(one.payment_id) for one in held]
    return len([one for one in payments if one.status == "pending"])


async def channel_between(world: World, one: str, other: str) -> str:
    """Return the channel_id of the only channel of two nodes."""
    peer = world.node(other).node_id
    (found,) = [channel for channel in await world.node(one).api.channels() if channel.node_id == peer]
    return found.channel_id


async def mine_slowly(world: World, count: int, at_once: int = 1) -> None:
    """Mine a few blocks at a time, so that what nodes publish for one is in the next."""
    for start in range(0, count, at_once):
        await world.mine(min(at_once, count - start))
        await world.breathe()


async def until_in_mempool(world: World, count: int) -> None:
    """Wait until so many transactions wait for a block."""

    async def there() -> bool:
        return len(cast("list[str]", await world.processes.rpc("getrawmempool"))) >= count

    await world.until(there, f"{count} transactions wait for a block")


async def undo_blocks(world: World, count: int) -> int:
    """Replace the last blocks by one more, all empty; return how many transactions that takes out of the chain."""
    rpc = world.processes.rpc
    height = cast("int", await rpc("getblockcount"))
    undone = 0
    for at in range(height - count + 1, height + 1):
        block = cast("dict[str, list[str]]", await rpc("getblock", await rpc("getblockhash", at), 1))
        undone += len(block["tx"]) - 1
    await rpc("invalidateblock", await rpc("getblockhash", height - count + 1))
    for _ in range(count + 1):
        await rpc("generateblock", MINER_ADDRESS, [])
    await world.until_seen(height + 1)
    return undone
