"""Coins that are set aside, and confirmed ones that may be spent now: a block may ask for coins for hundreds of claims.

The index is made when it is first asked for after a block, and told of each coin that is taken or given back until the
next one. Whoever tells it says nothing of what is in it: a coin is looked at anew.
"""

from bisect import bisect_left
from collections.abc import Iterable
from typing import TypeAlias, final

import msgspec

from leyden.bitcoin.tx import OutPoint
from leyden.wallet.building import Draft
from leyden.wallet.claims import ClaimDraft
from leyden.wallet.state import Coin


class Lock(msgspec.Struct, frozen=True):
    """Coins that are set aside for a transaction until it is on its way. change_index: of its change, -1 without."""

    txid: bytes
    outpoints: tuple[OutPoint, ...]
    change_index: int
    fee_sat: int


def lock_of(draft: Draft | ClaimDraft) -> Lock:
    """Return the lock of the coins of a draft."""
    change_index = draft.change_path.index if draft.change_path is not None else -1
    return Lock(draft.transaction.txid(), tuple([coin.outpoint for coin in draft.coins]), change_index, draft.fee_sat)


Place: TypeAlias = tuple[int, bytes, int]


def place_of(coin: Coin) -> Place:
    """Return where a coin stands among others: by value (satoshi), then by outpoint, the same each time."""
    return coin.value_sat, coin.txid, coin.vout


@final
class FreeCoins:
    """An index of coins. coins: ascending."""

    __slots__ = ("_places", "coins")

    def __init__(self, coins: Iterable[Coin]) -> None:
        self.coins = sorted(coins, key=place_of)
        self._places = [place_of(coin) for coin in self.coins]

    def note(self, coin: Coin, *, is_free: bool) -> None:
        """Take a coin in or out; one that is in or out already is left alone."""
        place = place_of(coin)
        at = bisect_left(self._places, place)
        is_known = at < len(self._places) and self._places[at] == place
        if is_free and not is_known:
            self._places.insert(at, place)
            self.coins.insert(at, coin)
        elif is_known and not is_free:
            del self._places[at], self.coins[at]
