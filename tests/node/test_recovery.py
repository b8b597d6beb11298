"""What the second place says of a store (the story of such a node is in `tests/simulation/test_restored_stores.py`)."""

import pytest

from leyden.base.errors import StorageBroken
from leyden.drivers.markfile import Mark
from leyden.journal.node_records import JournalArchived, NodeBorn
from leyden.manager.rebuild import Folded
from leyden.manager.state import NodeState, fold_node
from leyden.node.recovery import compare

BORN = NodeBorn(b"c" * 32, b"n" * 33, 1, b"b" * 32)
GONE = "channel/" + "ab" * 32


def folded(*records: NodeBorn | JournalArchived) -> Folded:
    """A store with a node journal of these records, and no channel."""
    state = NodeState()
    for record in records:
        fold_node(state, record)
    return Folded(state, len(records), b"", [], [])


def test_store_as_far_as_its_mark_is_no_old_copy() -> None:
    """A mark is lazy: it is behind, or as far; and each life has a higher epoch than the last mark."""
    for mark in (None, Mark(3, {"node": 1}), Mark(3, {})):
        old = compare(mark, folded(BORN), 4, "the mark")
        assert (old.is_old, old.sentences(), old.lost()) == (False, [], {})


@pytest.mark.parametrize("epoch", [3, 2])
def test_mark_of_a_later_life_is_said(epoch: int) -> None:
    """Lives count up; only a copy counts again."""
    old = compare(Mark(3, {"node": 1}), folded(BORN), epoch, "the mark")
    assert old.is_old
    assert old.sentences() == [f"the journals are of life {epoch}, but life 3 has been: this is an old copy"]


def test_journals_that_are_missing_stay_known_and_archived_ones_do_not() -> None:
    """The next mark must not forget a channel whose journal is lost; one that was archived is no loss."""
    mark = Mark(3, {"node": 1, GONE: 12})
    old = compare(mark, folded(BORN), 4, "the mark")
    assert old.lost() == {GONE: 12}
    assert old.sentences() == [f"{GONE} ends at record 0, but had reached 12: this is an old copy"]
    assert not compare(mark, folded(BORN, JournalArchived(GONE)), 4, "the mark").is_old


def test_store_without_journals_beside_a_mark_with_channels_is_lost_not_new() -> None:
    """To begin anew would be to forget the channels."""
    with pytest.raises(StorageBroken, match=r"the mark knows 1 channel\(s\)"):
        compare(Mark(3, {"node": 1, GONE: 12}), folded(), 1, "the mark")
