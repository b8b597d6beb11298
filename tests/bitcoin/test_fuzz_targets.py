"""The fuzz targets of the Bitcoin decoders work without a fuzzer: on real seeds, their mutations, arbitrary bytes."""

import json
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz import fuzz_address, fuzz_block, fuzz_psbt, fuzz_transaction
from leyden.bitcoin.bip39 import mnemonic_from_entropy
from leyden.bitcoin.networks import MAINNET
from tests.bitcoin.strategies import blocks, transactions

VECTORS = Path(__file__).parent.parent / "vectors" / "bips"
PSBTS = json.loads((VECTORS / "bip-0174" / "test-vectors.json").read_text())["valid"]
ADDRESSES = json.loads((VECTORS / "bip-0350" / "test-vectors.json").read_text())["valid_addresses"]
KEYS = json.loads((VECTORS / "bip-0032" / "test-vectors.json").read_text())["valid"][0]["chain"]

SEEDS = st.one_of(
    transactions().map(lambda tx: tx.serialize()),
    transactions().map(lambda tx: tx.serialize_no_witness()),
    blocks().map(lambda block: block.serialize()),
    st.just(MAINNET.genesis_header + b"\x00"),
    st.sampled_from([b64decode(case["base64"]) for case in PSBTS]),
    st.sampled_from([case["address"].encode() for case in ADDRESSES]),
    st.sampled_from([key.encode() for step in KEYS for key in (step["xprv"], step["xpub"])]),
    st.sampled_from([b"m/84'/0'/0'", mnemonic_from_entropy(bytes(16)).encode(), b"\xff\xfe"]),
)


@st.composite
def inputs(draw: st.DrawFn) -> bytes:
    """Arbitrary bytes, a seed, or a seed with a few bytes changed."""
    data = bytearray(draw(st.one_of(st.binary(max_size=100), SEEDS)))
    for _ in range(draw(st.integers(0, 3)) if data else 0):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


@pytest.mark.parametrize(
    "target",
    [fuzz_transaction.one_input, fuzz_block.one_input, fuzz_address.one_input, fuzz_psbt.one_input],
    ids=lambda target: target.__module__,
)
@settings(max_examples=300)
@given(data=inputs())
def test_target_accepts_any_input(target: Callable[[bytes], None], data: bytes) -> None:
    """A target that fails on its own finds nothing; and this is a small run of each."""
    target(data)
