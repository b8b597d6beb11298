"""Mallory puts back an old copy of her data directory and publishes what she had then. Alice takes all of it."""

import shutil
from typing import Final, cast

import msgspec

from leyden.demo.accounts import own_words
from leyden.demo.errors import DemoFailed
from leyden.demo.onchain.story import channel_between, mine_slowly, until_in_mempool
from leyden.demo.screen import MSAT_PER_SAT, Screen, sat
from leyden.demo.world import MINER_ADDRESS, World

PAID_MSAT: Final = 1_500_000_000
AWAY_BLOCKS: Final = 3


class Crime(msgspec.Struct, frozen=True):
    """What the books need to know of it, as both said before. channel: as the ledger calls it. *_due_msat: what each
    had in it. mallorys_payments_msat: what her payments had brought her by then; her old copy does not know them all.
    """

    channel: str
    cheater: str
    victim: str
    cheaters_due_msat: int
    victims_due_msat: int
    mallorys_payments_msat: int


async def cheat(world: World, screen: Screen) -> Crime:
    """See the module."""
    with screen.step("mallory cheats with an old copy of her data, and is punished") as step:
        mallory, alice = world.node("mallory"), world.node("alice")
        directory = mallory.child.directory
        channel = await channel_between(world, "mallory", "alice")
        await mallory.child.kill()
        copy = directory.with_name("mallory-before")
        shutil.copytree(directory, copy, ignore=shutil.ignore_patterns("*.sock", "*.lock"))
        await mallory.start()
        await world.until_usable(4)
        await _pay_alice(world)
        owned_msat, due_msat = await _local_msat(world, "mallory", channel), await _local_msat(world, "alice", channel)
        said = await own_words(world, "mallory")
        payments_msat = said.received_msat - said.sent_msat + world.gifts_msat.get("mallory", 0)
        step.say(f"mallory pays alice {sat(PAID_MSAT)} sat; she is left with {sat(owned_msat)} sat")
        await alice.child.kill()
        await mallory.child.kill()
        shutil.rmtree(directory)
        shutil.copytree(copy, directory)
        await mallory.start()
        await mallory.api.close(channel, force=True, without_peer=True)
        await until_in_mempool(world, 1)
        step.say("mallory publishes her old commitment while alice is away")
        await world.processes.rpc("generatetoaddress", AWAY_BLOCKS, MINER_ADDRESS)
        await alice.start()
        await until_in_mempool(world, 1)
        await mine_slowly(world, 12)
        step.say(f"alice is back after {AWAY_BLOCKS} blocks, knows it for revoked, and takes it whole")
        return Crime("mallory-alice", "mallory", "alice", owned_msat, due_msat, payments_msat)


async def _pay_alice(world: World) -> None:
    invoice = await world.node("alice").api.create_invoice(PAID_MSAT, "before cheating")
    payment = await world.node("mallory").api.pay(invoice.invoice)

    async def shown() -> bool:
        for event in await world.events("alice", "payment_claimable"):
            if event.fields["payment_hash"] == payment.payment_hash:
                await world.node("alice").api.claim_payment(cast("str", event.fields["set_id"]))
                return True
        return False

    await world.until(shown, "alice is asked about mallory's payment")
    ended = await world.node("mallory").api.wait_payment(payment.payment_id, 30)
    if ended.status != "succeeded":
        raise DemoFailed(f"mallory -> alice: {ended.status}")
    await world.until_quiet()


async def _local_msat(world: World, name: str, channel_id: str) -> int:
    (found,) = [one for one in await world.node(name).api.channels() if one.channel_id == channel_id]
    if found.local_msat + found.remote_msat != found.capacity_sat * MSAT_PER_SAT:
        raise DemoFailed("mallory's channel still has an HTLC")
    return found.local_msat
