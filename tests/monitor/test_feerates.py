"""Fees of claims: they rise to the deadline, stay within what a claim saves, and follow from heights alone."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from leyden.monitor.feerates import (
    BUDGET_PERMILLE,
    PENALTY_LAST_BLOCKS,
    PENALTY_PERMILLE,
    Due,
    budget_sat,
    claim_feerate_per_kw,
    cpfp_feerate_per_kw,
    fee_sat,
    is_worth,
    patience_height,
    replacement_fee_sat,
)

FLOOR, CEILING = 253, 250_000
START, DEADLINE = 1_000, 1_146
WEIGHT = 600


def market(by_target: dict[int, int]) -> Callable[[int], int]:
    """Return an estimator that knows some targets, and answers others with the next faster one."""
    return lambda blocks: next(rate for target, rate in sorted(by_target.items(), reverse=True) if target <= blocks)


CALM = market({1: 5_000, 6: 2_000, 144: 1_000})


def feerate(value_sat: int, height: int, deadline: int | None = DEADLINE, *, penalty: bool = False) -> int:
    """Return the feerate of a claim that could be published first at `START`."""
    return claim_feerate_per_kw(
        value_sat, WEIGHT, height, START, deadline, CALM, FLOOR, CEILING, penalty=penalty
    )  # fmt: skip


def test_the_fee_rises_slowly_first_from_the_estimate_to_half_of_the_value() -> None:
    """By the square of the blocks gone; half is reached while one block is left."""
    assert [feerate(60_000, height) for height in (START, START + 36, START + 72, START + 108, DEADLINE - 2)] == [
        1_000,
        1_000 + 49_000 // 16,
        1_000 + 49_000 // 4,
        1_000 + 49_000 * 9 // 16,
        50_000,
    ]
    assert fee_sat(WEIGHT, feerate(60_000, DEADLINE + 10)) == 30_000


def test_the_market_is_followed_when_it_asks_for_more_than_the_curve() -> None:
    """Six blocks before the deadline, the estimate for six blocks."""
    late = claim_feerate_per_kw(4_000, WEIGHT, DEADLINE - 7, START, DEADLINE, CALM, FLOOR, CEILING)
    spike = market({1: 9_000, 6: 3_200, 144: 300})
    assert late > 2_000
    assert claim_feerate_per_kw(4_000, WEIGHT, DEADLINE - 7, START, DEADLINE, spike, FLOOR, CEILING) == 3_200


def test_a_large_value_is_bounded_by_the_ceiling() -> None:
    """A bitcoin at stake does not pay half a bitcoin."""
    assert feerate(100_000_000, DEADLINE) == CEILING
    assert feerate(100_000_000, START + 72) == 1_000 + (CEILING - 1_000) // 4


def test_a_penalty_spends_nearly_all_in_its_last_blocks_only() -> None:
    """What we do not pay then, the cheater gets."""
    first = DEADLINE - 1 - PENALTY_LAST_BLOCKS
    assert fee_sat(WEIGHT, feerate(60_000, DEADLINE - 2, penalty=True)) == 57_000
    assert fee_sat(WEIGHT, feerate(60_000, first - 1, penalty=True)) == 30_000
    assert fee_sat(WEIGHT, feerate(60_000, first, penalty=True)) > 30_000
    assert budget_sat(60_000, first, DEADLINE) == 30_000
    assert budget_sat(60_000, first, None, penalty=True) == 30_000


def test_a_claim_that_may_wait_asks_a_little_more_every_day() -> None:
    """The estimate for a day, twice that after a week, and never above half."""
    days = [feerate(60_000, START + 144 * day, None) for day in (0, 1, 7)]
    assert days == [1_000, 1_142, 2_000]
    assert feerate(60_000, START + 143, None) == 1_000
    assert feerate(60_000, START + 1_000_000, None) == 50_000
    assert feerate(100_000_000, START + 1_000_000, None) == CEILING
    assert feerate(60_000, START - 1_000, None) == 1_000


def test_a_claim_that_comes_after_its_deadline_pays_its_budget_at_once() -> None:
    """There is no block left in which to wait and see."""
    assert claim_feerate_per_kw(60_000, WEIGHT, 1_200, 1_200, 1_100, CALM, FLOOR, CEILING) == 50_000


def test_absurd_estimates_are_bounded() -> None:
    """None, nothing, less than nothing, and more than any market."""
    answers: list[int | None] = [None, 0, -5, 10**9]
    rates = [
        claim_feerate_per_kw(10**9, WEIGHT, START, START, DEADLINE, erratic({144: answer}), FLOOR, CEILING)
        for answer in answers
    ]
    assert rates == [FLOOR, FLOOR, FLOOR, CEILING]
    assert claim_feerate_per_kw(10**9, WEIGHT, START, START, None, lambda _: 10**9, FLOOR, CEILING) == CEILING


def test_without_an_estimate_the_fee_rises_from_the_floor() -> None:
    """As if it were the estimate."""
    middle = claim_feerate_per_kw(60_000, WEIGHT, START + 72, START, DEADLINE, erratic({144: 0}), FLOOR, CEILING)
    assert middle == FLOOR + (50_000 - FLOOR) // 4


def test_an_estimator_that_asks_less_for_faster_targets_is_not_followed_down() -> None:
    """The highest on the way stays."""
    odd = market({1: 500, 48: 8_000, 72: 500})
    rates = [
        claim_feerate_per_kw(20_000, WEIGHT, height, START, DEADLINE, odd, FLOOR, CEILING)
        for height in range(START, DEADLINE)
    ]
    assert rates == sorted(rates)
    assert rates[DEADLINE - 1 - 20 - START] == max(8_000, 500 + (16_666 - 500) * 125**2 // 144**2)
    assert rates[DEADLINE - 1 - 48 - START] == 8_000


def test_estimates_are_asked_for_at_most_a_day() -> None:
    """No estimator knows slower ones."""
    asked: list[int] = []

    def note(target: int) -> int:
        asked.append(target)
        return 1_000

    for height in range(0, 5_000, 7):
        claim_feerate_per_kw(60_000, WEIGHT, height, 10, 4_000, note, FLOOR, CEILING)
        claim_feerate_per_kw(60_000, WEIGHT, height, 10, None, note, FLOOR, CEILING)
    assert (min(asked), max(asked)) == (1, 144)


heights = st.integers(0, 3_000)
estimates = st.dictionaries(
    st.integers(1, 144), st.one_of(st.none(), st.integers(-1, 10_000), st.just(10**9)), max_size=6
)


def erratic(known: dict[int, int | None]) -> Callable[[int], int | None]:
    """Return an estimator without any order between its targets."""
    return lambda target: next((rate for key, rate in known.items() if key >= target), 700)


@given(
    st.integers(0, 10**9),
    st.integers(200, 390_000),
    heights,
    st.one_of(st.none(), heights),
    st.lists(heights, min_size=2, max_size=12),
    estimates,
    st.booleans(),
)
def test_a_claim_never_asks_for_less_later_nor_for_more_than_its_budget(
    value_sat: int,
    weight: int,
    start: int,
    deadline: int | None,
    at: list[int],
    known: dict[int, int | None],
    penalty: bool,
) -> None:
    """Whatever the estimator says, at any height, and again the same."""
    rates = [
        claim_feerate_per_kw(
            value_sat, weight, height, start, deadline, erratic(known), FLOOR, CEILING, penalty=penalty
        )
        for height in sorted(at)
    ]  # fmt: skip
    assert rates == sorted(rates)
    for height, rate in zip(sorted(at), rates, strict=True):
        assert FLOOR <= rate <= CEILING
        budget = budget_sat(value_sat, height, deadline, penalty=penalty)
        assert budget <= value_sat * (PENALTY_PERMILLE if penalty else BUDGET_PERMILLE) // 1000
        assert rate == FLOOR or fee_sat(weight, rate) <= budget
        assert rate == claim_feerate_per_kw(
            value_sat, weight, height, start, deadline, erratic(known), FLOOR, CEILING, penalty=penalty
        )  # fmt: skip


@given(st.integers(10_000, 10**8), st.integers(400, 5_000), st.integers(1, 300), estimates, st.booleans())
def test_a_claim_replaced_at_every_block_pays_at_most_its_budget(
    value_sat: int, weight: int, blocks: int, known: dict[int, int | None], penalty: bool
) -> None:
    """By the caller's rule: the old one stays when its feerate is enough or a replacement is above the budget."""
    deadline = START + blocks
    paid: int | None = None
    for height in range(START, deadline + 3):
        wanted = claim_feerate_per_kw(
            value_sat, weight, height, START, deadline, erratic(known), FLOOR, CEILING, penalty=penalty
        )  # fmt: skip
        budget = max(budget_sat(value_sat, height, deadline, penalty=penalty), fee_sat(weight, FLOOR))
        if paid is None:
            paid = fee_sat(weight, wanted)
        elif fee_sat(weight, wanted) > paid:
            fee = replacement_fee_sat(paid, weight, wanted, old_weight=weight)
            assert fee >= paid + weight / 4
            paid = fee if fee <= budget else paid
        assert paid <= budget
    assert paid is not None
    # Within one step of what is wanted in the end.
    assert paid + weight / 4 + 1 >= min(fee_sat(weight, wanted), budget)


@given(st.integers(1, 10**7), st.integers(400, 390_000), st.integers(400, 390_000), st.integers(253, 10**6))
def test_a_replacement_pays_for_its_relay_and_has_a_higher_feerate(
    old_fee: int, old_weight: int, new_weight: int, wanted: int
) -> None:
    """BIP 125, also when an input was taken out or put in."""
    fee = replacement_fee_sat(old_fee, new_weight, wanted, old_weight=old_weight)
    old_size, new_size = -(-old_weight // 4), -(-new_weight // 4)
    assert fee >= old_fee + new_size
    assert fee * old_size > old_fee * new_size
    assert fee * 1000 >= wanted * new_weight


def test_a_replacement_costs_no_more_than_the_rules_ask() -> None:
    """Figures by hand: one sat/vB more, the wanted feerate, and the feerate of a larger one."""
    assert replacement_fee_sat(1_000, 800, 253, old_weight=800) == 1_200
    assert replacement_fee_sat(1_000, 800, 4_000, old_weight=800) == 3_200
    assert replacement_fee_sat(1_000, 1_600, 253, old_weight=800) == 2_400
    assert replacement_fee_sat(1_000, 400, 253, old_weight=800) == 1_100
    assert replacement_fee_sat(1_000, 801, 253, old_weight=801) == 1_201


def test_what_brings_less_than_dust_is_not_worth_it() -> None:
    """The bounds, to the sat."""
    assert is_worth(330 + 500, 500, 1_000)
    assert not is_worth(329 + 500, 500, 1_000)


def package(
    htlcs: dict[int, int], balance_sat: int, height: int, estimate: Callable[[int], int | None] = CALM
) -> int:  # fmt: skip
    """Return the feerate of a package of 2,000 weight units whose commitment was first published at `START`."""
    dues = [Due(deadline, START, value_sat) for deadline, value_sat in htlcs.items()]
    return cpfp_feerate_per_kw(dues, balance_sat, 2_000, height, START, estimate, FLOOR, CEILING)


def test_a_commitment_without_htlcs_waits_at_the_relaxed_estimate() -> None:
    """It asks for more with a hundredth of the balance at most: it is only late."""
    assert package({}, 1_000_000, START) == 1_000
    assert package({}, 100_000, START) == 1_000
    assert package({}, 0, START) == FLOOR
    assert package({}, 1_000_000, START + 144 * 70) == 5_000
    assert package({}, 10**9, START + 1_000_000) == CEILING


def test_estimate_for_a_day_may_take_a_tenth_of_the_balance_and_as_much_again_each_day_up_to_half() -> None:
    """What never confirms is lost; what confirms for all that it is worth is lost too."""
    days = [package({}, 100_000, START + 144 * day, lambda _: 20_000) for day in range(7)]
    assert days == [5_000, 10_000, 15_000, 20_000, 20_000, 20_000, 20_000]
    dear = [package({}, 100_000, START + 144 * day, lambda _: 10**9) for day in range(7)]
    assert dear == [5_000, 10_000, 15_000, 20_000, 25_000, 25_000, 25_000]
    assert package({}, 100_000, START + 143, lambda _: 10**9) == 5_000
    assert package({}, 100_000, START - 5, lambda _: 10**9) == 5_000


def test_before_it_would_be_closed_for_an_htlc_a_commitment_pays_the_estimate() -> None:
    """A user may close long before; the curve is the same in a life that does not know when that was."""
    due = [Due(DEADLINE, DEADLINE - 12, 60_000)]

    def at(height: int, start_height: int) -> int:
        return cpfp_feerate_per_kw(due, 0, 2_000, height, start_height, CALM, FLOOR, CEILING)

    assert [at(height, START) for height in (START, DEADLINE - 20, DEADLINE - 12)] == [1_000, 2_000, 2_000]
    assert [at(DEADLINE - left, START) for left in (7, 2)] == [2_000 + 13_000 * 25 // 100, 15_000]
    for height in range(START, DEADLINE + 3):
        assert at(height, height) == at(height, START)


def test_another_commitment_is_left_alone_for_half_of_the_time_and_a_day_at_most() -> None:
    """The first deadline decides."""
    assert patience_height([], START) == START + 144
    assert patience_height([Due(START + 14, START + 2, 1)], START) == START + 7
    assert patience_height([Due(START + 14, START + 2, 1), Due(START + 10, START, 1)], START) == START + 4
    assert patience_height([Due(START + 1_000, START + 988, 1)], START) == START + 144


def test_a_commitment_pays_half_of_the_htlcs_by_their_deadline() -> None:
    """And a hundredth of the balance."""
    assert package({DEADLINE: 60_000}, 100_000, DEADLINE - 2) == 15_500
    assert package({DEADLINE: 60_000}, 100_000, START) == 1_000


def test_a_small_htlc_that_expires_first_does_not_spend_the_value_of_a_large_one() -> None:
    """A peer could add one to make us pay."""
    htlcs = {START + 1_000: 50_000_000, START + 12: 2_000}
    assert package({START + 12: 50_000_000, START + 1_000: 2_000}, 0, START + 10) == CEILING
    assert package({START + 13: 30_000, START + 12: 10_000}, 0, START + 11) == 10_000
    assert package(htlcs, 0, START + 11) < 1_100 < package({START + 12: 50_000_000}, 0, START + 11) == CEILING


@given(
    st.dictionaries(heights, st.integers(0, 10**8), max_size=6),
    st.integers(0, 10**9),
    st.lists(heights, min_size=2, max_size=12),
    estimates,
)
def test_a_commitment_never_asks_for_less_later_nor_for_more_than_is_at_stake(
    htlcs: dict[int, int], balance_sat: int, at: list[int], known: dict[int, int | None]
) -> None:
    """The same properties as for a claim."""
    rates = [package(htlcs, balance_sat, height, erratic(known)) for height in sorted(at)]
    assert rates == sorted(rates)
    budget = max(sum(htlcs.values()) / 2 + balance_sat / 100, balance_sat / 2)
    assert all(FLOOR <= rate <= CEILING and (rate == FLOOR or rate * 2 <= budget) for rate in rates)
    assert rates == [package(htlcs, balance_sat, height, erratic(known)) for height in sorted(at)]
