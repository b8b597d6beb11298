"""Which ways a failure rules out (BOLT 4, "Receiving Failure Codes")."""

import pytest

from leyden.invoices.fields import RouteHintHop
from leyden.payments.outcome import Failure
from leyden.payments.routes import Way, ways_ruled_out
from leyden.sphinx.failures import FailureCode

ONE, TWO, OTHER = b"c1", b"c2", b"c3"
BOB, CAROL, DAVE = b"bob", b"carol", b"dave"
CHANNELS = [(ONE, BOB), (TWO, BOB), (OTHER, DAVE)]


def hop(node: bytes, scid: int) -> RouteHintHop:
    """A channel that leaves a node."""
    return RouteHintHop(node, scid, 0, 0, 40)


HINTS = (
    (hop(BOB, 1), hop(CAROL, 2)),
    (hop(BOB, 3), hop(CAROL, 2)),
    (hop(DAVE, 4), hop(CAROL, 5)),
    (hop(DAVE, 6),),
)
EVERY_BOB = [(ONE, 0), (ONE, 1), (TWO, 0), (TWO, 1)]


@pytest.mark.parametrize(
    ("code", "hop_index", "ruled_out"),
    [
        (FailureCode.TEMPORARY_CHANNEL_FAILURE, 0, [(ONE, 0)]),
        (FailureCode.FEE_INSUFFICIENT, 1, [(ONE, 0)]),
        (FailureCode.UNKNOWN_NEXT_PEER, 0, [(ONE, 0), (TWO, 0)]),
        (FailureCode.PERMANENT_CHANNEL_FAILURE, 1, EVERY_BOB),
        (FailureCode.TEMPORARY_NODE_FAILURE, 0, EVERY_BOB),
        (FailureCode.TEMPORARY_NODE_FAILURE, 1, [*EVERY_BOB, (OTHER, 2)]),
        (FailureCode.PERMANENT_NODE_FAILURE, 1, [*EVERY_BOB, (OTHER, 2)]),
        (FailureCode.INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS, 2, [(ONE, 0)]),
        (FailureCode.PERMANENT_NODE_FAILURE, -1, [(ONE, 0)]),
    ],
)
def test_ways_ruled_out(code: FailureCode, hop_index: int, ruled_out: list[Way]) -> None:
    """A code with NODE speaks of a node, one with PERM of a channel for good, others of this attempt."""
    failure = Failure(hop_index, code.value, is_final=False)
    assert sorted(ways_ruled_out((ONE, 0), failure, HINTS, CHANNELS)) == ruled_out


@pytest.mark.parametrize("way", [(ONE, -1), (ONE, 9)])
def test_way_without_a_hint_rules_out_itself(way: Way) -> None:
    """A direct channel, or a hint of a router of the user's."""
    failure = Failure(0, FailureCode.PERMANENT_NODE_FAILURE.value, is_final=False)
    assert ways_ruled_out(way, failure, HINTS, CHANNELS) == [way]
