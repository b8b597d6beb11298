"""Channels of every kind, opened by us and by the peer, and channels that one side does not want."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from interop.cooperation import close_together
from interop.foreign import OpenRequest, PeerRefused
from interop.scenario import check, scenario
from interop.world import CONFIRMATIONS, SAT, Pair, World
from leyden.base.errors import CommandRejected
from leyden.bitcoin.address import encode_segwit
from leyden.node.views import ChannelTypeName

CAPACITY_SAT: Final = 1_000_000
PUSHED_MSAT: Final = 300_000_123
"""No whole satoshi, so that both sides must keep millisatoshis."""
LARGE_SAT: Final = 20_000_000
"""Above 2^24."""
TINY_SAT: Final = 900
MINIMUM_SAT: Final = 200_000
RESERVE_PERCENT: Final = 50
PAID_MSAT: Final = 10_000_001
FEWEST_LETTERS: Final = 8
LOG_SECONDS: Final = 5.0


@scenario(2, "static_remotekey, opened by us, with a push; closed again")
async def static_remotekey_by_us(world: World) -> None:
    """The older kind of commitment."""
    await _open_pay_close(world, await _request(world, by_us=True, channel_type="static_remotekey"), by_us=True)


@scenario(2, "static_remotekey, opened by the peer, with a push; closed again")
async def static_remotekey_by_peer(world: World) -> None:
    """The older kind of commitment."""
    await _open_pay_close(world, await _request(world, by_us=False, channel_type="static_remotekey"), by_us=False)


@scenario(2, "anchors, opened by us, with a push; closed again")
async def anchors_by_us(world: World) -> None:
    """Both sides agree on what belongs to whom."""
    await _open_pay_close(world, await _request(world, by_us=True), by_us=True)


@scenario(2, "anchors, opened by the peer, with a push; closed again")
async def anchors_by_peer(world: World) -> None:
    """Both sides agree on what belongs to whom."""
    await _open_pay_close(world, await _request(world, by_us=False), by_us=False)


@scenario(2, f"a channel of {LARGE_SAT:,} sat, opened by us")
async def large_by_us(world: World) -> None:
    """More than 2^24 satoshi need a feature of both."""
    await _open_pay_close(world, await _request(world, by_us=True, amount_sat=LARGE_SAT), by_us=True)


@scenario(2, f"a channel of {LARGE_SAT:,} sat, opened by the peer")
async def large_by_peer(world: World) -> None:
    """More than 2^24 satoshi need a feature of both."""
    await _open_pay_close(world, await _request(world, by_us=False, amount_sat=LARGE_SAT), by_us=False)


@scenario(2, "our upfront shutdown script: kept, and no other one may be named later")
async def upfront_shutdown_by_us(world: World) -> None:
    """A close without an address pays the promised one."""
    address, script = _address(1)
    request = msgspec.structs.replace(await _request(world, by_us=True), close_to=address)
    pair = await open_as(world, request, by_us=True)
    try:
        await world.us.api.close(pair.channel_id, address=_address(2)[0])
    except CommandRejected as error:
        check(error.code == "upfront_shutdown_script", f"another address was refused with {error.code}: {error}")
    else:
        check(False, "another closing address than the promised one was taken")
    await close_together(world, pair, by_us=True, our_script=script)


@scenario(2, "the peer's upfront shutdown script: it goes there when we close")
async def upfront_shutdown_by_peer(world: World) -> None:
    """The peer promises where its part goes, and both sides remember it."""
    address, script = _address(3)
    request = msgspec.structs.replace(await _request(world, by_us=False), close_to=address)
    pair = await open_as(world, request, by_us=False)
    await close_together(world, pair, by_us=True, their_script=script)


@scenario(2, "a channel that is too small for us: the peer learns why, our log says it")
async def refused_too_small(world: World) -> None:
    """Each side has a smallest channel; the other one is told."""
    await world.reconfigure(world.us, f"[channels]\nfunding_satoshis_min = {MINIMUM_SAT}\n")
    request = msgspec.structs.replace(await _request(world, by_us=False, amount_sat=MINIMUM_SAT - 1), push_msat=0)
    await _peer_is_refused(world, request, f"funding_satoshis is outside {MINIMUM_SAT}..")
    await world.reconfigure(world.us, "")


@scenario(2, "a delay that is too long for us: the peer learns why, our log says it")
async def refused_long_delay(world: World) -> None:
    """Each side may limit how long it would wait for its own money."""
    await world.reconfigure(world.us, "[channels]\nto_self_delay_max = 1\n")
    await _peer_is_refused(world, await _request(world, by_us=False), "to_self_delay is above 1 blocks")
    await world.reconfigure(world.us, "")


@scenario(2, f"a reserve of {RESERVE_PERCENT} % is too much for the peer: we learn why")
async def refused_large_reserve(world: World) -> None:
    """Who asks the other to keep half of a channel is told that this is too much."""
    await world.reconfigure(world.us, f"[channels]\nchannel_reserve_percent = {RESERVE_PERCENT}\n")
    await _we_are_refused(world, await _request(world, by_us=True, amount_sat=LARGE_SAT))
    await world.reconfigure(world.us, "")


@scenario(2, "a channel that is too small for the peer: we learn why")
async def refused_too_small_for_the_peer(world: World) -> None:
    """Each side has a smallest channel; the other one is told."""
    await world.reconfigure(world.us, f"[channels]\nfunding_satoshis_min = {TINY_SAT}\n")
    request = msgspec.structs.replace(await _request(world, by_us=True, amount_sat=TINY_SAT), push_msat=0)
    await _we_are_refused(world, request)
    await world.reconfigure(world.us, "")


@scenario(2, "zero-conf by us without trust: the peer refuses, we learn why")
async def refused_zero_conf_of_ours(world: World) -> None:
    """Without trust nobody takes an unconfirmed channel for money."""
    request = msgspec.structs.replace(await _request(world, by_us=True), zero_conf=True)
    await _we_are_refused(world, request)


@scenario(2, "zero-conf by the peer without trust: we refuse, it learns why")
async def refused_zero_conf_of_theirs(world: World) -> None:
    """Without trust nobody takes an unconfirmed channel for money."""
    await world.us.api.trust_peer(await _peer_id(world), False)
    request = msgspec.structs.replace(await _request(world, by_us=False), zero_conf=True)
    await _peer_is_refused(world, request, "zero-conf channels are accepted from trusted peers only")


@scenario(2, "scid alias, opened by us: invoices of both name aliases only")
async def scid_alias_by_us(world: World) -> None:
    """Nobody learns from an invoice which output funds the channel."""
    request = msgspec.structs.replace(await _request(world, by_us=True), scid_alias=True)
    await _check_aliases(world, request, by_us=True)


@scenario(2, "scid alias, opened by the peer: invoices of both name aliases only")
async def scid_alias_by_peer(world: World) -> None:
    """Nobody learns from an invoice which output funds the channel."""
    request = msgspec.structs.replace(await _request(world, by_us=False), scid_alias=True)
    await _check_aliases(world, request, by_us=False)


@scenario(2, "zero-conf by us, trusted: payments before the first block, and after")
async def zero_conf_by_us(world: World) -> None:
    """An unconfirmed channel carries payments, and goes on when it confirms."""
    await world.peer.trust_peer(world.us.node_id)
    request = msgspec.structs.replace(await _request(world, by_us=True), zero_conf=True)
    await _zero_conf(world, request, by_us=True)


@scenario(2, "zero-conf by the peer, trusted: payments before the first block, and after")
async def zero_conf_by_peer(world: World) -> None:
    """An unconfirmed channel carries payments, and goes on when it confirms."""
    await world.us.api.trust_peer(await _peer_id(world), True)
    request = msgspec.structs.replace(await _request(world, by_us=False), zero_conf=True)
    await _zero_conf(world, request, by_us=False)
    await world.us.api.trust_peer(await _peer_id(world), False)


# --- what they share --------------------------------------------------------------------------------------------------


def _address(number: int) -> tuple[str, str]:
    """Return a p2wpkh address that no wallet watches, and its output script in hexadecimal."""
    program = number.to_bytes(20, "big")
    return encode_segwit("bcrt", 0, program), f"0014{program.hex()}"


async def _request(
    world: World, *, by_us: bool, amount_sat: int = CAPACITY_SAT, channel_type: ChannelTypeName = "anchors"
) -> OpenRequest:
    node_id = await _peer_id(world) if by_us else world.us.node_id
    # A peer that counts in whole satoshis pushes no fractions.
    push_msat = PUSHED_MSAT if by_us else PUSHED_MSAT // world.peer.msat_step * world.peer.msat_step
    return OpenRequest(node_id=node_id, amount_sat=amount_sat, push_msat=push_msat, channel_type=channel_type)


async def open_as(world: World, request: OpenRequest, *, by_us: bool, depth: int = CONFIRMATIONS) -> Pair:
    """Open a channel as the request says; with `depth` blocks mined, both must be able to use it."""
    await world.connect(world.us, world.peer)
    outpoint = await _open_by_us(world, request) if by_us else await world.peer.open_channel(request)
    await world.until_in_mempool(1)
    if depth:
        await world.mine(depth)
    return await world.until_usable(world.us, world.peer, outpoint)


async def _open_by_us(world: World, request: OpenRequest) -> str:
    """Open a channel with our node; return its funding outpoint."""
    opening = await world.us.api.open_channel(
        request.node_id,
        request.amount_sat,
        request.push_msat,
        request.channel_type,
        zero_conf=request.zero_conf,
        scid_alias=request.scid_alias,
        close_to=request.close_to,
    )
    return f"{opening.funding_txid}:{opening.funding_output_index}"


async def _peer_id(world: World) -> str:
    return (await world.peer.info()).node_id


async def _owned(world: World) -> tuple[int, int]:
    """What either side has in channels of the two; any of them may carry a payment."""
    peer_id = await _peer_id(world)
    ours = [one.local_msat for one in await world.us.api.channels() if one.node_id == peer_id and one.is_usable]
    theirs = [one.remote_msat for one in await world.peer.channels() if one.is_usable]
    return sum(ours), sum(theirs)


async def _check_terms(world: World, pair: Pair, request: OpenRequest, *, by_us: bool) -> None:
    """Both must say the same of the new channel, to the millisatoshi for the side that does not pay its fees."""
    ours = await world.our_channel(pair.us, pair.funding_outpoint)
    theirs = await world.their_channel(pair.peer, pair.funding_outpoint)
    assert ours is not None
    assert theirs is not None
    step = pair.peer.msat_step
    said = (ours.remote_msat, theirs.local_msat) if by_us else (ours.local_msat, theirs.remote_msat)
    expected = (request.push_msat, request.push_msat // step * step)
    check(said == expected, f"the side that did not open has {said} msat as we and as the peer say, not {expected}")
    check(ours.local_msat + ours.remote_msat == ours.capacity_sat * SAT, f"balances do not add up: {ours}")
    check(theirs.capacity_sat == request.amount_sat == ours.capacity_sat, f"{theirs.capacity_sat} sat there")
    check(ours.is_opener == by_us and theirs.is_initiator != by_us, "both sides claim to have opened it, or none")
    check(ours.channel_type == request.channel_type, f"it is {ours.channel_type}, not {request.channel_type}")
    check(theirs.channel_type == ours.channel_type, f"{theirs.channel_type} there, {ours.channel_type} here")
    check(theirs.reserve_sat == ours.remote_reserve_sat, f"reserves {theirs.reserve_sat}, {ours.remote_reserve_sat}")


async def _open_pay_close(world: World, request: OpenRequest, *, by_us: bool) -> None:
    pair = await open_as(world, request, by_us=by_us)
    await _check_terms(world, pair, request, by_us=by_us)
    await _pay_both_ways(world, pair)
    await close_together(world, pair, by_us=by_us)


async def _pay_both_ways(world: World, pair: Pair) -> None:
    """What we have afterwards is right to the millisatoshi, and so is what the peer says of it."""
    before = await _owned(world)
    await world.pay_peer(PAID_MSAT)
    await world.peer_pays(3 * PAID_MSAT)
    await world.until_quiet(pair)

    async def moved() -> bool:
        ours, _ = await _owned(world)
        return ours == before[0] + 2 * PAID_MSAT

    await world.until(moved, f"we have {2 * PAID_MSAT} msat more than {before[0]}")


async def _check_aliases(world: World, request: OpenRequest, *, by_us: bool) -> None:
    pair = await open_as(world, request, by_us=by_us)
    await _check_terms(world, pair, request, by_us=by_us)
    ours = await world.our_channel(pair.us, pair.funding_outpoint)
    assert ours is not None
    decode = world.us.api.decode_invoice
    for who, invoice in (
        ("our", (await world.us.api.create_invoice(PAID_MSAT, "by an alias")).invoice),
        ("the peer's", await world.peer.create_invoice(PAID_MSAT, "by an alias")),
    ):
        hints = [hop.short_channel_id for hint in (await decode(invoice)).route_hints for hop in hint]
        check(bool(hints), f"{who} invoice has no route hint: nobody could pay it")
        check(ours.short_channel_id not in hints, f"{who} invoice tells the true {ours.short_channel_id}: {hints}")
    await _pay_both_ways(world, pair)
    await close_together(world, pair, by_us=by_us)


async def _zero_conf(world: World, request: OpenRequest, *, by_us: bool) -> None:
    pair = await open_as(world, request, by_us=by_us, depth=0)
    ours = await world.our_channel(pair.us, pair.funding_outpoint)
    assert ours is not None
    check(ours.is_zero_conf and not ours.confirmations, f"it was to be usable before its first block: {ours}")
    await _check_terms(world, pair, request, by_us=by_us)
    await _pay_both_ways(world, pair)
    await world.mine(CONFIRMATIONS)
    await world.until_usable(world.us, world.peer, pair.funding_outpoint)
    await _pay_both_ways(world, pair)
    await close_together(world, pair, by_us=by_us)


async def _we_are_refused(world: World, request: OpenRequest) -> None:
    """The peer must refuse; its words reach our caller, and its own log has them."""
    await world.connect(world.us, world.peer)
    begun = _sizes(world.peer.log_paths)
    try:
        await _open_by_us(world, request)
    except CommandRejected as error:
        check(error.code == "open_refused", f"refused with {error.code}, not by the peer: {error}")
        words = str(error).partition("the peer refused: ")[2]
        check(len(words) > FEWEST_LETTERS, f"the peer gave no reason: {error}")
        await _until_said(world, begun, words, "the peer's log")
        world.note(f"its words: {words}")
    else:
        check(False, "the peer took what it was to refuse")
    check(not await world.mempool(), "a funding transaction was published all the same")


async def _peer_is_refused(world: World, request: OpenRequest, words: str) -> None:
    """We must refuse; our words reach the peer's caller, or what it keeps of errors, and our own log."""
    await world.connect(world.us, world.peer)
    begun = _sizes([world.us.child.log_path])
    try:
        await world.peer.open_channel(request)
    except PeerRefused as error:
        told = [str(error), *await world.peer.refusals()]
        check(any(words in one for one in told), f"the peer does not say {words!r}: {told}")
    else:
        check(False, "we took what we were to refuse")
    await _until_said(world, begun, words, "our own log")
    check(not await world.mempool(), "a funding transaction was published all the same")


def _sizes(logs: Iterable[Path]) -> dict[Path, int]:
    return {path: path.stat().st_size for path in logs}


async def _until_said(world: World, begun: Mapping[Path, int], words: str, whose: str) -> None:
    """Who refuses is asked why, and looks into its log. begun: how long the logs were before."""

    async def said() -> bool:
        return any(words.encode() in path.read_bytes()[size:] for path, size in begun.items())

    await world.until(said, f"{whose} says {words!r}", LOG_SECONDS)
