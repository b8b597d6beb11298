"""Which feerate our commitments have."""

import pytest
from msgspec.structs import replace

from leyden.manager import fees
from leyden.manager.manager import Manager
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


def manager() -> Manager:
    """A manager that has heard no estimate."""
    return Stage(topologies.direct()).m("alice")


def test_a_table_is_bounded_and_no_target_is_cheaper_than_a_longer_one() -> None:
    """A deadline that is nearer must not be paid for worse."""
    m = manager()
    assert fees.note_estimates(m, {1: 900, 2: 4_000, 6: 2_000, 144: 100}) == ""
    assert m.feerates == {1: 4_000, 2: 4_000, 6: 2_000, 144: 253}
    m.config = replace(m.config, feerate_max_per_kw=3_000)
    assert fees.note_estimates(m, {1: 9_000, 6: 2_000}) == ""
    assert m.feerates == {1: 3_000, 6: 2_000}


@pytest.mark.parametrize("absurd", [0, -5, 10**9, fees.ABSURD_FEERATE_PER_KW + 1])
def test_absurd_estimates_are_left_out_and_said(absurd: int) -> None:
    """One fault of the service must not raise what everything else costs, nor hold a claim back."""
    m = manager()
    wrong = fees.note_estimates(m, {1: 5_000, 6: absurd, 144: 1_000})
    assert wrong == f"the fee estimate of {absurd} sat/kw for 6 blocks is absurd and not used"
    assert m.feerates == {1: 5_000, 144: 1_000}
    assert fees.feerate_for(m, 6) == 5_000, "the next shorter target"
    wrong = fees.note_estimates(m, {1: absurd})
    assert "5000 sat/kw are used for 6 blocks" in wrong
    assert m.feerates == {1: 5_000, 144: 1_000}, "the last ones stay"


def test_without_any_estimate_a_default_is_used_and_said() -> None:
    """A node that starts while the service is away still closes channels."""
    m = manager()
    assert "no fee estimate that can be used: 2500 sat/kw" in fees.note_estimates(m, {})
    assert fees.feerate_for(m, 1) == 2500
    fees.follow_estimates(m)
    assert m.env.feerate_per_kw == 2500


def test_commitments_and_closes_follow_their_targets() -> None:
    """And a block sooner than any target costs what the shortest one does."""
    m = manager()
    fees.note_estimates(m, {3: 9_000, 6: 3_000, 12: 2_000})
    fees.follow_estimates(m)
    assert (m.env.feerate_per_kw, m.env.closing_feerate_per_kw) == (3_000, 2_000)
    assert [fees.feerate_for(m, blocks) for blocks in (1, 5, 11, 1_000)] == [9_000, 9_000, 3_000, 2_000]
