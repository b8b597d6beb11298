"""Messages of BOLT 2, "Channel Close"."""

import pytest

from leyden.base.errors import DecodeError
from leyden.wire.messages import decode
from tests.wire.layouts import check_layout, message_by_layout


@pytest.mark.parametrize("name", ["shutdown", "closing_signed", "closing_complete", "closing_sig"])
def test_layout_is_that_of_the_bolt(name: str) -> None:
    """The last messages of a channel move all its money."""
    check_layout(name)


def test_a_fee_range_of_a_wrong_size_is_refused() -> None:
    """Half a range has no meaning."""
    _, raw = message_by_layout("closing_signed", with_tlvs=False)
    with pytest.raises(DecodeError, match="fee_range"):
        decode(raw + b"\x01\x08" + bytes(8))
