"""Rows of the penalty log: what justice needs of HTLCs that only old, revoked commitments contain.

A row is 49 bytes: payment_hash 32, cltv_expiry 4, who offered 1, first and last commitment number of the peer, 6 each.
"""

from collections.abc import Iterator

import msgspec

ROW_LENGTH = 49


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
    """Yield the rows of `log` whose HTLC was in the peer's commitment `number`; a row written twice comes twice."""
    for start in range(0, len(log), ROW_LENGTH):
        row = log[start : start + ROW_LENGTH]
        first, last = int.from_bytes(row[37:43], "big"), int.from_bytes(row[43:49], "big")
        if first <= number <= last:
            yield PenaltyRow(row[:32], int.from_bytes(row[32:36], "big"), row[36] == 1, first, last)
