"""`LogIndex`: which rows of the log may go."""

from leyden.drivers.storage.log_index import LogIndex


def test_row_goes_when_the_last_journal_in_it_is_covered() -> None:
    """Cut too early and records are lost; never cut and the disk fills."""
    index = LogIndex()
    index.add(1, 100, {"a": 2, "b": 1})
    index.add(2, 50, {"a": 3})
    index.add(3, 70, {"b": 2})
    assert index.live_bytes == 220
    assert index.laggards() == [("b", 170), ("a", 150)]
    assert index.cover("a", 1) == []
    assert index.cover("a", 3) == [2]
    assert index.oldest() == 1
    assert index.rows_of("b") == [1, 3]
    assert index.cover("b", 1) == [1]
    assert index.live_bytes == 70
    assert index.forget("b") == [3]
    assert (index.live_bytes, index.oldest(), index.laggards()) == (0, None, [])


def test_unknown_journal_pins_nothing() -> None:
    """A snapshot of a journal whose rows are all gone, or the drop of one never seen, is no error."""
    index = LogIndex()
    assert index.cover("a", 5) == []
    assert index.forget("a") == []
