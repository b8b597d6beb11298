"""The fuzz targets of onions and failures work, without a fuzzer: on seeds that reach deep, and on arbitrary bytes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz import fuzz_failure_message, fuzz_onion_payload

VECTORS = Path(__file__).parent.parent / "vectors" / "bolt04"
TARGETS: list[Callable[[bytes], None]] = [fuzz_onion_payload.one_input, fuzz_failure_message.one_input]


def seeds() -> list[bytes]:
    """Whole onions, payloads with and without their length, and failures."""
    onion = json.loads((VECTORS / "onion-test.json").read_text())
    error = json.loads((VECTORS / "returning-errors-attribution.json").read_text())
    texts = [onion["onion"], error["encoded_failure_message"], error["encoded_failure_message"][:640]]
    for hop in onion["generate"]["hops"]:
        texts += [hop["payload"], hop["payload"][2:], hop["payload"][6:]]
    for code in ("1007", "1007000200ff", "100b", "400f", "c005" + "aa" * 32, "4016fd010000aa", "ffff00", "0017"):
        texts.append(code)
    return [bytes.fromhex(text) for text in texts]


SEEDS = seeds()


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=300)
@given(data=st.binary(max_size=400))
def test_arbitrary_bytes(target: Callable[[bytes], None], data: bytes) -> None:
    """A target that fails on its own would hide what the fuzzer finds."""
    target(data)


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=200)
@given(seed=st.sampled_from(SEEDS), cut=st.integers(0, 1400), position=st.integers(0, 1399), value=st.integers(0, 255))
def test_mutated_seeds(target: Callable[[bytes], None], seed: bytes, cut: int, position: int, value: int) -> None:
    """Most arbitrary bytes fail at the first field; these fail later, or not at all."""
    mutated = bytearray(seed)
    mutated[position % len(seed)] = value
    target(bytes(mutated[: max(cut, 1)]))
    target(seed)
