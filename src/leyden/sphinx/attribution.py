"""Attribution data: who held an HTLC for how long, and who touched what came back.

920 bytes: 20 hold times of 4 bytes, in units of 100 ms, then 210 HMACs cut to 4 bytes. A node's block of HMACs starts
with the one for the longest distance to the end of the route. The HMACs stand for positions because only the sender
knows where on the route a node is.

Spec: BOLT 4, "Initialization of `attribution_data`".
"""

from collections.abc import Callable
from operator import itemgetter
from typing import Final, final

import msgspec

from leyden.crypto.chacha import chacha20_xor
from leyden.sphinx.keys import HmacState, ammagext_key, um_key

HOPS_MAX: Final = 20
HOLD_TIME_UNIT_MS: Final = 100
ATTRIBUTION_LENGTH: Final = 920

_HOLD_TIME_LENGTH: Final = 4
_HMAC_LENGTH: Final = 4
_HOLD_TIMES_LENGTH: Final = HOPS_MAX * _HOLD_TIME_LENGTH
_HOLD_TIME_MAX: Final = 0xFFFFFFFF

# Where the block of HMACs of each node starts, and where it would if there were one node more.
_BLOCK_STARTS: Final = tuple(
    _HOLD_TIMES_LENGTH + _HMAC_LENGTH * sum(HOPS_MAX - node for node in range(index)) for index in range(HOPS_MAX + 1)
)
_EMPTY: Final = bytes(ATTRIBUTION_LENGTH)


def _hmac_place(node: int, distance: int) -> slice:
    start = _BLOCK_STARTS[node] + _HMAC_LENGTH * (HOPS_MAX - 1 - node - distance)
    return slice(start, start + _HMAC_LENGTH)


def _covered(distance: int) -> Callable[[bytes], tuple[bytes, ...]]:
    times = slice(0, _HOLD_TIME_LENGTH * (distance + 1))
    # Two at least: of one alone there would be no tuple.
    return itemgetter(slice(0, 0), times, *[_hmac_place(node, distance - node) for node in range(1, distance + 1)])


_COVERED: Final = tuple([_covered(distance) for distance in range(HOPS_MAX)])


def _hmac_input(data: bytes, distance: int) -> bytes:
    """Return what node 0's HMAC for `distance` covers besides the return packet.

    Spec: BOLT 4, "Initialization of `attribution_data`".
    """
    return b"".join(_COVERED[distance](data))


def wrap_attribution(
    shared_secret: bytes, return_packet: bytes, attribution_data: bytes | None, hold_time: int
) -> bytes:
    """Put our hold time and HMACs in front of what came from downstream, and hide it all.

    Args:    shared_secret: 32 bytes, of the onion; return_packet: what came back, before our own stream is applied
             (a failure's return packet, a fulfillment payload, or empty); attribution_data: as it came from downstream,
             None if it did not or we are the end; hold_time: in units of 100 ms, capped at 2^32 - 1.
    Returns: 920 bytes to send upstream.
    Raises:  ValueError for a negative hold time.
    Spec:    BOLT 4, "Transformation of `attribution_data`" and "Update of `attribution_data`".
    """
    if hold_time < 0:
        raise ValueError("a hold time is not negative")
    # Data of another length are as good as none: the sender will see that they end here.
    downstream = _EMPTY if attribution_data is None or len(attribution_data) != ATTRIBUTION_LENGTH else attribution_data
    parts = [
        min(hold_time, _HOLD_TIME_MAX).to_bytes(_HOLD_TIME_LENGTH, "big"),
        downstream[: _HOLD_TIMES_LENGTH - _HOLD_TIME_LENGTH],
        bytes(_HMAC_LENGTH * HOPS_MAX),
    ]
    # The first HMAC of each block is for a route that would now be too long.
    parts += [downstream[_BLOCK_STARTS[node] + _HMAC_LENGTH : _BLOCK_STARTS[node + 1]] for node in range(HOPS_MAX - 1)]
    shifted = b"".join(parts)
    state = HmacState(um_key(shared_secret), return_packet)
    own = [state.digest(_hmac_input(shifted, distance))[:_HMAC_LENGTH] for distance in range(HOPS_MAX - 1, -1, -1)]
    complete = shifted[:_HOLD_TIMES_LENGTH] + b"".join(own) + shifted[_BLOCK_STARTS[1] :]
    return chacha20_xor(ammagext_key(shared_secret), complete)


@final
class HopAttribution(msgspec.Struct, frozen=True, gc=False):
    """What one hop says: its hold time in units of 100 ms, and the data as they came to it from downstream."""

    hold_time: int
    downstream: bytes


def unwrap_attribution(
    shared_secret: bytes, return_packet: bytes, attribution_data: bytes, distance: int
) -> HopAttribution | None:
    """Open the layer of one hop; None if its HMAC is wrong, which blames this hop or the one behind it.

    Args:   shared_secret: 32 bytes, with this hop; return_packet: with this hop's stream taken off; attribution_data:
            920 bytes; distance: hops from here to the end of the route (of
            its first 20 hops), 0 to 19.
    Raises: ValueError for another distance.
    Spec:   BOLT 4, "Origin node".
    """
    if not 0 <= distance < HOPS_MAX:
        raise ValueError("attribution reaches over 20 hops")
    if len(attribution_data) != ATTRIBUTION_LENGTH:
        return None
    clear = chacha20_xor(ammagext_key(shared_secret), attribution_data)
    state = HmacState(um_key(shared_secret), return_packet)
    # Four bytes guard nothing secret, so the time of this comparison tells nobody anything.
    if state.digest(_hmac_input(clear, distance))[:_HMAC_LENGTH] != clear[_hmac_place(0, distance)]:
        return None
    parts = [clear[_HOLD_TIME_LENGTH:_HOLD_TIMES_LENGTH], bytes(_HOLD_TIME_LENGTH)]
    for node in range(1, HOPS_MAX):
        parts += (bytes(_HMAC_LENGTH), clear[_BLOCK_STARTS[node] : _BLOCK_STARTS[node + 1]])
    parts.append(bytes(_HMAC_LENGTH))
    return HopAttribution(int.from_bytes(clear[:_HOLD_TIME_LENGTH], "big"), b"".join(parts))


@final
class RouteAttribution(msgspec.Struct, frozen=True):
    """`hold_times`: of the hops in front whose HMACs are right, in units of 100 ms, first hop first; `invalid_hop`:
    index of the first hop whose HMAC is wrong (or whose neighbour behind it changed something), None if all are right.
    """

    hold_times: tuple[int, ...]
    invalid_hop: int | None
