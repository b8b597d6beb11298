"""Channels that end on the chain with payments in them: what users, miners and cheats do in these hazards."""

from collections.abc import Sequence
from functools import cache, partial

from leyden.bitcoin.tx import OutPoint, Transaction
from leyden.channel.core import ChannelCore
from leyden.manager import claiming
from leyden.manager import events as ev
from leyden.sim.books import Books
from leyden.sim.cheating import old_commitment
from leyden.sim.user import Order
from leyden.sim.world import MINER_SCRIPT, World
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from tests.hazards import stories
from tests.hazards.stories import slot_of
from tests.manager.stage import AMOUNT_MSAT, Stage
from tests.sim import acts, topologies

PLAIN = ChannelType(CommitmentFormat.STATIC_REMOTEKEY, scid_alias=False, zeroconf=False)
"""HTLC transactions of these channels pay for themselves: no coins of a wallet are needed."""
DUST_MSAT = 200_000
PATIENT_SECONDS = 100_000_000
"""A deadline that no chain is late for."""


@cache
def direct(hold: str = "bob") -> World:
    """alice - bob, whose user is asked."""
    return topologies.make([("alice", "bob")], hold, PLAIN)


@cache
def double(hold: str = "bob") -> World:
    """alice = bob, two channels; his user is asked."""
    return topologies.make([("alice", "bob"), ("alice", "bob")], hold, PLAIN)


@cache
def line(hold: str = "carol") -> World:
    """alice - bob - carol, whose user is asked."""
    return topologies.make([("alice", "bob"), ("bob", "carol")], hold, PLAIN)


# --- a stage ---------------------------------------------------------------------------------------------------------


def held(base: World, payee: str, amount_msat: int = AMOUNT_MSAT, *, tags: Sequence[str] = ("one",)) -> Stage:
    """Payments of alice's that the payee's user has not answered."""
    stage = Stage(base)
    stage.prompt(payee, "")
    for tag in tags:
        text = stage.invoice(payee, amount_msat, tag=tag)
        stage.pay("alice", payee, text, tag, deadline_seconds=PATIENT_SECONDS)
    return stage.seconds(3)


def part(stage: Stage, one: str, other: str) -> None:
    """Two nodes cannot reach each other any more."""
    for link in ((one, other), (other, one)):
        if link in stage.world.links:
            stage.world.links[link] = False
    stage.world.cut(one, other)
    stage.act()


def close(stage: Stage, name: str, peer: str) -> None:
    """A user closes a channel without asking its peer; the commitment waits for a block."""
    stories.close_by_force(stage.world, name, peer)
    stage.act()


def cheat(stage: Stage, name: str, peer: str, number: int) -> Transaction:
    """The operator of `name` stops it, and puts an old commitment into a block."""
    channel_id = stage.slot(name, peer).channel_id
    stage.world.crash(name)
    transaction = old_commitment(stage[name], channel_id, number)
    stage.world.chain.mine_block_with([transaction], MINER_SCRIPT)
    stage.act()
    return transaction


def claim(stage: Stage, name: str, tag: str = "") -> None:
    """The user takes the one payment that is open, or the one of an invoice."""
    questions = [one for one in stage.m(name).events.values() if isinstance(one, ev.PaymentClaimable)]
    hashes = [order.started.payment_hash for order in stage.orders if order.started.payment_id == acts.payment_id(tag)]
    [question] = [one for one in questions if not tag or one.payment_hash in hashes]
    stage[name].run(lambda m: claiming.claim_payment(m, question.set_id, b""))
    stage.act()


def core(stage: Stage, name: str, peer: str) -> ChannelCore:
    """What a journal says of a channel."""
    return stage.slot(name, peer).state.core


def expiry(stage: Stage, name: str, peer: str) -> int:
    """The expiry of the one HTLC that `name` offered."""
    [htlc] = core(stage, name, peer).outbound.values()
    return htlc.add.cltv_expiry


def mine_to(stage: Stage, height: int) -> None:
    """Mine until the chain is that high; everybody sees each block."""
    while stage.world.chain.tip.height < height:
        stage.mine()


def published(stage: Stage, outpoint: OutPoint) -> list[Transaction]:
    """What waits in the mempool, or is in a block, and spends an output."""
    found = [tx for tx in stage.world.chain.pool.values() if any(one.prevout == outpoint for one in tx.inputs)]
    for height in range(stage.world.chain.tip.height + 1):
        block = stage.world.chain.block_at(height)
        assert block is not None
        found += [tx for tx in block.transactions if any(one.prevout == outpoint for one in tx.inputs)]
    return found


# --- a world that is left to itself, for `forms` ---------------------------------------------------------------------


def then_mine(world: World, *counts: int) -> None:
    """Blocks, so many at a time, each time when nothing else happens."""
    for count in counts:
        acts.then(world, f"{count} blocks", partial(world.mine, count))


def then_close(world: World, name: str, peer: str) -> None:
    """A user closes a channel by force, and once more if a crash has made that undone."""

    def run() -> None:
        if slot_of(world, name, peer).state.core.closing is None:
            stories.close_by_force(world, name, peer)

    for _ in range(2):
        acts.then(world, f"{name} closes", run)


def then_answer(world: World, name: str, what: str) -> None:
    """A user says so to whatever it is asked, or was."""
    acts.then(world, f"{name} says {what}", partial(stories.answer, world, name, what))


def check_settled(world: World, _books: Books, orders: Sequence[Order]) -> None:
    """No payment is open, told in two ways, or waits for anything; no channel has stopped."""
    for node in world.nodes.values():
        m = node.manager
        assert node.runtime.outbox.is_idle(), node.name
        assert not node.disk.under_way(), node.name
        for slot in m.channels.values():
            what = f"{node.name} {slot.channel_id.hex()[:8]}"
            assert not slot.halted, f"{what}: {slot.halted}"
            assert not slot.state.core.outcomes, what
            assert no_record_twice(slot.state.core), what
    for order in orders:
        payer = world.nodes[order.payer]
        payment = payer.manager.node.ledger.payments[order.started.payment_id]
        assert not payment.is_live
        assert not payment.parts
        assert bool(payment.sent) is not bool(payment.failed)
        ends = stories.told(world, order.payer, ev.PaymentSent) + stories.told(world, order.payer, ev.PaymentFailed)
        assert len({one.event_id for one in ends if getattr(one, "payment_id", b"") == payment.started.payment_id}) == 1


def no_record_twice(one: ChannelCore) -> bool:
    """Whether every spend is recorded once, whatever was seen again."""
    spends = [spend.transaction for spend in one.output_spends]
    return len(set(spends)) == len(spends)
