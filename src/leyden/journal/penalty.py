"""Rows of the penalty log: what justice needs of HTLCs that only old, revoked commitments contain.

A row is 49 bytes: payment_hash 32, cltv_expiry 4, who offered 1, first and last commitment number of the peer, 6 each.
"""

from collections.abc import Iterator
from struct import Struct

import msgspec

ROW_LENGTH = 49
_STRETCH = 1024 * ROW_LENGTH
"""Rows before the place where the search begins are read in stretches, the nearest first."""
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

    They come from where rows end at `number`, forward, then from the rows before that place: rows are appended as HTLCs
    leave the peer's commitments, so the wanted ones are close behind it, and whoever stops when it has what it needs
    has read about as many rows as there were HTLCs. What is yielded in all does not rest on that order: commitments
    that are taken back and rows that are written twice break it. What follows the last whole row is left out.
    """
    wanted = number.to_bytes(6, "big")
    rows = memoryview(log)[: len(log) - len(log) % ROW_LENGTH]
    start = _first_ending_at(log, len(rows) // ROW_LENGTH, wanted) * ROW_LENGTH
    yield from _rows_with(rows[start:], wanted)
    while start:
        end, start = start, max(0, start - _STRETCH)
        yield from _rows_with(rows[start:end], wanted)


def _first_ending_at(log: bytes, count: int, wanted: bytes) -> int:
    """Bisect: return the place of the first row whose last number is `wanted` or more, as far as rows are in order."""
    low, high = 0, count
    while low < high:
        middle = (low + high) >> 1
        if log[(middle + 1) * ROW_LENGTH - 6 : (middle + 1) * ROW_LENGTH] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


def _rows_with(rows: memoryview, wanted: bytes) -> Iterator[PenaltyRow]:
    for payment_hash, cltv_expiry, offered, first, last in _rows(rows):
        if first <= wanted <= last:
            numbers = int.from_bytes(first, "big"), int.from_bytes(last, "big")
            yield PenaltyRow(payment_hash, cltv_expiry, offered == 1, *numbers)
