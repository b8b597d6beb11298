"""Mallory puts back an old copy of her data directory and publishes what she had then. Alice takes all of it.

Her old state holds HTLCs both ways: one that she offered, and two that she received. She moves one of these on with its
preimage before alice is back, so that alice must follow it to its second stage.
"""

import shutil
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from leyden.demo.errors import DemoFailed
from leyden.demo.onchain.events import QUESTION, Fact, Heard, History, of_payment
from leyden.demo.onchain.story import (
    HeldPayment,
    channel_between,
    hold,
    mine_slowly,
    until_asked,
    until_in_mempool,
    until_paid,
)
from leyden.demo.screen import MSAT_PER_SAT, Screen, sat
from leyden.demo.world import MINER_ADDRESS, World

HELD: Final = (
    ("mallory", "alice", 1_500_000_000, True),
    ("alice", "mallory", 300_000_000, False),
    ("alice", "mallory", 200_000_000, False),
)
"""In flight when the copy is made: payer, payee, amount in msat, and how it ends in truth."""
PAID_AFTER_MSAT: Final = 1_000_000_000
PUNISHED: Final = ("offered_htlc", "received_htlc", "second_stage", "to_local")
"""What alice must have taken with the revocation key, sorted."""
LOST: Final = "mallory, as it was"
"""Whose history ends when the old copy is put back."""
SETTLED_BLOCKS: Final = 12
_TO_A_KEY: Final = "0014"
"""How the script of a to_remote without anchors begins: that output is no cheater's."""


class Crime(msgspec.Struct, frozen=True):
    """What the books need to know of it, as both said before. channel: as the ledger calls it. *_due_msat: what each
    had in it. facts: what the nodes must tell because of it.
    """

    channel: str
    cheater: str
    victim: str
    cheaters_due_msat: int
    victims_due_msat: int
    facts: list[Fact]


async def cheat(world: World, screen: Screen, heard: Heard) -> Crime:
    """See the module."""
    with screen.step("mallory cheats with an old copy of her data, and is punished") as step:
        directory = world.node("mallory").child.directory
        channel_id = await channel_between(world, "mallory", "alice")
        held = [
            await hold(world, payer, payee, amount_msat, is_claimed=is_claimed)
            for payer, payee, amount_msat, is_claimed in HELD
        ]
        await heard.listen_to_all()
        copy, known = await _copy(world, heard)
        step.say("mallory copies her data with 3 payments in flight, one hers, two to her")
        more = await _go_on(world, heard, held)
        due_msat = await _local_msat(world, "mallory", channel_id), await _local_msat(world, "alice", channel_id)
        step.say(f"they end; she pays alice {sat(PAID_AFTER_MSAT)} sat more and has {sat(due_msat[0])} sat left")
        await heard.kill("alice")
        await heard.kill("mallory")
        shutil.rmtree(directory)
        shutil.copytree(copy, directory)
        heard.put_back(known, LOST)
        await heard.start("mallory")
        outputs = await _publish(world, channel_id, held[-1])
        step.say("alice is away: mallory publishes that state, and moves an HTLC on")
        await heard.start("alice")
        await world.until(lambda: _all_taken(world, outputs), "alice takes every output")
        await mine_slowly(world, SETTLED_BLOCKS)
        step.say("alice is back 3 blocks later, knows it for revoked, and takes it whole")
        return Crime("mallory-alice", "mallory", "alice", *due_msat, _facts(channel_id, held, more))


def _facts(channel_id: str, held: list[HeldPayment], more: HeldPayment) -> list[Fact]:
    """What both must tell. Mallory's payments ended in a life that is lost; her old copy sees them end otherwise."""
    facts = [fact for one in (*held, more) for fact in of_payment(one)]
    facts = [(LOST if name == "mallory" else name, kind, subject) for name, kind, subject in facts]
    offered, *received = held
    facts.append((LOST, "channel_ready", channel_id))
    facts += [("mallory", QUESTION, one.payment_hash) for one in received]
    facts.append(("mallory", "payment_failed", offered.payment_hash))
    facts.append(("mallory", "payment_claimed", received[-1].payment_hash))
    return facts


async def _copy(world: World, heard: Heard) -> tuple[Path, History]:
    """Copy mallory's data while she is stopped, with what has been told by then, and start her again."""
    mallory = world.node("mallory")
    await heard.kill("mallory")
    copy = mallory.child.directory.with_name("mallory-before")
    shutil.copytree(mallory.child.directory, copy, ignore=shutil.ignore_patterns("*.sock", "*.lock"))
    known = heard.histories["mallory"].copy()
    await heard.start("mallory")
    await world.until_usable(4)
    return copy, known


async def _go_on(world: World, heard: Heard, held: list[HeldPayment]) -> HeldPayment:
    """What has been in flight ends, and mallory pays once more: the copy is of a state that is revoked."""
    for one in held:
        await until_asked(world, one)
        api = world.node(one.payee).api
        if one.is_claimed:
            await api.claim_payment(one.set_id, one.preimage.hex())
        else:
            await api.fail_payment(one.set_id)
    await world.until_quiet()
    more = await hold(world, "mallory", "alice", PAID_AFTER_MSAT, is_claimed=True)
    await heard.listen("alice")
    await world.node("alice").api.claim_payment(more.set_id, more.preimage.hex())
    await until_paid(world, [more])
    await world.until_quiet()
    return more


async def _publish(world: World, channel_id: str, received: HeldPayment) -> list[tuple[str, int]]:
    """Let mallory publish her old commitment, and the second stage of one HTLC; return the outputs of both that are not
    alice's anyhow.
    """
    rpc, api = world.processes.rpc, world.node("mallory").api
    commitment = (await api.close(channel_id, force=True, without_peer=True)).closing_txid
    await until_in_mempool(world, 1)
    await rpc("generatetoaddress", 1, MINER_ADDRESS)
    await until_asked(world, received)
    await api.claim_payment(received.set_id, received.preimage.hex())
    await until_in_mempool(world, 1)
    (second_stage,) = cast("list[str]", await rpc("getrawmempool"))
    outputs: list[tuple[str, int]] = []
    for txid in (commitment, second_stage):
        shown = cast("dict[str, Any]", await rpc("getrawtransaction", txid, True))
        outputs += [
            (shown["txid"], output["n"])
            for output in shown["vout"]
            if not output["scriptPubKey"]["hex"].startswith(_TO_A_KEY)
        ]
    await rpc("generatetoaddress", 2, MINER_ADDRESS)
    return outputs


async def _all_taken(world: World, outputs: list[tuple[str, int]]) -> bool:
    """Whether each is spent, if only by a transaction that waits for a block."""
    return not any([await world.processes.rpc("gettxout", *one) for one in outputs])


async def _local_msat(world: World, name: str, channel_id: str) -> int:
    (found,) = [one for one in await world.node(name).api.channels() if one.channel_id == channel_id]
    if found.local_msat + found.remote_msat != found.capacity_sat * MSAT_PER_SAT:
        raise DemoFailed("mallory's channel still has an HTLC")
    return found.local_msat
