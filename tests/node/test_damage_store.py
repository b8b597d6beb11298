"""A store that hangs, is full, or is lost while the node runs: no message before its record, nothing forgotten."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from leyden.base.errors import CommandRejected, StorageBroken, StorageFailed, StorageUnavailable
from leyden.crypto.hashes import sha256
from leyden.drivers.storage.memory import MemoryDisk, MemoryStore
from leyden.drivers.storage.switchable import SwitchableStore
from leyden.node.node import Node
from leyden.node.runtime import RuntimeLimits
from leyden.wire.messages import CommitmentSigned, ErrorMessage, Pong, RevokeAndAck, UpdateFulfillHtlc
from tests.node.hostile import HostileChannel, HostilePeer, kinds
from tests.node.real_world import WAIT_SECONDS, World, channel_view, pay, settled, until, world

FULL = StorageUnavailable("no room to write journals.sqlite: free some disk space; writing goes on by itself")


class Scene(msgspec.Struct):
    """alice and carol have channels with bob, whose store has a switch."""

    world: World
    alice: Node
    bob: Node
    carol: Node
    store: SwitchableStore
    disk: MemoryDisk
    channels: tuple[str, str]

    async def fill(self) -> None:
        """bob's disk is full from now on."""
        self.store.refuse(FULL)


@pytest.fixture
async def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    """See `Scene`."""
    monkeypatch.setattr(RuntimeLimits, "RETRY_FIRST_SECONDS", 0.01)
    monkeypatch.setattr(RuntimeLimits, "RETRY_LAST_SECONDS", 0.05)
    async with world(tmp_path) as made:
        disk = MemoryDisk()
        store = SwitchableStore(MemoryStore(disk))
        alice, bob, carol = await made.start("alice"), await made.start("bob", store=store), await made.start("carol")
        channels = (await made.channel(alice, bob, push_msat=300_000_000), await made.channel(bob, carol))
        yield Scene(made, alice, bob, carol, store, disk, channels)


async def test_a_full_disk_pauses_payments_and_says_so(scene: Scene) -> None:
    """Everything waits behind the record that cannot be written, and goes on by itself when there is room."""
    await scene.fill()
    invoice = await scene.bob.create_invoice(1_000_000, "")
    started = await scene.alice.pay(invoice.invoice)
    await until(lambda: scene.bob.core.runtime.store_status)
    info = await scene.bob.info()
    assert (info.store_ok, info.store_status) == (False, str(FULL))
    assert (await scene.alice.wait_payment(started.payment_id, 0)).status == "pending"
    refused = asyncio.get_running_loop().create_task(scene.bob.new_address())
    await asyncio.sleep(0.05)
    assert not refused.done(), "an answer waits for its record as a message does"
    assert scene.bob.core.manager.peers, "and the peers are kept"
    scene.store.accept()
    assert (await scene.alice.wait_payment(started.payment_id, WAIT_SECONDS)).status == "succeeded"
    await refused
    assert (await scene.bob.info()).store_ok
    assert (await pay(scene.alice, scene.carol)).status == "succeeded"


async def test_no_message_leaves_before_its_record_is_durable(scene: Scene) -> None:
    """`revoke_and_ack` gives an old commitment away: not before the new one is on disk. Pongs need no disk."""
    mallory = await HostilePeer().introduce(scene.bob)
    channel = await HostileChannel(mallory, scene.bob, scene.world).open()
    for outage in (lambda: scene.store.refuse(FULL), scene.store.hold):
        outage()
        mallory.send(*channel.add())
        assert await mallory.answered() == [], "neither revocation nor signature"
        slot = scene.bob.core.manager.channels[channel.channel_id]
        assert slot.tail.durable < slot.tail.position, "decided, in memory alone"
        scene.store.accept()
        await mallory.expect(RevokeAndAck)
        await mallory.expect(CommitmentSigned)
        await mallory.leave()
        await until(lambda: mallory.session(scene.bob) is None)
        await channel.reconnect()
        await channel.reestablish()
        await channel.settle()


async def test_a_preimage_that_comes_while_the_disk_is_full_is_used(scene: Scene) -> None:
    """A preimage is money: it is kept in memory, and passed on as soon as its record can be written."""
    preimage = sha256(b"preimage")
    held = await scene.carol.create_invoice(2_000_000, "", payment_hash=sha256(preimage).hex())
    started = await scene.alice.pay(held.invoice)
    manager = scene.carol.core.manager
    (set_id,) = await until(lambda: list(manager.asked))
    await until(lambda: "claimable/" in "".join(manager.events))
    await scene.fill()
    await scene.carol.claim_payment(set_id.hex(), preimage.hex())
    outbound = scene.bob.core.manager.channels[bytes.fromhex(scene.channels[1])]
    inbound = scene.bob.core.manager.channels[bytes.fromhex(scene.channels[0])]
    await until(lambda: [htlc for htlc in inbound.state.core.inbound.values() if htlc.preimage == preimage])
    assert (await scene.alice.wait_payment(started.payment_id, 0)).status == "pending"
    scene.store.accept()
    paid = await scene.alice.wait_payment(started.payment_id, WAIT_SECONDS)
    assert (paid.status, paid.preimage) == ("succeeded", preimage.hex())
    await until(lambda: not outbound.state.core.outbound and not inbound.state.core.inbound)


async def test_back_pressure_takes_nothing_new_and_holds_no_claim_back(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is far behind: no new payments and forwards first; what is promised goes on."""
    preimage = sha256(b"preimage")
    held = await scene.carol.create_invoice(2_000_000, "", payment_hash=sha256(preimage).hex())
    started = await scene.alice.pay(held.invoice)
    manager = scene.carol.core.manager
    (set_id,) = await until(lambda: list(manager.asked))
    await until(lambda: "claimable/" in "".join(manager.events))
    runtime = scene.bob.core.runtime
    monkeypatch.setattr(RuntimeLimits, "HOLD_BYTES", -1)
    runtime.turn()
    assert scene.bob.core.manager.forward_hold
    monkeypatch.undo()
    monkeypatch.setattr(runtime, "_apply_back_pressure", lambda: None)
    refused = await pay(scene.alice, scene.carol)
    assert (refused.status, refused.failure_name, refused.failing_hop) == ("failed", "temporary_node_failure", 0)
    with pytest.raises(CommandRejected, match="look at the disk") as caught:
        await pay(scene.bob, scene.carol)
    assert caught.value.code == "store_behind"
    await scene.carol.claim_payment(set_id.hex(), preimage.hex())
    assert (await scene.alice.wait_payment(started.payment_id, WAIT_SECONDS)).status == "succeeded"
    monkeypatch.undo()
    runtime.turn()
    assert (await pay(scene.alice, scene.carol)).status == "succeeded"


async def test_traffic_goes_on_over_many_short_outages(scene: Scene) -> None:
    """Batches overlap with refusals and retries in every order; none is lost, none is written twice."""
    invoices = [await scene.carol.create_invoice(10_000, "") for _ in range(40)]
    started = [await scene.alice.pay(invoice.invoice) for invoice in invoices]
    for number in range(30):
        scene.store.refuse(FULL) if number % 2 else scene.store.hold()
        await asyncio.sleep(0.002 * (number % 3))
        scene.store.accept()
        await asyncio.sleep(0.002)
    for one in started:
        assert (await scene.alice.wait_payment(one.payment_id, WAIT_SECONDS)).status == "succeeded"
    await until(lambda: not scene.bob.core.runtime.store_status)
    assert scene.bob.core.runtime.broken is None


# --- lost for good --------------------------------------------------------------------------------------------------


async def test_a_lost_store_stops_the_node_before_another_message(scene: Scene) -> None:
    """It can promise nothing any more: peers hear nothing, callers hear why, the next start goes on from the disk."""
    mallory = await HostilePeer().introduce(scene.bob)
    channel = await HostileChannel(mallory, scene.bob, scene.world).open()
    scene.store.hold()
    mallory.send(*channel.add())
    await mallory.answered()
    waiting = [
        asyncio.get_running_loop().create_task(call)
        for call in (scene.bob.new_address(), scene.bob.balance(), scene.bob.keysend(_id(scene.carol), 1_000))
    ]
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in waiting)
    scene.store.refuse(StorageBroken("the disk under journals.sqlite failed to sync: check the disk, then start again"))
    await mallory.gone()
    assert not set(kinds(mallory.received)) & {"RevokeAndAck", "CommitmentSigned", "ErrorMessage"}
    for task in waiting:
        with pytest.raises(StorageFailed, match="failed to sync"):
            await asyncio.wait_for(task, WAIT_SECONDS)
    async with asyncio.timeout(WAIT_SECONDS):
        await scene.bob.stopped()
    assert isinstance(scene.bob.failure, StorageBroken)
    calls: list[Any] = [scene.bob.new_address, scene.bob.balance, scene.bob.channels, scene.bob.payments]
    for call in calls:
        with pytest.raises(StorageFailed):
            await call()
    info = await scene.bob.info()
    assert (info.store_ok, info.peers) == (False, 0)
    await scene.world.stop("bob")
    again = await scene.world.start("bob", store=MemoryStore(scene.disk))
    view = channel_view(again, channel.hex)
    assert (view.state, view.htlcs_inbound) == ("normal", 0), "as it was durable"
    await scene.world.connect(scene.alice, again)
    await until(lambda: settled(again, scene.channels[0]))
    assert (await pay(scene.alice, again)).status == "succeeded"


def _id(node: Node) -> str:
    return node.core.manager.node_id.hex()


async def test_a_lost_store_closes_no_channel(scene: Scene) -> None:
    """A violation that comes after it is not acted on: without a `Closing` record nothing may be published."""
    mallory = await HostilePeer().introduce(scene.bob)
    channel = await HostileChannel(mallory, scene.bob, scene.world).open()
    scene.store.hold()
    mallory.send(ErrorMessage(channel.channel_id, b"close it"))
    await mallory.answered()
    slot = scene.bob.core.manager.channels[channel.channel_id]
    assert slot.state.core.closing is not None, "decided"
    assert not scene.world.chain.pool, "not published, because not durable"
    scene.store.refuse(StorageBroken("gone for good: check the disk, then start again"))
    await mallory.gone()
    scene.bob.core.runtime.turn()
    await asyncio.sleep(0.01)
    assert not scene.world.chain.pool
    await scene.world.stop("bob")
    again = await scene.world.start("bob", store=MemoryStore(scene.disk))
    assert channel_view(again, channel.hex).state == "normal", "the decision died with the store"


async def test_a_store_that_refuses_at_the_start(tmp_path: Path) -> None:
    """No room even for the fence: the caller hears it, and a later start works."""
    async with world(tmp_path) as made:
        store = SwitchableStore(MemoryStore(MemoryDisk()))
        store.refuse(FULL)
        node = made.make("bob", store=store)
        with pytest.raises(StorageUnavailable, match="free some disk space"):
            await node.start()
        store.accept()
        await made.start("bob", store=store)


async def test_pings_are_answered_and_fulfils_taken_while_the_store_hangs(scene: Scene) -> None:
    """Time that we spend on our own store never counts against a peer, and a peer need not know of it."""
    mallory = await HostilePeer().introduce(scene.bob)
    channel = await HostileChannel(mallory, scene.bob, scene.world).open()
    sent = await scene.bob.keysend(mallory.node_id.hex(), 10_000_000)
    slot = scene.bob.core.manager.channels[channel.channel_id]
    await channel.until(lambda: 1 in slot.state.core.local.htlcs)
    await channel.settle()
    scene.store.hold()
    mallory.send(UpdateFulfillHtlc(channel.channel_id, 0, _preimage(scene.bob)))
    assert await mallory.answered() == []
    assert not [one for one in mallory.received if type(one) is Pong]
    payment = scene.bob.core.manager.node.ledger.payments[bytes.fromhex(sent.payment_id)]
    assert payment.sent is not None, "the proof counts at once"
    assert f"sent/{sent.payment_id}" not in scene.bob.core.manager.events, "and is told when it is durable"
    scene.store.accept()
    await until(lambda: f"sent/{sent.payment_id}" in scene.bob.core.manager.events)


def _preimage(node: Node) -> bytes:
    (payment,) = node.core.manager.node.ledger.payments.values()
    return payment.started.keysend_preimage
