"""A peer that gives a channel up before its `channel_reestablish`: our store may be an old one, so we wait for it."""

import pytest

from leyden.channel.states import Closed, ForceClosing, Normal, Stale
from leyden.manager.peers import LINK_ERRORS
from leyden.wire.messages import ClosingSigned, ErrorMessage, WarningMessage, encode
from tests.manager.stage import Stage
from tests.manager.test_peers import fresh, hear, is_connected, said
from tests.sim import topologies

EVERYTHING = bytes(32)


def introduced(stage: Stage) -> None:
    """Alice has bob's `init` on a new connection, and not his `channel_reestablish`."""
    fresh(stage)
    stage.world.deliver_count = 1
    while stage.m("alice").peers[stage["bob"].node_id].features is None:
        stage.world.perform(next(one for one in stage.world.enabled() if one.kind == "deliver"))
    assert not stage.slot("alice", "bob").state.session.reestablished
    stage.world.deliver_count = 1_000


@pytest.mark.parametrize("names_all", [False, True])
def test_channel_closes_once_the_peer_has_said_where_it_stands(names_all: bool) -> None:
    """What it says proves nothing against us, so its wish is granted."""
    stage = Stage(topologies.direct())
    introduced(stage)
    slot = stage.slot("alice", "bob")
    hear(stage, [encode(ErrorMessage(EVERYTHING if names_all else slot.channel_id, b"go away"))])
    assert type(slot.state) is Normal
    assert is_connected(stage)
    assert any(isinstance(one, WarningMessage) for one in said(stage))
    assert any("waits for channel_reestablish" in one.text and "go away" in one.text for one in stage["alice"].reports)
    stage.act()
    assert type(stage.slot("alice", "bob").state) is ForceClosing
    assert slot.state.core.closing is not None
    assert "go away" in slot.state.core.closing.reason


def test_error_is_forgotten_with_its_connection() -> None:
    """A new connection that goes well heals what a bad one has said."""
    stage = Stage(topologies.direct())
    introduced(stage)
    hear(stage, [encode(ErrorMessage(EVERYTHING, b"go away"))])
    stage.world.cut("alice", "bob")
    stage.check()


def test_error_before_init_is_about_the_connection() -> None:
    """The peer may not like our features; that is no reason to close, now or later."""
    stage = Stage(topologies.direct())
    fresh(stage)
    hear(stage, [encode(ErrorMessage(EVERYTHING, b"go away"))])
    stage.check()


@pytest.mark.parametrize("text", LINK_ERRORS)
def test_error_of_the_link_asks_for_another_connection(text: str) -> None:
    """Some implementations say so when a connection goes wrong."""
    stage = Stage(topologies.direct())
    introduced(stage)
    hear(stage, [encode(ErrorMessage(stage.slot("alice", "bob").channel_id, text.encode()))])
    assert not is_connected(stage)
    stage.check()


def test_lnd_that_stops_closes_no_channel() -> None:
    """It says `internal error` of a channel whose commitment it was at; other errors of an open channel close it."""
    stage = Stage(topologies.direct())
    slot = stage.slot("alice", "bob")
    assert slot.state.session.reestablished
    hear(stage, [encode(ErrorMessage(slot.channel_id, b"internal error"))])
    assert type(slot.state) is Normal
    assert not is_connected(stage)
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.check()
    assert stage.payment("alice").sent is not None
    hear(stage, [encode(ErrorMessage(slot.channel_id, b"internal errors"))])
    assert type(stage.slot("alice", "bob").state) is ForceClosing


def test_peer_that_stops_at_the_same_commitment_again_and_again_means_the_channel() -> None:
    """LND fails a channel with the same words over an HTLC that it does not like, at each connection anew."""
    stage = Stage(topologies.direct())
    slot = stage.slot("alice", "bob")
    stop = encode(ErrorMessage(slot.channel_id, b"internal error"))
    for _ in range(2):
        hear(stage, [stop])
        assert type(slot.state) is Normal
        stage.act()
        assert slot.state.session.reestablished
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.rest()
    for _ in range(2):
        hear(stage, [stop])
        assert type(slot.state) is Normal, "a commitment lies between"
        stage.act()
    hear(stage, [stop])
    assert type(stage.slot("alice", "bob").state) is ForceClosing


def test_old_store_is_proven_and_never_closes() -> None:
    """The peer gave up because we lost data: our newest commitment is one that we have revoked."""
    stage = Stage(topologies.direct())
    old = stage["alice"].backup()
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.rest()
    stage.world.crash("alice")
    stage["alice"].restore(old, with_mark=True)
    stage["alice"].start()
    stage.world.perform(next(one for one in stage.world.enabled() if one.kind == "connect"))
    introduced(stage)
    slot = stage.slot("alice", "bob")
    hear(stage, [encode(ErrorMessage(slot.channel_id, b"you are mad"))])
    assert type(slot.state) is Normal
    stage.act()
    assert type(stage.slot("alice", "bob").state) is Stale
    assert slot.state.core.closing is None
    assert not slot.halted
    assert type(stage.slot("bob", "alice").state) is ForceClosing, "bob closes, as he was asked to"


def test_violation_before_the_peer_was_heard_closes_nothing() -> None:
    """An old copy of our journal may be at fault: the peer says first where it stands, on another connection."""
    stage = Stage(topologies.direct())
    introduced(stage)
    slot = stage.slot("alice", "bob")
    slot.heard = False
    hear(stage, [encode(ClosingSigned(slot.channel_id, 1, bytes(64)))])
    assert type(slot.state) is Normal
    assert not is_connected(stage)
    stage.check()
    hear(stage, [encode(ClosingSigned(slot.channel_id, 1, bytes(64)))])
    assert type(stage.slot("alice", "bob").state) is ForceClosing


def test_second_error_about_a_dead_channel_changes_nothing() -> None:
    """Whatever is said of it, it is on its way."""
    stage = Stage(topologies.direct())
    slot = stage.slot("alice", "bob")
    hear(stage, [encode(ErrorMessage(slot.channel_id, b"bye"))])
    stage.act()
    stage.mine(6)
    assert type(slot.state) is Closed
    position = slot.tail.position
    for text in (b"bye", b"sync error"):
        hear(stage, [encode(ErrorMessage(slot.channel_id, text))])
    assert is_connected(stage)
    assert slot.tail.position == position
