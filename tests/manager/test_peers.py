"""The session with each peer (BOLT 1): init, pings, errors, and messages that are for nobody."""

from collections.abc import Sequence

import pytest

from leyden.channel.states import ForceClosing, Normal
from leyden.manager import peers
from leyden.manager.channel_updates import channel_update
from leyden.manager.peers import NODE_FEATURES
from leyden.sim.schedules import Fair, run_to_rest
from leyden.wire.features import Feature, FeatureVector
from leyden.wire.messages import (
    AnnouncementSignatures,
    ChannelReestablish,
    ChannelUpdate,
    ErrorMessage,
    Init,
    Ping,
    Pong,
    Shutdown,
    Stfu,
    UpdateAddHtlc,
    WarningMessage,
    decode,
    encode,
)
from tests.manager.stage import Stage
from tests.sim import topologies

CHAIN = topologies.CONFIG.network.chain_hash


def hear(stage: Stage, messages: Sequence[bytes], peer: str = "bob") -> None:
    """Alice receives these from a peer, in one read."""
    connection = stage.world.end_of("alice", peer)
    stage["alice"].runtime.on_messages(connection, list(messages))
    stage.world.settle()


def said(stage: Stage, peer: str = "bob") -> list[object]:
    """What alice has sent to a peer that has not arrived; None is the end of the connection."""
    waiting = stage.world.end_of(peer, "alice").arrived
    return [None if raw is None else decode(raw) for raw in waiting]


def is_connected(stage: Stage, peer: str = "bob") -> bool:
    """Whether alice still has the peer."""
    return stage[peer].node_id in stage.m("alice").peers


def fresh(stage: Stage) -> None:
    """A connection on which nothing has been said."""
    stage.world.cut("alice", "bob")
    stage.world.perform(next(one for one in stage.world.enabled() if one.kind == "connect"))


def init(features: FeatureVector = NODE_FEATURES, networks: tuple[bytes, ...] | None = (CHAIN,)) -> bytes:
    """An `init` message."""
    return encode(Init(b"", features.encode(), networks))


def test_init_comes_first_and_once() -> None:
    """BOLT 1, "The `init` Message"."""
    stage = Stage(topologies.direct())
    fresh(stage)
    assert [type(one) for one in said(stage)] == [Init]
    hear(stage, [encode(Ping(1, b""))])
    assert not is_connected(stage)
    fresh(stage)
    hear(stage, [init(), init()])
    assert not is_connected(stage)
    stage.check()


@pytest.mark.parametrize(
    ("features", "networks", "accepted"),
    [
        (NODE_FEATURES, None, True),
        (NODE_FEATURES, (bytes(32), CHAIN), True),
        (NODE_FEATURES, (bytes(32),), False),
        (FeatureVector(NODE_FEATURES.bitmap | 1 << 200), None, False),
        (FeatureVector(NODE_FEATURES.bitmap | 1 << 201), None, True),
        (FeatureVector(1 << Feature.BASIC_MPP.value + 1), None, False),
    ],
)
def test_init_that_is_taken_and_that_is_not(
    features: FeatureVector, networks: tuple[bytes, ...] | None, accepted: bool
) -> None:
    """Unknown even features, features without what they need, and other networks end the connection."""
    stage = Stage(topologies.direct())
    fresh(stage)
    hear(stage, [init(features, networks)])
    assert is_connected(stage) is accepted
    assert any(isinstance(one, ChannelReestablish) for one in said(stage)) is accepted
    stage.check()


def test_ping_is_answered_with_as_many_bytes_as_asked_for() -> None:
    """BOLT 1, "The `ping` and `pong` Messages"."""
    stage = Stage(topologies.direct())
    hear(stage, [encode(Ping(10, b"")), encode(Ping(65532, b""))])
    assert said(stage) == [Pong(bytes(10))]
    stage.check()


def test_peer_that_answers_no_pings_is_disconnected() -> None:
    """A dead connection must not hold HTLCs."""
    stage = Stage(topologies.direct())
    for _ in range(2):
        stage["alice"].runtime.ping_all()
    assert [type(one) for one in said(stage)] == [Ping, Ping]
    hear(stage, [encode(Pong(b"\x00"))])
    for _ in range(2):
        stage["alice"].runtime.ping_all()
    assert is_connected(stage)
    stage["alice"].runtime.ping_all()
    stage.world.settle()
    assert not is_connected(stage)
    stage.check()


def test_pings_pass_while_the_store_hangs() -> None:
    """The peer must not think that we are dead because our disk is slow (invariant P21)."""
    stage = Stage(topologies.direct())
    for journal in ("node", stage.slot("alice", "bob").tail.journal):
        stage["alice"].disk.held[journal] = None
    stage.pay("alice", "bob", stage.invoice("bob"))
    hear(stage, [encode(Ping(3, b""))])
    assert said(stage) == [Pong(bytes(3))]
    stage["alice"].disk.held.clear()
    stage.check()


@pytest.mark.parametrize(("message_type", "accepted"), [(32769, True), (32768, False), (1001, True), (1000, False)])
def test_unknown_messages(message_type: int, accepted: bool) -> None:
    """It is ok to be odd; an even one we would have to understand (BOLT 1)."""
    stage = Stage(topologies.direct())
    hear(stage, [message_type.to_bytes(2, "big") + b"data"])
    assert is_connected(stage) is accepted
    stage.check()


def test_garbage_is_answered_with_a_warning_and_nothing_after_it_is_heard() -> None:
    """A message that cannot be read ends the connection, not the channel; what follows it might make no sense."""
    stage = Stage(topologies.direct())
    close = encode(ErrorMessage(bytes(32), b"close everything"))
    hear(stage, [b"\x00\x84" + b"short", close])
    assert not is_connected(stage)
    stage.check()


def test_unknown_channel_is_answered_with_an_error_for_it_alone() -> None:
    """The peer may have a channel that we have lost; it must hear that we know nothing (BOLT 2)."""
    stage = Stage(topologies.direct())
    unknown = b"u" * 32
    hear(stage, [encode(ChannelReestablish(unknown, 1, 0, bytes(32), stage["bob"].node_id))])
    assert said(stage) == [ErrorMessage(unknown, b"unknown channel")]
    stage.world.end_of("bob", "alice").arrived.clear()
    stage.check()


def test_errors_and_warnings_about_unknown_channels_are_not_answered() -> None:
    """Two nodes that answer errors with errors would never stop."""
    stage = Stage(topologies.direct())
    hear(stage, [encode(ErrorMessage(b"u" * 32, b"x")), encode(WarningMessage(b"u" * 32, b"x"))])
    assert said(stage) == []
    stage.check()


def test_peer_that_names_the_channel_of_another_peer_reaches_nothing() -> None:
    """A channel_id is no secret: only its own peer may speak for it."""
    stage = Stage(topologies.line())
    theirs = stage.slot("bob", "carol").channel_id
    connection = stage.world.end_of("bob", "alice")
    position = stage.slot("bob", "carol").tail.position
    for message in (
        UpdateAddHtlc(theirs, 0, 1000, bytes(32), 500, bytes(1366)),
        Shutdown(theirs, b"\x00\x14" + bytes(20)),
        ErrorMessage(theirs, b"close it"),
        ChannelReestablish(theirs, 1, 0, bytes(32), stage["alice"].node_id),
    ):
        stage["bob"].runtime.on_messages(connection, [encode(message)])
        stage.world.settle()
    assert stage.slot("bob", "carol").tail.position == position
    assert type(stage.slot("bob", "carol").state) is Normal
    stage.world.end_of("alice", "bob").arrived.clear()
    stage.check()


def test_error_closes_the_channel_it_names() -> None:
    """BOLT 1: the receiver fails the channel; others with the same peer live on."""
    stage = Stage(topologies.double())
    first, second = stage.slots("alice", "bob")
    hear(stage, [encode(ErrorMessage(first.channel_id, b"no more\x00"))])
    assert type(first.state) is ForceClosing
    assert type(second.state) is Normal
    stage.act()
    assert [what for _txid, what in stage.world.broadcasts if what == "force-close"]
    assert first.state.core.closing is not None
    assert first.state.core.closing.reason == "the peer failed the channel: no more?"


def test_error_about_everything_closes_all_channels_with_that_peer() -> None:
    """channel_id zero means all of the sender's, and no one else's."""
    stage = Stage(topologies.line())
    connection = stage.world.end_of("bob", "alice")
    stage["bob"].runtime.on_messages(connection, [encode(ErrorMessage(bytes(32), b"bye"))])
    stage.world.settle()
    assert type(stage.slot("bob", "alice").state) is ForceClosing
    assert type(stage.slot("bob", "carol").state) is Normal


def test_own_commitment_is_published_only_behind_its_record() -> None:
    """After a crash nobody would remember the broadcast, and reveal the secret of what is being mined (S1)."""
    stage = Stage(topologies.direct())
    slot = stage.slot("alice", "bob")
    stage["alice"].disk.held[slot.tail.journal] = None
    hear(stage, [encode(ErrorMessage(slot.channel_id, b"bye"))])
    stage.act()
    assert not stage.world.broadcasts
    stage["alice"].disk.held.clear()
    stage.act()
    assert stage.world.broadcasts


def test_warning_closes_nothing() -> None:
    """It is for the log."""
    stage = Stage(topologies.direct())
    hear(stage, [encode(WarningMessage(stage.slot("alice", "bob").channel_id, b"careful"))])
    assert is_connected(stage)
    assert any("careful" in report.text for report in stage["alice"].reports)
    stage.check()


def test_announcement_signatures_and_features_we_lack_close_no_channel() -> None:
    """A peer may offer to announce; what belongs to features that were not negotiated ends the connection."""
    stage = Stage(topologies.direct())
    channel_id = stage.slot("alice", "bob").channel_id
    hear(stage, [encode(AnnouncementSignatures(channel_id, 1, bytes(64), bytes(64)))])
    assert is_connected(stage)
    hear(stage, [encode(Stfu(channel_id, 1))])
    assert not is_connected(stage)
    assert type(stage.slot("alice", "bob").state) is Normal
    stage.check()


def test_hostile_adds_to_a_closing_channel_cost_no_memory() -> None:
    """Onions are read ahead only for HTLCs that the channel takes in."""
    stage = Stage(topologies.direct())
    slot = stage.slot("alice", "bob")
    hear(stage, [encode(ErrorMessage(slot.channel_id, b"bye"))])
    adds = [UpdateAddHtlc(slot.channel_id, index, 1000, bytes(32), 500, bytes(1366)) for index in range(20)]
    hear(stage, [encode(add) for add in adds])
    assert not slot.peeled


def test_newer_connection_replaces_the_older_one() -> None:
    """The peer may have lost its end without our noticing."""
    stage = Stage(topologies.direct())
    old = stage.world.connections.pop(("alice", "bob"))
    run_to_rest(stage.world, Fair())
    assert old.ended
    stage.check()


def test_bug_in_one_channel_halts_it_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes and sends nothing more in this life; the next one starts from the journal (invariant S10)."""
    stage = Stage(topologies.line())
    slot = stage.slot("bob", "alice")
    position = slot.tail.position

    def broken(*_args: object) -> None:
        raise AssertionError("planted")

    with monkeypatch.context() as patch:
        patch.setattr("leyden.manager.manager.decide", broken)
        connection = stage.world.end_of("bob", "alice")
        stage["bob"].runtime.on_messages(connection, [encode(Shutdown(slot.channel_id, b"\x00\x14" + bytes(20)))])
    stage.world.settle()
    assert "planted" in slot.halted
    stage.pay("bob", "carol", stage.invoice("carol"))
    stage.seconds(3)
    assert stage.payment("bob").sent is not None
    assert slot.tail.position == position
    stage["bob"].reports.clear()
    stage.world.restart("bob")
    stage.check()


def test_channel_update_of_the_peer_is_kept_when_it_says_something_new() -> None:
    """It is what our invoices' hints say; a repetition or a forgery is no record."""
    stage = Stage(topologies.direct())
    slot = stage.slot("alice", "bob")
    policy = slot.state.core.peer_policy
    assert policy is not None
    assert policy.fee_base_msat == 1000
    position = slot.tail.position
    fresh(stage)
    stage.act()
    assert slot.tail.position == position
    stage.world.clock.now_seconds += 100
    stage.m("bob").now_seconds = stage.world.clock.now_seconds
    stage.slot("bob", "alice").state.core.policy_timestamp += 1
    raw = channel_update(stage.m("bob"), stage.slot("bob", "alice"))
    forged = raw[:-1] + bytes((raw[-1] ^ 1,))
    hear(stage, [raw])
    assert is_connected(stage)
    hear(stage, [forged])
    assert slot.tail.position == position


def test_first_channel_update_of_the_peer_is_answered_with_ours() -> None:
    """LND drops one that comes before it has taken the channel into its graph: its own tells that it has by now."""
    stage = Stage(topologies.direct())
    slot = stage.slot("alice", "bob")
    raw = channel_update(stage.m("bob"), stage.slot("bob", "alice"))
    slot.state.core.peer_policy = None
    before = len(said(stage))
    hear(stage, [raw])
    [answer] = said(stage)[before:]
    assert isinstance(answer, ChannelUpdate)
    assert answer == decode(channel_update(stage.m("alice"), slot))
    hear(stage, [raw])
    assert len(said(stage)) == before + 1


def test_nothing_is_heard_of_a_peer_that_is_gone() -> None:
    """A message of a connection that has ended is for nobody."""
    stage = Stage(topologies.direct())
    alice = stage.m("alice")
    peers.on_disconnected(alice, stage["bob"].node_id)
    peers.on_message(alice, stage["bob"].node_id, encode(ErrorMessage(bytes(32), b"bye")))
    assert type(stage.slot("alice", "bob").state) is Normal
    assert not stage.slot("alice", "bob").state.session.connected
