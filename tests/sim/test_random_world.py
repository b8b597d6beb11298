"""Random worlds do what they are for."""

from collections import Counter

from leyden.manager import events as ev
from leyden.sim.random_world import RandomWorld
from tests.simulation.test_random_worlds import BASES


def test_random_worlds_pay_fail_crash_and_ask() -> None:
    """A generator that only ever makes quiet worlds would find nothing."""
    seen: Counter[str] = Counter()
    for number in range(8):
        run = RandomWorld(f"variety {number}", BASES)
        run.run()
        seen["crash"] += sum(line.startswith("crash") for line in run.world.trace)
        for node in run.world.nodes.values():
            seen.update(type(shown.event).__name__ for shown in node.shown)
    assert seen["crash"] > 8
    for kind in (ev.PaymentSent, ev.PaymentFailed, ev.PaymentClaimable, ev.PaymentClaimed, ev.PaymentForwarded):
        assert seen[kind.__name__], kind
