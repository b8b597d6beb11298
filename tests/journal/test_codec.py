"""Records as bytes: every kind as it was first written is read for ever; what is newer or damaged is refused."""

from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.base.errors import DecodeError
from leyden.journal.codec import RECORD_KINDS, decode_record, encode_record
from leyden.journal.records import ChannelClosed, ChannelRecord, Closing, PolicyChanged
from tests.journal import golden
from tests.journal.samples import SAMPLES

GOLDEN = sorted(path for path in golden.FOLDER.glob("*.json") if path.stem != "ChannelSnapshot")


def test_every_kind_has_a_golden_file() -> None:
    """A kind without one could change its bytes unnoticed, and the journals of users would not be read any more."""
    assert [path.stem for path in GOLDEN] == sorted(kind.__name__ for kind in get_args(ChannelRecord))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden_bytes_decode_to_the_same_record_and_encode_to_the_same_bytes(path: Path) -> None:
    """What an earlier version wrote keeps its meaning and its bytes."""
    encoded, fields = golden.load(path)
    record = decode_record(encoded)
    assert type(record).__name__ == path.stem
    assert golden.readable(record) == fields
    assert encode_record(record) == encoded


def test_tags_are_unique_and_never_reused() -> None:
    """The tag is the version of a kind: these are taken for ever."""
    assert {tag: kind.__name__ for tag, kind in RECORD_KINDS.items()} == {
        1: "ChannelOpened", 2: "FundingConfirmed", 3: "FundingDisconnected", 4: "LocalReady", 5: "RemoteReady",
        6: "SentCommitment", 7: "ReceivedCommitment", 8: "ReceivedRevocation", 9: "HtlcsDecided", 10: "HtlcsShown",
        11: "Acknowledged", 12: "ShutdownStarted", 13: "ShutdownReceived", 14: "CloseAgreed", 15: "Closing",
        16: "FundingSpent", 17: "SpendDisconnected", 18: "ChannelClosed", 19: "ProvenStale", 20: "PeerPolicy",
        21: "PolicyChanged", 22: "ClaimAbandoned", 23: "FundingAbandoned", 24: "Withdrawn",
        25: "OutputSpent", 26: "OutputsDisconnected", 27: "OnchainResolved",
        28: "ForwardingSwitched",
    }  # fmt: skip
    assert len(RECORD_KINDS) == len(get_args(ChannelRecord))


@pytest.mark.parametrize("record", SAMPLES, ids=lambda record: type(record).__name__)
def test_records_round_trip(record: ChannelRecord) -> None:
    """A record that reads back differently is a channel that folds to another state after a restart."""
    assert decode_record(encode_record(record)) == record


@pytest.mark.parametrize("record", SAMPLES, ids=lambda record: type(record).__name__)
def test_every_truncation_is_refused(record: ChannelRecord) -> None:
    """Half a record is damage, never another record."""
    encoded = encode_record(record)
    for length in range(0, len(encoded), 1 + len(encoded) // 100):
        with pytest.raises(DecodeError, match="damaged journal record"):
            decode_record(encoded[:length])
    with pytest.raises(DecodeError, match="damaged journal record"):
        decode_record(encoded + b"\x00")


def test_a_record_without_a_field_that_was_added_later_is_read() -> None:
    """Fields are added at the end with a default: what was written before keeps its meaning."""
    assert decode_record(msgspec.msgpack.encode([18, 300])) == ChannelClosed(300, "")


def test_a_kind_of_a_newer_version_is_refused_by_name() -> None:
    """An old program on a newer journal must stop, and say that it is the program that is old, not the disk that is
    bad.
    """
    with pytest.raises(DecodeError, match="kind 250, which a newer version") as refused:
        decode_record(msgspec.msgpack.encode([250, b"", 1]))
    assert refused.value.field == "tag"


@pytest.mark.parametrize("newer", [[15, 9, "reason", "added later"], [21, [1_000, 10, 40, 1, 99], 5]])
def test_fields_of_a_newer_version_are_refused(newer: list[object]) -> None:
    """Ignoring them would fold the record to less than it says, and a snapshot would lose it for ever."""
    kind = {15: Closing, 21: PolicyChanged}[int(str(newer[0]))].__name__
    with pytest.raises(DecodeError, match=f"{kind} with fields that a newer version"):
        decode_record(msgspec.msgpack.encode(newer))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([15, 9], "damaged journal record Closing: Expected `array` of at least length 3"),
        ([15, "9", "reason"], r"damaged journal record Closing: Expected `int`, got `str` - at `\$\[1\]`"),
        ([], "does not begin with a tag"),
        (["15", 9, "reason"], "does not begin with a tag"),
        ({"tag": 15}, "damaged journal record: Expected `array`"),
        (15, "damaged journal record: Expected `array`"),
        (msgspec.Raw(b"\x93\x0f\x09\xa2\xff\xfe"), "damaged journal record.*utf-8"),
    ],
)
def test_damage_is_named(content: object, text: str) -> None:
    """Whoever repairs a store needs to know which record and which field."""
    with pytest.raises(DecodeError, match=text):
        decode_record(msgspec.msgpack.encode(content))


@given(
    st.binary(max_size=200)
    | st.tuples(st.integers(0, 30), st.binary(max_size=60)).map(lambda x: bytes((0x95, x[0])) + x[1])
)
def test_no_bytes_raise_anything_but_decode_error(encoded: bytes) -> None:
    """A damaged journal is reported, it does not crash the start with something else."""
    try:
        record = decode_record(encoded)
    except DecodeError:
        return
    assert decode_record(encode_record(record)) == record
