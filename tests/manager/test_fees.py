"""Which feerate our commitments have."""

import pytest

from leyden.manager import fees
from leyden.sim.schedules import Fair, run_to_rest
from tests.manager.stage import Stage
from tests.manager.test_opening import STATIC, ask, strangers
from tests.sim import topologies


@pytest.mark.parametrize(
    ("estimate", "anchors", "target"), [(1000, True, 1000), (9000, True, 2500), (9000, False, 9000), (300, False, 300)]
)
def test_anchors_need_only_enough_to_relay(estimate: int, anchors: bool, target: int) -> None:
    """A child pays for the rest when the time comes."""
    assert fees.target_feerate_per_kw(estimate, anchors=anchors) == target


def test_opener_follows_a_change_that_is_worth_a_commitment() -> None:
    """Small changes would cost a round trip each; the accepter never says anything."""
    stage = Stage(topologies.direct())
    slot = stage.slot("alice", "bob")
    number = slot.state.core.local.number
    for estimate, expected in ((2300, 2500), (1000, 1000), (1100, 1000), (5000, 2500)):
        for name in ("alice", "bob"):
            stage[name].run(lambda m, one=estimate: fees.set_feerates(m, one, 1000))  # type: ignore[misc]
        stage.act()
        assert slot.state.core.local.feerate_per_kw == slot.state.core.remote.feerate_per_kw == expected
    assert slot.state.core.local.number == number + 2
    stage.check()


def test_channel_without_anchors_follows_the_estimate() -> None:
    """Nothing can pay for it later."""
    stage = strangers()
    ask(stage, channel_type=STATIC)
    stage.rest()
    stage.mine(6)
    stage.rest()
    stage["alice"].run(lambda m: fees.set_feerates(m, 8000, 1000))
    stage.act()
    assert stage.slot("bob", "alice").state.core.local.feerate_per_kw == 8000
    stage.pay("alice", "bob", stage.invoice("bob", 10_000_000))
    run_to_rest(stage.world, Fair())
    assert stage.payment("alice").sent is not None


def test_change_of_the_feerate_survives_a_crash_at_any_step() -> None:
    """An update that was not signed is forgotten by both, and made again by the next estimate."""
    for who in ("alice", "bob"):
        for step in range(12):
            stage = Stage(topologies.direct())
            stage["alice"].run(lambda m: fees.set_feerates(m, 1000, 1000))
            for _ in range(step):
                if enabled := stage.world.enabled():
                    stage.world.perform(enabled[0])
            stage.world.restart(who)
            stage.check()
            stage["alice"].run(lambda m: fees.set_feerates(m, 600, 600))
            stage.check()
            assert stage.slot("bob", "alice").state.core.local.feerate_per_kw == 600
