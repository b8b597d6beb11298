"""Rows of the penalty log: 49 bytes for each HTLC that only revoked commitments hold."""

import random
from typing import Any

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


def plain_pass(log: bytes, number: int) -> list[PenaltyRow]:
    """What the log holds of a commitment, by reading all of it."""
    found = []
    for at in range(0, len(log) - len(log) % ROW_LENGTH, ROW_LENGTH):
        row = log[at : at + ROW_LENGTH]
        first, last = int.from_bytes(row[37:43], "big"), int.from_bytes(row[43:], "big")
        if first <= number <= last:
            found.append(PenaltyRow(row[:32], int.from_bytes(row[32:36], "big"), row[36] == 1, first, last))
    return found


def row_of(first: int, last: int, name: int = 0) -> bytes:
    """A row that only its numbers and name tell apart."""
    return encode_row(name.to_bytes(32, "big"), name & 0xFFFF, name % 2 == 1, first, last)


spans = st.tuples(st.integers(0, 40), st.integers(0, 40)).map(sorted)


@given(st.lists(spans, max_size=60), st.booleans(), st.integers(0, 45), st.binary(max_size=48))
def test_the_search_finds_what_a_plain_pass_finds(
    spans: list[list[int]], in_order: bool, number: int, rest: bytes
) -> None:
    """Order makes it fast, never right: withdrawn commitments and rows that are written twice break the order."""
    if in_order:
        spans.sort(key=lambda span: span[1])
    log = b"".join([row_of(first, last, name) for name, (first, last) in enumerate(spans)]) + rest

    def key(row: PenaltyRow) -> bytes:
        return row.payment_hash

    assert sorted(rows_of_commitment(log, number), key=key) == plain_pass(log, number)


def test_a_log_of_many_stretches_is_searched_whole() -> None:
    """Rows far before the place where the search begins, in a log whose chunks came twice and backwards."""
    source = random.Random(7)
    chunks = [[row_of(n - source.randrange(9), n, n) for n in range(at, at + 1500)] for at in range(10, 9_010, 1_500)]
    log = b"".join([row for chunk in (chunks[3], *chunks, chunks[1], chunks[5], chunks[0]) for row in chunk])
    for number in (9, 10, 1_509, 1_510, 5_000, 9_009, 9_010):
        found = sorted(rows_of_commitment(log, number), key=lambda row: row.payment_hash)
        assert found == sorted(plain_pass(log, number), key=lambda row: row.payment_hash)


def test_every_row_before_the_place_where_the_search_begins_is_read() -> None:
    """Nor one at the border of two stretches is left out."""
    log = row_of(0, 9) * 4_000 + row_of(0, 1) * 4_200
    assert len(list(rows_of_commitment(log, 9))) == 4_000


class CountedLog(bytes):
    """A log that counts how often the search looks at one row of it."""

    looks = 0

    def __getitem__(self, key: Any) -> Any:
        self.looks += 1
        return super().__getitem__(key)


def test_the_search_begins_at_the_first_row_that_ends_at_the_number() -> None:
    """Whoever needs the HTLCs of one state of many thousands reads their rows, not those of all states."""
    in_order = [row_of(n // 4, n // 4 + 2, n) for n in range(100_000)]
    far = (row_of(12_345, 12_346, 200_000), row_of(12_345, 99_999, 200_001))
    log = CountedLog(b"".join([far[0], *in_order, far[1]]))
    names = [int.from_bytes(row.payment_hash, "big") for row in rows_of_commitment(log, 12_345)]
    assert names == [*range(4 * 12_343, 4 * 12_346), 200_001, 200_000]
    assert 10 <= log.looks <= 18
