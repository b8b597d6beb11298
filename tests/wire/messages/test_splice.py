"""Messages of quiescence and splicing."""

import pytest

from leyden.wire.messages import SpliceInit, decode, encode
from tests.wire.layouts import check_layout


@pytest.mark.parametrize("name", ["stfu", "splice_init", "splice_ack", "splice_locked"])
def test_layout_is_that_of_the_bolt(name: str) -> None:
    """A splice moves a living channel."""
    check_layout(name)


@pytest.mark.parametrize("contribution", [-1, -(1 << 63), 0, (1 << 63) - 1])
def test_a_contribution_has_a_sign(contribution: int) -> None:
    """Negative takes money out of the channel."""
    message = SpliceInit(bytes(32), contribution, 253, 0, b"\x02" + bytes(32))
    assert decode(encode(message)) == message
