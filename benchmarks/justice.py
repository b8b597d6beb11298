"""From the block that holds a revoked commitment to the penalties that are ready to be published; and blocks alone."""

import asyncio
import time
from statistics import median

from benchmarks import grown
from benchmarks.goals import Figure
from benchmarks.payments import Figures
from benchmarks.revoked import JOURNAL, SLOTS, Stored, grow
from benchmarks.run import Run
from leyden.bitcoin.networks import REGTEST
from leyden.bitcoin.tx import Transaction
from leyden.crypto.hashes import sha256
from leyden.journal.batch import StoredJournal
from leyden.journal.penalty import ROW_LENGTH
from leyden.manager import chain
from leyden.manager.actions import Broadcast
from leyden.manager.config import ManagerConfig
from leyden.manager.manager import Manager
from leyden.manager.rebuild import Folded, fold_channel, live_state
from leyden.manager.state import NodeState
from leyden.node import boot
from leyden.signer.in_memory import InMemorySigner

HEIGHT = 200
BLOCKS = 20


def justice(run: Run) -> Figures:
    """A channel with many revoked states, one of which, with all slots used, is in a block."""
    run.settle()
    run.say(f"{run.scale.states:,} revoked states")
    seen = asyncio.run(grow(run.scale.states))
    run.say("one of them is in a block")
    runs = [_punish(seen, number) for number in range(max(2, run.scale.runs))]
    seconds = [one for one, _count in runs]
    details = {"runs": seconds, "transactions": runs[0][1], "rows": len(seen.log) // ROW_LENGTH}
    return {"justice": Figure(round(float(median(seconds)), 4), details)}


def _manager(signer: InMemorySigner, folded: Folded) -> Manager:
    manager = boot.make_manager(ManagerConfig(REGTEST), signer, folded, lambda: bytes(32))
    manager.set_env(block_height=HEIGHT)
    manager.is_started = True
    return manager


def _punish(seen: Stored, number: int) -> tuple[float, int]:
    """Return the seconds until the penalties are signed, and how many transactions they are."""
    state = live_state(fold_channel(StoredJournal(JOURNAL, 0, b"", seen.journal.records)))
    manager = _manager(seen.journal.own.signer, Folded(NodeState(), 0, b"", [], [state]))
    manager.penalty_log = lambda _journal: seen.log
    txid = seen.full.txid()
    begun = time.perf_counter()
    chain.on_block(manager, HEIGHT + 1, sha256(b"block %d" % number), [seen.full], [txid])
    manager.flush()
    for signing in manager.outbox.take_requests():
        manager.outbox.on_answer(signing, seen.journal.own.signer.answer(signing.request))
    seconds = time.perf_counter() - begun
    assert not manager.faults, manager.faults
    published = [Transaction.parse(one.transaction) for one in manager.actions if isinstance(one, Broadcast)]
    taken = {one.prevout.vout for transaction in published for one in transaction.inputs if one.prevout.txid == txid}
    assert len(taken) == SLOTS + 1, f"{len(taken)} outputs are taken"
    return round(seconds, 4), len(published)


def blocks(run: Run) -> Figures:
    """Blocks in which nothing happens to a node with many open channels."""
    run.settle()
    run.say(f"blocks over {run.scale.channels:,} channels")
    ends = grown.make_ends()
    states = []
    for number in range(run.scale.channels):
        keys_ids = [sha256(b"keys %d %d" % (side, number)) for side in (0, 1)]
        journal = grown.journal_of(ends, keys_ids, number, grown.Place(1, bytes(32)))
        stored = StoredJournal(
            journal.snapshot.journal, journal.snapshot.position, journal.snapshot.state, journal.tail.records
        )
        states.append(live_state(fold_channel(stored)))
    manager = _manager(ends[0].signer, Folded(NodeState(), 0, b"", [], states))
    seconds = []
    for number in range(1, BLOCKS + 1):
        begun = time.perf_counter()
        chain.on_block(manager, HEIGHT + number, sha256(b"block %d" % number), [], [])
        manager.flush()
        seconds.append(time.perf_counter() - begun)
    assert not manager.faults, manager.faults
    return {"blocks": Figure(round(max(seconds) * 1000, 2), {"median_ms": round(median(seconds) * 1000, 2)})}
