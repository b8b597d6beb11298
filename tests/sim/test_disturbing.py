"""What may go wrong at a moment: all of it, and equal things by equal keys."""

from collections import Counter

from leyden.manager import events as ev
from leyden.sim.disturbing import disturbances, every_prefix
from leyden.sim.fingerprint import Fingerprints
from leyden.sim.node import Shown
from leyden.sim.scenario import Begun, Crash, Cut
from tests.sim.test_fingerprint import on_the_way


def of(begun: Begun) -> list[tuple[bytes, bytes, Crash | Cut]]:
    """All that may go wrong, with what tells equal ones."""
    prints, known = Fingerprints(), dict[str, bytes]()
    prints.future(begun.world, begun.orders, known)
    found = disturbances(prints, begun.world, begun.orders, known, begun.first_step)
    return [(one.key, one.future, one.deviation) for one in found]


def test_every_combination_of_prefixes_is_one() -> None:
    """From nothing to everything of each journal, and no bound on how many that are."""
    assert list(every_prefix({})) == [()]
    assert len(list(every_prefix({"a": 3, "b": 3, "c": 4}))) == 80
    assert list(every_prefix({"a": 1, "b": 1}))[1] == (("a", 0), ("b", 1))


def test_each_node_crashes_with_each_prefix_and_each_link_is_lost() -> None:
    """And no two of them lead to the same world here."""
    begun = on_the_way()
    world = begun.world
    found = of(begun)
    crashes = Counter([one.node for _, _, one in found if isinstance(one, Crash)])
    assert crashes == {name: len(list(every_prefix(node.disk.under_way()))) for name, node in world.nodes.items()}
    assert max(crashes.values()) > 1
    assert [(one.one, one.other) for _, _, one in found if isinstance(one, Cut)] == list(world.connections)
    assert len({future for _, future, _ in found}) == len(found)


def test_what_a_node_was_told_matters_to_all_but_its_own_crash() -> None:
    """It leads to the same future, with something else remembered; a node that crashes begins another life."""
    begun = on_the_way()
    before = of(begun)
    bob = begun.world.nodes["bob"]
    first = ev.PaymentClaimAbandoned("x", b"", b"")
    bob.shown.append(Shown(bob.lives - 1, first))
    told_before = of(begun)
    bob.shown.append(Shown(bob.lives, first))
    told_now = of(begun)
    assert before != told_before
    for (key, future, deviation), (new_key, new_future, _) in zip(told_before, told_now, strict=True):
        assert future == new_future
        assert (key == new_key) is (isinstance(deviation, Crash) and deviation.node == "bob")
