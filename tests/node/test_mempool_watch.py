"""Looks into the mempool: what is new there reaches the manager, and nothing that fails ends them."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

from leyden.base.errors import StorageBroken
from leyden.bitcoin.tx import OutPoint, Transaction
from leyden.drivers.chain.memory import MemoryChainSource
from leyden.node import mempool_watch
from leyden.node.core import NodeCore
from leyden.sim.world import World
from tests.manager.onchain import scenes
from tests.manager.onchain.test_unconfirmed_commitments import chained
from tests.sim.test_director import preimage_in_the_mempool


def core_over(world: World) -> NodeCore:
    """Return as much of bob's node as a look needs, over his manager and the chain of the world."""
    bob = world.nodes["bob"]
    made = SimpleNamespace(
        manager=bob.manager,
        runtime=bob.runtime,
        chain=MemoryChainSource(world.chain),
        is_synced=True,
        best_hash=bob.best.hash,
        config=SimpleNamespace(bitcoind=SimpleNamespace(mempool_seconds=0.02)),
    )
    return cast(NodeCore, made)


def asked_of(core: NodeCore) -> list[list[OutPoint]]:
    """Return what the chain is asked for from now on, as it comes."""
    mempool_spends, asked = core.chain.mempool_spends, list[list[OutPoint]]()

    async def listen(outpoints: Sequence[OutPoint]) -> list[Transaction]:
        asked.append([*outpoints])
        return await mempool_spends(outpoints)

    cast(Any, core).chain = SimpleNamespace(mempool_spends=listen)
    return asked


async def test_a_preimage_in_the_mempool_goes_upstream() -> None:
    """Without a block: the HTLC upstream may be near its deadline."""
    room = preimage_in_the_mempool()
    core = core_over(room.world)
    known = await mempool_watch.look(core, {})
    assert len(known) == 1
    room("rest")
    assert room.told("alice") == ["PaymentSent"]
    assert await mempool_watch.look(core, known) == {}, "nothing more is looked for"


async def test_commitment_and_what_is_chained_to_it_are_found_by_one_look() -> None:
    """The chain is asked twice: for the commitment, then for what spends it."""
    parent, claim = chained("carol")
    stage = scenes.forwarded()
    core = core_over(stage.world)
    for one in (parent, claim):
        assert stage.world.broadcast(one, "carol's").accepted
    asked = asked_of(core)
    known = await mempool_watch.look(core, {})
    assert list(known) == [parent.txid(), claim.txid()]
    assert list(scenes.core(stage, "bob", "carol").onchain_preimages) == [0]
    assert asked == [[parent.inputs[0].prevout], [parent.inputs[0].prevout, claim.inputs[0].prevout]]


async def test_commitment_that_waits_is_told_once() -> None:
    """Its claim may come any time: each look asks once for both."""
    parent, claim = chained("carol")
    stage = scenes.forwarded()
    core = core_over(stage.world)
    assert stage.world.broadcast(parent, "carol's").accepted
    known = await mempool_watch.look(core, {})
    turns: list[object] = []
    core.runtime.run_on_chain = turns.append  # type: ignore[method-assign, assignment]
    asked = asked_of(core)
    assert await mempool_watch.look(core, known) == known == {parent.txid(): None}
    assert not turns
    assert asked == [[parent.inputs[0].prevout, claim.inputs[0].prevout]]


async def test_looks_go_on_without_a_store() -> None:
    """Claims need no record, so what they need is looked for as before."""
    room = preimage_in_the_mempool()
    core = core_over(room.world)
    core.runtime.broken = StorageBroken("gone")
    assert len(await mempool_watch.look(core, {})) == 1
    [slot] = [one for one in core.manager.channels.values() if one.state.core.onchain_preimages]
    assert slot.state.core.spent is not None


async def test_what_was_told_is_not_told_again() -> None:
    """Every look would wake every journal."""
    room = preimage_in_the_mempool()
    core = core_over(room.world)
    known = await mempool_watch.look(core, {})
    turns: list[object] = []
    cast(Any, core).runtime = SimpleNamespace(run_on_chain=turns.append)
    room.world.nodes["bob"].crash({})
    cast(Any, core).manager = preimage_in_the_mempool().world.nodes["bob"].manager
    assert await mempool_watch.look(core, known) == known
    assert not turns
    assert await mempool_watch.look(core, {}) == known
    assert len(turns) == 1


async def test_a_chain_that_is_away_is_asked_again() -> None:
    """Nothing is forgotten, and nothing ends."""
    room = preimage_in_the_mempool()
    core = core_over(room.world)
    room.world.chain.set_available(False)
    assert await mempool_watch.look(core, {b"known": None}) == {b"known": None}
    cast(Any, core).is_synced = False
    assert await mempool_watch.look(core, {b"known": None}) == {}, "before it is in sync a node decides nothing"


async def test_looks_repeat_and_a_block_brings_the_next_one() -> None:
    """A close that a block brings has outputs to look for at once."""
    room = preimage_in_the_mempool()
    core = core_over(room.world)
    looked: asyncio.Queue[int] = asyncio.Queue()

    async def count(outpoints: Any) -> Any:
        looked.put_nowait(len(outpoints))
        return []

    cast(Any, core).chain = SimpleNamespace(mempool_spends=count)
    cast(Any, core).config.bitcoind.mempool_seconds = 2
    task = asyncio.ensure_future(mempool_watch.watch_mempool(core))
    async with asyncio.timeout(1.5):
        assert await looked.get() == 1
        cast(Any, core).best_hash = b"another block"
        assert await looked.get() == 1
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
