"""The fuzz target of the transport works, without a fuzzer."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from fuzz import fuzz_noise_transport


@settings(max_examples=300)
@given(st.binary(max_size=150))
@example(b"")
@example(b"\x00" * 200)
@example(b"\x12\x10\x01" * 30 + b"\x80\x01")
def test_noise_transport(data: bytes) -> None:
    """A target that fails on its own would hide what the fuzzer finds."""
    fuzz_noise_transport.one_input(data)
