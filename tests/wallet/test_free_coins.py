"""The index of coins that may be spent: it says what a look at all coins would say."""

import random

import pytest

from leyden.base.errors import CommandRejected
from leyden.bitcoin.tx import TxOut
from leyden.wallet.free_coins import FreeCoins, place_of
from leyden.wallet.state import Coin
from tests.wallet.test_claims import anchors, claim
from tests.wallet.wallet_world import ELSEWHERE, FEERATE, WalletWorld


def coins(world: WalletWorld) -> list[Coin]:
    """Every coin that the wallet knows, spent or not."""
    return list(world.wallet.state.coins.values())


def test_coins_are_ascending_and_told_twice_are_there_once(world: WalletWorld) -> None:
    """Whoever takes a coin may not know whether somebody else has."""
    world.fund(1)
    anchors(world, 5, 1_000)
    world.fund(2)
    known = coins(world)
    index = FreeCoins(known[::2])
    for one in known * 2:
        index.note(one, is_free=True)
    assert index.coins == sorted(known, key=place_of)
    for one in known[1:] * 2:
        index.note(one, is_free=False)
    assert index.coins == known[:1]


@pytest.mark.parametrize("seed", range(6))
def test_index_says_what_a_look_at_all_coins_says(world: WalletWorld, seed: int) -> None:
    """Whatever locks, publishes, replaces and gives up between two blocks: a coin that is left out pays
    for nothing, one that is in it twice pays for two.
    """
    draw = random.Random(seed)
    world.fund(6)
    prevouts = anchors(world, 12)
    owners = [bytes([number]) * 32 for number in range(5)]
    published: list[bytes] = []
    made = 0
    for _ in range(60):
        what = draw.randrange(7)
        try:
            if what < 3:
                _, tx = claim(world, [draw.choice(prevouts)], FEERATE * draw.randint(1, 9), owner=draw.choice(owners))
                made += 1
                if draw.random() < 0.7:
                    world.wallet.pending_transaction(tx)
                    published.append(tx.txid())
            elif what == 3:
                world.wallet.release(draw.choice(owners))
            elif what == 4 and published:
                world.wallet.forget_pending(draw.choice(published))
            elif what == 5:
                world.wallet.build_funding(draw.choice(owners), [TxOut(9_000, ELSEWHERE)], FEERATE, 0, world.entropy())
            elif what == 6 and draw.random() < 0.3:
                world.wallet.connect_block(world.wallet.height + 1, bytes(32), [], [])
        except CommandRejected:
            pass  # no coin is left, or no claim is worth more
        kept = world.wallet._ordered
        if kept is not None:
            found = list(kept.coins)
            world.wallet._ordered = None
            assert found == list(world.wallet._free_confirmed())
    assert made > 10
