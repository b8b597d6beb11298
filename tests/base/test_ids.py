"""Names of journals."""

from leyden.base.ids import NODE_JOURNAL, ChannelId, channel_journal


def test_names_of_journals_differ() -> None:
    """Two channels that shared a journal would share money."""
    names = {NODE_JOURNAL} | {channel_journal(ChannelId(bytes([n]) * 32)) for n in range(256)}
    assert len(names) == 257


def test_name_of_a_channel_journal_never_changes() -> None:
    """The name is on disk."""
    assert channel_journal(ChannelId(bytes(31) + b"\x0f")) == "channel/" + "00" * 31 + "0f"
