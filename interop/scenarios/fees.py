"""Feerates of commitments that move, limits of what HTLCs without an output may sum up to, estimates that differ."""

import asyncio
import time
from typing import Final

from interop.cooperation import close_all, close_together
from interop.foreign import ForeignOptions, NotOffered, OpenRequest, PeerRefused
from interop.holding import Held, check_ended, is_held, offer, payer_status, settle
from interop.scenario import PeerAtFault, ScenarioFailed, check, scenario
from interop.standing import check_moved, pairs_of, standing
from interop.world import FEERATE_PER_KW, SAT, Pair, World
from leyden.base.errors import CommandRejected
from leyden.node.views import ChannelTypeName

HIGH_PER_KW: Final = 10 * FEERATE_PER_KW
LOW_PER_KW: Final = FEERATE_PER_KW // 2
ANCHORS_MAX_PER_KW: Final = 2_500
"""More is never asked of our own commitments with anchors."""
MUCH_HIGHER_PER_KW: Final = 40 * FEERATE_PER_KW
ABSURD_PER_KW: Final = 240_000
MOVE_SECONDS: Final = 45.0
"""Longer than between two looks at the estimates."""
TIMED_CHANNELS: Final = 6
TIMER_SECONDS: Final = 3_900.0
TIMER_LOOK_SECONDS: Final = 2.0
DUST_MSAT: Final = 300_000
EXPOSURE_MSAT: Final = 4_000_000
HELD_AT_ONCE: Final = 20
"""Together more dust than the limit."""
OVER_THE_LIMIT: Final = "temporary_channel_failure"


# --- update_fee -------------------------------------------------------------------------------------------------------


@scenario(
    5,
    "`update_fee` of ours on a channel without anchors: ten times up, then to half; payments after each",
    seconds_max=150,
)
async def ours_without_anchors(world: World) -> None:
    """Both sides have the new feerate on their commitments."""
    await _ours_moves(world, "static_remotekey", HIGH_PER_KW)


@scenario(
    5, f"`update_fee` of ours with anchors: up to our limit of {ANCHORS_MAX_PER_KW} sat/kw, then down", seconds_max=150
)
async def ours_with_anchors(world: World) -> None:
    """Both sides have the new feerate on their commitments."""
    await _ours_moves(world, "anchors", ANCHORS_MAX_PER_KW)


async def _ours_moves(world: World, channel_type: ChannelTypeName, high_per_kw: int) -> None:
    await close_all(world)
    pair = await world.open(amount_sat=5_000_000, push_msat=2_000_000 * SAT, channel_type=channel_type)
    try:
        for estimate_per_kw, feerate_per_kw in ((HIGH_PER_KW, high_per_kw), (LOW_PER_KW, LOW_PER_KW)):
            await world.set_feerate(estimate_per_kw)
            # A start asks for estimates at once, perhaps before the peer is there; else twice a minute.
            await world.reconfigure(world.us, "")
            await world.connect(world.us, world.peer)
            await _until_feerate(world, pair, feerate_per_kw)
            await world.pay_peer(20_000 * SAT)
            await world.peer_pays(20_000 * SAT)
            await world.until_quiet(pair)
    finally:
        await _usual_feerate(world)
    await close_together(world, pair, by_us=True)


@scenario(5, "`update_fee` of the peer on a channel without anchors: ten times up, then to half; payments after each")
async def theirs_without_anchors(world: World) -> None:
    """Both sides have the new feerate on their commitments."""
    await close_all(world)
    pair = await world.open(
        by_us=False, amount_sat=5_000_000, push_msat=2_000_000 * SAT, channel_type="static_remotekey"
    )
    try:
        for feerate_per_kw in (HIGH_PER_KW, LOW_PER_KW):
            if world.kind == "leyden":
                raise NotOffered("a node of ours asks the chain service, which is the same for both")
            await world.peer.set_feerate(feerate_per_kw)
            await _until_feerate(world, pair, feerate_per_kw)
            await world.pay_peer(20_000 * SAT)
            await world.peer_pays(20_000 * SAT)
            await world.until_quiet(pair)
        await world.peer.set_feerate(FEERATE_PER_KW)
        await _until_feerate(world, pair, FEERATE_PER_KW)
    finally:
        await close_together(world, pair, by_us=False)


@scenario(
    5,
    f"`update_fee` of the peer by its own timer, on one of {TIMED_CHANNELS} channels, when the chain's estimate has "
    "doubled; payments after it",
    seconds_max=400,
    alone=True,
    long=True,
)
async def theirs_by_its_timer(world: World) -> None:
    """LND looks at its estimate every 10 to 60 minutes; of many channels the first is sooner."""
    for _ in range(TIMED_CHANNELS):
        await world.open(by_us=False, amount_sat=500_000, push_msat=200_000 * SAT, channel_type="static_remotekey")
    pairs = await pairs_of(world.us, world.peer)
    before = {pair.channel_id: await _feerate(world, pair) for pair in pairs}
    await world.set_feerate(2 * FEERATE_PER_KW)

    async def moved() -> bool:
        await asyncio.sleep(TIMER_LOOK_SECONDS)
        return any([await _feerate(world, pair) not in (before[pair.channel_id], None) for pair in pairs])

    begun = time.monotonic()
    await world.until(moved, "both sides have another feerate on a channel", TIMER_SECONDS)
    world.note(f"after {(time.monotonic() - begun) / 60:.0f} minutes")
    await world.pay_peer(20_000 * SAT)
    await world.peer_pays(20_000 * SAT)
    await standing(world)


async def _feerate(world: World, pair: Pair) -> int | None:
    """Return the feerate on which both sides agree, if they do now."""
    ours = await world.our_channel(pair.us, pair.funding_outpoint)
    theirs = await world.their_channel(pair.peer, pair.funding_outpoint)
    if ours is None or theirs is None:
        raise ScenarioFailed("the channel is gone")
    return ours.feerate_per_kw if ours.feerate_per_kw == theirs.feerate_per_kw else None


async def _until_feerate(world: World, pair: Pair, feerate_per_kw: int) -> None:
    async def moved() -> bool:
        return await _feerate(world, pair) == feerate_per_kw

    await world.until(moved, f"both sides have {feerate_per_kw} sat/kw on the channel", MOVE_SECONDS)
    await world.until_usable(pair.us, pair.peer, pair.funding_outpoint)


async def _usual_feerate(world: World) -> None:
    await world.set_feerate(FEERATE_PER_KW)
    await world.reconfigure(world.us, "")
    await world.connect(world.us, world.peer)


# --- dust -------------------------------------------------------------------------------------------------------------


@scenario(5, f"more dust than we risk ({EXPOSURE_MSAT} msat): the peer's payments above it fail, the others are paid")
async def our_exposure(world: World) -> None:
    """What is refused is `temporary_channel_failure` at the payer; the channel goes on."""
    await close_all(world)
    await world.reconfigure(world.us, f"[channels]\nmax_dust_htlc_exposure_msat = {EXPOSURE_MSAT}\n")
    try:
        pair = await world.channel()
        await _expose(world, pair, by_us=False)
    finally:
        await world.reconfigure(world.us, "")
        await world.connect(world.us, world.peer)


@scenario(
    5,
    f"more dust than the peer risks ({EXPOSURE_MSAT} msat): our payments above it fail, the others are paid",
    alone=True,
)
async def their_exposure(world: World) -> None:
    """What is refused is `temporary_channel_failure` at the payer; the channel goes on."""
    careful = world.foreign.get("careful") or await world.add_peer(
        world.kind, "careful", ForeignOptions(max_dust_htlc_exposure_msat=EXPOSURE_MSAT)
    )
    pair = await world.channel(peer=careful)
    await _expose(world, pair, by_us=True)
    await close_together(world, pair, by_us=True)
    await careful.stop()


async def _expose(world: World, pair: Pair, *, by_us: bool) -> None:
    before = await standing(world, pair.us, pair.peer)
    offered = [await offer(pair, by_us=by_us, amount_msat=DUST_MSAT) for _ in range(HELD_AT_ONCE)]
    arrived: list[Held] = []

    async def decided() -> bool:
        ours = await world.our_channel(pair.us, pair.funding_outpoint)
        if by_us and (ours is None or ours.state != "normal"):
            raise PeerAtFault(
                f"it fails the channel ({ours and ours.close_reason}) where BOLT 2 (Bounding exposure to trimmed "
                "in-flight HTLCs) has the HTLC failed; what we offer sums up to 50,000 sat at most, a tenth of what it "
                "risks by default"
            )
        states = await asyncio.gather(*[_state(one) for one in offered])
        arrived[:] = [one for one, state in zip(offered, states, strict=True) if state == "held"]
        return "pending" not in states

    await world.until(decided, "each payment waits for its payee or has failed")
    held_msat = len(arrived) * DUST_MSAT
    check(bool(arrived), "not one payment below the limit has arrived")
    check(held_msat <= EXPOSURE_MSAT, f"{held_msat} msat of dust are held, above the limit of {EXPOSURE_MSAT}")
    check(len(arrived) < HELD_AT_ONCE, "no payment has failed")
    for one in offered:
        if one not in arrived:
            failure = await _failure(one)
            check(
                failure in (OVER_THE_LIMIT, "dust_exposure"), f"a payment above the limit has failed with {failure!r}"
            )
    for one in arrived:
        await settle(one)
    for one in arrived:
        await check_ended(world, one, paid=True)
    await check_moved(world, before, -held_msat if by_us else held_msat)
    world.note(f"{len(arrived)} of {HELD_AT_ONCE} arrived")


async def _state(one: Held) -> str:
    """Return `held`, `failed` or `pending`."""
    if (await payer_status(one))[0] == "failed":
        return "failed"
    return "held" if await is_held(one) else "pending"


async def _failure(one: Held) -> str:
    if one.by_us:
        payment = await one.us.api.payment(one.payment_id)
        return payment.failure_name or payment.reason or ""
    return (await one.peer.payment(one.payment_hash)).failure


# --- estimates that differ --------------------------------------------------------------------------------------------


@scenario(5, "the peer opens with a feerate far above what we take: we refuse, it learns why, nothing is spent")
async def too_high_for_us(world: World) -> None:
    """Its words are ours."""
    await world.connect(world.us, world.peer)
    spent_before = await world.mempool()
    if world.kind == "leyden":
        raise NotOffered("a node of ours never asks for more than it takes")
    await _their_feerate(world, 2 * ABSURD_PER_KW)
    request = OpenRequest(node_id=world.us.node_id, amount_sat=16_000_000, channel_type="static_remotekey")
    try:
        await world.peer.open_channel(request)
    except PeerRefused as refused:
        words = " ".join([str(refused), *await world.peer.refusals()])
        check("feerate_per_kw is outside" in words, f"the peer does not show our words: {words[-300:]}")
    else:
        raise ScenarioFailed("we have taken what is far above our bounds")
    finally:
        await _their_feerate(world, FEERATE_PER_KW)
    check(await world.mempool() == spent_before, "something was published")


@scenario(5, "we open without anchors far below what the peer expects: it refuses, we learn why, nothing is spent")
async def too_low_for_them(world: World) -> None:
    """Its words are shown to our caller."""
    await world.connect(world.us, world.peer)
    if world.kind == "leyden":
        raise NotOffered("a node of ours takes whatever relays: its own estimate does not matter")
    await world.peer.set_feerate(MUCH_HIGHER_PER_KW)
    try:
        node_id = (await world.peer.info()).node_id
        await world.us.api.open_channel(node_id, 5_000_000, 0, "static_remotekey")
    except CommandRejected as refused:
        check("fee" in str(refused).lower(), f"our caller is told: {refused}")
        world.note(f"its words: {refused}")
    else:
        raise ScenarioFailed("the peer has taken a feerate that is far below its own")
    finally:
        await world.peer.set_feerate(FEERATE_PER_KW)


async def _their_feerate(world: World, feerate_per_kw: int) -> None:
    """Set what the peer believes; one that asks the chain service does so whenever it opens a channel."""
    try:
        await world.peer.set_feerate(feerate_per_kw)
    except NotOffered:
        await world.set_feerate(feerate_per_kw)
