"""Which state a channel is in follows from its journal alone."""

import pytest

from leyden.channel import states
from leyden.channel.fold import fold
from leyden.channel.states import (
    AwaitingReady,
    Closed,
    ForceClosing,
    MutualClose,
    Negotiating,
    Normal,
    ShuttingDown,
    Spent,
    Stale,
    state_class,
    state_of,
)
from leyden.journal.records import (
    ChannelClosed,
    ChannelRecord,
    CloseAgreed,
    Closing,
    FundingAbandoned,
    FundingSpent,
    LocalReady,
    ProvenStale,
    RemoteReady,
    ShutdownReceived,
    ShutdownStarted,
    SpendDisconnected,
)
from tests.channel.pair import born_pair, pending_add, ready_pair

POINT = b"\x02" + bytes(32)
SPENT = FundingSpent(b"tx", 1, b"")


@pytest.mark.parametrize(
    ("records", "state"),
    [
        ([], AwaitingReady),
        ([LocalReady(1)], AwaitingReady),
        ([RemoteReady(POINT, 1)], AwaitingReady),
        ([LocalReady(1), RemoteReady(POINT, 1)], Normal),
        ([ShutdownStarted(b"s", 1)], ShuttingDown),
        ([LocalReady(1), RemoteReady(POINT, 1), ShutdownStarted(b"s", 1)], ShuttingDown),
        ([ShutdownReceived(b"s", b"", 0)], ShuttingDown),
        ([ShutdownReceived(b"s", b"t", 1)], Negotiating),
        ([ShutdownStarted(b"s", 1), ShutdownReceived(b"s", b"", 0)], Negotiating),
        ([ShutdownReceived(b"s", b"t", 1), CloseAgreed(b"tx", 1)], MutualClose),
        ([ShutdownReceived(b"s", b"t", 1), CloseAgreed(b"tx", 1), Closing(0, "r")], ForceClosing),
        ([Closing(0, "r")], ForceClosing),
        ([ProvenStale(5)], Stale),
        ([ProvenStale(5), SPENT], Spent),
        ([Closing(0, "r"), SPENT], Spent),
        ([SPENT, SpendDisconnected(0)], AwaitingReady),
        ([SPENT, ChannelClosed(9)], Closed),
        ([FundingAbandoned("never confirmed")], Closed),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "+".join(type(one).__name__ for one in value),
)
def test_the_last_things_come_first(records: list[ChannelRecord], state: type) -> None:
    """A channel whose funding is spent is over, whatever else was going on."""
    party = born_pair().a
    for record in records:
        fold(party.core, record)
    assert state_class(party.core) is state
    was = party.state
    now = state_of(was)
    assert type(now) is state
    assert (now is was) == (state is AwaitingReady)
    assert now.session is was.session
    assert now.core is was.core


def test_htlcs_keep_a_channel_from_negotiating() -> None:
    """Balances are final only when nothing is pending on either commitment."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    for core in (pair.a.core, pair.b.core):
        fold(core, ShutdownReceived(b"s", b"t", 1))
        assert state_class(core) is ShuttingDown


def test_the_table_names_every_state() -> None:
    """The head of states.py is where a reader begins."""
    doc = states.__doc__ or ""
    for state in (AwaitingReady, Normal, ShuttingDown, Negotiating, MutualClose, ForceClosing, Stale, Spent, Closed):
        assert f"| {state.__name__} |" in doc
        assert state.__doc__
