"""The message of BOLT 4."""

from leyden.wire.messages import OnionMessage, decode, encode
from tests.wire.layouts import check_layout


def test_layout_is_that_of_the_bolt() -> None:
    """Offers travel in it."""
    check_layout("onion_message")


def test_both_usual_packet_sizes_round_trip() -> None:
    """The larger one is half a transport message."""
    for size in (1366, 32834):
        message = OnionMessage(b"\x03" + bytes(32), bytes(size))
        assert decode(encode(message)) == message
