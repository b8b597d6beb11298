"""A node that loses an event, tells one twice or invents one must not pass."""

import pytest

from leyden.demo.errors import DemoFailed
from leyden.demo.onchain.events import (
    QUESTION,
    Fact,
    History,
    check_amounts,
    check_told,
    of_channels,
    of_outputs,
    of_payment,
)
from leyden.demo.onchain.ledger import Taken
from leyden.demo.onchain.story import HeldPayment, Opened
from leyden.node.views import EventView

CHANNEL = Opened("alice", "bob", "anchors", "c1", "f1", 0)
PAID = HeldPayment("alice", "bob", 7_000, is_claimed=True, preimage=b"", payment_hash="h1")
HOME = HeldPayment("bob", "alice", 5_000, is_claimed=False, preimage=b"", payment_hash="h2")
OURS = Taken("alice-bob", "t:0", "to_local", 20_000, "alice", by_revocation=False)
PUNISHED = Taken("alice-bob", "t:1", "second_stage", 900, "alice", by_revocation=True)
ANCHOR = Taken("alice-bob", "t:2", "anchor", 330, "bob", by_revocation=False)
EXPECTED: list[Fact] = [
    *of_channels([CHANNEL]),
    *of_payment(PAID),
    *of_payment(HOME),
    *of_outputs([OURS, PUNISHED, ANCHOR]),
]


def event(event_id: str, kind: str, **fields: object) -> EventView:
    """As a node tells it."""
    return EventView(event_id=event_id, type=kind, fields=fields)


ALICES = [
    event("1", "channel_ready", channel_id="c1"),
    event("2", "payment_sent", payment_hash="h1", amount_msat=7_000, fee_msat=70),
    event("3", QUESTION, payment_hash="h2", amount_msat=5_000),
    event("4", "channel_closed", channel_id="c1"),
    event("5", "spendable_outputs", channel_id="c1", outputs=["t:0"], amount_sat=20_000),
]
BOBS = [
    event("1", "channel_ready", channel_id="c1"),
    event("2", QUESTION, payment_hash="h1", amount_msat=7_000),
    event("3", "payment_claimed", payment_hash="h1", amount_msat=7_000),
    event("4", "payment_failed", payment_hash="h2"),
    event("5", "channel_closed", channel_id="c1"),
]


def histories(alices: list[EventView], bobs: list[EventView]) -> list[History]:
    """Of two users that have heard this."""
    made = [History("alice"), History("bob")]
    made[0].hear(alices)
    made[1].hear(bobs)
    return made


def test_what_happened_told_once_passes() -> None:
    """The other tests change one thing."""
    check_told(histories(ALICES, BOBS), EXPECTED)


@pytest.mark.parametrize("index", range(5))
def test_event_that_is_never_told_is_seen(index: int) -> None:
    """Of either node, whatever its type."""
    for alices, bobs in ((ALICES[:index] + ALICES[index + 1 :], BOBS), (ALICES, BOBS[:index] + BOBS[index + 1 :])):
        with pytest.raises(DemoFailed, match="0 times instead of 1"):
            check_told(histories(alices, bobs), EXPECTED)


@pytest.mark.parametrize("index", range(5))
def test_event_that_is_told_twice_is_seen(index: int) -> None:
    """Under another id it is not the same one again."""
    twice = EventView(event_id="again", type=ALICES[index].type, fields=ALICES[index].fields)
    with pytest.raises(DemoFailed, match="2 times instead of 1"):
        check_told(histories([*ALICES, twice], BOBS), EXPECTED)


@pytest.mark.parametrize(
    "unexpected",
    [
        event("9", "payment_forwarded", inbound_channel_id="c1", fee_msat=1),
        event("9", "channel_data_loss", channel_id="c1"),
        event("9", "spendable_outputs", channel_id="c1", outputs=["t:2"], amount_sat=330),
        event("9", "payment_failed", payment_hash="h1"),
    ],
)
def test_event_of_what_did_not_happen_is_seen(unexpected: EventView) -> None:
    """A payment that succeeded and failed, an output that is not ours alone, what the demo does not know."""
    with pytest.raises(DemoFailed, match="1 times instead of 0"):
        check_told(histories([*ALICES, unexpected], BOBS), EXPECTED)


def test_slow_disk_is_no_fact() -> None:
    """A busy machine must not fail the demo; the next life does not repeat it."""
    told = histories([*ALICES, event("9", "store_behind", reason="busy")], BOBS)
    check_told(told, EXPECTED)
    assert "9" not in told[0].open()


def test_same_event_in_the_next_life_is_the_same_one() -> None:
    """At least once means: with the same id, in the same words."""
    told = histories(ALICES, BOBS)
    told[0].hear(ALICES)
    check_told(told, EXPECTED)
    told[0].hear([event("4", "channel_closed", channel_id="c2")])
    with pytest.raises(DemoFailed, match="in other words"):
        check_told(told, EXPECTED)


def test_acknowledged_event_must_not_come_again() -> None:
    """Whoever acts on it would act twice."""
    told = histories(ALICES, BOBS)
    told[0].told["2"].is_acknowledged = True
    told[0].hear(ALICES)
    with pytest.raises(DemoFailed, match="which was acknowledged"):
        check_told(told, EXPECTED)


def test_unacknowledged_event_that_is_not_repeated_is_missing() -> None:
    """Its user may not have heard of it before the crash. A question is retired by its answer."""
    history = histories(ALICES, BOBS)[0]
    history.told["1"].is_acknowledged = True
    assert history.open() == ["2", "4", "5"]
    assert history.missing(ALICES[3:]) == ["2"]
    assert history.missing(ALICES) == []


def test_copy_of_a_history_goes_its_own_way() -> None:
    """The user of an old copy of the data has not heard what was told since."""
    history = histories(ALICES[:2], BOBS)[0]
    history.told["1"].is_acknowledged = True
    copy = history.copy()
    history.hear(ALICES[2:])
    history.told["2"].is_acknowledged = True
    assert copy.open() == ["2"]
    assert list(copy.told) == ["1", "2"]


def test_what_was_told_says_what_was_paid() -> None:
    """The accounts rest on it."""
    alice, bob = histories(ALICES, [*BOBS, event("9", "payment_forwarded", inbound_channel_id="c1", fee_msat=70)])
    assert (alice.payments_msat(), alice.forwarding_msat()) == (-7_000, -70)
    assert (bob.payments_msat(), bob.forwarding_msat()) == (7_000, 70)
    assert bob.counts()["payment_claimed"] == 1


def test_sum_that_is_not_in_the_outputs_is_seen() -> None:
    """Whoever reads it believes to own that much."""
    alice = histories(ALICES, BOBS)[0]
    check_amounts(alice, [OURS, PUNISHED])
    alice.hear([event("9", "spendable_outputs", channel_id="c1", outputs=["t:1"], amount_sat=901)])
    with pytest.raises(DemoFailed, match="901 sat, it is 900"):
        check_amounts(alice, [OURS, PUNISHED])
