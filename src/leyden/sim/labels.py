"""Names that people can read for what has none: channels and their journals."""

from leyden.base.ids import NODE_JOURNAL, ChannelId, channel_journal
from leyden.manager.state import Slot
from leyden.sim.node import SimNode
from leyden.sim.world import World


class UnknownLabel(LookupError):
    """Nothing in the world has this name. The text says which name, and what there is."""


class Labels:
    """`alice-bob` is the first channel between these two, `alice-bob.2` the second; `node` the journal of a node.

    A label is given when a channel is first seen and stays with it through all lives.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._labels: dict[bytes, str] = {}
        self._channels: dict[str, bytes] = {}

    def learn(self) -> None:
        """Give a label to every channel that has none."""
        for node in self._world.nodes.values():
            if not node.is_up:
                continue
            new = [slot for slot in node.manager.channels.values() if slot.channel_id not in self._labels]
            for slot in sorted(new, key=lambda slot: slot.channel_id):
                self._give(node, slot)

    def _give(self, node: SimNode, slot: Slot) -> None:
        peer = self._world.node_of(slot.peer)
        pair = [name for name in self._world.nodes if name in (node.name, peer.name)]
        label, number = "-".join(pair), 1
        while label in self._channels:
            number += 1
            label = f"{'-'.join(pair)}.{number}"
        self._labels[slot.channel_id] = label
        self._channels[label] = slot.channel_id

    def of_channel(self, channel_id: bytes) -> str:
        """Return the label of a channel, or the first digits of a channel_id that nobody has."""
        if channel_id not in self._labels:
            self.learn()
        return self._labels.get(channel_id, channel_id.hex()[:8])

    def of_journal(self, journal: str) -> str:
        """Return the label of a journal."""
        return journal if journal == NODE_JOURNAL else self.of_channel(bytes.fromhex(journal.partition("/")[2]))

    def channel(self, label: str) -> bytes:
        """Return the channel_id of a label. Raises: UnknownLabel."""
        self.learn()
        try:
            return self._channels[label]
        except KeyError:
            raise UnknownLabel(f"no channel is called {label}; there are {', '.join(self._channels)}") from None

    def journal(self, label: str) -> str:
        """Return the journal of a label. Raises: UnknownLabel."""
        return NODE_JOURNAL if label == NODE_JOURNAL else channel_journal(ChannelId(self.channel(label)))
