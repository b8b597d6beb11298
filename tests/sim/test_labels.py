"""Names of channels and journals."""

import pytest

from leyden.base.ids import NODE_JOURNAL
from leyden.sim.labels import Labels, UnknownLabel
from tests.sim import topologies


def test_channels_are_named_after_their_nodes_and_numbered() -> None:
    """And a name leads back to its channel."""
    world = topologies.double().copy()
    labels = Labels(world)
    labels.learn()
    found = {labels.of_channel(channel_id) for channel_id in world.nodes["alice"].manager.channels}
    assert found == {"alice-bob", "alice-bob.2"}
    for label in found:
        assert labels.of_channel(labels.channel(label)) == label
        assert labels.of_journal(labels.journal(label)) == label
    assert labels.journal("node") == labels.of_journal(NODE_JOURNAL) == NODE_JOURNAL


def test_names_outlive_the_nodes_lives() -> None:
    """The order in which a restarted node knows its channels does not matter."""
    world = topologies.line().copy()
    labels = Labels(world)
    before = labels.channel("bob-carol")
    world.restart("bob")
    assert labels.channel("bob-carol") == before


def test_unknown_names_are_refused_with_those_there_are() -> None:
    """And an id that is no channel is shown as it is."""
    labels = Labels(topologies.direct().copy())
    with pytest.raises(UnknownLabel, match="no channel is called alice-eve; there are alice-bob"):
        labels.channel("alice-eve")
    assert labels.of_channel(bytes(32)) == "00000000"
