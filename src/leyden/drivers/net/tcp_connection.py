"""One TCP connection: handshake, frames, limits.

Guaranteed to the rest of the node: a peer costs at most one read (256 KiB), one unfinished frame (64 KiB) and the write
buffer's bound in memory; it is handed over in slices, so that others get their turn; it is read no faster than its
limits.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Protocol, cast, final

from leyden.base.errors import PeerViolation
from leyden.base.ids import NodeId
from leyden.drivers.net.limits import TokenBucket, TransportLimits
from leyden.noise import (
    ACT_ONE_LENGTH,
    ACT_THREE_LENGTH,
    ACT_TWO_LENGTH,
    HandshakeFailed,
    Initiator,
    Responder,
    Transport,
    TransportKeys,
)
from leyden.ports.transport import ConnectionHandler

_PING = b"\x00\x12"
_PING_BURST_SECONDS = 10.0

_FEED_BYTES = 16 << 10
"""Bytes decrypted between two looks at how many messages came out: at most 455 of the smallest."""

_THROTTLE_SECONDS = 0.001
"""The shortest pause of a peer that is over its limits."""

_BY_HANDLER, _BY_SLICES, _BY_RATE = 1, 2, 4


class Handshake(Protocol):
    """One side of the three acts: how many bytes come next, and what to answer."""

    def needed(self) -> int:
        """Return the length of the act that is awaited."""
        ...

    def first(self) -> bytes:
        """Return what is sent before anything is received."""
        ...

    def receive(self, act: bytes) -> tuple[bytes, TransportKeys | None]:
        """Take an act; return the answer and, at the end, the keys. Raises HandshakeFailed."""
        ...


@final
class InitiatorHandshake:
    """The connecting side."""

    def __init__(self, initiator: Initiator) -> None:
        self._initiator = initiator

    def needed(self) -> int:
        """Act two."""
        return ACT_TWO_LENGTH

    def first(self) -> bytes:
        """Act one."""
        return self._initiator.act_one()

    def receive(self, act: bytes) -> tuple[bytes, TransportKeys | None]:
        """Act two in, act three out."""
        return self._initiator.receive_act_two(act)


@final
class ResponderHandshake:
    """The accepting side."""

    def __init__(self, responder: Responder) -> None:
        self._responder = responder
        self._answered = False

    def needed(self) -> int:
        """Act one, then act three."""
        return ACT_THREE_LENGTH if self._answered else ACT_ONE_LENGTH

    def first(self) -> bytes:
        """Nothing: the other side begins."""
        return b""

    def receive(self, act: bytes) -> tuple[bytes, TransportKeys | None]:
        """Act one in, act two out; act three ends it."""
        if self._answered:
            return b"", self._responder.receive_act_three(act)
        self._answered = True
        return self._responder.receive_act_one(act), None


class Owner(Protocol):
    """The transport's side: it counts connections and may refuse one."""

    def admit(self, connection: "TcpConnection", host: str) -> bool:
        """Count a new connection; False refuses it."""
        ...

    def established(self, connection: "TcpConnection") -> None:
        """Its handshake is complete."""
        ...

    def gone(self, connection: "TcpConnection", reason: str) -> None:
        """It is over, whether or not it was admitted or established. Called once."""
        ...

    def closed(self, connection: "TcpConnection") -> None:
        """Its socket is closed. Called once."""
        ...


@final
class TcpConnection(asyncio.Protocol):
    """A `Connection` over an asyncio transport."""

    def __init__(
        self,
        owner: Owner,
        handler: ConnectionHandler,
        limits: TransportLimits,
        make_handshake: Callable[[], Handshake],
        *,
        inbound: bool,
    ) -> None:
        self._owner = owner
        self._handler = handler
        self._limits = limits
        self._make_handshake = make_handshake
        self._inbound = inbound
        self._loop = asyncio.get_running_loop()
        self._handshake: Handshake | None = None
        self._noise: Transport | None = None
        self._node_id = NodeId(b"")
        self._address = ""
        self._writable = True
        self._ended = False
        self._paused_by = 0
        self._received = b""
        """What is not yet decrypted."""
        self._ready: list[bytes] = []
        """What is decrypted and not yet handed over."""
        self._pumping = False

    # ------------------------------------------------------------------ the `Connection` port

    @property
    def node_id(self) -> NodeId:
        """See `Connection`."""
        return self._node_id

    @property
    def inbound(self) -> bool:
        """See `Connection`."""
        return self._inbound

    @property
    def address(self) -> str:
        """See `Connection`."""
        return self._address

    @property
    def writable(self) -> bool:
        """See `Connection`."""
        return self._writable

    def __repr__(self) -> str:
        """Show who and where."""
        return f"TcpConnection({self._node_id.hex()[:16]} {'from' if self._inbound else 'at'} {self._address})"

    def send(self, messages: Sequence[bytes]) -> None:
        """See `Connection`."""
        if self._ended or not messages:
            return
        assert self._noise is not None, "nothing is sent before the handshake is complete"
        self._transport.write(self._noise.encrypt_many(messages))
        if not self._writable and self._transport.get_write_buffer_size() > self._limits.write_buffer_max:
            self._abort("does not read what we send")

    def pause(self) -> None:
        """See `Connection`."""
        self._pause(_BY_HANDLER)

    def resume(self) -> None:
        """See `Connection`."""
        self._resume(_BY_HANDLER)
        if self._has_more_to_hand_over() and not self._pumping:
            self._pause(_BY_SLICES)
            self._pumping = True
            self._loop.call_soon(self._pump_later)

    def close(self, reason: str) -> None:
        """See `Connection`."""
        if self._ended:
            return
        self._end(reason)
        self._transport.close()
        # A peer that does not read must not keep the socket.
        self._timer = self._loop.call_later(self._limits.closing_seconds, self._transport.abort)

    # ------------------------------------------------------------------ called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection and start the handshake and its clock."""
        self._transport = cast("asyncio.Transport", transport)
        peer = cast("tuple[str, int] | None", transport.get_extra_info("peername")) or ("", 0)
        self._address = f"[{peer[0]}]:{peer[1]}" if ":" in peer[0] else f"{peer[0]}:{peer[1]}"
        self._timer = self._loop.call_later(self._limits.handshake_seconds, self._abort, "handshake took too long")
        if not self._owner.admit(self, peer[0]):
            self._abort("too many connections")
            return
        wire = cast("socket.socket", transport.get_extra_info("socket"))
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transport.set_write_buffer_limits(high=self._limits.write_high_water)
        now = self._loop.time()
        self._bytes = TokenBucket(self._limits.bytes_per_second, 1.0, now)
        self._messages = TokenBucket(self._limits.messages_per_second, 1.0, now)
        self._pings = TokenBucket(self._limits.pings_per_second, _PING_BURST_SECONDS, now)
        self._handshake = self._make_handshake()
        self._transport.write(self._handshake.first())

    def data_received(self, data: bytes) -> None:
        """Take one read."""
        if self._ended:
            return
        in_credit = self._bytes.spend(len(data))
        if not self._messages.spend(1) or not in_credit:
            self._throttle()
        self._received = self._received + data if self._received else data
        if self._handshake is not None:
            self._shake_hands(self._handshake)
        if not self._pumping:
            self._pump()

    def eof_received(self) -> bool:
        """The peer will send no more; then nothing can be agreed either."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._end(f"connection lost ({exc})" if exc is not None else "closed by the peer")
        self._timer.cancel()
        self._owner.closed(self)

    def pause_writing(self) -> None:
        """The peer reads slowly."""
        self._writable = False

    def resume_writing(self) -> None:
        """The peer has caught up."""
        self._writable = True
        if self._noise is not None and not self._ended:
            self._loop.call_soon(self._tell_writable)

    # ------------------------------------------------------------------ receiving

    def _shake_hands(self, handshake: Handshake) -> None:
        while self._noise is None and len(self._received) >= (needed := handshake.needed()):
            act, self._received = self._received[:needed], self._received[needed:]
            try:
                answer, keys = handshake.receive(act)
            except HandshakeFailed as error:
                self._abort(error.what)
                return
            if answer:
                self._transport.write(answer)
            if keys is not None:
                self._timer.cancel()
                self._handshake = None
                self._noise = Transport(keys)
                self._node_id = NodeId(keys.remote_static)
                self._owner.established(self)

    def _pump(self) -> None:
        """Decrypt and hand over one slice; see to it that the rest gets its turn."""
        noise = self._noise
        if noise is None or self._ended or self._paused_by & _BY_HANDLER:
            self._pumping = False
            self._resume(_BY_SLICES)
            return
        self._pumping = True
        messages, received = self._ready, self._received
        size = self._limits.slice_messages
        start = 0
        try:
            while start < len(received) and len(messages) < size:
                messages += noise.feed(received[start : start + _FEED_BYTES])
                start += _FEED_BYTES
        except PeerViolation as error:
            self._abort(error.what)
            return
        self._received = received[start:]
        self._ready = messages[size:]
        if messages:
            self._hand_over(messages[:size] if self._ready else messages)
        self._pumping = self._has_more_to_hand_over()
        if self._pumping:
            self._pause(_BY_SLICES)
            self._loop.call_soon(self._pump_later)
        else:
            self._resume(_BY_SLICES)

    def _has_more_to_hand_over(self) -> bool:
        return bool(self._ready or self._received) and not self._ended and not self._paused_by & _BY_HANDLER

    def _pump_later(self) -> None:
        try:
            self._pump()
        except BaseException:
            # As asyncio does for an exception in `data_received`.
            self._abort("internal error")
            raise

    def _hand_over(self, messages: list[bytes]) -> None:
        if not self._messages.spend(len(messages)):
            self._throttle()
        pings = sum([message.startswith(_PING) for message in messages])
        if pings and not self._pings.spend(pings) and self._pings.wait(self._loop.time()):
            self._abort("floods us with pings")
            return
        self._handler.on_messages(self, messages)

    # ------------------------------------------------------------------ reading on and off

    def _throttle(self) -> None:
        now = self._loop.time()
        seconds = max(self._bytes.wait(now), self._messages.wait(now))
        if seconds and not self._paused_by & _BY_RATE:
            self._pause(_BY_RATE)
            self._loop.call_later(max(seconds, _THROTTLE_SECONDS), self._unthrottle)

    def _unthrottle(self) -> None:
        self._resume(_BY_RATE)
        if not self._ended:
            self._throttle()

    def _pause(self, by: int) -> None:
        if not self._paused_by and not self._ended:
            self._transport.pause_reading()
        self._paused_by |= by

    def _resume(self, by: int) -> None:
        if self._paused_by and not self._paused_by & ~by and not self._ended:
            self._transport.resume_reading()
        self._paused_by &= ~by

    # ------------------------------------------------------------------ the end

    def _tell_writable(self) -> None:
        if self._writable and not self._ended:
            self._handler.on_writable(self)

    def _abort(self, reason: str) -> None:
        self._end(reason)
        self._transport.abort()

    def _end(self, reason: str) -> None:
        """Forget what is left and tell the owner, in a later turn: whoever called us must not be called back inside."""
        if self._ended:
            return
        self._ended = True
        self._timer.cancel()
        self._received = b""
        self._ready = []
        self._loop.call_soon(self._owner.gone, self, reason)
