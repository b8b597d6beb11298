"""The fuzz target of invoices works without a fuzzer: on the examples of BOLT 11, their mutations, arbitrary bytes."""

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz import fuzz_bolt11
from leyden.bitcoin import bech32

FILE = json.loads((Path(__file__).parent.parent / "vectors" / "bolt11" / "invoices.json").read_text())
TEXTS = [case["invoice"] for case in FILE["valid"] + FILE["invalid"]]
# The target takes the first byte for the prefix and the rest for symbols.
FIELDS = [b"\x00" + bech32.decode(case["invoice"], max_length=10_000)[1][:-104] for case in FILE["valid"]]


@st.composite
def inputs(draw: st.DrawFn) -> bytes:
    """Arbitrary bytes, an example as text or as fields, or one with a few bytes changed."""
    seeds = st.sampled_from([text.encode() for text in TEXTS] + FIELDS)
    data = bytearray(draw(st.one_of(st.binary(max_size=200), seeds)))
    for _ in range(draw(st.integers(0, 3)) if data else 0):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


@settings(max_examples=300)
@given(inputs())
def test_target_accepts_any_input(data: bytes) -> None:
    """A target that fails on its own finds nothing; and this is a small run of it."""
    fuzz_bolt11.one_input(data)
