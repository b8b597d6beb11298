"""Messages of channel establishment v1."""

import msgspec
import pytest

from leyden.base.errors import DecodeError
from leyden.wire.messages import OpenChannel, decode, encode
from tests.wire.layouts import check_layout, message_by_layout


@pytest.mark.parametrize(
    "name", ["open_channel", "accept_channel", "funding_created", "funding_signed", "channel_ready"]
)
def test_layout_is_that_of_the_bolt(name: str) -> None:
    """Two amounts of the same size side by side are easily swapped."""
    check_layout(name)


@pytest.mark.parametrize("place", range(6))
def test_a_key_that_is_no_compressed_point_names_its_field(place: int) -> None:
    """There are six in a row; whoever reads the log must know which."""
    values, raw = message_by_layout("open_channel", with_tlvs=False)
    names = [name for name, value in values.items() if isinstance(value, bytes) and len(value) == 33]
    start = len(raw) - 1 - 33 * (6 - place)
    with pytest.raises(DecodeError) as caught:
        decode(raw[:start] + b"\x04" + raw[start + 1 :])
    assert (caught.value.field, caught.value.offset) == (names[place], start)


def test_an_empty_upfront_shutdown_script_is_not_an_absent_one() -> None:
    """Empty means «none wanted», and the BOLT asks for it when the feature is negotiated."""
    values, _ = message_by_layout("open_channel", with_tlvs=False)
    absent = OpenChannel(**values)
    empty = msgspec.structs.replace(absent, upfront_shutdown_script=b"")
    assert encode(empty) == encode(absent) + b"\x00\x00"
    assert decode(encode(empty)) == empty
