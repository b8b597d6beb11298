"""Channels that are closed with payments in flight, and what a reorganisation makes of them."""

from functools import cache

from leyden.bitcoin.tx import Transaction, TxIn, TxOut
from leyden.channel.core import ChannelCore
from leyden.manager import claiming
from leyden.manager.state import Slot
from leyden.monitor.closed import ClosedView
from leyden.monitor.watched import WatchedOutput
from leyden.sim.cheating import old_commitment
from leyden.sim.world import MINER_SCRIPT, World
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from tests.hazards import stories
from tests.manager.stage import Stage
from tests.sim import topologies

PLAIN = ChannelType(CommitmentFormat.STATIC_REMOTEKEY, scid_alias=False, zeroconf=False)
"""HTLC transactions of these channels pay for themselves: no coins of a wallet are needed."""
AMOUNT_MSAT = 50_000_000
DUST_MSAT = 200_000
ANYBODY = b"\x51"
PATIENT = 100_000_000


@cache
def line(hold: str = "carol") -> World:
    """alice - bob - carol, whose user is asked."""
    return topologies.make([("alice", "bob"), ("bob", "carol")], hold, PLAIN)


@cache
def direct(hold: str = "bob") -> World:
    """alice - bob, whose user is asked."""
    return topologies.make([("alice", "bob")], hold, PLAIN)


@cache
def double(hold: str = "bob") -> World:
    """alice = bob, two channels; bob's user is asked."""
    return topologies.make([("alice", "bob"), ("alice", "bob")], hold, PLAIN)


def held(base: World, payee: str, amount_msat: int = AMOUNT_MSAT) -> Stage:
    """A payment of alice's that the payee's user has not answered."""
    stage = Stage(base)
    stage.prompt(payee, "")
    stage.pay("alice", payee, stage.invoice(payee, amount_msat), deadline_seconds=PATIENT)
    stage.seconds(3)
    stage.question(payee)
    return stage


def forwarded(amount_msat: int = AMOUNT_MSAT) -> Stage:
    """A payment from alice over bob that carol's user has not answered."""
    return held(line(), "carol", amount_msat)


def close(stage: Stage, name: str, peer: str, index: int = 0) -> Slot:
    """A user closes a channel by force; nothing is mined."""
    slot = stories.close_by_force(stage.world, name, peer, index)
    stage.world.closes_asked[slot.channel_id] = True
    stage.act()
    return slot


def claim(stage: Stage, name: str = "carol") -> None:
    """The user takes the payment, and what it causes happens."""
    question = stage.question(name)
    stage[name].run(lambda m: claiming.claim_payment(m, question.set_id, b""))
    stage.act()


def core(stage: Stage, name: str, peer: str) -> ChannelCore:
    """What a journal says of a channel."""
    return stage.slot(name, peer).state.core


def mine_to(stage: Stage, height: int) -> Stage:
    """Mine until the chain is that high; everybody sees each block."""
    while stage.world.chain.tip.height < height:
        stage.mine()
    return stage


def expiry(stage: Stage, name: str, peer: str, htlc_id: int = 0) -> int:
    """The expiry of an HTLC that `name` offered."""
    return core(stage, name, peer).outbound[htlc_id].add.cltv_expiry


def replace(stage: Stage, depth: int, *blocks: list[Transaction]) -> None:
    """Another branch, with exactly these blocks and then empty ones, one longer than what it replaces; nobody has seen
    it yet, and nothing waits any more.
    """
    chain = stage.world.chain
    chain.reorganise(depth, 0, MINER_SCRIPT)
    for txid in list(chain.pool):
        chain.evict(txid)
    for transactions in blocks:
        chain.mine_block_with(transactions, MINER_SCRIPT)
    chain.mine(max(depth + 1 - len(blocks), 0), MINER_SCRIPT)


def commitment_of(stage: Stage, name: str, peer: str, number: int | None = None) -> Transaction:
    """A commitment that its owner could publish, signed: the latest, or an older one."""
    slot = stage.slot(name, peer)
    wanted = slot.state.core.local.number if number is None else number
    return old_commitment(stage[name], slot.channel_id, wanted)


def confirm(stage: Stage, *transactions: Transaction) -> None:
    """A block with exactly these; everybody sees it."""
    stage.world.chain.mine_block_with(transactions, MINER_SCRIPT)
    stage.act()


def is_in_chain(stage: Stage, txid: bytes) -> bool:
    """Whether a block of the best chain has a transaction."""
    chain = stage.world.chain
    blocks = [chain.block_at(height) for height in range(chain.tip.height + 1)]
    return any(block is not None and txid in block.txids for block in blocks)


def closed_channels(stage: Stage) -> list[str]:
    """Who still looks at a channel that is spent."""
    return [
        name
        for name in stage.world.nodes
        for slot in stage.m(name).channels.values()
        if slot.state.core.spent is not None
    ]


def settle(stage: Stage) -> None:
    """Let every output be claimed and every journal go."""
    for _ in range(40):
        stage.mine(10)
        stage.seconds(2)
        if not closed_channels(stage):
            break
    assert not closed_channels(stage)


def finish(stage: Stage) -> None:
    """Let every output be claimed and every journal go; then all that must hold at rest holds."""
    settle(stage)
    stage.check()


def spend(*outputs: WatchedOutput, witness: tuple[bytes, ...] = (), pays_sat: int = 0) -> Transaction:
    """A transaction of somebody that takes these; the chain of these worlds does not look at scripts."""
    inputs = tuple([TxIn(one.outpoint, b"", 0xFFFFFFFD, witness) for one in outputs])
    value_sat = pays_sat or sum(one.value_sat for one in outputs) - 500
    return Transaction(2, inputs, (TxOut(value_sat, ANYBODY),), 0)


def view(slot: Slot) -> ClosedView:
    """The chain's side of a channel."""
    assert slot.closed_view is not None, "its funding output is unspent"
    return slot.closed_view
