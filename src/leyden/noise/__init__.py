"""BOLT 8: the handshake and the encrypted transport, bytes in and bytes out.

Whoever owns the socket reads 50, 50 and 66 bytes for the acts, then feeds `Transport` whatever arrives.
"""

from leyden.noise.failures import HandshakeFailed, HandshakeProblem, TransportFailed
from leyden.noise.handshake import (
    ACT_ONE_LENGTH,
    ACT_THREE_LENGTH,
    ACT_TWO_LENGTH,
    Initiator,
    Responder,
    StaticKey,
    TransportKeys,
)
from leyden.noise.transport import MESSAGE_LENGTH_MAX, Transport

__all__ = [
    "ACT_ONE_LENGTH",
    "ACT_THREE_LENGTH",
    "ACT_TWO_LENGTH",
    "MESSAGE_LENGTH_MAX",
    "HandshakeFailed",
    "HandshakeProblem",
    "Initiator",
    "Responder",
    "StaticKey",
    "Transport",
    "TransportFailed",
    "TransportKeys",
]
