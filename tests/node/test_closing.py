"""Closing alone, end to end: processes, real connections, Bitcoin Core's consensus underneath."""

from typing import cast

from leyden.demo.world import World
from leyden.node.views import ChannelView, EventView
from tests.node.test_processes import two_nodes

AMOUNT_MSAT = 20_000_001


async def channel_of(world: World, name: str) -> ChannelView:
    """The one channel of a node."""
    (channel,) = await world.node(name).api.channels()
    return channel


async def pool_of(world: World) -> list[str]:
    """What waits for a block."""
    return cast("list[str]", await world.processes.rpc("getrawmempool"))


async def closed_reason(world: World, name: str) -> object:
    """Wait until a node tells that its channel is closed; return what it says."""
    told: list[EventView] = []

    async def tells() -> bool:
        told[:] = await world.events(name, "channel_closed")
        return bool(told)

    await world.until(tells, f"{name} tells that the channel is closed")
    (event,) = told
    return event.fields["reason"]


async def put_in_flight(world: World) -> None:
    """A payment to bob that he does not claim: its HTLC is on both commitments."""
    alice, bob = world.nodes
    invoice = await bob.api.create_invoice(AMOUNT_MSAT, "", payment_hash=32 * "5a")
    await alice.api.pay(invoice.invoice)

    async def there() -> bool:
        both = [await channel_of(world, name) for name in ("alice", "bob")]
        return bool(await world.events("bob", "payment_claimable")) and [
            (one.htlcs_outbound, one.htlcs_inbound) for one in both
        ] == [(1, 0), (0, 1)]

    await world.until(there, "the payment waits at bob")


async def test_force_close_with_a_payment_in_flight_survives_a_kill() -> None:
    """Our commitment is valid and relayed, outlives `kill -9`, and both ends say what has happened.

    Bob is away meanwhile: told of the close, he would publish his own commitment, and either may be first.
    """
    async with two_nodes() as world:
        alice, bob = world.nodes
        await world.pay_well("alice", "bob", AMOUNT_MSAT, "before")
        await put_in_flight(world)
        before = await channel_of(world, "alice")
        await bob.child.kill()
        closing = await alice.api.close(before.channel_id, force=True)
        assert closing.state == "force_closing"
        assert closing.closing_txid is not None
        await world.kill_and_restart("alice")
        await world.wait_for_transactions([closing.closing_txid])
        await bob.start()
        # Its child, paid for by the wallet, may wait there too.
        assert closing.closing_txid in await pool_of(world)
        raw = cast(
            "dict[str, list[object]]", await world.processes.rpc("getrawtransaction", closing.closing_txid, True)
        )
        # to_local, to_remote, both anchors, the payment in flight.
        assert len(raw["vout"]) == 5
        here = await channel_of(world, "alice")
        assert (here.state, here.close_reason) == ("force_closing", "closed by the user")
        assert here.closing_txid == closing.closing_txid
        waiting = await alice.api.balance()
        fees_msat = before.capacity_sat * 1000 - before.remote_msat - AMOUNT_MSAT - waiting.closing_sat * 1000
        assert 0 < fees_msat < 10_000_000
        assert waiting.in_flight_outbound_msat == AMOUNT_MSAT // 1000 * 1000
        await world.mine(1)
        views = {name: await channel_of(world, name) for name in ("alice", "bob")}
        assert {one.state for one in views.values()} == {"spent"}
        assert {one.closing_txid for one in views.values()} == {closing.closing_txid}
        assert views["alice"].close_reason == "closed by the user"
        assert views["bob"].close_reason == "the peer published its commitment"
        assert (await alice.api.balance()).closing_sat == waiting.closing_sat
        assert (await world.node("bob").api.balance()).closing_sat == before.remote_msat // 1000
        await world.mine(6)
        for name, reason in (("alice", "closed by the user"), ("bob", "the peer published its commitment")):
            assert await closed_reason(world, name) == reason


async def test_cooperative_close_is_told_alike_at_both_ends() -> None:
    """One transaction, one reason; what it pays is in the wallet and nowhere else."""
    async with two_nodes() as world:
        alice = world.node("alice")
        await world.pay_well("alice", "bob", AMOUNT_MSAT, "before")
        await alice.api.close((await channel_of(world, "alice")).channel_id)

        async def agreed() -> bool:
            return all([(await channel_of(world, name)).state == "mutual_close" for name in ("alice", "bob")])

        await world.until(agreed, "both have agreed")
        await world.mine(1)
        views = [await channel_of(world, name) for name in ("alice", "bob")]
        assert {one.close_reason for one in views} == {"cooperative close"}
        assert len({one.closing_txid for one in views}) == 1
        balance = await world.node("bob").api.balance()
        assert (balance.closing_sat, balance.confirmed_sat) == (0, AMOUNT_MSAT // 1000)
