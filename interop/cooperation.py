"""Cooperative closes, followed to the satoshi into both wallets."""

from typing import Final

from interop.ledger import Coins, Output, coins_of, outputs_of
from interop.scenario import check
from interop.world import CONFIRMATIONS, SAT, Pair, World, outpoint_of
from leyden.demo.processes import DemoNode
from leyden.node.views import ChannelView

FEE_SAT_MAX: Final = 40_000


async def close_together(
    world: World,
    pair: Pair,
    *,
    by_us: bool,
    our_address: str | None = None,
    their_address: str | None = None,
    our_script: str | None = None,
    their_script: str | None = None,
    feerate_per_kw: int | None = None,
) -> str:
    """Close a quiet channel; check every output of the closing transaction and what comes of it in both wallets.

    by_us: we begin. our_address, their_address: given to the side that begins. our_script, their_script: where the
    part of a side has to go, in hexadecimal, when that is not its wallet. feerate_per_kw: what the side that begins
    wants. Returns the closing txid.
    """
    await world.until_quiet(pair)
    before = await coins_of(world, pair.us, pair.peer)
    last = await world.our_channel(pair.us, pair.funding_outpoint)
    assert last is not None, "it is quiet"
    if by_us:
        await pair.us.api.close(pair.channel_id, address=our_address, feerate_per_kw=feerate_per_kw)
    else:
        await pair.peer.close_channel(pair.funding_outpoint, address=their_address, feerate_per_kw=feerate_per_kw)
    return await follow_close(world, pair, last, before, our_script=our_script, their_script=their_script)


async def follow_close(
    world: World,
    pair: Pair,
    last: ChannelView,
    before: Coins,
    *,
    our_script: str | None = None,
    their_script: str | None = None,
) -> str:
    """See `close_together`; the close has begun. last: our view of the channel with the balances that are paid out."""
    txid = await closing_txid(world, pair)
    outputs = await outputs_of(world, txid)
    fee_sat = last.capacity_sat - sum(one.value_sat for one in outputs)
    check(0 < fee_sat <= FEE_SAT_MAX, f"the closing transaction pays {fee_sat} sat of fees")
    parts = {"us": last.local_msat // SAT, "peer": last.remote_msat // SAT}
    opener = "us" if last.is_opener else "peer"
    # Fractions of a satoshi go to the fee, which the opener pays.
    parts[opener] = last.capacity_sat - fee_sat - parts["peer" if last.is_opener else "us"]
    expected = sorted(parts.values())
    check(sorted(one.value_sat for one in outputs) == expected, f"the close pays {outputs}, not {expected}")
    for side, script in (("us", our_script), ("peer", their_script)):
        if script is not None:
            check(Output(script, parts[side]) in outputs, f"{side} was to get {parts[side]} sat to {script}: {outputs}")
    await world.mine(CONFIRMATIONS)
    gains = (0 if our_script else parts["us"], 0 if their_script else parts["peer"])

    async def arrived() -> bool:
        after = await coins_of(world, pair.us, pair.peer)
        return (after.ours_sat - before.ours_sat, after.theirs_sat - before.theirs_sat) == gains

    await world.until(arrived, f"the wallets have {gains} sat more than {before}")
    told = (await pair.peer.closed_channels()).get(pair.funding_outpoint)
    check(told == txid, f"the peer names {told} as closing transaction, it is {txid}")
    return txid


async def closing_txid(world: World, pair: Pair) -> str:
    """Wait until the transaction that closes a channel is in the mempool; return its txid."""
    found: list[str] = []

    async def published() -> bool:
        ours = await world.our_channel(pair.us, pair.funding_outpoint)
        if ours is not None and ours.closing_txid in await world.mempool():
            found.append(ours.closing_txid)
        return bool(found)

    await world.until(published, "the transaction that closes the channel is in the mempool")
    return found[0]


async def close_all(world: World, us: DemoNode | None = None) -> None:
    """Close every channel of our node with the first foreign one, so that the next one is their only one."""
    ours = us or world.us
    peer_id = (await world.peer.info()).node_id
    await world.connect(ours, world.peer)
    for one in await ours.api.channels():
        if one.node_id == peer_id and one.state == "normal":
            pair = await world.until_usable(ours, world.peer, outpoint_of(one))
            await close_together(world, pair, by_us=True)
