"""Channels that both sides close together: every satoshi of them arrives in one of the two wallets."""

import contextlib
from typing import Final

from interop.cooperation import close_all, close_together, follow_close
from interop.foreign import NotOffered, PeerRefused
from interop.holding import cancel, check_ended, hold, settle
from interop.ledger import coins_of
from interop.scenario import ScenarioFailed, check, scenario
from interop.world import FEERATE_PER_KW, SAT, Pair, World
from leyden.base.errors import CommandRejected
from leyden.bitcoin.address import encode_address
from leyden.bitcoin.networks import REGTEST
from leyden.bitcoin.script import p2pkh, p2sh, p2tr, p2wpkh, p2wsh
from leyden.node.views import ChannelView

CAPACITY_SAT: Final = 1_000_000
PUSHED_MSAT: Final = 400_000_000
FRACTION_MSAT: Final = 1_234_567
HELD_MSAT: Final = 50_000_000
SETTLED_MSAT: Final = 70_000_000
DISAGREEMENT: Final = 8
DISAGREEMENT_THERE: Final = 2
OUTPUT_KEY: Final = bytes.fromhex("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
WITNESS_SCRIPTS: Final = {
    "p2wpkh": p2wpkh(bytes(20)),
    "p2wsh": p2wsh(bytes(32)),
    "p2tr": p2tr(OUTPUT_KEY),
    "a later witness version": bytes((0x60, 4)) + b"four",
}
LEGACY_SCRIPTS: Final = {"p2pkh": p2pkh(bytes(20)), "p2sh": p2sh(bytes(20))}


@scenario(7, "our channel, closed by us; fractions of a satoshi go to the fee")
async def ours_by_us(world: World) -> None:
    """Both wallets get what the last balances say, to the satoshi."""
    await _close_with_fractions(world, opened_by_us=True, by_us=True)


@scenario(7, "our channel, closed by the peer")
async def ours_by_peer(world: World) -> None:
    """Both wallets get what the last balances say, to the satoshi."""
    await _close_with_fractions(world, opened_by_us=True, by_us=False)


@scenario(7, "the peer's channel, closed by us")
async def theirs_by_us(world: World) -> None:
    """Both wallets get what the last balances say, to the satoshi."""
    await _close_with_fractions(world, opened_by_us=False, by_us=True)


@scenario(7, "the peer's channel, closed by the peer")
async def theirs_by_peer(world: World) -> None:
    """Both wallets get what the last balances say, to the satoshi."""
    await _close_with_fractions(world, opened_by_us=False, by_us=False)


@scenario(7, "closed by us with HTLCs each way: it waits until both are resolved", seconds_max=90)
async def pending_htlcs_by_us(world: World) -> None:
    """No payment is cut off by a close."""
    await _close_with_htlcs(world, by_us=True)


@scenario(7, "closed by the peer with HTLCs each way: it waits until both are resolved", seconds_max=90)
async def pending_htlcs_by_peer(world: World) -> None:
    """No payment is cut off by a close."""
    await _close_with_htlcs(world, by_us=False)


@scenario(7, f"to {', '.join(WITNESS_SCRIPTS)} of ours; we name no legacy address", seconds_max=90, alone=True)
async def our_scripts(world: World) -> None:
    """Every output script that `shutdown` may name pays us.

    In a world of its own: when the first output of a close is of a later witness version, LND never counts that close
    as confirmed (its log: CNCT 'Unable to register confirmations: unsupported script type') and waits for ever.
    """
    for number, (kind, script) in enumerate(WITNESS_SCRIPTS.items()):
        pair = await world.open(by_us=number % 2 == 0, amount_sat=CAPACITY_SAT, push_msat=PUSHED_MSAT)
        if number == 0:
            await _no_legacy_of_ours(pair)
        await close_together(world, pair, by_us=True, our_address=_address(script), our_script=script.hex())
        world.note(kind)


@scenario(7, "to each kind of address that the peer lets its user name", seconds_max=90)
async def their_scripts(world: World) -> None:
    """Every output script that `shutdown` may name pays the peer."""
    refused: list[str] = []
    for number, (kind, script) in enumerate(WITNESS_SCRIPTS.items()):
        pair = await world.open(by_us=number % 2 == 0, amount_sat=CAPACITY_SAT, push_msat=PUSHED_MSAT)
        try:
            await close_together(world, pair, by_us=False, their_address=_address(script), their_script=script.hex())
        except (NotOffered, PeerRefused) as error:
            refused.append(f"{kind} not offered: {error}")
            await close_together(world, pair, by_us=False)
        else:
            world.note(kind)
    if len(refused) == len(WITNESS_SCRIPTS):
        raise NotOffered(refused[0])
    for one in refused:
        world.note(one)


@scenario(7, f"we ask for {DISAGREEMENT} times the peer's feerate: both agree on one fee")
async def fee_disagreement_of_ours(world: World) -> None:
    """The side that does not pay the fee may still say no to one that is absurd."""
    for opened_by_us in (True, False):
        pair = await world.open(by_us=opened_by_us, amount_sat=CAPACITY_SAT, push_msat=PUSHED_MSAT)
        await close_together(world, pair, by_us=True, feerate_per_kw=DISAGREEMENT * FEERATE_PER_KW)


@scenario(7, f"the peer asks for {DISAGREEMENT_THERE} times our feerate: both agree on one fee")
async def fee_disagreement_of_theirs(world: World) -> None:
    """What the peer wants more is its own affair as long as it pays."""
    for opened_by_us in (True, False):
        pair = await world.open(by_us=opened_by_us, amount_sat=CAPACITY_SAT, push_msat=PUSHED_MSAT)
        await close_together(world, pair, by_us=False, feerate_per_kw=DISAGREEMENT_THERE * FEERATE_PER_KW)
        with contextlib.suppress(NotOffered):
            await world.peer.set_feerate(FEERATE_PER_KW)


# --- what they share --------------------------------------------------------------------------------------------------


def _address(script: bytes) -> str:
    address = encode_address(script, REGTEST)
    assert address is not None, "all of these have one"
    return address


async def _close_with_fractions(world: World, *, opened_by_us: bool, by_us: bool) -> None:
    await close_all(world)
    pair = await world.open(by_us=opened_by_us, amount_sat=CAPACITY_SAT, push_msat=PUSHED_MSAT)
    await world.pay_peer(FRACTION_MSAT)
    await close_together(world, pair, by_us=by_us)


async def _close_with_htlcs(world: World, *, by_us: bool) -> None:
    await close_all(world)
    pair = await world.open(by_us=by_us, amount_sat=CAPACITY_SAT, push_msat=PUSHED_MSAT)
    before = await coins_of(world, pair.us, pair.peer)
    ours = await hold(world, pair, by_us=True, amount_msat=SETTLED_MSAT)
    theirs = await hold(world, pair, by_us=False, amount_msat=HELD_MSAT)
    if by_us:
        await pair.us.api.close(pair.channel_id)
    else:
        await pair.peer.close_channel(pair.funding_outpoint)

    async def is_shutting_down() -> bool:
        channel = await world.our_channel(pair.us, pair.funding_outpoint)
        return channel is not None and channel.state == "shutting_down"

    await world.until(is_shutting_down, "the channel takes no more payments")
    await world.mine(1)
    check(not await world.mempool(), "a closing transaction is there while HTLCs are pending")
    await settle(ours)
    await check_ended(world, ours, paid=True)
    check(not await world.mempool(), "a closing transaction is there while an HTLC is pending")
    last = await world.our_channel(pair.us, pair.funding_outpoint)
    assert last is not None, "it is shutting down"
    check(last.htlcs_inbound == 1, f"the other HTLC is not there any more: {last}")
    await cancel(theirs)
    await check_ended(world, theirs, paid=False)
    await follow_close(world, pair, await _at_rest(world, pair), before)


async def _at_rest(world: World, pair: Pair) -> ChannelView:
    """Return our view of the channel when its HTLCs are gone."""
    seen: list[ChannelView] = []

    async def rests() -> bool:
        channel = await world.our_channel(pair.us, pair.funding_outpoint)
        if channel is not None and not channel.htlcs_inbound and not channel.htlcs_outbound:
            seen.append(channel)
        return bool(seen)

    await world.until(rests, "no HTLC is left")
    check(seen[0].local_msat + seen[0].remote_msat == seen[0].capacity_sat * SAT, f"{seen[0]} lacks something")
    return seen[0]


async def _no_legacy_of_ours(pair: Pair) -> None:
    for kind, script in LEGACY_SCRIPTS.items():
        try:
            await pair.us.api.close(pair.channel_id, address=_address(script))
        except CommandRejected as error:
            check(error.code == "bad_closing_script", f"{kind} is refused with {error.code}: {error}")
        else:
            raise ScenarioFailed(f"we close to {kind}, which BOLT 2 does not allow")
