"""Figures of persistence, by channel and in all; answers that wait for what they rest on, and for nothing else."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from leyden.base.errors import StorageUnavailable
from leyden.drivers.storage.memory import MemoryDisk, MemoryStore
from leyden.drivers.storage.switchable import SwitchableStore
from leyden.node import methods, persistence
from leyden.node.node import Node
from leyden.node.views import JournalView
from tests.manager.stage import Stage
from tests.node.real_world import WAIT_SECONDS, World, pay, until, world
from tests.sim import topologies


def test_what_waits_is_shown_by_channel_and_in_all() -> None:
    """One look says which journal is stuck, for how long, and what it holds back."""
    stage = Stage(topologies.line())
    bob = stage["bob"]
    slot, other = stage.slot("bob", "alice"), stage.slot("bob", "carol")
    bob.disk.held[slot.tail.journal] = None
    stage.pay("alice", "bob", stage.invoice("bob"), deadline_seconds=10_000)
    stage.seconds(7)
    runtime = bob.runtime
    now = runtime.scheduler.monotonic_us()
    waiting = runtime.outbox.waiting()
    view = persistence.channel_journal_view(slot, waiting, now)
    assert view.records_waiting == slot.tail.position - slot.tail.durable > 0
    assert view.bytes_waiting == slot.tail.queued_bytes > 0
    assert 6000 <= view.oldest_waiting_ms <= 7000
    assert view.effects_waiting == 3, "revoke_and_ack, the request for its secret, and commitment_signed"
    assert persistence.channel_journal_view(other, waiting, now) == JournalView()
    store = persistence.store_view(runtime)
    assert (store.records_waiting, store.bytes_waiting, store.oldest_waiting_ms, store.effects_waiting) == (
        view.records_waiting,
        view.bytes_waiting,
        view.oldest_waiting_ms,
        view.effects_waiting,
    )
    assert (store.journals_waiting, store.node) == (1, JournalView())
    bob.disk.held.clear()
    stage.rest()
    store = persistence.store_view(runtime)
    assert (store.records_waiting, store.bytes_waiting, store.oldest_waiting_ms, store.effects_waiting) == (0, 0, 0, 0)
    assert store.commit_ms_p99 >= 6000
    assert store.batches > 3


def test_facts_and_events_that_nobody_has_dealt_with_are_counted() -> None:
    """A handler that acknowledges nothing keeps journals from being dropped: that must be seen."""
    stage = Stage(topologies.double("bob"))
    stage.prompt("bob", "claim", acknowledges=False)
    stage.prompt("alice", "", acknowledges=False)
    stage.pay("alice", "bob", stage.invoice("bob", 700_000_000))
    stage.rest()
    store = persistence.store_view(stage["bob"].runtime)
    assert store.facts_unacknowledged == 2, "the claim, in both of its channels"
    assert persistence.store_view(stage["alice"].runtime).node.events_unacknowledged == 1, "the payment that was sent"


class Scene(msgspec.Struct):
    """alice and carol have channels with bob, whose store has a switch for each journal."""

    world: World
    alice: Node
    bob: Node
    carol: Node
    store: SwitchableStore
    stuck: str

    def hang(self) -> None:
        """The journal of bob's channel with alice hangs from now on."""
        self.store.hold(f"channel/{self.stuck}")


@pytest.fixture
async def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    """See `Scene`."""
    monkeypatch.setattr(methods, "CHANNELS_WAIT_SECONDS", 0.05)
    async with world(tmp_path) as made:
        store = SwitchableStore(MemoryStore(MemoryDisk()))
        alice, bob, carol = await made.start("alice"), await made.start("bob", store=store), await made.start("carol")
        stuck = await made.channel(alice, bob, push_msat=300_000_000)
        await made.channel(bob, carol, push_msat=300_000_000)
        assert (await pay(alice, carol)).status == "succeeded"
        await made.rest()
        yield Scene(made, alice, bob, carol, store, stuck)
        store.accept()


async def asked(node: Node) -> str:
    """Wait until the node asks about a payment; return its set_id."""
    await until(lambda: [one for one in node.core.manager.events if one.startswith("claimable/")])
    [event] = [one for one in await node.events() if one.type == "payment_claimable"]
    return str(event.fields["set_id"])


async def test_channels_are_shown_while_a_journal_hangs_and_say_which(scene: Scene) -> None:
    """Whoever looks for the trouble must not be made to wait for its end (hazard H160: it says what is not durable)."""
    scene.hang()
    invoice = await scene.bob.create_invoice(1_000_000, "")
    await scene.alice.pay(invoice.invoice)
    await until(lambda: scene.bob.core.runtime.outbox.waiting())
    async with asyncio.timeout(WAIT_SECONDS):
        views = {view.channel_id: view for view in await scene.bob.channels()}
        info = await scene.bob.info()
    assert {name for name, view in views.items() if view.journal.records_waiting} == {scene.stuck}
    assert info.store_ok
    assert info.store.journals_waiting == 1
    held_back = info.store.effects_waiting
    for _ in range(3):
        await scene.bob.channels()
    assert (await scene.bob.info()).store.effects_waiting == held_back, "those who look do not pile up"
    assert info.store.records_waiting == views[scene.stuck].journal.records_waiting


async def test_answers_wait_for_the_journals_they_rest_on_alone(scene: Scene) -> None:
    """A call about one channel returns while the journal of another hangs; one about that channel does not."""
    held = await scene.bob.create_invoice(2_000_000, "", payment_hash=32 * "ab")
    paid = await scene.carol.pay((await scene.bob.create_invoice(1_000_000, "")).invoice)
    assert (await scene.carol.wait_payment(paid.payment_id, WAIT_SECONDS)).status == "succeeded"
    await scene.carol.pay(held.invoice, deadline_seconds=1000)
    set_id = await asked(scene.bob)
    scene.hang()
    await scene.alice.pay((await scene.bob.create_invoice(1_000_000, "")).invoice)
    await until(lambda: scene.bob.core.runtime.outbox.waiting())
    other = next(view.channel_id for view in await scene.bob.channels() if view.channel_id != scene.stuck)
    calls = [
        scene.bob.payments(),
        scene.bob.new_address(),
        scene.bob.set_policy(other, fee_base_msat=7),
        scene.bob.fail_payment(set_id),
        scene.bob.keysend(scene.carol.core.manager.node_id.hex(), 1_000),
    ]
    async with asyncio.timeout(WAIT_SECONDS):
        await asyncio.gather(*calls)
    late = [
        asyncio.get_running_loop().create_task(call)
        for call in (scene.bob.balance(), scene.bob.set_policy(scene.stuck, fee_base_msat=7))
    ]
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in late), "all that is owned, and what is recorded in the journal that hangs"
    scene.store.accept()
    await asyncio.gather(*late)


async def test_answer_to_a_refused_payment_waits_for_its_own_record(scene: Scene) -> None:
    """`fail_payment` decides at the end of its pass: its answer must not come before that is durable (P1)."""
    held = await scene.bob.create_invoice(2_000_000, "", payment_hash=32 * "ab")
    await scene.carol.pay(held.invoice, deadline_seconds=1000)
    set_id = await asked(scene.bob)
    await scene.world.rest()
    scene.store.hold()
    answer = asyncio.get_running_loop().create_task(scene.bob.fail_payment(set_id))
    await asyncio.sleep(0.02)
    assert not answer.done()
    scene.store.accept()
    await answer


async def test_event_stream_and_info_tell_of_a_store_that_is_behind(scene: Scene) -> None:
    """An application may stop asking for payments; a person looks at `leyden info`."""
    scene.bob.core.runtime.watch.warn_after_seconds = 0.01
    scene.store.refuse(StorageUnavailable("no room"), f"channel/{scene.stuck}")
    await scene.alice.pay((await scene.bob.create_invoice(1_000_000, "")).invoice)
    await until(lambda: scene.bob.core.runtime.store_status)
    await asyncio.sleep(0.02)
    scene.bob.core.runtime.on_second()
    [event] = [one for one in await scene.bob.events() if one.type == "store_behind"]
    assert event.fields["reason"] == "no room"
    info = await scene.bob.info()
    assert (info.store_ok, info.store_status, info.store.refusals > 0) == (False, "no room", True)
    assert "look at the disk" in info.alarms[0]
    scene.store.accept()
    await until(lambda: not scene.bob.core.runtime.outbox.waiting())
    scene.bob.core.runtime.on_second()
    assert [one.type for one in await scene.bob.events()][-1] == "store_recovered"
    assert (await scene.bob.info()).alarms == []
