"""The methods of the control API: each says what the node is and does, and waits for what must be durable."""

import asyncio
import inspect
from pathlib import Path

from leyden.node import methods
from leyden.node.control import NodeControl
from leyden.node.methods import FAULTS_SHOWN, NodeMethods
from tests.node.pair import event_of, pair


def test_methods_are_those_of_the_api() -> None:
    """A method with other parameters would be refused by the schema, or take them for something else."""
    said = {name: one for name, one in inspect.getmembers(NodeControl, inspect.isfunction) if not name.startswith("_")}
    made = {name: one for name, one in inspect.getmembers(NodeMethods, inspect.isfunction) if not name.startswith("_")}
    assert set(said) <= set(made)
    for name, one in said.items():
        wanted, found = inspect.signature(one), inspect.signature(made[name])
        assert [(p.name, p.default) for p in wanted.parameters.values()] == [
            (p.name, p.default) for p in found.parameters.values()
        ], name


async def test_info_tells_who_and_how_the_node_is(tmp_path: Path) -> None:
    """The first thing that is looked at when something is wrong."""
    async with pair(tmp_path) as both:
        await both.fund()
        alice, core = both.alice, both.alice.core
        empty = await alice.info()
        assert (empty.node_id, empty.alias, empty.network) == (core.manager.node_id.hex(), "alice", "regtest")
        assert (empty.channels_usable, empty.htlcs_pending, empty.alarms) == (0, 0, [])
        assert empty.block_height == both.chain.tip.height
        assert empty.is_synced
        await both.open(1_000_000, push_msat=300_000_000)
        held = await both.bob.create_invoice(4_000, "held", payment_hash="ab" * 32)
        view = await alice.pay(held.invoice)
        question = await event_of(both.bob, "payment_claimable")
        busy = await alice.info()
        assert (busy.channels_usable, busy.channels_pending, busy.peers, busy.htlcs_pending) == (1, 0, 1, 1)
        await both.bob.fail_payment(str(question.fields["set_id"]))
        assert (await alice.wait_payment(view.payment_id)).status == "failed"
        await event_of(alice, "payment_failed")
        core.alarms["planted"] = "look at this"
        for number in range(FAULTS_SHOWN + 2):
            core.manager.fault(ValueError(f"bug {number}"))
        (slot,) = core.manager.channels.values()
        slot.halted = "a bug"
        alarms = (await alice.info()).alarms
        slot.halted = ""
        assert "look at this" in alarms
        assert any(one.endswith(": a bug") for one in alarms)
        assert sum("bug" in one and "ValueError" in one for one in alarms) <= FAULTS_SHOWN + 1


async def test_events_are_told_from_where_the_caller_is_until_they_are_acknowledged(tmp_path: Path) -> None:
    """A caller that lost its place sees all again, one that knows it no event twice."""
    async with pair(tmp_path) as both:
        await both.fund()
        await both.open(1_000_000, push_msat=300_000_000)
        alice, bob = both.alice, both.bob
        assert await alice.events() == []
        assert await alice.events(wait_seconds=0) == []
        waiting = asyncio.ensure_future(bob.events(wait_seconds=60))
        await asyncio.sleep(0)
        for amount_msat in (1_000, 2_000):
            invoice = await bob.create_invoice(amount_msat, "tea")
            await alice.wait_payment((await alice.pay(invoice.invoice)).payment_id)
        assert await waiting
        async with asyncio.timeout(20):
            while len(await bob.events()) < 2:  # noqa: ASYNC110 - the second is told behind its record
                await asyncio.sleep(0)
        first, second = await bob.events()
        assert [one.fields["amount_msat"] for one in (first, second)] == [1_000, 2_000]
        assert await bob.events(first.event_id) == [second]
        assert await bob.events("unknown") == [first, second]
        await bob.acknowledge_event(first.event_id)
        assert await bob.events() == [second]
        await bob.acknowledge_event("unknown")
        assert not bob.core.subscribers


def test_events_that_pile_up_are_said_before_they_stop_anything() -> None:
    """Half of what is taken is early enough to look."""
    assert methods._crowded(49, 100) == []
    assert "at 100 no new one is taken" in methods._crowded(50, 100)[0]
    assert "no new payment or channel is taken" in methods._crowded(100, 100)[0]
