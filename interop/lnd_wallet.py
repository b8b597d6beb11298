"""What the acceptance of the chain service asks of LND beyond `ForeignNode`."""

from collections.abc import Mapping
from typing import Final, final

from interop.lnd_rest import LndRest

CONFIRMATIONS_MAX: Final = 1_000_000
SAT_PER_VBYTE_FOR_MANY: Final = 5


@final
class LndWallet:
    """The wallet of one LND, its estimates, and its view of what is announced."""

    def __init__(self, rest: LndRest) -> None:
        self._rest = rest

    async def coins_sat(self) -> dict[str, int]:
        """Return value by outpoint of its confirmed coins."""
        answer = await self._rest.get("/v1/utxos", min_confs=1, max_confs=CONFIRMATIONS_MAX)
        return _values(answer["utxos"])

    async def unconfirmed_sat(self) -> dict[str, int]:
        """Return value by outpoint of its coins that are in no block yet."""
        answer = await self._rest.post("/v2/wallet/utxos", {"unconfirmed_only": True})
        return _values(answer["utxos"])

    async def send_many(self, amounts_sat: Mapping[str, int]) -> str:
        """Pay many addresses in one transaction; return its txid."""
        body = {"AddrToAmount": {address: str(amount) for address, amount in amounts_sat.items()}}
        return str(
            (await self._rest.post("/v1/transactions/many", {**body, "sat_per_vbyte": SAT_PER_VBYTE_FOR_MANY}))["txid"]
        )

    async def bump_fee(self, outpoint: str, sat_per_vbyte: int) -> None:
        """Let the sweeper spend an unconfirmed coin of the wallet at such a feerate."""
        txid, _, index = outpoint.partition(":")
        place = {"txid_str": txid, "output_index": int(index)}
        body = {"outpoint": place, "sat_per_vbyte": str(sat_per_vbyte), "immediate": True, "budget": "1000000"}
        await self._rest.post("/v2/wallet/bumpfee", body)

    async def estimated_feerate_per_kw(self, target_blocks: int) -> int:
        """Return what it believes a transaction must pay, in sat/kw."""
        return int((await self._rest.get(f"/v2/wallet/estimatefee/{target_blocks}"))["sat_per_kw"])

    async def announced(self) -> set[str]:
        """Return the funding outpoints of the announced channels in its graph."""
        return {edge["chan_point"] for edge in (await self._rest.get("/v1/graph"))["edges"]}


def _values(coins: list[dict[str, object]]) -> dict[str, int]:
    values: dict[str, int] = {}
    for coin in coins:
        place = coin["outpoint"]
        assert isinstance(place, dict)
        values[f"{place['txid_str']}:{place['output_index']}"] = int(str(coin["amount_sat"]))
    return values
