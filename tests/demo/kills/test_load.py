"""The load of a round comes from its seed alone, and has everything in it that a crash could harm."""

from collections import Counter

import pytest

from leyden.demo.kills.load import DIRECT, IN_FLIGHT, IN_PARTS, SPONTANEOUS, draw


def test_the_same_seed_draws_the_same_load() -> None:
    """Else a round could not be looked at again."""
    assert draw("seed", 3) == draw("seed", 3)
    assert draw("seed", 3) != draw("seed", 4)
    assert draw("seed", 3) != draw("other", 3)


@pytest.mark.parametrize("number", range(4))
def test_a_load_has_all_kinds_and_ways(number: int) -> None:
    """Both ways over bob at once, in parts, held, refused, spontaneous; and no payment twice."""
    wishes = draw("seed", number)
    assert len(wishes) == len({wish.payment_id for wish in wishes}) == IN_FLIGHT
    kinds = Counter(wish.kind for wish in wishes)
    assert kinds["parts"] == IN_PARTS
    assert kinds["keysend"] == SPONTANEOUS
    assert min(kinds[kind] for kind in ("invoice", "hold", "refuse")) > 0
    ways = Counter((wish.payer, wish.payee) for wish in wishes)
    assert ways.keys() == {*DIRECT, ("alice", "carol"), ("carol", "alice")}
    forth, back = ways["alice", "carol"], ways["carol", "alice"]
    assert (forth > back) == (number % 2 == 0)
    in_parts = {(wish.payer, wish.payee) for wish in wishes if wish.kind == "parts"}
    assert in_parts == ways.keys()


def test_only_whoever_decides_knows_a_preimage() -> None:
    """The others are claimed by the node."""
    for wish in draw("seed", 1):
        assert bool(wish.preimage) == (wish.kind in ("hold", "refuse"))
