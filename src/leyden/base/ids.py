"""Names for identifiers. Lengths are checked once, where bytes enter (wire and journal decoding)."""

from typing import NewType

NodeId = NewType("NodeId", bytes)
"""33-byte compressed public key of a node."""

ChannelId = NewType("ChannelId", bytes)
"""32-byte channel_id of BOLT 2."""

JournalId = NewType("JournalId", str)
"""Name of a journal: `node`, or `channel/` and the hex of the channel_id, fixed at birth."""

NODE_JOURNAL = JournalId("node")


def channel_journal(channel_id: ChannelId) -> JournalId:
    """Return the name of the journal of a channel (`channel_id`: 32 bytes)."""
    return JournalId("channel/" + channel_id.hex())
