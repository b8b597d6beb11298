"""What a peer can do wrong on the encrypted connection. Always the end of the connection, never of a channel."""

from enum import Enum

from leyden.base.errors import PeerViolation, Reaction


class HandshakeProblem(Enum):
    """Why an act of the handshake was refused."""

    LENGTH = "wrong length"
    VERSION = "unknown version"
    PUBKEY = "not a point of the curve"
    CIPHERTEXT = "the static key does not decrypt"
    TAG = "wrong tag"


class HandshakeFailed(PeerViolation):
    """An act of the peer is invalid; the connection is closed without an answer.

    Args:
        act: 1, 2 or 3.
        problem: what is wrong with it.

    Spec: BOLT 8, "Handshake Exchange".
    """

    reaction = Reaction.DISCONNECT

    def __init__(self, act: int, problem: HandshakeProblem) -> None:
        super().__init__(f"handshake act {act}: {problem.value}")
        self.act = act
        self.problem = problem


class TransportFailed(PeerViolation):
    """A frame does not decrypt: bytes were lost or changed, or the peer has other keys.

    Spec: BOLT 8, "Receiving and Decrypting Messages".
    """

    reaction = Reaction.DISCONNECT
