"""Onions that were taken before: each is taken once (BOLT 4, "Shared Secret").

An onion is told again by the secret that we share with its maker. Whoever watches us could send a copy of one to see
where it goes. What is remembered is bounded, forgotten when the HTLC would have expired, and made again at start from
the HTLCs that are pending.
"""

from itertools import islice

KEPT_MAX = 1 << 17
"""Onions remembered at a time, 100 bytes each: those of a day at more than one a second."""
FORGET_EVERY_BLOCKS = 36
DROPPED_AT_ONCE = KEPT_MAX // 8
_KEY_MASK = (1 << 60) - 1


class SeenOnions:
    """Shared secrets of inbound HTLCs, cut to 60 bits, each with the height until which it matters."""

    def __init__(self) -> None:
        self._heights: dict[int, int] = {}
        self._last_forgotten = 0

    def __len__(self) -> int:
        """Return how many are remembered."""
        return len(self._heights)

    def is_new(self, shared_secret: bytes, cltv_expiry: int) -> bool:
        """Remember an onion (shared_secret: 32 bytes); return whether it was not known. Costs well below 1 us."""
        key = int.from_bytes(shared_secret[:8], "big") & _KEY_MASK
        heights = self._heights
        if key in heights:
            return False
        if len(heights) >= KEPT_MAX:
            for oldest in list(islice(heights, DROPPED_AT_ONCE)):
                del heights[oldest]
        heights[key] = cltv_expiry
        return True

    def on_block(self, height: int) -> None:
        """Forget now and then what can be forwarded no more, because its HTLC would have expired."""
        if height - self._last_forgotten >= FORGET_EVERY_BLOCKS or height < self._last_forgotten:
            self._last_forgotten = height
            self._heights = {key: expiry for key, expiry in self._heights.items() if expiry > height}
