"""Fuzz target: any bytes are a feature vector, and what is asked of it agrees with its bits.

Run: python fuzz/fuzz_features.py [corpus folder], with the package atheris installed.
"""

import sys

from leyden.wire.channel_type import channel_type_from_bytes
from leyden.wire.features import Context, Feature, FeatureVector


def one_input(data: bytes) -> None:
    """Try one input. Raises: AssertionError, or whatever a bug raises."""
    vector = FeatureVector.parse(data)
    assert vector.encode() == data.lstrip(b"\x00")
    bits = vector.bits()
    even = [bit for bit in bits if bit % 2 == 0]
    named = [feature.value for feature in Feature]
    assert list(vector.unknown_even_bits()) == [bit for bit in even if bit not in named]
    assert list(FeatureVector().union(vector).unsupported_even_bits(vector)) == []
    for feature in vector.features():
        assert vector.has(feature)
        assert vector.requires(feature) == (feature.value in even)
    for _, needed in vector.missing_dependencies():
        assert not vector.has(needed)
    for context in Context:
        assert vector.restricted_to(context).bitmap & ~vector.bitmap == 0
    channel_type = channel_type_from_bytes(data)
    assert channel_type is None or channel_type.encode() == data


def main() -> None:
    """Run until stopped."""
    import atheris  # Only whoever fuzzes needs it; it exists for few platforms.

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
