"""How much a peer may cost us before it has to wait or goes."""

import msgspec


class TransportLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one transport. Times in seconds, sizes in bytes.

    The rates leave room for the fastest honest channel (thousands of payments a second, about 1.5 kB each); a peer that
    goes beyond is read more slowly. Pings beyond their rate end the connection.
    """

    connect_seconds: float = 10.0
    handshake_seconds: float = 10.0
    """From the connection to the end of act three, however the bytes arrive."""
    closing_seconds: float = 5.0
    """For the peer to take what was sent before `close`."""
    handshakes_max: int = 128
    """Inbound connections that have not yet said who they are."""
    handshakes_per_second: int = 200
    """Inbound handshakes begun; each costs us about 0.3 ms."""
    connections_max: int = 1024
    """Inbound connections."""
    connections_per_host_max: int = 64
    """Inbound connections from one host; Tor's all come from the local one."""
    bytes_per_second: int = 32 << 20
    messages_per_second: int = 60_000
    """Messages, and reads: a read that completes no message counts as one."""
    pings_per_second: int = 10
    slice_messages: int = 256
    """Messages handed over in one call; the rest of a flood waits for a turn of the loop."""
    write_high_water: int = 1 << 20
    """Unsent bytes above which a connection is not `writable`."""
    write_buffer_max: int = 8 << 20
    """Unsent bytes above which a peer that does not read is cut off."""


class TokenBucket:
    """`per_second` tokens a second, at most one second's worth in store times `burst_seconds`. It may go into debt."""

    __slots__ = ("_burst", "_level", "_per_second", "_since")

    def __init__(self, per_second: float, burst_seconds: float, now: float) -> None:
        self._per_second = per_second
        self._burst = per_second * burst_seconds
        self._level = self._burst
        self._since = now

    def spend(self, tokens: int) -> bool:
        """Take tokens; return False when that leaves a debt, to be settled with `wait` (the common case reads no
        clock).
        """
        self._level -= tokens
        return self._level >= 0

    def wait(self, now: float) -> float:
        """Add what came in since the last call; return the seconds until the debt is paid, 0 when there is none."""
        self._level = min(self._level + (now - self._since) * self._per_second, self._burst)
        self._since = now
        return -self._level / self._per_second if self._level < 0 else 0.0
