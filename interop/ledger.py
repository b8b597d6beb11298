"""What the chain itself says of money: outputs of transactions, and what of both wallets went to miners."""

from collections.abc import Mapping, Sequence
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

    miners_sat: fees that they collected. fees_sat: by txid. anchors_sat: in anchors made there, less those spent there.
    anchors_spent_sat: what was in anchors, by the txid that spends them.
    """

    miners_sat: int = 0
    anchors_sat: int = 0
    fees_sat: dict[str, int] = {}
    anchors_spent_sat: dict[str, int] = {}


async def read_blocks(world: World, above_height: int) -> Reading:
    """Read the blocks above a height."""
    reading = Reading()
    for height in range(above_height + 1, await world.height() + 1):
        block = cast("dict[str, Any]", await world.rpc("getblock", await world.rpc("getblockhash", height), 3))
        coinbase, *others = block["tx"]
        reading.miners_sat += sum(_sat(output["value"]) for output in coinbase["vout"])
        reading.miners_sat -= _FIRST_SUBSIDY_SAT >> height // _HALVING_BLOCKS
        for one in others:
            reading.fees_sat[one["txid"]] = _sat(one["fee"])
            spent_sat = _anchors_sat([spent["prevout"] for spent in one["vin"]])
            reading.anchors_spent_sat[one["txid"]] = spent_sat
            reading.anchors_sat += _anchors_sat(one["vout"]) - spent_sat
    return reading


def _anchors_sat(outputs: Sequence[Mapping[str, Any]]) -> int:
    return len([one for one in outputs if _sat(one["value"]) == ANCHOR_VALUE_SAT]) * ANCHOR_VALUE_SAT


def _sat(btc: Decimal | int) -> int:
    return int(Decimal(btc) * _SAT_PER_BTC)
