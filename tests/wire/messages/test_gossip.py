"""Announcements and updates of BOLT 7."""

import pytest

from leyden.wire.messages import ChannelUpdate, decode, encode
from tests.wire.layouts import check_layout, message_by_layout

RELAYED = ["channel_announcement", "node_announcement", "channel_update"]


@pytest.mark.parametrize("name", [*RELAYED, "announcement_signatures"])
def test_layout_is_that_of_the_bolt(name: str) -> None:
    """Signatures cover the bytes."""
    check_layout(name)


@pytest.mark.parametrize("name", RELAYED)
@pytest.mark.parametrize("more", ["00", "0201ff", "fdd9030800000000fffffc18"])
def test_whatever_follows_is_kept(name: str, more: str) -> None:
    """Broken, even and odd extensions alike: a stranger wrote them, our peer only relays them."""
    _, raw = message_by_layout(name, with_tlvs=False)
    assert encode(decode(raw + bytes.fromhex(more))) == raw + bytes.fromhex(more)


def test_an_update_inside_an_onion_failure_has_136_bytes_behind_its_type() -> None:
    """`leyden.sphinx` cuts it out by a length; both must agree what is inside."""
    _, raw = message_by_layout("channel_update", with_tlvs=False)
    assert len(raw) == 2 + 136
    assert isinstance(decode(raw), ChannelUpdate)
