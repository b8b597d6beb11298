"""The commitment number hidden in locktime and sequence of a commitment transaction.

Spec: BOLT 3, "Commitment Transaction".
"""

from leyden.crypto.hashes import sha256

COMMITMENT_NUMBER_MAX = (1 << 48) - 1

_LOW_24 = 0xFFFFFF
_LOCKTIME_MARK = 0x20000000
_SEQUENCE_MARK = 0x80000000


def obscuring_factor(opener_payment_basepoint: bytes, accepter_payment_basepoint: bytes) -> int:
    """Return the 48-bit factor of a channel from both payment basepoints (33 bytes each), the opener's first."""
    return int.from_bytes(sha256(opener_payment_basepoint + accepter_payment_basepoint)[26:], "big")


def obscure(commitment_number: int, factor: int) -> tuple[int, int]:
    """Return (locktime, sequence) for a commitment number (48 bits, counting up from 0)."""
    obscured = commitment_number ^ factor
    return _LOCKTIME_MARK | (obscured & _LOW_24), _SEQUENCE_MARK | (obscured >> 24)


def reveal(locktime: int, sequence: int, factor: int) -> int | None:
    """Return the commitment number of a transaction with this locktime and sequence, or None if it is no commitment.

    Any transaction may carry these marks: the answer is a claim to check, not a proof.
    """
    if locktime & ~_LOW_24 != _LOCKTIME_MARK or sequence & ~_LOW_24 != _SEQUENCE_MARK:
        return None
    return ((sequence & _LOW_24) << 24 | (locktime & _LOW_24)) ^ factor
