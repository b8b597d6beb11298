"""Whom a round kills and when; the rounds themselves run in `test___main__.py`."""

from collections import Counter

from leyden.demo.kills.rounds import BLOCKS, HAPPENINGS_MAX, ROLES, Violation, plan


def test_roles_come_in_turn_whichever_way_the_payments_go() -> None:
    """Sender, forwarder, receiver, two at once; the payments go the other way in every second round."""
    plans = [plan("seed", number) for number in range(200)]
    assert [one.role for one in plans[:5]] == [*ROLES, "sender"]
    assert {one.victims for one in plans if one.role == "forwarder"} == {("bob",)}
    for number, one in enumerate(plans):
        forth = ("alice", "carol") if number % 2 == 0 else ("carol", "alice")
        if one.role in ("sender", "receiver"):
            assert one.victims == (forth[("sender", "receiver").index(one.role)],)
    pairs = Counter(frozenset(one.victims) for one in plans if one.role == "two at once")
    assert {len(pair) for pair in pairs} == {2}
    assert len(pairs) == 3


def test_moments_are_spread() -> None:
    """From before the first payment is accepted until after the last one ended, and some die again while they start."""
    plans = [plan("seed", number) for number in range(200)]
    moments = sorted(one.after_happenings for one in plans)
    assert moments[0] < 5
    assert moments[-1] > HAPPENINGS_MAX * 0.9
    assert {one.block for one in plans} == {*BLOCKS}
    again = [one.again_seconds for one in plans if one.again_seconds is not None]
    assert 20 < len(again) < 80
    assert min(again) < 0.1
    assert plan("seed", 7) == plan("seed", 7)
    assert plan("seed", 7) != plan("other", 7)


def test_a_violation_says_the_first_and_counts_the_rest() -> None:
    """All of it is in `sentences`."""
    assert str(Violation(4, ["alice lost one"])) == "round 4: alice lost one"
    assert str(Violation(4, ["alice lost one", "b", "c"])) == "round 4: alice lost one (and 2 more)"
