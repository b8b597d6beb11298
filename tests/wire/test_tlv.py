"""TLV streams, against BOLT 1's appendix B."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.base.errors import DecodeError
from leyden.wire.fields import POINT, Composite, Fixed, Truncated
from leyden.wire.tlv import TlvStream, join_records, split_records
from tests.wire.strategies import outcome

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "bolt01" / "tlv-streams.json").read_text())
KINDS: dict[str, Any] = {
    "tu32": Truncated(4),
    "tu64": Truncated(8),
    "u16": Fixed("H"),
    "u64": Fixed("Q"),
    "point": POINT,
    "short_channel_id": Fixed("Q"),
}


def namespace(name: str) -> TlvStream[Any]:
    """The stream that the vector file declares."""
    fields: list[tuple[int, str, Any]] = []
    for declared in VECTORS["namespaces"][name]:
        kinds = {field: KINDS[kind] for field, kind in declared["fields"]}
        codec = next(iter(kinds.values()))
        if len(kinds) > 1:
            codec = Composite(msgspec.defstruct(declared["name"], list(kinds)), kinds)
        fields.append((declared["type"], declared["name"], codec))
    return TlvStream(fields)


def number(text: str) -> Any:
    """An expected value as our decoder gives it."""
    if "x" in text:
        block, transaction, output = map(int, text.split("x"))
        return block << 40 | transaction << 16 | output
    return bytes.fromhex(text) if len(text) == 66 else int(text)


CASES = [(name, case) for case in VECTORS["vectors"] for name in case["namespaces"]]


@pytest.mark.parametrize(("name", "case"), CASES, ids=[f"{n}-{c['stream'][:24]}-{c['valid']}" for n, c in CASES])
def test_streams_decode_as_in_the_appendix(name: str, case: dict[str, Any]) -> None:
    """Every extension of every message is such a stream."""
    raw = bytes.fromhex(case["stream"])
    stream = namespace(name)
    if not case["valid"]:
        with pytest.raises(DecodeError):
            stream.decode(raw, 0)
        return
    values, unknown = stream.decode(raw, 0)
    assert stream.encode(values, unknown) == raw
    if "expect" not in case:
        assert values == list(stream.absent)
        return
    names = [declared["name"] for declared in VECTORS["namespaces"][name]]
    found = values[names.index(case["expect"]["record"])]
    expected = [number(text) for text in case["expect"]["fields"].values()]
    assert (list(msgspec.structs.astuple(found)) if isinstance(found, msgspec.Struct) else [found]) == expected


@given(st.dictionaries(st.integers(0, 2**64 - 1), st.binary(max_size=300), max_size=6), st.binary(max_size=3))
def test_records_round_trip_in_ascending_order(records: dict[int, bytes], before: bytes) -> None:
    """Whoever joins records need not sort them."""
    raw = before + join_records(reversed(records.items()))
    found = split_records(raw, len(before))
    assert [(number, value) for number, value, _ in found] == sorted(records.items())
    assert all(raw[offset : offset + len(value)] == value for _, value, offset in found)


@given(st.binary(max_size=60))
def test_any_bytes_split_to_records_that_join_to_the_same_or_are_refused(raw: bytes) -> None:
    """A stream has one encoding, so what is accepted is what would be sent."""
    found = outcome(lambda stream: split_records(stream, 0), raw)
    if isinstance(found, DecodeError):
        assert 0 <= found.offset <= len(raw)
    else:
        assert join_records((number, value) for number, value, _ in found) == raw


def test_a_type_twice_is_refused_when_encoding() -> None:
    """An unknown record kept from elsewhere may not shadow a known field."""
    with pytest.raises(ValueError, match="twice"):
        join_records([(3, b"a"), (3, b"b")])
    with pytest.raises(ValueError, match="twice"):
        namespace("n1").encode((1, None, None, None), ((1, b""),))


def test_a_huge_length_is_refused_before_anything_is_read() -> None:
    """A nine-byte length must not make us reserve memory."""
    with pytest.raises(DecodeError, match="longer than what is left"):
        split_records(bytes.fromhex("01ffffffffffffffffff"), 0)


def test_error_names_the_field_and_its_place() -> None:
    """Whoever reads the log must find the byte."""
    with pytest.raises(DecodeError) as caught:
        namespace("n1").decode(bytes.fromhex("aaaa0103000100"), 2)
    assert caught.value.field == "tlv1"
    assert caught.value.offset == 4


def test_a_namespace_declares_each_type_once() -> None:
    """A second declaration would silently hide the first."""
    with pytest.raises(ValueError, match="twice"):
        TlvStream([(1, "a", Fixed("H")), (1, "b", Fixed("H"))])


def test_error_while_encoding_names_the_field() -> None:
    """The caller passed several values."""
    with pytest.raises(ValueError, match="tlv4"):
        namespace("n1").encode((None, None, None, 1 << 16), ())
