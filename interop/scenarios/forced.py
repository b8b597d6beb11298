"""Channels that one side closes alone: HTLCs each way, old states, old copies. Every satoshi is looked for."""

import contextlib
import shutil
from pathlib import Path
from typing import Final

from interop.cooperation import close_all
from interop.foreign import ForeignNode
from interop.holding import Held, check_ended, hold, settle
from interop.ledger import Coins, coins_of
from interop.scenario import PeerAtFault, check, scenario
from interop.settlement import (
    check_settled,
    check_share,
    check_sums,
    commitment_txid,
    last_view,
    mine_until,
    mine_until_published,
    opener_cost_sat,
    resolve,
    spending_txids,
)
from interop.world import SAT, Pair, World
from leyden.base.errors import CommandRejected, DriverError
from leyden.demo.processes import DemoNode
from leyden.node.views import ChannelTypeName, ChannelView

CAPACITY_SAT: Final = 5_000_000
PUSHED_MSAT: Final = 2_000_000_000
HELD: Final = (
    (True, 200_000_000, True),
    (True, 300_000_000, False),
    (False, 400_000_000, True),
    (False, 500_000_000, False),
)
"""Whether we pay, how much in msat, and whether the payee claims it once the channel is closed."""
MOVED_MSAT: Final = 600_000_000
SMALL_MSAT: Final = 50_000_000
BLOCKS_UNSEEN: Final = 2
IRREVOCABLE_BLOCKS: Final = 100


FALLS_OVER: Final = {
    "ldk": (
        "We have fallen behind",
        "ldk panics in FundedChannel::channel_reestablish when a peer proves that it is behind ('We have fallen behind "
        "- we have received proof'), so its own part waits until it is recovered by hand",
    )
}
"""Peers that stop on purpose when they learn of their data loss: what the log says, and the reason for the matrix."""


@scenario(8, "by us, anchors, HTLCs each way with and without their preimage", seconds_max=180)
async def by_us(world: World) -> None:
    """Our commitment is published; both sides claim, time out and sweep."""
    await _force_with_htlcs(world, by_us=True, channel_type="anchors")


@scenario(8, "by the peer, anchors, HTLCs each way with and without their preimage", seconds_max=180)
async def by_peer(world: World) -> None:
    """The peer's commitment is published; both sides claim, time out and sweep."""
    await _force_with_htlcs(world, by_us=False, channel_type="anchors")


@scenario(8, "by us, static_remotekey, HTLCs each way with and without their preimage", seconds_max=180)
async def by_us_static(world: World) -> None:
    """HTLC transactions pay their own fees there."""
    await _force_with_htlcs(world, by_us=True, channel_type="static_remotekey")


@scenario(8, "by the peer, static_remotekey, HTLCs each way with and without their preimage", seconds_max=180)
async def by_peer_static(world: World) -> None:
    """HTLC transactions pay their own fees there."""
    await _force_with_htlcs(world, by_us=False, channel_type="static_remotekey")


@scenario(8, "we publish a revoked state with HTLCs: the peer takes all of it", seconds_max=120, alone=True)
async def revoked_by_us(world: World) -> None:
    """Old data of ours, put back, cost us the channel."""
    pair, held = await _with_htlcs_to_come(world)
    copy = await _copy_ours(pair.us)
    await _move_on(world, pair, held)
    last, before = await last_view(world, pair), await coins_of(world, pair.us, pair.peer)
    await pair.peer.stop()
    await _restore_ours(pair.us, copy)
    await pair.us.api.close(pair.channel_id, force=True, without_peer=True)
    await commitment_txid(world, pair)
    await world.mine(BLOCKS_UNSEEN)
    await pair.peer.start()
    await mine_until_published(world)
    await resolve(world, pair)
    after = await coins_of(world, pair.us, pair.peer)
    check(after.ours_sat <= before.ours_sat, f"we have {after.ours_sat - before.ours_sat} sat of what we had revoked")
    check(
        after.theirs_sat > before.theirs_sat + last.capacity_sat // 2, f"the peer did not take all: {after.theirs_sat}"
    )
    await check_sums(world, pair, before, last.capacity_sat)


@scenario(8, "the peer publishes a revoked state with HTLCs: we take all of it", seconds_max=120, alone=True)
async def revoked_by_peer(world: World) -> None:
    """Old data of the peer, put back, cost it the channel."""
    pair, held = await _with_htlcs_to_come(world)
    copy = world.processes.folder / "old-copy"
    await pair.peer.stop()
    await pair.peer.copy_state(copy)
    await pair.peer.start()
    await _move_on(world, pair, held)
    last, before = await last_view(world, pair), await coins_of(world, pair.us, pair.peer)
    await pair.us.child.kill()
    await pair.peer.stop()
    await pair.peer.restore_state(copy)
    await pair.peer.start()
    await pair.peer.close_channel(pair.funding_outpoint, force=True)
    txid = await commitment_txid(world, pair)
    await world.mine(BLOCKS_UNSEEN)
    await pair.us.start()
    await world.until_in_mempool(1)
    # What a cheater waits for when all is taken is its own affair.
    await resolve(world, pair, peer_too=False)
    share_sat = last.capacity_sat - await opener_cost_sat(world, last, txid)
    await check_settled(world, pair, before, last, share_sat)


@scenario(8, "we come back with an old copy: the peer closes, both get what is theirs", seconds_max=120, alone=True)
async def our_data_loss(world: World) -> None:
    """The peer proves to us that we are behind; we publish nothing, and the peer's latest commitment pays us."""
    pair = await _fresh(world, by_us=True)
    copy = await _copy_ours(pair.us)
    await world.pay_peer(MOVED_MSAT)
    await world.peer_pays(SMALL_MSAT)
    await world.until_quiet(pair)
    last, before = await last_view(world, pair), await coins_of(world, pair.us, pair.peer)
    await _restore_ours(pair.us, copy)
    await world.connect(pair.us, pair.peer)
    txid = await commitment_txid(world, pair)
    await _check_shares(world, pair, last, before, txid)
    told = (await pair.peer.closed_channels()).get(pair.funding_outpoint)
    check(told == txid, f"the peer names {told} as closing transaction, it is {txid}")


@scenario(8, "the peer comes back with an old copy: we close, both get what is theirs", seconds_max=120, alone=True)
async def their_data_loss(world: World) -> None:
    """We prove to the peer that it is behind, and our latest commitment pays it."""
    pair = await _fresh(world, by_us=False)
    copy = world.processes.folder / "old-copy"
    await pair.peer.stop()
    await pair.peer.copy_state(copy)
    await pair.peer.start()
    await world.connect(pair.us, pair.peer)
    await world.until_usable(pair.us, pair.peer, pair.funding_outpoint)
    await world.pay_peer(MOVED_MSAT)
    await world.peer_pays(SMALL_MSAT)
    await world.until_quiet(pair)
    last, before = await last_view(world, pair), await coins_of(world, pair.us, pair.peer)
    await pair.peer.stop()
    await pair.peer.restore_state(copy)
    await pair.peer.start()
    words, reason = FALLS_OVER.get(pair.peer.kind, ("", ""))
    txid = await _meet(world, pair, words)
    if not words or not _has_said(pair.peer, words):
        await _check_shares(world, pair, last, before, txid)
        return
    await pair.peer.kill()
    if not txid:
        with contextlib.suppress(CommandRejected):  # we may be about to
            await pair.us.api.close(pair.channel_id, force=True, without_peer=True)
        txid = await commitment_txid(world, pair)
    share_sat = last.local_msat // SAT - (await opener_cost_sat(world, last, txid) if last.is_opener else 0)
    await world.mine(1)
    await resolve(world, pair, peer_too=False)
    await check_share(world, pair, before, share_sat)
    raise PeerAtFault(f"we close and have our {share_sat} sat, less fees; {reason}")


async def _meet(world: World, pair: Pair, words: str) -> str:
    """Connect until the channel's funding output is spent, and return by what; empty: the peer has said `words`."""
    node_id = (await pair.peer.info()).node_id
    found: list[str] = []

    async def met() -> bool:
        with contextlib.suppress(CommandRejected, DriverError):
            await pair.us.api.connect(node_id, "127.0.0.1", pair.peer.port)
        found[:] = await spending_txids(world, pair)
        return bool(found) or (bool(words) and _has_said(pair.peer, words))

    await world.until(met, "one of the two closes the channel")
    return found[0] if found else ""


def _has_said(peer: ForeignNode, words: str) -> bool:
    return any(words in path.read_text(errors="replace") for path in peer.log_paths)


# --- what they share --------------------------------------------------------------------------------------------------


async def _fresh(world: World, *, by_us: bool, channel_type: ChannelTypeName = "anchors") -> Pair:
    """The only channel of the two."""
    await close_all(world)
    pushed_msat = PUSHED_MSAT if by_us else CAPACITY_SAT * SAT - PUSHED_MSAT
    return await world.open(by_us=by_us, amount_sat=CAPACITY_SAT, push_msat=pushed_msat, channel_type=channel_type)


async def _force_with_htlcs(world: World, *, by_us: bool, channel_type: ChannelTypeName) -> None:
    pair = await _fresh(world, by_us=by_us, channel_type=channel_type)
    held = [await hold(world, pair, by_us=we_pay, amount_msat=amount_msat) for we_pay, amount_msat, _ in HELD]
    last, before = await last_view(world, pair), await coins_of(world, pair.us, pair.peer)
    if by_us:
        await pair.us.api.close(pair.channel_id, force=True)
    else:
        await pair.peer.close_channel(pair.funding_outpoint, force=True)
    txid = await commitment_txid(world, pair)
    await world.mine(1)
    share_sat = last.local_msat // SAT
    for one, (we_pay, amount_msat, is_claimed) in zip(held, HELD, strict=True):
        if is_claimed:
            await settle(one)
        share_sat += amount_msat // SAT if we_pay != is_claimed else 0
    if last.is_opener:
        share_sat -= await opener_cost_sat(world, last, txid)
    await resolve(world, pair)
    await mine_until(world, lambda: _undecided(pair), IRREVOCABLE_BLOCKS // 2)
    for one, (_, _, is_claimed) in zip(held, HELD, strict=True):
        await check_ended(world, one, paid=is_claimed)
    await check_settled(world, pair, before, last, share_sat)
    told = (await pair.peer.closed_channels()).get(pair.funding_outpoint)
    check(told == txid, f"the peer names {told} as closing transaction, it is {txid}")


async def _undecided(pair: Pair) -> str:
    """A payment of ours that nobody claimed has failed for good only when its HTLC is deep in the chain."""
    payments = await pair.us.api.payments()
    pending = [one for one in payments if one.direction == "outbound" and one.status == "pending"]
    return f"{len(pending)} payments of ours are pending" if pending else ""


async def _with_htlcs_to_come(world: World) -> tuple[Pair, tuple[Held, Held]]:
    """A channel with an HTLC each way, which will be in the state that is published."""
    pair = await _fresh(world, by_us=True)
    return pair, (
        await hold(world, pair, by_us=True, amount_msat=HELD[0][1]),
        await hold(world, pair, by_us=False, amount_msat=HELD[2][1]),
    )


async def _move_on(world: World, pair: Pair, held: tuple[Held, Held]) -> None:
    """Settle and pay, so that the state of a moment ago is revoked."""
    await world.connect(pair.us, pair.peer)
    await world.until_usable(pair.us, pair.peer, pair.funding_outpoint)
    for one in held:
        await settle(one)
        await check_ended(world, one, paid=True)
    await world.pay_peer(MOVED_MSAT)
    await world.peer_pays(SMALL_MSAT)
    await world.until_quiet(pair)


async def _copy_ours(us: DemoNode) -> Path:
    """Kill our node, copy its data directory, and start it again."""
    await us.child.kill()
    copy = us.child.directory.with_name("our-old-copy")
    shutil.copytree(us.child.directory, copy, ignore=shutil.ignore_patterns("*.sock", "*.lock"))
    await us.start()
    return copy


async def _restore_ours(us: DemoNode, copy: Path) -> None:
    """Kill our node, put the copy in place of its data directory, and start it."""
    await us.child.kill()
    shutil.rmtree(us.child.directory)
    shutil.copytree(copy, us.child.directory)
    await us.start()


async def _check_shares(world: World, pair: Pair, last: ChannelView, before: Coins, txid: str) -> None:
    share_sat = last.local_msat // SAT - (await opener_cost_sat(world, last, txid) if last.is_opener else 0)
    await world.mine(1)
    await resolve(world, pair)
    await check_settled(world, pair, before, last, share_sat)
