"""What the chain itself says of money: outputs of transactions, and what of both wallets went to miners."""

from decimal import Decimal
from typing import Any, Final, cast

import msgspec

from interop.foreign import ForeignNode
from interop.world import World
from leyden.demo.processes import DemoNode
from leyden.transactions.fees import ANCHOR_VALUE_SAT

_SAT_PER_BTC: Final = 100_000_000
_FIRST_SUBSIDY_SAT: Final = 50 * _SAT_PER_BTC
_HALVING_BLOCKS: Final = 150
"""Of regtest."""


class Output(msgspec.Struct, frozen=True):
    """One output. script: in hexadecimal."""

    script: str
    value_sat: int


class Coins(msgspec.Struct, frozen=True):
    """Confirmed coins of two wallets at a height, with nothing on its way."""

    height: int
    ours_sat: int
    theirs_sat: int


async def coins_of(world: World, us: DemoNode, peer: ForeignNode) -> Coins:
    """Return what both wallets hold, as soon as both have it all confirmed."""

    async def rests() -> bool:
        return not await world.mempool() and not (await us.api.balance()).unconfirmed_sat

    await world.until(rests, "no transaction waits for a block")
    return Coins(await world.height(), (await us.api.balance()).confirmed_sat, await peer.onchain_sat())


async def outputs_of(world: World, txid: str) -> list[Output]:
    """Return the outputs of a transaction in the mempool or in a block."""
    transaction = cast("dict[str, Any]", await world.rpc("getrawtransaction", txid, 1))
    return [Output(one["scriptPubKey"]["hex"], _sat(one["value"])) for one in transaction["vout"]]


class Reading(msgspec.Struct):
    """What blocks say.

    miners_sat: fees that they collected. anchors_sat: in anchors that nobody has spent. fees_sat: by txid.
    """

    miners_sat: int = 0
    anchors_sat: int = 0
    fees_sat: dict[str, int] = {}


async def read_blocks(world: World, above_height: int) -> Reading:
    """Read the blocks above a height."""
    reading = Reading()
    anchors: dict[tuple[str, int], None] = {}
    for height in range(above_height + 1, await world.height() + 1):
        block = cast("dict[str, Any]", await world.rpc("getblock", await world.rpc("getblockhash", height), 2))
        coinbase, *others = block["tx"]
        reading.miners_sat += sum(_sat(output["value"]) for output in coinbase["vout"])
        reading.miners_sat -= _FIRST_SUBSIDY_SAT >> height // _HALVING_BLOCKS
        for one in others:
            reading.fees_sat[one["txid"]] = _sat(one["fee"])
            for spent in one["vin"]:
                anchors.pop((spent["txid"], spent["vout"]), None)
            for output in one["vout"]:
                if _sat(output["value"]) == ANCHOR_VALUE_SAT:
                    anchors[(one["txid"], output["n"])] = None
    reading.anchors_sat = len(anchors) * ANCHOR_VALUE_SAT
    return reading


def _sat(btc: Decimal | int) -> int:
    return int(Decimal(btc) * _SAT_PER_BTC)
