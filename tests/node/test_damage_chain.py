"""The chain service away, wrong, or mad; the clock jumping: the node stays up, says so, and goes on afterwards."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from leyden.base.errors import ChainUnavailable, CommandRejected
from leyden.bitcoin.networks import MAINNET
from leyden.drivers.chain.memory import MemoryChain, MemoryChainSource
from leyden.drivers.storage.memory import MemoryDisk
from leyden.manager import chain as manager_chain
from leyden.manager.state import Slot
from leyden.node import chain_loop
from leyden.node.clock import LoopScheduler
from leyden.node.node import Node
from leyden.node.settings import BitcoindSettings
from leyden.ports.chain import BroadcastResult, ChainEvent
from tests.node.real_world import World, channel_view, pay, refused, until, usable, world


class Scene(msgspec.Struct):
    """alice and bob have a channel over a chain service that may go away."""

    world: World
    alice: Node
    bob: Node
    channel_id: str


@pytest.fixture
async def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    """See `Scene`; whoever waits for the chain looks again soon."""
    monkeypatch.setattr(chain_loop, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(chain_loop, "REFUSED_RETRY_SECONDS", 0.05)
    async with world(tmp_path) as made:
        alice, bob = await made.start("alice"), await made.start("bob")
        channel_id = await made.channel(alice, bob, push_msat=300_000_000)
        yield Scene(made, alice, bob, channel_id)


# --- away -----------------------------------------------------------------------------------------------------------


async def test_a_new_node_waits_for_the_chain_service(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It cannot know where to begin; it says what it waits for, and begins by itself."""
    async with world(tmp_path) as made:
        made.chain.set_available(False)
        node = made.make("carol")
        starting = asyncio.get_running_loop().create_task(node.start())
        await until(lambda: "waiting for the chain service" in caplog.text)
        assert not starting.done()
        with pytest.raises(CommandRejected) as caught:
            await node.info()
        assert caught.value.code == "not_running"
        made.chain.set_available(True)
        await starting
        made.nodes["carol"] = node
        await until(lambda: node.core.is_synced)


async def test_a_known_node_starts_without_the_chain_service(scene: Scene) -> None:
    """It answers its owner, decides nothing on a stale height and meets nobody; then it catches up."""
    await scene.world.stop("bob")
    scene.world.chain.set_available(False)
    bob = scene.world.make("bob")
    scene.world.nodes["bob"] = bob
    await bob.start()
    info = await until(lambda: _unless_ok(bob))
    assert (info.is_synced, info.chain_ok, info.listening) == (False, False, [])
    assert "away" in info.chain_status
    assert len(await bob.channels()) == 1
    alice_id = scene.alice.core.manager.node_id.hex()
    await refused(bob, "not_synced", bob.connect, alice_id, "127.0.0.1", 1)
    scene.world.chain.set_available(True)
    await scene.world.mine(1)
    await until(lambda: bob.core.listening)
    await scene.world.connect(scene.alice, bob)
    await until(lambda: usable(bob, scene.channel_id))
    assert (await bob.info()).chain_ok
    assert (await pay(scene.alice, bob)).status == "succeeded"


async def _unless_ok(node: Node) -> Any:
    info = await node.info()
    return None if info.chain_ok or "not asked" in info.chain_status else info


async def test_a_real_drivers_complaint_reaches_the_operator(tmp_path: Path) -> None:
    """No service at the configured address: the node is up and names the address."""
    async with world(tmp_path) as made:
        disks = {"bob": MemoryDisk()}
        made.disks |= disks
        await made.start("bob")
        await made.stop("bob")
        bob = made.make("bob", chain=None, settings={"bitcoind": BitcoindSettings(url="http://127.0.0.1:9", user="u")})
        made.nodes["bob"] = bob
        await bob.start()
        info = await until(lambda: _unless_ok(bob))
        assert "127.0.0.1:9" in info.chain_status


async def test_the_chain_service_goes_away_while_the_node_runs(scene: Scene) -> None:
    """Payments need no blocks; what is to be published is durable and waits; blocks are made up for later."""
    await scene.world.fund(scene.alice)
    address = (await scene.bob.new_address()).address
    scene.world.chain.set_available(False)
    scene.world.chain.mine(3, b"\x51")
    assert (await pay(scene.alice, scene.bob)).status == "succeeded"
    sent = await scene.alice.send_onchain(address, 20_000)
    opened = await scene.alice.open_channel(scene.bob.core.manager.node_id.hex(), 200_000)
    assert not scene.world.chain.pool, "it is durable, and waits to be published"
    height = scene.alice.core.manager.env.block_height
    scene.world.chain.set_available(True)
    await scene.world.mine(1)
    assert scene.alice.core.manager.env.block_height == height + 4
    scene.alice.core.runtime.run(manager_chain.rebroadcast)
    scene.alice.core.spawn(
        scene.alice.core.chain.broadcast(bytes.fromhex(sent.raw)), "what the fee loop does each minute"
    )
    assert sent.raw in [raw.hex() for raw in scene.alice.core.wallet.unconfirmed_transactions()]
    await until(lambda: len(scene.world.chain.pool) == 2)
    await scene.world.mine(1)
    await until(lambda: usable(scene.alice, opened.channel_id))


async def test_a_close_that_the_peer_was_faster_with_is_no_failure(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """Both publish, one transaction gets in: the other node says that it waits, and then which one it was."""
    caplog.set_level(logging.INFO)
    await scene.world.stop("alice")
    theirs = await scene.bob.close(scene.channel_id, force=True)
    await until(lambda: len(scene.world.chain.pool) == 1)
    alice = await scene.world.start("alice")
    ours = await alice.close(scene.channel_id, force=True, without_peer=True)
    assert ours.closing_txid != theirs.closing_txid
    rival = f"force-close {ours.closing_txid} has a rival"
    await until(lambda: rival in caplog.text)
    assert not [line for line in caplog.records if "refused" in line.getMessage()]
    await scene.world.mine(1)
    (channel,) = await alice.channels()
    assert (channel.state, channel.closing_txid) == ("spent", theirs.closing_txid)
    assert channel.close_reason == "the peer published its commitment"


async def test_what_the_chain_service_does_not_take_is_an_alarm_of_the_log(
    scene: Scene, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No rival: then it is something that the operator has to look at."""
    refused_result = BroadcastResult(accepted=False, already_known=False, reject_reason="min relay fee not met")
    monkeypatch.setattr(scene.world.chain, "offer", lambda _tx: refused_result)
    closing = await scene.alice.close(scene.channel_id, force=True)
    await until(lambda: f"force-close {closing.closing_txid} was refused: min relay fee not met" in caplog.text)
    assert "rival" not in caplog.text


# --- wrong ----------------------------------------------------------------------------------------------------------


async def test_another_networks_service_at_the_start(scene: Scene) -> None:
    """Its blocks mean nothing to our channels: the node does not start on them."""
    await scene.world.stop("bob")
    bob = scene.world.make("bob", chain=MemoryChainSource(MemoryChain(MAINNET)))
    with pytest.raises(CommandRejected, match="mainnet") as caught:
        await bob.start()
    assert caught.value.code == "wrong_network"
    assert (await scene.world.start("bob")).core.manager.channels


class MadSource:
    """A chain source that raises what it is told to, once, instead of the next block."""

    def __init__(self, chain: MemoryChain) -> None:
        self.inner = MemoryChainSource(chain)
        self.failure: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def follow(self, from_height: int, from_hash: bytes) -> AsyncIterator[ChainEvent]:
        """As the inner source, but for the failure."""
        async for event in self.inner.follow(from_height, from_hash):
            if self.failure is not None:
                failure, self.failure = self.failure, None
                raise failure
            yield event

    async def broadcast(self, raw_tx: bytes) -> BroadcastResult:
        """As the inner source."""
        return await self.inner.broadcast(raw_tx)


@pytest.mark.parametrize(
    ("failure", "word"),
    [
        (
            CommandRejected("block 700 was pruned by the chain service: start it without pruning", code="block_pruned"),
            "pruned",
        ),
        (CommandRejected("the chain service is on mainnet, this node on regtest", code="wrong_network"), "mainnet"),
        (ChainUnavailable("nonsense from the service"), "nonsense"),
        (KeyError("a bug of the driver"), "KeyError"),
    ],
)
async def test_a_chain_source_that_fails_in_the_middle(scene: Scene, failure: Exception, word: str) -> None:
    """Whatever it raises: an alarm while it lasts, no block missed, payments all the while."""
    source = MadSource(scene.world.chain)
    carol = await scene.world.start("carol", chain=source)
    source.failure = failure
    scene.world.chain.mine(1, b"\x51")
    await until(lambda: carol.core.alarms.get("chain"))
    info = await carol.info()
    assert not info.chain_ok
    assert any(word in alarm for alarm in info.alarms)
    assert (await pay(scene.alice, scene.bob)).status == "succeeded"
    scene.world.chain.mine(2, b"\x51")
    await until(lambda: carol.core.best_hash == scene.world.chain.tip.hash)
    await until(lambda: not carol.core.alarms)
    assert (await carol.info()).chain_ok


async def test_a_block_that_a_bug_cannot_take_in(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The channel that meets the bug is halted; the others see every block, and so will it after the next start."""
    slot = scene.bob.core.manager.channels[bytes.fromhex(scene.channel_id)]
    other = await scene.world.channel(scene.alice, scene.bob)
    best = scene.bob.core.manager.node.best
    assert best is not None
    closing = await scene.alice.close(scene.channel_id, force=True)
    assert closing.state == "force_closing"
    await until(lambda: scene.world.chain.pool)
    monkeypatch.setattr(slot.state.core, "local", None)
    slot.halted = "a bug"
    await scene.world.mine(2)
    assert scene.bob.core.manager.node.best == best, "nothing is noted that the halted channel has not seen"
    assert usable(scene.bob, other)
    assert (await pay(scene.alice, scene.bob)).status == "succeeded"
    await scene.world.stop("bob")
    bob = await scene.world.start("bob")
    await until(lambda: bob.core.is_synced)
    assert channel_view(bob, scene.channel_id).state == "spent", "now it has"


# --- reorganisations of time ----------------------------------------------------------------------------------------


class JumpingClock(LoopScheduler):
    """A clock that a test sets. offset: seconds added."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = 0

    def now_seconds(self) -> int:
        """Return what the test wants."""
        return super().now_seconds() + self.offset


async def test_the_clock_jumps_forward_and_back(tmp_path: Path) -> None:
    """Hours and years in either direction: invoices expire by it, channels and payments under way do not mind."""
    async with world(tmp_path) as made:
        hands = JumpingClock()
        alice, bob = await made.start("alice"), await made.start("bob", scheduler=hands)
        channel_id = await made.channel(alice, bob, push_msat=300_000_000)
        for offset in (7_200, 0, -7_200, -86_400 * 400, 86_400 * 400, 0):
            hands.offset = 0
            early = await bob.create_invoice(1_000, "")
            held = await bob.create_invoice(1_000, "", payment_hash=(offset & 0xFFFF).to_bytes(32, "big").hex())
            started = await alice.pay(held.invoice)
            await until(lambda: [one for one in bob.core.manager.claimables.values() if one.parts])
            hands.offset = offset
            bob.core.runtime.on_second()
            paid = await alice.wait_payment((await alice.pay(early.invoice)).payment_id) if offset in (0,) else None
            assert paid is None or paid.status in ("succeeded", "failed")
            for set_id in list(bob.core.manager.asked):
                await bob.fail_payment(set_id.hex())
            assert (await alice.wait_payment(started.payment_id)).status == "failed"
            assert (await _pay_fresh(bob, alice)).status == "succeeded"
            await bob.set_policy(channel_id, fee_base_msat=1_000 + (offset & 0xFF))
            slot = alice.core.manager.channels[bytes.fromhex(channel_id)]
            wanted = 1_000 + (offset & 0xFF)
            await until(partial(_has_policy, slot, wanted))
            await made.mine(1)
            assert usable(alice, channel_id)
            assert not bob.core.manager.faults


def _has_policy(slot: Slot, fee_base_msat: int) -> bool:
    policy = slot.state.core.peer_policy
    return policy is not None and policy.fee_base_msat == fee_base_msat


async def _pay_fresh(payer: Node, payee: Node) -> Any:
    """A payment whose invoice is young by the payer's clock."""
    sent = await payer.keysend(payee.core.manager.node_id.hex(), 1_000)
    return await payer.wait_payment(sent.payment_id)


async def test_an_invoice_that_expires_by_a_jump(tmp_path: Path) -> None:
    """The payee's clock decides: what it takes for expired it fails, and the payer learns that the payee did it."""
    async with world(tmp_path) as made:
        hands = JumpingClock()
        alice, bob = await made.start("alice"), await made.start("bob", scheduler=hands)
        await made.channel(alice, bob)
        invoice = await bob.create_invoice(1_000, "", expiry_seconds=600)
        hands.offset = 3_600
        failed = await alice.wait_payment((await alice.pay(invoice.invoice)).payment_id)
        assert (failed.status, failed.reason) == ("failed", "recipient_rejected")
        assert failed.failure_name == "incorrect_or_unknown_payment_details"
        hands.offset = 0
        again = await alice.wait_payment((await alice.pay(invoice.invoice)).payment_id)
        assert again.status == "succeeded"


async def test_a_payment_over_its_deadline_by_a_jump(tmp_path: Path) -> None:
    """No further parts are tried; one that is under way keeps its outcome."""
    async with world(tmp_path) as made:
        hands = JumpingClock()
        alice, bob = await made.start("alice", scheduler=hands), await made.start("bob")
        await made.channel(alice, bob)
        held = await bob.create_invoice(1_000, "", payment_hash="ab" * 32)
        started = await alice.pay(held.invoice)
        await until(lambda: [one for one in bob.core.manager.claimables.values() if one.parts])
        hands.offset = 86_400
        alice.core.runtime.on_second()
        assert (await alice.payment(started.payment_id)).status == "pending", "an HTLC is under way"
        hands.offset = -86_400
        alice.core.runtime.on_second()
        for set_id in list(bob.core.manager.asked):
            await bob.fail_payment(set_id.hex())
        assert (await alice.wait_payment(started.payment_id)).status == "failed"


async def test_the_systems_clock_is_followed_forward_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A computer that slept, or learns the time late, must not stay behind; a clock set back is waited out."""
    wall = [1_000_000.0]
    ticks = [50.0]
    monkeypatch.setattr(time, "time", lambda: wall[0])
    monkeypatch.setattr(time, "monotonic", lambda: ticks[0])
    hands = LoopScheduler()
    monkeypatch.undo()
    steps = [(10.0, 10.0, 1_000_010), (0.0, 86_400.0, 1_086_410), (10.0, -86_400.0, 1_086_420), (5.0, 5.0, 1_086_425)]
    for ticked, moved, expected in steps:
        ticks[0] += ticked
        wall[0] += moved
        with monkeypatch.context() as patched:
            patched.setattr(time, "time", lambda: wall[0])
            patched.setattr(time, "monotonic", lambda: ticks[0])
            assert hands.now_seconds() == expected
