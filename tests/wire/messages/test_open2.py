"""Messages of channel establishment v2."""

import pytest

from leyden.base.errors import DecodeError
from leyden.wire.messages import decode
from tests.wire.layouts import check_layout, message_by_layout


@pytest.mark.parametrize("name", ["open_channel2", "accept_channel2"])
def test_layout_is_that_of_the_bolt(name: str) -> None:
    """Two amounts of the same size side by side are easily swapped."""
    check_layout(name)


def test_a_mark_with_a_value_is_refused() -> None:
    """`require_confirmed_inputs` says all by being there."""
    _, raw = message_by_layout("open_channel2", with_tlvs=False)
    with pytest.raises(DecodeError, match="require_confirmed_inputs"):
        decode(raw + b"\x02\x01\x01")
