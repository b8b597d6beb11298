"""Attribution data: hold times that nobody can forge without being named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.sphinx.attribution import ATTRIBUTION_LENGTH, unwrap_attribution, wrap_attribution
from tests.sphinx.routes import secrets


def along(route: list[bytes], hold_times: list[int], packet: bytes) -> bytes:
    """What reaches the sender when every hop covers the same packet."""
    data: bytes | None = None
    for secret, hold_time in zip(reversed(route), reversed(hold_times), strict=True):
        data = wrap_attribution(secret, packet, data, hold_time)
    assert data is not None
    return data


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=20), st.binary(max_size=40))
def test_hold_times_arrive_over_every_length(hold_times: list[int], packet: bytes) -> None:
    """The position of an HMAC depends on the length of the route, up to the longest of 20."""
    route = secrets(len(hold_times))
    data = along(route, hold_times, packet)
    for index, (secret, hold_time) in enumerate(zip(route, hold_times, strict=True)):
        assert len(data) == ATTRIBUTION_LENGTH
        layer = unwrap_attribution(secret, packet, data, len(route) - 1 - index)
        assert layer is not None
        assert layer.hold_time == hold_time
        data = layer.downstream


@given(st.integers(1, 20), st.integers(0, ATTRIBUTION_LENGTH - 1), st.integers(1, 255))
def test_what_the_first_hop_covers_cannot_be_changed(hops: int, position: int, flip: int) -> None:
    """Either the change is outside of what this route uses, or the hop is caught."""
    route = secrets(hops)
    data = along(route, list(range(hops)), b"packet")
    changed = bytearray(data)
    changed[position] ^= flip
    layer = unwrap_attribution(route[0], b"packet", bytes(changed), hops - 1)
    assert layer is None or layer.hold_time == 0
    if position < 4 * hops:
        assert layer is None


def test_other_packet_or_length_is_caught() -> None:
    """A hop that swaps the failure message must be the one that is blamed."""
    route = secrets(3)
    data = along(route, [1, 2, 3], b"packet")
    assert unwrap_attribution(route[0], b"packet", data, 2) is not None
    assert unwrap_attribution(route[0], b"other", data, 2) is None
    assert unwrap_attribution(route[1], b"packet", data, 2) is None
    assert unwrap_attribution(route[0], b"packet", data, 1) is not None, "each hop signs for every position"
    assert unwrap_attribution(route[0], b"packet", data[1:], 2) is None


def test_data_of_a_wrong_length_count_as_none() -> None:
    """The next hop is a stranger: what it sends must not stop the failure."""
    secret = secrets(1)[0]
    assert wrap_attribution(secret, b"", bytes(919), 1) == wrap_attribution(secret, b"", None, 1)


def test_hold_times_are_capped_and_not_negative() -> None:
    """Four bytes hold 13 years; a clock that runs backwards must not pass."""
    secret = secrets(1)[0]
    layer = unwrap_attribution(secret, b"", wrap_attribution(secret, b"", None, 2**40), 0)
    assert layer is not None
    assert layer.hold_time == 2**32 - 1
    with pytest.raises(ValueError, match="negative"):
        wrap_attribution(secret, b"", None, -1)
    with pytest.raises(ValueError, match="20 hops"):
        unwrap_attribution(secret, b"", bytes(920), 20)
