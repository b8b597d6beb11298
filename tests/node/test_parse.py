"""What callers write becomes bytes and numbers, or a sentence that says what is wrong with it."""

import pytest

from leyden.base.errors import CommandRejected
from leyden.node.parse import check_feerate, format_scid, parse_hex, parse_scid


def test_hexadecimal_of_the_right_length_is_read() -> None:
    """In either case."""
    assert parse_hex("00ff", 2, "node_id", "invalid_node_id") == b"\x00\xff"
    assert parse_hex("AbCd", 2, "node_id", "invalid_node_id") == b"\xab\xcd"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("zz", "node_id is not hexadecimal: 'zz'"),
        ("abc", "node_id is not hexadecimal: 'abc'"),
        ("ab", "node_id has 1 bytes, not 2"),
        ("", "node_id has 0 bytes, not 2"),
        ("ababab", "node_id has 3 bytes, not 2"),
    ],
)
def test_other_text_is_refused_with_what_is_wrong(text: str, said: str) -> None:
    """By the caller's own name and code."""
    with pytest.raises(CommandRejected) as caught:
        parse_hex(text, 2, "node_id", "invalid_node_id")
    assert (caught.value.what, caught.value.code) == (said, "invalid_node_id")


def test_long_text_is_not_repeated_whole() -> None:
    """A sentence stays one, whatever was given."""
    with pytest.raises(CommandRejected) as caught:
        parse_hex("z" * 10_000, 2, "node_id", "invalid_node_id")
    assert caught.value.what.endswith(f"{'z' * 80!r}")


@pytest.mark.parametrize("feerate", [253, 1_000, 250_000])
def test_feerate_within_its_bounds_is_taken(feerate: int) -> None:
    """Both bounds included."""
    assert check_feerate(feerate) == feerate


@pytest.mark.parametrize("feerate", [-1, 0, 252, 250_001])
def test_feerate_out_of_its_bounds_is_refused(feerate: int) -> None:
    """Below nobody relays it, above it is a mistake."""
    with pytest.raises(CommandRejected, match=rf"is {feerate}; it goes from 253 .* to 250000") as caught:
        check_feerate(feerate)
    assert caught.value.code == "invalid_feerate"


@pytest.mark.parametrize(
    ("text", "scid"),
    [
        ("0x0x0", 0),
        ("700000x12x3", 700_000 << 40 | 12 << 16 | 3),
        ("16777215x16777215x65535", (1 << 64) - 1),
    ],
)
def test_short_channel_id_is_written_and_read(text: str, scid: int) -> None:
    """BOLT 7: three bytes for the block, three for the transaction, two for the output."""
    assert format_scid(scid) == text
    assert parse_scid(text) == scid


@pytest.mark.parametrize(
    "text",
    ["", "1x2", "1x2x3x4", "1x2x", "1x-2x3", "1x2x3 ", "16777216x0x0", "0x16777216x0", "0x0x65536", "٣x1x1", "1X2X3"],
)
def test_what_is_no_short_channel_id_is_refused(text: str) -> None:
    """A number too large would name another channel."""
    with pytest.raises(CommandRejected, match="no short_channel_id like") as caught:
        parse_scid(text)
    assert caught.value.code == "invalid_short_channel_id"
    assert repr(text[:40]) in caught.value.what
