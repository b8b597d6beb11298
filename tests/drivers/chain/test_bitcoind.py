"""The JSON-RPC driver against the regtest service over HTTP."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from leyden.base.errors import ChainUnavailable, CommandRejected
from leyden.bitcoin.networks import MAINNET, REGTEST, SIGNET
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut, txid_to_hex
from leyden.drivers.chain.bitcoind import BitcoindChainSource, BitcoindSettings
from leyden.drivers.chain.rpc import CookieFile, UserPassword
from leyden.ports.chain import BlockConnected, BlockRef, BlocksDisconnected, FeeSource
from leyden.regtest.service import RegtestService
from tests.drivers.chain.chain_world import ANYBODY, GENESIS, ChainWorld, Walk, settings_for


async def test_follow_gives_every_block_in_order(world: ChainWorld) -> None:
    """A block missed is a payment or a theft missed."""
    hashes = await world.mine(30)
    walk = Walk(world.source)
    events = await walk.to(hashes[-1])
    assert [event.block.hash for event in events if isinstance(event, BlockConnected)] == hashes
    more = await world.mine(2)
    await walk.to(more[-1])
    assert world.statuses == [(True, "")]


@pytest.mark.parametrize("depth", [1, 2, 6, 50])
async def test_reorganisations_are_told_once_with_their_fork(world: ChainWorld, depth: int) -> None:
    """Whoever undoes one block too few keeps money that does not exist."""
    hashes = await world.mine(60)
    walk = Walk(world.source)
    await walk.to(hashes[-1])
    await world.leave(depth)
    branch = await world.mine(depth + 1)
    events = await walk.to(branch[-1])
    fork = hashes[-1 - depth]
    assert events[0] == BlocksDisconnected(60 - depth, fork)
    assert sum(isinstance(event, BlocksDisconnected) for event in events) == 1


async def test_a_caller_that_slept_through_a_reorganisation_is_led_to_the_fork(world: ChainWorld) -> None:
    """After a crash the node's best block may be on a branch that is gone."""
    hashes = await world.mine(20)
    await world.leave(10)
    branch = await world.mine(3)
    walk = Walk(world.source, BlockRef(20, hashes[-1]))
    events = await walk.to(branch[-1])
    assert events[0] == BlocksDisconnected(10, hashes[9])
    assert len(events) == 4


async def test_several_reorganisations_between_two_looks(world: ChainWorld) -> None:
    """Only where the chain was and where it is now matters."""
    hashes = await world.mine(10)
    walk = Walk(world.source)
    await walk.to(hashes[-1])
    for depth in (2, 5, 3):
        await world.leave(depth)
        hashes = await world.mine(depth + 1)
    await walk.to(hashes[-1])
    tip = await world.source.tip()
    assert walk.at == tip
    for height in range(1, tip.height + 1):
        block = await world.source.get_block_by_height(height)
        assert block is not None
        assert block.hash == walk.chain[height]


async def test_a_service_that_is_behind_is_waited_for(world: ChainWorld) -> None:
    """A service that rebuilds its index has not taken anything back: undoing our blocks would be wrong."""
    hashes = await world.mine(10)
    walk = Walk(world.source)
    await walk.to(hashes[-1])
    await world.leave(4)
    world.reported.clear()
    waiting = asyncio.ensure_future(walk.next())
    await world.reported.wait()
    assert world.statuses[-1] == (False, "chain service is behind: it is at block 6, this node has seen 10")
    assert not waiting.done()
    await world.rpc("reconsiderblock", txid_to_hex(hashes[6]))
    (block,) = await world.mine(1)
    await waiting
    assert walk.at.hash == block
    assert world.statuses[-1] == (True, "")


async def test_a_service_that_does_not_know_our_block_is_waited_for(world: ChainWorld) -> None:
    """Another chain, or one that is still being fetched: nothing may be undone on such a word."""
    await world.mine(5)
    walk = Walk(world.source, BlockRef(3, bytes(32)))
    waiting = asyncio.ensure_future(walk.next())
    await world.reported.wait()
    assert not world.statuses[-1][0]
    assert "does not know block 3" in world.statuses[-1][1]
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting


async def test_a_service_that_is_away_is_waited_for_and_its_new_cookie_is_read(tmp_path: Path) -> None:
    """The chain service may start after the node, and restart while it runs; its credentials change each time."""
    first = await RegtestService.start(tmp_path / "chain")
    port = first.port
    await first.stop()
    statuses: list[tuple[bool, str]] = []
    changed = asyncio.Event()

    def on_status(ok: bool, why: str) -> None:
        statuses.append((ok, why))
        changed.set()

    settings = settings_for(first)
    source = BitcoindChainSource(settings, on_status)
    walk = Walk(source)
    waiting = asyncio.ensure_future(walk.next())
    await changed.wait()
    assert not statuses[0][0]
    assert "is the chain service running?" in statuses[0][1]
    second = await RegtestService.start(tmp_path / "chain", port)
    world = ChainWorld(second)
    hashes = await world.mine(2)
    await waiting
    await walk.to(hashes[-1])
    assert statuses[-1] == (True, "")

    changed.clear()
    waiting = asyncio.ensure_future(walk.next())
    await second.stop()
    await changed.wait()
    assert not statuses[-1][0]
    with pytest.raises(ChainUnavailable):
        await source.tip()
    third = await RegtestService.start(tmp_path / "chain", port)
    (block,) = await ChainWorld(third).mine(1)
    await waiting
    assert walk.at == BlockRef(3, block)
    assert statuses[-1] == (True, "")
    await source.close()
    await world.close()
    await third.stop()


async def test_the_network_is_checked_by_its_genesis_block(world: ChainWorld) -> None:
    """A node on another network than its chain service would see no channel of its own."""
    await world.source.check_network(REGTEST)
    with pytest.raises(CommandRejected, match="the chain service is on regtest, this node on mainnet") as refused:
        await world.source.check_network(MAINNET)
    assert refused.value.code == "wrong_network"


async def test_follow_refuses_another_network(service: RegtestService) -> None:
    """Whatever answers at this port may be another service since yesterday."""
    base = settings_for(service)
    settings = BitcoindSettings(port=base.port, credentials=base.credentials, network=SIGNET)
    source = BitcoindChainSource(settings, lambda _ok, _why: None)
    with pytest.raises(CommandRejected) as refused:
        await anext(source.follow(0, SIGNET.chain_hash))
    assert refused.value.code == "wrong_network"
    await source.close()


async def test_credentials(service: RegtestService, tmp_path: Path) -> None:
    """Who may not log in must hear it, without the password in the words."""

    async def check(credentials: UserPassword | CookieFile) -> None:
        source = BitcoindChainSource(settings_for(service, credentials), lambda _ok, _why: None)
        try:
            await source.check_network(REGTEST)
        finally:
            await source.close()

    await check(UserPassword("alice", "secret"))
    await check(CookieFile(service.cookie_path))
    with pytest.raises(CommandRejected, match=r"refuses our credentials \(user alice\)") as refused:
        await check(UserPassword("alice", "hunter2"))
    assert refused.value.code == "chain_auth_failed"
    assert "hunter2" not in repr(UserPassword("alice", "hunter2"))
    wrong = tmp_path / "cookie"
    wrong.write_text("__cookie__:00")
    with pytest.raises(CommandRejected, match="cookie"):
        await check(CookieFile(wrong))
    wrong.write_bytes(b"\xff\xfe")
    with pytest.raises(ChainUnavailable, match="not text"):
        await check(CookieFile(wrong))


async def test_blocks_by_height(world: ChainWorld) -> None:
    """Heights come from users and from short channel ids; above the tip there is simply no block."""
    hashes = await world.mine(3)
    block = await world.source.get_block_by_height(2)
    assert block is not None
    assert (block.height, block.hash, block.prev_hash) == (2, hashes[1], hashes[0])
    assert block.header.hash() == hashes[1]
    assert await world.source.get_block_by_height(4) is None
    genesis = await world.source.get_block_by_height(0)
    assert genesis is not None
    assert genesis.ref == GENESIS
    assert await world.source.tip() == BlockRef(3, hashes[-1])


def spend(outpoint: OutPoint, value_sat: int, sequence: int = 0xFFFFFFFD) -> Transaction:
    """Spend an output of `ANYBODY` back to it."""
    return Transaction(2, (TxIn(outpoint, b"", sequence, (b"\x51",)),), (TxOut(value_sat, ANYBODY),), 0)


async def coinbase(world: ChainWorld, height: int) -> tuple[OutPoint, int]:
    """The coinbase output of a block."""
    block = await world.source.get_block_by_height(height)
    assert block is not None
    return OutPoint(block.txids[0], 0), block.transactions[0].outputs[0].value_sat


async def test_broadcast_and_unspent_outputs(world: ChainWorld) -> None:
    """The verdicts that the node acts on: taken, known before, refused and why."""
    await world.mine(102)
    outpoint, value_sat = await coinbase(world, 1)
    unspent = await world.source.get_txout(outpoint, include_mempool=False)
    assert unspent is not None
    assert (unspent.value_sat, unspent.script_pubkey, unspent.confirmations, unspent.is_coinbase) == (
        value_sat,
        ANYBODY,
        102,
        True,
    )
    tx = spend(outpoint, value_sat - 10_000)
    result = await world.source.broadcast(tx.serialize())
    assert (result.accepted, result.reject_reason) == (True, "")
    assert (await world.source.broadcast(tx.serialize())).accepted
    assert await world.source.get_txout(outpoint, include_mempool=True) is None
    assert await world.source.get_txout(outpoint, include_mempool=False) == unspent
    child = await world.source.get_txout(OutPoint(tx.txid(), 0), include_mempool=True)
    assert child is not None
    assert (child.confirmations, child.is_coinbase) == (0, False)
    await world.mine(1)
    again = await world.source.broadcast(tx.serialize())
    assert (again.accepted, again.already_known, again.reject_reason) == (True, True, "")
    assert await world.source.get_txout(OutPoint(bytes(32), 0), include_mempool=True) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda o, v: spend(OutPoint(bytes(32), 7), v).serialize(), "missing"),
        (lambda o, v: spend(o, v + 1).serialize(), "in-belowout"),
        (lambda o, v: spend(o, v - 1).serialize(), "min relay fee not met"),
        (lambda o, v: spend(o, v - 10_000).serialize_no_witness(), "script-verify-flag"),
        (lambda o, v: b"\x00", "TX decode failed"),
        (lambda o, v: b"", "TX decode failed"),
    ],
)
async def test_refusals_are_results_with_the_services_words(
    world: ChainWorld,
    change,
    reason: str,  # type: ignore[no-untyped-def]
) -> None:
    """A refused transaction is for the caller to judge: an exception would look like a broken service."""
    await world.mine(101)
    result = await world.source.broadcast(change(*await coinbase(world, 1)))
    assert not result.accepted
    assert not result.already_known
    assert reason in result.reject_reason


async def test_packages(world: ChainWorld) -> None:
    """A commitment below the mempool's minimum gets in only together with the child that pays for it."""
    await world.mine(101)
    outpoint, value_sat = await coinbase(world, 1)
    parent = Transaction(3, spend(outpoint, 0).inputs, (TxOut(value_sat, ANYBODY),), 0)
    child = Transaction(3, spend(OutPoint(parent.txid(), 0), 0).inputs, (TxOut(value_sat - 50_000, ANYBODY),), 0)
    assert not (await world.source.broadcast(parent.serialize())).accepted
    poor = Transaction(3, child.inputs, (TxOut(value_sat - 1, ANYBODY),), 0)
    refused = await world.source.broadcast_package([parent.serialize(), poor.serialize()])
    assert not refused.accepted
    assert "fee" in refused.reject_reason
    taken = await world.source.broadcast_package([parent.serialize(), child.serialize()])
    assert taken.accepted, taken.reject_reason
    assert not (await world.source.broadcast_package([b"\x00", child.serialize()])).accepted


async def test_spends_in_the_mempool_are_told(world: ChainWorld) -> None:
    """A preimage may be read from a claim that waits, blocks before it is mined; what is mined comes with its block."""
    await world.mine(102)
    (first, value_sat), (second, _) = await coinbase(world, 1), await coinbase(world, 2)
    assert await world.source.mempool_spends([first, second]) == []
    assert await world.source.mempool_spends([]) == []
    tx = spend(first, value_sat - 10_000)
    child = spend(OutPoint(tx.txid(), 0), value_sat - 20_000)
    for one in (tx, child):
        assert (await world.source.broadcast(one.serialize())).accepted
    many = [OutPoint(number.to_bytes(32, "big"), 0) for number in range(1500)]
    assert await world.source.mempool_spends([first, first, *many, OutPoint(tx.txid(), 0), second]) == [tx, child]
    await world.mine(1)
    assert await world.source.mempool_spends([first, OutPoint(tx.txid(), 0)]) == []


async def test_fee_estimates_are_bounded_and_say_where_they_are_from(world: ChainWorld) -> None:
    """A service without history has no estimate; the node must go on with one, and say so."""
    estimate = await world.source.estimate_fee(6)
    assert estimate.source in (FeeSource.FALLBACK, FeeSource.ESTIMATE, FeeSource.RAISED_TO_FLOOR)
    assert estimate.feerate_per_kw >= 253
    await world.rpc("setfeeestimate", "0.0004", 1)
    assert (await world.source.estimate_fee(100_000)).feerate_per_kw == 10_000
    assert (await world.source.estimate_fee(-5)).source is FeeSource.ESTIMATE
