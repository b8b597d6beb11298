"""Forced closes, mined to their end, and what either wallet has of them in the end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, cast

from interop.ledger import Coins, coins_of, outputs_of, read_blocks
from interop.scenario import ScenarioFailed, check
from interop.world import Pair, World
from leyden.node.views import ChannelView
from leyden.transactions.fees import ANCHOR_VALUE_SAT

BLOCKS_MAX: Final = 400
JUMP_BLOCKS: Final = 10
ANCHOR_BLOCKS: Final = 16
"""After so many blocks anyone may take an anchor (BOLT 3)."""
BREATH_SECONDS: Final = 0.25
"""How long nodes may take to publish what a block asks for, before the next one comes."""


async def last_view(world: World, pair: Pair) -> ChannelView:
    """Return how our node sees a channel that is open."""
    channel = await world.our_channel(pair.us, pair.funding_outpoint)
    assert channel is not None, "it is open"
    return channel


async def commitment_txid(world: World, pair: Pair) -> str:
    """Wait until the channel's funding output is spent in the mempool; return by what."""
    found: list[str] = []

    async def published() -> bool:
        found[:] = await spending_txids(world, pair)
        return bool(found)

    await world.until(published, "a commitment is in the mempool")
    return found[0]


async def spending_txids(world: World, pair: Pair) -> list[str]:
    """Return the transaction in the mempool that spends the channel's funding output, or nothing."""
    txid, _, index = pair.funding_outpoint.partition(":")
    answer = cast("list[dict[str, str]]", await world.rpc("gettxspendingprevout", [{"txid": txid, "vout": int(index)}]))
    return [one["spendingtxid"] for one in answer if "spendingtxid" in one]


async def mine_until(world: World, missing: Callable[[], Awaitable[str]], jump: int = JUMP_BLOCKS) -> None:
    """Mine until nothing is missing: a block at a time while anything waits for one, else some at once.

    missing: what there is to wait for, in words; empty: nothing.
    """
    begun = await world.height()
    while lacks := await missing():
        if await world.height() - begun > BLOCKS_MAX:
            raise ScenarioFailed(f"mined {BLOCKS_MAX} blocks, and still {lacks}")
        await world.mine(1 if await world.mempool() else jump)
        await asyncio.sleep(BREATH_SECONDS)


async def mine_until_published(world: World) -> None:
    """Mine until a node has published something: some count a close only when it is a few blocks deep."""

    async def missing() -> str:
        return "" if await world.mempool() else "nobody has published anything"

    await mine_until(world, missing, 1)


async def resolve(world: World, pair: Pair, *, peer_too: bool = True) -> None:
    """Mine until our node, and mostly the peer too, has all that it can have of its closed channels."""

    async def missing() -> str:
        if pool := await world.mempool():
            return f"{len(pool)} transactions wait for a block"
        if ours := await _unresolved(pair):
            return ours
        waiting = await pair.peer.pending_sweeps() if peer_too else 0
        return f"the peer waits for {waiting} outputs" if waiting else ""

    await mine_until(world, missing)


async def _unresolved(pair: Pair) -> str:
    balance = await pair.us.api.balance()
    in_flight_msat = balance.in_flight_outbound_msat + balance.in_flight_inbound_msat
    to_come_sat = balance.closing_sat - balance.uneconomic_sat + balance.unconfirmed_sat
    if to_come_sat or in_flight_msat:
        return f"we wait for {to_come_sat} sat, and for HTLCs of {in_flight_msat} msat"
    return ""


async def check_settled(world: World, pair: Pair, before: Coins, last: ChannelView, share_sat: int) -> None:
    """Check that we have our share, see `check_share`, and that nothing else is missing.

    before: both wallets ahead of the close. last: our view of the channel then.
    """
    await check_share(world, pair, before, share_sat)
    await check_sums(world, pair, before, last.capacity_sat)


async def check_share(world: World, pair: Pair, before: Coins, share_sat: int) -> None:
    """Check that `share_sat` of the commitment's outputs, anchors apart, are in our wallet, less our own fees."""
    timeline = await pair.us.api.channel_timeline(pair.channel_id)
    commitment = timeline.commitment
    assert commitment is not None, "it is closed"
    first = [one for one in timeline.outputs if (one.outpoint or "").startswith(commitment.txid)]
    has_sat = sum(one.amount_sat for one in first if one.state == "ours" and "anchor" not in one.kind)
    check(has_sat == share_sat, f"{has_sat} sat of the commitment are ours, not {share_sat}: {timeline.outputs}")
    assert commitment.height is not None, "it is in a block"
    # Whoever spends our anchor in its first blocks is the wallet's child of the commitment.
    own_until = commitment.height + ANCHOR_BLOCKS
    txids = {
        one.txid
        for one in timeline.outputs
        if one.state == "ours" or (one.kind == "own_anchor" and (one.spent_height or own_until) < own_until)
    }
    reading = await read_blocks(world, before.height)
    fees_sat = sum(reading.fees_sat[txid] for txid in txids if txid is not None)
    anchors_sat = sum(reading.anchors_spent_sat.get(txid, 0) for txid in txids if txid is not None)
    gain_sat = (await pair.us.api.balance()).confirmed_sat - before.ours_sat
    expected_sat = has_sat + anchors_sat - fees_sat
    check(gain_sat == expected_sat, f"our wallet has {gain_sat} sat more, not {has_sat} + {anchors_sat} - {fees_sat}")


async def check_sums(world: World, pair: Pair, before: Coins, capacity_sat: int) -> None:
    """Check that what both wallets lack of what they and the channel held was paid as fees, to the satoshi."""
    reading = await read_blocks(world, before.height)
    after = await coins_of(world, pair.us, pair.peer)
    gains_sat = (after.ours_sat - before.ours_sat, after.theirs_sat - before.theirs_sat)
    spent_sat = reading.miners_sat + reading.anchors_sat
    check(
        sum(gains_sat) + spent_sat == capacity_sat,
        f"wallets have {gains_sat} sat more, miners and anchors {spent_sat}: that is not {capacity_sat}",
    )


async def opener_cost_sat(world: World, last: ChannelView, txid: str) -> int:
    """Return what the opener paid of a commitment: its fee, and both anchors. Fractions of a satoshi are in the fee."""
    outputs = await outputs_of(world, txid)
    anchors_sat = sum(one.value_sat for one in outputs if one.value_sat == ANCHOR_VALUE_SAT)
    return last.capacity_sat - sum(one.value_sat for one in outputs) + anchors_sat
