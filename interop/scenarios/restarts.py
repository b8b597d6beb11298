"""`kill -9` of either side at random moments of payments both ways, with our store in time and late."""

import asyncio
import random
import time
from collections.abc import Awaitable
from typing import Final

from interop.cooperation import close_all
from interop.load import OurParty, Party, TheirParty, Wish, amount_msat, audit, fulfil, until_ended, wish
from interop.scenario import PeerAtFault, ScenarioFailed, check, scenario
from interop.settlement import last_view
from interop.world import SAT, Pair, World

LATE_MS: Final = 150
IN_FLIGHT: Final = 20
"""Payments each way at once."""
LARGEST_MSAT: Final = 20_000_000
CAPACITY_SAT: Final = 5_000_000
END_SECONDS: Final = 60.0
STUCK: Final = {
    "lnd": "Nothing is lost, no channel closed, balances agree; but payments of lnd whose update_add_htlc was sent and "
    "not yet signed when it was killed or stopped stay IN_FLIGHT: after the restart it waits for their attempts (log: "
    "CRTR 'Resuming HTLC attempt') and never adds them again (HSWC 'Trimming open circuits')"
}
"""Why payments of a peer are pending when no channel has an HTLC any more, and where that shows."""
DISOWNED: Final = {
    "lnd": "No channel closed, balances agree; but lnd tells payments as received that it has sent back: it settles an "
    "invoice before it notes that it has looked at the HTLC (`FwdStateProcessed`), and killed in between it takes the "
    "HTLC for a replay of itself (log: HSWC 'sphinx packet replay attempted') and answers invalid_onion_version"
}
"""Why a peer fails payments that it goes on to tell as received, and where that shows."""


@scenario(6, "kill -9 of Leyden under load", seconds_max=150, grows=True)
async def kill_us(world: World) -> None:
    """No payment is lost or made twice, no channel closes, and balances agree to the millisatoshi."""
    await _rounds(world, kills_us=True, delay_ms=0)


@scenario(6, f"kill -9 of Leyden under load, its store {LATE_MS} ms late", seconds_max=150, grows=True)
async def kill_us_late_store(world: World) -> None:
    """No payment is lost or made twice, no channel closes, and balances agree to the millisatoshi."""
    await _rounds(world, kills_us=True, delay_ms=LATE_MS)


@scenario(6, "kill -9 of the peer under load", seconds_max=150, grows=True)
async def kill_peer(world: World) -> None:
    """No payment is lost or made twice, no channel closes, and balances agree to the millisatoshi."""
    await _rounds(world, kills_us=False, delay_ms=0)


@scenario(6, f"kill -9 of the peer under load, our store {LATE_MS} ms late", seconds_max=150, grows=True)
async def kill_peer_late_store(world: World) -> None:
    """No payment is lost or made twice, no channel closes, and balances agree to the millisatoshi."""
    await _rounds(world, kills_us=False, delay_ms=LATE_MS)


async def _rounds(world: World, *, kills_us: bool, delay_ms: int) -> None:
    await world.reconfigure(world.us, f"[store]\ndelay_ms = {delay_ms}\n")
    await close_all(world)
    pair = await world.open(amount_sat=CAPACITY_SAT, push_msat=CAPACITY_SAT // 2 * SAT)
    parties = (OurParty(world.us), TheirParty(world.peer))
    chance = random.Random(f"{kills_us} {delay_ms}")
    begun_msat = (await last_view(world, pair)).local_msat
    wishes, seconds = await _undisturbed(world, pair, parties, chance)
    for number in range(world.extent.rounds):
        # As much of the load is behind a kill as is ahead of it, on any machine.
        moment = asyncio.sleep(chance.random() * seconds)
        wishes += await _round(world, pair, parties, chance, moment, kills_us=kills_us)
        sums, wrong = await audit(wishes)
        expected_msat = begun_msat + sums.moved_msat[world.us.name]
        now_msat = (await last_view(world, pair)).local_msat
        if now_msat != expected_msat:
            wrong.append(f"we have {now_msat} msat in the channel, payments leave us {expected_msat}")
        check(not wrong, f"round {number + 1}: {len(wrong)} wrong, the first: {'; '.join(wrong[:3])}")
    await world.reconfigure(world.us, "")
    done = f"{world.extent.rounds} rounds, {sums.in_words}"
    if sums.disowned:
        raise PeerAtFault(f"{done}. {DISOWNED.get(world.kind, 'It has sent back what it tells as received')}")
    if sums.stuck:
        raise PeerAtFault(f"{done}. {stuck_reason(world.kind)}")
    world.note(done)


def stuck_reason(kind: str) -> str:
    """Say why payments of such a payer are pending for ever."""
    return STUCK.get(kind, f"Pending ones of {kind} are in no channel any more")


async def _load(parties: tuple[Party, Party], chance: random.Random) -> list[Wish]:
    ways = (parties, parties[::-1]) * IN_FLIGHT
    return [await wish(payer, payee, amount_msat(chance, LARGEST_MSAT)) for payer, payee in ways]


async def _undisturbed(
    world: World, pair: Pair, parties: tuple[Party, Party], chance: random.Random
) -> tuple[list[Wish], float]:
    """Make the payments of one round without a kill; return them, and how long they took."""
    wishes = await _load(parties, chance)
    begun = time.monotonic()
    await asyncio.gather(*[fulfil(one) for one in wishes])
    await until_ended(world, wishes, lambda: world.is_quiet(pair), END_SECONDS)
    return wishes, time.monotonic() - begun


async def _round(
    world: World,
    pair: Pair,
    parties: tuple[Party, Party],
    chance: random.Random,
    moment: Awaitable[None],
    *,
    kills_us: bool,
) -> list[Wish]:
    """Load both ways, one kill when the moment has come, and everything at rest again."""
    wishes = await _load(parties, chance)
    async with asyncio.TaskGroup() as group:
        for one in wishes:
            group.create_task(fulfil(one))
        await moment
        await (world.us.child.kill() if kills_us else world.peer.kill())
    await (world.us.start() if kills_us else world.peer.start())
    await world.connect(world.us, world.peer)
    await _until_usable(world, pair)
    await until_ended(world, wishes, lambda: world.is_quiet(pair), END_SECONDS)
    await world.until_quiet(pair)
    return wishes


async def _until_usable(world: World, pair: Pair) -> None:
    """As in `World`; a channel that closes instead is told at once, with our reason for it."""

    async def usable() -> bool:
        ours = await world.our_channel(world.us, pair.funding_outpoint)
        if ours is not None and ours.state not in ("normal", "awaiting_ready"):
            raise ScenarioFailed(f"the channel is {ours.state}: {ours.close_reason}")
        theirs = await world.their_channel(world.peer, pair.funding_outpoint)
        return ours is not None and ours.is_usable and theirs is not None and theirs.is_usable

    await world.until(usable, "the channel is usable again at both ends")
