"""Rows of the penalty log: 49 bytes for each HTLC that only revoked commitments hold."""

from hypothesis import given
from hypothesis import strategies as st

from leyden.journal.penalty import ROW_LENGTH, PenaltyRow, encode_row, rows_of_commitment

numbers = st.integers(0, (1 << 48) - 1)


@given(st.binary(min_size=32, max_size=32), st.integers(0, 499_999_999), st.booleans(), numbers, numbers)
def test_a_row_reads_back_as_it_was_written(hash_: bytes, expiry: int, offered: bool, one: int, other: int) -> None:
    """Justice is made from it years later, without anything else."""
    first, last = sorted((one, other))
    row = encode_row(hash_, expiry, offered, first, last)
    assert len(row) == ROW_LENGTH == 49
    for number in (first, last):
        assert list(rows_of_commitment(row, number)) == [PenaltyRow(hash_, expiry, offered, first, last)]


def test_only_rows_of_the_commitment_are_found() -> None:
    """First and last number belong to it; a row that was written twice is found twice, which does no harm."""
    rows = [
        encode_row(bytes([n]) * 32, n, True, first, last) for n, (first, last) in enumerate(((1, 3), (3, 3), (4, 9)))
    ]
    log = b"".join((*rows, rows[0]))
    found = {number: [row.cltv_expiry for row in rows_of_commitment(log, number)] for number in range(11)}
    assert found[0] == found[10] == []
    assert found[1] == found[2] == [0, 0]
    assert found[3] == [0, 1, 0]
    assert found[4] == found[9] == [2]


def test_a_row_that_is_not_whole_is_left_out() -> None:
    """A log that was cut short still gives what it holds."""
    log = encode_row(bytes(32), 7, True, 1, 3)
    assert [row.cltv_expiry for row in rows_of_commitment(log + log[:-1], 2)] == [7]
