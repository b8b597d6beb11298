"""The prefix of an invoice: an amount misread by one letter is wrong by a factor of a thousand."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.base.errors import DecodeError
from leyden.bitcoin.networks import MAINNET, NETWORKS, REGTEST, SIGNET, TESTNET, Network
from leyden.invoices.prefix import format_prefix, parse_prefix


@pytest.mark.parametrize(
    ("hrp", "network", "amount_msat"),
    [
        ("lnbc", MAINNET, None),
        ("lntb", TESTNET, None),
        ("lntbs", SIGNET, None),
        ("lnbcrt", REGTEST, None),
        ("lnbcrt1", REGTEST, 100_000_000_000),
        ("lntbs25m", SIGNET, 2_500_000_000),
        ("lnbc2500u", MAINNET, 250_000_000),
        ("lnbc1n", MAINNET, 100),
        ("lnbc10p", MAINNET, 1),
        ("lnbc9678785340p", MAINNET, 967_878_534),
        ("lnbc21000000", MAINNET, 2_100_000_000_000_000_000),
        # Not the shortest form, but seen in the wild (BOLT 11, "Requirements").
        ("lnbc1000u", MAINNET, 100_000_000),
    ],
)
def test_amount_is_read(hrp: str, network: Network, amount_msat: int | None) -> None:
    """Each network and each multiplier."""
    assert parse_prefix(hrp) == (network, amount_msat)


@pytest.mark.parametrize(
    ("hrp", "field"),
    [
        ("lnbc0", "amount"),
        ("lnbc0m", "amount"),
        ("lnbc01m", "amount"),
        ("lnbc1p", "amount"),
        ("lnbc15p", "amount"),
        ("lnbc1x", "amount"),
        ("lnbc1mm", "amount"),
        ("lnbc1m1", "amount"),
        ("lnbc21000001", "amount"),
        ("lnbc2100000000000000001n", "amount"),
        ("lnbc" + "9" * 5000, "amount"),
        ("lnbcm", "prefix"),
        ("lnbcrs", "prefix"),
        ("lntbx1", "prefix"),
        ("lnbc-1", "prefix"),
        ("", "prefix"),
        ("lnbc1\n", "amount"),
        ("lnbc\n", "prefix"),
    ],
)
def test_malformed_prefix_is_refused(hrp: str, field: str) -> None:
    """Zero, fractions of a millisatoshi, unknown multipliers and networks, more money than there is."""
    with pytest.raises(DecodeError) as error:
        parse_prefix(hrp)
    assert error.value.field == field


@given(st.sampled_from(NETWORKS), st.one_of(st.none(), st.integers(1, 21_000_000 * 10**11)))
def test_any_amount_round_trips(network: Network, amount_msat: int | None) -> None:
    """Whatever multiplier the shortest form takes."""
    assert parse_prefix(format_prefix(network, amount_msat)) == (network, amount_msat)


@pytest.mark.parametrize(
    ("amount_msat", "text"), [(1, "10p"), (100, "1n"), (1_000, "10n"), (250_000_000, "2500u"), (10**11, "1")]
)
def test_amount_is_written_in_the_shortest_form(amount_msat: int, text: str) -> None:
    """BOLT 11 asks writers for it."""
    assert format_prefix(MAINNET, amount_msat) == "lnbc" + text


@pytest.mark.parametrize("amount_msat", [0, -1, 21_000_000 * 10**11 + 1])
def test_impossible_amount_is_not_written(amount_msat: int) -> None:
    """An invoice for nothing would be read as one for any amount by careless payers."""
    with pytest.raises(ValueError, match="at least 1 msat"):
        format_prefix(MAINNET, amount_msat)


@given(st.text(max_size=30))
def test_any_text_raises_nothing_but_decode_error(hrp: str) -> None:
    """The prefix is text of a stranger."""
    with contextlib.suppress(DecodeError):
        parse_prefix(hrp)
