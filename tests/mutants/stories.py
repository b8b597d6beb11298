"""Worlds for guards that no exploration of honest nodes reaches: each says itself what must hold."""

import asyncio

import pytest

from leyden.base.errors import CommandRejected, StorageUnavailable
from leyden.channel.inputs import ForceClose, PendingAdd, QueueAdd
from leyden.channel.states import ForceClosing, Normal
from leyden.crypto.shachain import index_of_commitment
from leyden.drivers.chain.memory import MemoryChainSource
from leyden.journal.node_records import BestBlock
from leyden.monitor.resolution import IRREVOCABLE_BLOCKS
from leyden.node.core import NodeCore
from leyden.node.runtime import RuntimeLimits
from leyden.node.settings import NodeConfig
from leyden.sim.power_cut import PowerVfs
from leyden.sim.schedules import Fair, run_to_rest
from leyden.sim.world import World
from tests.drivers.storage.test_sqlite_file import test_every_write_reads_the_fence_in_its_own_transaction
from tests.manager.stage import AMOUNT_MSAT, Stage
from tests.manager.test_archive import closed
from tests.manager.test_withdrawing import over_two_ways, test_sources_return_when_the_withdrawal_is_durable
from tests.sim import topologies
from tests.sim.acts import answer, hold


def force_closes(stage: Stage) -> int:
    """How many own commitments were published."""
    return sum(what == "force-close" for _txid, what in stage.world.broadcasts)


def a_forced_close_that_a_crash_forgets() -> None:
    """A commitment leaves only behind its record: what a crash forgets was never published, and the channel goes on."""
    stage = Stage(topologies.direct())
    slot = stage.slot("alice", "bob")
    hold(stage["alice"], slot.tail.journal)
    stage["alice"].run(lambda m: m.apply(slot, ForceClose("asked for")))
    stage.seconds(2)
    assert not force_closes(stage), "published before its record is durable"
    stage.world.restart("alice")
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.check()
    slot = stage.slot("alice", "bob")
    stage["alice"].run(lambda m: m.apply(slot, ForceClose("asked for again")))
    stage.seconds(2)
    assert force_closes(stage)
    stage.world.restart("alice")
    assert type(stage.slot("alice", "bob").state) is ForceClosing, "published, and forgotten by the next life"


def a_channel_says_nothing_after_closing() -> None:
    """The peer has not heard of the close and goes on as before: it learns no secret of what was published."""
    stage = Stage(topologies.direct())
    stage.world.links[("alice", "bob")] = False
    stage.world.cut("alice", "bob")
    slot = stage.slot("alice", "bob")
    stage["alice"].run(lambda m: m.apply(slot, ForceClose("asked for")))
    stage.seconds(2)
    assert force_closes(stage) == 1
    number = slot.state.core.local.number
    stage.world.links[("alice", "bob")] = True
    stage.seconds(2)
    stage.pay("bob", "alice", stage.invoice("alice"))
    stage.seconds(5)
    theirs = stage.slot("bob", "alice").state.core
    assert theirs.remote.number == number, "a commitment after the one that is published"
    revoked = [index for index, _secret in theirs.secrets.to_list()]
    assert index_of_commitment(number) not in revoked, "the secret of what is published"
    assert not slot.halted


def nothing_is_failed_back_before_it_is_irrevocable() -> None:
    """While the next peer could still publish a commitment with the HTLC, the one it came from is not failed."""
    stage = Stage(topologies.line("carol"))
    stage.prompt("carol", "fail")
    stage.pay("alice", "carol", stage.invoice("carol"))
    inbound, outbound = stage.slot("bob", "alice"), stage.slot("bob", "carol")
    seen: list[bool] = []

    def look(_world: World) -> bool:
        failed = any(htlc.failure is not None for htlc in inbound.state.core.inbound.values())
        seen.append(failed)
        assert not (failed and outbound.state.core.outbound), "failed back while the next peer has it"
        return False

    run_to_rest(stage.world, Fair(), look)
    assert any(seen)
    stage.check()


def nothing_is_failed_back_on_a_fact_that_may_be_lost() -> None:
    """The next peer has revoked, and the journal that says so hangs: a crash now would bring the HTLC back."""
    stage = Stage(topologies.line("carol"))
    stage.prompt("carol", "fail")
    stage.pay("alice", "carol", stage.invoice("carol"), deadline_seconds=100_000)
    inbound, outbound = stage.slot("bob", "alice"), stage.slot("bob", "carol")

    def is_removal_durable(_world: World) -> bool:
        removed = any(htlc.removal is not None for htlc in outbound.state.core.outbound.values())
        return removed and outbound.tail.durable == outbound.tail.position

    assert run_to_rest(stage.world, Fair(), is_removal_durable)
    hold(stage["bob"], outbound.tail.journal)
    stage.seconds(5)
    assert not outbound.state.core.outbound, "irrevocably removed, but not durably"
    assert [htlc.failure for htlc in inbound.state.core.inbound.values()] == [None]
    stage["bob"].disk.held.clear()
    stage.check()


def a_source_with_two_htlcs_fails_with_the_last() -> None:
    """Two HTLCs carry one: the failure of one of them says nothing while the other is open."""
    stage = Stage(topologies.make([("alice", "bob"), ("bob", "carol"), ("bob", "carol")], "carol"))
    prompt = stage.prompt("carol", "")
    stage.pay("alice", "carol", stage.invoice("carol", AMOUNT_MSAT), deadline_seconds=100_000)
    stage.seconds(5)
    slots = stage.slots("bob", "carol")
    [carrying] = [slot for slot in slots if slot.state.core.outbound]
    [other] = [slot for slot in slots if slot is not carrying]
    add = next(iter(carrying.state.core.outbound.values())).add
    assert add.source is not None
    twin = PendingAdd(
        add.amount_msat, add.payment_hash, add.cltv_expiry, add.onion_routing_packet, add.source, add.fee_msat
    )
    stage["bob"].run(lambda m: m.apply(other, QueueAdd(twin)))
    stage.seconds(5)  # carol has seen this onion before, and fails it
    assert not other.state.core.outbound
    answer(stage["carol"], prompt, "claim")
    stage.rest()
    assert stage.payment("alice").sent is not None, "failed back while one of the two was open"


def penalty_rows_outlive_refused_snapshots() -> None:
    """What justice needs stays in memory until the snapshot that replaces its records is durable."""
    stage = Stage(topologies.direct())
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.rest()
    alice, slot = stage["alice"], stage.slot("alice", "bob")
    rows = list(slot.state.core.penalty_rows)
    assert rows
    alice.runtime.snapshot(slot.tail.journal)
    alice.disk.refuse(StorageUnavailable("no space left"))
    stage.act()
    alice.runtime.snapshot(slot.tail.journal)
    stage.act()
    kept = alice.disk.penalty_rows(slot.tail.journal)
    assert all(row in kept for row in rows), "records are gone, and so are their penalty rows"
    assert type(slot.state) is Normal


def nothing_is_taken_on_a_stale_height() -> None:
    """A node that slept wakes up where it fell asleep: what looks in time from there is too late."""
    stage = Stage(topologies.direct())
    stage.pay("alice", "bob", stage.invoice("bob"))
    inbound = stage.slot("bob", "alice")
    while not any(htlc.committed for htlc in inbound.state.core.inbound.values()):
        stage.world.perform(stage.world.enabled()[0])
    # The HTLC is irrevocable in bob's journal, what he has decided about it is lost.
    stage.world.crash("bob", {inbound.tail.journal: 1})
    stage.mine(150)
    stage["bob"].start(sync=False)
    [htlc] = stage.slot("bob", "alice").state.core.inbound.values()
    assert htlc.committed
    assert not htlc.decided(), "decided on a stale height"
    stage.check()
    assert stage.payment("alice").failed is not None


def claims_pass_and_payments_wait_while_the_store_is_behind() -> None:
    """The bound is for what is new; a preimage is never held back by it."""
    stage = Stage(topologies.direct("bob"))
    prompt = stage.prompt("bob", "")
    stage.pay("alice", "bob", stage.invoice("bob"), deadline_seconds=100_000)
    stage.seconds(3)
    bob = stage["bob"]
    hold(bob, "node")
    bound = RuntimeLimits.HOLD_BYTES
    RuntimeLimits.HOLD_BYTES = 100
    try:
        while bob.runtime.outbox.queued_bytes <= 100:
            bob.run(lambda m: m.record(BestBlock(m.env.block_height, bytes(32))))
        text = stage.invoice("alice", tag="two")
        with pytest.raises(CommandRejected, match="the store is far behind"):
            stage.pay("bob", "alice", text, "two")
        stage.orders.pop()
        answer(bob, prompt, "claim")
        stage.seconds(5)
        assert stage.payment("alice").sent is not None, "the fulfil waits for a store that is behind"
        bob.disk.held.clear()
        stage.check()
    finally:
        RuntimeLimits.HOLD_BYTES = bound


def the_fence_is_part_of_the_write() -> None:
    """Whoever opened the file last writes, and nobody else."""
    disk = PowerVfs()
    try:
        test_every_write_reads_the_fence_in_its_own_transaction(disk, "append")
    finally:
        disk.unregister()


def a_withdrawal_that_may_be_lost_returns_nothing() -> None:
    """A signature is taken back in memory, and the journal hangs: its HTLC is not offered elsewhere yet."""
    test_sources_return_when_the_withdrawal_is_durable(over_two_ways)


def nothing_is_dropped_before_node_says_so() -> None:
    """The record that a journal is archived hangs: the journal stays."""
    stage, slot = closed(topologies.direct(), depth=IRREVOCABLE_BLOCKS - 1)
    alice, journal = stage["alice"], slot.tail.journal
    assert alice.runtime.outbox.is_idle()
    stage.world.mine()
    while not alice.disk.under_way().get("node"):
        stage.world.perform(stage.world.enabled()[0])
    for _ in range(3):
        # The block is noted, then the archive; each waits for the one before.
        hold(alice, "node")
        stage.act()
        is_recorded = journal in alice.manager.node.archived
        assert journal in [one.journal for one in alice.disk.journals()], "dropped before it is archived durably"
        if is_recorded:
            break
        alice.disk.held.clear()
        stage.world.perform(next(one for one in stage.world.enabled() if one.kind == "commit"))
    assert is_recorded
    alice.disk.held.clear()
    stage.check()
    assert journal not in [one.journal for one in alice.disk.journals()]


def an_answer_and_a_read_wait_for_what_they_show() -> None:
    """A call, and a look at what it has done, return when a crash cannot undo it."""
    stage = Stage(topologies.direct())
    alice = stage["alice"]
    hold(alice, "node")
    core = NodeCore(NodeConfig(), alice.runtime, alice.runtime.wallet, MemoryChainSource(stage.world.chain), bytes)

    async def ask() -> None:
        block = BestBlock(alice.best.height, alice.best.hash)
        calls = [
            asyncio.ensure_future(core.run(lambda m: m.record(block))),
            asyncio.ensure_future(core.read(lambda: alice.manager.node.best)),
        ]
        for _ in range(5):
            await asyncio.sleep(0)
        assert not any(call.done() for call in calls), "it shows what is not durable"
        alice.disk.held.clear()
        stage.act()
        await asyncio.wait_for(asyncio.gather(*calls), 1)

    asyncio.run(ask())
