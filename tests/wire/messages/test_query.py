"""Query messages of BOLT 7, against its file of extended queries."""

import json
from typing import Any

import pytest

from leyden.base.errors import DecodeError
from leyden.wire.gossip_arrays import (
    ChannelUpdateTimestamps,
    decode_query_flags,
    decode_short_ids,
    decode_timestamps,
    encode_short_ids,
)
from leyden.wire.messages import (
    ChannelUpdateChecksums,
    QueryChannelRange,
    QueryShortChannelIds,
    ReplyChannelRange,
    decode,
    encode,
)
from tests.wire.layouts import VECTORS, check_layout

CASES = json.loads((VECTORS / "bolt07" / "extended-queries.json").read_text())
NAMES = [
    "query_short_channel_ids",
    "reply_short_channel_ids_end",
    "query_channel_range",
    "reply_channel_range",
    "gossip_timestamp_filter",
]


@pytest.mark.parametrize("name", NAMES)
def test_layout_is_that_of_the_bolt(name: str) -> None:
    """The whole network graph is fetched with these."""
    check_layout(name)


def short_id(text: str) -> int:
    """The number of `block x transaction x output`."""
    block, transaction, output = map(int, text.split("x"))
    return block << 40 | transaction << 16 | output


def is_zlib(array: dict[str, Any]) -> bool:
    """Whether the file stored this array with the retired encoding."""
    return bool(array["encoding"] == "COMPRESSED_ZLIB")


def check_short_ids(encoded: bytes, array: dict[str, Any]) -> None:
    """Plain arrays give the ids; zlib ones are refused, since BOLT 7 retired encoding 1."""
    if is_zlib(array):
        with pytest.raises(DecodeError, match="retired"):
            decode_short_ids(encoded)
        return
    expected = tuple(short_id(text) for text in array["array"])
    assert decode_short_ids(encoded) == expected
    assert encode_short_ids(expected) == encoded


def check_query(message: QueryShortChannelIds, expected: dict[str, Any]) -> None:
    """Ids and flags of 261."""
    check_short_ids(message.encoded_short_ids, expected["shortChannelIds"])
    records = expected["tlvStream"]["records"]
    assert (message.query_flags is not None) == bool(records)
    for record in records:
        assert message.query_flags is not None
        assert is_zlib(record), "the file has no plain flags"
        with pytest.raises(DecodeError, match="retired"):
            decode_query_flags(message.query_flags)


def check_reply(message: ReplyChannelRange, expected: dict[str, Any]) -> None:
    """Ids, timestamps and checksums of 264."""
    assert message.sync_complete == expected["complete"]
    assert message.first_blocknum == expected["firstBlockNum"]
    assert message.number_of_blocks == expected["numberOfBlocks"]
    check_short_ids(message.encoded_short_ids, expected["shortChannelIds"])
    if "checksums" in expected:
        assert message.checksums == tuple(
            ChannelUpdateChecksums(pair["checksum1"], pair["checksum2"]) for pair in expected["checksums"]["checksums"]
        )
    if "timestamps" not in expected:
        assert message.timestamps is None
        return
    assert message.timestamps is not None
    if is_zlib(expected["timestamps"]):
        with pytest.raises(DecodeError, match="retired"):
            decode_timestamps(message.timestamps)
        return
    pairs = [(pair["timestamp1"], pair["timestamp2"]) for pair in expected["timestamps"]["timestamps"]]
    assert decode_timestamps(message.timestamps) == tuple(ChannelUpdateTimestamps(*pair) for pair in pairs)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['msg']['type']}-{len(case['hex'])}")
def test_extended_queries_are_read_as_in_the_file(case: dict[str, Any]) -> None:
    """Each message decodes and encodes to the same bytes, also those that hold a zlib array: only the array is refused.

    A node that uses the retired encoding is told so by a warning, without losing its channel connection to a decoder.
    """
    raw = bytes.fromhex(case["hex"])
    message = decode(raw)
    assert encode(message) == raw
    expected = case["msg"]
    assert type(message).__name__ == expected["type"]
    match message:
        case QueryShortChannelIds():
            assert message.chain_hash.hex() == expected["chainHash"]
            check_query(message, expected)
        case ReplyChannelRange():
            assert message.chain_hash.hex() == expected["chainHash"]
            check_reply(message, expected)
        case QueryChannelRange():
            assert message.chain_hash.hex() == expected["chainHash"]
            assert message.first_blocknum == expected["firstBlockNum"]
            assert message.number_of_blocks == expected["numberOfBlocks"]
            wanted = [3] if expected["tlvStream"]["records"] == ["WANT_TIMESTAMPS | WANT_CHECKSUMS"] else []
            assert [message.query_option_flags] * len(wanted) == wanted
            assert (message.query_option_flags is None) == (not wanted)
        case _:
            raise AssertionError(type(message))


def test_the_file_has_both_encodings() -> None:
    """Otherwise the test above would not say what it seems to say."""
    zlib = [case for case in CASES if "COMPRESSED_ZLIB" in json.dumps(case)]
    assert (len(CASES), len(zlib)) == (10, 5)
