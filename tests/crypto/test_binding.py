"""The raw binding: what the cache of parsed keys promises."""

import pytest

from leyden.crypto import ec
from leyden.crypto.binding import parsed_point, parsed_xonly, require_length, serialized_point

ONE = (1).to_bytes(32, "big")


def test_parsed_keys_are_shared_and_never_changed() -> None:
    """Tweaks work in place inside the library: on a cached key they would poison every later use."""
    point = ec.public_key(ONE)
    before = parsed_point(point)
    ec.point_mul(point, (7).to_bytes(32, "big"))
    ec.point_add_scalar(point, ONE)
    ec.point_negate(point)
    ec.xonly_tweak_add(point[1:], ONE)
    assert parsed_point(point) is before
    assert serialized_point(before) == point
    assert parsed_xonly(point[1:]) is parsed_xonly(point[1:])


@pytest.mark.parametrize("parse", [parsed_point, parsed_xonly])
def test_failures_are_not_cached(parse: object) -> None:
    """A refused key stays refused."""
    assert callable(parse)
    for _ in range(2):
        with pytest.raises(ValueError, match="secp256k1"):
            parse(b"\xff" * 33)


def test_length_check_names_the_argument() -> None:
    """Whoever passes a wrong length must see which."""
    require_length(bytes(32), 32, "secret")
    with pytest.raises(ValueError, match="digest must have 32 bytes, not 3"):
        require_length(bytes(3), 32, "digest")
