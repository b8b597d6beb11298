"""Blobs that peers ask us to keep (BOLT 1, "The `peer_storage` and `peer_storage_retrieval` Messages")."""

from collections.abc import Sequence

import pytest

from leyden.channel.inputs import ForceClose
from leyden.manager import peer_storage
from leyden.manager.peers import NODE_FEATURES
from leyden.sim import user
from leyden.wire.features import Feature
from leyden.wire.messages import ChannelReestablish, PeerStorage, PeerStorageRetrieval, encode
from tests.manager.stage import Stage
from tests.manager.test_opening import strangers
from tests.manager.test_peers import fresh, hear, init, said
from tests.sim import topologies


def store(stage: Stage, *blobs: bytes) -> None:
    """Bob asks alice to keep these, in one read."""
    hear(stage, [encode(PeerStorage(blob)) for blob in blobs])


def kept(stage: Stage) -> bytes | None:
    """What alice has recorded for bob."""
    return stage.m("alice").node.storage.get(stage["bob"].node_id)


def returned(stage: Stage) -> Sequence[object]:
    """What alice says to bob on a new connection, once both have said `init`."""
    fresh(stage)
    hear(stage, [init()])
    while commits := [one for one in stage.world.enabled() if one.kind == "commit" and one.node == "alice"]:
        stage.world.perform(commits[0])
    return said(stage)[1:]


def test_blob_comes_back_before_channel_reestablish_in_every_life() -> None:
    """Who has lost everything must have it before it says where it stands."""
    assert NODE_FEATURES.supports(Feature.OPTION_PROVIDE_STORAGE)
    stage = Stage(topologies.direct())
    store(stage, b"a" * 65_531)
    stage.rest()
    for _ in range(2):
        first, second, *_ = returned(stage)
        assert first == PeerStorageRetrieval(b"a" * 65_531)
        assert isinstance(second, ChannelReestablish)
        stage.world.restart("alice")
        stage.rest()
    stage.check()


def test_nothing_comes_back_when_nothing_was_kept() -> None:
    """An empty blob takes back what was kept before."""
    stage = Stage(topologies.direct())
    assert [type(one) for one in returned(stage)] == [ChannelReestablish]
    stage.rest()
    store(stage, b"blob", b"")
    stage.rest()
    assert [type(one) for one in returned(stage)] == [ChannelReestablish]
    stage.check()


def test_blob_is_sent_back_only_behind_its_record() -> None:
    """What a crash could take back is not shown (invariant P1)."""
    stage = Stage(topologies.direct())
    stage["alice"].disk.held["node"] = None
    store(stage, b"blob")
    assert returned(stage) == []
    stage["alice"].disk.held.clear()
    stage.check()


def test_only_a_peer_with_a_channel_is_served() -> None:
    """A channel that waits for its funding has cost the peer nothing, and a stranger even less."""
    stage = strangers()
    store(stage, b"blob")
    assert kept(stage) is None
    stage.world.grant("bob", 3_000_000)
    stage.mine()
    user.open_channel(stage["bob"], stage["alice"], 1_000_000, 0)
    stage.rest()
    store(stage, b"blob")
    assert kept(stage) is None
    stage.mine(6)
    store(stage, b"blob")
    assert kept(stage) == b"blob"


def test_newest_blob_wins_and_a_talkative_peer_waits() -> None:
    """Four records at once, then one a minute: a peer must not fill the disk."""
    stage = Stage(topologies.direct())
    position = stage.m("alice").node_tail.position
    store(stage, *[b"blob %d" % number for number in range(50)])
    assert stage.m("alice").node_tail.position == position + peer_storage.WRITES_AT_ONCE
    assert kept(stage) == b"blob 3"
    stage.seconds(peer_storage.WRITE_EVERY_SECONDS - 1)
    assert kept(stage) == b"blob 3"
    store(stage, b"last")
    stage.seconds(1)
    assert kept(stage) == b"last"
    store(stage, b"later", b"last")
    stage.seconds(2 * peer_storage.WRITE_EVERY_SECONDS)
    assert kept(stage) == b"last"
    assert stage.m("alice").node_tail.position == position + peer_storage.WRITES_AT_ONCE + 1
    stage.seconds(4 * peer_storage.WRITE_EVERY_SECONDS)
    assert not stage.m("alice").storage_due
    assert not stage.m("alice").storage_waiting
    stage.check()


def test_all_blobs_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The node journal and its snapshots must stay small; who is served already may replace its own."""
    monkeypatch.setattr(peer_storage, "KEPT_BYTES_MAX", 1_000)
    stage = Stage(topologies.line())
    for peer, blob, taken in (
        ("alice", b"a" * 600, True), ("carol", b"c" * 401, False), ("alice", b"b" * 900, True),
        ("carol", b"d" * 100, True), ("alice", b"e" * 901, False),
    ):  # fmt: skip
        stage["bob"].runtime.on_messages(stage.world.end_of("bob", peer), [encode(PeerStorage(blob))])
        assert (stage.m("bob").node.storage.get(stage[peer].node_id) == blob) is taken
    stage.check()


def test_blob_is_erased_long_after_the_last_channel_was_closed() -> None:
    """The peer may come back weeks later for what it needs to claim."""
    stage = Stage(topologies.direct())
    store(stage, b"blob")
    stage["alice"].run(lambda m: m.apply(stage.slot("alice", "bob"), ForceClose("closed by the user")))
    stage.act()
    stage.mine(6)
    closed_height = stage.slot("alice", "bob").state.core.closed_height
    assert closed_height
    stage.mine(closed_height + 2015 - stage.m("alice").env.block_height)
    stage.world.restart("alice")
    stage.act()
    assert kept(stage) == b"blob"
    assert PeerStorageRetrieval(b"blob") in returned(stage)
    stage.mine()
    assert kept(stage) is None
    stage.act()
    stage.world.restart("alice")
    stage.act()
    assert kept(stage) is None
