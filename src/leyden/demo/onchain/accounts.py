"""The reckoning: what each node owns is what its payments leave it, less chain fees; and all of it is on the chain."""

from decimal import Decimal
from typing import Any, Final, cast

import msgspec

from leyden.demo.accounts import own_words
from leyden.demo.errors import DemoFailed
from leyden.demo.onchain.story import NAMES, channel_between, mine_slowly, until_in_mempool
from leyden.demo.screen import MSAT_PER_SAT, Screen, sat
from leyden.demo.world import World
from leyden.transactions.fees import ANCHOR_VALUE_SAT

_SAT_PER_BTC: Final = 100_000_000
_FIRST_SUBSIDY_SAT: Final = 50 * _SAT_PER_BTC
_HALVING_BLOCKS: Final = 150
SETTLE_BLOCKS: Final = 115


class OnchainAccount(msgspec.Struct):
    """One node, in satoshi. payments_sat: received and earned, less sent and paid for. taken_sat: by justice."""

    put_in_sat: int
    payments_sat: int
    taken_sat: int
    chain_fees_sat: int
    final_sat: int


class OnchainAccounts(msgspec.Struct):
    """All of it. miners_sat: fees that blocks collected. left_sat: anchors that nobody wants."""

    nodes: dict[str, OnchainAccount]
    miners_sat: int
    left_sat: int
    is_exact: bool


async def account(world: World, screen: Screen, taken_msat: int) -> OnchainAccounts:
    """Add everything up. taken_msat: what mallory loses by cheating. Raises DemoFailed when a satoshi is missing."""
    with screen.step("Everything is resolved; account for every satoshi") as step:
        await world.node("alice").api.close(await channel_between(world, "alice", "bob"))
        await until_in_mempool(world, 1)
        payments = {name: await _payments_msat(world, name) for name in NAMES}
        await mine_slowly(world, SETTLE_BLOCKS, 5)
        await _acknowledge_all(world)
        await mine_slowly(world, 2)
        await world.until(lambda: _is_resolved(world), "nothing is left to resolve")
        miners_sat, left_sat = await _read_blocks(world)
        nodes = {name: await _account_of(world, name, payments[name], taken_msat) for name in NAMES}
        result = OnchainAccounts(nodes, miners_sat, left_sat, is_exact=False)
        check(result)
        result.is_exact = True
        step.say("no channel is left, nothing waits; what all own, miners got and anchors hold is what was put in")
        return result


async def _acknowledge_all(world: World) -> None:
    """A channel stays while its user has not heard of it."""
    for node in world.nodes:
        for event in await node.api.events():
            await node.api.acknowledge_event(event.event_id)


async def _is_resolved(world: World) -> bool:
    for node in world.nodes:
        balance = await node.api.balance()
        if await node.api.channels() or balance.closing_sat or balance.unconfirmed_sat:
            return False
    return True


async def _payments_msat(world: World, name: str) -> int:
    """What a node's payments and forwards brought it; before events are acknowledged, which tell what was earned."""
    said = await own_words(world, name)
    earned_msat = said.received_msat + said.fees_earned_msat - said.sent_msat - said.fees_paid_msat
    return earned_msat + world.gifts_msat.get(name, 0)


async def _account_of(world: World, name: str, payments_msat: int, taken_msat: int) -> OnchainAccount:
    said = await own_words(world, name)
    taken = {"alice": taken_msat, "mallory": -taken_msat}.get(name, 0)
    fees_msat = said.put_in_msat + payments_msat + taken - said.final_msat
    parts = (said.put_in_msat, payments_msat, taken, fees_msat, said.final_msat)
    if any(part % MSAT_PER_SAT for part in parts):
        raise DemoFailed(f"{name}: fractions of a satoshi: {parts}")
    return OnchainAccount(*[part // MSAT_PER_SAT for part in parts])


async def _read_blocks(world: World) -> tuple[int, int]:
    """Return what miners collected above the subsidy, and what anchors hold that nobody has spent."""
    collected = 0
    anchors: dict[tuple[str, int], None] = {}
    rpc = world.processes.rpc
    for height in range(1, cast("int", await rpc("getblockcount")) + 1):
        block = cast("dict[str, Any]", await rpc("getblock", await rpc("getblockhash", height), 2))
        coinbase, *others = block["tx"]
        collected += sum([_sat(output["value"]) for output in coinbase["vout"]])
        collected -= _FIRST_SUBSIDY_SAT >> height // _HALVING_BLOCKS
        for one in others:
            for spent in one["vin"]:
                anchors.pop((spent["txid"], spent["vout"]), None)
            for output in one["vout"]:
                if _sat(output["value"]) == ANCHOR_VALUE_SAT:
                    anchors[(one["txid"], output["n"])] = None
    return collected, len(anchors) * ANCHOR_VALUE_SAT


def _sat(btc: Decimal | int) -> int:
    return int(Decimal(btc) * _SAT_PER_BTC)


def check(accounts: OnchainAccounts) -> None:
    """Raise DemoFailed, with every sum that is wrong, unless all agree to the satoshi."""
    wrong = [
        f"{name} paid {one.chain_fees_sat} sat of fees"
        for name, one in accounts.nodes.items()
        if one.chain_fees_sat < 0
    ]
    everybody = list(accounts.nodes.values())
    fees_sat = sum([one.chain_fees_sat for one in everybody])
    if fees_sat != accounts.miners_sat + accounts.left_sat:
        wrong.append(
            f"{fees_sat} sat of chain fees were paid, miners got {accounts.miners_sat} sat, "
            f"anchors hold {accounts.left_sat} sat"
        )
    if sum([one.payments_sat for one in everybody]):
        wrong.append("what was paid is not what was received")
    there_sat = sum([one.final_sat for one in everybody]) + accounts.miners_sat + accounts.left_sat
    put_in_sat = sum([one.put_in_sat for one in everybody])
    if there_sat != put_in_sat:
        wrong.append(f"{put_in_sat} sat were put in, {there_sat} are there")
    if wrong:
        raise DemoFailed("the sums do not agree: " + "; ".join(wrong))


_ROWS: Final = (
    ("put in", "put_in_sat"),
    ("payments", "payments_sat"),
    ("taken by justice", "taken_sat"),
    ("chain fees", "chain_fees_sat"),
    ("owns now", "final_sat"),
)


def show(screen: Screen, accounts: OnchainAccounts) -> None:
    """Show the final table."""
    everybody = list(accounts.nodes.values())
    rows: list[list[str]] = []
    for label, field in _ROWS:
        sign = -1 if field == "chain_fees_sat" else 1
        amounts = [sign * getattr(one, field) for one in everybody]
        rows.append([label, *[sat(amount * MSAT_PER_SAT) for amount in (*amounts, sum(amounts))]])
    final_sat = sum([one.final_sat for one in everybody])
    screen.table(
        "Accounts, in satoshi",
        ["", *accounts.nodes, "all"],
        rows,
        f"{final_sat:,} owned + {accounts.miners_sat:,} to miners + {accounts.left_sat:,} in anchors"
        f" = {final_sat + accounts.miners_sat + accounts.left_sat:,} put in",
    )
