"""What a node holds as plain values: complete by default, and never silent about what it does not know."""

import pytest

from leyden.manager.state import Slot
from leyden.sim.plain import APART
from tests.sim.test_fingerprint import bob, callback, counted, on_the_way, own, print_of


def test_callbacks_differ_by_what_they_close_over() -> None:
    """A callback that waits for one part more is another one."""
    prints = []
    for left in (1, 2, 1):
        begun = on_the_way()
        callback(begun, counted(left))
        prints.append(print_of(begun))
    assert prints[0] == prints[2] != prints[1]


def test_tables_name_attributes_that_exist() -> None:
    """A name in the table of what is apart that nothing has any more would hide the next one of that name."""
    begun = on_the_way()
    node = bob(begun)
    for thing in (node, begun.world, node.manager, node.runtime, node.runtime.outbox):
        assert set(APART[type(thing)]) <= set(vars(thing))
    assert set(APART[Slot]) <= set(Slot.__struct_fields__)


def test_new_attribute_counts() -> None:
    """Nobody has to think of the fingerprint for it to be complete."""
    begun = on_the_way()
    before = print_of(begun)
    own(begun, "something_new", 1)
    assert print_of(begun) != before


def test_what_is_not_known_is_not_passed_over() -> None:
    """An object that nobody has thought about raises, and is not taken for nothing."""
    begun = on_the_way()
    own(begun, "verdicts", {b"": object()})
    with pytest.raises(TypeError, match="no place for object"):
        print_of(begun)
