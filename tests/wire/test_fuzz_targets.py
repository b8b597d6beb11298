"""The fuzz targets work, without a fuzzer: on seeds that reach deep, on their mutations and on arbitrary bytes."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz import fuzz_features, fuzz_tlv_stream, fuzz_wire_message
from leyden.wire import encode
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from tests.wire.strategies import any_message, mutated

TARGETS: list[Callable[[bytes], None]] = [
    fuzz_wire_message.one_input,
    fuzz_tlv_stream.one_input,
    fuzz_features.one_input,
]
SEEDS = st.one_of(
    st.binary(max_size=60),
    any_message().map(encode),
    any_message().flatmap(lambda message: mutated(encode(message))),
    st.sampled_from(CommitmentFormat).map(lambda form: ChannelType(form, scid_alias=True).encode()),
    st.sampled_from(("0000", "010101", "0001fd00", "0000010101fd00fe00", "000008010101")).map(bytes.fromhex),
)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.__module__)
@settings(max_examples=150)
@given(data=SEEDS)
def test_target_accepts_any_input(target: Callable[[bytes], None], data: bytes) -> None:
    """A target that fails on its own finds nothing; and this is a small run of each."""
    target(data)
