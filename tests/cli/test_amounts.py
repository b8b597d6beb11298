"""Amounts as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.base.errors import CommandRejected
from leyden.cli.amounts import parse_feerate, parse_msat, parse_sat, show_count, show_feerate, show_msat, show_sat

GOOD = [
    ("0", 0),
    ("25000", 25_000_000),
    ("25000sat", 25_000_000),
    ("25,000 SAT", 25_000_000),
    ("1_000", 1_000_000),
    ("1500msat", 1500),
    ("0.5sat", 500),
    ("1.001", 1001),
    ("1.500000", 1500),
    ("0.001btc", 100_000_000),
    ("21000000btc", 2_100_000_000_000_000_000),
    ("0.00000000001btc", 1),
]
BAD = [
    "",
    " ",
    "-5",
    "+5",
    "1e3",
    "5 dollars",
    "1.0001",
    "1.5msat",
    "0.000000000001btc",
    ".5",
    "5.",
    "\u0665",
    "0x10",
    "nan",
    "_1",
]


@pytest.mark.parametrize(("text", "amount_msat"), GOOD)
def test_amount_is_read_without_rounding(text: str, amount_msat: int) -> None:
    """A wrong power of ten in an amount is lost money."""
    assert parse_msat(text) == amount_msat


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_amount_is_refused(text: str) -> None:
    """A guess at what was meant would be paid out."""
    with pytest.raises(CommandRejected) as refused:
        parse_msat(text)
    assert refused.value.code == "invalid_amount"
    assert text in refused.value.what


def test_the_chain_takes_whole_satoshi_only() -> None:
    """A fraction that is silently dropped would not arrive."""
    assert parse_sat("0.5btc") == 50_000_000
    with pytest.raises(CommandRejected, match="whole number"):
        parse_sat("1500msat")


@given(st.integers(min_value=0, max_value=2_100_000_000_000_000_000))
def test_what_is_shown_is_read_back(amount_msat: int) -> None:
    """People copy amounts from one command into the next."""
    assert parse_msat(show_msat(amount_msat)) == amount_msat


def test_amounts_are_shown_with_thousands_apart() -> None:
    """Nobody can count nine digits."""
    assert show_msat(1_234_567_891) == "1,234,567.891"
    assert show_msat(-1_500) == "-1.500"
    assert show_sat(21_000_000) == "21,000,000"


@pytest.mark.parametrize(
    ("text", "feerate_per_kw"), [("1", 250), ("2.5", 625), ("2.5sat/vb", 625), ("253perkw", 253), ("0.123", 30)]
)
def test_feerate_is_read_in_both_units(text: str, feerate_per_kw: int) -> None:
    """Wallets show sat/vB, Lightning counts per 1000 weight units: a factor of 250 between them."""
    assert parse_feerate(text) == feerate_per_kw


@pytest.mark.parametrize("text", ["", "-1", "1.2345", "1.5perkw", "2 gwei", "fast"])
def test_what_is_no_feerate_is_refused(text: str) -> None:
    """A feerate that is guessed wrong burns money or never confirms."""
    with pytest.raises(CommandRejected) as refused:
        parse_feerate(text)
    assert refused.value.code == "invalid_feerate"


@pytest.mark.parametrize(
    ("feerate_per_kw", "shown"),
    [(0, "0.00 sat/vB"), (253, "1.01 sat/vB"), (500, "2.00 sat/vB"), (250_000, "1,000.00 sat/vB")],
)
def test_feerate_is_shown_as_wallets_show_it(feerate_per_kw: int, shown: str) -> None:
    """One vbyte is four weight units: a factor that is easily lost."""
    assert show_feerate(feerate_per_kw) == shown


@pytest.mark.parametrize(
    ("number", "words", "shown"),
    [
        (0, ("block",), "0 blocks"),
        (1, ("block",), "1 block"),
        (2, ("block",), "2 blocks"),
        (1, ("batch", "batches"), "1 batch"),
        (1_500, ("batch", "batches"), "1,500 batches"),
    ],
)
def test_what_is_counted_is_one_or_many(number: int, words: tuple[str, ...], shown: str) -> None:
    """One confirmation is what a user waits for, and reads most."""
    assert show_count(number, *words) == shown
