"""Payments of random size and direction through a triangle of three implementations, with restarts of all three."""

import asyncio
import contextlib
import random
from typing import Final, cast

import msgspec

from interop.foreign import ForeignNode, NotOffered, OpenRequest
from interop.kinds import FOREIGN
from interop.load import GONE, OurParty, Party, Sums, TheirParty, Wish, amount_msat, audit, fulfil, until_ended, wish
from interop.scenario import PeerAtFault, ScenarioFailed, check, scenario
from interop.scenarios.restarts import stuck_reason
from interop.settlement import last_view
from interop.world import COINS, CONFIRMATIONS, SAT, Pair, World

CAPACITY_SAT: Final = 5_000_000
FAR_CAPACITY_SAT: Final = 500_000
"""Of the channel of the two that are not ours: it is soon full, and payments of the two come through us."""
LARGEST_MSAT: Final = 100_000_000
AT_ONCE: Final = 20
LOOK_SECONDS: Final = 0.2
PAUSE_SECONDS: Final = 0.3
END_SECONDS: Final = 330.0
"""LDK gives up a set of parts that stays incomplete after three to four minutes of one life, LND after two."""
PATIENCE_SECONDS: Final = 15.0
"""A payment that is pending for so long keeps nobody from making the next one; it is looked at in the end."""
PAYMENTS_PER_RESTART: Final = 80
"""The three take turns: each is restarted twice in a run of the usual length."""


class Triangle(msgspec.Struct, frozen=True):
    """Us, two foreign nodes, and the three channels; `far` is the one between the two. opener, acceptor: of that."""

    third: ForeignNode
    near: Pair
    other: Pair
    opener: ForeignNode
    acceptor: ForeignNode
    far_outpoint: str


@scenario(
    9,
    "the triangle of all three: random payments both ways, restarts of each",
    seconds_max=480,
    alone=True,
    once=True,
    grows=True,
)
async def triangle(world: World) -> None:
    """All balances are right in the end, to the millisatoshi, and every payment ended alike at both ends."""
    nodes = await _build(world)
    parties: tuple[Party, ...] = (OurParty(world.us), TheirParty(world.peer), TheirParty(nodes.third))
    begun = await _owned_msat(world, nodes)
    wishes = await _run(world, nodes, parties)

    async def quiet() -> bool:
        near, other = await world.is_quiet(nodes.near), await world.is_quiet(nodes.other)
        return near and other and await _far_agree(world, nodes)

    async def far_is_empty() -> bool:
        return not await nodes.acceptor.htlcs(nodes.far_outpoint)

    with contextlib.suppress(ScenarioFailed):  # what stays is looked at below
        await world.until(far_is_empty, "the channel of the other two has no HTLC", END_SECONDS)
    await until_ended(world, wishes, quiet, END_SECONDS)
    await world.until(quiet, "no channel of ours has an HTLC, and all balances agree")
    sums, wrong = await audit(wishes)
    check(not wrong, f"{len(wrong)} wrong, the first: {'; '.join(wrong[:3])}")
    earned_msat = await _check_owned(world, begun, await _owned_msat(world, nodes), sums)
    done = f"{sums.in_words}; we earned {earned_msat} msat by forwarding"
    if left := await nodes.acceptor.htlcs(nodes.far_outpoint):
        holders = sorted({(nodes.acceptor if one.is_incoming else nodes.opener).kind for one in left})
        raise PeerAtFault(
            f"{done}. {len(left)} HTLCs stay in the channel of the other two, in none of ours: {' and '.join(holders)} "
            f"has them, and in {END_SECONDS:g} s neither sends them on nor fails them: {left[0].payment_hash}"
        )
    if sums.disowned:
        raise PeerAtFault(f"{done}. A payee has sent back what it tells as received: see subject 6")
    if sums.stuck:
        kinds = {peer.name: peer.kind for peer in (world.peer, nodes.third)}
        raise PeerAtFault(" ".join([f"{done}.", *sorted({stuck_reason(kinds[payer]) for payer in sums.stuck})]))
    world.note(done)


async def _build(world: World) -> Triangle:
    others = [kind for kind in world.kinds if kind != world.kind]
    third = await world.add_peer(others[0] if others else _only_leyden(world), "third")
    await world.rpc("generatetoaddress", COINS, await third.new_address())
    await world.mine(100)
    near = await world.open(amount_sat=CAPACITY_SAT, push_msat=CAPACITY_SAT // 2 * SAT)
    other = await world.open(amount_sat=CAPACITY_SAT, push_msat=CAPACITY_SAT // 2 * SAT, peer=third)
    # The one that tells whole satoshis opens: the other one's balance is then exact, and the rest of the capacity its.
    opener, acceptor = sorted((world.peer, third), key=lambda one: -one.msat_step)
    node_id = (await acceptor.info()).node_id
    await opener.connect(node_id, acceptor.port)
    pushed_msat = FAR_CAPACITY_SAT // 2 * SAT
    request = OpenRequest(node_id=node_id, amount_sat=FAR_CAPACITY_SAT, push_msat=pushed_msat)
    nodes = Triangle(third, near, other, opener, acceptor, await opener.open_channel(request))
    await world.until_in_mempool(1)
    await world.mine(CONFIRMATIONS)
    await world.until(lambda: _far_agree(world, nodes), "the other two have their channel")
    return nodes


def _only_leyden(world: World) -> str:
    """With Leyden in place of one peer it is in place of both."""
    if world.kind in FOREIGN:
        raise NotOffered("needs both LND and LDK: make interop without PEER")
    return world.kind


async def _far_agree(world: World, nodes: Triangle) -> bool:
    """Whether the channel of the other two is usable, and both agree on its balances and HTLCs."""
    one = await world.their_channel(nodes.opener, nodes.far_outpoint)
    other = await world.their_channel(nodes.acceptor, nodes.far_outpoint)
    if one is None or other is None or one.htlcs_pending != other.htlcs_pending:
        return False
    step = nodes.opener.msat_step
    return one.is_usable and other.is_usable and one.remote_msat == other.local_msat // step * step


async def _run(world: World, nodes: Triangle, parties: tuple[Party, ...]) -> list[Wish]:
    """Make all payments, some at once, while one node after the other is restarted."""
    chance = random.Random("long run")
    wishes: list[Wish] = []
    accepted: list[Wish] = []
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(_pay(world, parties, chance, wishes, accepted))
        turn = 0
        while len(accepted) < world.extent.payments:
            if len(accepted) >= (turn + 1) * PAYMENTS_PER_RESTART:
                await _restart(world, nodes, turn % 3)
                turn += 1
            await asyncio.sleep(LOOK_SECONDS)
    world.note(f"{turn} restarts")
    return wishes


async def _pay(
    world: World, parties: tuple[Party, ...], chance: random.Random, wishes: list[Wish], accepted: list[Wish]
) -> None:
    while len(accepted) < world.extent.payments:
        payer, payee = chance.sample(parties, 2)
        try:
            one = await wish(payer, payee, amount_msat(chance, LARGEST_MSAT))
        except GONE:
            await asyncio.sleep(PAUSE_SECONDS)
            continue
        wishes.append(one)
        await fulfil(one)
        if one.is_accepted:
            accepted.append(one)
            await _until_ended(one)
        else:
            await asyncio.sleep(PAUSE_SECONDS)


async def _until_ended(one: Wish) -> None:
    for _ in range(int(PATIENCE_SECONDS / LOOK_SECONDS)):
        try:
            if await one.payer.status(one.payment_hash) != "pending":
                return
        except GONE:
            pass
        await asyncio.sleep(LOOK_SECONDS)


async def _restart(world: World, nodes: Triangle, who: int) -> None:
    """`kill -9` for ours, a clean stop for the others: what they lose at `kill -9` is subject 6."""
    if who == 0:
        await world.us.child.kill()
        await world.us.start()
    else:
        peer, other = (world.peer, nodes.third) if who == 1 else (nodes.third, world.peer)
        # LND that stops says `error` where it owes a signature, for which LDK closes, as BOLT 1 asks: they part first.
        await other.disconnect((await peer.info()).node_id)
        await peer.stop()
        await peer.start()
    for pair in (nodes.near, nodes.other):
        await world.connect(pair.us, pair.peer)
    opener_id, acceptor_id = (await nodes.opener.info()).node_id, (await nodes.acceptor.info()).node_id

    async def joined() -> bool:
        # "Already connected", says LND of a peer that it is still parting from: it is asked until the other one agrees.
        await nodes.opener.connect(acceptor_id, nodes.acceptor.port)
        return opener_id in await nodes.acceptor.peers()

    await world.until(joined, "the other two are connected")


async def _owned_msat(world: World, nodes: Triangle) -> dict[str, int]:
    """What each has in the three channels, as the side says that knows it to the millisatoshi. An HTLC that is left
    belongs to who offered it.
    """
    owned = {world.us.name: 0, world.peer.name: 0, nodes.third.name: 0}
    for pair in (nodes.near, nodes.other):
        ours = await last_view(world, pair)
        owned[world.us.name] += ours.local_msat
        owned[pair.peer.name] += ours.remote_msat
    far = await world.their_channel(nodes.acceptor, nodes.far_outpoint)
    assert far is not None, "it is usable"
    offered = [one for one in await nodes.acceptor.htlcs(nodes.far_outpoint) if not one.is_incoming]
    theirs_msat = far.local_msat + sum(one.amount_msat for one in offered)
    owned[nodes.acceptor.name] += theirs_msat
    owned[nodes.opener.name] += FAR_CAPACITY_SAT * SAT - theirs_msat
    return owned


async def _check_owned(world: World, begun: dict[str, int], now: dict[str, int], sums: Sums) -> int:
    """Check what each has: payments received less sent less fees, and what it earned. Returns what we earned, msat."""
    earned = {
        name: now[name] - begun[name] - sums.moved_msat.get(name, 0) + sums.fees_msat.get(name, 0) for name in now
    }
    told = 0
    for event in await world.us.api.events():
        if event.type == "payment_forwarded":
            told += cast("int", event.fields["fee_msat"])
    ours = earned[world.us.name]
    check(ours == told, f"we have earned {ours} msat by our balances, and {told} msat as our events tell")
    check(min(earned.values()) >= 0, f"somebody has lost money: {earned}")
    fees_msat = sum(sums.fees_msat.values())
    check(sum(earned.values()) == fees_msat, f"{fees_msat} msat of fees were paid, {earned} were earned")
    return ours
