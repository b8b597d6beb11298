"""Rows of the penalty log: what justice needs of HTLCs that only old, revoked commitments contain.

A row is 49 bytes: payment_hash 32, cltv_expiry 4, who offered 1, first and last commitment number of the peer, 6 each.
"""

from collections.abc import Iterator
from struct import Struct

import msgspec

ROW_LENGTH = 49
_rows = Struct(">32sIB6s6s").iter_unpack


class PenaltyRow(msgspec.Struct, frozen=True, gc=False):
    """One HTLC of the peer's revoked commitments `first_number` to `last_number`. `offered`: by us."""

    payment_hash: bytes
    cltv_expiry: int
    offered: bool
    first_number: int
    last_number: int


def encode_row(payment_hash: bytes, cltv_expiry: int, offered: bool, first_number: int, last_number: int) -> bytes:
    """Return one row, 49 bytes."""
    return b"".join(
        (
            payment_hash,
            cltv_expiry.to_bytes(4, "big"),
            b"\x01" if offered else b"\x00",
            first_number.to_bytes(6, "big"),
            last_number.to_bytes(6, "big"),
        )
    )


def rows_of_commitment(log: bytes, number: int) -> Iterator[PenaltyRow]:
    """Yield the rows of `log` whose HTLC was in the peer's commitment `number`. A row written twice is yielded twice.

    One pass over the whole log; what follows the last whole row is left out.
    """
    wanted = number.to_bytes(6, "big")
    whole = memoryview(log)[: len(log) - len(log) % ROW_LENGTH]
    for payment_hash, cltv_expiry, offered, first, last in _rows(whole):
        if first <= wanted <= last:
            numbers = int.from_bytes(first, "big"), int.from_bytes(last, "big")
            yield PenaltyRow(payment_hash, cltv_expiry, offered == 1, *numbers)
