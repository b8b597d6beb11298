"""Ways to a payee over own channels and route hints: which is chosen, how it is split, what a failure rules out."""

import pytest

from leyden.invoices.fields import RouteHintHop
from leyden.payments import outcome
from leyden.payments.outcome import Failure
from leyden.payments.routes import ChannelView, PlannedPart, Target, plan, ways_ruled_out
from leyden.sphinx.failures import FailureCode

PAYEE, BOB, CAROL = b"\x02" + b"p" * 32, b"\x02" + b"b" * 32, b"\x02" + b"c" * 32
ONE, TWO, THREE = b"1" * 32, b"2" * 32, b"3" * 32


def hint(node: bytes, scid: int = 7, base: int = 1000, ppm: int = 100, delta: int = 72) -> tuple[RouteHintHop, ...]:
    """A route hint of one hop."""
    return (RouteHintHop(node, scid, base, ppm, delta),)


def target(*hints: tuple[RouteHintHop, ...]) -> Target:
    """The payee, at height 500."""
    return Target(PAYEE, 500, hints)


def parts_of(planned: list[PlannedPart] | str) -> list[PlannedPart]:
    """The parts of a plan that there is."""
    assert not isinstance(planned, str)
    return planned


def test_direct_channel_is_cheapest() -> None:
    """A hint is used only when it is needed."""
    channels = [ChannelView(ONE, BOB, 10_000_000, 1), ChannelView(TWO, PAYEE, 10_000_000, 1)]
    [part] = parts_of(plan(channels, target(hint(BOB)), 1_000_000, 10_000, 5, ()))
    assert (part.way, part.fee_msat, part.nodes) == ((TWO, -1), 0, (PAYEE,))
    assert part.amounts[0].cltv_expiry == 500


def test_hint_adds_fee_and_expiry() -> None:
    """The amounts of each hop are what its policy asks (BOLT 7, "HTLC Fees")."""
    [part] = parts_of(plan([ChannelView(ONE, BOB, 10_000_000, 1)], target(hint(BOB)), 1_000_000, 1100, 5, ()))
    assert part.nodes == (BOB, PAYEE)
    assert part.short_channel_ids == (7,)
    assert [(hop.amount_msat, hop.cltv_expiry) for hop in part.amounts] == [(1_001_100, 572), (1_000_000, 500)]


@pytest.mark.parametrize(
    ("spendable", "minimum", "fee_limit", "parts", "excluded", "reason"),
    [
        (10_000_000, 1, 1100, 5, [(ONE, 0)], outcome.NO_ROUTE),
        (1_001_099, 1, 1100, 5, [], outcome.INSUFFICIENT_BALANCE),
        (10_000_000, 1, 1099, 5, [], outcome.FEE_LIMIT),
        (10_000_000, 1_000_001, 1100, 5, [], outcome.BELOW_MINIMUM),
        (10_000_000, 1, 1100, 0, [], ""),
    ],
)
def test_reasons_why_there_is_no_way(
    spendable: int, minimum: int, fee_limit: int, parts: int, excluded: list[tuple[bytes, int]], reason: str
) -> None:
    """Each has its own name, because each asks for another remedy."""
    channels = [ChannelView(ONE, BOB, spendable, minimum)]
    planned = plan(channels, target(hint(BOB)), 1_000_000, fee_limit, parts, excluded)
    if reason:
        assert planned == reason
        assert outcome.ADVICE[reason]
    else:
        assert not isinstance(planned, str)


def test_split_fills_the_largest_first_and_uses_each_channel_once() -> None:
    """Fewer parts, fewer fees; two hints over one channel share its balance."""
    channels = [
        ChannelView(ONE, BOB, 300_000, 1),
        ChannelView(TWO, BOB, 500_000, 1),
        ChannelView(THREE, CAROL, 400_000, 1),
    ]
    hints = (hint(BOB, 7, 0, 0), hint(BOB, 8, 0, 0), hint(CAROL, 9, 0, 0))
    parts = plan(channels, target(*hints), 1_000_000, 0, 5, ())
    assert not isinstance(parts, str)
    assert [(part.way[0], part.delivered_msat) for part in parts] == [(TWO, 500_000), (THREE, 400_000), (ONE, 100_000)]
    assert plan(channels, target(*hints), 1_000_000, 0, 2, ()) == outcome.INSUFFICIENT_BALANCE
    assert plan(channels, target(*hints), 1_200_001, 0, 5, ()) == outcome.INSUFFICIENT_BALANCE


def test_cheaper_way_is_taken() -> None:
    """Fees are the caller's money."""
    channels = [ChannelView(ONE, BOB, 9_000_000, 1), ChannelView(TWO, CAROL, 9_000_000, 1)]
    hints = target(hint(BOB, 7, 5000, 0), hint(CAROL, 8, 4999, 0))
    [part] = parts_of(plan(channels, hints, 1_000_000, 10_000, 5, ()))
    assert part.nodes[0] == CAROL


def test_failure_of_a_node_rules_out_all_ways_over_it() -> None:
    """NODE speaks of the node, PERM of the channel, the rest of this try (BOLT 4, "Receiving Failure Codes")."""
    hints = (hint(BOB, 7), hint(BOB, 8), hint(CAROL, 9))
    channels = [(ONE, BOB), (TWO, BOB), (THREE, CAROL)]

    def ruled_out(code: FailureCode) -> list[tuple[bytes, int]]:
        return ways_ruled_out((ONE, 0), Failure(0, code.value, is_final=False), hints, channels)

    assert ruled_out(FailureCode.TEMPORARY_CHANNEL_FAILURE) == [(ONE, 0)]
    assert ruled_out(FailureCode.UNKNOWN_NEXT_PEER) == [(ONE, 0), (TWO, 0)]
    assert ruled_out(FailureCode.TEMPORARY_NODE_FAILURE) == [(ONE, 0), (ONE, 1), (TWO, 0), (TWO, 1)]
    assert ways_ruled_out((ONE, -1), Failure(-1, 0, is_final=False), hints, channels) == [(ONE, -1)]
